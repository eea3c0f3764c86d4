// Long because one thread does all of it: what it is asked, what it reads, and what is due.
#include "native/coverage/coverage.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <unordered_set>
#include <utility>

#include "native/base/clock.h"
#include "native/coverage/coverage_core.h"
#include "native/coverage/notification_reader.h"
#include "native/process/process_table.h"

namespace fileward {
namespace {

constexpr uint64_t kReportIntervalNs = 1'000'000'000;
constexpr uint64_t kUpkeepIntervalNs = 5'000'000'000;
constexpr uint64_t kNamelessRescanNs = 200'000'000;
// After so many events the other duties get their turn.
constexpr size_t kEventsPerRound = 4096;
constexpr uint64_t kLastEventsNs = 500'000'000;
constexpr uint64_t kKeepGoneNs = 60'000'000'000;
// The agent ends within 5 s, and has more to do than this.
constexpr std::chrono::seconds kStopWait{2};

UniqueFd MakeEvent() { return UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void Signal(const UniqueFd& event_fd) {
  const uint64_t one = 1;
  (void)!write(event_fd.get(), &one, sizeof(one));
}

void Clear(int event_fd) {
  uint64_t count = 0;
  (void)!read(event_fd, &count, sizeof(count));
}

}  // namespace

class Coverage::Impl {
 public:
  Impl(CoverageOptions options, NotificationGroup group, PermissionGroup& permission_group,
       DecisionThread& decision_thread, ProcessTable& processes, EventRing& ring)
      : on_report_(std::move(options.on_report)),
        on_fatal_(std::move(options.on_fatal)),
        group_(std::move(group)),
        reader_(group_, processes, [this](const Error& error) { Fatal(error); }),
        processes_(processes),
        core_({std::move(options.moved), std::move(options.followed_apps)}, group_,
              permission_group, decision_thread, processes, ring, stopping_),
        wake_(MakeEvent()) {}

  void Start() {
    reader_.Start();
    thread_ = std::thread([this] { Run(); });
  }

  bool Stop() {
    stopping_.store(true, std::memory_order_release);
    Signal(wake_);
    reader_.Stop();
    if (!thread_.joinable()) return true;
    {
      std::unique_lock lock(mutex_);
      if (!has_ended_.wait_for(lock, kStopWait, [this] { return ended_; })) return false;
    }
    thread_.join();
    TakeLastEvents();
    return true;
  }

  void Apply(std::string ruleset_json, uint64_t version, std::vector<WorkloadSpec> workloads,
             uint64_t serial) {
    TellProcesses(workloads);
    {
      const std::lock_guard lock(mutex_);
      pending_apply_.emplace(std::move(ruleset_json), version);
      pending_workloads_.emplace(std::move(workloads), serial);
    }
    Signal(wake_);
  }

  void SetWorkloads(uint64_t serial, std::vector<WorkloadSpec> workloads) {
    TellProcesses(workloads);
    {
      const std::lock_guard lock(mutex_);
      pending_workloads_.emplace(std::move(workloads), serial);
    }
    Signal(wake_);
  }

  bool Release(std::string_view path) {
    std::future<bool> answer;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_.load(std::memory_order_acquire)) return false;
      answer = pending_releases_.emplace_back(std::string(path), std::promise<bool>())
                   .second.get_future();
    }
    Signal(wake_);
    return answer.get();
  }

  CoveredFiles TakeCoveredFiles() {
    std::future<CoveredFiles> answer;
    {
      const std::lock_guard lock(mutex_);
      if (!ended_) answer = pending_files_.emplace().get_future();
    }
    if (!answer.valid()) return core_.TakeCoveredFiles();
    Signal(wake_);
    return answer.get();
  }

  CoverageCore& core() { return core_; }

  EventCounts events() const {
    // In this order: what is handled was read before.
    const uint64_t handled = handled_.load(std::memory_order_acquire);
    return {reader_.read_count(), handled};
  }

 private:
  void TellProcesses(const std::vector<WorkloadSpec>& workloads);
  void Run();
  void Wait();
  void TakeCommands();
  bool TakeEvents();
  void TakeLastEvents();
  void LookAgainSoon();
  void Upkeep();
  void Report();
  void Fatal(const Error& error) {
    if (on_fatal_) on_fatal_(error);
  }

  const std::function<void(const CoverageReport&)> on_report_;
  const std::function<void(const Error&)> on_fatal_;
  // Set by Stop and read by both threads.
  std::atomic<bool> stopping_{false};
  // Written by the coverage thread, read by events().
  std::atomic<uint64_t> handled_{0};
  NotificationGroup group_;
  NotificationReader reader_;
  ProcessTable& processes_;
  CoverageCore core_;
  UniqueFd wake_;
  uint64_t next_report_ns_ = 0;
  uint64_t next_upkeep_ns_ = 0;
  uint64_t rescan_due_ns_ = 0;  // 0: none
  uint64_t rescan_took_ns_ = 0;
  bool events_left_ = false;

