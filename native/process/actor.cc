#include "native/process/actor.h"

#include <poll.h>
#include <time.h>

#include <algorithm>

#include "native/base/clock.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

constexpr uint64_t kFeedWaitNs = 5'000'000;
constexpr uint64_t kFeedLookNs = 50'000;
// Between the event and the moment at which the scheduler begins to count our waiting: an interrupt
// to another CPU that may be asleep. Measured 50 us, p99 70 us (kernel-facts X2).
constexpr uint64_t kWakeSlackNs = 100'000;

void Sleep(uint64_t ns) {
  const timespec time{0, static_cast<long>(ns)};
  ::nanosleep(&time, nullptr);
}

bool AwaitFeed(const ProcessTable& table, uint64_t as_of_ns) {
  if (!table.HasFeed()) return false;
  const uint64_t deadline_ns = MonotonicNs() + kFeedWaitNs;
  while (!table.CurrentAsOf(as_of_ns)) {
    if (MonotonicNs() > deadline_ns) return false;
    Sleep(kFeedLookNs);
  }
  return true;
}

bool HasExited(int pidfd) {
  pollfd state{pidfd, POLLIN, 0};
  return pidfd >= 0 && ::poll(&state, 1, 0) > 0;
}

// Everything that the process can have run in the window, latest first; empty when that is not
// known.
std::vector<std::shared_ptr<const ExeRun>> RunsInWindow(const ProcessTable::View& view,
                                                        uint64_t lower_bound_ns) {
  std::vector<std::shared_ptr<const ExeRun>> runs = {view.run};
  uint64_t since_ns = view.last_exec_ns;
  uint32_t execs = view.exec_count;
  for (const auto& run : view.earlier) {
    if (since_ns < lower_bound_ns) return runs;
    runs.push_back(run);
    since_ns = run->since_ns;
    --execs;
  }
  // The history reaches back to the fork, or far enough.
  const bool whole = execs == 0 || since_ns < lower_bound_ns;
  return whole ? runs : std::vector<std::shared_ptr<const ExeRun>>{};
}

bool AllAreOne(const std::vector<std::shared_ptr<const ExeRun>>& runs) {
  return !runs.empty() && std::all_of(runs.begin(), runs.end(), [&runs](const auto& run) {
    return run->exe.known() && run->exe == runs.front()->exe &&
           run->certain.load(std::memory_order_relaxed);
  });
}

// Whether the table knows that the process runs or ran this program.
bool Ran(const ProcessTable::View& view, const FileIdentity& exe) {
  return view.run->exe == exe || std::any_of(view.earlier.begin(), view.earlier.end(),
                                             [&exe](const auto& run) { return run->exe == exe; });
}

// A program read after the event may be one that the process was just about to become: the kernel
// swaps it before it tells of the exec. Once the process is seen outside of an exec, or gone, or
// the feed tells of an exec of `becomes`, the feed has that message.
bool AwaitEndOfExec(const ProcessTable& table, int32_t pid, int pidfd,
                    const FileIdentity& becomes) {
  for (int looks = 0; looks < 10; ++looks) {
    if (HasExited(pidfd)) return true;
    const SyscallState state = SyscallOf(pid);
    if (state.kind == SyscallState::Kind::kGone) return true;
    const OpenCall call = ClassifyOpenCall(state.number, pid).call;
    const bool in_exec = state.kind == SyscallState::Kind::kRunning || call == OpenCall::kExecve ||
                         call == OpenCall::kExecveat;
    if (!in_exec) return true;
    const auto view = becomes.known() ? table.Find(pid) : std::nullopt;
    if (view && view->run && Ran(*view, becomes)) return true;
    Sleep(kFeedLookNs);
  }
  return false;
}

struct Belief {
  bool known = false;
  std::optional<ProcessTable::View> view;
  std::vector<std::shared_ptr<const ExeRun>> runs;
};

Belief Look(const ProcessTable& table, int32_t pid, uint64_t lower_bound_ns) {
  Belief belief;
  belief.view = table.Find(pid);
  if (!belief.view || !belief.view->run) return belief;
  belief.runs = RunsInWindow(*belief.view, lower_bound_ns);
  belief.known = AllAreOne(belief.runs) && lower_bound_ns > table.LastGapNs();
  return belief;
}

}  // namespace

Actor ResolveActor(const ProcessTable& table, int32_t pid, int pidfd, uint64_t lower_bound_ns,
                   uint64_t read_ns) {
  Actor actor;
  const bool current = AwaitFeed(table, read_ns);
  // First what is alive now: it may go while we think.
  actor.process = SnapshotOf(pid, table);
  Belief belief = Look(table, pid, lower_bound_ns);
  if (!belief.view) {
    actor.state = actor.process.exe.known() ? ActorState::kChanged : ActorState::kGone;
    return actor;
  }
  const FileIdentity seen = actor.process.exe;
  const bool read_late = !belief.runs.empty() && belief.runs.front()->read_ns >= lower_bound_ns;
  const bool newer = seen.known() && !Ran(*belief.view, seen);
  if (belief.known && current && (read_late || newer)) {
    // What was read late may itself be the program after the exec: it proves nothing.
    const FileIdentity becomes = read_late ? FileIdentity{} : seen;
    belief.known = AwaitEndOfExec(table, pid, pidfd, becomes) && AwaitFeed(table, MonotonicNs());
    if (belief.known) belief = Look(table, pid, lower_bound_ns);
  }
  // What was only inherited is believed when it was seen, then or now.
  const bool verified = belief.view && (belief.view->run_verified || seen == belief.view->run->exe);
  if (belief.known && current && verified && (!seen.known() || Ran(*belief.view, seen))) {
    actor.state = ActorState::kKnown;
    actor.process.exe = belief.runs.back()->exe;
    actor.process.exe_path = belief.runs.back()->path;
    const size_t before = belief.runs.size() - 1;
    if (before < belief.view->earlier.size()) actor.previous = belief.view->earlier[before];
    return actor;
  }
  if (!seen.known() && belief.runs.size() <= 1) {
    actor.state = ActorState::kGone;
    return actor;
  }
  actor.state = ActorState::kChanged;
  if (!belief.view->earlier.empty()) actor.previous = belief.view->earlier.front();
  return actor;
}

void EventWindow::BeforePoll() { times_ = OwnSchedulerTimes(); }

void EventWindow::AfterPoll() {
  const SchedulerTimes now = OwnSchedulerTimes();
  const uint64_t woken_ns = MonotonicNs();
  // Only a reader that slept since it found the queue empty was woken by the first event.
  if (!drained_ || !now.known || now.voluntary_switches == times_.voluntary_switches) return;
  const uint64_t waited_ns = now.run_delay_ns - times_.run_delay_ns + kWakeSlackNs;
  next_lower_bound_ns_ =
      std::max(next_lower_bound_ns_, woken_ns > waited_ns ? woken_ns - waited_ns : 0);
}

void EventWindow::BeforeRead() {
  lower_bound_ns_ = std::max(lower_bound_ns_, next_lower_bound_ns_);
  read_began_ns_ = MonotonicNs();
}

void EventWindow::AfterRead(bool drained) {
  read_ns_ = MonotonicNs();
  drained_ = drained;
  if (drained) next_lower_bound_ns_ = read_began_ns_;
}

}  // namespace fileward
