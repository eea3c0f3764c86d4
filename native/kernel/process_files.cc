// Long because all readers of /proc/<pid> share a few helpers.
#include "native/kernel/process_files.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <climits>
#include <memory>

#include "native/base/clock.h"
#include "native/kernel/proc_reader.h"

namespace fileward {
namespace {

struct LinkTarget {
  FileIdentity identity;
  uint32_t names = 0;
};

// DONT_SYNC: what the kernel has cached is enough, and a FUSE or network server can't make us wait.
std::optional<LinkTarget> LookAt(const char* path) {
  struct statx file {};
  if (::statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO | STATX_NLINK,
              &file) != 0) {
    return std::nullopt;
  }
  return LinkTarget{{makedev(file.stx_dev_major, file.stx_dev_minor), file.stx_ino},
                    file.stx_nlink};
}

std::string ReadLink(const char* link) {
  std::array<char, PATH_MAX> text;
  const ssize_t length = ::readlink(link, text.data(), text.size());
  return length <= 0 ? std::string{} : std::string(text.data(), static_cast<size_t>(length));
}

std::string ReadExeLink(int32_t pid, bool unlinked) {
  std::string path = ReadLink(ProcPath(pid, "exe").c_str());
  // No program is a directory: that mount of one file hangs nowhere (runc runs itself from such).
  if (path == "/") return {};
  // A real name may end so too; only a file without a name has it added.
  constexpr std::string_view kDeleted = " (deleted)";
  if (unlinked && path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<int32_t> NumbersIn(const char* path) {
  std::vector<int32_t> numbers;
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path));
  if (!directory) return numbers;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name.empty() || name.find_first_not_of("0123456789") != std::string_view::npos) continue;
    numbers.push_back(ParseNumber<int32_t>(name));
  }
  return numbers;
}

// The part of /proc/<pid>/stat behind the command, which may hold anything: from field 3, the
// state.
std::string_view StatFields(std::string_view text) {
  const size_t end = text.rfind(") ");
  return end == std::string_view::npos ? std::string_view{} : text.substr(end + 2);
}

}  // namespace

bool IsThere(int32_t pid) {
  return ::access(ProcPath(pid, "").c_str(), F_OK) == 0 || errno != ENOENT;
}

std::optional<ProcessStatus> StatusOf(int32_t pid) {
  const ProcText<4096> text(pid, "status");
  if (!text.ok()) return std::nullopt;
  ProcessStatus status;
  std::string_view rest = text.view();
  while (!rest.empty()) {
    std::string_view line = TakeLine(rest);
    const std::string_view key = TakeWord(line);
    if (key == "State:") {
      const std::string_view state = TakeWord(line);
      status.zombie = state == "Z" || state == "X";
    } else if (key == "Tgid:") {
      status.tgid = ParseNumber<int32_t>(TakeWord(line));
    } else if (key == "PPid:") {
      status.ppid = ParseNumber<int32_t>(TakeWord(line));
    } else if (key == "Uid:") {
      status.ruid = ParseNumber<uint32_t>(TakeWord(line));
      status.euid = ParseNumber<uint32_t>(TakeWord(line));
    } else if (key == "VmSize:") {
      status.has_memory = true;
    } else if (key == "Threads:") {
      status.threads = ParseNumber<int32_t>(TakeWord(line));
      break;  // the last one that we want
    }
  }
  // Reaped between the open and the read of the file: the kernel fills in zeros.
  if (status.tgid == 0) return std::nullopt;
  return status;
}