  // Held for moments only, never while a file is opened.
  std::mutex mutex_;
  std::optional<std::pair<std::string, uint64_t>> pending_apply_;  // guarded by mutex_
  // The latest, of Apply or SetWorkloads. Guarded by mutex_.
  std::optional<std::pair<std::vector<WorkloadSpec>, uint64_t>> pending_workloads_;
  std::vector<std::pair<std::string, std::promise<bool>>> pending_releases_;  // guarded by mutex_
  std::optional<std::promise<CoveredFiles>> pending_files_;                   // guarded by mutex_
  bool ended_ = false;  // the thread touches core_ no more; guarded by mutex_
  std::condition_variable has_ended_;
  std::thread thread_;

  // Of the caller of Apply and SetWorkloads: containers that have gone, and since when.
  std::map<WorkloadId, std::pair<WorkloadCgroups::Entry, uint64_t>> known_;
};

// At once: from now on its processes are its own, whenever it is covered. One that has gone is kept
// for as long as events of its processes may be told.
void Coverage::Impl::TellProcesses(const std::vector<WorkloadSpec>& workloads) {
  const uint64_t now_ns = MonotonicNs();
  std::unordered_set<std::string> taken;
  for (const WorkloadSpec& spec : workloads) {
    known_[spec.id] = {{spec.id, spec.cgroup, spec.pid}, now_ns};
    taken.insert(spec.cgroup);
  }
  std::vector<WorkloadCgroups::Entry> entries;
  std::erase_if(known_, [&](const auto& known) {
    const auto& [entry, told_ns] = known.second;
    const bool gone = told_ns != now_ns;
    if (gone && (now_ns > told_ns + kKeepGoneNs || taken.contains(entry.cgroup))) return true;
    entries.push_back(entry);
    return false;
  });
  processes_.SetWorkloads(std::make_shared<const WorkloadCgroups>(std::move(entries)));
}

void Coverage::Impl::Run() {
  pthread_setname_np(pthread_self(), "fw-coverage");
  core_.SendMounts();
  while (!stopping_.load(std::memory_order_acquire)) {
    Wait();
    if (core_.HasEnded()) {
      // What they did last is looked into while their files can be.
      (void)TakeEvents();
      core_.EndEnded();
    }
    TakeCommands();
    events_left_ = TakeEvents();
    Upkeep();
  }
  const std::lock_guard lock(mutex_);
  for (auto& [path, answer] : pending_releases_) answer.set_value(false);
  pending_releases_.clear();
  if (pending_files_) std::exchange(pending_files_, {})->set_value(core_.TakeCoveredFiles());
  ended_ = true;
  has_ended_.notify_all();
}

void Coverage::Impl::Wait() {
  std::vector<pollfd> polled = {
      {wake_.get(), POLLIN, 0}, {reader_.ready_fd(), POLLIN, 0}, {core_.watches_fd(), POLLIN, 0}};
  constexpr size_t kOwn = 3;
  core_.AddPolled(polled);
  const uint64_t now_ns = MonotonicNs();
  uint64_t due_ns = core_.NextTick();
  if (next_report_ns_ != 0) due_ns = std::min(due_ns, next_report_ns_);
  if (next_upkeep_ns_ != 0) due_ns = std::min(due_ns, next_upkeep_ns_);
  if (rescan_due_ns_ != 0) due_ns = std::min(due_ns, rescan_due_ns_);
  int timeout_ms = -1;
  if (due_ns != UINT64_MAX)
    timeout_ms = due_ns <= now_ns ? 0 : static_cast<int>((due_ns - now_ns) / 1'000'000 + 1);
  if (events_left_) timeout_ms = 0;
  if (poll(polled.data(), polled.size(), timeout_ms) <= 0) return;
  Clear(wake_.get());
  Clear(reader_.ready_fd());
  if (core_.TakeWatched()) LookAgainSoon();
  core_.TakeReady(std::span(polled).subspan(kOwn));
}

void Coverage::Impl::TakeCommands() {
  std::optional<std::pair<std::string, uint64_t>> apply;
  std::optional<std::pair<std::vector<WorkloadSpec>, uint64_t>> workloads;
  std::vector<std::pair<std::string, std::promise<bool>>> releases;
  std::optional<std::promise<CoveredFiles>> files;
  {
    const std::lock_guard lock(mutex_);
    apply.swap(pending_apply_);
    workloads.swap(pending_workloads_);
    releases.swap(pending_releases_);
    files.swap(pending_files_);
  }
  for (auto& [path, answer] : releases) answer.set_value(core_.Release(path));
  if (files) files->set_value(core_.TakeCoveredFiles());
  if (!workloads) return;
  if (!apply) {
    core_.SetWorkloads(std::move(workloads->first), workloads->second);
    if (!stopping_.load(std::memory_order_acquire)) Report();
    return;
  }
  const Result<void> applied =
      core_.Apply(std::move(apply->first), apply->second, workloads->first, workloads->second);
  if (stopping_.load(std::memory_order_acquire)) return;
  if (applied.ok()) {
    Report();
    core_.KeepFoundFiles();
    return;
  }
  // The rules that stay speak for the workloads there are now.
  core_.SetWorkloads(std::move(workloads->first), workloads->second);
  CoverageReport refused;
  refused.workloads_serial = workloads->second;
  refused.ruleset_version = apply->second;
  refused.error = applied.error().Message();
  if (on_report_) on_report_(refused);
}

