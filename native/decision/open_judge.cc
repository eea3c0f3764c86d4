// Long because the walk of one event, from its file to its answer, is read in one place.
#include "native/decision/open_judge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "native/decision/opener_subject.h"
#include "native/decision/rules_apply.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

// A file older than this was not created by the open that is judged now, nor to be renamed at once.
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

void LeaveAlone(PendingOpen& open) { open.state = PendingOpen::State::kNotCovered; }

FileAtMount AtMount(const PendingOpen& open) {
  return {open.event.raw_fd, open.file.identity, open.file.birth_ns, open.file.mount_id};
}

Gate GateOf(const PendingOpen& open) { return open.IsAccess() ? Gate::kAccess : Gate::kOpen; }

// Takes away what no rule of this gate holds anything of.
void KeepGating(const PendingOpen& open, std::vector<Covering>& coverings) {
  std::erase_if(coverings, [&](Covering& covering) {
    covering.gated = GatedOperations(*covering.rules->ruleset, covering.Names(), GateOf(open));
    return covering.gated.empty();
  });
}

bool AllowsAtDeadline(std::span<const Covering> coverings) {
  return std::none_of(coverings.begin(), coverings.end(), [](const Covering& covering) {
    return DeadlineVerdict(*covering.rules->ruleset, covering.Names()) == Verdict::kDeny;
  });
}

Operations Wanted(const Intent& intent, Operations gated) {
  Operations wanted;
  for (const Operation operation : kOperations) {
    if (gated.Has(operation) && intent.wanted.Has(operation)) wanted.Add(operation);
  }
  return wanted;
}

// Ties go to configuration order.
bool IsStricter(const Decision& decision, const Decision& than) {
  if (decision.outcome != than.outcome) return decision.outcome > than.outcome;
  return decision.rule_index < than.rule_index;
}

}  // namespace

