// Places and takes back the marks of both groups, and counts them against `limits.marks`.
//
// Contract: what is placed is remembered in the Directory or CoveredObject itself, so that adding
// twice costs nothing. A mark is placed before what it guards is looked at. The kernel has one mark
// for an inode and group: where several tables have a directory or a file (a volume that containers
// share), it is counted once, and what one takes back stays as far as another has it. Containers
// leave the last quarter of the limit to the host: they may make directories without end. The
// coverage thread owns it; counts() may be read anywhere.
#ifndef FILEWARD_COVERAGE_MARK_SET_H_
#define FILEWARD_COVERAGE_MARK_SET_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "native/base/failure.h"
#include "native/base/result.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/filesystem_marks.h"
#include "native/coverage/folder_watches.h"

namespace fileward {

class NotificationGroup;
class PermissionGroup;

struct MarkFailure {
  Failure reason;
  std::string detail;
  int error_number = 0;  // of the kernel, if it refused
};

class MarkSet {
 public:
  // Null groups: nothing is marked, as for `fileward check`.
  MarkSet(PermissionGroup* permission, NotificationGroup* notification)
      : permission_(permission), notification_(notification), filesystems_(permission) {}
  // Without groups: says where marks for reads and writes could not be. `probe` must outlive this.
  explicit MarkSet(PermissionGroup* probe) : MarkSet(nullptr, nullptr) { probe_ = probe; }

  void SetLimit(uint64_t limit) { limit_ = limit; }

  // A table whose directories and files get their marks here, until Leave.
  void Join(DirectoryTable& table) { tables_.push_back(&table); }
  void Leave(DirectoryTable& table) { std::erase(tables_, &table); }
  // Whether files may be known by more than one table.
  bool is_shared() const { return tables_.size() > 1; }

  enum class For : uint8_t { kHost, kContainer };
  // Adds the directory's wanted masks to what is placed; `fd` is the directory.
  std::optional<MarkFailure> CoverDirectory(Directory& directory, int fd, For whom);
  // For the root of a volume that is written atomically: what is opened through its mount is judged
  // in each new folder at once, before that folder is walked.
  void CoverVolume(Directory& directory, int fd);
  // Takes back what is placed beyond the wanted masks.
  void TrimDirectory(Directory& directory, int fd);
  // The directory leaves the table: its marks no longer count (`fd` -1: it can't be reached any
  // more).
  void ForgetDirectory(Directory& directory, int fd);

  // Marks of one file; `fd` is it (O_PATH is enough). A zero mask takes that mark back.
  std::optional<MarkFailure> SetFile(CoveredObject& object, int fd, uint64_t permission_mask,
                                     uint64_t notification_mask, For whom);
  // The object leaves the table (fd -1: its last name is gone, and the kernel takes its marks with
  // it).
  void ForgetFile(CoveredObject& object, int fd);
  // The same of a file that has left the table before: takes back what nobody else has there.
  void TakeBack(const FileIdentity& file, int fd, uint64_t permission_mask,
                uint64_t notification_mask);

  // Marks of an app's file, which several workloads may have: to see it run as a script, or written
  // to. They don't count. `fd` -1: it can't be reached any more.
  enum class AppMark : uint8_t { kScript, kHashed };
  void MarkApp(const FileIdentity& identity, int fd, AppMark what);
  void UnmarkApp(const FileIdentity& identity, int fd, AppMark what);

  FilesystemMarks& filesystems() { return filesystems_; }
  FolderWatches& watches() { return watches_; }
  const FolderWatches& watches() const { return watches_; }

  // Whether files may still get marks that only close gaps: half of the limit is kept for
  // directories.
  bool HasRoomForFiles() const;

  uint64_t permission_count() const {
    return permission_count_.load(std::memory_order_relaxed) + filesystems_.count();
  }
  uint64_t notification_count() const {
    return notification_count_.load(std::memory_order_relaxed);
  }

 private:
  struct Masks {
    uint64_t permission = 0;
    uint64_t notification = 0;
  };
  // What the other tables have on the same inode.
  Masks Elsewhere(const Directory& directory) const;
  Masks Elsewhere(const FileIdentity& file, const CoveredObject* but) const;
  // Bits that apps need on a file.
  Masks OfApps(const FileIdentity& file) const;
  // Reads and writes of the directory's files. Not every filesystem has events for them.
  std::optional<MarkFailure> CoverAccess(Directory& directory, int fd);
  void WatchInstead(Directory& directory, int fd, MarkFailure& failure);
  bool AtLimit(For whom) const {
    const uint64_t kept = whom == For::kContainer ? limit_ / 4 : 0;
    return permission_count() + notification_count() >= limit_ - kept;
  }

  PermissionGroup* permission_;
  NotificationGroup* notification_;
  PermissionGroup* probe_ = nullptr;
  FilesystemMarks filesystems_;
  FolderWatches watches_;
  std::vector<DirectoryTable*> tables_;
  std::unordered_map<FileIdentity, std::array<uint32_t, 2>> apps_;  // holders, by AppMark
  uint64_t limit_ = UINT64_MAX;
  // Written by the coverage thread, read by stats(): relaxed.
  std::atomic<uint64_t> permission_count_{0};
  std::atomic<uint64_t> notification_count_{0};
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_MARK_SET_H_
