#include "native/process/process_snapshot.h"

#include "native/base/clock.h"
#include "native/kernel/process_files.h"

namespace fileward {

ProcessSnapshot SnapshotOf(int32_t tid, const ProcessTable& table) {
  ProcessSnapshot snapshot;
  snapshot.tid = tid;
  const std::optional<ProcessStatus> status = StatusOf(tid);
  const int32_t known_tgid = table.TgidOf(tid);
  snapshot.pid = status ? status->tgid : known_tgid != 0 ? known_tgid : tid;
  const std::optional<ProcessTable::View> view = table.Find(snapshot.pid);
  if (status) {
    snapshot.ppid = status->ppid;
    snapshot.ruid = status->ruid;
    snapshot.euid = status->euid;
    snapshot.uid_known = true;
  } else if (view) {
    snapshot.ppid = view->ppid;
    snapshot.ruid = view->ruid;
    snapshot.euid = view->euid;
    snapshot.uid_known = view->uid_known;
  }
  if (const std::optional<uint64_t> start_ns = StartTime(snapshot.pid)) {
    snapshot.start_realtime_ns = BootToRealtimeNs(*start_ns);
  } else if (view && view->start_ns != 0) {
    snapshot.start_realtime_ns = BootToRealtimeNs(view->start_ns);
  }
  if (std::optional<Exe> exe = ExeOf(tid)) {
    snapshot.exe = exe->identity;
    snapshot.exe_path = PathAt(tid, std::move(exe->path));
    if (snapshot.exe_path.empty()) snapshot.exe_path = table.NameOf(snapshot.pid, exe->identity);
  } else if (view && view->run && view->run_verified) {
    snapshot.exe = view->run->exe;
    snapshot.exe_path = view->run->path;
  }
  if (view && view->run && view->run_verified && view->run->exe == snapshot.exe) {
    snapshot.script = view->run->script;
  }
  snapshot.cgroup = CgroupOf(tid);
  // It may be exiting where it says "/".
  if ((snapshot.cgroup.empty() || snapshot.cgroup == "/") && view && !view->cgroup.empty()) {
    snapshot.cgroup = view->cgroup;
  }
  const std::shared_ptr<const WorkloadCgroups> workloads = table.workloads();
  if (!snapshot.cgroup.empty() || workloads->empty()) {
    snapshot.workload = workloads->Of(snapshot.cgroup);
  }
  const std::string_view units = workloads->Within(snapshot.workload, snapshot.cgroup);
  snapshot.unit = UnitOfCgroup(units);
  const Lineage lineage = table.LineageOf(snapshot.pid, 0);
  for (const auto& run : lineage.ancestors) {
    if (snapshot.ancestors.size() == kMaxAncestors) break;
    // An uncertain link would be a guess, and what lies behind it can't be told by its place.
    if (!run->certain.load(std::memory_order_relaxed)) break;
    if (!run->path.empty()) snapshot.ancestors.push_back(run->path);
  }
  return snapshot;
}

}  // namespace fileward
