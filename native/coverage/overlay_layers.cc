#include "native/coverage/overlay_layers.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "native/coverage/file_handle.h"
#include "native/coverage/link_resolver.h"

namespace fileward {
namespace {

// containers/storage (Podman, CRI-O) gives a container of a user namespace its lower layers through
// an idmapped mount of its folder at HOME/<container>/mapped/<number>, unmounted at once: the layer
// that HOME/<container>/mapped/<number>/PATH was is HOME/PATH.
std::string WithoutIdMapping(const std::string& path) {
  constexpr std::string_view kMapped = "/mapped/";
  const size_t mapped = path.find(kMapped);
  if (mapped == std::string::npos || mapped == 0) return path;
  const size_t container = path.rfind('/', mapped - 1);
  const size_t rest = path.find('/', mapped + kMapped.size());
  if (container == std::string::npos || rest == std::string::npos) return path;
  return path.substr(0, container) + path.substr(rest);
}

}  // namespace

OverlayLayers::OverlayLayers() : host_(RootDirectory::OfHost()) {}

bool OverlayLayers::MayGuard(int fd, uint64_t dev) {
  if (!IsOnOverlay(fd)) return true;
  const MountPoints::Layers told = MountPoints(host_->OpenMountTable()).LayersOf(dev);
  if (told.paths.empty()) return false;
  // Another overlay can have the number of one that was unmounted.
  if (const auto known = overlays_.find(dev);
      known != overlays_.end() && known->second.told == told)
    return true;
  const std::optional<Overlay> overlay = Look(told);
  if (!overlay) return false;
  overlays_[dev] = *overlay;
  Renew();
  for (const uint64_t superblock : overlay->superblocks) {
    if (on_filesystem) on_filesystem(superblock);
  }
  for (const std::string& key : overlay->keys) on_layer(key);
  return true;
}

// Nothing, unless it is certain which directories they all are.
std::optional<OverlayLayers::Overlay> OverlayLayers::Look(const MountPoints::Layers& told) const {
  const bool has_relative =
      std::any_of(told.paths.begin(), told.paths.end(),
                  [](const std::string& path) { return !path.starts_with('/'); });
  if (!has_relative) return LookFrom(told, "");
  std::optional<Overlay> found;
  for (const std::string& base : told.bases) {
    const std::optional<Overlay> here = LookFrom(told, base);
    if (!here) continue;
    if (found && found->layers != here->layers) return std::nullopt;
    found = here;
  }
  return found;
}

std::optional<OverlayLayers::Overlay> OverlayLayers::LookFrom(const MountPoints::Layers& told,
                                                              const std::string& base) const {
  Overlay overlay;
  overlay.told = told;
  for (const std::string& path : told.paths) {
    const std::string whole = path.starts_with('/') ? path : base + "/" + path;
    UniqueFd layer = host_->OpenDirectory(ResolveLinks(*host_, whole).real);
    if (!layer) layer = host_->OpenDirectory(ResolveLinks(*host_, WithoutIdMapping(whole)).real);
    const auto status = layer ? FileStatusOf(layer.get()) : std::nullopt;
    // It may be what another path leads to now, and covered there.
    if (!status) return std::nullopt;
    overlay.layers.push_back(status->identity);
    overlay.keys.push_back(DirectoryKey(layer.get(), status->identity));
    overlay.superblocks.insert(SuperblockOf(layer.get()));
  }
  return overlay;
}

bool OverlayLayers::DropUnmounted() {
  if (overlays_.empty()) return false;
  const MountPoints mounts(host_->OpenMountTable());
  const size_t dropped = std::erase_if(
      overlays_, [&](const auto& entry) { return mounts.PointsOf(entry.first).empty(); });
  if (dropped > 0) Renew();
  return dropped > 0;
}

void OverlayLayers::Renew() {
  layers_.clear();
  superblocks_.clear();
  for (const auto& [dev, overlay] : overlays_) {
    layers_.insert(overlay.layers.begin(), overlay.layers.end());
    superblocks_.insert(overlay.superblocks.begin(), overlay.superblocks.end());
  }
}

}  // namespace fileward
