#include "native/decision/workload_mounts.h"

#include <utility>

namespace fileward {
namespace {

// A container may mount one directory any number of times, and each is matched while openers wait.
constexpr size_t kMaxPointsOfOne = 64;

}  // namespace

void WorkloadMounts::Set(WorkloadId workload, std::shared_ptr<const MountView> view) {
  Remove(workload);
  for (const MountedAt& mounted : view->mounted()) {
    MountedThere& there = points_[mounted.place.filesystem][mounted.place.path];
    // Those of one workload stand together.
    const size_t count = there.points.size();
    if (workload != kHostWorkload && count >= kMaxPointsOfOne &&
        there.points[count - kMaxPointsOfOne].workload == workload) {
      if (there.cut.empty() || there.cut.back() != workload) there.cut.push_back(workload);
      continue;
    }
    there.points.push_back({workload, mounted.point});
  }
  views_.emplace(workload, std::move(view));
}

void WorkloadMounts::Remove(WorkloadId workload) {
  const auto view = views_.find(workload);
  if (view == views_.end()) return;
  for (const MountedAt& mounted : view->second->mounted()) {
    const auto filesystem = points_.find(mounted.place.filesystem);
    if (filesystem == points_.end()) continue;
    const auto at = filesystem->second.find(mounted.place.path);
    if (at == filesystem->second.end()) continue;
    std::erase_if(at->second.points,
                  [&](const Point& point) { return point.workload == workload; });
    std::erase(at->second.cut, workload);
    if (at->second.points.empty()) filesystem->second.erase(at);
    if (filesystem->second.empty()) points_.erase(filesystem);
  }
  views_.erase(view);
}

const MountView* WorkloadMounts::ViewOf(WorkloadId workload) const {
  const auto view = views_.find(workload);
  return view == views_.end() ? nullptr : view->second.get();
}

// The host's first: most opens come through its mounts.
std::optional<FilePlace> WorkloadMounts::PlaceOf(int fd, uint64_t dev, uint64_t mount_id,
                                                 std::string_view text) const {
  const MountView* const host = ViewOf(kHostWorkload);
  if (host != nullptr) {
    if (auto place = host->PlaceOf(mount_id, text)) return place;
  }
  for (const auto& [workload, view] : views_) {
    if (workload == kHostWorkload) continue;
    if (auto place = view->PlaceOf(mount_id, text)) return place;
  }
  return host == nullptr ? std::nullopt : host->FindAgain(fd, dev);
}

uint64_t WorkloadMounts::FilesystemOf(uint64_t mount_id) const {
  for (const auto& [workload, view] : views_) {
    if (const uint64_t filesystem = view->FilesystemOf(mount_id)) return filesystem;
  }
  return 0;
}

WorkloadMounts::Paths WorkloadMounts::PathsOf(const FilePlace& place) const {
  Paths paths;
  const auto filesystem = points_.find(place.filesystem);
  if (filesystem == points_.end()) return paths;
  // The directories that it lies below, the nearest first; last the filesystem's root, "".
  const std::string_view path = place.path;
  size_t end = path.size();
  while (true) {
    const auto at = filesystem->second.find(path.substr(0, end));
    if (at != filesystem->second.end()) {
      paths.all = paths.all && at->second.cut.empty();
      for (const Point& point : at->second.points) {
        paths.paths.push_back({point.workload, point.point + std::string(path.substr(end))});
      }
    }
    if (end == 0) return paths;
    end = path.rfind('/', end - 1);
  }
}

}  // namespace fileward
