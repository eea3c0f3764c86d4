// The part of CoverageCore that deals with containers as they come, get other groups and go.
#include <algorithm>
#include <set>

#include "native/base/clock.h"
#include "native/coverage/coverage_core.h"

namespace fileward {
namespace {

constexpr uint64_t kBreathNs = 10'000'000;
// A container that mounts without end gets a fifth of the thread for it.
constexpr uint64_t kMountsRest = 4;
// How long after the end of an init its last events may still be on their way.
constexpr uint64_t kLateEventsNs = 200'000'000;
constexpr uint64_t kFirstRetryNs = 5'000'000;
constexpr uint64_t kLastRetryNs = 5'000'000'000;

GroupHolds HoldsGroupsOf(const WorkloadSpec& spec) {
  return [groups = spec.groups](const RuleGroup& group) {
    return std::find(groups.begin(), groups.end(), group.name) != groups.end();
  };
}

bool IsReadable(int fd) {
  pollfd polled = {fd, POLLIN, 0};
  return fd >= 0 && poll(&polled, 1, 0) > 0;
}

}  // namespace

void CoverageCore::Admit(std::vector<WorkloadSpec> workloads) {
  members_changed_ = true;
  std::set<WorkloadId> told;
  for (WorkloadSpec& spec : workloads) {
    if (spec.groups.empty() || spec.id == kHostWorkload || spec.id == kUnknownWorkload) continue;
    told.insert(spec.id);
    Member& member = members_[spec.id];
    member.listed = true;
    if (member.spec.pid != spec.pid || member.spec.start_ticks != spec.start_ticks) Drop(member);
    if (member.coverage != nullptr && member.spec.groups != spec.groups) {
      member.coverage->SetGroups(HoldsGroupsOf(spec));
      member.regrouped = true;
    }
    member.spec = std::move(spec);
    if (member.coverage == nullptr) Open(member);
  }
  for (auto at = members_.begin(); at != members_.end();) {
    Member& member = at->second;
    if (told.contains(at->first)) {
      ++at;
      continue;
    }
    // Of one that has ended the last events may be on their way.
    member.listed = false;
    if (member.ended_ns != 0 && member.coverage != nullptr) {
      ++at;
      continue;
    }
    Drop(member);
    at = members_.erase(at);
  }
}

void CoverageCore::Open(Member& member) {
  auto root = RootDirectory::OfProcess(member.spec.pid, member.spec.start_ticks);
  member.ended_ns = 0;
  member.retry_ns = 0;
  if (!root.ok()) {
    const int reason = root.error().error_number;
    if (reason == EAGAIN) {
      member.retry_after_ns = std::clamp(member.retry_after_ns * 2, kFirstRetryNs, kLastRetryNs);
      member.retry_ns = MonotonicNs() + member.retry_after_ns;
    }
    member.error = reason == ESRCH    ? "gone"
                   : reason == EAGAIN ? "no_root"
                   : reason == EXDEV  ? "filesystem_may_hang"
                                      : root.error().Message();
    return;
  }
  member.error.clear();
  member.coverage = std::make_unique<WorkloadCoverage>(member.spec.id, std::move(*root),
                                                       HoldsGroupsOf(member.spec), shared_);
}

// The rules of one workload, while everything else stays.
void CoverageCore::CoverAlone(Member& member) {
  auto plan = member.coverage->MakePlan(*shared_.ruleset_text);
  if (!plan.ok()) return CantRead(member, plan.error());
  RunningApps running;
  member.coverage->Prepare(std::move(*plan), {}, running);
  SwapAlone(member.coverage->Part());
  member.coverage->Finish();
  Covered(member);
}

// The rules of its groups are too large together, say. What decided for it before still does.
void CoverageCore::CantRead(Member& member, const Error& error) {
  member.error = error.Message();
  member.regrouped = false;
  members_changed_ = true;
}

void CoverageCore::Covered(Member& member) {
  member.regrouped = false;
  member.error.clear();
  members_changed_ = true;
  if (member.covered_ns != 0) return;
  member.coverage->SendMounts();
  // One that ended meanwhile was not covered for certain.
  if (!member.coverage->root().Ended()) member.covered_ns = RealtimeNs();
}

void CoverageCore::Drop(Member& member) {
  members_changed_ = true;
  if (member.coverage == nullptr) return;
  member.coverage->End();
  member.coverage.reset();
}

void CoverageCore::AddPolled(std::vector<pollfd>& polled) {
  polled.push_back({host_->mounts().fd(), POLLPRI, 0});
  polled_.clear();
  const uint64_t now_ns = MonotonicNs();
  for (auto& [id, member] : members_) {
    if (member.coverage == nullptr || member.coverage->root().fd() < 0) continue;
    polled_.push_back(id);
    polled.push_back({member.coverage->root().pidfd(), POLLIN, 0});
    const bool rests = now_ns < member.next_mounts_ns;
    polled.push_back({rests ? -1 : member.coverage->mounts().fd(), POLLPRI, 0});
  }
}

void CoverageCore::TakeReady(std::span<const pollfd> polled) {
  if (polled[0].revents != 0) host_->MountsChanged(host_->mounts().TakeChanges());
  for (size_t index = 0; index < polled_.size(); ++index) {
    const bool has_ended = polled[1 + index * 2].revents != 0;
    if (has_ended || polled[2 + index * 2].revents == 0) continue;
    Member& member = members_.at(polled_[index]);
    const uint64_t began_ns = MonotonicNs();
    member.coverage->MountsChanged(member.coverage->mounts().TakeChanges());
    const uint64_t now_ns = MonotonicNs();
    member.next_mounts_ns = now_ns + (now_ns - began_ns) * kMountsRest;
  }
}

bool CoverageCore::HasEnded() const {
  return std::any_of(members_.begin(), members_.end(), [](const auto& entry) {
    const Member& member = entry.second;
    return member.coverage != nullptr && member.ended_ns == 0 && member.coverage->root().Ended();
  });
}

void CoverageCore::EndEnded() {
  for (auto& [id, member] : members_) {
    if (member.coverage == nullptr || member.ended_ns != 0 || !member.coverage->root().Ended())
      continue;
    member.coverage->End();
    member.ended_ns = MonotonicNs();
    member.error = "gone";
    members_changed_ = true;
  }
}

void CoverageCore::DropEnded(uint64_t now_ns) {
  for (auto at = members_.begin(); at != members_.end();) {
    Member& member = at->second;
    if (member.ended_ns != 0 && now_ns >= member.ended_ns + kLateEventsNs) Drop(member);
    at = member.listed || member.coverage != nullptr ? std::next(at) : members_.erase(at);
  }
}

void CoverageCore::RetryRoots(uint64_t now_ns) {
  for (auto& [id, member] : members_) {
    if (member.retry_ns == 0 || now_ns < member.retry_ns) continue;
    Open(member);
    members_changed_ = members_changed_ || member.retry_ns == 0;
    if (member.coverage != nullptr && host_->is_covered()) CoverAlone(member);
  }
}

uint64_t CoverageCore::NextOfMembers() const {
  const uint64_t now_ns = MonotonicNs();
  uint64_t due_ns = UINT64_MAX;
  for (const auto& [id, member] : members_) {
    if (member.retry_ns != 0) due_ns = std::min(due_ns, member.retry_ns);
    if (member.coverage == nullptr) continue;
    if (member.ended_ns != 0) due_ns = std::min(due_ns, member.ended_ns + kLateEventsNs);
    if (member.ended_ns == 0 && member.coverage->root().fd() < 0) due_ns = now_ns;  // see Breathe
    if (now_ns < member.next_mounts_ns) due_ns = std::min(due_ns, member.next_mounts_ns);
  }
  return due_ns;
}

// A walk may take long: what ends meanwhile gets its mounts back all the same.
void CoverageCore::Breathe() {
  const uint64_t now_ns = MonotonicNs();
  if (members_.empty() || now_ns < next_breath_ns_) return;
  next_breath_ns_ = now_ns + kBreathNs;
  for (auto& [id, member] : members_) {
    if (member.coverage != nullptr && IsReadable(member.coverage->root().pidfd()))
      member.coverage->CloseRoot();
  }
}

UniqueFd CoverageCore::OpenFilesystem(uint64_t dev) const {
  for (const WorkloadCoverage* coverage : All()) {
    for (const std::string& point : coverage->mounts().PointsOf(dev)) {
      UniqueFd fd = coverage->root().OpenDirectory(point);
      if (fd && SuperblockOf(fd.get()) == dev) return fd;
    }
  }
  return UniqueFd();
}

void CoverageCore::LeaveFilesystem(uint64_t superblock) {
  for (const auto& [workload, path] : shared_.marks.filesystems().Withdraw(superblock)) {
    for (WorkloadCoverage* coverage : All()) {
      if (coverage->workload() == workload) coverage->FilesystemLost(path);
    }
  }
}

}  // namespace fileward
