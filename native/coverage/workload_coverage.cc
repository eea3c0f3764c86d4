#include "native/coverage/workload_coverage.h"

#include <fcntl.h>

#include <algorithm>

#include "native/base/clock.h"
#include "native/coverage/coverage_report.h"
#include "native/coverage/file_handle.h"
#include "native/decision/mount_view.h"
#include "native/kernel/fanotify_group.h"

// Long because the steps from one ruleset to the next and the end of a workload share its parts.
namespace fileward {

SharedCoverage::SharedCoverage(NotificationGroup& notification_group,
                               PermissionGroup& permission_group, DecisionThread& decisions,
                               const ProcessTable& process_table, EventRing& ring,
                               const std::atomic<bool>& stop)
    : decision_thread(decisions),
      processes(process_table),
      stopping(stop),
      has_rename_event(notification_group.has_rename()),
      sink(ring),
      marks(&permission_group, &notification_group),
      judged(&decisions.judged_opens(), process_table) {}

WorkloadCoverage::WorkloadCoverage(WorkloadId workload, std::unique_ptr<RootDirectory> root,
                                   GroupHolds holds, SharedCoverage& shared)
    : workload_(workload),
      shared_(shared),
      root_(std::move(root)),
      mounts_(root_->OpenMountTable()),
      holds_(std::move(holds)),
      table_(*root_),
      walk_(workload, table_, shared.marks, &shared.decision_thread.updates(), shared.stopping),
      moved_(table_, shared.marks, walk_),
      facts_(workload, root_->where(), shared.sink, shared.processes, shared.host_apps),
      apps_(*root_, shared.marks),
      changes_(table_, walk_, moved_, facts_, shared.judged) {
  shared_.marks.Join(table_);
  walk_.SetLayers(&shared_.layers);
  walk_.before_directory = [this] { shared_.breathe(); };
  changes_.resolution_changed = [this](const std::string& path, const Source& source) {
    resolution_change_.emplace(path, source);
  };
  changes_.app_changed = [this](const std::string& path, const Source& source) {
    apps_changed_ = apps_.Touch(path, facts_, source) || apps_changed_;
  };
}

WorkloadCoverage::~WorkloadCoverage() { shared_.marks.Leave(table_); }

Result<std::unique_ptr<Plan>> WorkloadCoverage::MakePlan(const RulesetText& text) const {
  auto made = Plan::Make(*root_, text, holds_, shared_.has_rename_event);
  if (!made.ok()) return made.error();
  return std::make_unique<Plan>(std::move(*made));
}

void WorkloadCoverage::Prepare(std::unique_ptr<Plan> plan,
                               const std::vector<FollowedApp>& followed_before,
                               RunningApps& running) {
  resolution_change_.reset();
  apps_.Adopt(*plan, followed_before, running);
  const bool same = plan_ != nullptr && plan_->CoversSame(*plan);
  if (same) plan->TakeVolumesOf(*plan_);
  Cover(std::move(plan), !same);
  keeps_found_ = !same;
}

// The old rules decide until the swap: marks come before it, and go after it.
void WorkloadCoverage::Cover(std::unique_ptr<Plan> plan, bool walks) {
  old_plan_ = std::exchange(plan_, std::move(plan));
  walked_ = walks;
  known_before_.clear();
  walk_.SetPlan(plan_.get(), true);
  moved_.SetPlan(plan_.get());
  changes_.SetPlan(plan_.get());
  changes_.SetKeepsMoved(false);
  if (!walks) return;
  table_.ForEachObject(
      [&](CoveredObject& object) { known_before_.insert(object.status.identity); });
  walk_.WalkAll(nullptr);
  walk_.ForgetUnseenNames(nullptr);
}

WorkloadRules WorkloadCoverage::Part() {
  WorkloadRules part;
  part.workload = workload_;
  part.ruleset = plan_->shared_ruleset();
  walk_.FillTable(part.table);
  moved_.FillTable(part.table);
  part.apps = apps_.Snapshot();
  if (!root_->is_host() && root_->fd() >= 0)
    users_ = WorkloadUsers::Read(root_->fd(), root_->pid());
  part.users = users_;
  part.root = root_->where();
  facts_.SetRuleset(part.ruleset, shared_.version, shared_.counters);
  facts_.SetApps(part.apps);
  facts_.SetUsers(users_);
  if (root_->is_host()) shared_.host_apps = part.apps;
  apps_changed_ = false;
  return part;
}

void WorkloadCoverage::Finish() {
  walk_.SetQuiet(false);
  if (walked_ && !shared_.stopping.load(std::memory_order_acquire)) {
    Unmute();
    walk_.TrimUnseen();
  }
  changes_.SetKeepsMoved(true);
  old_plan_.reset();
  known_before_.clear();
  report_stale_ = true;
}

// Files that the rules before didn't cover may have been muted; so may those of a container, where
// they are on a volume, by what others open there.
void WorkloadCoverage::Unmute() {
  if (old_plan_ == nullptr && root_->is_host()) return;
  table_.ForEachObject([&](CoveredObject& object) {
    if (known_before_.contains(object.status.identity) || !object.status.IsRegular() ||
        object.names.empty())
      return;
    const CoveredObject::Name& at = object.names.front();
    if (old_plan_ == nullptr && root_->where().own_filesystem &&
        at.directory->identity.dev == root_->where().dev)
      return;
    const int fd = table_.Open(*at.directory);
    UniqueFd file = fd < 0 ? UniqueFd() : root_->FindAt(fd, at.name);
    if (file) walk_.Send(Unignore{std::move(file)});
  });
}

std::optional<uint64_t> WorkloadCoverage::Knows(const NotificationEvent& event) {
  for (const auto* name : {&event.name, &event.old_name, &event.new_name}) {
    if (!*name) continue;
    if (const Directory* found = table_.FindByKey((*name)->directory_handle))
      return found->identity.dev;
  }
  if (event.object_handle.empty()) return std::nullopt;
  if (const CoveredObject* found = table_.FindObjectByHandle(event.object_handle))
    return found->status.identity.dev;
  if (const auto app = apps_.HashedFile(event.object_handle)) return app->dev;
  return std::nullopt;
}

void WorkloadCoverage::Handle(const Noted& noted, bool doubtful) {
  if (plan_ == nullptr) return;
  if ((noted.event.mask & (FAN_MODIFY | FAN_CLOSE_WRITE)) != 0 &&
      !noted.event.object_handle.empty()) {
    const bool closed = (noted.event.mask & FAN_CLOSE_WRITE) != 0;
    apps_changed_ = apps_.ContentChanged(noted.event.object_handle, closed) || apps_changed_;
  }
  changes_.Handle(noted, doubtful);
  // At once: the events behind this one are about names that the change has given or taken.
  if (resolution_change_ && !has_ended_) ResolveAgain();
}

void WorkloadCoverage::AfterEvents() {
  if (apps_changed_) SendApps();
  table_.Close();  // a kept fd would hold its mount busy
}

void WorkloadCoverage::AppsAreNow() {
  apps_changed_ = false;
  const auto apps = apps_.Snapshot();
  facts_.SetApps(apps);
  if (root_->is_host()) shared_.host_apps = apps;
  shared_.decision_thread.updates().Send(AppsChanged{workload_, apps});
}

void WorkloadCoverage::SendApps() {
  report_stale_ = true;
  AppsAreNow();
}

void WorkloadCoverage::WriteLost(Failure reason, uint64_t since_ns, uint64_t until_ns) {
  facts_.WriteLost(reason, since_ns, until_ns, 0, plan_ == nullptr ? "" : plan_->CommonBase());
}

void WorkloadCoverage::Rescan() {
  if (plan_ == nullptr || has_ended_) return;
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

void WorkloadCoverage::SendMounts() {
  auto mounts = root_->is_host() ? MountView::ReadHost() : MountView::ReadContainer(root_->pid());
  // Of whom it was meant to be?
  if (mounts.ok() && !root_->Ended())
    shared_.decision_thread.updates().Send(
        ::fileward::MountsChanged{workload_, std::move(*mounts)});
}

void WorkloadCoverage::WalkAgain() {
  walk_.WalkAll(nullptr);
  walk_.ForgetUnseenNames(nullptr);
  walk_.TrimUnseen();
}

void WorkloadCoverage::MountsChanged(const std::vector<std::string>& points) {
  if (points.empty() || has_ended_) return;
  SendMounts();
  if (plan_ == nullptr) return;
  const bool concerns = std::any_of(points.begin(), points.end(), [&](const std::string& point) {
    return std::any_of(plan_->bases().begin(), plan_->bases().end(), [&](const std::string& base) {
      return IsAtOrBelow(point, base) || IsAtOrBelow(base, point);
    });
  });
  if (concerns) WalkAgain();
}

void WorkloadCoverage::Tick(uint64_t now_ns) {
  if (plan_ != nullptr) changes_.Tick(now_ns);
  if (!has_ended_ && apps_.HashDue(now_ns)) SendApps();
}

uint64_t WorkloadCoverage::NextTick() const {
  return std::min(changes_.NextTick(), has_ended_ ? UINT64_MAX : apps_.NextHash());
}

void WorkloadCoverage::Upkeep() {
  if (has_ended_) return;
  if (apps_.has_earlier() && apps_.DropEnded()) SendApps();
  if (users_ == nullptr || root_->fd() < 0 || users_->IsCurrent(root_->fd())) return;
  users_ = WorkloadUsers::Read(root_->fd(), root_->pid());
  facts_.SetUsers(users_);
  shared_.decision_thread.updates().Send(UsersChanged{workload_, users_});
}

void WorkloadCoverage::End() {
  if (std::exchange(has_ended_, true)) return;
  Gone();
  TakeBackMarks();
  CloseRoot();
}

void WorkloadCoverage::Gone() {
  if (is_covered()) shared_.decision_thread.updates().Send(WorkloadGone{workload_});
}

// The next container's overlay may get the same device, and its files the same inodes, as soon as
// this one's is unmounted: they must find no rules under these.
void WorkloadCoverage::CloseRoot() {
  Gone();
  table_.Close();
  mounts_.Close();
  root_->Close();
}

UniqueFd WorkloadCoverage::OpenAnywhere(const FileIdentity& identity,
                                        const std::string& handle_key) {
  const UniqueFd mount = shared_.open_filesystem(identity.dev);
  UniqueFd fd = mount ? OpenByHandleKey(mount.get(), handle_key) : UniqueFd();
  const auto status = fd ? FileStatusOf(fd.get()) : std::nullopt;
  return status && status->identity == identity ? std::move(fd) : UniqueFd();
}

// What its own root shows no more once the init has ended (a volume) is reached through another
// mount; marks on a filesystem that nobody has mounted any more end with it.
void WorkloadCoverage::TakeBackMarks() {
  shared_.marks.filesystems().Leave(workload_);
  table_.ForEachObject([&](CoveredObject& object) {
    if (object.permission_mask == 0 && object.notification_mask == 0) return;
    UniqueFd file;
    for (const CoveredObject::Name& at : object.names) {
      const int fd = table_.Open(*at.directory);
      file = fd < 0 ? UniqueFd() : root_->FindAt(fd, at.name);
      const auto status = file ? FileStatusOf(file.get()) : std::nullopt;
      if (status && status->identity == object.status.identity) break;
      file.reset();
    }
    if (!file) file = OpenAnywhere(object.status.identity, object.handle_key);
    shared_.marks.ForgetFile(object, file.get());
  });
  table_.ForEachBelow(table_.root(), [&](Directory& directory) {
    if (directory.permission_mask == 0 && directory.notification_mask == 0) return;
    const int fd = table_.Open(directory);
    const UniqueFd elsewhere =
        fd < 0 ? OpenAnywhere(directory.identity, directory.key) : UniqueFd();
    shared_.marks.ForgetDirectory(directory, fd < 0 ? elsewhere.get() : fd);
  });
  apps_.TakeBackMarks([this](const FileIdentity& identity, const std::string& handle_key) {
    return OpenAnywhere(identity, handle_key);
  });
  table_.Close();
}

void WorkloadCoverage::LeaveLayer(const std::string& key) {
  Directory* const layer = plan_ == nullptr ? nullptr : table_.FindByKey(key);
  if (layer == nullptr || layer->in_layer) return;
  walk_.AvoidLayer(*layer);
  table_.Close();
}

void WorkloadCoverage::FilesystemLost(const std::string& path) {
  walk_.FilesystemLost(path);
  report_stale_ = true;
}

void WorkloadCoverage::LayersChanged() {
  if (plan_ != nullptr && !has_ended_ && walk_.has_layers()) WalkAgain();
}

CoverageReport WorkloadCoverage::Report() {
  CoverageReport report;
  if (plan_ != nullptr) report = BuildReport(*plan_, table_, walk_, apps_);
  report.moved = moved_.List();
  report.followed_apps = apps_.Followed();
  reported_ = ReportState();
  report_stale_ = false;
  return report;
}

std::vector<RuleCoverage> WorkloadCoverage::HeldRules() {
  std::vector<RuleCoverage> rules = Report().rules;
  std::erase_if(rules, [&](const RuleCoverage& rule) {
    return !plan_->ruleset().rules()[rule.rule_index].held;
  });
  return rules;
}

WorkloadCoverage::State WorkloadCoverage::ReportState() const {
  return {table_.object_count(), table_.directory_count(), moved_.List().size(),
          apps_.Followed().size(), walk_.troubles().size()};
}

bool WorkloadCoverage::ReportChanged() const {
  return plan_ != nullptr && (report_stale_ || reported_ != ReportState());
}

}  // namespace fileward
