#ifndef FILEWARD_BASE_FILE_IDENTITY_H_
#define FILEWARD_BASE_FILE_IDENTITY_H_

#include <cstddef>
#include <cstdint>
#include <functional>

namespace fileward {

// Which file, whatever its names: device (makedev of statx's major and minor) and inode.
// Inode 0 means "not known"; no filesystem that we mark hands it out.
struct FileIdentity {
  uint64_t dev = 0;
  uint64_t ino = 0;

  bool known() const { return ino != 0; }
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

}  // namespace fileward

template <>
struct std::hash<fileward::FileIdentity> {
  size_t operator()(const fileward::FileIdentity& identity) const noexcept {
    // Inode numbers run in sequence and devices are few: one multiplication spreads both.
    const uint64_t mixed = (identity.ino ^ (identity.dev << 32)) * 0x9e3779b97f4a7c15u;
    return static_cast<size_t>(mixed ^ (mixed >> 32));
  }
};

#endif  // FILEWARD_BASE_FILE_IDENTITY_H_
