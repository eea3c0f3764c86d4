#include "native/coverage/coverage_core.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <unordered_set>

#include "native/base/clock.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {
namespace {

constexpr uint64_t kLayersIntervalNs = 60'000'000'000;

}  // namespace

CoverageCore::CoverageCore(Earlier earlier, NotificationGroup& notification_group,
                           PermissionGroup& permission_group, DecisionThread& decision_thread,
                           ProcessTable& processes, EventRing& ring,
                           const std::atomic<bool>& stopping)
    : shared_(notification_group, permission_group, decision_thread, processes, ring, stopping),
      earlier_(std::move(earlier)) {
  shared_.breathe = [this] { Breathe(); };
  shared_.swap_alone = [this](WorkloadRules part) { SwapAlone(std::move(part)); };
  shared_.layers.on_layer = [this](const std::string& key) {
    for (WorkloadCoverage* coverage : All()) coverage->LeaveLayer(key);
  };
  FilesystemMarks& filesystems = shared_.marks.filesystems();
  filesystems.holds_layers = [this](uint64_t superblock) {
    return shared_.layers.HoldsLayer(superblock);
  };
  filesystems.open = [this](uint64_t superblock) { return OpenFilesystem(superblock); };
  shared_.layers.on_filesystem = [this](uint64_t superblock) { LeaveFilesystem(superblock); };
  shared_.open_filesystem = [this](uint64_t dev) { return OpenFilesystem(dev); };
  host_ = std::make_unique<WorkloadCoverage>(kHostWorkload, RootDirectory::OfHost(),
                                             Ruleset::HoldsHost, shared_);
}

std::vector<WorkloadCoverage*> CoverageCore::All() const {
  std::vector<WorkloadCoverage*> all = {host_.get()};
  for (const auto& [id, member] : members_) {
    if (member.coverage != nullptr) all.push_back(member.coverage.get());
  }
  return all;
}

Result<void> CoverageCore::Apply(std::string ruleset_json, uint64_t version,
                                 std::vector<WorkloadSpec> workloads, uint64_t serial) {
  auto text = RulesetText::Read(std::move(ruleset_json));
  if (!text.ok()) return text.error();
  auto host_plan = host_->MakePlan(**text);
  if (!host_plan.ok()) return host_plan.error();
  Admit(std::move(workloads));
  Plans plans;
  if (auto made = MakePlans(**text, plans); !made.ok()) return made.error();
  shared_.ruleset_text = std::move(*text);
  if (shared_.counters == nullptr || version != shared_.version ||
      shared_.counters->rule_count() != (*host_plan)->ruleset().rules().size()) {
    shared_.counters =
        std::make_shared<RuleCounters>(version, (*host_plan)->ruleset().rules().size());
  }
  shared_.version = version;
  serial_ = serial;

  RunningApps running;
  host_->Prepare(std::move(*host_plan), std::exchange(earlier_.followed_apps, {}), running);
  auto swap = std::make_shared<RulesetSwap>();
  swap->all = true;
  swap->counters = std::make_shared<RuleCounters>(version, shared_.counters->rule_count());
  swap->parts.push_back(host_->Part());
  for (auto& [id, plan] : plans) {
    WorkloadCoverage& coverage = *members_.at(id).coverage;
    coverage.Prepare(std::move(plan), {}, running);
    swap->parts.push_back(coverage.Part());
  }
  Swap(swap);
  host_->Finish();
  for (const auto& [id, plan] : plans) {
    Member& member = members_.at(id);
    member.coverage->Finish();
    Covered(member);
  }
  if (!earlier_.moved.empty()) host_->Restore(std::exchange(earlier_.moved, {}));
  return {};
}

// An error: what is in force for some container would have to go, and nothing could take its place.
Result<void> CoverageCore::MakePlans(const RulesetText& text, Plans& plans) {
  for (auto& [id, member] : members_) {
    if (member.coverage == nullptr || member.ended_ns != 0) continue;
    Breathe();
    auto plan = member.coverage->MakePlan(text);
    if (plan.ok()) {
      plans.emplace(id, std::move(*plan));
    } else if (member.coverage->is_covered()) {
      return plan.error();
    } else {
      CantRead(member, plan.error());
    }
  }
  return {};
}

void CoverageCore::SetWorkloads(std::vector<WorkloadSpec> workloads, uint64_t serial) {
  Admit(std::move(workloads));
  serial_ = serial;
  if (!host_->is_covered()) return;
  for (auto& [id, member] : members_) {
    if (member.coverage == nullptr || member.ended_ns != 0) continue;
    Breathe();
    if (!member.coverage->is_covered() || member.regrouped) CoverAlone(member);
  }
}

void CoverageCore::Swap(const std::shared_ptr<RulesetSwap>& swap) {
  swap->version = shared_.version;
  swap->applied_event = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  counters_.store(shared_.counters);
  if (!shared_.decision_thread.updates().Send(ReplaceAll{swap})) return;
  while (!swap->applied() && !shared_.stopping.load(std::memory_order_acquire)) {
    pollfd polled = {swap->applied_event.get(), POLLIN, 0};
    constexpr int kLookAgainMs = 50;  // for `stopping`
    poll(&polled, 1, kLookAgainMs);
  }
}

