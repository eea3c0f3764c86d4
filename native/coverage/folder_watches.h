// inotify watches of directories whose filesystem has no events with names for fanotify (overlayfs
// on Linux 6.1, tmpfs on 5.10, perhaps network and FUSE filesystems). They only tell that
// something has changed in one of them; what it was is found by looking again.
//
// Contract: owns its inotify instance and the watches in it; a Directory remembers its own. Opened
// with the first watch, so that a kernel that needs none has none. The coverage thread owns it.
#ifndef FILEWARD_COVERAGE_FOLDER_WATCHES_H_
#define FILEWARD_COVERAGE_FOLDER_WATCHES_H_

#include <optional>
#include <unordered_map>
#include <vector>

#include "native/coverage/directory_table.h"
#include "native/kernel/inotify.h"

namespace fileward {

class FolderWatches {
 public:
  // For poll(); -1 while there is no watch.
  int fd() const { return instance_ ? instance_->fd() : -1; }

  // `fd` is the directory. False: it can't be watched either.
  bool Watch(Directory& directory, int fd);
  void Unwatch(Directory& directory);
  // Whether anything happened in any of them since the last call.
  bool TakeChanged();

 private:
  std::optional<Inotify> instance_;
  // Several workloads may have one directory, of which inotify has one watch.
  std::unordered_map<int, uint32_t> holders_;
  std::vector<InotifyEvent> events_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_FOLDER_WATCHES_H_
