#include "native/kernel/root_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <mutex>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "native/kernel/mount_table.h"
#include "native/kernel/proc_reader.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

uint64_t Nanoseconds(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(time.tv_nsec);
}

FileVersion VersionOf(const struct stat& file) {
  return FileVersion{{file.st_dev, file.st_ino},
                     static_cast<uint64_t>(file.st_size),
                     Nanoseconds(file.st_mtim),
                     Nanoseconds(file.st_ctim)};
}

bool AsksAServer(std::string_view type) {
  constexpr std::string_view kTypes[] = {"autofs", "cifs", "smb3",   "ceph",     "9p",
                                         "afs",    "coda", "lustre", "virtiofs", "orangefs"};
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes) ||
         type.starts_with("nfs") || type.starts_with("fuse");
}

bool IsLink(int fd) {
  struct statx status {};
  const int looked = ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status);
  return looked != 0 || S_ISLNK(status.stx_mode);
}

// `path` below `fd`, on the same mount.
UniqueFd FindOnMount(int fd, std::string_view path, uint64_t resolve, int flags) {
  const std::string text(path);
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_PATH | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  // EAGAIN: something was renamed on the way, so that ".." could not be told to stay inside.
  for (int looks = 0; looks < 10; ++looks) {
    UniqueFd found(static_cast<int>(::syscall(SYS_openat2, fd, text.c_str(), &how, sizeof(how))));
    if (found || (errno != EAGAIN && errno != EINTR)) return found;
  }
  return UniqueFd();
}

// The first mount that `rest` leads into from the one that `fd` is on; cuts off the way there. Its
// root is there without asking anybody for it.
UniqueFd EnterMount(int fd, int32_t pid, std::string_view& rest, uint64_t resolve) {
  UniqueFd parent;
  for (size_t end = 0; end < rest.size();) {
    const size_t begin = end;
    end = std::min(rest.find('/', begin + 1), rest.size());
    UniqueFd on_the_way = FindOnMount(fd, rest.substr(0, end), resolve, 0);
    if (on_the_way) {
      parent = std::move(on_the_way);
      continue;
    }
    if (errno != EXDEV) break;
    const size_t name_at = rest[begin] == '/' ? begin + 1 : begin;
    const std::string name(rest.substr(name_at, end - name_at));
    rest.remove_prefix(std::min(rest.find_first_not_of('/', end), rest.size()));
    UniqueFd root = FindEntry(parent ? parent.get() : fd, pid, name.c_str());
    if (root && name != ".." && !IsLink(root.get())) return root;
    errno = EXDEV;
    break;
  }
  return UniqueFd();
}

Result<UniqueFd> FindRegularFile(int root_fd, int32_t pid, const std::string& path,
                                 struct stat& file) {
  Result<UniqueFd> found = FindInRoot(root_fd, pid, path, 0);
  if (!found) return found;
  if (::fstat(found->get(), &file) != 0) return ErrnoError("fstat", path);
  if (!S_ISREG(file.st_mode)) return Error{EINVAL, "openat2", path + " is no regular file"};
  return found;
}

// A mount table doesn't show the mount of a chroot, and has another device for a part of a btrfs.
bool LookWhetherMayHang(int fd, int32_t pid) {
  struct statx place {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &place) != 0) return true;
  const uint64_t dev = makedev(place.stx_dev_major, place.stx_dev_minor);
  for (const bool by_dev : {false, true}) {
    for (const std::string& process : {std::to_string(pid), std::string("self")}) {
      const auto mounts = ReadMountTable(process);
      if (!mounts.ok()) continue;
      for (const MountEntry& mount : *mounts) {
        if (by_dev ? mount.dev == dev : mount.id == place.stx_mnt_id)
          return AsksAServer(mount.type);
      }
    }
  }
  return place.stx_dev_major == 0;
}

// Mounts that the kernel itself answers for, by an id that is never used again.
class PromptMounts {
 public:
  bool Has(uint64_t id) {
    const std::lock_guard lock(mutex_);
    return ids_.contains(id);
  }
  void Add(uint64_t id) {
    constexpr size_t kMost = 10'000;
    const std::lock_guard lock(mutex_);
    if (ids_.size() >= kMost) ids_.clear();
    ids_.insert(id);
  }

