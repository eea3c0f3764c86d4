// The root directory of a workload: everything that coverage opens of it is opened below this.
//
// Owns an fd of the root and, of a container, a pidfd of its init and its mount table. A path is
// absolute, as the workload writes it, and never leads out: without links (OpenDirectory, OpenPath)
// or with links resolved inside the root (Follow, OpenFile). Root fd and mount table pin the
// container's mounts, so Close must be called as soon as the init ends: from then on every open
// fails with ESRCH. No mount of a container is entered on which a look-up may wait for a process or
// a server (EXDEV): each step from mount to mount is taken with an O_PATH descriptor, which asks
// nobody, and looked at before the next. The coverage thread owns it.
#ifndef FILEWARD_COVERAGE_WORKLOAD_ROOT_H_
#define FILEWARD_COVERAGE_WORKLOAD_ROOT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/coverage/file_status.h"
#include "native/decision/object_table.h"

namespace fileward {

class RootDirectory {
 public:
  // "/" as this process sees it.
  static std::unique_ptr<RootDirectory> OfHost();
  // Of the process that had this pid and start time (in clock ticks since boot, as
  // /proc/<pid>/stat has it); ESRCH when there is none any more, EAGAIN while it has no root of its
  // own: the runtime has not made it yet, or the container shares the host's; EXDEV when the root
  // itself may keep us waiting.
  static Result<std::unique_ptr<RootDirectory>> OfProcess(int32_t pid, uint64_t start_ticks);

  // -1 after Close.
  int fd() const { return root_.get(); }
  // Readable when the init has ended; -1 of the host.
  int pidfd() const { return pidfd_.get(); }
  // A new descriptor of its mount table, for MountPoints.
  UniqueFd OpenMountTable() const;
  int32_t pid() const { return pid_; }  // 0: the host
  bool is_host() const { return pid_ == 0; }
  // For the decision thread.
  const WorkloadRoot& where() const { return where_; }

  bool Ended() const;
  void Close();

  // A directory for reading. `path` has no links on its way.
  UniqueFd OpenDirectory(const std::string& path) const;
  // O_PATH, of anything, a link at the end included. `path` has no links on its way.
  UniqueFd OpenPath(const std::string& path) const;
  // O_PATH, through all links.
  UniqueFd Follow(const std::string& path) const;
  // A regular file or a directory for reading, through all links; nothing else is ever opened.
  UniqueFd OpenFile(const std::string& path) const;
  UniqueFd OpenDirectoryFollowing(const std::string& path) const;
  // What the path leads to.
  std::optional<FileStatus> StatusFollowing(const std::string& path) const;

  // One entry of a directory that was opened here; a link itself.
  UniqueFd FindAt(int dirfd, const std::string& name) const;
  UniqueFd OpenDirectoryAt(int dirfd, const std::string& name) const;
  std::optional<FileStatus> StatusAt(int dirfd, const std::string& name) const;

  // Where an fd of ours is below this root; empty when it has no name or none in here.
  std::string PathOf(int fd) const;

 private:
  RootDirectory() = default;
  UniqueFd Open(const std::string& path, uint64_t flags, uint64_t resolve) const;
  UniqueFd FindAcross(const std::string& path, bool follows) const;

  UniqueFd root_;
  UniqueFd pidfd_;
  int32_t pid_ = 0;
  WorkloadRoot where_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_WORKLOAD_ROOT_H_
