// /proc/<pid>/mountinfo, parsed: the one reader of it.
#ifndef FILEWARD_KERNEL_MOUNT_TABLE_H_
#define FILEWARD_KERNEL_MOUNT_TABLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "native/base/result.h"

namespace fileward {

struct MountEntry {
  uint64_t id = 0;   // STATX_MNT_ID
  uint64_t dev = 0;  // st_dev of the filesystem
  std::string root;  // the directory in the filesystem that is mounted
  std::string point;
  std::string type;
  std::string options;  // of the filesystem, as the kernel escapes them
};

// Lines that can't be understood are left out.
std::vector<MountEntry> ParseMountTable(std::string_view text);
// Of a process by its pid, or "self". An error of open when it is gone.
Result<std::vector<MountEntry>> ReadMountTable(const std::string& process);

// The kernel writes space, tab, newline, backslash and more as \ooo.
std::string UnescapeMountText(std::string_view text);

}  // namespace fileward

#endif  // FILEWARD_KERNEL_MOUNT_TABLE_H_
