// Tells when the mounts of our namespace change, and where.
#ifndef FILEWARD_COVERAGE_MOUNT_POINTS_H_
#define FILEWARD_COVERAGE_MOUNT_POINTS_H_

#include <string>
#include <utility>
#include <vector>

#include "native/base/unique_fd.h"

namespace fileward {

class MountPoints {
 public:
  MountPoints();
  // Polls with POLLPRI when something changed.
  int fd() const { return fd_.get(); }
  // Mount points that came, went or changed hands since the last call.
  std::vector<std::string> TakeChanges();

 private:
  UniqueFd fd_;
  std::vector<std::pair<std::string, std::string>> known_;  // mount point, mount id; sorted
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_MOUNT_POINTS_H_
