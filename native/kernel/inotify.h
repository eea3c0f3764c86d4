// A thin inotify instance (CLOEXEC, non-blocking), for filesystems without file handles and for
// configuration files. Not recursive; names only for watches on directories; no process. One thread
// uses it.
#ifndef FILEWARD_KERNEL_INOTIFY_H_
#define FILEWARD_KERNEL_INOTIFY_H_

#include <sys/inotify.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"

namespace fileward {

struct InotifyEvent {
  int watch = -1;  // -1: the queue overflowed, everything since the previous event may be missing
  uint32_t mask = 0;    // IN_*
  uint32_t cookie = 0;  // the two halves of a rename share it
  std::string name;     // in the watched directory; empty for the watched file itself
};

class Inotify {
 public:
  static Result<Inotify> Open();

  int fd() const { return instance_.get(); }

  // Watches an inode; a second watch on the same inode returns the same number and replaces its
  // mask (IN_MASK_ADD adds). ENOSPC: fs.inotify.max_user_watches is used up.
  Result<int> Watch(const char* path, uint32_t mask);
  // The kernel removes a watch by itself when its inode goes (IN_IGNORED).
  Result<void> Unwatch(int watch);
  // Appends what one read gives; 0 when there is nothing.
  Result<size_t> Read(std::vector<InotifyEvent>& events);

 private:
  explicit Inotify(UniqueFd instance);

  UniqueFd instance_;
  std::unique_ptr<std::byte[]> buffer_;
};

}  // namespace fileward

#endif  // FILEWARD_KERNEL_INOTIFY_H_
