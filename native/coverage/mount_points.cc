#include "native/coverage/mount_points.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <sstream>
#include <utility>

#include "native/kernel/mount_table.h"

namespace fileward {
namespace {

// As the kernel reads an option: a backslash takes its meaning from what follows.
std::string WithoutBackslashes(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain.push_back(text[i]);
  }
  return plain;
}

// Of "lower:lower::data".
void AddLowers(const std::string& text, std::vector<std::string>& layers) {
  size_t start = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    if (at < text.size() && text[at] != ':') {
      at += text[at] == '\\' && at + 1 < text.size() ? 1U : 0U;
      continue;
    }
    if (at > start) layers.push_back(WithoutBackslashes(text.substr(start, at - start)));
    start = at + 1;
  }
}

// "/store/12/fs" -> "/store"; empty: the root.
std::string TwoAbove(const std::string& path) {
  const std::string above = path.substr(0, path.rfind('/'));
  return above.substr(0, above.empty() ? 0 : above.rfind('/'));
}

}  // namespace

MountPoints::MountPoints(UniqueFd table) : fd_(std::move(table)) { (void)TakeChanges(); }

std::vector<std::string> MountPoints::TakeChanges() {
  std::string text;
  std::array<char, 16'384> buffer;
  lseek(fd_.get(), 0, SEEK_SET);
  for (ssize_t length; (length = read(fd_.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(length));
  }
  std::vector<Mount> now;
  for (MountEntry& entry : ParseMountTable(text)) {
    now.push_back({std::move(entry.point), entry.id, entry.dev,
                   entry.type == "overlay" ? std::move(entry.options) : std::string()});
  }
  std::sort(now.begin(), now.end());
  std::vector<Mount> different;
  std::set_symmetric_difference(now.begin(), now.end(), known_.begin(), known_.end(),
                                std::back_inserter(different));
  known_ = std::move(now);
  std::vector<std::string> points;
  for (Mount& mount : different) points.push_back(std::move(mount.point));
  return points;
}

std::vector<std::string> MountPoints::PointsOf(uint64_t dev) const {
  std::vector<std::string> points;
  for (const Mount& mount : known_) {
    if (mount.dev == dev) points.push_back(mount.point);
  }
  return points;
}

// Runtimes give many layers relative to where they keep them all, to stay below a page: Podman and
// Docker all of them, two levels above the mount point; containerd the lower ones, two levels above
// the upper one.
MountPoints::Layers MountPoints::LayersOf(uint64_t dev) const {
  Layers layers;
  const auto mount = std::find_if(known_.begin(), known_.end(), [&](const Mount& known) {
    return known.dev == dev && !known.layers.empty();
  });
  if (mount == known_.end()) return layers;
  // A comma within a path is written as \ooo.
  std::istringstream options(mount->layers);
  for (std::string option; std::getline(options, option, ',');) {
    const size_t equals = option.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = option.substr(0, equals);
    const std::string value = UnescapeMountText(option.substr(equals + 1));
    if (key == "lowerdir") {
      AddLowers(value, layers.paths);
    } else if (key == "upperdir" || key == "workdir") {
      layers.paths.push_back(WithoutBackslashes(value));
      if (key == "upperdir" && value.starts_with('/'))
        layers.bases.push_back(TwoAbove(layers.paths.back()));
    } else if (key == "lowerdir+" || key == "datadir+") {
      layers.paths.push_back(value);
    }
  }
  for (const Mount& other : known_) {
    if (other.dev == dev) layers.bases.push_back(TwoAbove(other.point));
  }
  return layers;
}

}  // namespace fileward
