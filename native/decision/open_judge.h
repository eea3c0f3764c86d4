// One permission event: which file, what for, who, which rule. Everything between reading an event
// and knowing its answer. Where a strict rule has FAN_PRE_ACCESS, reads and writes of an open file
// are events too: judged by who makes the call for what it does, by strict rules alone, and told
// where the open was not told already.
//
// Look is the walk: who covers the file (WorkloadSet), whose rules speak for this opener
// (RulesApply), what it wants (Intent), what each of those rules says (Evaluate with an
// OpenerSubject), the strictest wins.
//
// Owned by the decision thread; holds what is in force there for all workloads. It opens nothing,
// reads /proc files that can't block, and takes no lock but the process table's.
#ifndef FILEWARD_DECISION_OPEN_JUDGE_H_
#define FILEWARD_DECISION_OPEN_JUDGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "native/base/unique_fd.h"
#include "native/decision/evaluate.h"
#include "native/decision/intent.h"
#include "native/decision/told_accesses.h"
#include "native/decision/watchdog.h"
#include "native/decision/workload_set.h"
#include "native/kernel/fanotify_group.h"
#include "native/process/process_snapshot.h"
#include "native/process/process_table.h"

namespace fileward {

// What statx says of the file that is being opened.
struct OpenedFile {
  FileIdentity identity;
  uint64_t birth_ns = 0;
  uint64_t mount_id = 0;
  uint64_t size = 0;
  uint64_t mtime_ns = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;
};

// A permission event on its way through the decision thread.
struct PendingOpen {
  PermissionEvent event;
  uint64_t since_ns = 0;      // CLOCK_MONOTONIC; the deadline counts from here
  uint64_t read_ns = 0;       // CLOCK_MONOTONIC
  uint64_t read_real_ns = 0;  // CLOCK_REALTIME
  Watchdog::Slot slot = 0;
  uint64_t next_look_ns = 0;  // set aside until then
  uint64_t backoff_ns = 0;
  int32_t tgid = 0;
  // Whose process it is; asked only where a container's rules could speak.
  std::optional<WorkloadId> opener;
  bool needs_intent = false;  // a rule could decide, once it is known what for
  Intent intent;
  OpenedFile file;

  // The answer and what the record says.
  enum class State : uint8_t { kUndecided, kOwn, kNotCovered, kJudged };
  State state = State::kUndecided;
  Decision decision;
  WorkloadId workload = kHostWorkload;  // whose rule decided
  // Of all workloads whose rules spoke; `decision.learned` is of the one that decided.
  std::vector<std::pair<WorkloadId, Learning>> learned;
  uint64_t ruleset_version = 0;
  bool answered = false;      // by us, not by the watchdog
  bool may_ignore = false;    // no rule covers it, and nothing else needs its events
  bool judged_write = false;  // and coverage isn't told yet
  bool was_told = false;      // an access like others of the same process that were told
  bool creat_fresh = false;
  FileIdentity exe;
  uint8_t package_manager = 0;
  // Only for decisions that will be reported.
  std::string path;
  std::string covered_path;
  std::optional<ProcessSnapshot> process;

  // A read or write of what is open already.
  bool IsAccess() const { return (event.mask & FAN_PRE_ACCESS) != 0; }
  bool Allows() const { return decision.verdict != Verdict::kDeny; }
  // Its look failed because it wasn't parked.
  bool IsRunning() const { return needs_intent && intent.state == Intent::State::kRunning; }
  bool IsReported() const {
    return state == State::kJudged && decision.outcome >= Outcome::kLearned && !was_told;
  }
};

class OpenJudge {
 public:
  explicit OpenJudge(const ProcessTable& processes);

  // In force from now on; what was goes back in `swap` to be freed elsewhere.
  void Swap(RulesetSwap& swap);
  // Of the ruleset in force; nothing before the first.
  std::optional<uint64_t> deadline_ns() const;
  WorkloadSet& workloads() { return workloads_; }

  // True: the open is the agent's own and must be allowed before anything else.
  bool IsOwn(const PermissionEvent& event) const;

  // Sets `open.state` and the answer; leaves kUndecided when it has to be looked at again.
  // `last_look`: what isn't settled by now counts as unknown; a running opener stays undecided even
  // then. Tells the watchdog what to answer.
  void Look(PendingOpen& open, Watchdog& watchdog, bool last_look);

  // The watchdog answered first. Says what that was: nothing is known of the opener any more, it
  // runs.
  void Overtaken(PendingOpen& open, bool allowed);

 private:
  // Which file, which process; false: no regular file.
  bool Inspect(PendingOpen& open) const;
  WorkloadSet::Found Find(const PendingOpen& open) const;
  void NotCovered(PendingOpen& open, const WorkloadSet::Found& found) const;
  WorkloadId OpenerOf(PendingOpen& open) const;
  // A container's first opens come before we are told of it: as the host's they would be held to
  // the rules of every container that shares the volume.
  bool AwaitsOpener(PendingOpen& open, std::span<const Covering> coverings) const;
  // Takes away the workloads whose rules don't speak for this opener.
  void KeepSpeaking(PendingOpen& open, std::vector<Covering>& coverings) const;
  // False: look again.
  bool LearnIntent(PendingOpen& open);
  bool IsPartOfExec(const PendingOpen& open);
  // Takes down what is told of an open or access that is let through; of an access, what isn't new.
  void TellOnce(PendingOpen& open);
  bool RememberScript(PendingOpen& open, bool last_look);
  // By what the rules of all these say; the strictest wins.
  void Judge(PendingOpen& open, std::span<const Covering> coverings, bool last_look);
  void Describe(PendingOpen& open) const;

  const ProcessTable& processes_;
  UniqueFd own_threads_;  // /proc/self/task
  uint64_t version_ = 0;
  WorkloadSet workloads_;
  // Threads whose exec was judged by FAN_OPEN_EXEC_PERM: FAN_OPEN_PERM of the same file follows
  // where both are marked.
  std::unordered_map<int32_t, FileIdentity> judged_execs_;
  ToldAccesses told_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OPEN_JUDGE_H_
