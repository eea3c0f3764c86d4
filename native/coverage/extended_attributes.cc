#include "native/coverage/extended_attributes.h"

#include <sys/xattr.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

#include "native/coverage/file_status.h"

namespace fileward {
namespace {

// XATTR_LIST_MAX and XATTR_SIZE_MAX.
constexpr size_t kMaxBytes = 64 * 1024;

// FNV-1a.
uint64_t Hash(std::string_view text, uint64_t hash) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

}  // namespace

std::optional<uint64_t> ExtendedAttributesAt(int dirfd, const char* name) {
  const bool of_itself = *name == '\0';
  const std::string path = of_itself ? SelfPath(dirfd) : JoinPath(SelfPath(dirfd), name);
  const ssize_t size = (of_itself ? listxattr : llistxattr)(path.c_str(), nullptr, 0);
  // A filesystem without any has nothing that could change.
  if (size <= 0)
    return size == 0 || errno == EOPNOTSUPP ? std::optional<uint64_t>(0) : std::nullopt;
  std::vector<char> names(kMaxBytes);
  const ssize_t length =
      (of_itself ? listxattr : llistxattr)(path.c_str(), names.data(), kMaxBytes);
  if (length < 0) return std::nullopt;
  std::vector<char> value(kMaxBytes);
  size_t total = 0;
  uint64_t all = 0;
  for (size_t at = 0; at < static_cast<size_t>(length);) {
    const char* const each = names.data() + at;
    const std::string_view text(each);
    at += text.size() + 1;
    const ssize_t got =
        (of_itself ? getxattr : lgetxattr)(path.c_str(), each, value.data(), kMaxBytes);
    if (got < 0 && errno != ENODATA) return std::nullopt;
    const size_t bytes = got < 0 ? 0 : static_cast<size_t>(got);
    total += bytes;
    if (total > kMaxBytes) return std::nullopt;
    // Added up, since they come in any order.
    all += Hash({value.data(), bytes}, Hash(text, 0xcbf29ce484222325U) + 1) | 1U;
  }
  return all;
}

}  // namespace fileward
