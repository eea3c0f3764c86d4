// Answers permission events. Owns two threads: the decision thread (of the lowest real-time
// priority where permitted, else nice -20) and the watchdog, which answers by `on_deadline` what
// the decision thread hasn't within the ruleset's deadline. Owns the journal too, by which a
// guardian answers what neither does.
//
// The decision thread owns the permission group's events from reading to closing their fds, and
// what is in force for each workload (WorkloadSet); it is the only producer of ring 0 and of
// judged_opens(), the only consumer of updates(). While an opener waits it opens nothing that could
// be covered, logs nothing, waits for no lock that a thread may hold while it opens files; its own
// process is allowed at once. It answers a batch with one writev and only then publishes. Until the
// first ReplaceAll it allows everything.
//
// Start, Stop and the destructor belong to one thread (the session's); stats() and counters() may
// be called from any.
#ifndef FILEWARD_DECISION_DECISION_THREAD_H_
#define FILEWARD_DECISION_DECISION_THREAD_H_

#include <functional>
#include <memory>

#include "native/base/result.h"
#include "native/decision/object_table.h"
#include "native/decision/verdict_journal.h"
#include "native/decision/verdict_stats.h"
#include "native/event/event_ring.h"

namespace fileward {

class PermissionGroup;
class ProcessTable;

class DecisionThread {
 public:
  struct Options {
    bool collect_args = false;
    // The group can't be read any more; called once on the decision thread, after everything was
    // answered.
    std::function<void(const Error&)> on_fatal;
  };

  // All references must outlive the object.
  static Result<std::unique_ptr<DecisionThread>> Start(PermissionGroup& group,
                                                       ProcessTable& processes, EventRing& ring,
                                                       Options options);
  ~DecisionThread();
  DecisionThread(const DecisionThread&) = delete;
  DecisionThread& operator=(const DecisionThread&) = delete;

  // Allows what is outstanding and ends the decision thread. Idempotent. The watchdog ends with the
  // object, which must be destroyed before the group.
  void Stop();

  ObjectUpdates& updates();
  const JournalMemory& journal() const;
  // An eventfd that makes the decision thread look again at everything.
  int wake_fd() const;
  JudgedOpens& judged_opens();
  const VerdictStats& stats() const;
  // Of the ruleset in force; nullptr before the first. A replaced one stays valid and is written no
  // more.
  std::shared_ptr<const RuleCounters> counters() const;

 private:
  class Impl;
  explicit DecisionThread(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_DECISION_THREAD_H_
