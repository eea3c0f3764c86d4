// The mounts of the host: on which of them a path text may be believed, and a way back to the
// host's path for the others. An immutable snapshot, read on a thread that may block and handed to
// the decision thread; safe to read from any thread. It keeps one directory fd per filesystem:
// close the snapshot (drop it) before asking why an unmount says EBUSY.
#ifndef FILEWARD_DECISION_MOUNT_VIEW_H_
#define FILEWARD_DECISION_MOUNT_VIEW_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "native/base/result.h"
#include "native/base/unique_fd.h"

namespace fileward {

class MountView {
 public:
  // Reads /proc/self/mountinfo. Opens directories, so never on the decision thread.
  static Result<std::shared_ptr<const MountView>> Read();

  // A mount of ours that shows its filesystem from the root: paths on it are real paths.
  bool IsPlain(uint64_t mount_id) const { return plain_.contains(mount_id); }

  // The path of the file behind `fd` on a plain mount of its filesystem, by file handle; nothing
  // when there is none. Opens with O_PATH only: raises no event.
  std::optional<std::string> HostPath(int fd, uint64_t dev) const;

 private:
  std::unordered_set<uint64_t> plain_;
  std::unordered_map<uint64_t, UniqueFd> roots_;  // by st_dev
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_MOUNT_VIEW_H_
