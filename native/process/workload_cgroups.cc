#include "native/process/workload_cgroups.h"

#include <utility>

namespace fileward {
namespace {

// Of a segment; a container's monitor bears its id too.
bool IsNamedLikeContainer(std::string_view name) {
  constexpr size_t kIdDigits = 64;
  if (name.find("conmon") != std::string_view::npos) return false;
  size_t digits = 0;
  for (const char letter : name) {
    const bool is_digit = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
    digits = is_digit ? digits + 1 : 0;
    if (digits == kIdDigits) return true;
  }
  return false;
}

}  // namespace

WorkloadCgroups::WorkloadCgroups(std::vector<Entry> entries) {
  for (Entry& entry : entries) {
    while (entry.cgroup.ends_with('/')) entry.cgroup.pop_back();
    if (entry.cgroup.empty()) continue;
    by_cgroup_.insert_or_assign(entry.cgroup, entry.id);
    by_id_.insert_or_assign(entry.id, Container{std::move(entry.cgroup), entry.init_pid});
  }
}

WorkloadId WorkloadCgroups::Of(std::string_view cgroup) const {
  if (empty()) return kHostWorkload;
  while (true) {
    if (const auto found = by_cgroup_.find(cgroup); found != by_cgroup_.end()) return found->second;
    const size_t end = cgroup.rfind('/');
    if (end == std::string_view::npos) return kHostWorkload;
    cgroup = cgroup.substr(0, end);
  }
}

std::string_view WorkloadCgroups::CgroupOf(WorkloadId workload) const {
  const auto found = by_id_.find(workload);
  return found == by_id_.end() ? std::string_view{} : found->second.cgroup;
}

int32_t WorkloadCgroups::InitOf(WorkloadId workload) const {
  const auto found = by_id_.find(workload);
  return found == by_id_.end() ? 0 : found->second.init_pid;
}

bool WorkloadCgroups::Holds(WorkloadId workload, std::string_view cgroup) const {
  const std::string_view own = CgroupOf(workload);
  return !own.empty() && cgroup.starts_with(own) &&
         (cgroup.size() == own.size() || cgroup[own.size()] == '/');
}

std::string_view WorkloadCgroups::Within(WorkloadId workload, std::string_view cgroup) const {
  return Holds(workload, cgroup) ? cgroup.substr(CgroupOf(workload).size()) : cgroup;
}

bool WorkloadCgroups::MayBeNew(std::string_view cgroup) const {
  if (Of(cgroup) != kHostWorkload) return false;
  while (!cgroup.empty()) {
    const size_t name_at = cgroup.rfind('/') + 1;
    if (IsNamedLikeContainer(cgroup.substr(name_at))) return true;
    cgroup = cgroup.substr(0, name_at == 0 ? 0 : name_at - 1);
  }
  return false;
}

}  // namespace fileward
