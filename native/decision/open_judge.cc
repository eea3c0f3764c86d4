#include "native/decision/open_judge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <charconv>
#include <utility>

#include "native/decision/opener_subject.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

// A file older than this was not created by the open that is judged now.
constexpr uint64_t kNewFileNs = 2'000'000'000;

constexpr size_t kMaxJudgedExecs = 4096;

uint64_t Nanoseconds(const statx_timestamp& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000U + time.tv_nsec;
}

// The kernel's path of an open file; empty when it has none that fits.
std::string PathOf(int fd, uint32_t nlink) {
  std::array<char, 32> link{"/proc/self/fd/"};
  std::to_chars(link.data() + 14, link.data() + link.size() - 1, fd);
  std::array<char, kMaxPathBytes + 1> target{};
  const ssize_t length = ::readlink(link.data(), target.data(), target.size());
  if (length <= 0 || target[0] != '/') return {};
  std::string_view path(target.data(), static_cast<size_t>(length));
  // A file of that name may exist, but not without links.
  static constexpr std::string_view kDeleted = " (deleted)";
  if (nlink == 0 && path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return std::string(path);
}

}  // namespace

OpenJudge::OpenJudge(const ProcessTable& processes)
    : processes_(processes),
      own_threads_(::open("/proc/self/task", O_PATH | O_DIRECTORY | O_CLOEXEC)),
      apps_(std::make_shared<AppIdentities>()) {}

void OpenJudge::Swap(RulesetSwap& swap) {
  std::swap(ruleset_, swap.ruleset);
  std::swap(version_, swap.version);
  std::swap(table_, swap.table);
  // Indexes of exes mean something in their own ruleset only.
  if (!swap.apps) swap.apps = std::make_shared<AppIdentities>();
  std::swap(apps_, swap.apps);
}

bool OpenJudge::IsOwn(const PermissionEvent& event) const {
  std::array<char, 16> tid{};
  std::to_chars(tid.data(), tid.data() + tid.size() - 1, event.tid);
  return event.tid > 0 && ::faccessat(own_threads_.get(), tid.data(), F_OK, 0) == 0;
}

bool OpenJudge::Inspect(PendingOpen& open) const {
  struct statx status {};
  constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
  // The file is open, so its attributes are here: a network filesystem must not be asked while
  // somebody waits.
  if (::statx(open.event.raw_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kWanted, &status) != 0) {
    return false;
  }
  open.file.identity = {makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino};
  open.file.birth_ns = (status.stx_mask & STATX_BTIME) != 0 ? Nanoseconds(status.stx_btime) : 0;
  open.file.mount_id = status.stx_mnt_id;
  open.file.size = status.stx_size;
  open.file.mtime_ns = Nanoseconds(status.stx_mtime);
  open.file.mode = status.stx_mode;
  open.file.uid = status.stx_uid;
  open.file.gid = status.stx_gid;
  open.file.nlink = status.stx_nlink;
  return S_ISREG(status.stx_mode);
}

// A path text counts only on a mount of ours that shows its filesystem from the root; elsewhere (a
// bind mount, another namespace) the file is found again from such a mount.
std::optional<std::string> OpenJudge::HostPath(const PendingOpen& open) const {
  if (!mounts_ || mounts_->IsPlain(open.file.mount_id)) {
    return PathOf(open.event.raw_fd, open.file.nlink);
  }
  return mounts_->HostPath(open.event.raw_fd, open.file.identity.dev);
}

std::vector<CoveredName> OpenJudge::Found::Names() const {
  std::vector<CoveredName> names;
  if (object != nullptr) {
    for (const ObjectName& name : object->names) names.push_back({name.path, *name.rules});
  } else if (!matched.empty()) {
    names.push_back({path, matched});
  }
  return names;
}

OpenJudge::Found OpenJudge::Find(const PendingOpen& open) const {
  Found found;
  if (const Object* object = table_.Find(open.file.identity, open.file.birth_ns)) {
    found.object = object;
    return found;
  }
  std::optional<std::string> path = HostPath(open);
  if (!path || path->empty()) return found;
  found.path = std::move(*path);
  found.matched = ruleset_->Match(found.path);
  return found;
}

Operations OpenJudge::Wanted(const PendingOpen& open, Operations gated) {
  Operations wanted;
  for (const Operation operation : kOperations) {
    if (gated.Has(operation) && open.intent.wanted.Has(operation)) wanted.Add(operation);
  }
  return wanted;
}

void OpenJudge::NotCovered(PendingOpen& open, const Found& found) const {
  open.state = PendingOpen::State::kNotCovered;
  // An app's file may have a mark of its own for its sake; one with other names may be covered by
  // them.
  open.may_ignore = found.object == nullptr && !found.path.empty() && open.file.nlink == 1 &&
                    apps_->ExesOf(open.file.identity).empty();
}

bool OpenJudge::LearnIntent(PendingOpen& open) {
  if (open.intent.state == Intent::State::kRunning) {
    open.intent = ReadIntent(open.event.tid, open.event.mask, open.read_ns, processes_);
  }
  return open.intent.state != Intent::State::kRunning;
}