 private:
  std::mutex mutex_;
  std::unordered_set<uint64_t> ids_;  // guarded by mutex_
};

}  // namespace

bool MayHang(int fd, int32_t pid) {
  constexpr unsigned kUniqueMountId = 0x4000;  // STATX_MNT_ID_UNIQUE, Linux 6.8
  static PromptMounts prompt;
  struct statx place {};
  const bool has_id =
      ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kUniqueMountId, &place) == 0 &&
      (place.stx_mask & kUniqueMountId) != 0;
  if (has_id && prompt.Has(place.stx_mnt_id)) return false;
  const bool may_hang = LookWhetherMayHang(fd, pid);
  if (has_id && !may_hang) prompt.Add(place.stx_mnt_id);
  return may_hang;
}

UniqueFd FindEntry(int fd, int32_t pid, const char* name) {
  UniqueFd found = FindOnMount(fd, name, 0, O_NOFOLLOW);
  if (found || errno != EXDEV) return found;
  // The root of a mount is there without asking anybody for it.
  found = UniqueFd(::openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (found && !MayHang(found.get(), pid)) return found;
  errno = EXDEV;
  return UniqueFd();
}

Result<ProcessRoot> OpenProcessRoot(int32_t pid, uint64_t start_ticks) {
  const Error gone{ESRCH, "pidfd_open", std::to_string(pid)};
  ProcessRoot process;
  process.pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.pidfd) return ErrnoError("pidfd_open", std::to_string(pid));
  static const auto ticks_per_second = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  if (StartTime(pid) != start_ticks * (1'000'000'000u / ticks_per_second)) return gone;
  const std::string root = "/proc/" + std::to_string(pid) + "/root";
  process.root = UniqueFd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!process.root) return ErrnoError("open", root);
  // Still alive: so the pid was its own all the time.
  pollfd state{process.pidfd.get(), POLLIN, 0};
  if (::poll(&state, 1, 0) != 0) return gone;
  return process;
}

Result<UniqueFd> FindInRoot(int root_fd, int32_t pid, const std::string& path, int flags) {
  constexpr int kMostMounts = 40;
  if (MayHang(root_fd, pid)) return Error{EXDEV, "openat2", path};
  UniqueFd mount;
  std::string_view rest = path;
  for (int mounts = 0; mounts < kMostMounts; ++mounts) {
    const int fd = mount ? mount.get() : root_fd;
    const uint64_t resolve = mount ? RESOLVE_BENEATH : RESOLVE_IN_ROOT;
    UniqueFd found = FindOnMount(fd, rest, resolve, flags);
    if (found) return found;
    if (errno != EXDEV) break;
    mount = EnterMount(fd, pid, rest, resolve);
    if (!mount) break;
    if (rest.empty()) return mount;
  }
  return ErrnoError("openat2", path);
}

Result<FileContent> ReadInRoot(int root_fd, int32_t pid, const std::string& path,
                               size_t most_bytes) {
  struct stat status {};
  const Result<UniqueFd> found = FindRegularFile(root_fd, pid, path, status);
  if (!found) return found.error();
  const std::string link = "/proc/self/fd/" + std::to_string(found->get());
  const UniqueFd file(::open(link.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file) return ErrnoError("open", path);
  FileContent content;
  content.version = VersionOf(status);
  constexpr size_t kStepBytes = 64 * 1024;
  // One byte more than wanted tells whether it was cut.
  while (content.bytes.size() <= most_bytes) {
    const size_t had = content.bytes.size();
    content.bytes.resize(had + std::min(kStepBytes, most_bytes + 1 - had));
    const ssize_t got = ::read(file.get(), &content.bytes[had], content.bytes.size() - had);
    if (got < 0 && errno != EINTR) return ErrnoError("read", path);
    content.bytes.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return content;
  }
  content.bytes.resize(most_bytes);
  content.cut = true;
  return content;
}

FileVersion VersionInRoot(int root_fd, int32_t pid, const std::string& path) {
  struct stat status {};
  const Result<UniqueFd> found = FindRegularFile(root_fd, pid, path, status);
  return found ? VersionOf(status) : FileVersion{};
}

}  // namespace fileward
