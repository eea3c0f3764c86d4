#include "native/coverage/coverage_core.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "native/base/clock.h"
#include "native/coverage/coverage_report.h"
#include "native/decision/mount_view.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

CoverageCore::CoverageCore(Earlier earlier, NotificationGroup& notification_group,
                           PermissionGroup& permission_group, DecisionThread& decision_thread,
                           ProcessTable& processes, EventRing& ring,
                           const std::atomic<bool>& stopping)
    : decision_thread_(decision_thread),
      stopping_(stopping),
      has_rename_event_(notification_group.has_rename()),
      marks_(&permission_group, &notification_group),
      walk_(table_, marks_, &decision_thread.updates(), stopping),
      moved_(table_, marks_, walk_),
      facts_(ring, processes),
      judged_(&decision_thread.judged_opens(), processes),
      apps_(&permission_group, &notification_group),
      changes_(table_, walk_, moved_, facts_, judged_),
      earlier_(std::move(earlier)) {
  changes_.resolution_changed = [this](const std::string& path, const Source& source) {
    resolution_change_.emplace(path, source);
  };
  changes_.app_changed = [this](const std::string& path, const Source& source) {
    apps_changed_ = apps_.Touch(path, facts_, source) || apps_changed_;
  };
}

Result<void> CoverageCore::Apply(std::string ruleset_json, uint64_t version) {
  auto made = Plan::Make(ruleset_json, has_rename_event_);
  if (!made.ok()) return made.error();
  auto plan = std::make_unique<Plan>(std::move(*made));
  ruleset_json_ = std::move(ruleset_json);
  version_ = version;
  resolution_change_.reset();
  apps_.Adopt(*plan, std::exchange(earlier_.followed_apps, {}));
  const bool same = plan_ != nullptr && plan_->CoversSame(*plan);
  if (same) plan->TakeVolumesOf(*plan_);
  Cover(std::move(plan), same ? Walk::kNone : Walk::kFull);
  walked_ = !same;
  if (!earlier_.moved.empty()) moved_.Restore(std::exchange(earlier_.moved, {}));
  return {};
}

// The old ruleset decides until Swap: marks come before it, and go after it.
void CoverageCore::Cover(std::unique_ptr<Plan> plan, Walk how) {
  std::unordered_set<FileIdentity> known_before;
  const bool first = plan_ == nullptr;
  const std::unique_ptr<Plan> old = std::exchange(plan_, std::move(plan));
  walk_.SetPlan(plan_.get(), true);
  moved_.SetPlan(plan_.get());
  changes_.SetPlan(plan_.get());
  changes_.SetKeepsMoved(false);
  if (how == Walk::kFull) {
    table_.ForEachObject(
        [&](CoveredObject& object) { known_before.insert(object.status.identity); });
    walk_.WalkAll(nullptr);
    walk_.ForgetUnseenNames(nullptr);
  }
  Swap(plan_->shared_ruleset());
  walk_.SetQuiet(false);
  if (how == Walk::kFull && !stopping_.load(std::memory_order_acquire)) {
    if (!first) Unmute(known_before);
    walk_.TrimUnseen();
  }
  changes_.SetKeepsMoved(true);
}

void CoverageCore::Swap(std::shared_ptr<const Ruleset> ruleset) {
  auto swap = std::make_shared<RulesetSwap>();
  swap->ruleset = ruleset;
  swap->version = version_;
  walk_.FillTable(swap->table);
  moved_.FillTable(swap->table);
  swap->apps = apps_.Snapshot();
  const auto counted = decision_thread_.counters();
  swap->counters = counted != nullptr && counted->ruleset_version() == version_
                       ? std::const_pointer_cast<RuleCounters>(counted)
                       : std::make_shared<RuleCounters>(version_, ruleset->rules().size());
  swap->applied_event = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  facts_.SetRuleset(ruleset, version_);
  facts_.SetApps(swap->apps);
  counters_.store(facts_.counters());
  apps_changed_ = false;
  if (!decision_thread_.updates().Send(ReplaceAll{swap})) return;
  while (!swap->applied() && !stopping_.load(std::memory_order_acquire)) {
    pollfd polled = {swap->applied_event.get(), POLLIN, 0};
    constexpr int kLookAgainMs = 50;  // for `stopping_`
    poll(&polled, 1, kLookAgainMs);
  }
}

