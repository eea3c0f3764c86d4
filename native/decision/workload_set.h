// What is in force for each workload, and which of them cover a file.
//
// Owned by the decision thread, filled by coverage's messages; those for a workload that has no
// rules (it has just gone) do nothing. Cost for a file that is known: a hash look-up for its device
// and one for each workload that has files there.
#ifndef FILEWARD_DECISION_WORKLOAD_SET_H_
#define FILEWARD_DECISION_WORKLOAD_SET_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "native/decision/evaluate.h"
#include "native/decision/object_table.h"
#include "native/decision/workload_mounts.h"

namespace fileward {

// A workload that covers a file, and by which names.
struct Covering {
  const WorkloadRules* rules = nullptr;
  const Object* object = nullptr;  // known by identity; otherwise by paths:
  struct Path {
    std::string path;
    MatchSet matched;
  };
  std::vector<Path> paths;
  Operations gated;  // what a `block` rule holds

  // Views into this and the table.
  std::vector<CoveredName> Names() const;
};

// A file as the kernel shows it through an open descriptor.
struct FileAtMount {
  int fd = -1;
  FileIdentity identity;
  uint64_t birth_ns = 0;
  uint64_t mount_id = 0;
};

class WorkloadSet {
 public:
  struct Found {
    std::vector<Covering> coverings;
    // Every name that it has in any workload was looked at: nothing can cover it.
    bool all_paths_known = false;
  };

  // In force from now on; what was goes back in `swap` to be freed elsewhere.
  void Swap(RulesetSwap& swap);
  // Null: there was none.
  std::unique_ptr<WorkloadRules> Take(WorkloadId workload);
  void Add(AddName add);
  void Remove(const RemoveName& name);
  void Remove(const RemoveIdentity& identity);
  void Set(AppsChanged apps);
  void Set(UsersChanged users);
  void Set(MountsChanged mounts);

  bool empty() const { return workloads_.empty(); }
  const WorkloadRules* host() const { return Of(kHostWorkload); }
  const std::map<WorkloadId, std::unique_ptr<WorkloadRules>>& all() const { return workloads_; }

  // `text`: asked for when the file isn't known by identity; what /proc/self/fd says.
  template <typename Text>
  Found Find(const FileAtMount& file, const Text& text) const {
    Found found = FindKnown(file);
    return found.coverings.empty() ? FindByPath(file, text()) : found;
  }
  // It lies on this container's own root filesystem.
  bool IsOnRootOf(const WorkloadRules& rules, const FileAtMount& file) const;
  // It is a program or script that an entry of some workload names.
  bool IsApp(const FileIdentity& identity) const;
  // The name that the workload has for the file; `covered` where that can't be told (any more).
  std::string PathIn(WorkloadId workload, const FileAtMount& file, std::string text,
                     const std::string& covered) const;

 private:
  WorkloadRules* Of(WorkloadId workload) const;
  void IndexDevices();
  Found FindKnown(const FileAtMount& file) const;
  Found FindByPath(const FileAtMount& file, const std::string& text) const;
  bool IsOnVolumeOf(WorkloadId workload, const FileAtMount& file) const;
  void MatchPath(WorkloadId workload, std::string path, Found& found) const;

  std::map<WorkloadId, std::unique_ptr<WorkloadRules>> workloads_;
  // Workloads that have, or had, objects on the device.
  std::unordered_map<uint64_t, std::vector<const WorkloadRules*>> by_device_;
  WorkloadMounts mounts_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_WORKLOAD_SET_H_
