// What one read of a group gave, as events. Pure but for the descriptors: each that the bytes name
// is owned by an event or closed when this returns. For fanotify_group.cc, notification_group.cc
// and the fuzzers, which is why hostile bytes are an answer here and no assumption.
#ifndef FILEWARD_KERNEL_FANOTIFY_EVENTS_H_
#define FILEWARD_KERNEL_FANOTIFY_EVENTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "native/kernel/fanotify_group.h"

namespace fileward {

// Appends the events; false at the first that can't be read, with those before it appended.
bool ParsePermissionEvents(std::span<const std::byte> bytes, std::vector<PermissionEvent>& batch);

// What a read has filled of a buffer that was all zeros.
std::span<const std::byte> FilledPart(std::span<const std::byte> buffer);

// The same as of permission events. A record of an event that can't be read counts as
// event_malformed and leaves its event with what came before it.
bool ParseNotificationEvents(std::span<const std::byte> bytes,
                             std::vector<NotificationEvent>& events);

// fsid (8 bytes), handle type (4), handle.
std::string MakeHandleKey(const void* fsid, int32_t handle_type, std::span<const std::byte> handle);

}  // namespace fileward

#endif  // FILEWARD_KERNEL_FANOTIFY_EVENTS_H_
