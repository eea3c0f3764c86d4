#ifndef FILEWARD_PROCESS_WORKLOAD_CGROUPS_H_
#define FILEWARD_PROCESS_WORKLOAD_CGROUPS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "native/base/workload.h"

namespace fileward {

// Which container a cgroup belongs to: all known ones, also those that are in no group. Immutable;
// a look costs one hash for each segment of the path.
class WorkloadCgroups {
 public:
  struct Entry {
    WorkloadId id = kHostWorkload;
    std::string cgroup;  // as CgroupOf has it
    int32_t init_pid = 0;
  };

  WorkloadCgroups() = default;
  // An entry whose cgroup is empty or "/" is left out: it would claim the host. Of two with one
  // cgroup the later counts.
  explicit WorkloadCgroups(std::vector<Entry> entries);

  bool empty() const { return by_cgroup_.empty(); }
  // Of the longest known cgroup that `cgroup` is, or lies below; kHostWorkload when there is none.
  WorkloadId Of(std::string_view cgroup) const;
  // Both: empty or 0 for the host and for ids that are not known. The text lives as long as this.
  std::string_view CgroupOf(WorkloadId workload) const;
  int32_t InitOf(WorkloadId workload) const;
  // Whether `cgroup` is that of the container or lies below it, in a container inside it too.
  bool Holds(WorkloadId workload, std::string_view cgroup) const;
  // Whether `inner` is a container that runs in `outer`.
  bool IsNested(WorkloadId inner, WorkloadId outer) const {
    return inner != outer && Holds(outer, CgroupOf(inner));
  }
  // The part of `cgroup` below the workload's own, all of it for the host: what a system manager in
  // the container made, and UnitOfCgroup reads.
  std::string_view Within(WorkloadId workload, std::string_view cgroup) const;
  // True for a cgroup of none of them that is named like a container's: one that has only just been
  // made, perhaps. Runtimes put the container's 64 hexadecimal digits into the name.
  bool MayBeNew(std::string_view cgroup) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  struct Container {
    std::string cgroup;
    int32_t init_pid = 0;
  };
  std::unordered_map<std::string, WorkloadId, Hash, std::equal_to<>> by_cgroup_;
  std::unordered_map<WorkloadId, Container> by_id_;
};

}  // namespace fileward

#endif  // FILEWARD_PROCESS_WORKLOAD_CGROUPS_H_
