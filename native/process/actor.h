// Who did it, for events that tell only afterwards (the notification group): the process may have
// run another program since, or be gone. The answer is believed only if it can't have been another
// program: every program that the process ran between the earliest time at which the event can have
// happened and the read is one and the same.
#ifndef FILEWARD_PROCESS_ACTOR_H_
#define FILEWARD_PROCESS_ACTOR_H_

#include <cstdint>
#include <memory>

#include "native/kernel/process_files.h"
#include "native/process/process_snapshot.h"
#include "native/process/process_table.h"

namespace fileward {

enum class ActorState : uint8_t {
  kKnown,    // process.exe is what did it (the process itself may have exited since)
  kGone,     // the process left before anything could be known of it
  kChanged,  // it ran more than one program in the window, or it can't be ruled out; process.exe is
             // the latest
};

struct Actor {
  ActorState state = ActorState::kGone;
  ProcessSnapshot process;
  // What it ran before that, when that is known; null otherwise.
  std::shared_ptr<const ExeRun> previous;
};

// `lower_bound_ns`, `read_ns`: CLOCK_MONOTONIC; the event happened between them (EventWindow).
// `pidfd` may be -1. Waits up to 5 ms for the feed once per read_ns. Not for the decision thread.
Actor ResolveActor(const ProcessTable& table, int32_t pid, int pidfd, uint64_t lower_bound_ns,
                   uint64_t read_ns);

// Finds the earliest time at which what a reader reads can have happened. One object per reader
// thread and group, told of each step:
//   window.BeforePoll(); poll(...); window.AfterPoll();
//   do {
//     window.BeforeRead(); n = group.Read(events); window.AfterRead(group.drained());
//     ... the events of this read happened between window.lower_bound_ns() and window.read_ns()
//   } while (n > 0);
// Either the queue was empty at a known time, or the reader slept until the first event woke it:
// then the events are no older than the wake-up less the time for which the scheduler let us wait.
class EventWindow {
 public:
  void BeforePoll();
  void AfterPoll();
  void BeforeRead();
  // `drained`: the queue was empty at some time during the read.
  void AfterRead(bool drained);

  uint64_t lower_bound_ns() const { return lower_bound_ns_; }
  uint64_t read_ns() const { return read_ns_; }

 private:
  SchedulerTimes times_;
  uint64_t lower_bound_ns_ = 0;
  uint64_t next_lower_bound_ns_ = 0;  // of what the next Read finds
  uint64_t read_ns_ = 0;
  uint64_t read_began_ns_ = 0;
  bool drained_ = false;
};

}  // namespace fileward

#endif  // FILEWARD_PROCESS_ACTOR_H_
