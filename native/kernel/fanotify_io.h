// What both groups do alike; for fanotify_group.cc and notification_group.cc.
#ifndef FILEWARD_KERNEL_FANOTIFY_IO_H_
#define FILEWARD_KERNEL_FANOTIFY_IO_H_

#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "native/base/result.h"
#include "native/kernel/fanotify_abi.h"

namespace fileward {

inline constexpr size_t kEventBufferBytes = 64 * 1024;

// How many events a read may take. The kernel opens an fd for each, and denies the opener when it
// can't, so that the process must have as many left and some more for all else it opens. ~1 us.
inline size_t MaxEventFds() {
  constexpr size_t kMost = kEventBufferBytes / FAN_EVENT_METADATA_LEN;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 64;
  // Its size is how many are open, since 6.2; before that it is 0.
  struct stat open {};
  if (::stat("/proc/self/fd", &open) != 0 || open.st_size == 0) {
    return std::clamp<size_t>(limit.rlim_cur / 8, 8, kMost);
  }
  const size_t taken = static_cast<size_t>(open.st_size) + std::min<size_t>(limit.rlim_cur / 8, 64);
  return std::min(limit.rlim_cur - std::min<size_t>(limit.rlim_cur, taken), kMost);
}

inline Result<void> MarkGroup(int group, unsigned flags, uint64_t mask, int dirfd,
                              const char* path) {
  if (::fanotify_mark(group, flags, mask, dirfd, path) == 0) return {};
  // Removing what is not there is what the caller wanted.
  if ((flags & FAN_MARK_REMOVE) != 0 && errno == ENOENT) return {};
  return ErrnoError("fanotify_mark", path);
}

}  // namespace fileward

#endif  // FILEWARD_KERNEL_FANOTIFY_IO_H_
