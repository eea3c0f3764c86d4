#include "native/guardian/agent_process.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <utility>

#include "native/decision/unjudged_opens.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

UniqueFd OpenThreads(int32_t pid) {
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/%d/task", pid);
  return UniqueFd(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

AgentProcess::AgentProcess(UniqueFd pidfd, int32_t pid)
    : pidfd_(std::move(pidfd)),
      pid_(pid),
      threads_(OpenThreads(pid)),
      exe_(ExeIdentity(pid).value_or(FileIdentity{})) {}

bool AgentProcess::HasEnded() const {
  pollfd ended{pidfd_.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 1;
}

bool AgentProcess::MayPass(int32_t tid) const {
  if (tid <= 0) return false;
  char name[16];
  std::snprintf(name, sizeof(name), "%d", tid);
  if (::faccessat(threads_.get(), name, F_OK, 0) == 0) return true;
  if (!exe_.known() || !HasEnded()) return false;
  const auto status = StatusOf(tid);
  return status && status->euid == 0 && ExeIdentity(tid) == exe_;
}

FileIdentity AgentProcess::FileOf(int fd) const {
  char path[48];
  std::snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid_, fd);
  return IdentityOfFile(path);
}

}  // namespace fileward
