// Intent: which system call a parked opener, reader or writer sits in.
#include <linux/fs.h>
#include <sys/uio.h>

#include <cstring>

#include "native/kernel/proc_reader.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

struct CallNumber {
  int64_t number;
  OpenCallInfo info;
};

constexpr OpenCallInfo Call(OpenCall call, int flags_argument = -1, int how_argument = -1) {
  return {call, false, flags_argument, how_argument};
}

// The kernel's tables: arch/x86/entry/syscalls/syscall_{64,32}.tbl,
// include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl.
#if defined(__x86_64__)
constexpr CallNumber kNativeCalls[] = {
    {2, Call(OpenCall::kOpen, 1)},           {85, Call(OpenCall::kCreat)},
    {257, Call(OpenCall::kOpenat, 2)},       {437, Call(OpenCall::kOpenat2, -1, 2)},
    {304, Call(OpenCall::kOpenByHandle, 2)}, {59, Call(OpenCall::kExecve)},
    {322, Call(OpenCall::kExecveat)},
};
constexpr CallNumber kCompatCalls[] = {
    {5, Call(OpenCall::kOpen, 1)},     {8, Call(OpenCall::kCreat)},
    {295, Call(OpenCall::kOpenat, 2)}, {342, Call(OpenCall::kOpenByHandle, 2)},
    {11, Call(OpenCall::kExecve)},     {358, Call(OpenCall::kExecveat)},
};
#elif defined(__aarch64__)
constexpr CallNumber kNativeCalls[] = {
    {56, Call(OpenCall::kOpenat, 2)},        {437, Call(OpenCall::kOpenat2, -1, 2)},
    {265, Call(OpenCall::kOpenByHandle, 2)}, {221, Call(OpenCall::kExecve)},
    {281, Call(OpenCall::kExecveat)},
};
constexpr CallNumber kCompatCalls[] = {
    {5, Call(OpenCall::kOpen, 1)},     {8, Call(OpenCall::kCreat)},
    {322, Call(OpenCall::kOpenat, 2)}, {371, Call(OpenCall::kOpenByHandle, 2)},
    {11, Call(OpenCall::kExecve)},     {387, Call(OpenCall::kExecveat)},
};
#else
#error "system call numbers of this architecture are not known"
#endif

// Calls that are asked FAN_PRE_ACCESS; `from` and `to` are indexes of arguments.
struct AccessNumber {
  int64_t number;
  AccessCallInfo info;
};

constexpr AccessCallInfo kReads{AccessCall::kRead, 0, 0, -1, -1};
constexpr AccessCallInfo kWrites{AccessCall::kWrite, 0, 0, -1, -1};
constexpr AccessCallInfo kExecutes{AccessCall::kExec, 0, 0, -1, -1};
constexpr AccessCallInfo kMaps{AccessCall::kMap, 0, 0, 4, -1};
constexpr AccessCallInfo Copies(int from, int to) { return {AccessCall::kCopy, 0, 0, from, to}; }

#if defined(__x86_64__)
constexpr int64_t kIoctl = 16;
constexpr AccessNumber kAccessCalls[] = {
    {0, kReads},          // read
    {17, kReads},         // pread64
    {19, kReads},         // readv
    {295, kReads},        // preadv
    {327, kReads},        // preadv2
    {1, kWrites},         // write
    {18, kWrites},        // pwrite64
    {20, kWrites},        // writev
    {296, kWrites},       // pwritev
    {328, kWrites},       // pwritev2
    {76, kWrites},        // truncate
    {77, kWrites},        // ftruncate
    {285, kWrites},       // fallocate
    {9, kMaps},           // mmap
    {40, Copies(1, 0)},   // sendfile
    {275, Copies(0, 2)},  // splice
    {326, Copies(0, 2)},  // copy_file_range
    {59, kExecutes},      // execve
    {322, kExecutes},     // execveat
};
#else
constexpr int64_t kIoctl = 29;
constexpr AccessNumber kAccessCalls[] = {
    {63, kReads},         // read
    {67, kReads},         // pread64
    {65, kReads},         // readv
    {69, kReads},         // preadv
    {286, kReads},        // preadv2
    {64, kWrites},        // write
    {68, kWrites},        // pwrite64
    {66, kWrites},        // writev
    {70, kWrites},        // pwritev
    {287, kWrites},       // pwritev2
    {45, kWrites},        // truncate
    {46, kWrites},        // ftruncate
    {47, kWrites},        // fallocate
    {222, kMaps},         // mmap
    {71, Copies(1, 0)},   // sendfile
    {76, Copies(0, 2)},   // splice
    {285, Copies(0, 2)},  // copy_file_range
    {221, kExecutes},     // execve
    {281, kExecutes},     // execveat
};
#endif

