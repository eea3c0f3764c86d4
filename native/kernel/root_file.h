// Files of another root (a container's), found as its own processes find them, without a way for
// them to hold us up: no link leads out of the root, /proc's magic links lead nowhere, nothing but
// a regular file is ever opened for reading, and no mount is entered that a process or a server
// answers for (FUSE, NFS, ...). A link from one mount into another is not followed either. `pid`,
// everywhere: a process that has this root and its mounts.
#ifndef FILEWARD_KERNEL_ROOT_FILE_H_
#define FILEWARD_KERNEL_ROOT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "native/base/file_identity.h"
#include "native/base/result.h"
#include "native/base/unique_fd.h"

namespace fileward {

struct ProcessRoot {
  UniqueFd pidfd;
  UniqueFd root;  // O_PATH; pins the mount, and with it the container's file system
};

// The root of a process, which is the one that started at `start_ticks` (/proc/<pid>/stat, field
// 22). ESRCH when it is gone or another has its pid.
Result<ProcessRoot> OpenProcessRoot(int32_t pid, uint64_t start_ticks);

// Whether a look-up on the mount that `fd` (O_PATH) is on, of the process' mounts, may wait for
// another process or a server. Asks neither.
bool MayHang(int fd, int32_t pid);
// An O_PATH descriptor of what stands at `name`, one entry of the directory `fd`: a link itself.
// EXDEV for the root of a mount that may hang.
UniqueFd FindEntry(int fd, int32_t pid, const char* name);

// An O_PATH descriptor of what `path` is; `flags`: O_NOFOLLOW, for a link itself, or 0. ENOENT,
// ELOOP, ... as open(), EXDEV for what is not entered.
Result<UniqueFd> FindInRoot(int root_fd, int32_t pid, const std::string& path, int flags);

// Which file, and which content of it.
struct FileVersion {
  FileIdentity identity;  // not known(): there is no such file
  uint64_t size = 0;
  uint64_t mtime_ns = 0;
  uint64_t ctime_ns = 0;

  friend bool operator==(const FileVersion&, const FileVersion&) = default;
};

struct FileContent {
  std::string bytes;
  FileVersion version;  // from before the read
  bool cut = false;     // there is more than `most_bytes`
};

// The first `most_bytes` of a regular file; EINVAL when it is anything else.
Result<FileContent> ReadInRoot(int root_fd, int32_t pid, const std::string& path,
                               size_t most_bytes);
// Not known() when there is none, whatever the reason.
FileVersion VersionInRoot(int root_fd, int32_t pid, const std::string& path);

}  // namespace fileward

#endif  // FILEWARD_KERNEL_ROOT_FILE_H_
