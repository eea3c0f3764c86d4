// The two fanotify groups. Each class owns its group fd (CLOEXEC, non-blocking) and nothing else;
// events carry the fds that the kernel opened for them.
//
// Closing a group lets every waiting opener through, but not while another thread sits in read or
// poll on it: wake and join the readers first. Neither class may be used across a fork.
//
// PermissionGroup: one thread reads; marks and answers may come from any thread (the kernel locks).
// An answer is matched by fd number: never close an event's fd before answering it.
// Paths of marks may be "/proc/self/fd/N" of an O_PATH fd: nothing is opened, so no mark of ours
// can stall us. A final symlink is followed (that link is one): to mark what you looked at, name it
// by its O_PATH fd.
#ifndef FILEWARD_KERNEL_FANOTIFY_GROUP_H_
#define FILEWARD_KERNEL_FANOTIFY_GROUP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/kernel/fanotify_abi.h"
#include "native/kernel/features.h"

namespace fileward {

struct PermissionEvent {
  UniqueFd fd;         // of the file that is being opened; pread, statx and readlink of it are safe
  int raw_fd = -1;     // what Response wants; outlives a moved-away `fd`
  int open_error = 0;  // errno when the kernel could not open the file: it denied already, there is
                       // no answer to give
  uint64_t mask = 0;   // FAN_OPEN_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS
  int32_t tid =
      0;  // the opener's thread, parked (or about to be); 0 when it is not in our pid namespace
};

struct Response {
  int fd = -1;  // PermissionEvent::raw_fd
  bool allow = false;
};

class PermissionGroup {
 public:
  static constexpr size_t kBufferBytes = 64 * 1024;

  static Result<PermissionGroup> Open(const KernelFeatures& features);
  // Another process' group, to be read and answered.
  static PermissionGroup Adopt(UniqueFd group);

  int fd() const { return group_.get(); }
  // Reads into this memory, kBufferBytes of zeros, from now on; it must outlive the object. Where
  // it is cleared before each read it holds what the read gave, zeros behind it.
  void UseBuffer(std::span<std::byte> buffer) { buffer_ = buffer; }
  void ClearBuffer();
  // Whether it may ask for FAN_PRE_ACCESS; which filesystems have it shows when marking
  // (EOPNOTSUPP).
  bool gates_access() const { return gates_access_; }

  // Appends at most `max` events, two where that is one (an event of FAN_PRE_ACCESS takes the room
  // of two); 0 when there is none now. Nothing is allocated when `batch` has the capacity. Fewer
  // than `max` are read when file descriptors run short, none when they have run out: CanRead.
  Result<size_t> Read(std::vector<PermissionEvent>& batch, size_t max);
  static bool CanRead();
  // How many events wait to be read.
  size_t Queued() const;

  // Answers all with one writev and goes on behind one that the kernel refuses. Refused ones are
  // counted; an opener that died meanwhile is no failure.
  void Answer(std::span<const Response> responses);

  // `mask` of FAN_OPEN_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS for the files directly in the
  // directory (EVENT_ON_CHILD is added). Bits are added to those the mark has. Adding what is there
  // already is fine; so is removing what is not. A failure is the caller's to count: what it tried
  // to mark may just have been deleted.
  Result<void> MarkDirectory(int dirfd, const char* path, uint64_t mask);
  Result<void> MarkFile(int dirfd, const char* path, uint64_t mask);
  // Takes bits off a mark of either kind; the mark goes with its last one.
  Result<void> Unmark(int dirfd, const char* path, uint64_t mask);
  // The same for all files that are opened through the mount of this directory, also those in
  // directories that have no mark yet.
  Result<void> MarkMount(int directory, uint64_t mask);
  Result<void> UnmarkMount(int directory, uint64_t mask);
  // The same for all files of the filesystem, through whichever mount.
  Result<void> MarkFilesystem(int directory, uint64_t mask);
  Result<void> UnmarkFilesystem(int directory, uint64_t mask);

