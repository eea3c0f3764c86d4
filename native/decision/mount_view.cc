#include "native/decision/mount_view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>

#include "native/kernel/mount_table.h"

namespace fileward {
namespace {

// "/" is written as "": what comes behind begins with its slash.
std::string Prefix(std::string path) {
  if (path == "/") path.clear();
  return path;
}

// The part of `path` behind `directory`; nothing where it doesn't lie there.
std::optional<std::string_view> Behind(std::string_view path, std::string_view directory) {
  if (!path.starts_with(directory)) return std::nullopt;
  path.remove_prefix(directory.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

struct MountLine {
  uint64_t mount_id = 0;
  MountedAt mounted;
  std::string type;
};

Result<std::vector<MountLine>> ReadMounts(const std::string& process) {
  Result<std::vector<MountEntry>> entries = ReadMountTable(process);
  if (!entries) return entries.error();
  std::vector<MountLine> mounts;
  for (MountEntry& entry : *entries) {
    MountLine mount;
    mount.mount_id = entry.id;
    mount.mounted.place = {entry.dev, Prefix(std::move(entry.root))};
    mount.mounted.point = Prefix(std::move(entry.point));
    mount.type = std::move(entry.type);
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

// Opening a directory of these can wait for a server or an automounter.
bool MayHang(const std::string& type) {
  return type == "autofs" || type.starts_with("nfs") || type == "cifs" || type == "smb3" ||
         type.starts_with("fuse") || type == "9p" || type == "ceph";
}

struct Directory {
  uint64_t mount_id = 0;
  uint64_t dev = 0;
  uint64_t ino = 0;
};

// An empty `path` is `fd` itself.
std::optional<Directory> LookAt(int fd, const std::string& path) {
  struct statx status {};
  const int flags = AT_NO_AUTOMOUNT | (path.empty() ? AT_EMPTY_PATH : 0);
  if (::statx(fd, path.c_str(), flags, STATX_INO | STATX_MNT_ID, &status) != 0) return std::nullopt;
  return Directory{status.stx_mnt_id, makedev(status.stx_dev_major, status.stx_dev_minor),
                   status.stx_ino};
}

}  // namespace

Result<std::shared_ptr<const MountView>> MountView::ReadHost() {
  Result<std::vector<MountLine>> mounts = ReadMounts("self");
  if (!mounts) return mounts.error();
  auto view = std::make_shared<MountView>();
  for (MountLine& mount : *mounts) {
    const auto& [place, point] = mount.mounted;
    // An overlay's handles can't be decoded.
    if (place.path.empty() && mount.type != "overlay" && !MayHang(mount.type)) {
      view->roots_.push_back({place.filesystem, mount.mount_id, point, mount.type == "btrfs"});
    }
    std::string text_point = point;
    view->Add(mount.mount_id, std::move(mount.mounted), std::move(text_point));
  }
  return std::shared_ptr<const MountView>(std::move(view));
}

Result<std::shared_ptr<const MountView>> MountView::ReadContainer(int32_t init_pid) {
  const std::string process = std::to_string(init_pid);
  Result<std::vector<MountLine>> mounts = ReadMounts(process);
  if (!mounts) return mounts.error();
  const std::string link = "/proc/" + process + "/root";
  std::array<char, 4097> root{};
  const ssize_t length = ::readlink(link.c_str(), root.data(), root.size());
  if (length <= 0) return ErrnoError("readlink", link);
  // Mount points are told from the process' root, texts from that of its mount namespace.
  const std::string prefix = Prefix(std::string(root.data(), static_cast<size_t>(length)));
  auto view = std::make_shared<MountView>();
  for (MountLine& mount : *mounts) {
    std::string text_point = prefix + mount.mounted.point;
    view->Add(mount.mount_id, std::move(mount.mounted), std::move(text_point));
  }
  if (view->root_filesystem_ == 0) view->AddRootBelow(init_pid, prefix);
  return std::shared_ptr<const MountView>(std::move(view));
}

// The root of a process that was only chroot'ed into a directory lies on a mount that its mountinfo
// doesn't show. Believed where the same path leads to the same directory for us.
void MountView::AddRootBelow(int32_t init_pid, const std::string& prefix) {
  const auto theirs = LookAt(AT_FDCWD, "/proc/" + std::to_string(init_pid) + "/root/");
  const auto ours = LookAt(AT_FDCWD, prefix + "/");
  if (!theirs || !ours || theirs->dev != ours->dev || theirs->ino != ours->ino) return;
  const Result<std::vector<MountLine>> mounts = ReadMounts("self");
  if (!mounts) return;
  for (const MountLine& mount : *mounts) {
    if (mount.mount_id != ours->mount_id) continue;
    const auto below = Behind(prefix, mount.mounted.point);
    if (!below) return;
    FilePlace place = mount.mounted.place;
    place.path += *below;
    Add(theirs->mount_id, {std::move(place), ""}, prefix);
    return;
  }
}

void MountView::Add(uint64_t mount_id, MountedAt mounted, std::string text_point) {
  // The last one at the root is the one on top.
  if (mounted.point.empty()) root_filesystem_ = mounted.place.filesystem;
  texts_.insert_or_assign(mount_id, Texts{mounted.place, std::move(text_point), mounted.point});
  mounted_.push_back(std::move(mounted));
}

std::optional<FilePlace> MountView::PlaceOf(uint64_t mount_id, std::string_view text) const {
  const auto found = texts_.find(mount_id);
  if (found == texts_.end()) return std::nullopt;
  const auto below = Behind(text, found->second.point);
  if (!below) return std::nullopt;
  FilePlace place = found->second.place;
  place.path += *below;
  return place;
}

std::optional<std::string> MountView::PathOf(uint64_t mount_id, std::string_view text) const {
  const auto found = texts_.find(mount_id);
  if (found == texts_.end()) return std::nullopt;
  const auto below = Behind(text, found->second.point);
  if (!below) return std::nullopt;
  return found->second.inside + std::string(*below);
}

uint64_t MountView::FilesystemOf(uint64_t mount_id) const {
  const auto found = texts_.find(mount_id);
  return found == texts_.end() ? 0 : found->second.place.filesystem;
}

UniqueFd MountView::Root::Open(uint64_t dev) const {
  if (filesystem != dev && !has_subvolumes) return UniqueFd();
  const std::string path = point + "/";
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC));
  // Another mount may lie on top of this one, or it has gone.
  const auto found = directory ? LookAt(directory.get(), "") : std::nullopt;
  const bool is_it = found && found->mount_id == mount_id && found->dev == dev;
  return is_it ? std::move(directory) : UniqueFd();
}

std::optional<FilePlace> MountView::FindAgain(int fd, uint64_t dev) const {
  alignas(file_handle) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> buffer{};
  auto* const handle = reinterpret_cast<file_handle*>(buffer.data());
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (::name_to_handle_at(fd, "", handle, &mount_id, AT_EMPTY_PATH) != 0) return std::nullopt;
  for (const Root& root : roots_) {
    const UniqueFd directory = root.Open(dev);
    if (!directory) continue;
    const UniqueFd found(::open_by_handle_at(directory.get(), handle, O_PATH | O_CLOEXEC));
    if (!found) return std::nullopt;
    std::array<char, 4097> path{};
    const std::string link = "/proc/self/fd/" + std::to_string(found.get());
    const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
    if (length <= 0 || path[0] != '/') return std::nullopt;
    return PlaceOf(root.mount_id, std::string_view(path.data(), static_cast<size_t>(length)));
  }
  return std::nullopt;
}

}  // namespace fileward