// The kernel asks twice for an exec where both kinds of permission are marked; it is one open.
bool OpenJudge::IsSecondOfExec(const PendingOpen& open) {
  if (open.intent.wanted != Operations{Operation::kExec}) return false;
  if ((open.event.mask & FAN_OPEN_EXEC_PERM) != 0) {
    if (judged_execs_.size() >= kMaxJudgedExecs) judged_execs_.clear();
    judged_execs_[open.event.tid] = open.file.identity;
    return false;
  }
  const auto first = judged_execs_.find(open.event.tid);
  if (first == judged_execs_.end()) return false;
  const bool same = first->second == open.file.identity;
  judged_execs_.erase(first);
  return same;
}

// False: the process table is behind, and would take an earlier exec for this one.
bool OpenJudge::RememberScript(const PendingOpen& open, bool last_look) {
  std::vector<std::string> names;
  for (const uint32_t exe : apps_->ExesOf(open.file.identity)) {
    if (exe >= ruleset_->exes().size() || !ruleset_->IsScript(exe)) continue;
    names.push_back(PathOf(open.event.fd.get(), 1));
    for (const PatternAlternative& alternative : ruleset_->exes()[exe].pattern.alternatives()) {
      if (!alternative.literal) continue;
      names.push_back(alternative.written_base);
      names.push_back(alternative.base);
    }
  }
  if (names.empty()) return true;
  if (!processes_.CurrentAsOf(open.read_ns)) return last_look;
  processes_.NoteScript(open.tgid, open.file.identity, std::move(names));
  return true;
}

void OpenJudge::Look(PendingOpen& open, Watchdog& watchdog, bool last_look) {
  if (open.needs_intent && !LearnIntent(open)) return;
  if (!ruleset_ || !Inspect(open)) {
    open.state = PendingOpen::State::kNotCovered;
    return;
  }
  if (open.tgid == 0) {
    open.tgid = processes_.TgidOf(open.event.tid);
    if (open.tgid == 0) {
      const auto status = StatusOf(open.event.tid);
      open.tgid = status ? status->tgid : open.event.tid;
    }
  }
  if ((open.event.mask & FAN_OPEN_EXEC_PERM) != 0 && !RememberScript(open, last_look)) return;
  const Found found = Find(open);
  const std::vector<CoveredName> names = found.Names();
  const Operations gated = GatedOperations(*ruleset_, names);
  if (gated.empty()) return NotCovered(open, found);
  watchdog.SetVerdict(open.slot, DeadlineVerdict(*ruleset_, names) != Verdict::kDeny);
  open.needs_intent = true;
  if (!LearnIntent(open)) return;
  if (open.intent.state == Intent::State::kGone || IsSecondOfExec(open)) {
    open.state = PendingOpen::State::kNotCovered;
    return;
  }
  const Operations wanted = Wanted(open, gated);
  if (wanted.empty()) {
    open.state = PendingOpen::State::kNotCovered;
    return;
  }
  Judge(open, names, wanted, last_look);
  // Coverage may have heard of the creation before us, so a file that is in the table can be new
  // all the same.
  const bool is_new =
      found.object == nullptr || open.file.birth_ns + kNewFileNs > open.read_real_ns;
  open.creat_fresh = open.intent.creates && is_new && open.file.size == 0;
}

void OpenJudge::Judge(PendingOpen& open, std::span<const CoveredName> names, Operations wanted,
                      bool last_look) {
  const OpenerSubject::Context context{*ruleset_, *apps_, processes_};
  OpenerSubject subject(context, open.event.tid, open.tgid, open.read_ns, last_look);
  const Question question{names, wanted, Gate::kOpen,
                          open.intent.state == Intent::State::kUnproven};
  open.decision = Evaluate(*ruleset_, question, subject);
  if (open.decision.look_again) return;
  open.state = PendingOpen::State::kJudged;
  open.ruleset_version = version_;
  open.judged_write = wanted.Has(Operation::kWrite);
  open.package_manager = subject.package_manager();
  if (open.judged_write || open.IsReported()) open.exe = subject.exe();
  open.covered_path = names[open.decision.name_index].path;
  if (open.IsReported()) Describe(open);
}

void OpenJudge::Describe(PendingOpen& open) const {
  open.path = PathOf(open.event.raw_fd, open.file.nlink);
  if (open.path.empty()) open.path = open.covered_path;
  open.process = SnapshotOf(open.event.tid, processes_);
}

void OpenJudge::Overtaken(PendingOpen& open, bool allowed) {
  if (open.state == PendingOpen::State::kUndecided && ruleset_ && open.file.identity.known()) {
    // It never parked, or its ancestry never settled: judged by what is proven now, without
    // believing more.
    if (open.intent.state == Intent::State::kRunning) {
      open.intent = {Intent::State::kUnproven, {Operation::kRead, Operation::kWrite}, false};
    }
    const Found found = Find(open);
    const std::vector<CoveredName> names = found.Names();
    const Operations wanted = Wanted(open, GatedOperations(*ruleset_, names));
    if (!wanted.empty()) Judge(open, names, wanted, true);
  }
  if (open.state != PendingOpen::State::kJudged) {
    open.state = PendingOpen::State::kNotCovered;
    open.decision.verdict = allowed ? Verdict::kAllow : Verdict::kDeny;
    return;
  }
  open.decision.verdict = allowed ? Verdict::kAllow : Verdict::kDeny;
  if (!allowed) {
    open.decision.outcome = Outcome::kDenied;
    if (!open.process) Describe(open);
  } else if (open.decision.outcome == Outcome::kDenied) {
    open.decision.outcome = Outcome::kViolated;
  }
  if (open.IsReported()) open.decision.reason = Reason::kDeadline;
}

}  // namespace fileward
