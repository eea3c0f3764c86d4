#ifndef FILEWARD_GUARDIAN_AGENT_PROCESS_H_
#define FILEWARD_GUARDIAN_AGENT_PROCESS_H_

#include <cstdint>

#include "native/base/file_identity.h"
#include "native/base/unique_fd.h"

namespace fileward {

// The agent, as its guardian sees it.
class AgentProcess {
 public:
  AgentProcess(UniqueFd pidfd, int32_t pid);

  int32_t pid() const { return pid_; }
  // Readable when it has ended, with all its threads.
  int pidfd() const { return pidfd_.get(); }
  bool HasEnded() const;

  // No rule holds this thread: one of the agent's, or, when that has ended, root's of the same
  // program, which may be the next agent on its way.
  bool MayPass(int32_t tid) const;
  // Which file this descriptor of the agent's is; not known() when it has ended.
  FileIdentity FileOf(int fd) const;

 private:
  const UniqueFd pidfd_;
  const int32_t pid_;
  const UniqueFd threads_;  // /proc/<pid>/task
  const FileIdentity exe_;
};

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_AGENT_PROCESS_H_