// Files that the old ruleset didn't cover may have been muted by it.
void CoverageCore::Unmute(const std::unordered_set<FileIdentity>& known_before) {
  table_.ForEachObject([&](CoveredObject& object) {
    if (known_before.contains(object.status.identity) || !object.status.IsRegular() ||
        object.names.empty())
      return;
    const CoveredObject::Name& at = object.names.front();
    const int fd = table_.Open(*at.directory);
    UniqueFd file(fd < 0 ? -1 : openat(fd, at.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (file) walk_.Send(Unignore{std::move(file)});
  });
}

void CoverageCore::Handle(const Noted& noted) {
  if (plan_ == nullptr) return;
  if ((noted.event.mask & (FAN_MODIFY | FAN_CLOSE_WRITE)) != 0 &&
      !noted.event.object_handle.empty()) {
    const bool closed = (noted.event.mask & FAN_CLOSE_WRITE) != 0;
    apps_changed_ = apps_.ContentChanged(noted.event.object_handle, closed) || apps_changed_;
  }
  changes_.Handle(noted);
  // At once: the events behind this one are about names that the change has given or taken.
  if (resolution_change_) ResolveAgain();
}

void CoverageCore::AfterEvents() {
  if (apps_changed_) SendApps();
  table_.Close();  // a kept fd would hold its mount busy
}

void CoverageCore::SendApps() {
  apps_changed_ = false;
  report_stale_ = true;
  const auto apps = apps_.Snapshot();
  facts_.SetApps(apps);
  decision_thread_.updates().Send(AppsChanged{apps});
}

void CoverageCore::NoteLost(Failure reason, uint64_t since_ns) {
  for (Lost& lost : lost_) {
    if (lost.reason != reason) continue;
    lost.since_ns = std::min(lost.since_ns, since_ns);
    return;
  }
  lost_.push_back({reason, since_ns, 0});
}

void CoverageCore::TellLost() {
  const uint64_t now_ns = RealtimeNs();
  for (const Lost& lost : std::exchange(lost_, {}))
    facts_.WriteLost(lost.reason, lost.since_ns, now_ns, lost.count,
                     plan_ == nullptr ? "" : plan_->CommonBase());
}

void CoverageCore::Rescan() {
  TellLost();
  if (plan_ == nullptr) return;
  Findings findings;
  walk_.WalkAll(&findings);
  walk_.ForgetUnseenNames(&findings);
  walk_.TrimUnseen();
  Source source;
  source.time_ns = RealtimeNs();
  source.read_ns = MonotonicNs();
  source.found_on_rescan = true;
  changes_.WriteFindings(findings, source);
  apps_.Recheck(*plan_, facts_, source);
  SendApps();
}

void CoverageCore::SendMounts() {
  auto mounts = MountView::Read();
  if (mounts.ok()) decision_thread_.updates().Send(::fileward::MountsChanged{std::move(*mounts)});
}

void CoverageCore::MountsChanged(const std::vector<std::string>& points) {
  if (points.empty()) return;
  SendMounts();
  if (plan_ == nullptr) return;
  const bool concerns = std::any_of(points.begin(), points.end(), [&](const std::string& point) {
    return std::any_of(plan_->bases().begin(), plan_->bases().end(), [&](const std::string& base) {
      return IsAtOrBelow(point, base) || IsAtOrBelow(base, point);
    });
  });
  if (!concerns) return;
  walk_.WalkAll(nullptr);
  walk_.ForgetUnseenNames(nullptr);
  walk_.TrimUnseen();
}

void CoverageCore::Tick(uint64_t now_ns) {
  if (plan_ != nullptr) changes_.Tick(now_ns);
}

uint64_t CoverageCore::NextTick() const { return changes_.NextTick(); }

void CoverageCore::Upkeep() {
  judged_.Prune();
  if (apps_.has_earlier() && apps_.DropEnded()) SendApps();
}

CoverageReport CoverageCore::Report() {
  CoverageReport report;
  if (plan_ != nullptr) report = BuildReport(*plan_, table_, walk_, apps_);
  report.ruleset_version = version_;
  report.permission_marks = marks_.permission_count();
  report.notification_marks = marks_.notification_count();
  report.moved = moved_.List();
  report.followed_apps = apps_.Followed();
  reported_ = ReportState();
  report_stale_ = false;
  return report;
}

std::tuple<size_t, size_t, size_t, size_t, size_t> CoverageCore::ReportState() const {
  return {table_.object_count(), table_.directory_count(), moved_.List().size(),
          apps_.Followed().size(), walk_.troubles().size()};
}

bool CoverageCore::ReportChanged() const {
  return plan_ != nullptr && (report_stale_ || reported_ != ReportState());
}

}  // namespace fileward
