// Answers what the decision thread doesn't in time.
//
// Owns one thread and a timerfd. The decision thread enters each event it has read in a slot;
// whoever claims the slot first answers, exactly once. The watchdog answers by the slot's
// on_deadline verdict; it never closes the event's fd: only the decision thread does, and only when
// the answer is written (a response is matched by fd number, which a close would free for the next
// event). While the decision thread is stuck altogether the watchdog also reads the group and
// allows what it finds, because an opener that nobody reads would wait for ever; ReadLock keeps the
// two from reading at once.
//
// Idle cost: none. The timer is armed by the first event after a pause and fires once per deadline
// while there is work.
#ifndef FILEWARD_DECISION_WATCHDOG_H_
#define FILEWARD_DECISION_WATCHDOG_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

class Watchdog {
 public:
  static constexpr size_t kSlots = 4096;
  using Slot = uint32_t;

  static Result<std::unique_ptr<Watchdog>> Start(PermissionGroup& group);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // --- The decision thread's side. ---

  void SetDeadline(uint64_t deadline_ns) {
    deadline_ns_.store(deadline_ns, std::memory_order_relaxed);
  }
  // At most kSlots at a time. Allows at the deadline until SetVerdict says otherwise.
  Slot Enter(int fd, uint64_t read_ns);
  void SetVerdict(Slot slot, bool allow);
  // True: the answer is the caller's to give.
  bool Claim(Slot slot);
  // After a failed Claim: what the watchdog answered; nothing while it is still writing.
  std::optional<bool> Answered(Slot slot) const;
  void Leave(Slot slot);

  // Called around waiting for events: a sleeping decision thread isn't stuck.
  void SetIdle(bool idle);
  bool TryLockReading() { return !reading_.exchange(true, std::memory_order_acquire); }
  void UnlockReading() { reading_.store(false, std::memory_order_release); }

 private:
  enum class State : uint8_t { kFree, kWaiting, kClaimed, kAnswering, kAnswered };
  struct Entry {
    // State in the low byte, above it how often the slot was entered: who looked at an earlier
    // occupant can't claim the present one. Both sides compete by compare-exchange from kWaiting;
    // the watchdog releases kAnswered to Answered().
    std::atomic<uint64_t> word{0};
    // Written by the decision thread before it releases kWaiting.
    std::atomic<int> fd{-1};
    std::atomic<uint64_t> read_ns{0};
    // Decision thread to watchdog, any value it had is right; back again with kAnswered.
    std::atomic<bool> allow{true};

    static State StateOf(uint64_t word) { return static_cast<State>(word & 0xff); }
    static uint64_t With(uint64_t word, State state) {
      return (word & ~uint64_t{0xff}) | static_cast<uint64_t>(state);
    }
  };

  Watchdog(PermissionGroup& group, UniqueFd timer);
  void Run();
  void Arm();
  // Answers what is due; says in how many nanoseconds the next will be, nothing when none waits.
  std::optional<uint64_t> AnswerDue();
  // Has the decision thread been busy with one thing for a whole deadline?
  bool IsStuck();
  void StandIn();

  PermissionGroup& group_;
  UniqueFd timer_;
  std::vector<Entry> entries_;
  std::vector<Slot> free_;  // decision thread only
  std::vector<Response> responses_;
  std::vector<Slot> claimed_;
  std::vector<PermissionEvent> stand_in_;
  uint64_t seen_progress_ = 0;
  uint64_t seen_progress_ns_ = 0;  // when it was first seen
  // Decision thread (relaxed) to watchdog.
  std::atomic<uint64_t> deadline_ns_{100'000'000};
  std::atomic<uint64_t> progress_{0};
  std::atomic<bool> idle_{true};
  // True while the timer will fire; exchanged by both sides, sequentially consistent with the
  // slots' states.
  std::atomic<bool> armed_{false};
  // Who reads the group; exchanged by both.
  std::atomic<bool> reading_{false};
  // Destructor to thread.
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_WATCHDOG_H_
