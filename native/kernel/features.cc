#include "native/kernel/features.h"

#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "native/base/unique_fd.h"
#include "native/kernel/fanotify_abi.h"
#include "native/kernel/proc_connector.h"
#include "native/kernel/proc_reader.h"
#include "native/kernel/process_files.h"
#include "native/kernel/scratch_directory.h"

namespace fileward {
namespace {

constexpr unsigned kPermissionFlags =
    FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_CLOEXEC | FAN_NONBLOCK;
constexpr unsigned kNotificationFlags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK;
constexpr int kSelfTestMs = 2000;

// Why a try failed; 0: it worked.
using Errno = int;

Errno TryGroup(unsigned flags) {
  const UniqueFd group(::fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
  return group ? 0 : errno;
}

Errno TryMark(unsigned group_flags, unsigned mark_flags, uint64_t mask, int dirfd,
              const char* path) {
  const UniqueFd group(::fanotify_init(group_flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
  if (!group) return errno;
  return ::fanotify_mark(group.get(), FAN_MARK_ADD | mark_flags, mask, dirfd, path) == 0 ? 0
                                                                                         : errno;
}

// What the denial of a child's open showed.
struct SelfTest {
  Errno denied = ENODATA;        // 0: the child got EPERM
  Errno thread_named = ENODATA;  // 0: the event named it
  Errno call_shown = ENODATA;    // 0: its openat showed while it was parked
};

// In the child of a process with many threads: system calls only.
[[noreturn]] void OpenInChild(int group, int scratch) {
  // Whoever holds the group keeps its own event waiting.
  ::close(group);
  const int file = ::openat(scratch, ScratchDirectory::kFile, O_RDONLY);
  ::_exit(file < 0 ? errno : 0);
}

Errno ShowsOpenat(int32_t tid) {
  // It may have queued its event and not be asleep yet.
  for (int looks = 0; looks < 200; ++looks) {
    const SyscallState state = SyscallOf(tid);
    if (state.kind == SyscallState::Kind::kGone) return EACCES;
    if (state.kind == SyscallState::Kind::kBlocked) {
      return ClassifyOpenCall(state.number, tid).call == OpenCall::kOpenat ? 0 : EPROTO;
    }
    ::usleep(500);
  }
  return ETIMEDOUT;
}

void JudgeChild(int group, pid_t child, SelfTest& result) {
  pollfd ready{group, POLLIN, 0};
  fanotify_event_metadata event{};
  if (::poll(&ready, 1, kSelfTestMs) <= 0) return;
  if (::read(group, &event, sizeof(event)) < static_cast<ssize_t>(sizeof(event))) return;
  result.thread_named = event.pid == child ? 0 : ESRCH;
  result.call_shown = ShowsOpenat(child);
  fanotify_response answer{};
  answer.fd = event.fd;
  answer.response = FAN_DENY;
  (void)!::write(group, &answer, sizeof(answer));
  ::close(event.fd);
}

SelfTest RunSelfTest(int scratch, bool report_tid) {
  SelfTest result;
  const unsigned flags = kPermissionFlags | (report_tid ? FAN_REPORT_TID : 0);
  UniqueFd group(::fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
  if (!group || ::fanotify_mark(group.get(), FAN_MARK_ADD, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD,
                                scratch, nullptr) != 0) {
    result.denied = errno;
    return result;
  }
  const pid_t child = ::fork();
  if (child == 0) OpenInChild(group.get(), scratch);
  if (child < 0) {
    result.denied = errno;
    return result;
  }
  JudgeChild(group.get(), child, result);
  group.reset();  // lets a child go that was not answered
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool got_eperm = WIFEXITED(status) && WEXITSTATUS(status) == EPERM;
  result.denied = got_eperm ? 0 : ENOTRECOVERABLE;
  return result;
}

Errno TryOpenByHandle(int scratch) {
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + MAX_HANDLE_SZ> space{};
  auto& handle = *reinterpret_cast<file_handle*>(space.data());
  handle.handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (::name_to_handle_at(scratch, ScratchDirectory::kFile, &handle, &mount_id, 0) != 0) {
    return errno;
  }
  const UniqueFd file(::open_by_handle_at(scratch, &handle, O_PATH | O_CLOEXEC));
  return file ? 0 : errno;
}

Errno TryHandleFid(int scratch) {
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + MAX_HANDLE_SZ> space{};
  auto& handle = *reinterpret_cast<file_handle*>(space.data());
  handle.handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  return ::name_to_handle_at(scratch, ScratchDirectory::kFile, &handle, &mount_id, AT_HANDLE_FID) ==
                 0
             ? 0
             : errno;
}

Errno TryMountId(int scratch) {
  struct statx directory {};
  if (::statx(scratch, "", AT_EMPTY_PATH, STATX_MNT_ID, &directory) != 0) return errno;
  return (directory.stx_mask & STATX_MNT_ID) != 0 ? 0 : EOPNOTSUPP;
}

Errno TryPreContent(int scratch) {
  const Errno error = TryMark(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC, 0, FAN_PRE_ACCESS, scratch,
                              ScratchDirectory::kFile);
  return error == EOPNOTSUPP ? 0 : error;  // known, but not for tmpfs
}

Errno TryInotify() {
  const UniqueFd instance(::inotify_init1(IN_CLOEXEC));
  return instance ? 0 : errno;
}

// Another user's process shows whether we may; our parent has to do where there is none. Not pid 1
// alone: it may be hidden even from root.
Errno TryProcessExe() {
  for (const int32_t pid : ListProcesses()) {
    const std::optional<ProcessStatus> status = StatusOf(pid);
    if (!status || !status->has_memory || status->ruid == ::getuid()) continue;
    return ExeIdentity(pid) ? 0 : EACCES;
  }
  return ExeIdentity(::getppid()) ? 0 : EACCES;
}

std::vector<std::string> MissingCapabilities() {
  struct Needed {
    int number;
    const char* name;
  };
  // fanotify; proc connector; open_by_handle_at; /proc/<tid>/{exe,syscall} of others.
  constexpr std::array kNeeded = {
      Needed{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, Needed{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
      Needed{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}, Needed{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}};
  const ProcText<4096> status("/proc/self/status");
  constexpr std::string_view kKey = "CapEff:";
  const size_t at = status.view().find(kKey);
  std::string_view rest =
      at == std::string_view::npos ? std::string_view{} : status.view().substr(at + kKey.size());
  const auto effective = ParseNumber<uint64_t>(TakeWord(rest), 16);
  std::vector<std::string> missing;
  for (const Needed& needed : kNeeded) {
    if ((effective >> needed.number & 1) == 0) missing.emplace_back(needed.name);
  }
  return missing;
}

// Takes down what each try gave, as a flag and as a line for doctor.
class Recorder {
 public:
  explicit Recorder(KernelFeatures& features) : features_(features) {
    const char* without = ::getenv("FILEWARD_WITHOUT");
    masked_ = "," + std::string(without != nullptr ? without : "") + ",";
  }

  bool Masked(const char* name) const {
    return masked_.find("," + std::string(name) + ",") != std::string::npos;
  }

  void Note(bool& flag, const char* name, Errno error, const char* purpose) {
    flag = error == 0 && !Masked(name);
    std::string detail = purpose;
    if (!flag) {
      detail += Masked(name) ? " (masked by FILEWARD_WITHOUT)"
                             : std::string(" (") + ::strerrordesc_np(error) + ")";
    }
    features_.lines.push_back({name, flag, std::move(detail)});
  }

 private:
  KernelFeatures& features_;
  std::string masked_;
};

void ProbePermissionGroup(int scratch, KernelFeatures& found, Recorder& recorder) {
  const char* file = ScratchDirectory::kFile;
  const Errno tid = TryGroup(kPermissionFlags | FAN_REPORT_TID);
  const SelfTest test = RunSelfTest(scratch, tid == 0);
  recorder.Note(found.permission_events, "permission_events", test.denied,
                "denying opens: tried on a child of our own");
  recorder.Note(found.report_tid, "report_tid", tid != 0 ? tid : test.thread_named,
                "events name the thread that opens");
  recorder.Note(found.syscall_file, "syscall_file", test.call_shown,
                "telling reads from writes before the verdict");
  recorder.Note(found.open_exec_perm, "open_exec_perm",
                TryMark(kPermissionFlags, 0, FAN_OPEN_EXEC_PERM, scratch, file),
                "judging exec without judging other opens");
  recorder.Note(found.fd_error, "fd_error", TryGroup(kPermissionFlags | FAN_REPORT_FD_ERROR),
                "events whose file can't be opened are reported");
  recorder.Note(found.mark_ignore, "mark_ignore",
                TryMark(kPermissionFlags, FAN_MARK_IGNORE_SURV, FAN_OPEN_PERM, scratch, file),
                "muting uncovered files in covered directories");
  recorder.Note(found.evictable, "evictable",
                TryMark(kPermissionFlags, FAN_MARK_EVICTABLE, FAN_OPEN_PERM, scratch, file),
                "muted files cost no memory for good");
  recorder.Note(found.pre_content, "pre_content", TryPreContent(scratch),
                "gates for truncate and write on ext4, xfs and btrfs");
}

void ProbeNotificationGroup(int scratch, KernelFeatures& found, Recorder& recorder) {
  constexpr unsigned kNames = kNotificationFlags | FAN_REPORT_DFID_NAME;
  recorder.Note(found.fid, "fid", TryGroup(kNotificationFlags | FAN_REPORT_FID),
                "seeing create, delete, rename and attributes");
  // Each of these stands on the one before, so that masking one masks what needs it.
  const auto if_also = [](bool below, Errno error) { return below ? error : EOPNOTSUPP; };
  recorder.Note(found.directory_names, "directory_names",
                if_also(found.fid, TryGroup(kNames | FAN_REPORT_FID)), "names in these events");
  recorder.Note(
      found.target_fid, "target_fid",
      if_also(found.directory_names, TryGroup(kNotificationFlags | FAN_REPORT_DFID_NAME_TARGET)),
      "the file itself in these events");
  recorder.Note(
      found.rename_event, "rename_event",
      if_also(found.directory_names, TryMark(kNames, 0, FAN_RENAME | FAN_ONDIR, scratch, nullptr)),
      "old and new name of a rename in one event");
  recorder.Note(found.pidfd, "pidfd", TryGroup(kNames | FAN_REPORT_PIDFD),
                "a process that can't be mistaken for a later one");
  recorder.Note(found.inotify, "inotify", TryInotify(),
                "names where a filesystem gives no file handles");
}

}  // namespace

KernelFeatures ProbeKernelFeatures() {
  KernelFeatures found;
  found.missing_capabilities = MissingCapabilities();
  Recorder recorder(found);
  const Result<ScratchDirectory> scratch = ScratchDirectory::Create();
  const int directory = scratch ? scratch->fd() : -1;
  ProbePermissionGroup(directory, found, recorder);
  ProbeNotificationGroup(directory, found, recorder);
  const Result<ProcConnector> feed = ProcConnector::Open();
  recorder.Note(found.process_feed, "process_feed", feed ? 0 : feed.error().error_number,
                "who forked whom and ran what then");
  recorder.Note(found.process_exe, "process_exe", TryProcessExe(),
                "which file other processes run");
  recorder.Note(found.open_by_handle, "open_by_handle", TryOpenByHandle(directory),
                "names of files reached through foreign mounts");
  recorder.Note(found.handle_fid, "handle_fid", TryHandleFid(directory),
                "handles on filesystems that can't be exported (overlayfs)");
  recorder.Note(found.mount_id, "mount_id", TryMountId(directory),
                "telling foreign mounts from our own");
  return found;
}

}  // namespace fileward
