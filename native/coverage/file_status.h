// What a look at a file or directory gives: identity and the attributes that change facts compare.
#ifndef FILEWARD_COVERAGE_FILE_STATUS_H_
#define FILEWARD_COVERAGE_FILE_STATUS_H_

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "native/base/file_identity.h"
#include "native/base/unique_fd.h"

namespace fileward {

struct FileStatus {
  FileIdentity identity;
  uint64_t birth_ns = 0;  // 0: the filesystem keeps none, or it changes (overlay, at a copy-up)
  uint64_t size = 0;
  uint64_t mtime_ns = 0;
  uint64_t ctime_ns = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;

  bool IsRegular() const { return S_ISREG(mode); }
  bool IsDirectory() const { return S_ISDIR(mode); }
  bool IsSymlink() const { return S_ISLNK(mode); }
  bool SameFile(const FileStatus& other) const {
    return identity == other.identity &&
           (birth_ns == other.birth_ns || birth_ns == 0 || other.birth_ns == 0);
  }
  bool SameAttributes(const FileStatus& other) const {
    return mode == other.mode && uid == other.uid && gid == other.gid;
  }
  bool SameContent(const FileStatus& other) const {
    return size == other.size && mtime_ns == other.mtime_ns;
  }
  // A link made or removed, a rename, an extended attribute: they change only the time of the
  // inode.
  void TakeInodeTimeOf(const FileStatus& now) {
    if (SameFile(now) && SameContent(now) && SameAttributes(now)) ctime_ns = now.ctime_ns;
  }
};

// Looks at `name` in `dirfd` without following a link at its end; nullopt with errno set when it
// can't be looked at.
std::optional<FileStatus> StatusAt(int dirfd, const char* name);
std::optional<FileStatus> FileStatusOf(int fd);

// "/proc/self/fd/N": the very file behind a descriptor, O_PATH or not.
std::string SelfPath(int fd);

// Opens a directory for reading, never through a link, without touching its access time where that
// is allowed.
UniqueFd OpenDirectoryAt(int dirfd, const char* name);

// The target of the link `name` in `dirfd`; nullopt when it is none or has gone.
std::optional<std::string> LinkTargetAt(int dirfd, const char* name);

// Calls `entry(name, d_type)` for each entry but "." and ".."; false with errno set when reading
// failed midway.
bool ForEachEntry(int directory_fd,
                  const std::function<void(const char* name, unsigned char type)>& entry);

// proc, sysfs and their like: nothing in them is a file that a rule could protect, and walking them
// has no end.
bool IsPseudoFilesystem(int directory_fd);

bool IsOnOverlay(int fd);

// The st_dev of the filesystem that mount tables show: the files of a btrfs have others, by
// subvolume. 0: it can't be looked at.
uint64_t SuperblockOf(int fd);

// "/a" + "b" -> "/a/b"; "/" + "b" -> "/b".
std::string JoinPath(std::string_view directory, std::string_view name);
// True when `path` is `prefix` or below it.
bool IsAtOrBelow(std::string_view path, std::string_view prefix);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_FILE_STATUS_H_
