// Files by handle key: what notification events carry, and the way back to a path after a move.
#ifndef FILEWARD_COVERAGE_FILE_HANDLE_H_
#define FILEWARD_COVERAGE_FILE_HANDLE_H_

#include <string>
#include <string_view>

#include "native/base/file_identity.h"
#include "native/base/unique_fd.h"

namespace fileward {

// The key under which the table knows a directory: its handle key where the filesystem gives
// handles.
std::string DirectoryKey(int fd, const FileIdentity& identity);

// Opens (O_PATH) what `handle_key` names on the filesystem that `mount_fd` is on. Invalid when it
// is gone, and where handles can't be opened (overlayfs without nfs_export).
UniqueFd OpenByHandleKey(int mount_fd, std::string_view handle_key);

// The present path of an open file; empty when it has none any more.
std::string PathOfFd(int fd);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_FILE_HANDLE_H_
