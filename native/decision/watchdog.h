// Answers what the decision thread doesn't in time.
//
// Owns one thread and a timerfd, and the decision thread's side of the journal's slots. The
// decision thread enters each event it has read in a slot; whoever takes the slot first answers.
// The watchdog answers by what the slot was judged to get at the deadline; it never closes the
// event's fd: only the decision thread does. It doesn't read either: what nobody reads is the
// guardian's, and so is all else when the whole process is stopped.
//
// Idle cost: none. The timer is armed by the first event after a pause and fires once per deadline
// while there is work.
#ifndef FILEWARD_DECISION_WATCHDOG_H_
#define FILEWARD_DECISION_WATCHDOG_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/decision/overdue_opens.h"
#include "native/decision/unjudged_opens.h"
#include "native/decision/verdict_journal.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

class Watchdog {
 public:
  using Slot = uint32_t;

  // Both must outlive the object.
  static Result<std::unique_ptr<Watchdog>> Start(PermissionGroup& group, VerdictJournal& journal);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // --- The decision thread's side. ---

  // At most VerdictJournal::kSlots at a time.
  Slot Enter(const OpenSlot::Event& event);
  // What it gets at the deadline.
  void SetVerdict(Slot slot, bool allow) { journal_.slots[slot].Judge(allow); }
  // True: the answer, which is this, is the caller's to give.
  bool Claim(Slot slot, bool allow) { return journal_.slots[slot].Claim(allow); }
  // After a failed Claim: what it was answered; nothing while that is being written.
  std::optional<bool> Answered(Slot slot) const { return journal_.slots[slot].Answered(); }
  // Waits while somebody is about to answer; the fd may be closed then.
  void Leave(Slot slot);

 private:
  Watchdog(PermissionGroup& group, VerdictJournal& journal, UniqueFd timer);
  void Run();
  void Arm(uint64_t after_ns);
  // Answers what is due; says in how many nanoseconds the next will be, nothing when none waits.
  std::optional<uint64_t> AnswerDue();

  VerdictJournal& journal_;
  UniqueFd timer_;
  UnjudgedOpens unjudged_;
  OverdueOpens overdue_;
  std::vector<Slot> free_;  // decision thread only
  // True while the timer will fire; exchanged by both sides, sequentially consistent with the
  // slots' states.
  std::atomic<bool> armed_{false};
  // Destructor to thread.
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_WATCHDOG_H_
