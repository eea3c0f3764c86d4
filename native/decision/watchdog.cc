#include "native/decision/watchdog.h"

#include <pthread.h>
#include <sched.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/base/thread_priority.h"

namespace fileward {
namespace {

constexpr size_t kStandInBatch = 256;

void SetTimer(const UniqueFd& timer, uint64_t after_ns) {
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(after_ns / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(after_ns % 1'000'000'000);
  ::timerfd_settime(timer.get(), 0, &when, nullptr);
}

}  // namespace

Result<std::unique_ptr<Watchdog>> Watchdog::Start(PermissionGroup& group) {
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  if (!timer) return ErrnoError("timerfd_create");
  return std::unique_ptr<Watchdog>(new Watchdog(group, std::move(timer)));
}

Watchdog::Watchdog(PermissionGroup& group, UniqueFd timer)
    : group_(group), timer_(std::move(timer)), entries_(kSlots) {
  free_.reserve(kSlots);
  for (Slot slot = 0; slot < kSlots; ++slot) free_.push_back(slot);
  responses_.reserve(kSlots);
  claimed_.reserve(kSlots);
  stand_in_.reserve(kStandInBatch);
  thread_ = std::thread([this] { Run(); });
}

Watchdog::~Watchdog() {
  stop_.store(true);
  SetTimer(timer_, 1);
  thread_.join();
}

Watchdog::Slot Watchdog::Enter(int fd, uint64_t read_ns) {
  const Slot slot = free_.back();
  free_.pop_back();
  Entry& entry = entries_[slot];
  entry.fd.store(fd, std::memory_order_relaxed);
  entry.read_ns.store(read_ns, std::memory_order_relaxed);
  entry.allow.store(true, std::memory_order_relaxed);
  entry.word.store(
      Entry::With(entry.word.load(std::memory_order_relaxed) + 0x100, State::kWaiting));
  if (!armed_.exchange(true)) Arm();
  return slot;
}

void Watchdog::SetVerdict(Slot slot, bool allow) {
  entries_[slot].allow.store(allow, std::memory_order_relaxed);
}

bool Watchdog::Claim(Slot slot) {
  std::atomic<uint64_t>& word = entries_[slot].word;
  uint64_t seen = word.load(std::memory_order_relaxed);
  return Entry::StateOf(seen) == State::kWaiting &&
         word.compare_exchange_strong(seen, Entry::With(seen, State::kClaimed));
}

std::optional<bool> Watchdog::Answered(Slot slot) const {
  const Entry& entry = entries_[slot];
  if (Entry::StateOf(entry.word.load(std::memory_order_acquire)) != State::kAnswered) {
    return std::nullopt;
  }
  return entry.allow.load(std::memory_order_relaxed);
}

void Watchdog::Leave(Slot slot) {
  std::atomic<uint64_t>& word = entries_[slot].word;
  word.store(Entry::With(word.load(std::memory_order_relaxed), State::kFree));
  free_.push_back(slot);
}

void Watchdog::SetIdle(bool idle) {
  progress_.fetch_add(1, std::memory_order_relaxed);
  idle_.store(idle, std::memory_order_relaxed);
}

void Watchdog::Arm() { SetTimer(timer_, deadline_ns_.load(std::memory_order_relaxed)); }

void Watchdog::Run() {
  ::pthread_setname_np(::pthread_self(), "fw-watchdog");
  // Above the decision thread, which may be what keeps it from a CPU.
  UseRealTime(SCHED_RR, 2);
  while (!stop_.load()) {
    uint64_t expirations = 0;
    if (::read(timer_.get(), &expirations, sizeof(expirations)) < 0 && errno != EINTR) return;
    if (stop_.load()) return;
    std::optional<uint64_t> next = AnswerDue();
    if (!idle_.load(std::memory_order_relaxed)) {
      if (IsStuck()) StandIn();
      if (!next) next = deadline_ns_.load(std::memory_order_relaxed);
    }
    if (!next) {
      armed_.store(false);
      // An event that was entered before that store found the timer armed.
      next = AnswerDue();
      if (!next || armed_.exchange(true)) continue;
    }
    SetTimer(timer_, std::max<uint64_t>(*next, 1));
  }
}

std::optional<uint64_t> Watchdog::AnswerDue() {
  const uint64_t now = MonotonicNs();
  const uint64_t deadline = deadline_ns_.load(std::memory_order_relaxed);
  std::optional<uint64_t> next;
  responses_.clear();
  claimed_.clear();
  for (Slot slot = 0; slot < kSlots; ++slot) {
    Entry& entry = entries_[slot];
    uint64_t seen = entry.word.load();
    if (Entry::StateOf(seen) != State::kWaiting) continue;
    const uint64_t read_ns = entry.read_ns.load(std::memory_order_relaxed);
    const uint64_t age = now - std::min(now, read_ns);
    if (age < deadline) {
      next = std::min(next.value_or(deadline), deadline - age);
      continue;
    }
    if (!entry.word.compare_exchange_strong(seen, Entry::With(seen, State::kAnswering))) continue;
    responses_.push_back(
        {entry.fd.load(std::memory_order_relaxed), entry.allow.load(std::memory_order_relaxed)});
    claimed_.push_back(slot);
  }
  if (responses_.empty()) return next;
  group_.Answer(responses_);
  CountFailure(Failure::kDeadline, responses_.size());
  for (size_t i = 0; i < claimed_.size(); ++i) {
    Entry& entry = entries_[claimed_[i]];
    // What was written is what Answered() must say.
    entry.allow.store(responses_[i].allow, std::memory_order_relaxed);
    entry.word.store(Entry::With(entry.word.load(std::memory_order_relaxed), State::kAnswered),
                     std::memory_order_release);
  }
  return next;
}

bool Watchdog::IsStuck() {
  const uint64_t now = MonotonicNs();
  const uint64_t progress = progress_.load(std::memory_order_relaxed);
  if (progress != seen_progress_) {
    seen_progress_ = progress;
    seen_progress_ns_ = now;
  }
  return now - seen_progress_ns_ >= deadline_ns_.load(std::memory_order_relaxed);
}

void Watchdog::StandIn() {
  while (IsStuck() && TryLockReading()) {
    stand_in_.clear();
    const auto read = group_.Read(stand_in_, kStandInBatch);
    UnlockReading();
    if (!read || *read == 0) break;
    responses_.clear();
    for (const PermissionEvent& event : stand_in_) {
      if (event.fd) responses_.push_back({event.raw_fd, true});
    }
    group_.Answer(responses_);
    CountFailure(Failure::kDeadline, responses_.size());
  }
  stand_in_.clear();
}

}  // namespace fileward
