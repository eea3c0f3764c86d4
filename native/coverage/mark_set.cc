#include "native/coverage/mark_set.h"

#include <cerrno>

#include "native/kernel/fanotify_group.h"

namespace fileward {
namespace {

// One of the two groups and the words for it, so that both are marked by the same code.
template <typename Group>
struct Target {
  Group* group;
  std::atomic<uint64_t>& count;
};

void Add(std::atomic<uint64_t>& count, int64_t by) {
  count.store(count.load(std::memory_order_relaxed) + static_cast<uint64_t>(by),
              std::memory_order_relaxed);
}

std::string SelfPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

MarkFailure Failed(const Error& error) {
  // ENOSPC: fs.fanotify.max_user_marks, where FAN_UNLIMITED_MARKS was refused.
  const Failure reason = error.error_number == ENOSPC ? Failure::kMarkLimit : Failure::kMarkFailed;
  CountFailure(reason);
  return {reason, error.Message()};
}

template <typename Group>
std::optional<MarkFailure> Cover(Target<Group> target, int fd, uint64_t wanted, uint64_t& placed,
                                 bool at_limit) {
  const uint64_t missing = wanted & ~placed;
  if (missing == 0) return std::nullopt;
  if (placed == 0 && at_limit) {
    CountFailure(Failure::kMarkLimit);
    return MarkFailure{Failure::kMarkLimit, "limits.marks"};
  }
  if (target.group != nullptr) {
    const auto marked = target.group->MarkDirectory(fd, ".", missing);
    if (!marked.ok()) return Failed(marked.error());
  }
  if (placed == 0) Add(target.count, 1);
  placed |= wanted;
  return std::nullopt;
}

template <typename Group>
void Trim(Target<Group> target, int fd, uint64_t wanted, uint64_t& placed) {
  const uint64_t surplus = placed & ~wanted;
  if (surplus == 0) return;
  if (target.group != nullptr && fd >= 0) {
    // The flags stay on the mark while any event does.
    (void)target.group->Unmark(fd, ".", surplus);
  }
  placed &= wanted;
  if (placed == 0) Add(target.count, -1);
}

template <typename Group>
std::optional<MarkFailure> SetFileMark(Target<Group> target, int fd, uint64_t wanted,
                                       uint64_t& placed) {
  const uint64_t missing = wanted & ~placed;
  const uint64_t surplus = placed & ~wanted;
  if (missing != 0 && target.group != nullptr) {
    const auto marked = target.group->MarkFile(AT_FDCWD, SelfPath(fd).c_str(), missing);
    if (!marked.ok()) return Failed(marked.error());
  }
  if (surplus != 0 && target.group != nullptr) {
    (void)target.group->Unmark(AT_FDCWD, SelfPath(fd).c_str(), surplus);
  }
  if (placed == 0 && wanted != 0) Add(target.count, 1);
  if (placed != 0 && wanted == 0) Add(target.count, -1);
  placed = wanted;
  return std::nullopt;
}

}  // namespace

std::optional<MarkFailure> MarkSet::CoverDirectory(Directory& directory, int fd) {
  auto failed = Cover(Target<NotificationGroup>{notification_, notification_count_}, fd,
                      directory.wanted_notification_mask, directory.notification_mask, AtLimit());
  auto refused = Cover(Target<PermissionGroup>{permission_, permission_count_}, fd,
                       directory.wanted_permission_mask, directory.permission_mask, AtLimit());
  return refused ? refused : failed;
}

void MarkSet::TrimDirectory(Directory& directory, int fd) {
  Trim(Target<NotificationGroup>{notification_, notification_count_}, fd,
       directory.wanted_notification_mask, directory.notification_mask);
  Trim(Target<PermissionGroup>{permission_, permission_count_}, fd,
       directory.wanted_permission_mask, directory.permission_mask);
}

void MarkSet::ForgetDirectory(Directory& directory, int fd) {
  directory.wanted_notification_mask = 0;
  directory.wanted_permission_mask = 0;
  TrimDirectory(directory, fd);
}

std::optional<MarkFailure> MarkSet::SetFile(CoveredObject& object, int fd, uint64_t permission_mask,
                                            uint64_t notification_mask) {
  const uint64_t more = (permission_mask != 0 && object.permission_mask == 0 ? 1U : 0U) +
                        (notification_mask != 0 && object.notification_mask == 0 ? 1U : 0U);
  if (more != 0 && AtLimit()) {
    CountFailure(Failure::kMarkLimit);
    return MarkFailure{Failure::kMarkLimit, "limits.marks"};
  }
  auto failed = SetFileMark(Target<PermissionGroup>{permission_, permission_count_}, fd,
                            permission_mask, object.permission_mask);
  auto refused = SetFileMark(Target<NotificationGroup>{notification_, notification_count_}, fd,
                             notification_mask, object.notification_mask);
  return failed ? failed : refused;
}

void MarkSet::ForgetFile(CoveredObject& object, int fd) {
  if (fd >= 0) {
    (void)SetFile(object, fd, 0, 0);
    return;
  }
  if (object.permission_mask != 0) Add(permission_count_, -1);
  if (object.notification_mask != 0) Add(notification_count_, -1);
  object.permission_mask = 0;
  object.notification_mask = 0;
}

bool MarkSet::HasRoomForFiles() const {
  return (permission_count() + notification_count()) * 2 < limit_;
}

}  // namespace fileward
