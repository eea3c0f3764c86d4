#include "native/kernel/mount_table.h"

#include <sys/sysmacros.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "native/kernel/proc_reader.h"

namespace fileward {
namespace {

// 36 35 98:0 /root /mount/point options [tags] - type source super-options
std::optional<MountEntry> ParseLine(std::string_view line) {
  MountEntry entry;
  entry.id = ParseNumber<uint64_t>(TakeWord(line));
  TakeWord(line);  // the parent's
  const std::string_view device = TakeWord(line);
  const size_t colon = device.find(':');
  if (entry.id == 0 || colon == std::string_view::npos) return std::nullopt;
  entry.dev = makedev(ParseNumber<unsigned>(device.substr(0, colon)),
                      ParseNumber<unsigned>(device.substr(colon + 1)));
  entry.root = UnescapeMountText(TakeWord(line));
  entry.point = UnescapeMountText(TakeWord(line));
  constexpr std::string_view kSeparator = " - ";
  const size_t separator = line.find(kSeparator);
  if (separator == std::string_view::npos) return std::nullopt;
  line.remove_prefix(separator + kSeparator.size());
  entry.type = TakeWord(line);
  entry.options = line.substr(line.rfind(' ') + 1);  // behind the source, which can be empty
  return entry;
}

bool IsOctal(char letter) { return letter >= '0' && letter <= '7'; }

}  // namespace

std::string UnescapeMountText(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size() && IsOctal(text[i + 1]) &&
                         IsOctal(text[i + 2]) && IsOctal(text[i + 3]);
    if (!escaped) {
      plain.push_back(text[i]);
      continue;
    }
    plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
    i += 3;
  }
  return plain;
}

std::vector<MountEntry> ParseMountTable(std::string_view text) {
  std::vector<MountEntry> entries;
  while (!text.empty()) {
    if (auto entry = ParseLine(TakeLine(text))) entries.push_back(*std::move(entry));
  }
  return entries;
}

Result<std::vector<MountEntry>> ReadMountTable(const std::string& process) {
  const std::string name = "/proc/" + process + "/mountinfo";
  std::ifstream file(name);
  if (!file) return ErrnoError("open", name);
  return ParseMountTable(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace fileward
