#ifndef FILEWARD_GUARDIAN_OWN_CGROUP_H_
#define FILEWARD_GUARDIAN_OWN_CGROUP_H_

namespace fileward {

// A cgroup of the guardian's at the root of each hierarchy that can freeze or kill (v2; v1 freezer,
// memory and pids), so that what is done to the agent's isn't done to it.

// Moves this process; false when it stays with the agent in one that matters. Removes what earlier
// guardians left.
bool MoveToOwnCgroups();
// Back to the roots, where the machine allows it.
void LeaveOwnCgroups();
// Those of guardians that have ended; opens no file.
void RemoveEmptyGuardianCgroups();

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_OWN_CGROUP_H_
