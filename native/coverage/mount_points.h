// Tells when the mounts of a namespace change, and where.
#ifndef FILEWARD_COVERAGE_MOUNT_POINTS_H_
#define FILEWARD_COVERAGE_MOUNT_POINTS_H_

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "native/base/unique_fd.h"

namespace fileward {

class MountPoints {
 public:
  // `table`: a mountinfo; all of what it has now is known already.
  explicit MountPoints(UniqueFd table);
  // Polls with POLLPRI when something changed.
  int fd() const { return fd_.get(); }
  // Mount points that came, went or changed hands since the last call.
  std::vector<std::string> TakeChanges();
  // Closes the table: an open one pins the mounts of its namespace.
  void Close() { fd_.reset(); }
  // Where the filesystem of this st_dev was mounted when changes were last taken.
  std::vector<std::string> PointsOf(uint64_t dev) const;
  struct Layers {
    std::vector<std::string> paths;  // lower, upper and work directories, as they were given
    // Directories that those which are relative may have been given from: the kernel doesn't tell.
    std::vector<std::string> bases;
    bool operator==(const Layers&) const = default;
  };
  // Of the overlay with this st_dev; no paths when there is none.
  Layers LayersOf(uint64_t dev) const;

 private:
  struct Mount {
    std::string point;
    uint64_t id = 0;
    uint64_t dev = 0;
    std::string layers;  // of an overlay: its options
    auto operator<=>(const Mount&) const = default;
  };
  UniqueFd fd_;
  std::vector<Mount> known_;  // sorted
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_MOUNT_POINTS_H_
