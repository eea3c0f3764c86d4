// Answers the events in the journal's slots that are overdue. The watchdog has one, and the
// guardian, which comes later: it answers what the watchdog didn't, and what the agent had taken
// and never wrote.
#ifndef FILEWARD_DECISION_OVERDUE_OPENS_H_
#define FILEWARD_DECISION_OVERDUE_OPENS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "native/decision/unjudged_opens.h"
#include "native/decision/verdict_journal.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

class OverdueOpens {
 public:
  // Which file an event fd of the agent's is.
  using FileOf = std::function<FileIdentity(int fd)>;

  // The references must outlive the object.
  OverdueOpens(VerdictJournal& journal, PermissionGroup& group, OpenSlot::Stand stand,
               UnjudgedOpens& unjudged, FileOf file_of);

  // Answers what has waited for `patience_ns`; says in how many nanoseconds the next will have,
  // nothing when none waits.
  std::optional<uint64_t> Answer(uint64_t patience_ns);
  // How many the last call answered.
  size_t answered() const { return taken_.size(); }

 private:
  VerdictJournal& journal_;
  PermissionGroup& group_;
  const OpenSlot::Stand stand_;
  UnjudgedOpens& unjudged_;
  const FileOf file_of_;
  std::vector<OpenSlot*> taken_;
  std::vector<Response> responses_;  // of those in taken_
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OVERDUE_OPENS_H_
