// What the table keeps of a process; for the files that implement ProcessTable.
#ifndef FILEWARD_PROCESS_PROCESS_ENTRY_H_
#define FILEWARD_PROCESS_PROCESS_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "native/process/process_table.h"

namespace fileward {

// What an ancestor ran when it forked. Immutable, shared by all descendants.
struct ProcessTable::Chain {
  std::shared_ptr<const ExeRun> run;
  std::shared_ptr<const Chain> parent;
  uint32_t length = 1;
  bool complete = false;  // the farthest is a child of pid 1, or pid 1
};

struct ProcessTable::Process {
  int32_t pid = 0;
  int32_t ppid = 0;
  uint64_t serial = 0;  // tells it from an earlier process of its pid
  uint64_t parent_serial = 0;
  uint32_t parent_execs = 0;  // the parent's exec_count when it forked this one
  uint64_t start_ns = 0;
  uint64_t fork_ns = 0;
  uint64_t last_exec_ns = 0;
  uint32_t exec_count = 0;
  uint32_t ruid = 0;
  uint32_t euid = 0;
  bool uid_known = false;
  bool run_verified = false;
  bool run_read_here = false;  // of this process itself, not inherited
  bool exited = false;
  bool leader_exited = false;  // but other threads live
  bool chain_complete = false;
  // Children from before its last exec live: with CLONE_PARENT they could fork in its name.
  bool forks_unproven = false;
  uint32_t young_children = 0;  // forked since its last exec, alive
  uint32_t old_children = 0;    // forked before, alive
  uint64_t exited_ns = 0;
  std::shared_ptr<const ExeRun> run;
  FileIdentity exe_at_fork;      // as it was looked at
  bool forker_unproven = false;  // that isn't what the forker ran: CLONE_PARENT
  struct NotedScript {
    FileIdentity identity;  // not known(): none
    std::vector<std::string> names;
  };
  NotedScript next_script;  // of the exec that it is in
  std::shared_ptr<const Chain> chain;
  std::shared_ptr<const std::string> cgroup;
  std::vector<std::shared_ptr<const ExeRun>> earlier;
  std::vector<int32_t> threads;

  // The chain of what this process forks now.
  std::shared_ptr<const Chain> ChainForChild() const;
  // All runs that are kept, the present one at 0.
  size_t RunCount() const { return 1 + earlier.size(); }
  const ExeRun& Run(size_t back) const { return back == 0 ? *run : *earlier[back - 1]; }
  // How it, or who forked it, called this program; empty when none of them ran it.
  std::string NameOf(const FileIdentity& exe) const;
  // A run that it did not begin itself: the forker's, if exe_at_fork is the same.
  bool Inherited(const ExeRun& its_run) const { return its_run.since_ns < fork_ns; }
};

// Looks at what `pid` runs now.
std::shared_ptr<ExeRun> ReadRun(int32_t pid, uint64_t since_ns);
// Null when it is gone.
std::shared_ptr<const std::string> ReadCgroup(int32_t pid);

}  // namespace fileward

#endif  // FILEWARD_PROCESS_PROCESS_ENTRY_H_
