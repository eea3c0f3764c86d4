// Long because reading, its turns with the guardian and what coverage tells are one loop.
#include "native/decision/decision_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/base/thread_priority.h"
#include "native/decision/deadline_denials.h"
#include "native/decision/open_judge.h"
#include "native/decision/open_publisher.h"
#include "native/decision/open_queue.h"
#include "native/decision/watchdog.h"
#include "native/kernel/fanotify_group.h"
#include "native/kernel/process_files.h"
#include "native/kernel/task_parking.h"

namespace fileward {
namespace {

constexpr size_t kBatch = 256;
constexpr size_t kUpdatesPerRound = 1024;
constexpr int kMaxReadErrors = 100;
// How soon to look again when it isn't our turn to read, or no fd is left.
constexpr uint64_t kReadAgainNs = 2'000'000;

}  // namespace

class DecisionThread::Impl {
 public:
  Impl(PermissionGroup& group, ProcessTable& processes, EventRing& ring, Options options,
       JournalMemory journal, std::unique_ptr<Watchdog> watchdog)
      : group_(group),
        options_(std::move(options)),
        journal_(std::move(journal)),
        judge_(processes),
        publisher_(ring, options_.collect_args),
        watchdog_(std::move(watchdog)),
        queue_(group, judge_, publisher_, *watchdog_),
        denials_(*journal_, judge_.workloads()) {
    group_.UseBuffer(journal_->agent_buffer);
    batch_.reserve(kBatch);
    own_.reserve(kBatch);
    // The first call finds out what the kernel tells; no opener should wait for that.
    IsParked(::gettid());
    thread_ = std::thread([this] { Run(); });
  }

  void Stop() {
    stop_.store(true, std::memory_order_release);
    updates_.Wake();
    if (thread_.joinable()) thread_.join();
  }

  ObjectUpdates& updates() { return updates_; }
  OpenPublisher& publisher() { return publisher_; }
  const JournalMemory& journal() const { return journal_; }

 private:
  void Run();
  void Wait();
  void TakeUpdates();
  void Apply(ObjectUpdate update);
  void Swap(RulesetSwap& swap);
  // False: the group can't be read any more.
  bool ReadBatch();
  bool ReadGroup();
  bool MayRead() const;
  bool IsOurs(const PermissionEvent& event) const;
  // Says how many it entered.
  size_t EnterBatch(uint64_t now_ns, uint64_t now_real_ns);
  void DropAnswered(size_t entered);
  void AllowEverything();

