// The agent's side of the guardian: starts it, ends it, and starts another when it has died or
// hangs.
//
// Owns one thread, the guardian process, and the wait for its death. Holds copies of no fd that a
// child could keep: the guardian gets them over a socket once it runs. What a dead guardian was at
// (a turn of reading, answers that it had taken) is settled here, before the next one starts.
//
// Start, Stop and the destructor belong to one thread (the session's); stats() may be called from
// any.
#ifndef FILEWARD_GUARDIAN_GUARDIAN_KEEPER_H_
#define FILEWARD_GUARDIAN_GUARDIAN_KEEPER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/decision/verdict_journal.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

class GuardianKeeper {
 public:
  struct Options {
    std::string executable;
    std::string socket;
    std::string canary;
  };
  struct Stats {
    int32_t pid = 0;  // 0: there is none now
    uint64_t restarts = 0;
  };

  // The first guardian stands when this returns. The references must outlive the object.
  // `wake_fd`: of the decision thread. Lowers the process' limit of fds: the numbers above are the
  // guardian's.
  static Result<std::unique_ptr<GuardianKeeper>> Start(PermissionGroup& group,
                                                       const JournalMemory& journal, int wake_fd,
                                                       Options options);
  ~GuardianKeeper() { Stop(); }
  GuardianKeeper(const GuardianKeeper&) = delete;
  GuardianKeeper& operator=(const GuardianKeeper&) = delete;

  // Ends the guardian: from then on closing the group releases every opener. Idempotent.
  void Stop();

  Stats stats() const { return {pid_.load(), restarts_.load()}; }

 private:
  GuardianKeeper(PermissionGroup& group, const JournalMemory& journal, int wake_fd, Options options,
                 UniqueFd stop);
  Result<void> StartGuardian();
  Result<void> SpawnGuardian();
  Result<void> Spawn(int channel);
  void Run();
  // Until it has ended, hangs (and is killed), or Stop.
  void Watch();
  void Bury();
  void AnswerForDead();
  bool Pause(uint64_t ns);

  PermissionGroup& group_;
  const JournalMemory& journal_;
  const int wake_fd_;
  const Options options_;
  const UniqueFd stop_;  // eventfd, written by Stop
  UniqueFd guardian_;    // pidfd; the thread's, once it runs
  std::atomic<int32_t> pid_{0};
  std::atomic<uint64_t> restarts_{0};
  std::thread thread_;
};

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_GUARDIAN_KEEPER_H_
