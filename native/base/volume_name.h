// Names in a volume that is written atomically, as kubelet writes Secrets and ConfigMaps: the file
// is `VOLUME/..2026_11_21/key`, the link `..data` leads to that folder, `VOLUME/key` through
// `..data`.
#ifndef FILEWARD_BASE_VOLUME_NAME_H_
#define FILEWARD_BASE_VOLUME_NAME_H_

#include <string>
#include <string_view>

namespace fileward {

// What a file in a folder that `..data` may lead to is called whichever it leads to: the same
// without that folder. Empty for a path that has no such folder.
inline std::string StableNameOf(std::string_view path) {
  for (size_t at = path.find("/.."); at != std::string_view::npos; at = path.find("/..", at + 1)) {
    const size_t end = path.find('/', at + 1);
    if (end == std::string_view::npos) break;
    if (end - at > 3) return std::string(path.substr(0, at)).append(path.substr(end));
  }
  return {};
}

}  // namespace fileward

#endif  // FILEWARD_BASE_VOLUME_NAME_H_
