#include "native/coverage/file_status.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "native/kernel/mount_table.h"

namespace fileward {
namespace {

constexpr unsigned int kStatusMask = STATX_BASIC_STATS | STATX_BTIME;
constexpr size_t kEntryBufferBytes = 64 * 1024;

uint64_t Nanoseconds(const statx_timestamp& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000U + time.tv_nsec;
}

std::optional<FileStatus> Status(int dirfd, const char* name, int flags) {
  struct statx found;
  if (statx(dirfd, name, flags | AT_STATX_SYNC_AS_STAT, kStatusMask, &found) != 0)
    return std::nullopt;
  FileStatus status;
  status.identity.dev = makedev(found.stx_dev_major, found.stx_dev_minor);
  status.identity.ino = found.stx_ino;
  // No overlay has a device with a major number, so most files cost no second call.
  const bool on_overlay = found.stx_dev_major == 0 && IsOnOverlay(dirfd);
  const bool has_birth = (found.stx_mask & STATX_BTIME) != 0 && !on_overlay;
  status.birth_ns = has_birth ? Nanoseconds(found.stx_btime) : 0;
  status.size = found.stx_size;
  status.mtime_ns = Nanoseconds(found.stx_mtime);
  status.ctime_ns = Nanoseconds(found.stx_ctime);
  status.mode = found.stx_mode;
  status.uid = found.stx_uid;
  status.gid = found.stx_gid;
  status.nlink = found.stx_nlink;
  return status;
}

struct KernelEntry {  // struct linux_dirent64, which no header of the C library declares
  ino64_t inode;
  off64_t offset;
  uint16_t length;
  uint8_t type;
  char name[1];
};

}  // namespace

std::optional<FileStatus> StatusAt(int dirfd, const char* name) {
  return Status(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
}

std::optional<FileStatus> FileStatusOf(int fd) { return Status(fd, "", AT_EMPTY_PATH); }

std::string SelfPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

UniqueFd OpenDirectoryAt(int dirfd, const char* name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  int fd = openat(dirfd, name, kFlags | O_NOATIME);
  if (fd < 0 && errno == EPERM) fd = openat(dirfd, name, kFlags);
  return UniqueFd(fd);
}

std::optional<std::string> LinkTargetAt(int dirfd, const char* name) {
  std::array<char, 4096> target;  // PATH_MAX: the longest that symlink(2) takes
  const ssize_t length = readlinkat(dirfd, name, target.data(), target.size());
  if (length <= 0) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(length));
}

bool ForEachEntry(int directory_fd,
                  const std::function<void(const char* name, unsigned char type)>& entry) {
  alignas(KernelEntry) thread_local std::array<char, kEntryBufferBytes> shared_buffer;
  // `entry` may read another directory, so the names are copied out of the buffer first.
  std::string batch;
  for (;;) {
    const long length =
        syscall(SYS_getdents64, directory_fd, shared_buffer.data(), shared_buffer.size());
    if (length < 0) return false;
    if (length == 0) return true;
    batch.assign(shared_buffer.data(), static_cast<size_t>(length));
    for (size_t offset = 0; offset < batch.size();) {
      const char* record = batch.data() + offset;
      uint16_t record_length = 0;
      std::memcpy(&record_length, record + offsetof(KernelEntry, length), sizeof(record_length));
      const char* name = record + offsetof(KernelEntry, name);
      const auto type = static_cast<unsigned char>(record[offsetof(KernelEntry, type)]);
      if (std::strcmp(name, ".") != 0 && std::strcmp(name, "..") != 0) entry(name, type);
      offset += record_length;
    }
  }
}

bool IsOnOverlay(int fd) {
  struct statfs filesystem;
  return fstatfs(fd, &filesystem) == 0 &&
         static_cast<unsigned long>(filesystem.f_type) == OVERLAYFS_SUPER_MAGIC;
}

uint64_t SuperblockOf(int fd) {
  struct statx place {};
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &place) != 0) return 0;
  struct statfs filesystem;
  const bool is_btrfs = fstatfs(fd, &filesystem) == 0 &&
                        static_cast<unsigned long>(filesystem.f_type) == BTRFS_SUPER_MAGIC;
  if (is_btrfs) {
    const auto mounts = ReadMountTable("self");
    if (!mounts.ok()) return 0;
    for (const MountEntry& mount : *mounts) {
      if (mount.id == place.stx_mnt_id) return mount.dev;
    }
    return 0;
  }
  return makedev(place.stx_dev_major, place.stx_dev_minor);
}

bool IsPseudoFilesystem(int directory_fd) {
  struct statfs found;
  if (fstatfs(directory_fd, &found) != 0) return false;
  switch (static_cast<unsigned long>(found.f_type)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case BPF_FS_MAGIC:
    case DEVPTS_SUPER_MAGIC:
      return true;
    default:
      return false;
  }
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (path.empty() || path.back() != '/') path.push_back('/');
  path.append(name);
  return path;
}

bool IsAtOrBelow(std::string_view path, std::string_view prefix) {
  if (prefix == "/") return true;
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

}  // namespace fileward
