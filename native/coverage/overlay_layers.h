// Overlays and the directories that they are made of. Reading an event of an overlay's file opens
// the file behind it: were that one marked as well, the read would wait for itself, and every
// opener behind it. So either an overlay gets permission marks or its layers do, never both.
//
// Contract: an overlay may be guarded only when it stands in the host's own mount table, which
// tells its layers, and each of them is found; these are guarded no more. What a container says of
// its mounts is not believed: it could have any directory declared a layer. Cost: for each overlay
// asked about one look at the mount table. Thread-safety: none; the coverage thread owns it.
#ifndef FILEWARD_COVERAGE_OVERLAY_LAYERS_H_
#define FILEWARD_COVERAGE_OVERLAY_LAYERS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "native/base/file_identity.h"
#include "native/coverage/mount_points.h"
#include "native/coverage/workload_root.h"

namespace fileward {

class OverlayLayers {
 public:
  OverlayLayers();

  // May what `fd` is, on the filesystem of this st_dev, carry permission marks? True for all that
  // is on no overlay. Asking makes the layers of an overlay ones.
  bool MayGuard(int fd, uint64_t dev);
  bool IsLayer(const FileIdentity& directory) const { return layers_.contains(directory); }
  // Is one on the filesystem of this SuperblockOf?
  bool HoldsLayer(uint64_t superblock) const {
    return superblocks_.contains(superblock) || superblocks_.contains(0);
  }
  // Forgets overlays that are mounted no more; true: some directories are layers no more.
  bool DropUnmounted();

  // A directory with this key has become a layer.
  std::function<void(const std::string& directory_key)> on_layer;
  // The filesystem of this SuperblockOf holds one now (0: nobody knows which). Called before.
  std::function<void(uint64_t superblock)> on_filesystem;

 private:
  struct Overlay {
    MountPoints::Layers told;
    std::vector<FileIdentity> layers;
    std::vector<std::string> keys;
    std::unordered_set<uint64_t> superblocks;
  };
  std::optional<Overlay> Look(const MountPoints::Layers& told) const;
  std::optional<Overlay> LookFrom(const MountPoints::Layers& told, const std::string& base) const;
  void Renew();

  const std::unique_ptr<RootDirectory> host_;
  std::unordered_map<uint64_t, Overlay> overlays_;  // by st_dev
  std::unordered_set<FileIdentity> layers_;         // of all of them
  std::unordered_set<uint64_t> superblocks_;        // where these are
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_OVERLAY_LAYERS_H_
