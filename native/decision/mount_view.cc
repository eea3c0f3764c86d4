#include "native/decision/mount_view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <fstream>
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

// Opening a directory of these can wait for a server or an automounter.
bool MayHang(const std::string& type) {
  return type == "autofs" || type.starts_with("nfs") || type == "cifs" || type == "smb3" ||
         type.starts_with("fuse") || type == "9p" || type == "ceph";
}

struct Place {
  uint64_t mount_id = 0;
  uint64_t dev = 0;
};

std::optional<Place> PlaceOf(int fd) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &status) != 0) return std::nullopt;
  return Place{status.stx_mnt_id, makedev(status.stx_dev_major, status.stx_dev_minor)};
}

}  // namespace

Result<std::shared_ptr<const MountView>> MountView::Read() {
  std::ifstream file("/proc/self/mountinfo");
  if (!file) return ErrnoError("open", "/proc/self/mountinfo");
  auto view = std::make_shared<MountView>();
  for (std::string line; std::getline(file, line);) {
    // 36 35 98:0 /root /mount/point options ... - type source super-options
    std::istringstream fields(line);
    uint64_t mount_id = 0;
    std::string parent, device, root, point, word, type;
    fields >> mount_id >> parent >> device >> root >> point;
    while (fields >> word && word != "-") {
    }
    fields >> type;
    if (!fields || root != "/") continue;
    view->plain_.insert(mount_id);
    if (MayHang(type)) continue;
    UniqueFd directory(::open(Unescape(point).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) continue;
    // Another mount may lie on top of this one.
    const std::optional<Place> place = PlaceOf(directory.get());
    if (place && place->mount_id == mount_id) {
      view->roots_.try_emplace(place->dev, std::move(directory));
    }
  }
  return std::shared_ptr<const MountView>(std::move(view));
}

std::optional<std::string> MountView::HostPath(int fd, uint64_t dev) const {
  const auto root = roots_.find(dev);
  if (root == roots_.end()) return std::nullopt;
  alignas(file_handle) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> buffer{};
  auto* const handle = reinterpret_cast<file_handle*>(buffer.data());
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (::name_to_handle_at(fd, "", handle, &mount_id, AT_EMPTY_PATH) != 0) return std::nullopt;
  const UniqueFd found(::open_by_handle_at(root->second.get(), handle, O_PATH | O_CLOEXEC));
  if (!found) return std::nullopt;
  std::array<char, 4097> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(found.get());
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  if (length <= 0 || path[0] != '/') return std::nullopt;
  return std::string(path.data(), static_cast<size_t>(length));
}

}  // namespace fileward
