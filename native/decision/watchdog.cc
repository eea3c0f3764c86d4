#include "native/decision/watchdog.h"

#include <pthread.h>
#include <sched.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/base/thread_priority.h"

namespace fileward {

Result<std::unique_ptr<Watchdog>> Watchdog::Start(PermissionGroup& group, VerdictJournal& journal) {
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  if (!timer) return ErrnoError("timerfd_create");
  return std::unique_ptr<Watchdog>(new Watchdog(group, journal, std::move(timer)));
}

Watchdog::Watchdog(PermissionGroup& group, VerdictJournal& journal, UniqueFd timer)
    : journal_(journal),
      timer_(std::move(timer)),
      // Our own opens never come to a slot.
      unjudged_(journal, [](int32_t) { return false; }),
      overdue_(journal, group, OpenSlot::Stand::kWatchdog, unjudged_, IdentityOfFd) {
  free_.reserve(VerdictJournal::kSlots);
  for (Slot slot = VerdictJournal::kSlots; slot-- > 0;) free_.push_back(slot);
  thread_ = std::thread([this] { Run(); });
}

Watchdog::~Watchdog() {
  stop_.store(true);
  Arm(1);
  thread_.join();
}

Watchdog::Slot Watchdog::Enter(const OpenSlot::Event& event) {
  const Slot slot = free_.back();
  free_.pop_back();
  if (slot >= journal_.slots_used.load(std::memory_order_relaxed)) {
    journal_.slots_used.store(slot + 1);
  }
  journal_.slots[slot].Enter(event);
  if (!armed_.exchange(true)) {
    const uint64_t due = event.since_ns + journal_.deadline_ns.load(std::memory_order_relaxed);
    const uint64_t now = MonotonicNs();
    Arm(due > now ? due - now : 1);
  }
  return slot;
}

void Watchdog::Leave(Slot slot) {
  // Not a spin: on one CPU the other would never get to write its answer.
  while (!journal_.slots[slot].Leave()) std::this_thread::sleep_for(std::chrono::microseconds(20));
  free_.push_back(slot);
}

void Watchdog::Arm(uint64_t after_ns) {
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(after_ns / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(after_ns % 1'000'000'000);
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void Watchdog::Run() {
  ::pthread_setname_np(::pthread_self(), "fw-watchdog");
  // Above the decision thread, which may be what keeps it from a CPU.
  UseRealTime(SCHED_RR, 2);
  while (!stop_.load()) {
    uint64_t expirations = 0;
    if (::read(timer_.get(), &expirations, sizeof(expirations)) < 0 && errno != EINTR) return;
    if (stop_.load()) return;
    std::optional<uint64_t> next = AnswerDue();
    if (!next) {
      armed_.store(false);
      // An event that was entered before that store found the timer armed.
      next = AnswerDue();
      if (!next || armed_.exchange(true)) continue;
    }
    Arm(std::max<uint64_t>(*next, 1));
  }
}

std::optional<uint64_t> Watchdog::AnswerDue() {
  const auto next = overdue_.Answer(journal_.deadline_ns.load(std::memory_order_relaxed));
  CountFailure(Failure::kDeadline, overdue_.answered());
  return next;
}

}  // namespace fileward