void CoverageCore::SwapAlone(WorkloadRules part) {
  auto swap = std::make_shared<RulesetSwap>();
  swap->parts.push_back(std::move(part));
  Swap(swap);
}

bool CoverageCore::Release(std::string_view path) {
  const auto all = All();
  return std::any_of(all.begin(), all.end(),
                     [&](WorkloadCoverage* coverage) { return coverage->Release(path); });
}

void CoverageCore::Handle(const Noted& noted) {
  if (members_.empty()) {
    host_->Handle(noted, false);
    return;
  }
  struct Knowing {
    WorkloadCoverage* coverage;
    uint64_t dev;
  };
  std::vector<Knowing> knowing;
  for (WorkloadCoverage* coverage : All()) {
    if (const auto dev = coverage->Knows(noted.event)) knowing.push_back({coverage, *dev});
  }
  // The overlay of one that has ended can have had what the next one's has now.
  std::unordered_set<uint64_t> in_use;
  for (const Knowing& known : knowing) {
    if (!known.coverage->has_ended()) in_use.insert(known.dev);
  }
  std::erase_if(knowing, [&](const Knowing& known) {
    const WorkloadRoot& where = known.coverage->root().where();
    return known.coverage->has_ended() && where.own_filesystem && where.dev == known.dev &&
           in_use.contains(known.dev);
  });
  const WorkloadId actor =
      noted.actor == nullptr ? kUnknownWorkload : noted.actor->process.workload;
  // Overlays of one image can have the same keys: then it is most likely about the actor's own.
  const auto differs = [&](const Knowing& known) { return known.dev != knowing.front().dev; };
  const bool doubtful = std::any_of(knowing.begin(), knowing.end(), differs);
  const auto own = std::find_if(knowing.begin(), knowing.end(), [&](const Knowing& known) {
    return known.coverage->workload() == actor;
  });
  const bool sorted_out = doubtful && actor != kHostWorkload && own != knowing.end();
  const uint64_t own_dev = sorted_out ? own->dev : 0;
  if (knowing.size() > 1) shared_.sink.Gather();
  // The host last: what it may have to walk is more, and a file that one workload knows is no more
  // looked for by its path among the others' rules.
  std::reverse(knowing.begin(), knowing.end());
  for (const Knowing& known : knowing) {
    if (!sorted_out || known.dev == own_dev) known.coverage->Handle(noted, doubtful && !sorted_out);
  }
  shared_.sink.Tell();
}

void CoverageCore::AfterEvents() {
  for (WorkloadCoverage* coverage : All()) coverage->AfterEvents();
}

void CoverageCore::NoteLost(Failure reason, uint64_t since_ns) {
  for (Lost& lost : lost_) {
    if (lost.reason != reason) continue;
    lost.since_ns = std::min(lost.since_ns, since_ns);
    return;
  }
  lost_.push_back({reason, since_ns});
}

void CoverageCore::TellLost() {
  const uint64_t now_ns = RealtimeNs();
  for (const Lost& lost : std::exchange(lost_, {}))
    host_->WriteLost(lost.reason, lost.since_ns, now_ns);
}

void CoverageCore::Rescan() {
  TellLost();
  if (!members_.empty()) shared_.sink.Gather();
  for (WorkloadCoverage* coverage : All()) coverage->Rescan();
  shared_.sink.Tell();
}

void CoverageCore::Tick(uint64_t now_ns) {
  if (!members_.empty()) shared_.sink.Gather();
  for (WorkloadCoverage* coverage : All()) coverage->Tick(now_ns);
  shared_.sink.Tell();
}

uint64_t CoverageCore::NextTick() const {
  uint64_t due_ns = UINT64_MAX;
  for (const WorkloadCoverage* coverage : All()) due_ns = std::min(due_ns, coverage->NextTick());
  return std::min(due_ns, NextOfMembers());
}

void CoverageCore::Upkeep() {
  shared_.judged.Prune();
  for (WorkloadCoverage* coverage : All()) coverage->Upkeep();
  const uint64_t now_ns = MonotonicNs();
  layers_stale_ = shared_.layers.DropUnmounted() || layers_stale_;
  if (!layers_stale_ || now_ns < next_layers_ns_) return;
  layers_stale_ = false;
  next_layers_ns_ = now_ns + kLayersIntervalNs;
  for (WorkloadCoverage* coverage : All()) coverage->LayersChanged();
}

CoverageReport CoverageCore::Report() {
  if (host_->ReportChanged()) host_report_ = host_->Report();
  CoverageReport report = host_report_;
  report.ruleset_version = shared_.version;
  report.workloads_serial = serial_;
  report.permission_marks = shared_.marks.permission_count();
  report.notification_marks = shared_.marks.notification_count();
  for (auto& [id, member] : members_) {
    if (!member.listed) continue;
    if (member.coverage != nullptr && member.coverage->ReportChanged())
      member.report.rules = member.coverage->HeldRules();
    member.report.workload = id;
    member.report.error = member.error;
    member.report.covered_ns = member.covered_ns;
    report.workloads.push_back(member.report);
  }
  members_changed_ = false;
  return report;
}

bool CoverageCore::ReportChanged() const {
  const auto all = All();
  return host_->is_covered() &&
         (members_changed_ || std::any_of(all.begin(), all.end(), [](const auto* coverage) {
            return coverage->ReportChanged();
          }));
}

}  // namespace fileward
