#include "native/coverage/access_tracker.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "native/kernel/fanotify_abi.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

constexpr uint64_t kUndecidedNs = 100'000'000;
constexpr uint64_t kForgetNs =
    60'000'000'000;  // an open whose close was never told (the mark went meanwhile)
constexpr size_t kMaxOpen = 65'536;

}  // namespace

bool AccessTracker::Watched(const std::vector<CoveredBy>& names, Operation operation) const {
  return std::any_of(names.begin(), names.end(), [&](const CoveredBy& name) {
    return std::any_of(name.rules->begin(), name.rules->end(), [&](uint32_t index) {
      const Rule& rule = facts_.ruleset().rules()[index];
      return rule.behavior == Behavior::kWatch && rule.operations.Has(operation);
    });
  });
}

void AccessTracker::Handle(uint64_t mask, int32_t pid, const std::vector<CoveredBy>& names,
                           const std::string& path, const FileStatus& status,
                           const Source& source) {
  if ((mask & FAN_OPEN_EXEC) != 0) {
    Source opener = source;
    // The exec was the act of the program that ran before it, however certain it seems that the new
    // one ran already: we may have been woken late.
    const bool after = source.actor != nullptr && (source.actor->state == ActorState::kChanged ||
                                                   source.actor->process.exe == status.identity ||
                                                   source.actor->process.script == status.identity);
    if (after && source.actor->previous != nullptr) {
      auto before = std::make_shared<Actor>(*source.actor);
      before->state = ActorState::kKnown;
      before->process.exe = source.actor->previous->exe;
      before->process.exe_path = source.actor->previous->path;
      before->process.script = source.actor->previous->script;
      opener.actor = std::move(before);
    }
    if (Watched(names, Operation::kExec))
      facts_.WriteAccess(Operation::kExec, names, path, status, opener);
    // Its open and close belong to the exec and are no read.
    if ((mask & FAN_CLOSE_NOWRITE) == 0)
      open_[{status.identity, pid}] = {names, path, status, source, 0, source.read_ns};
    return;
  }
  if (!Watched(names, Operation::kRead)) return;
  const Key key{status.identity, pid};
  const auto known = open_.find(key);
  if ((mask & FAN_CLOSE_NOWRITE) != 0) {
    const bool told = known != open_.end() && known->second.due_ns == 0;
    if (!told) facts_.WriteAccess(Operation::kRead, names, path, status, source);
    if (known != open_.end()) open_.erase(known);
    return;
  }
  if ((mask & FAN_CLOSE_WRITE) != 0) {
    if (known != open_.end()) open_.erase(known);
    return;
  }
  if ((mask & FAN_OPEN) == 0 || known != open_.end() || open_.size() >= kMaxOpen) return;
  open_[key] = {names, path, status, source, source.read_ns + kUndecidedNs, source.read_ns};
}

void AccessTracker::Tick(uint64_t now_ns) {
  for (auto at = open_.begin(); at != open_.end();) {
    Open& open = at->second;
    const bool told = open.due_ns == 0;
    if (told ? now_ns <= open.since_ns + kForgetNs : now_ns < open.due_ns) {
      ++at;
      continue;
    }
    bool reads = false;
    if (!told) {
      for (const int flags : OpenFlagsOf(at->first.pid, at->first.identity)) {
        reads = reads || (flags & O_ACCMODE) != O_WRONLY;
      }
    }
    if (reads)
      facts_.WriteAccess(Operation::kRead, open.names, open.path, open.status, open.source);
    open.due_ns = 0;
    at = reads ? std::next(at) : open_.erase(at);
  }
}

}  // namespace fileward
