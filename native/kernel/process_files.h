// Readers of /proc/<pid>: each opens, reads into a small buffer on the stack and closes. Every
// function takes a process or a thread id. None follows a path that a user's mount could make
// block: executables are looked at by statx with AT_STATX_DONT_SYNC through the kernel's own link
// and never opened; cmdline and environ (which read the process' memory) are not offered to the
// decision thread. An empty optional: the process is gone, or we may not see it.
#ifndef FILEWARD_KERNEL_PROCESS_FILES_H_
#define FILEWARD_KERNEL_PROCESS_FILES_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "native/base/file_identity.h"

namespace fileward {

// The system call a thread sits in.
struct SyscallState {
  enum class Kind : uint8_t {
    kRunning,  // on a CPU or about to be: ask again
    kBlocked,  // inside a system call: number and arguments can't change until it is woken
    kNone,  // blocked outside of any (number -1): a kernel thread, an io_uring worker, a page fault
    kGone,  // no such thread, or not ours to see
  };
  Kind kind = Kind::kGone;
  int64_t number = -1;
  std::array<uint64_t, 6> args{};
};

// ~3 us for a task that sleeps; for one that is about to, see IsParked (task_parking.h).
SyscallState SyscallOf(int32_t tid);

// What the system call of a task is that is parked in an open or exec (a permission event).
enum class OpenCall : uint8_t {
  kUnknown,  // anything else that may open (io_uring_enter, acct, swapon, ...), or can't be told
  kOpen,
  kCreat,
  kOpenat,
  kOpenat2,
  kOpenByHandle,
  kExecve,
  kExecveat,
};
struct OpenCallInfo {
  OpenCall call = OpenCall::kUnknown;
  bool compat = false;  // a 32-bit call: pointers in args are 32 bits wide
  int flags_argument =
      -1;  // index of the O_* flags in args; -1: none (creat, exec) or in memory (openat2)
  int how_argument = -1;  // openat2: index of the pointer to struct open_how
};
// /proc/<tid>/syscall doesn't say in which table `number` counts. But the task is known to be
// inside a call that opens a file, and no number that opens in the 64-bit table opens in the 32-bit
// one under another meaning. A number that opens only in the 32-bit table is believed of a 32-bit
// program (one more /proc read), not of a 64-bit one.
OpenCallInfo ClassifyOpenCall(int64_t number, int32_t tid);

// What the system call of a task does to the file for which it is asked FAN_PRE_ACCESS.
enum class AccessCall : uint8_t {
  kUnknown,  // anything else that may read or write (io_uring_enter, io_submit, ...)
  kRead,
  kWrite,  // changes its size too
  kMap,
  kCopy,  // from one descriptor to another: either may be the file
  kExec,
};
struct AccessCallInfo {
  AccessCall call = AccessCall::kUnknown;
  int prot = 0;  // kMap: PROT_*, MAP_*
  int flags = 0;
  int from = -1;  // kMap, kCopy: the descriptor that is mapped or read
  int to = -1;    // kCopy: the one that is written
};
// No 32-bit number of a call that writes is the 64-bit one of a call that only reads.
AccessCallInfo ClassifyAccessCall(const SyscallState& state, int32_t tid);

// Of the calling thread, since it began.
struct SchedulerTimes {
  bool known = false;
  uint64_t run_delay_ns = 0;        // spent ready to run, waiting for a CPU
  uint64_t voluntary_switches = 0;  // times it went to sleep
};
SchedulerTimes OwnSchedulerTimes();

// Copies `size` bytes at `address` of the memory of a parked task, if the task has one thread and
// the bytes lie in anonymous, private pages that are present (so that the read can't block, and no
// shared mapping can change them). False otherwise. Who else could write there has to be ruled out
// besides: a process that shares the whole address space (vfork, CLONE_VM), see
// ProcessTable::RunsAlone. A process that may ptrace it is not ruled out.
bool ReadPrivateMemory(int32_t tid, uint64_t address, void* out, size_t size);

// Whether the process or thread is there, or not yet reaped. Needs no descriptor.
bool IsThere(int32_t pid);

struct ProcessStatus {
  int32_t tgid = 0;
  int32_t ppid = 0;  // of the thread group, now
  uint32_t ruid = 0;
  uint32_t euid = 0;
  int32_t threads = 0;
  bool has_memory =
      false;  // false: a kernel thread, a helper that the kernel is about to exec, or exiting
  bool zombie = false;
};
std::optional<ProcessStatus> StatusOf(int32_t pid);

// Some of /proc/<pid>/stat.
struct ProcessStat {
  uint64_t flags = 0;         // PF_*
  uint64_t start_ns = 0;      // since boot, granularity 10 ms: with the pid it names a process
  uint64_t memory_bytes = 0;  // 0: no address space
};
std::optional<ProcessStat> StatOf(int32_t pid);
std::optional<uint64_t> StartTime(int32_t pid);
// The same as CLOCK_REALTIME.
uint64_t BootToRealtimeNs(uint64_t boot_ns);

// Identity of the running executable: what mount namespaces can't forge, but PR_SET_MM can. See
// ProcessTable::StartedBy.
std::optional<FileIdentity> ExeIdentity(int32_t pid);
// How many names its file has; 0 when it was deleted or replaced.
std::optional<uint32_t> ExeNames(int32_t pid);
// Whether its user namespace is ours: only in another one can a process that isn't privileged set
// its executable's link.
bool SharesUserNamespace(int32_t pid);
// Text of the link, for people; may be forged by its owner's mounts. " (deleted)" is taken off
// where the file has no name left; empty where it can't be reached by any.
std::string ExePath(int32_t pid);
// Both with one look each; empty identity when gone.
struct Exe {
  FileIdentity identity;
  std::string path;
};
std::optional<Exe> ExeOf(int32_t pid);

// Which files the names of a process mean.
struct Place {
  uint64_t mount_namespace = 0;  // 0: not known, the process is gone
  FileIdentity root;

