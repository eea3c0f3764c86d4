// The notification group's side of fanotify_group.h.
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <utility>

#include "native/base/failure.h"
#include "native/kernel/fanotify_events.h"
#include "native/kernel/fanotify_group.h"
#include "native/kernel/fanotify_io.h"

namespace fileward {
namespace {

// Large enough for any one event: metadata, three names of 255 bytes with their handles, a pidfd.
constexpr size_t kMaxEventBytes = 2048;
constexpr size_t kMinBufferBytes = 2 * kMaxEventBytes;

}  // namespace

NotificationGroup::NotificationGroup(UniqueFd group, const KernelFeatures& features)
    : group_(std::move(group)),
      has_names_(features.directory_names),
      has_rename_(features.rename_event),
      buffer_(std::make_unique<std::byte[]>(kEventBufferBytes)) {}

Result<NotificationGroup> NotificationGroup::Open(const KernelFeatures& features) {
  unsigned flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS;
  if (features.target_fid) {
    flags |= FAN_REPORT_DFID_NAME_TARGET;
  } else if (features.directory_names) {
    flags |= FAN_REPORT_DFID_NAME | FAN_REPORT_FID;
  } else if (features.fid) {
    flags |= FAN_REPORT_FID;
  } else {
    return NotificationGroup(UniqueFd(), features);
  }
  if (features.pidfd) flags |= FAN_REPORT_PIDFD;
  UniqueFd group(::fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
  if (!group) return ErrnoError("fanotify_init", "notification group");
  return NotificationGroup(std::move(group), features);
}

Result<size_t> NotificationGroup::Read(std::vector<NotificationEvent>& events) {
  // Each event may bring a pidfd; 64 bytes is the least that an event with a handle and a pidfd
  // takes.
  if (!group_) return size_t{0};
  const size_t bytes = std::clamp(MaxEventFds() * 64, kMinBufferBytes, kEventBufferBytes);
  ssize_t length = 0;
  do {
    length = ::read(group_.get(), buffer_.get(), bytes);
  } while (length < 0 && errno == EINTR);
  drained_ = length < 0 && errno == EAGAIN;
  if (drained_) return size_t{0};
  if (length < 0) {
    CountFailure(Failure::kEventReadFailed);
    return ErrnoError("read", "notification group");
  }
  // The kernel goes on until the queue is empty or the next event doesn't fit.
  drained_ = static_cast<size_t>(length) + kMaxEventBytes <= bytes;
  const size_t before = events.size();
  if (!ParseNotificationEvents({buffer_.get(), static_cast<size_t>(length)}, events)) {
    return Error{EPROTO, "read", "notification group: unknown event format"};
  }
  return events.size() - before;
}

uint64_t NotificationGroup::KnownBits(uint64_t mask) const {
  return has_rename_ ? mask : mask & ~uint64_t{FAN_RENAME};
}

Result<void> NotificationGroup::Mark(unsigned flags, uint64_t mask, int dirfd, const char* path) {
  // As a filesystem without them says of itself.
  if (!group_) return Error{EOPNOTSUPP, "fanotify_mark", "no file handles in events"};
  return MarkGroup(group_.get(), FAN_MARK_ADD | flags, KnownBits(mask), dirfd, path);
}

Result<void> NotificationGroup::MarkDirectory(int dirfd, const char* path, uint64_t mask) {
  return Mark(FAN_MARK_ONLYDIR, mask | FAN_EVENT_ON_CHILD | FAN_ONDIR, dirfd, path);
}

Result<void> NotificationGroup::MarkFile(int dirfd, const char* path, uint64_t mask) {
  return Mark(0, mask, dirfd, path);
}

Result<void> NotificationGroup::Unmark(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_REMOVE, KnownBits(mask), dirfd, path);
}

std::string HandleKey(int dirfd, const char* name) {
  UniqueFd object;
  if (*name != '\0') {
    object.reset(::openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!object) return {};
    dirfd = object.get();
  }
  struct statfs filesystem {};
  if (::fstatfs(dirfd, &filesystem) != 0) return {};
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + MAX_HANDLE_SZ> space;
  auto& handle = *reinterpret_cast<file_handle*>(space.data());
  // AT_HANDLE_FID is the encoding that events use; it also works where handles can't be opened
  // (overlayfs).
  static std::atomic<bool> handle_fid{true};  // only ever cleared, by whoever finds out
  for (const bool fid : {true, false}) {
    if (fid && !handle_fid.load(std::memory_order_relaxed)) continue;
    handle.handle_bytes = MAX_HANDLE_SZ;
    int mount_id = 0;
    const int flags = AT_EMPTY_PATH | (fid ? AT_HANDLE_FID : 0);
    if (::name_to_handle_at(dirfd, "", &handle, &mount_id, flags) == 0) {
      return MakeHandleKey(&filesystem.f_fsid, handle.handle_type,
                           {space.data() + sizeof(file_handle), handle.handle_bytes});
    }
    if (!fid || errno != EINVAL) return {};
    handle_fid.store(false, std::memory_order_relaxed);
  }
  return {};
}

}  // namespace fileward
