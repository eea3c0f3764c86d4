#include "native/coverage/workload_root.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <string_view>
#include <vector>

#include "native/coverage/file_handle.h"
#include "native/kernel/mount_table.h"
#include "native/kernel/process_files.h"
#include "native/kernel/root_file.h"

namespace fileward {
namespace {

// Below PATH_MAX (4096, terminator included): longer paths are opened piece by piece.
constexpr size_t kMaxAtOnce = 4000;
// A lookup with ".." inside a root is refused while anything is renamed or mounted anywhere.
constexpr int kLooks = 16;
constexpr int kMaxLinks = 40;  // MAXSYMLINKS of the kernel
// Those of the longest path, a few times: a container may make links only to keep us busy.
constexpr int kMaxSteps = 8192;

std::string ProcPath(int32_t pid, std::string_view name) {
  return "/proc/" + std::to_string(pid) + "/" + std::string(name);
}

std::optional<std::string> MountNamespaceOf(const std::string& process) {
  return LinkTargetAt(AT_FDCWD, ("/proc/" + process + "/ns/mnt").c_str());
}

std::deque<std::string> Names(std::string_view path) {
  std::deque<std::string> names;
  for (size_t start = 0; start < path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view name = path.substr(start, end - start);
    if (!name.empty() && name != ".") names.emplace_back(name);
    start = end + 1;
  }
  return names;
}

UniqueFd Reopen(const UniqueFd& found, uint64_t flags) {
  if (!found) return UniqueFd();
  return UniqueFd(open(SelfPath(found.get()).c_str(), static_cast<int>(flags) | O_CLOEXEC));
}

bool HasRootOf(const std::string& other, const FileStatus& root) {
  const UniqueFd fd(open(("/proc/" + other + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct statx found {};
  // Another container's may be one that doesn't answer.
  return fd && statx(fd.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &found) == 0 &&
         makedev(found.stx_dev_major, found.stx_dev_minor) == root.identity.dev &&
         found.stx_ino == root.identity.ino;
}

// Before its runtime has changed its root, a container has another's: ours, the machine's or its
// parent's (a runtime inside a container, then in a mount namespace of its own). To guard these for
// a container would guard the host's own files against the host.
bool HasOwnRoot(const FileStatus& root, const std::string& mounts, int32_t parent) {
  const std::string by = std::to_string(parent);
  return !HasRootOf("self", root) && !HasRootOf("1", root) &&
         !(HasRootOf(by, root) && MountNamespaceOf(by) != mounts);
}

// An overlay whose own top is the root: nothing else is on it.
bool IsOwnFilesystem(int root_fd, int32_t pid) {
  struct statfs found;
  if (fstatfs(root_fd, &found) != 0 ||
      static_cast<unsigned long>(found.f_type) != OVERLAYFS_SUPER_MAGIC)
    return false;
  const auto mounts = ReadMountTable(std::to_string(pid));
  return mounts.ok() && std::any_of(mounts->begin(), mounts->end(), [](const MountEntry& mount) {
           return mount.root == "/" && mount.point == "/";
         });
}

}  // namespace

std::unique_ptr<RootDirectory> RootDirectory::OfHost() {
  std::unique_ptr<RootDirectory> root(new RootDirectory());
  root->root_ = ::fileward::OpenDirectoryAt(AT_FDCWD, "/");
  if (const auto status = FileStatusOf(root->root_.get())) root->where_.dev = status->identity.dev;
  return root;
}

Result<std::unique_ptr<RootDirectory>> RootDirectory::OfProcess(int32_t pid, uint64_t start_ticks) {
  std::unique_ptr<RootDirectory> root(new RootDirectory());
  root->pid_ = pid;
  auto opened = OpenProcessRoot(pid, start_ticks);
  if (!opened.ok()) return opened.error();
  root->pidfd_ = std::move(opened->pidfd);
  root->root_ = std::move(opened->root);
  if (MayHang(root->root_.get(), pid)) return Error{EXDEV, "", ""};
  const auto status = FileStatusOf(root->root_.get());
  const auto mounts = MountNamespaceOf(std::to_string(pid));
  const auto process = StatusOf(pid);
  if (root->Ended() || !process) return Error{ESRCH, "", ""};
  if (!status || !mounts) return ErrnoError("statx", ProcPath(pid, "root"));
  if (!HasOwnRoot(*status, *mounts, process->ppid)) return Error{EAGAIN, "", ""};
  root->where_.dev = status->identity.dev;
  root->where_.own_filesystem = IsOwnFilesystem(root->root_.get(), pid);
  if (mounts == MountNamespaceOf("self")) {
    const std::string path = PathOfFd(root->root_.get());
    if (path != "/") root->where_.prefix = path;
  }
  return root;
}

UniqueFd RootDirectory::OpenMountTable() const {
  const std::string path = is_host() ? "/proc/self/mountinfo" : ProcPath(pid_, "mountinfo");
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // Of another process by now?
  return Ended() ? UniqueFd() : std::move(fd);
}

bool RootDirectory::Ended() const {
  if (!pidfd_) return !is_host();
  pollfd polled = {pidfd_.get(), POLLIN, 0};
  return poll(&polled, 1, 0) > 0;
}

void RootDirectory::Close() {
  root_.reset();
  pidfd_.reset();
}

UniqueFd RootDirectory::Open(const std::string& path, uint64_t flags, uint64_t resolve) const {
  if (!root_) {
    errno = ESRCH;
    return UniqueFd();
  }
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  if (!is_host()) how.resolve |= RESOLVE_NO_XDEV;
  UniqueFd fd;
  for (int look = 0; look < kLooks; ++look) {
    fd.reset(static_cast<int>(syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof(how))));
    if (fd || errno != EAGAIN) break;
  }
  if (fd || errno != EXDEV || is_host()) return fd;
  UniqueFd found = FindAcross(path, (resolve & RESOLVE_NO_SYMLINKS) == 0);
  return (flags & O_PATH) != 0 ? std::move(found) : Reopen(found, flags);
}

// Entry by entry, as the kernel does it.
UniqueFd RootDirectory::FindAcross(const std::string& path, bool follows) const {
  std::deque<std::string> pending = Names(path);
  std::vector<std::string> way;  // to `at`, without links
  UniqueFd at = FindAt(root_.get(), ".");
  const auto start_again = [&] {
    pending.insert(pending.begin(), way.begin(), way.end());
    way.clear();
    at = FindAt(root_.get(), ".");
  };
  int links = 0;
  for (int step = 0; at && !pending.empty(); ++step) {
    const std::string name = pending.front();
    pending.pop_front();
    if (name == "..") {
      if (!way.empty()) way.pop_back();
      start_again();
      continue;
    }
    UniqueFd next = FindAt(at.get(), name);
    const auto status = next ? FileStatusOf(next.get()) : std::nullopt;
    if (!status || !status->IsSymlink()) {
      at = std::move(next);
      way.push_back(name);
      continue;
    }
    const auto target =
        follows && ++links <= kMaxLinks ? LinkTargetAt(next.get(), "") : std::nullopt;
    if (!target || step >= kMaxSteps) {
      errno = ELOOP;
      return UniqueFd();
    }
    const std::deque<std::string> names = Names(*target);
    pending.insert(pending.begin(), names.begin(), names.end());
    if (target->starts_with('/')) {
      way.clear();
      start_again();
    }
  }
  return at;
}

UniqueFd RootDirectory::FindAt(int dirfd, const std::string& name) const {
  if (is_host()) return UniqueFd(openat(dirfd, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  return FindEntry(dirfd, pid_, name.c_str());
}

UniqueFd RootDirectory::OpenDirectoryAt(int dirfd, const std::string& name) const {
  if (is_host()) return ::fileward::OpenDirectoryAt(dirfd, name.c_str());
  constexpr uint64_t kFlags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
  const UniqueFd found = FindAt(dirfd, name);
  UniqueFd fd = Reopen(found, kFlags | O_NOATIME);
  if (!fd && errno == EPERM) fd = Reopen(found, kFlags);
  return fd;
}

std::optional<FileStatus> RootDirectory::StatusAt(int dirfd, const std::string& name) const {
  if (is_host()) return ::fileward::StatusAt(dirfd, name.c_str());
  const UniqueFd found = FindAt(dirfd, name);
  return found ? FileStatusOf(found.get()) : std::nullopt;
}

UniqueFd RootDirectory::OpenDirectory(const std::string& path) const {
  constexpr uint64_t kFlags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
  const std::string first = path.size() < kMaxAtOnce
                                ? path
                                : path.substr(0, std::max<size_t>(path.rfind('/', kMaxAtOnce), 1));
  UniqueFd fd = Open(first, kFlags | O_NOATIME, RESOLVE_NO_SYMLINKS);
  if (!fd && errno == EPERM) fd = Open(first, kFlags, RESOLVE_NO_SYMLINKS);
  for (size_t start = first.size() + 1; fd && start < path.size();) {
    size_t end = path.size();
    if (end - start >= kMaxAtOnce) end = path.rfind('/', start + kMaxAtOnce - 1);
    fd = OpenDirectoryAt(fd.get(), path.substr(start, end - start));
    start = end + 1;
  }
  return fd;
}

UniqueFd RootDirectory::OpenPath(const std::string& path) const {
  const size_t slash = path.rfind('/');
  const UniqueFd directory = OpenDirectory(slash == 0 ? "/" : path.substr(0, slash));
  if (!directory) return UniqueFd();
  return FindAt(directory.get(), path.substr(slash + 1));
}

UniqueFd RootDirectory::Follow(const std::string& path) const { return Open(path, O_PATH, 0); }

UniqueFd RootDirectory::OpenFile(const std::string& path) const {
  const UniqueFd found = Follow(path);
  const auto status = found ? FileStatusOf(found.get()) : std::nullopt;
  if (!status || !status->IsRegular()) return UniqueFd();
  // What was looked at is what is opened: nothing but a regular file ever is.
  return UniqueFd(open(SelfPath(found.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

UniqueFd RootDirectory::OpenDirectoryFollowing(const std::string& path) const {
  return Open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
}

std::optional<FileStatus> RootDirectory::StatusFollowing(const std::string& path) const {
  const UniqueFd fd = Follow(path);
  return fd ? FileStatusOf(fd.get()) : std::nullopt;
}

std::string RootDirectory::PathOf(int fd) const {
  std::string path = PathOfFd(fd);
  if (where_.prefix.empty() || path.empty()) return path;
  if (!IsAtOrBelow(path, where_.prefix)) return {};
  return path == where_.prefix ? "/" : path.substr(where_.prefix.size());
}

}  // namespace fileward
