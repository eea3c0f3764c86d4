// The mounts of one workload: on which of them a path text can be believed, which place of which
// filesystem it names, and where the workload has that place. An immutable snapshot, read on a
// thread that may block and handed to the decision thread; safe to read from any thread. It holds
// no descriptor: nobody's umount fails because of it.
#ifndef FILEWARD_DECISION_MOUNT_VIEW_H_
#define FILEWARD_DECISION_MOUNT_VIEW_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"

namespace fileward {

// A file or directory by its path inside its filesystem, as mountinfo counts them: a bind mount, a
// volume and an overlay's merged directory lead to the same place.
struct FilePlace {
  uint64_t filesystem = 0;
  std::string path;  // "" is the filesystem's root
};

struct MountedAt {
  FilePlace place;
  std::string point;  // "" is the workload's root
};

class MountView {
 public:
  // Both read files of /proc, so never on the decision thread. An error: the process is gone, or
  // not ours to look at. The caller makes sure that `init_pid` still is whom it means.
  static Result<std::shared_ptr<const MountView>> ReadHost();
  static Result<std::shared_ptr<const MountView>> ReadContainer(int32_t init_pid);

  // `text`: what the kernel gives us as the path of a file that was opened through this mount.
  // Nothing when the mount is none of the workload's.
  std::optional<FilePlace> PlaceOf(uint64_t mount_id, std::string_view text) const;
  // The same text as the workload has it.
  std::optional<std::string> PathOf(uint64_t mount_id, std::string_view text) const;
  // Of that mount; 0: none of the workload's.
  uint64_t FilesystemOf(uint64_t mount_id) const;
  // The same file by its handle, through a mount of the host: for files that were opened through a
  // mount that nobody knows. Opens a mount point, for this moment only: a descriptor that is kept,
  // or even a look when the mount table changes, would make somebody's umount fail with EBUSY.
  // Opening a directory raises no permission event of ours, and the file itself is opened with
  // O_PATH.
  std::optional<FilePlace> FindAgain(int fd, uint64_t dev) const;

  const std::vector<MountedAt>& mounted() const { return mounted_; }
  // Of the workload's root directory.
  uint64_t root_filesystem() const { return root_filesystem_; }

 private:
  // `text_point`: the mount point as texts have it.
  void Add(uint64_t mount_id, MountedAt mounted, std::string text_point);
  void AddRootBelow(int32_t init_pid, const std::string& prefix);

  struct Texts {
    FilePlace place;
    std::string point;
    std::string inside;  // the same point as the workload has it
  };
  std::unordered_map<uint64_t, Texts> texts_;  // by mount id
  std::vector<MountedAt> mounted_;
  uint64_t root_filesystem_ = 0;
  // A mount of the host's that shows its filesystem from the root.
  struct Root {
    // Its directory when files of it have this st_dev and it is still there.
    UniqueFd Open(uint64_t dev) const;

    uint64_t filesystem = 0;
    uint64_t mount_id = 0;
    std::string point;
    bool has_subvolumes = false;  // their st_dev is not what mountinfo says
  };
  std::vector<Root> roots_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_MOUNT_VIEW_H_