std::optional<ProcessStat> StatOf(int32_t pid) {
  const ProcText<1024> text(pid, "stat");
  if (!text.ok()) return std::nullopt;
  std::string_view fields = StatFields(text.view());
  static const auto ticks_per_second = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  ProcessStat stat;
  for (int field = 3; field <= 23; ++field) {
    const std::string_view word = TakeWord(fields);
    if (field == 9) stat.flags = ParseNumber<uint64_t>(word);
    if (field == 22) {
      stat.start_ns = ParseNumber<uint64_t>(word) * (1'000'000'000u / ticks_per_second);
    }
    if (field == 23) stat.memory_bytes = ParseNumber<uint64_t>(word);
  }
  return stat;
}

std::optional<uint64_t> StartTime(int32_t pid) {
  const std::optional<ProcessStat> stat = StatOf(pid);
  if (!stat) return std::nullopt;
  return stat->start_ns;
}

uint64_t BootToRealtimeNs(uint64_t boot_ns) {
  return NowNs(CLOCK_REALTIME) - NowNs(CLOCK_BOOTTIME) + boot_ns;
}

std::optional<FileIdentity> ExeIdentity(int32_t pid) {
  const std::optional<LinkTarget> target = LookAt(ProcPath(pid, "exe").c_str());
  return target ? std::optional(target->identity) : std::nullopt;
}

std::string ExePath(int32_t pid) { return ExeOf(pid).value_or(Exe{}).path; }

std::optional<Exe> ExeOf(int32_t pid) {
  const std::optional<LinkTarget> target = LookAt(ProcPath(pid, "exe").c_str());
  return target ? std::optional(Exe{target->identity, ReadExeLink(pid, target->names == 0)})
                : std::nullopt;
}

std::optional<uint32_t> ExeNames(int32_t pid) {
  const std::optional<LinkTarget> target = LookAt(ProcPath(pid, "exe").c_str());
  return target ? std::optional(target->names) : std::nullopt;
}

bool SharesUserNamespace(int32_t pid) {
  const auto theirs = LookAt(ProcPath(pid, "ns/user").c_str());
  const auto ours = LookAt("/proc/self/ns/user");
  return theirs && ours && theirs->identity == ours->identity;
}

Place PlaceOf(int32_t pid) {
  const std::optional<LinkTarget> mounts = LookAt(ProcPath(pid, "ns/mnt").c_str());
  const std::optional<LinkTarget> root = LookAt(ProcPath(pid, "root").c_str());
  return mounts && root ? Place{mounts->identity.ino, root->identity} : Place{};
}

std::string PathAt(int32_t pid, std::string path) {
  const std::string root = ReadLink(ProcPath(pid, "root").c_str());
  const bool below = root.size() > 1 && path.starts_with(root) && path[root.size()] == '/';
  const bool ours = below && PlaceOf(pid).mount_namespace == PlaceOf(::getpid()).mount_namespace;
  return ours ? path.substr(root.size()) : path;
}

std::string CgroupOf(int32_t pid) {
  const ProcText<16384> text(pid, "cgroup");
  std::string_view systemd;
  std::string_view unified;
  std::string_view other;
  std::string_view rest = text.view();
  while (!rest.empty()) {
    // hierarchy:controllers:path
    const std::string_view line = TakeLine(rest);
    const size_t controllers_at = line.find(':');
    const size_t path_at = line.find(':', controllers_at + 1);
    if (controllers_at == std::string_view::npos || path_at == std::string_view::npos) continue;
    const std::string_view controllers =
        line.substr(controllers_at + 1, path_at - controllers_at - 1);
    const std::string_view path = line.substr(path_at + 1);
    if (controllers == "name=systemd") {
      systemd = path;
    } else if (controllers.empty()) {
      unified = path;
    } else if (other.empty()) {
      other = path;
    }
  }
  std::string_view path = !systemd.empty() ? systemd : !unified.empty() ? unified : other;
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return std::string(path);
}

bool IsExiting(int32_t pid) {
  constexpr uint64_t kExiting = 4;  // PF_EXITING
  const std::optional<ProcessStat> stat = StatOf(pid);
  return !stat || (stat->flags & kExiting) != 0;
}

std::string UnitOfCgroup(std::string_view cgroup) {
  std::string_view rest = cgroup;
  bool in_slice = false;
  while (rest.starts_with('/')) {
    rest.remove_prefix(1);
    std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(name.size());
    if (name == "user.slice" && !in_slice) return {};
    if (name.ends_with(".slice")) {
      in_slice = true;
      continue;
    }
    if (!in_slice) return {};  // not the system manager's tree: a container's, or no systemd
    if (name.starts_with('_')) name.remove_prefix(1);  // systemd's escape of names the kernel uses
    const bool unit =
        name.ends_with(".service") || name.ends_with(".scope") || name.ends_with(".socket");
    return unit ? std::string(name) : std::string{};
  }
  return {};
}

std::vector<std::string> ArgumentsOf(int32_t pid, size_t max_bytes) {
  constexpr size_t kMostBytes = 32 * 1024;
  const ProcText<kMostBytes> text(pid, "cmdline");
  std::string_view rest = text.view().substr(0, std::min(max_bytes, kMostBytes));
  std::vector<std::string> arguments;
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    arguments.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return arguments;
}

bool RunsScript(int32_t pid, const std::vector<std::string>& names, const Place& place) {
  // Of python, perl and sh; -c, -e, -m and whatever takes a value are not among them.
  constexpr std::string_view kHarmlessOptions = "BEIPSTbdqsuvw";
  if (!place.known() || PlaceOf(pid) != place) return false;
  const std::vector<std::string> arguments = ArgumentsOf(pid, 4096);
  size_t at = 1;
  if (arguments.size() > 2 && arguments[1].size() > 1 && arguments[1].front() == '-' &&
      arguments[1].find_first_not_of(kHarmlessOptions, 1) == std::string::npos) {
    at = 2;
  }
  return arguments.size() > at &&
         std::find(names.begin(), names.end(), arguments[at]) != names.end();
}

std::optional<DescriptorState> DescriptorOf(int32_t tid, int fd) {
  const std::string number = std::to_string(fd);
  const auto target = LookAt(ProcPath(tid, ("fd/" + number).c_str()).c_str());
  if (!target) return std::nullopt;
  const ProcText<1024> info(tid, ("fdinfo/" + number).c_str());
  std::string_view rest = info.view();
  while (!rest.empty()) {
    std::string_view line = TakeLine(rest);
    if (TakeWord(line) == "flags:")
      return DescriptorState{target->identity, ParseNumber<int>(TakeWord(line), 8)};
  }
  return std::nullopt;
}

std::vector<int> OpenFlagsOf(int32_t pid, const FileIdentity& identity) {
  std::vector<int> flags;
  for (const int32_t fd : NumbersIn(ProcPath(pid, "fd").c_str())) {
    const auto descriptor = DescriptorOf(pid, fd);
    if (descriptor && descriptor->identity == identity) flags.push_back(descriptor->flags);
  }
  return flags;
}

SchedulerTimes OwnSchedulerTimes() {
  // "<ran> <waited> <slices>"; absent without CONFIG_SCHED_INFO.
  const ProcText<128> text("/proc/thread-self/schedstat");
  rusage usage{};
  if (!text.ok() || ::getrusage(RUSAGE_THREAD, &usage) != 0) return {};
  std::string_view rest = text.view();
  TakeWord(rest);
  SchedulerTimes times;
  times.run_delay_ns = ParseNumber<uint64_t>(TakeWord(rest));
  times.voluntary_switches = static_cast<uint64_t>(usage.ru_nvcsw);
  times.known = true;
  return times;
}

std::vector<int32_t> ListProcesses() { return NumbersIn("/proc"); }

std::vector<int32_t> ListThreads(int32_t pid) { return NumbersIn(ProcPath(pid, "task").c_str()); }

std::vector<int32_t> ListChildren(int32_t pid) {
  std::array<char, 48> name;
  std::snprintf(name.data(), name.size(), "task/%d/children", pid);
  const ProcText<4096> text(pid, name.data());
  std::vector<int32_t> children;
  std::string_view rest = text.view();
  while (true) {
    const std::string_view word = TakeWord(rest);
    if (word.empty()) return children;
    children.push_back(ParseNumber<int32_t>(word));
  }
}

}  // namespace fileward
