#ifndef FILEWARD_DECISION_DEADLINE_DENIALS_H_
#define FILEWARD_DECISION_DEADLINE_DENIALS_H_

#include "native/base/file_identity.h"
#include "native/decision/verdict_journal.h"
#include "native/decision/workload_set.h"

namespace fileward {

// Keeps the journal's deny table and `keep` as the rules in force and the covered files say. Owned
// by the decision thread. Costs nothing while no rule says `on_deadline: deny`.
class DeadlineDenials {
 public:
  // Both must outlive the object.
  DeadlineDenials(VerdictJournal& journal, const WorkloadSet& workloads)
      : journal_(journal), workloads_(workloads) {}

  // Other rules are in force, or other workloads: ~0.1 us for each covered file.
  void Rebuild();
  // A file got or lost a name.
  void Update(const FileIdentity& file);

 private:
  Operations DeniedOf(const FileIdentity& file) const;

  VerdictJournal& journal_;
  const WorkloadSet& workloads_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_DEADLINE_DENIALS_H_
