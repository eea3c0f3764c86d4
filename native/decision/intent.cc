#include "native/decision/intent.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>

#include <optional>

#include "native/kernel/fanotify_abi.h"
#include "native/kernel/process_files.h"
#include "native/kernel/task_parking.h"

namespace fileward {
namespace {

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

Intent Proven(Operation operation) { return {Intent::State::kProven, {operation}, false}; }

// The call that the task is parked in; nothing where `otherwise` is the answer.
std::optional<SyscallState> ParkedIn(int32_t tid, Intent& otherwise) {
  otherwise = {};
  // A task that is gone has no wait channel either: SyscallOf tells.
  if (!IsParked(tid) && IsThere(tid)) return std::nullopt;
  const SyscallState state = SyscallOf(tid);
  switch (state.kind) {
    case SyscallState::Kind::kRunning:
      break;
    case SyscallState::Kind::kNone:
      otherwise = Unproven();
      break;
    case SyscallState::Kind::kGone:
      // Not ours to see is no proof of anything; gone is. Where no descriptor is left to look with,
      // we look again.
      if (StatusOf(tid)) {
        otherwise = Unproven();
      } else if (!IsThere(tid)) {
        otherwise = {Intent::State::kGone, {}, false};
      }
      break;
    case SyscallState::Kind::kBlocked:
      return state;
  }
  return std::nullopt;
}

// Nobody else can put another file under a descriptor's number while the task is parked. Not seen:
// a process that shares the table of descriptors, but not the memory (CLONE_FILES without
// CLONE_VM).
bool OwnsDescriptors(int32_t tid, uint64_t read_ns, const ProcessTable& processes) {
  if (!processes.RunsAlone(tid, read_ns)) return false;
  const std::optional<ProcessStatus> status = StatusOf(tid);
  return status && status->threads == 1;
}

// A shared mapping of what is open for writing can be made writable later, and nothing asks then.
// One to be executed is how the dynamic loader runs a program.
Intent OfMap(const AccessCallInfo& info, int32_t tid, const FileIdentity& file, uint64_t read_ns,
             const ProcessTable& processes) {
  Operations wanted{Operation::kRead};
  if ((info.prot & PROT_EXEC) != 0) wanted.Add(Operation::kExec);
  const Intent reads{Intent::State::kProven, wanted, false};
  if ((info.flags & MAP_TYPE) == MAP_PRIVATE) return reads;
  wanted.Add(Operation::kWrite);
  if ((info.prot & PROT_WRITE) != 0) return {Intent::State::kProven, wanted, false};
  if (!processes.CurrentAsOf(read_ns) && processes.HasFeed()) return {};
  const auto mapped = DescriptorOf(tid, info.from);
  const bool only_reads = mapped && mapped->identity == file &&
                          (mapped->flags & O_ACCMODE) == O_RDONLY &&
                          OwnsDescriptors(tid, read_ns, processes);
  return only_reads ? reads : Intent{Intent::State::kUnproven, wanted, false};
}

Intent OfCopy(const AccessCallInfo& info, int32_t tid, const FileIdentity& file, uint64_t read_ns,
              const ProcessTable& processes) {
  if (!processes.CurrentAsOf(read_ns) && processes.HasFeed()) return {};
  const auto from = DescriptorOf(tid, info.from);
  const auto to = DescriptorOf(tid, info.to);
  const bool is_read = from && from->identity == file;
  const bool is_written = to && to->identity == file;
  if (!is_read && is_written) return Proven(Operation::kWrite);
  const bool only_reads = is_read && !is_written && OwnsDescriptors(tid, read_ns, processes);
  return only_reads ? Proven(Operation::kRead) : Unproven();
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
  if ((mask & FAN_OPEN_EXEC_PERM) != 0) return Proven(Operation::kExec);
  Intent otherwise;
  const std::optional<SyscallState> state = ParkedIn(tid, otherwise);
  if (!state) return otherwise;
  const OpenCallInfo info = ClassifyOpenCall(state->number, tid);
  switch (info.call) {
    case OpenCall::kExecve:
    case OpenCall::kExecveat:
      return Proven(Operation::kExec);
    case OpenCall::kCreat:
      return IntentOfFlags(O_WRONLY | O_CREAT | O_TRUNC);
    case OpenCall::kOpenat2:
      return OfOpenat2(tid, state->args[static_cast<size_t>(info.how_argument)], read_ns,
                       processes);
    case OpenCall::kOpen:
    case OpenCall::kOpenat:
    case OpenCall::kOpenByHandle:
      return IntentOfFlags(state->args[static_cast<size_t>(info.flags_argument)]);
    case OpenCall::kUnknown:
      break;
  }
  return Unproven();
}

Intent ReadAccessIntent(int32_t tid, const FileIdentity& file, uint64_t read_ns,
                        const ProcessTable& processes) {
  Intent otherwise;
  const std::optional<SyscallState> state = ParkedIn(tid, otherwise);
  if (!state) return otherwise;
  const AccessCallInfo info = ClassifyAccessCall(*state, tid);
  switch (info.call) {
    case AccessCall::kRead:
      return Proven(Operation::kRead);
    case AccessCall::kWrite:
      return Proven(Operation::kWrite);
    case AccessCall::kExec:
      return Proven(Operation::kExec);
    case AccessCall::kMap:
      return OfMap(info, tid, file, read_ns, processes);
    case AccessCall::kCopy:
      return OfCopy(info, tid, file, read_ns, processes);
    case AccessCall::kUnknown:
      break;
  }
  return Unproven();
}

}  // namespace fileward
