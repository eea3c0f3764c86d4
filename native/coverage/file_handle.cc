#include "native/coverage/file_handle.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "native/coverage/file_status.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {
namespace {

constexpr size_t kFsidBytes = 8;  // a key is fsid, handle type, handle

}  // namespace

std::string DirectoryKey(int fd, const FileIdentity& identity) {
  std::string key = HandleKey(fd, "");
  if (!key.empty()) return key;
  // No handles here: no event will name this directory, but the table still needs a key.
  return "inode:" + std::to_string(identity.dev) + ":" + std::to_string(identity.ino);
}

UniqueFd OpenByHandleKey(int mount_fd, std::string_view handle_key) {
  if (handle_key.size() <= kFsidBytes + sizeof(int)) return UniqueFd();
  const std::string_view bytes = handle_key.substr(kFsidBytes + sizeof(int));
  if (bytes.size() > MAX_HANDLE_SZ) return UniqueFd();
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + MAX_HANDLE_SZ> space;
  auto* handle = reinterpret_cast<file_handle*>(space.data());
  handle->handle_bytes = static_cast<unsigned int>(bytes.size());
  std::memcpy(&handle->handle_type, handle_key.data() + kFsidBytes, sizeof(int));
  std::memcpy(space.data() + sizeof(file_handle), bytes.data(), bytes.size());
  return UniqueFd(open_by_handle_at(mount_fd, handle, O_PATH | O_CLOEXEC));
}

std::string PathOfFd(int fd) {
  const auto status = FileStatusOf(fd);
  if (!status || status->nlink == 0) return {};
  const auto path = LinkTargetAt(AT_FDCWD, SelfPath(fd).c_str());
  return path && path->starts_with('/') ? *path : std::string();
}

}  // namespace fileward