// The word size of the program, from its saved auxiliary vector (a copy in the kernel: reading it
// can't block on the program's memory). Its first word is a small type; with 4-byte entries the
// type's value makes it a large 8-byte word.
bool IsCompatProgram(int32_t tid) {
  const ProcText<16> auxv(tid, "auxv");
  uint64_t first = 0;
  if (!auxv.ok() || auxv.view().size() < sizeof(first)) return false;
  std::memcpy(&first, auxv.view().data(), sizeof(first));
  return first > UINT32_MAX;
}

// A helper that the kernel starts (modprobe, a core dump's pipe, a release agent): neither a kernel
// thread nor exiting, and without memory of its own, which it gets by the exec that it was made
// for. Its registers are zeros. Before 5.18 it can't be told from a kernel thread.
bool IsKernelHelper(int32_t tid) {
  constexpr uint64_t kExiting = 0x4;            // PF_EXITING
  constexpr uint64_t kKernelThread = 0x200000;  // PF_KTHREAD
  const std::optional<ProcessStat> stat = StatOf(tid);
  return stat && (stat->flags & (kExiting | kKernelThread)) == 0 && stat->memory_bytes == 0;
}

// Bits of an entry of /proc/<pid>/pagemap (Documentation/admin-guide/mm/pagemap.rst).
constexpr uint64_t kPagePresent = uint64_t{1} << 63;
constexpr uint64_t kPageFileOrShared = uint64_t{1} << 61;

bool PagesArePrivate(int32_t tid, uint64_t address, size_t size) {
  const UniqueFd pagemap(::open(ProcPath(tid, "pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  if (!pagemap) return false;
  const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  for (uint64_t page = address / page_bytes; page <= (address + size - 1) / page_bytes; ++page) {
    uint64_t entry = 0;
    const auto offset = static_cast<off_t>(page * sizeof(entry));
    if (::pread(pagemap.get(), &entry, sizeof(entry), offset) != sizeof(entry)) return false;
    if ((entry & kPagePresent) == 0 || (entry & kPageFileOrShared) != 0) return false;
  }
  return true;
}

}  // namespace

SyscallState SyscallOf(int32_t tid) {
  SyscallState state;
  const ProcText<256> text(tid, "syscall");
  if (!text.ok()) return state;
  std::string_view line = text.view().substr(0, text.view().find('\n'));
  const std::string_view number = TakeWord(line);
  if (number == "running") {
    state.kind = SyscallState::Kind::kRunning;
    return state;
  }
  state.number = ParseNumber<int64_t>(number);
  state.kind = state.number < 0 ? SyscallState::Kind::kNone : SyscallState::Kind::kBlocked;
  if (state.kind == SyscallState::Kind::kNone) return state;
  for (uint64_t& argument : state.args) {
    std::string_view word = TakeWord(line);
    if (word.starts_with("0x")) word.remove_prefix(2);
    argument = ParseNumber<uint64_t>(word, 16);
  }
  return state;
}

OpenCallInfo ClassifyOpenCall(int64_t number, int32_t tid) {
  for (const CallNumber& candidate : kNativeCalls) {
    if (candidate.number == number) return candidate.info;
  }
  for (const CallNumber& candidate : kCompatCalls) {
    if (candidate.number != number || !IsCompatProgram(tid)) continue;
    OpenCallInfo info = candidate.info;
    info.compat = true;
    return info;
  }
  return number == 0 && IsKernelHelper(tid) ? Call(OpenCall::kExecve) : OpenCallInfo{};
}

AccessCallInfo ClassifyAccessCall(const SyscallState& state, int32_t tid) {
  const auto& args = state.args;
  const bool no_registers = state.number == 0 && args == decltype(state.args){};
  if (no_registers && IsKernelHelper(tid)) return kExecutes;
  if (state.number == kIoctl && static_cast<uint32_t>(args[1]) == FICLONE) {
    return {AccessCall::kCopy, 0, 0, static_cast<int>(args[2]), static_cast<int>(args[0])};
  }
  for (const AccessNumber& candidate : kAccessCalls) {
    if (candidate.number != state.number) continue;
    AccessCallInfo info = candidate.info;
    const auto argument = [&](int index) {
      return static_cast<int>(args[static_cast<size_t>(index)]);
    };
    if (info.call == AccessCall::kMap) {
      info.prot = argument(2);
      info.flags = argument(3);
    }
    if (info.from >= 0) info.from = argument(info.from);
    if (info.to >= 0) info.to = argument(info.to);
    return info;
  }
  return {};
}

bool ReadPrivateMemory(int32_t tid, uint64_t address, void* out, size_t size) {
  const std::optional<ProcessStatus> status = StatusOf(tid);
  // The only thread is parked, so it stays the only one.
  if (!status || status->threads != 1 || size == 0) return false;
  if (!PagesArePrivate(tid, address, size)) return false;
  iovec local{out, size};
  iovec remote{reinterpret_cast<void*>(address), size};
  return ::process_vm_readv(tid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

}  // namespace fileward