// True when there may be more.
bool Coverage::Impl::TakeEvents() {
  size_t taken = 0;
  while (taken < kEventsPerRound) {
    const std::optional<Noted> noted = reader_.Take();
    if (!noted) break;
    ++taken;
    handled_.fetch_add(1, std::memory_order_release);
    if (noted->event.overflow) {
      core_.NoteLost(Failure::kQueueOverflow, noted->time_ns);
      rescan_due_ns_ = std::max(rescan_due_ns_, MonotonicNs());
    } else {
      core_.Handle(*noted);
    }
  }
  // Where events carry no names, they only say that something changed.
  if (taken > 0 && !group_.has_names()) LookAgainSoon();
  if (const uint64_t since_ns = reader_.TakeLostSince(); since_ns != 0) {
    core_.NoteLost(Failure::kCoverageQueueFull, since_ns);
    rescan_due_ns_ = std::max(rescan_due_ns_, MonotonicNs());
  }
  core_.AfterEvents();
  return taken == kEventsPerRound;
}

// Large trees that change all the time must not keep the thread from everything else.
void Coverage::Impl::LookAgainSoon() {
  if (rescan_due_ns_ != 0) return;
  rescan_due_ns_ = MonotonicNs() + std::max(kNamelessRescanNs, 4 * rescan_took_ns_);
}

// After the thread has ended: what was read is told, as far as a moment allows.
void Coverage::Impl::TakeLastEvents() {
  const std::lock_guard lock(mutex_);
  const uint64_t deadline_ns = MonotonicNs() + kLastEventsNs;
  while (TakeEvents() && MonotonicNs() < deadline_ns) {
  }
  // Nothing comes any more for what waits.
  core_.Tick(MonotonicNs() + kLastEventsNs);
  core_.TellLost();
}

void Coverage::Impl::Upkeep() {
  const uint64_t now_ns = MonotonicNs();
  core_.Tick(now_ns);
  if (!events_left_) core_.DropEnded(now_ns);
  core_.RetryRoots(now_ns);
  // Behind what is queued: the rescan would otherwise find what the events are about to tell.
  if (rescan_due_ns_ != 0 && now_ns >= rescan_due_ns_ && !events_left_) {
    core_.Rescan();
    rescan_took_ns_ = MonotonicNs() - now_ns;
    rescan_due_ns_ = 0;
  }
  if (now_ns >= next_upkeep_ns_) {
    core_.Upkeep();
    next_upkeep_ns_ = now_ns + kUpkeepIntervalNs;
  }
  if (!core_.ReportChanged()) {
    next_report_ns_ = 0;
  } else if (next_report_ns_ == 0) {
    next_report_ns_ = now_ns + kReportIntervalNs;
  } else if (now_ns >= next_report_ns_) {
    Report();
  }
}

void Coverage::Impl::Report() {
  next_report_ns_ = 0;
  const CoverageReport report = core_.Report();
  if (on_report_) on_report_(report);
}

Result<std::unique_ptr<Coverage>> Coverage::Start(CoverageOptions options,
                                                  const KernelFeatures& features,
                                                  PermissionGroup& permission_group,
                                                  DecisionThread& decision_thread,
                                                  ProcessTable& process_table, EventRing& ring) {
  auto group = NotificationGroup::Open(features);
  if (!group.ok()) return group.error();
  auto impl = std::make_unique<Impl>(std::move(options), std::move(*group), permission_group,
                                     decision_thread, process_table, ring);
  impl->Start();
  return std::unique_ptr<Coverage>(new Coverage(std::move(impl)));
}

Coverage::Coverage(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Coverage::~Coverage() {
  if (!impl_->Stop()) (void)impl_.release();
}

void Coverage::Apply(std::string ruleset_json, uint64_t version,
                     std::vector<WorkloadSpec> workloads, uint64_t serial) {
  impl_->Apply(std::move(ruleset_json), version, std::move(workloads), serial);
}

void Coverage::SetWorkloads(uint64_t serial, std::vector<WorkloadSpec> workloads) {
  impl_->SetWorkloads(serial, std::move(workloads));
}

bool Coverage::Release(std::string_view path) { return impl_->Release(path); }

CoveredFiles Coverage::TakeCoveredFiles() { return impl_->TakeCoveredFiles(); }

std::shared_ptr<const RuleCounters> Coverage::counters() const { return impl_->core().counters(); }

Coverage::MarkCounts Coverage::marks() const { return impl_->core().marks(); }

Coverage::EventCounts Coverage::events() const { return impl_->events(); }

bool Coverage::Stop() { return impl_->Stop(); }

}  // namespace fileward
