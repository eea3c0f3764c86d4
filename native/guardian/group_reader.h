// The guardian's reading of the group: how much waits there and since when, and answers to what the
// agent doesn't read, or has read and lost.
//
// All by turns (ReadTurn): while it is the guardian's the agent doesn't read, so that it takes what
// is overdue and nothing newer. Its event fds are numbers that the agent never has.
#ifndef FILEWARD_GUARDIAN_GROUP_READER_H_
#define FILEWARD_GUARDIAN_GROUP_READER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "native/decision/unjudged_opens.h"
#include "native/decision/verdict_journal.h"
#include "native/guardian/agent_process.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

class GroupReader {
 public:
  // All must outlive the object.
  GroupReader(VerdictJournal& journal, PermissionGroup& group, const AgentProcess& agent,
              UnjudgedOpens& unjudged);

  // Takes down how much waits.
  void Sample(uint64_t now_ns);
  // How many have waited for `patience_ns`.
  size_t Overdue(uint64_t now_ns, uint64_t patience_ns) const;
  // When the head of the queue will have; UINT64_MAX when nothing is known to wait.
  uint64_t NextDueNs(uint64_t patience_ns) const;
  // Reads and answers `count` from the head, or all that wait now.
  void Answer(size_t count);
  // What the agent had read when it was stopped or ended, before it stood in slots.
  void AnswerLostTurn(uint64_t now_ns, uint64_t patience_ns);

 private:
  void AnswerBatch(bool agents);
  void Count(size_t allowed, size_t denied);

  VerdictJournal& journal_;
  PermissionGroup& group_;
  const AgentProcess& agent_;
  UnjudgedOpens& unjudged_;
  std::vector<PermissionEvent> batch_;
  std::vector<Response> responses_;
  uint64_t seen_turn_ = 0;
  uint64_t seen_turn_ns_ = 0;  // when that was first seen
};

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_GROUP_READER_H_
