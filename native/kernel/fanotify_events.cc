#include "native/kernel/fanotify_events.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "native/base/failure.h"
#include "native/kernel/fanotify_abi.h"

namespace fileward {
namespace {

constexpr int kMaxErrno = 4095;  // MAX_ERRNO of the kernel

// Calls `each(metadata, the event's bytes)` for each event; false when one can't be read.
template <typename Each>
bool ForEachEvent(std::span<const std::byte> bytes, Each each) {
  while (bytes.size() >= FAN_EVENT_METADATA_LEN) {
    fanotify_event_metadata metadata{};
    std::memcpy(&metadata, bytes.data(), sizeof(metadata));
    if (metadata.vers != FANOTIFY_METADATA_VERSION || metadata.event_len > bytes.size() ||
        metadata.event_len < FAN_EVENT_METADATA_LEN ||
        metadata.metadata_len < FAN_EVENT_METADATA_LEN ||
        metadata.metadata_len > metadata.event_len) {
      CountFailure(Failure::kEventMalformed);
      return false;
    }
    each(metadata, bytes.first(metadata.event_len));
    bytes = bytes.subspan(metadata.event_len);
  }
  return true;
}

// A record of a FID kind, checked against its length. Names are NUL-terminated and padded.
std::optional<NotificationEvent::Name> ParseFid(std::span<const std::byte> record) {
  constexpr size_t kHandleAt = offsetof(fanotify_event_info_fid, handle);
  constexpr size_t kBytesAt = kHandleAt + sizeof(file_handle);
  if (record.size() < kBytesAt) return std::nullopt;
  file_handle handle{};
  std::memcpy(&handle, record.data() + kHandleAt, sizeof(handle));
  if (handle.handle_bytes > MAX_HANDLE_SZ || handle.handle_bytes > record.size() - kBytesAt) {
    return std::nullopt;
  }
  NotificationEvent::Name name;
  name.directory_handle =
      MakeHandleKey(record.data() + offsetof(fanotify_event_info_fid, fsid), handle.handle_type,
                    record.subspan(kBytesAt, handle.handle_bytes));
  const auto rest = record.subspan(kBytesAt + handle.handle_bytes);
  const auto* text = reinterpret_cast<const char*>(rest.data());
  name.name.assign(text, ::strnlen(text, rest.size()));
  return name;
}

void ParseRecord(uint8_t type, std::span<const std::byte> record, NotificationEvent& event) {
  if (type == FAN_EVENT_INFO_TYPE_PIDFD) {
    fanotify_event_info_pidfd info{};
    if (record.size() < sizeof(info)) return;
    std::memcpy(&info, record.data(), sizeof(info));
    event.pidfd.reset(info.pidfd >= 0 ? info.pidfd : -1);
    return;
  }
  const bool known = type == FAN_EVENT_INFO_TYPE_FID || type == FAN_EVENT_INFO_TYPE_DFID_NAME ||
                     type == FAN_EVENT_INFO_TYPE_DFID ||
                     type == FAN_EVENT_INFO_TYPE_OLD_DFID_NAME ||
                     type == FAN_EVENT_INFO_TYPE_NEW_DFID_NAME;
  if (!known) return;
  std::optional<NotificationEvent::Name> name = ParseFid(record);
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
void ParseRecords(std::span<const std::byte> bytes, NotificationEvent& event) {
  while (bytes.size() >= sizeof(fanotify_event_info_header)) {
    fanotify_event_info_header header{};
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.len < sizeof(header) || header.len > bytes.size()) {
      CountFailure(Failure::kEventMalformed);
      return;
    }
    ParseRecord(header.info_type, bytes.first(header.len), event);
    bytes = bytes.subspan(header.len);
  }
}

}  // namespace

std::string MakeHandleKey(const void* fsid, int32_t handle_type,
                          std::span<const std::byte> handle) {
  std::string key;
  key.reserve(sizeof(__kernel_fsid_t) + sizeof(handle_type) + handle.size());
  key.append(static_cast<const char*>(fsid), sizeof(__kernel_fsid_t));
  key.append(reinterpret_cast<const char*>(&handle_type), sizeof(handle_type));
  key.append(reinterpret_cast<const char*>(handle.data()), handle.size());
  return key;
}

bool ParsePermissionEvents(std::span<const std::byte> bytes, std::vector<PermissionEvent>& batch) {
  return ForEachEvent(bytes, [&batch](const fanotify_event_metadata& metadata, auto) {
    PermissionEvent& event = batch.emplace_back();
    event.mask = metadata.mask;
    event.tid = metadata.pid;
    if (metadata.fd >= 0) {
      event.fd.reset(metadata.fd);
      event.raw_fd = metadata.fd;
      return;
    }
    event.open_error = -std::max(metadata.fd, -kMaxErrno);
  });
}

std::span<const std::byte> FilledPart(std::span<const std::byte> buffer) {
  size_t filled = 0;
  while (filled + FAN_EVENT_METADATA_LEN <= buffer.size()) {
    fanotify_event_metadata metadata{};
    std::memcpy(&metadata, buffer.data() + filled, sizeof(metadata));
    if (metadata.event_len == 0) break;
    filled += std::min<size_t>(metadata.event_len, buffer.size() - filled);
  }
  return buffer.first(filled);
}

bool ParseNotificationEvents(std::span<const std::byte> bytes,
                             std::vector<NotificationEvent>& events) {
  return ForEachEvent(bytes, [&events](const fanotify_event_metadata& metadata, auto whole) {
    NotificationEvent& event = events.emplace_back();
    event.mask = metadata.mask;
    event.pid = metadata.pid;
    event.overflow = (metadata.mask & FAN_Q_OVERFLOW) != 0;
    if (event.overflow) CountFailure(Failure::kQueueOverflow);
    if (metadata.fd >= 0) ::close(metadata.fd);
    ParseRecords(whole.subspan(metadata.metadata_len), event);
  });
}

}  // namespace fileward
