#ifndef FILEWARD_GUARDIAN_HANDOVER_H_
#define FILEWARD_GUARDIAN_HANDOVER_H_

#include <cstdint>

#include "native/base/result.h"
#include "native/base/unique_fd.h"

namespace fileward {

// What a guardian is given, over the socket that is its fd 0, once it runs: until then it holds
// nothing, because a process that is still being started and holds the group would keep every
// opener waiting when the agent dies just then.
struct Handover {
  UniqueFd group;    // the permission group
  UniqueFd journal;  // the memory of a VerdictJournal
  UniqueFd agent;    // pidfd of the agent
  UniqueFd wake;     // eventfd of the decision thread
  int32_t agent_pid = 0;
};

// Copies of the fds go; those given stay the caller's.
struct HandoverFds {
  int group = -1;
  int journal = -1;
  int agent = -1;
  int wake = -1;
};
Result<void> SendHandover(int socket, const HandoverFds& fds, int32_t agent_pid);
Result<Handover> ReceiveHandover(int socket);

// The guardian's answer: it stands. False when it ended first or takes longer.
void SendStands(int socket);
bool AwaitStands(int socket, int timeout_ms);

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_HANDOVER_H_
