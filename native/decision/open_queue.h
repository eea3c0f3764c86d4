// The opens that were read and aren't answered yet: looks at each until it is decided, answers a
// slice of them with one writev, then publishes, ignores and closes.
//
// Owned by the decision thread. Owns the events' fds from Enter to the answer. An opener that can't
// be judged yet (not parked, ancestry not settled) is set aside and looked at again, ever more
// rarely; the others go on.
#ifndef FILEWARD_DECISION_OPEN_QUEUE_H_
#define FILEWARD_DECISION_OPEN_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "native/decision/open_judge.h"
#include "native/decision/open_publisher.h"
#include "native/decision/watchdog.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

class OpenQueue {
 public:
  // All must outlive the object.
  OpenQueue(PermissionGroup& group, OpenJudge& judge, OpenPublisher& publisher, Watchdog& watchdog);

  void SetDeadline(uint64_t deadline_ns) { deadline_ns_ = deadline_ns; }
  bool empty() const { return open_.empty() && decided_.empty(); }
  // How many more may be entered.
  size_t room() const;
  // CLOCK_MONOTONIC of the next thing to do; UINT64_MAX when empty.
  uint64_t NextDueNs() const;

  // `since_ns`: CLOCK_MONOTONIC from which the deadline counts.
  void Enter(PermissionEvent event, uint64_t since_ns, uint64_t read_ns, uint64_t read_real_ns);
  // Of the `latest` that were entered last, the first so many were answered by somebody else,
  // unlooked at.
  void DropAnswered(size_t latest, size_t answered);
  // Looks at what is due and answers what is decided.
  void Work();
  void AllowAll();

 private:
  bool Decide(PendingOpen& open, uint64_t now_ns);
  bool MustHold(uint64_t now_ns) const;
  void Answer();
  void AwaitWatchdog(PendingOpen& open);
  void Finish(PendingOpen& open, uint64_t answered_ns);

  PermissionGroup& group_;
  OpenJudge& judge_;
  OpenPublisher& publisher_;
  Watchdog& watchdog_;
  std::vector<PendingOpen> open_;
  std::vector<PendingOpen> decided_;  // and to be answered
  std::vector<Response> responses_;
  uint64_t hold_until_ns_ = 0;  // at the latest
  uint64_t deadline_ns_ = 100'000'000;
  const size_t max_open_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OPEN_QUEUE_H_