OpenJudge::OpenJudge(const ProcessTable& processes)
    : processes_(processes),
      own_threads_(::open("/proc/self/task", O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

void OpenJudge::Swap(RulesetSwap& swap) {
  std::swap(version_, swap.version);
  workloads_.Swap(swap);
}

std::optional<uint64_t> OpenJudge::deadline_ns() const {
  if (workloads_.empty()) return std::nullopt;
  return workloads_.all().begin()->second->ruleset->deadline_ns();
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
  if (open.tgid == 0) {
    open.tgid = processes_.TgidOf(open.event.tid);
    if (open.tgid == 0) {
      const auto opener = StatusOf(open.event.tid);
      open.tgid = opener ? opener->tgid : open.event.tid;
    }
  }
  return S_ISREG(status.stx_mode);
}

WorkloadSet::Found OpenJudge::Find(const PendingOpen& open) const {
  return workloads_.Find(AtMount(open), [&] { return PathOf(open.event.raw_fd, open.file.nlink); });
}

void OpenJudge::NotCovered(PendingOpen& open, const WorkloadSet::Found& found) const {
  LeaveAlone(open);
  // An app's file may have a mark of its own for its sake; one with other names may be covered by
  // them; one that has just been made may take a covered name, and be opened by that before
  // coverage has seen it.
  const bool is_new = open.file.birth_ns + kNewFileNs > open.read_real_ns;
  open.may_ignore = found.all_paths_known && open.file.nlink == 1 && !is_new &&
                    !workloads_.IsApp(open.file.identity);
}

WorkloadId OpenJudge::OpenerOf(PendingOpen& open) const {
  if (!open.opener) open.opener = processes_.WorkloadOf(open.event.tid);
  return *open.opener;
}

bool OpenJudge::AwaitsOpener(PendingOpen& open, std::span<const Covering> coverings) const {
  const bool on_volume = std::any_of(coverings.begin(), coverings.end(), [&](const auto& covering) {
    return covering.rules->workload != kHostWorkload &&
           !workloads_.IsOnRootOf(*covering.rules, AtMount(open));
  });
  if (!on_volume || OpenerOf(open) != kHostWorkload) return false;
  if (!processes_.MayBeOfNewWorkload(open.event.tid)) return false;
  open.opener.reset();
  return true;
}

void OpenJudge::KeepSpeaking(PendingOpen& open, std::vector<Covering>& coverings) const {
  std::erase_if(coverings, [&](const Covering& covering) {
    const WorkloadId owner = covering.rules->workload;
    return owner != kHostWorkload &&
           !RulesApply(*processes_.workloads(), owner, OpenerOf(open),
                       workloads_.IsOnRootOf(*covering.rules, AtMount(open)));
  });
}

bool OpenJudge::LearnIntent(PendingOpen& open) {
  if (open.intent.state == Intent::State::kRunning) {
    open.intent =
        open.IsAccess()
            ? ReadAccessIntent(open.event.tid, open.file.identity, open.read_ns, processes_)
            : ReadIntent(open.event.tid, open.event.mask, open.read_ns, processes_);
  }
  return open.intent.state != Intent::State::kRunning;
}

// The kernel asks twice for an exec where both kinds of permission are marked; it is one open. What
// an exec reads and maps it has opened itself, and maps as the new program already.
bool OpenJudge::IsPartOfExec(const PendingOpen& open) {
  if (open.intent.wanted != Operations{Operation::kExec}) return false;
  if (open.IsAccess()) return true;
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

// A script is an app of the opener's own workload, whose names it was given by. False: the process
// table is behind, and would take an earlier exec for this one.
bool OpenJudge::RememberScript(PendingOpen& open, bool last_look) {
  std::vector<std::string> names;
  for (const auto& [workload, rules] : workloads_.all()) {
    for (const uint32_t exe : rules->apps->ExesOf(open.file.identity)) {
      if (exe >= rules->ruleset->exes().size() || !rules->ruleset->IsScript(exe)) continue;
      if (OpenerOf(open) != workload) break;
      names.push_back(PathOf(open.event.fd.get(), 1));
      for (const PatternAlternative& name : rules->ruleset->exes()[exe].pattern.alternatives()) {
        if (!name.literal) continue;
        names.push_back(name.written_base);
        names.push_back(name.base);
      }
    }
  }
  if (names.empty()) return true;
  if (!processes_.CurrentAsOf(open.read_ns)) return last_look;
  processes_.NoteScript(open.tgid, open.file.identity, std::move(names));
  return true;
}

void OpenJudge::Look(PendingOpen& open, Watchdog& watchdog, bool last_look) {
  if (open.needs_intent && !LearnIntent(open)) return;
  if (workloads_.empty() || !Inspect(open)) return LeaveAlone(open);
  const bool is_exec = (open.event.mask & FAN_OPEN_EXEC_PERM) != 0;
  if (is_exec && !RememberScript(open, last_look)) return;
  WorkloadSet::Found found = Find(open);
  std::vector<Covering>& coverings = found.coverings;
  KeepGating(open, coverings);
  if (coverings.empty()) return NotCovered(open, found);
  const bool awaits_opener = !last_look && AwaitsOpener(open, coverings);
  if (!awaits_opener) KeepSpeaking(open, coverings);
  if (coverings.empty()) return LeaveAlone(open);
  watchdog.SetVerdict(open.slot, AllowsAtDeadline(coverings));
  if (awaits_opener) return;
  open.needs_intent = true;
  if (!LearnIntent(open)) return;
  if (open.intent.state == Intent::State::kGone || IsPartOfExec(open)) return LeaveAlone(open);
  Judge(open, coverings, last_look);
  // Coverage may have heard of the creation before us, so a file that is in the table can be new
  // all the same.
  const bool is_known = coverings.front().object != nullptr;
  const bool is_new = !is_known || open.file.birth_ns + kNewFileNs > open.read_real_ns;
  open.creat_fresh = open.intent.creates && is_new && open.file.size == 0;
}

void OpenJudge::Judge(PendingOpen& open, std::span<const Covering> coverings, bool last_look) {
  const OpenerSubject::Opener opener{open.event.tid, open.tgid, open.opener, open.read_ns};
  bool judged = false;
  bool look_again = false;
  bool writes = false;
  open.learned.clear();
  for (const Covering& covering : coverings) {
    const Operations wanted = Wanted(open.intent, covering.gated);
    if (wanted.empty()) continue;
    OpenerSubject subject({*covering.rules, workloads_.host(), processes_}, opener, last_look);
    const std::vector<CoveredName> names = covering.Names();
    const Question question{names, wanted, GateOf(open),
                            open.intent.state == Intent::State::kUnproven};
    const Decision decision = Evaluate(*covering.rules->ruleset, question, subject);
    look_again = look_again || decision.look_again;
    writes = writes || wanted.Has(Operation::kWrite);
    for (const Learning& learning : decision.learned) {
      open.learned.emplace_back(covering.rules->workload, learning);
    }
    if (judged && !IsStricter(decision, open.decision)) continue;
    judged = true;
    open.decision = decision;
    open.workload = covering.rules->workload;
    open.covered_path = names[decision.name_index].path;
    open.package_manager = subject.package_manager();
    const bool told = decision.outcome >= Outcome::kLearned;
    if (told || open.intent.wanted.Has(Operation::kWrite)) open.exe = subject.exe();
  }
  if (!judged) return LeaveAlone(open);
  if (look_again) return;
  open.state = PendingOpen::State::kJudged;
  open.ruleset_version = version_;
  open.judged_write = writes;
  TellOnce(open);
  if (open.IsReported()) Describe(open);
}

void OpenJudge::TellOnce(PendingOpen& open) {
  const ToldAccesses::Key key{open.file.identity, open.tgid};
  const ToldAccesses::Judged judged{open.exe, version_, open.decision.rule_index,
                                    open.decision.outcome};
  if (!open.Allows()) return;
  if (open.IsReported()) {
    open.was_told = open.IsAccess() && told_.HasTold(key, judged, open.decision.operation);
    const Operations told =
        open.IsAccess() ? Operations{open.decision.operation} : open.intent.wanted;
    if (!open.was_told) told_.Tell(key, judged, told);
  }
  if (!open.judged_write) return;
  open.judged_write = !(open.IsAccess() && told_.HasToldWrite(key, judged));
  if (open.judged_write) told_.TellWrite(key, judged);
}

void OpenJudge::Describe(PendingOpen& open) const {
  open.path = workloads_.PathIn(open.workload, AtMount(open),
                                PathOf(open.event.raw_fd, open.file.nlink), open.covered_path);
  open.process = SnapshotOf(open.event.tid, processes_);
}

void OpenJudge::Overtaken(PendingOpen& open, bool allowed) {
  if (open.state == PendingOpen::State::kUndecided &&
      (open.file.identity.known() || Inspect(open))) {
    // It never parked, its ancestry never settled, or too many were before it: judged by what is
    // proven now, without believing more.
    if (open.intent.state == Intent::State::kRunning) {
      open.intent = {Intent::State::kUnproven, {Operation::kRead, Operation::kWrite}, false};
    }
    WorkloadSet::Found found = Find(open);
    KeepGating(open, found.coverings);
    KeepSpeaking(open, found.coverings);
    Judge(open, found.coverings, true);
  }
  told_.Forget({open.file.identity, open.tgid});
  open.was_told = false;
  const Verdict verdict = allowed ? Verdict::kAllow : Verdict::kDeny;
  open.decision.verdict = verdict;
  if (open.state != PendingOpen::State::kJudged) return LeaveAlone(open);
  if (!allowed) {
    open.decision.outcome = Outcome::kDenied;
  } else if (open.decision.outcome == Outcome::kDenied) {
    open.decision.outcome = Outcome::kViolated;
  }
  if (!open.IsReported()) return;
  open.decision.reason = Reason::kDeadline;
  if (!open.process) Describe(open);
}

}  // namespace fileward
