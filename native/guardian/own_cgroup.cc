#include "native/guardian/own_cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "native/base/unique_fd.h"
#include "native/kernel/mount_table.h"

namespace fileward {
namespace {

constexpr std::string_view kPrefix = "fileward-guardian-";

bool HasOption(std::string_view options, std::string_view wanted) {
  for (size_t at = 0; at <= options.size();) {
    const size_t end = std::min(options.find(',', at), options.size());
    if (options.substr(at, end - at) == wanted) return true;
    at = end + 1;
  }
  return false;
}

// Mount points, of each hierarchy one.
std::vector<std::string> Hierarchies() {
  std::vector<std::string> points;
  std::vector<uint64_t> seen;
  const auto mounts = ReadMountTable("self");
  if (!mounts) return points;
  for (const MountEntry& mount : *mounts) {
    const bool v1 = mount.type == "cgroup" &&
                    (HasOption(mount.options, "freezer") || HasOption(mount.options, "memory") ||
                     HasOption(mount.options, "pids"));
    if (!v1 && mount.type != "cgroup2") continue;
    if (std::find(seen.begin(), seen.end(), mount.dev) != seen.end()) continue;
    seen.push_back(mount.dev);
    points.push_back(mount.point);
  }
  return points;
}

bool Enter(const std::string& cgroup) {
  const UniqueFd processes(::open((cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  // 0: the writer.
  return processes && ::write(processes.get(), "0", 1) == 1;
}

// Another guardian that starts or ends may take ours for a left one before we are in it.
bool MakeAndEnter(const std::string& cgroup) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (::mkdir(cgroup.c_str(), 0755) != 0 && errno != EEXIST) return false;
    if (Enter(cgroup)) return true;
  }
  ::rmdir(cgroup.c_str());
  return false;
}

std::string OwnName() { return "/" + std::string(kPrefix) + std::to_string(::getpid()); }

}  // namespace

bool MoveToOwnCgroups() {
  RemoveEmptyGuardianCgroups();
  bool all = true;
  for (const std::string& point : Hierarchies()) {
    all = MakeAndEnter(point + OwnName()) && all;
  }
  return all;
}

void LeaveOwnCgroups() {
  for (const std::string& point : Hierarchies()) {
    if (Enter(point)) ::rmdir((point + OwnName()).c_str());
  }
}

void RemoveEmptyGuardianCgroups() {
  for (const std::string& point : Hierarchies()) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(point, error)) {
      // Refused where somebody lives in it.
      if (entry.path().filename().native().starts_with(kPrefix)) ::rmdir(entry.path().c_str());
    }
  }
}

}  // namespace fileward
