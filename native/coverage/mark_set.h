// Places and takes back the marks of both groups, and counts them against `limits.marks`.
//
// Contract: what is placed is remembered in the Directory or CoveredObject itself, so that adding
// twice costs nothing. A mark is placed before what it guards is looked at. The coverage thread
// owns it; counts() may be read anywhere.
#ifndef FILEWARD_COVERAGE_MARK_SET_H_
#define FILEWARD_COVERAGE_MARK_SET_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "native/base/failure.h"
#include "native/base/result.h"
#include "native/coverage/directory_table.h"

namespace fileward {

class NotificationGroup;
class PermissionGroup;

struct MarkFailure {
  Failure reason;
  std::string detail;
};

class MarkSet {
 public:
  // Null groups: nothing is marked, as for `fileward check`.
  MarkSet(PermissionGroup* permission, NotificationGroup* notification)
      : permission_(permission), notification_(notification) {}

  void SetLimit(uint64_t limit) { limit_ = limit; }

  // Adds the directory's wanted masks to what is placed; `fd` is the directory.
  std::optional<MarkFailure> CoverDirectory(Directory& directory, int fd);
  // Takes back what is placed beyond the wanted masks.
  void TrimDirectory(Directory& directory, int fd);
  // The directory leaves the table: its marks no longer count (`fd` -1: it can't be reached any
  // more).
  void ForgetDirectory(Directory& directory, int fd);

  // Marks of one file; `fd` is it (O_PATH is enough). A zero mask takes that mark back.
  std::optional<MarkFailure> SetFile(CoveredObject& object, int fd, uint64_t permission_mask,
                                     uint64_t notification_mask);
  // The object leaves the table (fd -1: its last name is gone, and the kernel takes its marks with
  // it).
  void ForgetFile(CoveredObject& object, int fd);
  // Whether files may still get marks that only close gaps: half of the limit is kept for
  // directories.
  bool HasRoomForFiles() const;

  uint64_t permission_count() const { return permission_count_.load(std::memory_order_relaxed); }
  uint64_t notification_count() const {
    return notification_count_.load(std::memory_order_relaxed);
  }

 private:
  bool AtLimit() const { return permission_count() + notification_count() >= limit_; }

  PermissionGroup* permission_;
  NotificationGroup* notification_;
  uint64_t limit_ = UINT64_MAX;
  // Written by the coverage thread, read by stats(): relaxed.
  std::atomic<uint64_t> permission_count_{0};
  std::atomic<uint64_t> notification_count_{0};
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_MARK_SET_H_
