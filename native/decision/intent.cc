#include "native/decision/intent.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include "native/kernel/fanotify_abi.h"
#include "native/kernel/process_files.h"
#include "native/kernel/task_parking.h"

namespace fileward {
namespace {

Intent Exec() { return {Intent::State::kProven, {Operation::kExec}, false}; }

Intent Unproven() {
  return {Intent::State::kUnproven, {Operation::kRead, Operation::kWrite}, false};
}

// The flags lie in user memory: believed only where nobody could have changed them since the call
// began.
Intent OfOpenat2(int32_t tid, uint64_t how_address, uint64_t read_ns,
                 const ProcessTable& processes) {
  if (!processes.CurrentAsOf(read_ns) && processes.HasFeed()) return {};
  open_how how{};
  if (!processes.RunsAlone(tid, read_ns)) return Unproven();
  if (!ReadPrivateMemory(tid, how_address, &how, sizeof(how))) return Unproven();
  return IntentOfFlags(how.flags);
}

}  // namespace

Intent IntentOfFlags(uint64_t flags) {
  Intent intent{Intent::State::kProven, {}, (flags & O_CREAT) != 0};
  const uint64_t access = flags & O_ACCMODE;
  // 3 is Linux' own "check for both": it opens for neither, ioctl only.
  if (access != O_WRONLY) intent.wanted.Add(Operation::kRead);
  if (access != O_RDONLY) intent.wanted.Add(Operation::kWrite);
  // O_RDONLY|O_TRUNC truncates.
  if ((flags & O_TRUNC) != 0) intent.wanted.Add(Operation::kWrite);
  return intent;
}

Intent ReadIntent(int32_t tid, uint64_t mask, uint64_t read_ns, const ProcessTable& processes) {
  if ((mask & FAN_OPEN_EXEC_PERM) != 0) return Exec();
  // A task that is gone has no wait channel either: SyscallOf tells.
  if (!IsParked(tid) && StatusOf(tid)) return {};
  const SyscallState state = SyscallOf(tid);
  switch (state.kind) {
    case SyscallState::Kind::kRunning:
      return {};
    case SyscallState::Kind::kNone:
      return Unproven();
    case SyscallState::Kind::kGone:
      // Not ours to see is no proof of anything; gone is.
      return StatusOf(tid) ? Unproven() : Intent{Intent::State::kGone, {}, false};
    case SyscallState::Kind::kBlocked:
      break;
  }
  const OpenCallInfo info = ClassifyOpenCall(state.number, tid);
  switch (info.call) {
    case OpenCall::kExecve:
    case OpenCall::kExecveat:
      return Exec();
    case OpenCall::kCreat:
      return IntentOfFlags(O_WRONLY | O_CREAT | O_TRUNC);
    case OpenCall::kOpenat2:
      return OfOpenat2(tid, state.args[static_cast<size_t>(info.how_argument)], read_ns, processes);
    case OpenCall::kOpen:
    case OpenCall::kOpenat:
    case OpenCall::kOpenByHandle:
      return IntentOfFlags(state.args[static_cast<size_t>(info.flags_argument)]);
    case OpenCall::kUnknown:
      break;
  }
  return Unproven();
}

}  // namespace fileward
