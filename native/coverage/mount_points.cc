#include "native/coverage/mount_points.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <sstream>

namespace fileward {
namespace {

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string Unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain.push_back(static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

}  // namespace

MountPoints::MountPoints() : fd_(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)) {
  (void)TakeChanges();
}

std::vector<std::string> MountPoints::TakeChanges() {
  std::string text;
  std::array<char, 16'384> buffer;
  lseek(fd_.get(), 0, SEEK_SET);
  for (ssize_t length; (length = read(fd_.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(length));
  }
  std::vector<std::pair<std::string, std::string>> now;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    if (fields >> id >> parent >> device >> root >> point) now.emplace_back(Unescape(point), id);
  }
  std::sort(now.begin(), now.end());
  std::vector<std::pair<std::string, std::string>> different;
  std::set_symmetric_difference(now.begin(), now.end(), known_.begin(), known_.end(),
                                std::back_inserter(different));
  known_ = std::move(now);
  std::vector<std::string> points;
  for (auto& [point, id] : different) points.push_back(std::move(point));
  return points;
}

}  // namespace fileward
