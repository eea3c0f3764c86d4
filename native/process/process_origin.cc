// Whose process it is: the workload by its cgroup, and whether it is the runtime's or the
// container's own.
//
// A runtime puts a process into a container by forking, changing the child's cgroup and namespaces,
// and executing the container's program at last. Until that exec the child is the runtime's. So a
// process came from outside if no exec of its own, and no exec of the program that it was forked
// with, was made in the container. By whom it was forked can't be asked: runc clones with
// CLONE_PARENT, for which the feed names another process, and a container may do the same. But a
// fork keeps the executable, so the forker is one of those that ran it at that time; if one of
// these executed it in the container, so may the process have been. For that to be known, all who
// lived then must still be in the table: an answer is to be had for keep_exited_ns.
#include <algorithm>
#include <limits>
#include <optional>

#include "native/process/process_entry.h"
#include "native/process/process_table.h"

namespace fileward {

void ProcessTable::SetWorkloads(std::shared_ptr<const WorkloadCgroups> workloads) {
  const std::lock_guard lock(workloads_mutex_);
  // What was there before is freed by the caller's copy, after the lock.
  workloads_.swap(workloads);
}

std::shared_ptr<const WorkloadCgroups> ProcessTable::workloads() const {
  const std::lock_guard lock(workloads_mutex_);
  return workloads_;
}

WorkloadId ProcessTable::WorkloadOf(int32_t tid) const {
  const std::shared_ptr<const WorkloadCgroups> known = workloads();
  if (known->empty()) return kHostWorkload;
  // Never the table's while it lives: a runtime moves a process after it was last looked at.
  const std::string cgroup = CgroupOf(tid);
  // It may be exiting where it says "/".
  if (!cgroup.empty() && cgroup != "/") return known->Of(cgroup);
  const std::lock_guard lock(mutex_);
  const Process* process = OfThread(tid);
  if (process != nullptr && process->cgroup) return known->Of(*process->cgroup);
  return cgroup.empty() ? kUnknownWorkload : kHostWorkload;
}

bool ProcessTable::MayBeOfNewWorkload(int32_t tid) const {
  return workloads()->MayBeNew(CgroupOf(tid));
}

// The container that is asked about.
struct ProcessTable::Entrance {
  const WorkloadCgroups& workloads;
  WorkloadId workload;
  Place place;  // of its init
  uint64_t gap_ns;

  bool Has(const std::shared_ptr<const std::string>& cgroup) const {
    return cgroup && workloads.Holds(workload, *cgroup);
  }
  // Where the exec was made: kYes outside, kNo in the container.
  FromOutside Executed(const ExeRun& run) const {
    if (!run.cgroup) return FromOutside::kUnknown;
    if (!Has(run.cgroup)) return FromOutside::kYes;
    // In its cgroup already, but where its forker outside was: the runtime's second exec.
    const bool still_outside = run.place.known() && place.known() && run.place != place &&
                               run.cgroup_of_forker && !Has(run.cgroup_of_forker);
    return still_outside ? FromOutside::kYes : FromOutside::kNo;
  }
};

ProcessTable::FromOutside ProcessTable::CameFromOutside(int32_t tid, WorkloadId workload,
                                                        uint64_t as_of_ns) const {
  if (!HasFeed()) return FromOutside::kUnknown;
  const std::shared_ptr<const WorkloadCgroups> known = workloads();
  const Entrance entrance{*known, workload, PlaceOf(known->InitOf(workload)), LastGapNs()};
  if (!CurrentAsOf(as_of_ns)) return FromOutside::kUnsettled;
  const std::lock_guard lock(mutex_);
  const Process* process = OfThread(tid);
  return process == nullptr ? FromOutside::kUnknown : OriginOf(*process, entrance);
}

ProcessTable::FromOutside ProcessTable::OriginOf(const Process& process,
                                                 const Entrance& entrance) const {
  uint32_t own = 0;
  bool doubtful = false;
  for (size_t back = 0; back < process.RunCount(); ++back) {
    const ExeRun& run = process.Run(back);
    const bool inherited = process.Inherited(run);
    if (inherited && run.exe != process.exe_at_fork) continue;
    const FromOutside executed = entrance.Executed(run);
    if (executed == FromOutside::kNo) return FromOutside::kNo;
    own += inherited ? 0 : 1;
    doubtful = doubtful || (!inherited && executed == FromOutside::kUnknown);
  }
  if (doubtful || own != process.exec_count || !process.exe_at_fork.known()) {
    return FromOutside::kUnknown;
  }
  // Cloned siblings fork on: what the first of them was forked with was executed before that.
  uint64_t since_ns = process.fork_ns;
  for (const auto& [pid, other] : *processes_) {
    const bool sibling = other.forker_unproven && other.exe_at_fork == process.exe_at_fork;
    if (sibling && (!other.exited || other.exited_ns >= process.fork_ns)) {
      since_ns = std::min(since_ns, other.fork_ns);
    }
  }
  if (since_ns <= std::max(entrance.gap_ns, forgotten_ns_)) return FromOutside::kUnknown;
  FromOutside origin = FromOutside::kUnknown;
  for (const auto& [pid, other] : *processes_) {
    if (pid == process.pid || other.fork_ns >= process.fork_ns) continue;
    const std::optional<FromOutside> told = ToldBy(other, process, since_ns, entrance);
    if (told == FromOutside::kNo || told == FromOutside::kUnknown) return *told;
    if (told) origin = *told;
  }
  return origin;
}

// What the runs of `other` say of the program that `process` was forked with; nothing if they have
// nothing to do with it.
std::optional<ProcessTable::FromOutside> ProcessTable::ToldBy(const Process& other,
                                                              const Process& process,
                                                              uint64_t since_ns,
                                                              const Entrance& entrance) const {
  bool executed_outside = false;
  bool doubtful = false;
  uint32_t own = 0;
  uint64_t until_ns = other.exited ? other.exited_ns : std::numeric_limits<uint64_t>::max();
  for (size_t back = 0; back < other.RunCount(); ++back) {
    const ExeRun& run = other.Run(back);
    const bool then = run.since_ns < process.fork_ns && until_ns > since_ns;
    until_ns = run.since_ns;
    const bool inherited = other.Inherited(run);
    if (inherited && run.exe != other.exe_at_fork) continue;
    own += inherited ? 0 : 1;
    const bool read = run.exe.known() && run.certain.load(std::memory_order_relaxed);
    if (run.exe == process.exe_at_fork && run.since_ns < process.fork_ns) {
      const FromOutside executed = entrance.Executed(run);
      if (executed == FromOutside::kNo) return executed;
      // It may have executed the same once more while messages were lost.
      const bool seen = executed == FromOutside::kYes && other.fork_ns > entrance.gap_ns;
      executed_outside = executed_outside || executed == FromOutside::kYes;
      doubtful = doubtful || !seen;
    } else if (then && !inherited && !read) {
      doubtful = true;
    }
  }
  doubtful = doubtful || (own < other.exec_count && until_ns > since_ns);
  if (doubtful && entrance.Has(other.cgroup)) return FromOutside::kUnknown;
  if (executed_outside) return FromOutside::kYes;
  return std::nullopt;
}

}  // namespace fileward
