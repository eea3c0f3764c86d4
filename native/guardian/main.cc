// fileward_guardian SOCKET CANARY: the process of guardian.h. Started by the agent, with a socket
// to it as fd 0 and nothing else.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "native/base/thread_priority.h"
#include "native/guardian/guardian.h"
#include "native/guardian/own_cgroup.h"
#include "native/kernel/task_parking.h"

namespace fileward {
namespace {

constexpr int kChannel = 0;

// Neither is needed to work, only to work on a machine that is in trouble.
void Harden() {
  UseRealTime(SCHED_RR, 2);
  const UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  [[maybe_unused]] const ssize_t written = ::write(score.get(), "-1000", 5);
  ::mlockall(MCL_CURRENT | MCL_FUTURE);
}

void UseSmallStacks() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, 256 * 1024);
  ::pthread_setattr_default_np(&attributes);
  ::pthread_attr_destroy(&attributes);
}

// From now on every new fd has a number of ours.
bool OccupyBelow(int first) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  int last = 0;
  do {
    last = ::fcntl(kChannel, F_DUPFD_CLOEXEC, 0);
  } while (last >= 0 && last < first - 1);
  return last == first - 1;
}

int Run(int argc, char** argv) {
  if (argc != 3) return 2;
  const bool own_cgroup = MoveToOwnCgroups();
  Result<Handover> handover = ReceiveHandover(kChannel);
  if (!handover) return 1;
  Result<JournalMemory> journal = JournalMemory::Open(std::move(handover->journal));
  if (!journal) return 1;
  VerdictJournal& shared = **journal;
  if (!OccupyBelow(shared.first_guardian_fd.load())) return 1;
  // Finds out what the kernel tells; no opener should wait for that. It takes a thread for it,
  // whose stack stays and would be locked.
  UseSmallStacks();
  IsParked(::getpid());
  Guardian guardian(std::move(*handover), std::move(*journal), {argv[1], argv[2]});
  Harden();
  shared.own_cgroup.store(own_cgroup);
  shared.guardian_pid.store(::getpid());
  SendStands(kChannel);
  guardian.Run();
  return 0;
}

}  // namespace
}  // namespace fileward

int main(int argc, char** argv) { return fileward::Run(argc, argv); }
