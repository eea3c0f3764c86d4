// What an opener, or who reads or writes what is open, is about to do, from the system call that it
// is parked in. Never guessed: what isn't proven is said so.
#ifndef FILEWARD_DECISION_INTENT_H_
#define FILEWARD_DECISION_INTENT_H_

#include <cstdint>

#include "native/base/file_identity.h"
#include "native/decision/operations.h"
#include "native/process/process_table.h"

namespace fileward {

struct Intent {
  enum class State : uint8_t {
    kRunning,  // not parked yet, or woken by somebody else's answer: look again
    kProven,
    kUnproven,  // `wanted` is read and write
    kGone,      // killed while it waited: nobody is there to be answered
  };
  State state = State::kRunning;
  Operations wanted;
  bool creates = false;  // O_CREAT
};

// `mask` and `tid` of a permission event that was read at `read_ns` (CLOCK_MONOTONIC). One read of
// /proc, a few more for openat2 and 32-bit programs.
Intent ReadIntent(int32_t tid, uint64_t mask, uint64_t read_ns, const ProcessTable& processes);

// The same for FAN_PRE_ACCESS of `file`: what the call does to it, whatever the descriptor may.
// kExec: a part of an exec, whose open was asked for before it.
Intent ReadAccessIntent(int32_t tid, const FileIdentity& file, uint64_t read_ns,
                        const ProcessTable& processes);

// What O_* flags ask for.
Intent IntentOfFlags(uint64_t flags);

}  // namespace fileward

#endif  // FILEWARD_DECISION_INTENT_H_
