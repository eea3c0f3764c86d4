// Which paths a file has, in which workloads: the mount views of all of them put together. A file
// that is opened through one mount is found under the names that it has on every other: a volume in
// each container that mounts it, a container's root in the host's merged directory.
//
// Owned by the decision thread. Cost of a question: a hash look-up for each segment of the path,
// however many workloads there are.
#ifndef FILEWARD_DECISION_WORKLOAD_MOUNTS_H_
#define FILEWARD_DECISION_WORKLOAD_MOUNTS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "native/base/workload.h"
#include "native/decision/mount_view.h"

namespace fileward {

struct WorkloadPath {
  WorkloadId workload = kHostWorkload;
  std::string path;
};

class WorkloadMounts {
 public:
  void Set(WorkloadId workload, std::shared_ptr<const MountView> view);
  void Remove(WorkloadId workload);
  const MountView* ViewOf(WorkloadId workload) const;

  // Where the file is that was opened as `fd` through this mount and whose path is `text`; nothing
  // when no workload can tell.
  std::optional<FilePlace> PlaceOf(int fd, uint64_t dev, uint64_t mount_id,
                                   std::string_view text) const;
  // Of that mount; 0: nobody's.
  uint64_t FilesystemOf(uint64_t mount_id) const;
  struct Paths {
    std::vector<WorkloadPath> paths;
    bool all = true;  // false: some workload has more of them than anybody looks at
  };
  Paths PathsOf(const FilePlace& place) const;

 private:
  struct Point {
    WorkloadId workload = kHostWorkload;
    std::string point;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  struct MountedThere {
    std::vector<Point> points;
    std::vector<WorkloadId> cut;  // who have more than are here
  };
  // By the path inside the filesystem that is mounted there.
  using Points = std::unordered_map<std::string, MountedThere, Hash, std::equal_to<>>;

  std::unordered_map<WorkloadId, std::shared_ptr<const MountView>> views_;
  std::unordered_map<uint64_t, Points> points_;  // by filesystem
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_WORKLOAD_MOUNTS_H_
