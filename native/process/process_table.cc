// What any thread may ask of the table. See process_messages.cc for how it learns.
#include "native/process/process_table.h"

#include <unistd.h>

#include "native/base/clock.h"
#include "native/process/process_entry.h"

namespace fileward {

ProcessTable::ProcessTable() : ProcessTable(Limits{}) {}
ProcessTable::ProcessTable(const Limits& limits)
    : limits_(limits),
      processes_(std::make_unique<ProcessMap>()),
      workloads_(std::make_shared<const WorkloadCgroups>()) {}
ProcessTable::~ProcessTable() = default;

const ProcessTable::Process* ProcessTable::OfThread(int32_t tid) const {
  const auto thread = thread_groups_.find(tid);
  const auto found = processes_->find(thread == thread_groups_.end() ? tid : thread->second);
  return found == processes_->end() ? nullptr : &found->second;
}

std::optional<ProcessTable::View> ProcessTable::Find(int32_t pid) const {
  const std::lock_guard lock(mutex_);
  const auto found = processes_->find(pid);
  if (found == processes_->end()) return std::nullopt;
  const Process& process = found->second;
  View view;
  view.pid = process.pid;
  view.ppid = process.ppid;
  view.start_ns = process.start_ns;
  view.run = process.run;
  view.run_verified = process.run_verified;
  view.exec_count = process.exec_count;
  view.fork_ns = process.fork_ns;
  view.last_exec_ns = process.last_exec_ns;
  view.ruid = process.ruid;
  view.euid = process.euid;
  view.uid_known = process.uid_known;
  view.exited = process.exited;
  if (process.cgroup) view.cgroup = *process.cgroup;
  view.earlier = process.earlier;
  return view;
}

int32_t ProcessTable::TgidOf(int32_t tid) const {
  const std::lock_guard lock(mutex_);
  const Process* process = OfThread(tid);
  return process != nullptr && !process->exited ? process->pid : 0;
}

std::string ProcessTable::NameOf(int32_t pid, const FileIdentity& exe) const {
  const std::lock_guard lock(mutex_);
  const auto found = processes_->find(pid);
  return found == processes_->end() ? std::string{} : found->second.NameOf(exe);
}

uint32_t ProcessTable::ExecCountOf(int32_t tid) const {
  const std::lock_guard lock(mutex_);
  const Process* process = OfThread(tid);
  return process != nullptr ? process->exec_count : 0;
}

Lineage ProcessTable::LineageOf(int32_t tid, uint64_t as_of_ns) const {
  Lineage lineage;
  lineage.settled = !HasFeed() || CurrentAsOf(as_of_ns);
  const uint64_t now_ns = MonotonicNs();
  const std::lock_guard lock(mutex_);
  const Process* process = OfThread(tid);
  if (process == nullptr) return lineage;
  lineage.complete = process->chain ? process->chain->complete : process->chain_complete;
  for (const Chain* at = process->chain.get(); at != nullptr; at = at->parent.get()) {
    lineage.ancestors.push_back(at->run);
    if (HasFeed() && now_ns < at->run->read_ns + kSettleNs) lineage.settled = false;
  }
  return lineage;
}

void ProcessTable::NoteScript(int32_t tgid, const FileIdentity& script,
                              std::vector<std::string> names) const {
  const std::lock_guard lock(mutex_);
  const auto found = processes_->find(tgid);
  if (found != processes_->end()) found->second.next_script = {script, std::move(names)};
}

std::optional<FileIdentity> ProcessTable::StartedBy(int32_t tgid, const FileIdentity& named,
                                                    uint64_t as_of_ns) const {
  if (!HasFeed()) return FileIdentity{};
  const bool current = CurrentAsOf(as_of_ns);
  const std::lock_guard lock(mutex_);
  const auto found = processes_->find(tgid);
  const bool seen = found != processes_->end() && !found->second.exited && found->second.run &&
                    found->second.run_verified;
  const FileIdentity started = seen ? found->second.run->exe : FileIdentity{};
  // What it is known to have started and still has needs no news.
  if (!current && !(started.known() && started == named)) return std::nullopt;
  return started;
}

bool ProcessTable::RunsAlone(int32_t tid, uint64_t as_of_ns) const {
  if (!CurrentAsOf(as_of_ns)) return false;
  const std::lock_guard lock(mutex_);
  const Process* process = OfThread(tid);
  return process != nullptr && !process->exited && process->exec_count > 0 &&
         process->run->processes == 1;
}

bool ProcessTable::CurrentAsOf(uint64_t monotonic_ns) const {
  if (current_ns_.load(std::memory_order_acquire) >= monotonic_ns) return true;
  // One wake-up serves all who wait for the same time or an earlier one.
  uint64_t requested = requested_ns_.load(std::memory_order_relaxed);
  while (requested < monotonic_ns) {
    if (!requested_ns_.compare_exchange_weak(requested, monotonic_ns)) continue;
    const std::lock_guard lock(feed_mutex_);
    const uint64_t one = 1;
    // The counter of an eventfd can't fill up with ones; a failure costs one look more.
    if (feed_wake_fd_ >= 0 && ::write(feed_wake_fd_, &one, sizeof(one)) < 0) requested_ns_ = 0;
    break;
  }
  return false;
}

size_t ProcessTable::Size() const {
  const std::lock_guard lock(mutex_);
  return processes_->size() - exited_.size();
}

void ProcessTable::SetCurrent(uint64_t monotonic_ns) {
  current_ns_.store(monotonic_ns, std::memory_order_release);
}

void ProcessTable::SetFeed(int wake_fd) {
  const std::lock_guard lock(feed_mutex_);
  feed_wake_fd_ = wake_fd;
  has_feed_.store(wake_fd >= 0, std::memory_order_release);
}

}  // namespace fileward
