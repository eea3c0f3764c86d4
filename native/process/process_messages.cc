// What each message of the feed changes in the table.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/kernel/process_files.h"
#include "native/process/process_entry.h"
#include "native/process/process_table.h"

namespace fileward {

void ProcessTable::Apply(const ProcEvent& event) {
  switch (event.what) {
    case ProcEvent::What::kFork:
      return event.pid == event.tgid ? OnFork(event) : OnThread(event);
    case ProcEvent::What::kExec:
      return OnExec(event);
    case ProcEvent::What::kExit:
      return OnExit(event);
    case ProcEvent::What::kUid:
      return OnUid(event);
  }
}

ProcessTable::Process* ProcessTable::Live(int32_t pid) {
  const auto found = processes_->find(pid);
  return found == processes_->end() || found->second.exited ? nullptr : &found->second;
}

// A fresh entry for a pid, or null when there is no room.
ProcessTable::Process* ProcessTable::Emplace(int32_t pid, uint64_t now_ns) {
  ForgetExited(now_ns);
  if (const auto old = processes_->find(pid); old != processes_->end()) {
    if (!old->second.exited) MarkExited(old->second, now_ns);
    std::erase_if(exited_, [pid](const auto& entry) { return entry.second == pid; });
    forgotten_ns_ = std::max(forgotten_ns_, old->second.exited_ns);
    processes_->erase(old);
  }
  if (processes_->size() >= limits_.processes) {
    forgotten_ns_ = now_ns;
    CountFailure(Failure::kProcessTableFull);
    return nullptr;
  }
  Process& process = (*processes_)[pid];
  process.pid = pid;
  process.serial = next_serial_++;
  return &process;
}

void ProcessTable::SetRun(Process& process, std::shared_ptr<const ExeRun> run) {
  if (process.run) --process.run->processes;
  process.run = std::move(run);
  if (process.run) ++process.run->processes;
}

void ProcessTable::OnThread(const ProcEvent& event) {
  const std::lock_guard lock(mutex_);
  Process* process = Live(event.tgid);
  if (process == nullptr) return;
  if (thread_groups_.size() >= limits_.threads) return CountFailure(Failure::kProcessTableFull);
  if (thread_groups_.insert_or_assign(event.pid, event.tgid).second) {
    process->threads.push_back(event.pid);
  }
}

void ProcessTable::OnFork(const ProcEvent& event) {
  // Whether the child runs what its parent is said to have run: see View::run_verified.
  const std::optional<FileIdentity> exe = ExeIdentity(event.pid);
  const uint64_t now_ns = MonotonicNs();
  const uint64_t boot_minus_monotonic_ns = NowNs(CLOCK_BOOTTIME) - now_ns;
  const std::lock_guard lock(mutex_);
  Process* child = Emplace(event.pid, now_ns);
  if (child == nullptr) return;
  child->ppid = event.parent_tgid;
  child->fork_ns = event.timestamp_ns;
  child->start_ns = event.timestamp_ns + boot_minus_monotonic_ns;
  child->exe_at_fork = exe.value_or(FileIdentity{});
  Process* parent = Live(event.parent_tgid);
  if (parent == nullptr) {
    SetRun(*child, std::make_shared<ExeRun>());
    child->run->certain.store(false, std::memory_order_relaxed);
    child->forker_unproven = true;
    return;
  }
  SetRun(*child, parent->run);
  child->run_verified = exe.has_value() && exe->known() && *exe == parent->run->exe;
  child->forker_unproven = !child->run_verified;
  child->parent_serial = parent->serial;
  child->parent_execs = parent->exec_count;
  child->ruid = parent->ruid;
  child->euid = parent->euid;
  child->uid_known = parent->uid_known;
  child->cgroup = parent->cgroup;
  ++parent->young_children;
  if (!parent->forks_unproven) child->chain = parent->ChainForChild();
}

// The script that the process has just started, as far as it was noted; not known(): none.
FileIdentity ProcessTable::StartedScript(int32_t pid) {
  Process::NotedScript noted;
  {
    const std::lock_guard lock(mutex_);
    if (Process* process = Live(pid)) noted = std::exchange(process->next_script, {});
  }
  if (!noted.identity.known()) return {};
  // The names are those of its workload.
  const WorkloadId workload = WorkloadOf(pid);
  if (workload == kUnknownWorkload) return {};
  const int32_t init = workload == kHostWorkload ? ::getpid() : workloads()->InitOf(workload);
  return RunsScript(pid, noted.names, PlaceOf(init)) ? noted.identity : FileIdentity{};
}

void ProcessTable::OnExec(const ProcEvent& event) {
  std::shared_ptr<ExeRun> run = ReadRun(event.tgid, event.timestamp_ns);
  run->script = StartedScript(event.tgid);
  const std::vector<int32_t> children = ListChildren(event.tgid);
  const uint64_t now_ns = MonotonicNs();
  const std::lock_guard lock(mutex_);
  // A thread that execs takes the leader's pid over; the leader's exit came before.
  const auto found = processes_->find(event.tgid);
  Process* process = found == processes_->end() ? Emplace(event.tgid, now_ns) : &found->second;
  if (process == nullptr) return;
  if (process->exited) {
    process->exited = false;
    if (process->run) ++process->run->processes;
    std::erase_if(exited_, [&event](const auto& entry) { return entry.second == event.tgid; });
  }
  process->leader_exited = false;
  DropThreads(*process);
  if (process->run && process->run_read_here) {
    // The read of the program before may have seen this one already.
    const uint64_t read_ns = process->run->read_ns;
    const bool same = process->run->exe == run->exe;
    if (read_ns + kSwapNs > event.timestamp_ns ||
        (same && read_ns + kSameExeNs > event.timestamp_ns)) {
      process->run->certain.store(false, std::memory_order_relaxed);
    }
  }
  if (process->run) {
    process->earlier.insert(process->earlier.begin(), process->run);
    if (process->earlier.size() > kHistory) process->earlier.pop_back();
  }
  process->old_children += std::exchange(process->young_children, 0);
  process->forks_unproven = process->old_children > 0 || HasOldChildren(children);
  TellCgroup(*process, *run);
  if (run->path.empty() && run->exe.known()) run->path = process->NameOf(run->exe);
  SetRun(*process, std::move(run));
  process->run_verified = true;
  process->run_read_here = true;
  ++process->exec_count;
  process->last_exec_ns = event.timestamp_ns;
}

// The cgroup as it was read for `run`, in one copy where nothing changed; and that of the forker.
void ProcessTable::TellCgroup(Process& process, ExeRun& run) {
  if (run.cgroup && process.cgroup && *run.cgroup == *process.cgroup) run.cgroup = process.cgroup;
  if (run.cgroup) process.cgroup = run.cgroup;
  const Process* forker = Live(process.ppid);
  if (forker == nullptr || forker->serial != process.parent_serial) return;
  if (run.place.known() && forker->run->place == run.place) {
    run.cgroup_of_forker = forker->run->cgroup;
  }
}

// Whether one of `children`, read after the exec, was there before it: counting forks misses those
// that the process adopted. Those that it forked since are not in the table yet, their messages
// come after this one.
bool ProcessTable::HasOldChildren(const std::vector<int32_t>& children) {
  return std::any_of(children.begin(), children.end(),
                     [this](int32_t child) { return Live(child) != nullptr; });
}

void ProcessTable::OnExit(const ProcEvent& event) {
  const uint64_t now_ns = MonotonicNs();
  const std::lock_guard lock(mutex_);
  ForgetExited(now_ns);
  Process* process = Live(event.tgid);
  if (event.pid != event.tgid) {
    thread_groups_.erase(event.pid);
    if (process == nullptr) return;
    std::erase(process->threads, event.pid);
    if (process->leader_exited && process->threads.empty()) MarkExited(*process, now_ns);
    return;
  }
  if (process == nullptr) return;
  // A leader may leave before its threads; the process lives on.
  if (!process->threads.empty()) {
    process->leader_exited = true;
    return;
  }
  MarkExited(*process, now_ns);
}

void ProcessTable::OnUid(const ProcEvent& event) {
  if (event.pid != event.tgid) return;  // one thread's own; what the others are is the process'
  const std::lock_guard lock(mutex_);
  if (Process* process = Live(event.tgid)) {
    process->ruid = event.ruid;
    process->euid = event.euid;
    process->uid_known = true;
  }
}

void ProcessTable::MarkExited(Process& process, uint64_t now_ns) {
  process.exited = true;
  process.exited_ns = now_ns;
  exited_.emplace_back(now_ns, process.pid);
  if (process.run) --process.run->processes;
  DropThreads(process);
  const auto parent = processes_->find(process.ppid);
  if (parent == processes_->end() || parent->second.serial != process.parent_serial) return;
  uint32_t& siblings = parent->second.exec_count == process.parent_execs
                           ? parent->second.young_children
                           : parent->second.old_children;
  if (siblings > 0) --siblings;
}

void ProcessTable::DropThreads(Process& process) {
  for (const int32_t tid : process.threads) thread_groups_.erase(tid);
  process.threads.clear();
}

void ProcessTable::ForgetExited(uint64_t now_ns) {
  while (!exited_.empty() && (exited_.size() > limits_.exited ||
                              exited_.front().first + limits_.keep_exited_ns < now_ns)) {
    forgotten_ns_ = std::max(forgotten_ns_, exited_.front().first);
    processes_->erase(exited_.front().second);
    exited_.pop_front();
  }
}

}  // namespace fileward
