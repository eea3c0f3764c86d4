// Permission marks on whole filesystems, for strict rules: an open in a directory that nobody has
// seen yet is judged too. Uncovered files there are muted one by one once they were looked at.
//
// Contract: a filesystem has one mark, with what all workloads want of it. None where reading an
// event could wait: where a server answers, and where an overlay that carries marks itself has its
// layers. One that becomes such a place loses its mark first (Withdraw). Filesystems are known by
// SuperblockOf. The coverage thread owns it; count() may be read anywhere.
#ifndef FILEWARD_COVERAGE_FILESYSTEM_MARKS_H_
#define FILEWARD_COVERAGE_FILESYSTEM_MARKS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "native/base/unique_fd.h"
#include "native/base/workload.h"

namespace fileward {

class PermissionGroup;

class FilesystemMarks {
 public:
  // Null: nothing is marked, as for `fileward check`.
  explicit FilesystemMarks(PermissionGroup* group) : group_(group) {}

  // Does an overlay with marks have layers there? Not set: none is known.
  std::function<bool(uint64_t superblock)> holds_layers;
  // Some directory of it.
  std::function<UniqueFd(uint64_t superblock)> open;

  // Marks the filesystem of this directory for a walk of this generation. Empty: done; else why
  // not.
  std::string Cover(WorkloadId workload, uint32_t generation, const std::string& path,
                    int directory, int32_t pid, uint64_t mask);
  // Takes back what no walk of the workload since `generation` asked for.
  void Trim(WorkloadId workload, uint32_t generation);
  void Leave(WorkloadId workload) { Trim(workload, UINT32_MAX); }
  // Takes the mark off (0: all of them); says for whom it was, and in which directory of theirs.
  std::vector<std::pair<WorkloadId, std::string>> Withdraw(uint64_t superblock);

  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

  static constexpr const char* kHoldsLayers =
      "new directories have the gap that they have without strict: layers of a covered container "
      "are on this filesystem";

 private:
  struct Wanted {
    uint64_t mask = 0;
    uint32_t generation = 0;
    std::string path;
  };
  struct Filesystem {
    uint64_t placed = 0;
    std::map<WorkloadId, Wanted> wanted;
  };
  void TakeBack(uint64_t superblock, Filesystem& filesystem);
  void Count() { count_.store(filesystems_.size(), std::memory_order_relaxed); }

  PermissionGroup* const group_;
  std::map<uint64_t, Filesystem> filesystems_;
  std::atomic<uint64_t> count_{0};
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_FILESYSTEM_MARKS_H_
