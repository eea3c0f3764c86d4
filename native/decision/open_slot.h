#ifndef FILEWARD_DECISION_OPEN_SLOT_H_
#define FILEWARD_DECISION_OPEN_SLOT_H_

#include <atomic>
#include <cstdint>
#include <optional>

namespace fileward {

// An event that the decision thread has read and that isn't closed yet, in the journal. It is
// answered by whoever takes it: the decision thread (Claim), or the watchdog or the guardian once
// it is overdue (Take). An answer finds its event by fd number alone, so the fd stays open until
// nobody is about to write one: Leave.
class OpenSlot {
 public:
  // Who answers in the decision thread's place.
  enum class Stand : uint8_t { kWatchdog = 0x10, kGuardian = 0x20 };

  struct Event {
    int32_t fd = -1;
    int32_t tid = 0;
    uint64_t mask = 0;
    uint64_t since_ns = 0;  // CLOCK_MONOTONIC: it had come to the queue by then
  };

  // --- The decision thread's side. ---

  void Enter(const Event& event);
  // What it gets at the deadline.
  void Judge(bool allow);
  // Judges it. True: the answer is the caller's to give.
  bool Claim(bool allow);
  // After a failed Claim: what it was answered; nothing while that is being written.
  std::optional<bool> Answered() const;
  // False: somebody is still about to answer; the fd must stay.
  bool Leave();

  // --- The others' side. ---

  // Whether `stand` could take it now.
  bool IsOpenTo(Stand stand) const { return IsOpenTo(stand, word_.load()); }
  uint64_t since_ns() const { return since_ns_.load(std::memory_order_relaxed); }
  struct Taken {
    Event event;
    std::optional<bool> allow;  // nothing: it was never judged
  };
  // The answer is the caller's to give, and to be followed by Done. Nothing: others were first. The
  // guardian also takes what the agent has taken and may never write.
  std::optional<Taken> Take(Stand stand);
  // It was answered so.
  void Done(Stand stand, bool allow);
  // `stand` has ended; whatever it had taken is the caller's to answer.
  std::optional<Taken> TakeFrom(Stand stand);

 private:
  enum class Phase : uint8_t { kFree, kWaiting, kClaimed, kOvertaken };
  static constexpr uint64_t kPhase = 0x3;
  static constexpr uint64_t kJudged = 0x4;
  static constexpr uint64_t kDeny = 0x8;
  static constexpr uint64_t kWriting = 0x30;  // a Stand each
  static constexpr uint64_t kGuardianWrote = 0x40;
  static constexpr uint64_t kGeneration = 0x100;

  static Phase PhaseOf(uint64_t word) { return static_cast<Phase>(word & kPhase); }
  static uint64_t With(uint64_t word, Phase phase) {
    return (word & ~kPhase) | static_cast<uint64_t>(phase);
  }
  static uint64_t WithVerdict(uint64_t word, bool allow) {
    return (word & ~kDeny) | kJudged | (allow ? 0 : kDeny);
  }
  static bool IsOpenTo(Stand stand, uint64_t word);
  Taken Read(uint64_t word) const;

  // Phase and verdict, who is writing an answer, and above the low byte how often the slot was
  // entered: who looked at an earlier occupant can't take the present one. All sides change it by
  // compare-exchange.
  std::atomic<uint64_t> word_{0};
  // Written by the decision thread before it releases kWaiting.
  std::atomic<uint64_t> since_ns_{0};
  std::atomic<uint64_t> mask_{0};
  std::atomic<int32_t> fd_{-1};
  std::atomic<int32_t> tid_{0};
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OPEN_SLOT_H_
