// What both groups do alike; for fanotify_group.cc and notification_group.cc.
#ifndef FILEWARD_KERNEL_FANOTIFY_IO_H_
#define FILEWARD_KERNEL_FANOTIFY_IO_H_

#include <sys/fanotify.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "native/base/failure.h"
#include "native/base/result.h"
#include "native/kernel/fanotify_abi.h"

namespace fileward {

inline constexpr size_t kEventBufferBytes = 64 * 1024;

// The kernel opens an fd for each event of a read, and denies the opener when it can't: a batch may
// take an eighth of what the process may have at most.
inline size_t MaxEventFds() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 64;
  return std::clamp<size_t>(limit.rlim_cur / 8, 8, kEventBufferBytes / FAN_EVENT_METADATA_LEN);
}

inline Result<void> MarkGroup(int group, unsigned flags, uint64_t mask, int dirfd,
                              const char* path) {
  if (::fanotify_mark(group, flags, mask, dirfd, path) == 0) return {};
  // Removing what is not there is what the caller wanted.
  if ((flags & FAN_MARK_REMOVE) != 0 && errno == ENOENT) return {};
  return ErrnoError("fanotify_mark", path);
}

// Calls `each(metadata, begin of the event)` for the events of one read; false when they can't be
// read.
template <typename Each>
bool ForEachEvent(const std::byte* at, size_t length, Each each) {
  while (length >= FAN_EVENT_METADATA_LEN) {
    fanotify_event_metadata metadata{};
    std::memcpy(&metadata, at, sizeof(metadata));
    if (metadata.vers != FANOTIFY_METADATA_VERSION || metadata.event_len > length ||
        metadata.event_len < FAN_EVENT_METADATA_LEN || metadata.metadata_len > metadata.event_len) {
      CountFailure(Failure::kEventMalformed);
      return false;
    }
    each(metadata, at);
    at += metadata.event_len;
    length -= metadata.event_len;
  }
  return true;
}

}  // namespace fileward

#endif  // FILEWARD_KERNEL_FANOTIFY_IO_H_