  PermissionGroup& group_;
  const Options options_;
  const JournalMemory journal_;
  const int32_t own_pid_ = ::getpid();
  OpenJudge judge_;
  OpenPublisher publisher_;
  ObjectUpdates updates_;
  std::unique_ptr<Watchdog> watchdog_;
  OpenQueue queue_;
  DeadlineDenials denials_;
  std::vector<PermissionEvent> batch_;
  std::vector<Response> own_;
  int read_errors_ = 0;
  Error read_error_;
  // Stop() to the thread, behind the updates' eventfd.
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void DecisionThread::Impl::Run() {
  ::pthread_setname_np(::pthread_self(), "fw-decision");
  // Openers wait for this thread. It sleeps as soon as nobody does.
  UseRealTime(SCHED_RR, 1);
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  while (!stop_.load(std::memory_order_acquire)) {
    Wait();
    TakeUpdates();
    if (!ReadBatch()) break;
    queue_.Work();
  }
  AllowEverything();
  updates_.Close();
}

void DecisionThread::Impl::Wait() {
  const bool may_read = MayRead();
  const uint64_t now = MonotonicNs();
  const uint64_t due = std::min(queue_.NextDueNs(), may_read ? UINT64_MAX : now + kReadAgainNs);
  timespec timeout{};
  timeout.tv_nsec = static_cast<long>(std::min<uint64_t>(due - std::min(now, due), 999'999'999));
  pollfd fds[] = {{updates_.wake_fd(), POLLIN, 0}, {group_.fd(), POLLIN, 0}};
  // What isn't read the kernel keeps.
  ::ppoll(fds, may_read ? 2 : 1, due == UINT64_MAX ? nullptr : &timeout, nullptr);
  if ((fds[0].revents & POLLIN) != 0) {
    uint64_t wakes = 0;
    [[maybe_unused]] const ssize_t taken = ::read(updates_.wake_fd(), &wakes, sizeof(wakes));
  }
}

bool DecisionThread::Impl::MayRead() const {
  return queue_.room() > 0 && !journal_->hold_off.load() && PermissionGroup::CanRead();
}

void DecisionThread::Impl::TakeUpdates() {
  for (size_t i = 0; i < kUpdatesPerRound; ++i) {
    std::optional<ObjectUpdate> update = updates_.Take();
    if (!update) return;
    Apply(std::move(*update));
  }
  updates_.Wake();
}

void DecisionThread::Impl::Apply(ObjectUpdate update) {
  WorkloadSet& workloads = judge_.workloads();
  if (auto* const add = std::get_if<AddName>(&update)) {
    const FileIdentity file = add->identity;
    workloads.Add(std::move(*add));
    denials_.Update(file);
  } else if (const auto* const remove = std::get_if<RemoveName>(&update)) {
    workloads.Remove(*remove);
    denials_.Update(remove->identity);
  } else if (const auto* const forget = std::get_if<RemoveIdentity>(&update)) {
    workloads.Remove(*forget);
    denials_.Update(forget->identity);
  } else if (const auto* const replace = std::get_if<ReplaceAll>(&update)) {
    Swap(*replace->swap);
  } else if (const auto* const unignore = std::get_if<Unignore>(&update)) {
    const std::string path = "/proc/self/fd/" + std::to_string(unignore->file.get());
    // There may be no ignore mark: that is fine.
    for (const uint64_t mask : {FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS}) {
      [[maybe_unused]] const auto removed = group_.UnignoreFile(AT_FDCWD, path.c_str(), mask);
    }
  } else if (auto* const apps = std::get_if<AppsChanged>(&update)) {
    workloads.Set(std::move(*apps));
  } else if (auto* const mounts = std::get_if<MountsChanged>(&update)) {
    workloads.Set(std::move(*mounts));
  } else if (auto* const users = std::get_if<UsersChanged>(&update)) {
    workloads.Set(std::move(*users));
  } else if (const auto* const gone = std::get_if<WorkloadGone>(&update)) {
    if (auto rules = workloads.Take(gone->workload)) {
      denials_.Rebuild();
      updates_.GiveBack(std::move(rules));
    }
  }
}

void DecisionThread::Impl::Swap(RulesetSwap& swap) {
  judge_.Swap(swap);
  denials_.Rebuild();
  if (const auto deadline_ns = judge_.deadline_ns()) {
    queue_.SetDeadline(*deadline_ns);
    journal_->deadline_ns.store(*deadline_ns);
  }
  if (swap.counters) publisher_.SetCounters(swap.counters);
  swap.MarkApplied();
}

bool DecisionThread::Impl::ReadBatch() {
  if (ReadGroup()) {
    read_errors_ = 0;
    return true;
  }
  if (++read_errors_ < kMaxReadErrors) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return true;
  }
  AllowEverything();
  if (options_.on_fatal) options_.on_fatal(read_error_);
  return false;
}

bool DecisionThread::Impl::ReadGroup() {
  const size_t room = std::min(kBatch, queue_.room());
  if (room == 0 || journal_->hold_off.load()) return true;
  const uint64_t turn = journal_->turn.Begin();
  if (turn == 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return true;
  }
  batch_.clear();
  group_.ClearBuffer();
  journal_->read_before.store(journal_->events_read.load());
  journal_->reading_turn.store(turn);
  const Result<size_t> read = group_.Read(batch_, room);
  size_t entered = 0;
  if (read) {
    entered = EnterBatch(MonotonicNs(), RealtimeNs());
    journal_->events_read.fetch_add(*read);
  } else {
    read_error_ = read.error();
  }
  if (!journal_->turn.End()) DropAnswered(entered);
  batch_.clear();
  return read.ok();
}

// The guardian overtook us. What it saw only half of gets this answer: a second one hurts nobody.
void DecisionThread::Impl::DropAnswered(size_t entered) {
  const size_t answered = std::min(journal_->answered_of_turn.load(), batch_.size());
  const auto is_own = [&](int fd) {
    return std::any_of(own_.begin(), own_.end(), [&](const Response& own) { return own.fd == fd; });
  };
  std::vector<Response> responses;
  for (size_t i = 0; i < answered; ++i) {
    const int fd = batch_[i].raw_fd;
    if (fd >= 0 && !is_own(fd)) responses.push_back({fd, !journal_->keep.load()});
  }
  group_.Answer(responses);
  queue_.DropAnswered(entered, responses.size());
}

// A guardian that is being started too: no rule must keep us from having one.
bool DecisionThread::Impl::IsOurs(const PermissionEvent& event) const {
  if (judge_.IsOwn(event)) return true;
  if (!journal_->starting_guardian.load()) return false;
  const auto status = StatusOf(event.tid);
  return status && status->ppid == own_pid_;
}

// Our own opens first: they may hold up whatever the rest of the batch needs.
size_t DecisionThread::Impl::EnterBatch(uint64_t now_ns, uint64_t now_real_ns) {
  own_.clear();
  for (const PermissionEvent& event : batch_) {
    if (event.fd && IsOurs(event)) own_.push_back({event.raw_fd, true});
  }
  if (!own_.empty()) group_.Answer(own_);
  auto own = own_.begin();
  size_t entered = 0;
  uint64_t number = journal_->read_before.load();
  for (PermissionEvent& event : batch_) {
    ++number;
    if (!event.fd) {
      CountFailure(Failure::kEventOpenFailed);
      publisher_.PublishOpenFailed(now_real_ns, event.open_error);
    } else if (own != own_.end() && own->fd == event.raw_fd) {
      ++own;
    } else {
      const uint64_t since_ns = journal_->arrivals.SeenNs(number, now_ns);
      queue_.Enter(std::move(event), since_ns, now_ns, now_real_ns);
      ++entered;
    }
  }
  return entered;
}

void DecisionThread::Impl::AllowEverything() {
  do {
    queue_.AllowAll();
  } while (ReadGroup() && !queue_.empty());
}

Result<std::unique_ptr<DecisionThread>> DecisionThread::Start(PermissionGroup& group,
                                                              ProcessTable& processes,
                                                              EventRing& ring, Options options) {
  auto journal = JournalMemory::Create();
  if (!journal) return journal.error();
  auto watchdog = Watchdog::Start(group, **journal);
  if (!watchdog) return watchdog.error();
  return std::unique_ptr<DecisionThread>(new DecisionThread(std::make_unique<Impl>(
      group, processes, ring, std::move(options), std::move(*journal), std::move(*watchdog))));
}

DecisionThread::DecisionThread(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DecisionThread::~DecisionThread() { Stop(); }
void DecisionThread::Stop() { impl_->Stop(); }
ObjectUpdates& DecisionThread::updates() { return impl_->updates(); }
const JournalMemory& DecisionThread::journal() const { return impl_->journal(); }
int DecisionThread::wake_fd() const { return impl_->updates().wake_fd(); }
JudgedOpens& DecisionThread::judged_opens() { return impl_->publisher().judged_opens(); }
const VerdictStats& DecisionThread::stats() const { return impl_->publisher().stats(); }
std::shared_ptr<const RuleCounters> DecisionThread::counters() const {
  return impl_->publisher().counters();
}

}  // namespace fileward
