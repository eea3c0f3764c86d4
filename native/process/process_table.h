// Who runs what and who forked whom, from the process feed. This is what makes ancestry provable: a
// chain is what each process ran when it forked the next one, so a parent that execs a listed
// program later lends its child nothing.
//
// Fed by one thread (ProcessFeed; tests call Apply and Scan themselves), asked by any, the decision
// thread while an opener waits among them. Its mutexes are held for some map look-ups only, by a
// thread that runs at the priority of whoever waits for it; nobody opens a file or touches /proc
// under them. Memory is bounded by `Limits`.
//
// The feed runs some 20 to 100 us behind. Whoever needs to know that everything that happened
// before a time T (the read of an event) is in the table asks CurrentAsOf(T) first, or gives T
// along.
#ifndef FILEWARD_PROCESS_PROCESS_TABLE_H_
#define FILEWARD_PROCESS_PROCESS_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "native/base/file_identity.h"
#include "native/base/priority_mutex.h"
#include "native/base/workload.h"
#include "native/kernel/proc_connector.h"
#include "native/kernel/process_files.h"
#include "native/process/workload_cgroups.h"

namespace fileward {

// One program that a process runs or ran. Shared by that process, those that it forked meanwhile,
// and chains.
struct ExeRun {
  FileIdentity exe;       // not known(): the process was gone before we looked
  std::string path;       // text, for people, in its own root
  FileIdentity script;    // that `exe`, its interpreter, was started for; see NoteScript
  uint64_t since_ns = 0;  // CLOCK_MONOTONIC of the exec; 0: before we looked
  uint64_t read_ns = 0;   // when all this was read
  // Where it was executed: tells a program that came into a container from one executed there. Null
  // or not known(): the process was gone.
  std::shared_ptr<const std::string> cgroup;
  Place place;
  // What the forker of the process had as its cgroup, if it was executed at the same place; else
  // null.
  std::shared_ptr<const std::string> cgroup_of_forker;
  // False when exe may be that of a later exec of the same process. Set by the feed, read by
  // anybody; guards nothing else: relaxed.
  mutable std::atomic<bool> certain{true};
  // Live processes that run it; the table's, under its mutex.
  mutable uint32_t processes = 0;
};

struct Lineage {
  // Nearest first; equal neighbours are one.
  std::vector<std::shared_ptr<const ExeRun>> ancestors;
  // Seen up to pid 1. Otherwise what is not among the ancestors may be one all the same.
  bool complete = false;
  // The table is current and nothing in `ancestors` can turn out uncertain any more. False: look
  // again; it takes kSettleNs at most while the feed keeps up. Always true without a feed.
  bool settled = false;
};

class ProcessTable {
 public:
  struct Limits {
    size_t processes = 131'072;  // alive and exited
    size_t threads = 262'144;    // besides leaders
    size_t exited = 8'192;
    uint64_t keep_exited_ns = 10'000'000'000;
  };
  // How late an exe is read doesn't matter, only whether the process exec'ed again before: another
  // exec this soon after a read makes the read uncertain (the kernel swaps the program some time
  // before it tells)...
  static constexpr uint64_t kSwapNs = 1'000'000;
  // ...rarely much, but a throttled task may take a period: then the next read finds the same file.
  static constexpr uint64_t kSameExeNs = 100'000'000;
  // A read is believed for good this long after it.
  static constexpr uint64_t kSettleNs = 20'000'000;
  static constexpr size_t kHistory = 4;

  struct View {
    int32_t pid = 0;
    int32_t ppid = 0;  // who forked it; for processes older than the table the parent when scanned
    uint64_t start_ns = 0;  // since boot, some ms from what StartTime says
    std::shared_ptr<const ExeRun> run;
    // False while `run` is only what the forking parent is said to have run. CLONE_PARENT makes the
    // kernel name another process than the one that forked; until seen, don't believe it as an app.
    bool run_verified = false;
    uint32_t exec_count = 0;    // execs seen
    uint64_t fork_ns = 0;       // CLOCK_MONOTONIC; 0: before the table
    uint64_t last_exec_ns = 0;  // CLOCK_MONOTONIC of the last exec seen; 0: none
    uint32_t ruid = 0;
    uint32_t euid = 0;
    bool uid_known = false;
    bool exited = false;
    std::string cgroup;  // when it was last looked at (scan, exec, or the parent's at the fork)
    // What it ran before, newest first, at most kHistory; each until its successor's since_ns.
    std::vector<std::shared_ptr<const ExeRun>> earlier;
  };

  ProcessTable();
  explicit ProcessTable(const Limits& limits);
  ~ProcessTable();
  ProcessTable(const ProcessTable&) = delete;
  ProcessTable& operator=(const ProcessTable&) = delete;

  // A process, alive or lately exited.
  std::optional<View> Find(int32_t pid) const;
  // Thread group of a thread (or of a leader); 0 when not known: ask StatusOf(tid).
  int32_t TgidOf(int32_t tid) const;
  // How the process, or who forked it, called the program that it runs as `exe`; for one whose file
  // can't be reached by a name. Empty when that isn't known.
  std::string NameOf(int32_t pid, const FileIdentity& exe) const;
  // The program that the process was seen to start. What /proc says that it runs (`named`) may be
  // another: in a user namespace of its own anybody may set that link (PR_SET_MM). Not known(): it
  // was not seen; nullopt: look again.
  std::optional<FileIdentity> StartedBy(int32_t tgid, const FileIdentity& named,
                                        uint64_t as_of_ns) const;
  // Execs that the table saw of this process (the cheap part of Find); 0 when not known.
  uint32_t ExecCountOf(int32_t tid) const;
  // Chain of a process or thread that did something before `as_of_ns` (CLOCK_MONOTONIC; when its
  // event was read). Of an unknown process: empty and not complete.
  Lineage LineageOf(int32_t tid, uint64_t as_of_ns) const;
  // True when the process exec'ed its program under our eyes and no other process runs that very
  // exec. An exec makes a new address space, and only those forked since could share it: so nobody
  // does.
  bool RunsAlone(int32_t tid, uint64_t as_of_ns) const;