  // Whether the filesystem of this directory has FAN_PRE_ACCESS: EOPNOTSUPP. Marks nothing that
  // anybody could notice.
  Result<void> ProbeAccess(int directory);

  // Mutes a file in a marked directory, for every process, until Unignore or, where the kernel can,
  // until its inode leaves the cache. Its own mark (MarkFile) and this exclude each other.
  Result<void> IgnoreFile(int dirfd, const char* path, uint64_t mask);
  Result<void> UnignoreFile(int dirfd, const char* path, uint64_t mask);

 private:
  explicit PermissionGroup(UniqueFd group);
  void AnswerOne(const fanotify_response& answer);

  UniqueFd group_;
  unsigned ignore_flags_ = 0;
  unsigned evictable_flag_ = 0;
  bool gates_access_ = false;
  std::unique_ptr<std::byte[]> own_buffer_;
  std::span<std::byte> buffer_;
  size_t used_bytes_ = 0;  // of buffer_
};

// One thing that changed, by handle and name. A handle key is fsid (8 bytes), handle type (4),
// handle: see HandleKey.
struct NotificationEvent {
  struct Name {
    std::string directory_handle;
    std::string name;  // ".": the marked directory itself; empty without names
  };
  uint64_t mask =
      0;  // FAN_CREATE, ... | FAN_ONDIR; events of one process on one object merge: several bits
  int32_t pid = 0;  // thread group; 0 when not in our pid namespace
  UniqueFd pidfd;   // none when the process was reaped already or the kernel gives none
  std::optional<Name> name;
  std::optional<Name>
      old_name;  // FAN_RENAME; one of the two is absent when only the other directory is marked
  std::optional<Name> new_name;
  std::string object_handle;  // of the object itself (FID record); empty when the kernel gives none
  bool overflow = false;      // everything since the previous event may be missing
};

class NotificationGroup {
 public:
  // The best rung of DFID_NAME_TARGET > DFID_NAME > DFID > FID that the features have. Without even
  // FID nothing can be marked (EOPNOTSUPP) and nothing comes: use inotify then.
  static Result<NotificationGroup> Open(const KernelFeatures& features);

  int fd() const { return group_.get(); }
  // Whether events carry names, and renames both names. Without names: a changed directory has to
  // be listed again.
  bool has_names() const { return has_names_; }
  bool has_rename() const { return has_rename_; }

  // Appends what one read gives; 0 when the queue was empty. An error counts as event_read_failed.
  Result<size_t> Read(std::vector<NotificationEvent>& events);
  // The last Read left the queue empty: what the next one finds happened after it began.
  bool drained() const { return drained_; }

  // EVENT_ON_CHILD is added, and ONDIR. FAN_RENAME is taken out of the mask when the kernel has
  // none (use MOVED_FROM and MOVED_TO besides then).
  Result<void> MarkDirectory(int dirfd, const char* path, uint64_t mask);
  Result<void> MarkFile(int dirfd, const char* path, uint64_t mask);
  Result<void> Unmark(int dirfd, const char* path, uint64_t mask);

 private:
  NotificationGroup(UniqueFd group, const KernelFeatures& features);
  uint64_t KnownBits(uint64_t mask) const;
  Result<void> Mark(unsigned flags, uint64_t mask, int dirfd, const char* path);

  UniqueFd group_;  // none without FID
  bool has_names_ = false;
  bool has_rename_ = false;
  bool drained_ = false;
  std::unique_ptr<std::byte[]> buffer_;
};

// The key that events carry for this object: (dirfd, name), a final symlink not followed; name ""
// is dirfd itself, which may be an O_PATH fd. Opens nothing that could be marked. Empty when the
// filesystem gives no handles.
std::string HandleKey(int dirfd, const char* name);

}  // namespace fileward

#endif  // FILEWARD_KERNEL_FANOTIFY_GROUP_H_