  bool known() const { return mount_namespace != 0; }
  friend bool operator==(const Place&, const Place&) = default;
};
Place PlaceOf(int32_t pid);
// `path` of ours as a process has it: one that was chrooted in our own mount namespace has a part
// of it cut off. Others' paths come as they have them.
std::string PathAt(int32_t pid, std::string path);

// "/system.slice/ssh.service": of the systemd hierarchy, else of v2, else of any controller. Empty
// when gone; a v1 hierarchy says "/" of a process that is exiting.
std::string CgroupOf(int32_t pid);
// Or gone.
bool IsExiting(int32_t pid);
// "ssh.service": the unit of the system manager in such a path, else "". A user's own units never
// count.
std::string UnitOfCgroup(std::string_view cgroup);

// The NUL-separated arguments, at most `max_bytes`. Reads the process' memory and may block on what
// it mapped there: never on the decision thread.
std::vector<std::string> ArgumentsOf(int32_t pid, size_t max_bytes);

// Whether a process that has just exec'ed an interpreter was told to run a script by one of these
// absolute names, at `place`: elsewhere a name could mean any file. What follows the interpreter
// must be the name, or options that bring no code with them and then the name. Reads memory as
// ArgumentsOf does.
bool RunsScript(int32_t pid, const std::vector<std::string>& names, const Place& place);

// Of one descriptor of a thread.
struct DescriptorState {
  FileIdentity identity;
  int flags = 0;  // O_*
};
std::optional<DescriptorState> DescriptorOf(int32_t tid, int fd);

// O_* flags of each open descriptor of `pid` that is this file. Opens nothing of the process'.
std::vector<int> OpenFlagsOf(int32_t pid, const FileIdentity& identity);
inline bool HasOpenFd(int32_t pid, const FileIdentity& identity) {
  return !OpenFlagsOf(pid, identity).empty();
}

// Numeric names under /proc.
std::vector<int32_t> ListProcesses();
// Threads of a process; empty when gone.
std::vector<int32_t> ListThreads(int32_t pid);
// Children of a process with one thread, adopted ones too; may miss some while others exit, and all
// where the kernel was built without the file.
std::vector<int32_t> ListChildren(int32_t pid);

}  // namespace fileward

#endif  // FILEWARD_KERNEL_PROCESS_FILES_H_
