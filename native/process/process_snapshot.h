#ifndef FILEWARD_PROCESS_PROCESS_SNAPSHOT_H_
#define FILEWARD_PROCESS_PROCESS_SNAPSHOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "native/base/file_identity.h"
#include "native/base/workload.h"
#include "native/process/process_table.h"

namespace fileward {

// What a record says of a process. Fields of a process that is gone are empty or 0 where the table
// didn't know them.
struct ProcessSnapshot {
  int32_t pid = 0;  // thread group
  int32_t tid = 0;
  int32_t ppid = 0;
  uint32_t euid = 0;
  uint32_t ruid = 0;
  bool uid_known = false;
  uint64_t start_realtime_ns = 0;
  FileIdentity exe;
  FileIdentity
      script;  // that exe, its interpreter, runs; not known(): none that an app entry names
  std::string exe_path;  // in its own root
  std::string cgroup;
  WorkloadId workload = kUnknownWorkload;
  std::string unit;                    // of the system manager, else ""
  std::vector<std::string> ancestors;  // executable paths, nearest first, at most kMaxAncestors
};
inline constexpr size_t kMaxAncestors = 8;

// Reads /proc and asks the table: ~30 us. Opens no file that could be marked; may be called from
// any thread. For events that will be reported, and for entries that need a user or a unit.
ProcessSnapshot SnapshotOf(int32_t tid, const ProcessTable& table);

}  // namespace fileward

#endif  // FILEWARD_PROCESS_PROCESS_SNAPSHOT_H_
