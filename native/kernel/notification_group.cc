// The notification group's side of fanotify_group.h.
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <utility>

#include "native/kernel/fanotify_group.h"
#include "native/kernel/fanotify_io.h"

namespace fileward {
namespace {

// Large enough for any one event: metadata, three names of 255 bytes with their handles, a pidfd.
constexpr size_t kMaxEventBytes = 2048;
constexpr size_t kMinBufferBytes = 2 * kMaxEventBytes;

std::string KeyOf(const void* fsid, const file_handle& handle) {
  std::string key;
  key.reserve(sizeof(__kernel_fsid_t) + sizeof(handle.handle_type) + handle.handle_bytes);
  key.append(static_cast<const char*>(fsid), sizeof(__kernel_fsid_t));
  key.append(reinterpret_cast<const char*>(&handle.handle_type), sizeof(handle.handle_type));
  key.append(reinterpret_cast<const char*>(handle.f_handle), handle.handle_bytes);
  return key;
}

// A record of a FID kind, checked against its length. Names are NUL-terminated and padded.
std::optional<NotificationEvent::Name> ParseFid(const std::byte* record, size_t length) {
  constexpr size_t kHandleAt = offsetof(fanotify_event_info_fid, handle);
  if (length < kHandleAt + sizeof(file_handle)) return std::nullopt;
  // Records are 4-byte aligned, so the handle may be looked at in place.
  const auto& handle = *reinterpret_cast<const file_handle*>(record + kHandleAt);
  const size_t name_at = kHandleAt + sizeof(file_handle) + handle.handle_bytes;
  if (handle.handle_bytes > MAX_HANDLE_SZ || name_at > length) return std::nullopt;
  NotificationEvent::Name name;
  name.directory_handle = KeyOf(record + offsetof(fanotify_event_info_fid, fsid), handle);
  const auto* text = reinterpret_cast<const char*>(record + name_at);
  name.name.assign(text, ::strnlen(text, length - name_at));
  return name;
}

void ParseRecord(uint8_t type, const std::byte* record, size_t length, NotificationEvent& event) {
  if (type == FAN_EVENT_INFO_TYPE_PIDFD) {
    fanotify_event_info_pidfd info{};
    if (length < sizeof(info)) return;
    std::memcpy(&info, record, sizeof(info));
    event.pidfd.reset(info.pidfd >= 0 ? info.pidfd : -1);
    return;
  }
  const bool known = type == FAN_EVENT_INFO_TYPE_FID || type == FAN_EVENT_INFO_TYPE_DFID_NAME ||
                     type == FAN_EVENT_INFO_TYPE_DFID ||
                     type == FAN_EVENT_INFO_TYPE_OLD_DFID_NAME ||
                     type == FAN_EVENT_INFO_TYPE_NEW_DFID_NAME;
  if (!known) return;
  std::optional<NotificationEvent::Name> name = ParseFid(record, length);
  if (!name) {
    CountFailure(Failure::kEventMalformed);
    return;
  }
  switch (type) {
    case FAN_EVENT_INFO_TYPE_FID:
      event.object_handle = std::move(name->directory_handle);
      break;
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
      event.old_name = std::move(name);
      break;
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
      event.new_name = std::move(name);
      break;
    default:
      event.name = std::move(name);
  }
}

// Records come in any order, and kernels to come may add kinds.
void ParseRecords(const std::byte* at, const std::byte* end, NotificationEvent& event) {
  while (static_cast<size_t>(end - at) >= sizeof(fanotify_event_info_header)) {
    fanotify_event_info_header header{};
    std::memcpy(&header, at, sizeof(header));
    if (header.len < sizeof(header) || header.len > end - at) {
      CountFailure(Failure::kEventMalformed);
      return;
    }
    ParseRecord(header.info_type, at, header.len, event);
    at += header.len;
  }
}

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
    return Error{EOPNOTSUPP, "fanotify_init", "no file handles in events"};
  }
  if (features.pidfd) flags |= FAN_REPORT_PIDFD;
  UniqueFd group(::fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
  if (!group) return ErrnoError("fanotify_init", "notification group");
  return NotificationGroup(std::move(group), features);
}

Result<size_t> NotificationGroup::Read(std::vector<NotificationEvent>& events) {
  // Each event may bring a pidfd; 64 bytes is the least that an event with a handle and a pidfd
  // takes.
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
  const auto append = [&events](const fanotify_event_metadata& metadata, const std::byte* begin) {
    NotificationEvent& event = events.emplace_back();
    event.mask = metadata.mask;
    event.pid = metadata.pid;
    event.overflow = (metadata.mask & FAN_Q_OVERFLOW) != 0;
    if (event.overflow) CountFailure(Failure::kQueueOverflow);
    if (metadata.fd >= 0) ::close(metadata.fd);
    ParseRecords(begin + metadata.metadata_len, begin + metadata.event_len, event);
  };
  if (!ForEachEvent(buffer_.get(), static_cast<size_t>(length), append)) {
    return Error{EPROTO, "read", "notification group: unknown event format"};
  }
  return events.size() - before;
}

uint64_t NotificationGroup::KnownBits(uint64_t mask) const {
  return has_rename_ ? mask : mask & ~uint64_t{FAN_RENAME};
}

Result<void> NotificationGroup::MarkDirectory(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR,
                   KnownBits(mask) | FAN_EVENT_ON_CHILD | FAN_ONDIR, dirfd, path);
}

Result<void> NotificationGroup::MarkFile(int dirfd, const char* path, uint64_t mask) {
  return MarkGroup(group_.get(), FAN_MARK_ADD, KnownBits(mask), dirfd, path);
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
      return KeyOf(&filesystem.f_fsid, handle);
    }
    if (!fid || errno != EINVAL) return {};
    handle_fid.store(false, std::memory_order_relaxed);
  }
  return {};
}

}  // namespace fileward
