#include "native/coverage/filesystem_marks.h"

#include "native/base/failure.h"
#include "native/coverage/file_status.h"
#include "native/kernel/fanotify_group.h"
#include "native/kernel/root_file.h"

namespace fileward {

std::string FilesystemMarks::Cover(WorkloadId workload, uint32_t generation,
                                   const std::string& path, int directory, int32_t pid,
                                   uint64_t mask) {
  const uint64_t superblock = SuperblockOf(directory);
  if (superblock == 0) return "which filesystem this is can't be told";
  if (MayHang(directory, pid)) return "this filesystem may never answer";
  if (holds_layers && holds_layers(superblock)) return kHoldsLayers;
  // Again where it is placed: the filesystem may have been unmounted since, and its mark with it.
  if (group_ != nullptr) {
    const auto marked = group_->MarkFilesystem(directory, mask);
    if (!marked.ok()) return marked.error().Message();
  }
  Filesystem& filesystem = filesystems_[superblock];
  filesystem.placed |= mask;
  Wanted& wanted = filesystem.wanted[workload];
  wanted.mask = wanted.generation == generation ? wanted.mask | mask : mask;
  wanted.generation = generation;
  wanted.path = path;
  Count();
  return {};
}

void FilesystemMarks::Trim(WorkloadId workload, uint32_t generation) {
  for (auto at = filesystems_.begin(); at != filesystems_.end();) {
    auto& [superblock, filesystem] = *at;
    std::erase_if(filesystem.wanted, [&](const auto& wanted) {
      return wanted.first == workload && wanted.second.generation < generation;
    });
    TakeBack(superblock, filesystem);
    at = filesystem.wanted.empty() ? filesystems_.erase(at) : std::next(at);
  }
  Count();
}

void FilesystemMarks::TakeBack(uint64_t superblock, Filesystem& filesystem) {
  uint64_t wanted = 0;
  for (const auto& [workload, each] : filesystem.wanted) wanted |= each.mask;
  const uint64_t surplus = filesystem.placed & ~wanted;
  filesystem.placed = wanted;
  if (surplus == 0 || group_ == nullptr || !open) return;
  // One that nobody has mounted any more is gone, and its mark with it.
  if (const UniqueFd directory = open(superblock))
    (void)group_->UnmarkFilesystem(directory.get(), surplus);
}

std::vector<std::pair<WorkloadId, std::string>> FilesystemMarks::Withdraw(uint64_t superblock) {
  std::vector<std::pair<WorkloadId, std::string>> losers;
  for (auto at = filesystems_.begin(); at != filesystems_.end();) {
    if (superblock != 0 && at->first != superblock) {
      ++at;
      continue;
    }
    for (auto& [workload, wanted] : std::exchange(at->second.wanted, {}))
      losers.emplace_back(workload, std::move(wanted.path));
    TakeBack(at->first, at->second);
    at = filesystems_.erase(at);
  }
  Count();
  return losers;
}

}  // namespace fileward
