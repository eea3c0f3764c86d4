// The part of TreeWalk that deals with what strict rules ask for beyond a directory's own marks.
#include <algorithm>

#include "native/coverage/tree_walk.h"
#include "native/kernel/fanotify_abi.h"

namespace fileward {

void TreeWalk::ComplainOfMark(const Directory& directory, const std::string& path,
                              const MarkFailure& failed) {
  // Of a tree's filesystem it is told once.
  const bool is_told = failed.reason == Failure::kStrictUnavailable &&
                       directory.parent != nullptr && directory.parent->generation == generation_ &&
                       directory.parent->identity.dev == directory.identity.dev &&
                       (directory.parent->wanted_permission_mask & FAN_PRE_ACCESS) != 0;
  if (!is_told) Complain(failed.reason, path, failed.detail);
}

void TreeWalk::CoverFilesystem(int fd, const std::string& path, uint64_t dev, uint64_t mask) {
  if (mask == 0) return;
  AskedFilesystem& asked = filesystems_[dev];
  const bool is_new = (mask & ~asked.mask) != 0;
  if (is_new) {
    asked.mask |= mask;
    asked.refused =
        marks_.filesystems().Cover(workload_, whole_walk_, path, fd, table_.disk().pid(), mask);
    has_layers_ = has_layers_ || asked.refused == FilesystemMarks::kHoldsLayers;
  }
  // Of each tree, not of each of its directories.
  if (!asked.refused.empty() && (is_new || plan_->BaseMask(path) != 0))
    Complain(Failure::kStrictUnavailable, path, asked.refused);
}

// Where a tree will stand that a strict rule guards: its directories are new once they are there.
void TreeWalk::CoverAbsent(const std::string& base) {
  const uint64_t mask = plan_->BaseMask(base);
  std::string path = base;
  while (mask != 0 && path != "/") {
    path.resize(std::max<size_t>(path.rfind('/'), 1));
    const UniqueFd fd = table_.disk().OpenDirectory(path);
    if (!fd) continue;
    const Directory* const known = table_.FindByPath(path);
    if (known != nullptr && !known->in_layer) {
      CoverFilesystem(fd.get(), path, known->identity.dev, mask);
    } else {
      Complain(Failure::kStrictUnavailable, path, kLayerDetail);
    }
    return;
  }
}

void TreeWalk::FilesystemLost(const std::string& path) {
  has_layers_ = true;
  Complain(Failure::kStrictUnavailable, path, FilesystemMarks::kHoldsLayers);
}

}  // namespace fileward