  // All containers known from now on; any thread.
  void SetWorkloads(std::shared_ptr<const WorkloadCgroups> workloads);
  // Never null.
  std::shared_ptr<const WorkloadCgroups> workloads() const;
  // Whose process (or thread) this is now, by its cgroup in /proc, or by the table's once it is
  // gone. While no container is known everything is the host's and nothing is read.
  WorkloadId WorkloadOf(int32_t tid) const;
  // Is this perhaps a container's that nobody has told us of yet? WorkloadOf says it is the host's.
  bool MayBeOfNewWorkload(int32_t tid) const;

  // Whether a process in the cgroup of `workload` is still the runtime's that put it there: it was
  // forked by a program that was executed outside the container, and has itself executed nothing in
  // it. What a container runs never is, a memfd or the runtime's own binary neither.
  enum class FromOutside : uint8_t {
    kNo,
    kYes,
    kUnknown,    // not all that it could have run was seen
    kUnsettled,  // look again; see Lineage::settled
  };
  FromOutside CameFromOutside(int32_t tid, WorkloadId workload, uint64_t as_of_ns) const;

  // `tgid` is in an exec of `script`, which has these names: the kernel asks for the script's file
  // before it starts the interpreter. The names are as the process' workload has them. That exec
  // may fail and another follow, so the next one is believed to be it only if it hands the
  // interpreter one of the names (RunsScript). Only when everything before is in the table
  // (CurrentAsOf).
  void NoteScript(int32_t tgid, const FileIdentity& script, std::vector<std::string> names) const;

  // True when everything that happened before `monotonic_ns` is in the table. Otherwise tells the
  // feed to hurry and returns at once. Never true without a feed.
  bool CurrentAsOf(uint64_t monotonic_ns) const;
  bool HasFeed() const { return has_feed_.load(std::memory_order_acquire); }

  // Live processes known.
  size_t Size() const;
  // Times it had to be rebuilt because messages were lost.
  uint64_t Rescans() const { return rescans_.load(std::memory_order_relaxed); }
  // CLOCK_MONOTONIC at the end of the last one, 0: none. What happened before it may be missing.
  uint64_t LastGapNs() const { return last_gap_ns_.load(std::memory_order_acquire); }

  // --- The feed's side: one thread. ---

  // Applies one message. Looks at /proc for forks and execs, before it takes the mutex.
  void Apply(const ProcEvent& event);
  // Reads all of /proc: first, and after messages were lost (`again`). Processes that it finds new
  // have no known chain.
  void Scan(bool again);
  // The feed was empty at `monotonic_ns`. Partner: CurrentAsOf.
  void SetCurrent(uint64_t monotonic_ns);
  // An eventfd that wakes the feed; -1: there is no feed (any more).
  void SetFeed(int wake_fd);

 private:
  struct Chain;
  struct Process;
  using ProcessMap = std::unordered_map<int32_t, Process>;

  // All of these want mutex_ held.
  Process* Live(int32_t pid);
  const Process* OfThread(int32_t tid) const;
  Process* Emplace(int32_t pid, uint64_t now_ns);
  void SetRun(Process& process, std::shared_ptr<const ExeRun> run);
  void TellCgroup(Process& process, ExeRun& run);
  void MarkExited(Process& process, uint64_t now_ns);
  void ForgetExited(uint64_t now_ns);
  void DropThreads(Process& process);
  bool HasOldChildren(const std::vector<int32_t>& children);
  struct Entrance;
  FromOutside OriginOf(const Process& process, const Entrance& entrance) const;
  std::optional<FromOutside> ToldBy(const Process& other, const Process& process, uint64_t since_ns,
                                    const Entrance& entrance) const;
  // Without it.
  FileIdentity StartedScript(int32_t pid);

  void OnFork(const ProcEvent& event);
  void OnThread(const ProcEvent& event);
  void OnExec(const ProcEvent& event);
  void OnExit(const ProcEvent& event);
  void OnUid(const ProcEvent& event);
  void ScanOne(int32_t pid);

  const Limits limits_;
  mutable PriorityMutex mutex_;
  std::unique_ptr<ProcessMap> processes_;               // guarded by mutex_
  std::unordered_map<int32_t, int32_t> thread_groups_;  // threads but leaders; guarded by mutex_
  std::deque<std::pair<uint64_t, int32_t>> exited_;     // when, who; guarded by mutex_
  uint64_t forgotten_ns_ = 0;  // nobody who left after this is forgotten; guarded by mutex_
  uint64_t next_serial_ = 1;   // guarded by mutex_
  mutable PriorityMutex workloads_mutex_;
  std::shared_ptr<const WorkloadCgroups> workloads_;  // never null; guarded by workloads_mutex_
  mutable PriorityMutex feed_mutex_;
  int feed_wake_fd_ = -1;  // guarded by feed_mutex_
  std::atomic<bool> has_feed_{false};
  std::atomic<uint64_t> current_ns_{0};            // SetCurrent, CurrentAsOf
  mutable std::atomic<uint64_t> requested_ns_{0};  // the latest time that somebody waits for
  std::atomic<uint64_t> rescans_{0};
  std::atomic<uint64_t> last_gap_ns_{0};  // Scan, LastGapNs
};

}  // namespace fileward

#endif  // FILEWARD_PROCESS_PROCESS_TABLE_H_
