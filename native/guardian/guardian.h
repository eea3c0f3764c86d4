// Answers for the agent when it doesn't: stopped, swapped out, in a debugger, deadlocked, too slow,
// dead. A process of its own, with one thread.
//
// It owns: a copy of the permission group, a mapping of the agent's journal, all fd numbers below
// first_guardian_fd (so that no event of its own has a number of the agent's), its canary child,
// and a cgroup. It must not own anything that the agent, or whoever froze it, can hold: it takes no
// lock, logs nothing, allocates nothing once it stands, and opens nothing but /proc files.
//
// The agent hands it fds (handover.h); after that the two speak through the journal alone. The
// agent's decision thread enters what it reads; the guardian looks at every tick whether something
// is overdue (in a slot, in the kernel's queue, or read and entered nowhere) and answers that by
// `on_deadline` (UnjudgedOpens). If the agent has read nothing for a whole deadline the guardian
// stands in: it reads and answers at once, and wakes the decision thread at every tick, until that
// takes a turn again. When the agent dies, the guardian answers what is outstanding and ends, which
// closes the group; where a rule says `on_deadline: deny` it keeps the group and goes on deciding
// by the deny table, until a successor says `end` (successor_socket.h). When the guardian dies the
// agent starts another (guardian_keeper.h), which finds all of this in the journal.
#ifndef FILEWARD_GUARDIAN_GUARDIAN_H_
#define FILEWARD_GUARDIAN_GUARDIAN_H_

#include <cstdint>
#include <string>

#include "native/base/unique_fd.h"
#include "native/decision/overdue_opens.h"
#include "native/decision/unjudged_opens.h"
#include "native/decision/verdict_journal.h"
#include "native/guardian/agent_process.h"
#include "native/guardian/canary.h"
#include "native/guardian/group_reader.h"
#include "native/guardian/handover.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

class Guardian {
 public:
  struct Paths {
    std::string socket;
    std::string canary;  // empty: there is none
  };
  Guardian(Handover handover, JournalMemory journal, Paths paths);

  // Until the agent has ended and nobody needs it any more.
  void Run();

 private:
  using Reason = VerdictJournal::Reason;

  void Watch(uint64_t now_ns);
  void AnswerQueue(uint64_t now_ns);
  void LookAtCanary(uint64_t now_ns);
  void Sleep(uint64_t now_ns);
  bool StandsIn() const { return journal_->present.reason.load() != Reason::kNone; }
  void StandIn(Reason reason, uint64_t now_ns);
  void StandBack(uint64_t now_ns);
  void WakeAgent() const;
  void Outlive();

  JournalMemory journal_;
  PermissionGroup group_;
  const AgentProcess agent_;
  const UniqueFd wake_;
  const Paths paths_;
  UnjudgedOpens unjudged_;
  OverdueOpens slots_;
  GroupReader queue_;
  Canary canary_;
  uint64_t next_slot_ns_ = UINT64_MAX;  // when the next slot is overdue
  uint64_t seen_turns_ = 0;
  uint64_t seen_turns_ns_ = 0;  // when the agent was seen to have taken a turn
};

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_GUARDIAN_H_
