// /proc/<pid>/mountinfo: whoever mounts in a container chooses most of its text.
//
// Held: no line makes more than one entry or another line's entry, and a name is never longer than
// it was written.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "native/kernel/mount_table.h"
#include "test/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fileward;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  const std::vector<MountEntry> entries = ParseMountTable(text);
  Require(entries.size() <= lines);
  for (const MountEntry& entry : entries) {
    Require(entry.root.size() + entry.point.size() + entry.type.size() <= size);
    Require(entry.type.find('\n') == std::string::npos);
  }
  Require(UnescapeMountText(text).size() <= size);
  return 0;
}
