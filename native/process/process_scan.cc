// The table made from /proc: at the start, and again after messages were lost.
#include <algorithm>
#include <utility>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/kernel/process_files.h"
#include "native/process/process_entry.h"
#include "native/process/process_table.h"

namespace fileward {
namespace {

constexpr int32_t kInit = 1;
constexpr int32_t kKernelThreads = 2;

}  // namespace

void ProcessTable::Scan(bool again) {
  if (again) {
    rescans_.fetch_add(1, std::memory_order_relaxed);
    CountFailure(Failure::kProcessFeedOverrun);
  }
  std::vector<int32_t> pids = ListProcesses();
  for (const int32_t pid : pids) ScanOne(pid);
  std::sort(pids.begin(), pids.end());
  const uint64_t now_ns = MonotonicNs();
  const std::lock_guard lock(mutex_);
  for (auto& [pid, process] : *processes_) {
    const bool alive = std::binary_search(pids.begin(), pids.end(), pid);
    if (!alive && !process.exited) MarkExited(process, now_ns);
  }
  for (auto& [pid, process] : *processes_) {
    if (process.exited || process.parent_serial != 0) continue;
    Process* parent = Live(process.ppid);
    if (parent == nullptr) continue;
    // At the start a child counts as forked by what its parent runs: nothing better is known. After
    // a loss its parent may have run something else, and the child may fork in its name.
    process.parent_serial = parent->serial;
    process.parent_execs = parent->exec_count;
    ++parent->young_children;
    if (again && parent->pid != kInit) parent->forks_unproven = true;
  }
  if (again) last_gap_ns_.store(now_ns, std::memory_order_release);
}

void ProcessTable::ScanOne(int32_t pid) {
  const std::optional<ProcessStatus> status = StatusOf(pid);
  const std::optional<uint64_t> start_ns = StartTime(pid);
  if (!status || !start_ns) return;
  const std::shared_ptr<ExeRun> run = ReadRun(pid, 0);
  if (!status->has_memory) run->certain.store(true, std::memory_order_relaxed);  // a kernel thread
  const std::vector<int32_t> threads = ListThreads(pid);
  const uint64_t now_ns = MonotonicNs();
  const std::lock_guard lock(mutex_);
  Process* process = Live(pid);
  constexpr uint64_t kStartToleranceNs =
      30'000'000;  // ticks, and the way from the fork to its message
  const bool known = process != nullptr && process->start_ns < *start_ns + kStartToleranceNs &&
                     *start_ns < process->start_ns + kStartToleranceNs;
  if (!known) {
    process = Emplace(pid, now_ns);
    if (process == nullptr) return;
    process->start_ns = *start_ns;
    process->ppid = status->ppid;
    // pid 1 and the kernel's threads have no ancestors.
    process->chain_complete =
        pid == kInit || pid == kKernelThreads || status->ppid == kKernelThreads;
  }
  if (!process->run || process->run->exe != run->exe) {
    // It is new, or exec'ed while messages were lost: the children that it has are older than that.
    process->old_children += std::exchange(process->young_children, 0);
    process->forks_unproven = process->old_children > 0;
    SetRun(*process, run);
    process->run_verified = true;
    process->run_read_here = true;
    process->exec_count += known ? 1 : 0;
    process->last_exec_ns = known ? now_ns : 0;
    process->earlier.clear();
  }
  process->ruid = status->ruid;
  process->euid = status->euid;
  process->uid_known = true;
  process->cgroup = run->cgroup;
  DropThreads(*process);
  for (const int32_t tid : threads) {
    if (tid == pid || thread_groups_.size() >= limits_.threads) continue;
    thread_groups_.insert_or_assign(tid, pid);
    process->threads.push_back(tid);
  }
}

}  // namespace fileward
