// Whose rules speak for an open or a change: the one answer, for the gate (OpenJudge) and for
// changes (coverage).
#ifndef FILEWARD_DECISION_RULES_APPLY_H_
#define FILEWARD_DECISION_RULES_APPLY_H_

#include "native/base/workload.h"
#include "native/process/workload_cgroups.h"

namespace fileward {

// Do the rules of `owner`, which knows the file, speak when a process of `opener` opens or changes
// it? `on_owner_root_filesystem`: the file lies on the container's own root filesystem, which no
// other container has any business with. Not so on a volume: there another container has a mount of
// its own, and its own rules decide, unless it runs in the owner: a container can't leave its rules
// by making another. The host's rules always speak: a bind mount doesn't take a file out of them.
inline bool RulesApply(const WorkloadCgroups& cgroups, WorkloadId owner, WorkloadId opener,
                       bool on_owner_root_filesystem) {
  return owner == opener || owner == kHostWorkload || opener == kHostWorkload ||
         opener == kUnknownWorkload || on_owner_root_filesystem || cgroups.IsNested(opener, owner);
}

}  // namespace fileward

#endif  // FILEWARD_DECISION_RULES_APPLY_H_
