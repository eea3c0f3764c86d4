#include "native/coverage/mark_set.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "native/kernel/fanotify_group.h"

namespace fileward {
namespace {

constexpr uint64_t kAccess = FAN_PRE_ACCESS;
constexpr uint64_t kScriptMask = FAN_OPEN_EXEC_PERM;
constexpr uint64_t kHashedMask = FAN_MODIFY | FAN_CLOSE_WRITE;
constexpr uint64_t kDirectoryFlags = FAN_EVENT_ON_CHILD | FAN_ONDIR;

// One of the two groups with what is remembered of a mark in it, so that both are marked by the
// same code.
template <typename Group>
struct Target {
  Group* group;
  std::atomic<uint64_t>& count;
  uint64_t elsewhere;  // bits that other tables have on the inode
  uint64_t kept = 0;   // and bits that stay for another reason
};

bool IsMountRoot(int fd) {
  struct statx status {};
  return ::statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &status) == 0 &&
         (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

void Add(std::atomic<uint64_t>& count, int64_t by) {
  count.store(count.load(std::memory_order_relaxed) + static_cast<uint64_t>(by),
              std::memory_order_relaxed);
}

MarkFailure Failed(const Error& error) {
  // ENOSPC: fs.fanotify.max_user_marks, where FAN_UNLIMITED_MARKS was refused.
  const Failure reason = error.error_number == ENOSPC ? Failure::kMarkLimit : Failure::kMarkFailed;
  CountFailure(reason);
  return {reason, error.Message(), error.error_number};
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
  if (placed == 0 && target.elsewhere == 0) Add(target.count, 1);
  placed |= wanted;
  return std::nullopt;
}

template <typename Group>
void Trim(Target<Group> target, int fd, uint64_t wanted, uint64_t& placed) {
  const uint64_t surplus = placed & ~wanted;
  if (surplus == 0) return;
  uint64_t unneeded = surplus & ~target.elsewhere;
  placed &= wanted;
  if (target.group != nullptr && fd >= 0 && unneeded != 0) {
    // A directory's mark that has its flags left is not dropped by the kernel.
    if (placed == 0 && target.elsewhere == 0) unneeded |= kDirectoryFlags;
    (void)target.group->Unmark(fd, ".", unneeded);
  }
  if (placed == 0 && target.elsewhere == 0) Add(target.count, -1);
}

template <typename Group>
std::optional<MarkFailure> SetFileMark(Target<Group> target, int fd, uint64_t wanted,
                                       uint64_t& placed) {
  const uint64_t missing = wanted & ~placed;
  const uint64_t surplus = placed & ~wanted & ~target.elsewhere & ~target.kept;
  if (missing != 0 && target.group != nullptr) {
    const auto marked = target.group->MarkFile(AT_FDCWD, SelfPath(fd).c_str(), missing);
    if (!marked.ok()) return Failed(marked.error());
  }
  if (surplus != 0 && target.group != nullptr) {
    (void)target.group->Unmark(AT_FDCWD, SelfPath(fd).c_str(), surplus);
  }
  if (placed == 0 && wanted != 0 && target.elsewhere == 0) Add(target.count, 1);
  if (placed != 0 && wanted == 0 && target.elsewhere == 0) Add(target.count, -1);
  placed = wanted;
  return std::nullopt;
}

}  // namespace

MarkSet::Masks MarkSet::Elsewhere(const Directory& directory) const {
  Masks masks;
  if (!is_shared()) return masks;
  for (DirectoryTable* table : tables_) {
    const Directory* other = table->FindByKey(directory.key);
    // Overlays of one image may have equal keys.
    if (other == nullptr || other == &directory || !(other->identity == directory.identity))
      continue;
    masks.permission |= other->permission_mask;
    masks.notification |= other->notification_mask;
  }
  return masks;
}

MarkSet::Masks MarkSet::Elsewhere(const FileIdentity& file, const CoveredObject* but) const {
  Masks masks;
  for (DirectoryTable* table : tables_) {
    const CoveredObject* other = table->FindObject(file);
    if (other == nullptr || other == but) continue;
    masks.permission |= other->permission_mask;
    masks.notification |= other->notification_mask;
  }
  return masks;
}

MarkSet::Masks MarkSet::OfApps(const FileIdentity& file) const {
  const auto found = apps_.find(file);
  if (found == apps_.end()) return {};
  const auto& [scripts, hashed] = found->second;
  return {scripts > 0 ? kScriptMask : 0, hashed > 0 ? kHashedMask : 0};
}

std::optional<MarkFailure> MarkSet::CoverDirectory(Directory& directory, int fd, For whom) {
  const Masks elsewhere = Elsewhere(directory);
  auto failed =
      Cover(Target<NotificationGroup>{notification_, notification_count_, elsewhere.notification},
            fd, directory.wanted_notification_mask, directory.notification_mask, AtLimit(whom));
  auto refused =
      Cover(Target<PermissionGroup>{permission_, permission_count_, elsewhere.permission}, fd,
            directory.wanted_permission_mask & ~kAccess, directory.permission_mask, AtLimit(whom));
  if (!refused) refused = CoverAccess(directory, fd);
  if (failed) WatchInstead(directory, fd, *failed);
  return refused ? refused : failed;
}

// No file handles (EOPNOTSUPP), no filesystem number (ENODEV) or one of several (EXDEV).
void MarkSet::WatchInstead(Directory& directory, int fd, MarkFailure& failure) {
  const int error = failure.error_number;
  if (error != EOPNOTSUPP && error != ENODEV && error != EXDEV) return;
  if (watches_.Watch(directory, fd))
    failure.detail += ": changes there are found by looking again, without who made them";
}

std::optional<MarkFailure> MarkSet::CoverAccess(Directory& directory, int fd) {
  if ((directory.wanted_permission_mask & ~directory.permission_mask & kAccess) == 0)
    return std::nullopt;
  PermissionGroup* const group = permission_ != nullptr ? permission_ : probe_;
  if (group != nullptr) {
    if (!group->gates_access())
      return MarkFailure{Failure::kStrictUnavailable, "this kernel asks only before opens"};
    const auto marked =
        permission_ != nullptr ? group->MarkDirectory(fd, ".", kAccess) : group->ProbeAccess(fd);
    const int error = marked.ok() ? 0 : marked.error().error_number;
    if (error == EOPNOTSUPP || (error == EINVAL && permission_ == nullptr))
      return MarkFailure{Failure::kStrictUnavailable, "this filesystem asks only before opens"};
    if (!marked.ok()) return Failed(marked.error());
  }
  directory.permission_mask |= kAccess;
  return std::nullopt;
}

void MarkSet::CoverVolume(Directory& directory, int fd) {
  const uint64_t missing = directory.permission_mask & ~directory.mount_mask;
  if (missing == 0 || permission_ == nullptr || !IsMountRoot(fd)) return;
  // Without it there is the moment that every new folder has.
  if (permission_->MarkMount(fd, missing).ok()) directory.mount_mask |= missing;
}

void MarkSet::TrimDirectory(Directory& directory, int fd) {
  const uint64_t surplus = directory.mount_mask & ~directory.wanted_permission_mask;
  if (surplus != 0 && fd >= 0) (void)permission_->UnmarkMount(fd, surplus);
  directory.mount_mask &= directory.wanted_permission_mask;
  if (directory.wanted_notification_mask == 0) watches_.Unwatch(directory);
  const Masks elsewhere = Elsewhere(directory);
  Trim(Target<NotificationGroup>{notification_, notification_count_, elsewhere.notification}, fd,
       directory.wanted_notification_mask, directory.notification_mask);
  Trim(Target<PermissionGroup>{permission_, permission_count_, elsewhere.permission}, fd,
       directory.wanted_permission_mask, directory.permission_mask);
}

void MarkSet::ForgetDirectory(Directory& directory, int fd) {
  directory.wanted_notification_mask = 0;
  directory.wanted_permission_mask = 0;
  TrimDirectory(directory, fd);
}

std::optional<MarkFailure> MarkSet::SetFile(CoveredObject& object, int fd, uint64_t permission_mask,
                                            uint64_t notification_mask, For whom) {
  const uint64_t more = (permission_mask != 0 && object.permission_mask == 0 ? 1U : 0U) +
                        (notification_mask != 0 && object.notification_mask == 0 ? 1U : 0U);
  if (more != 0 && AtLimit(whom)) {
    CountFailure(Failure::kMarkLimit);
    return MarkFailure{Failure::kMarkLimit, "limits.marks"};
  }
  // Tried by itself: the opens are judged all the same where there is none. Its directory tells.
  if (permission_ != nullptr && (permission_mask & ~object.permission_mask & kAccess) != 0 &&
      !permission_->MarkFile(AT_FDCWD, SelfPath(fd).c_str(), kAccess).ok())
    permission_mask &= ~kAccess;
  const Masks elsewhere = Elsewhere(object.status.identity, &object);
  const Masks kept = OfApps(object.status.identity);
  auto failed = SetFileMark(Target<PermissionGroup>{permission_, permission_count_,
                                                    elsewhere.permission, kept.permission},
                            fd, permission_mask, object.permission_mask);
  auto refused = SetFileMark(Target<NotificationGroup>{notification_, notification_count_,
                                                       elsewhere.notification, kept.notification},
                             fd, notification_mask, object.notification_mask);
  return failed ? failed : refused;
}

void MarkSet::ForgetFile(CoveredObject& object, int fd) {
  if (fd >= 0) {
    (void)SetFile(object, fd, 0, 0, For::kHost);
    return;
  }
  const Masks elsewhere = Elsewhere(object.status.identity, &object);
  if (object.permission_mask != 0 && elsewhere.permission == 0) Add(permission_count_, -1);
  if (object.notification_mask != 0 && elsewhere.notification == 0) Add(notification_count_, -1);
  object.permission_mask = 0;
  object.notification_mask = 0;
}

void MarkSet::TakeBack(const FileIdentity& file, int fd, uint64_t permission_mask,
                       uint64_t notification_mask) {
  const Masks others = Elsewhere(file, nullptr);
  const Masks apps = OfApps(file);
  permission_mask &= ~(others.permission | apps.permission);
  notification_mask &= ~(others.notification | apps.notification);
  const std::string path = SelfPath(fd);
  if (permission_mask != 0 && permission_ != nullptr)
    (void)permission_->Unmark(AT_FDCWD, path.c_str(), permission_mask);
  if (notification_mask != 0 && notification_ != nullptr)
    (void)notification_->Unmark(AT_FDCWD, path.c_str(), notification_mask);
}

void MarkSet::MarkApp(const FileIdentity& identity, int fd, AppMark what) {
  ++apps_[identity][static_cast<size_t>(what)];
  if (what == AppMark::kScript && permission_ != nullptr)
    (void)permission_->MarkFile(AT_FDCWD, SelfPath(fd).c_str(), kScriptMask);
  if (what == AppMark::kHashed && notification_ != nullptr)
    (void)notification_->MarkFile(AT_FDCWD, SelfPath(fd).c_str(), kHashedMask);
}

void MarkSet::UnmarkApp(const FileIdentity& identity, int fd, AppMark what) {
  uint32_t& holders = apps_[identity][static_cast<size_t>(what)];
  if (holders > 0) --holders;
  // No holder is left among the apps: TakeBack leaves what other tables have.
  if (holders == 0 && fd >= 0)
    TakeBack(identity, fd, what == AppMark::kScript ? kScriptMask : 0,
             what == AppMark::kHashed ? kHashedMask : 0);
  if (apps_[identity] == std::array<uint32_t, 2>{}) apps_.erase(identity);
}

bool MarkSet::HasRoomForFiles() const {
  return (permission_count() + notification_count()) * 2 < limit_;
}

}  // namespace fileward
