#include "native/coverage/fact_writer.h"

#include <time.h>

#include <utility>

#include "native/base/clock.h"
#include "native/base/volume_name.h"
#include "native/decision/rules_apply.h"

namespace fileward {
namespace {

// A chain is settled after ProcessTable::kSettleNs; by then the answer is as good as it gets.
constexpr int kSettleLooks = 5;
constexpr timespec kSettleNap = {0, 5'000'000};

EventActorState StateOf(const Source& source) {
  if (source.actor == nullptr) return EventActorState::kUnknown;
  switch (source.actor->state) {
    case ActorState::kKnown:
      return EventActorState::kKnown;
    case ActorState::kGone:
      return EventActorState::kGone;
    case ActorState::kChanged:
      return EventActorState::kChanged;
  }
  return EventActorState::kUnknown;
}

bool IsAboutContent(Change change) {
  return change == Change::kWritten || change == Change::kClosedWrite ||
         change == Change::kAttributes;
}

// Why the actor wasn't found listed, where that is not because of what it is.
Reason ReasonOf(const Fact& fact, const Decision& decision, const Source& source) {
  if (decision.listed) return source.found_on_rescan ? Reason::kFoundOnRescan : Reason::kNone;
  if (source.found_on_rescan) return Reason::kFoundOnRescan;
  if (fact.judged) return decision.reason;
  switch (StateOf(source)) {
    case EventActorState::kGone:
    case EventActorState::kUnknown:
      return Reason::kProcessGone;
    case EventActorState::kChanged:
      return Reason::kProcessChanged;
    case EventActorState::kKnown:
      break;
  }
  const bool through_descriptor =
      fact.change == Change::kWritten || fact.change == Change::kClosedWrite;
  if (through_descriptor && decision.outcome == Outcome::kViolated)
    return Reason::kDescriptorNotJudged;
  return decision.reason;
}

std::vector<CoveredName> Views(const std::vector<CoveredBy>& names) {
  std::vector<CoveredName> views;
  for (const CoveredBy& name : names) views.push_back({name.path, *name.rules});
  return views;
}

}  // namespace

void FactWriter::SetRuleset(std::shared_ptr<const Ruleset> ruleset, uint64_t version,
                            std::shared_ptr<RuleCounters> counters) {
  ruleset_ = std::move(ruleset);
  version_ = version;
  counters_ = std::move(counters);
}

bool FactWriter::RulesSpeak(const Source& source, uint64_t directory_dev) const {
  const WorkloadId actor =
      source.actor == nullptr ? kUnknownWorkload : source.actor->process.workload;
  return RulesApply(*processes_.workloads(), workload_, actor,
                    root_.own_filesystem && directory_dev == root_.dev);
}

ActorSubject FactWriter::SubjectOf(const Source& source, const FileIdentity& proven_exe) const {
  const ActorSubject::Context context = {workload_,   *ruleset_,    *apps_,
                                         *host_apps_, users_.get(), processes_};
  return ActorSubject(context, source.actor.get(), source.read_ns, proven_exe);
}

Decision FactWriter::Settle(const Question& question, const Source& source,
                            const FileIdentity& proven_exe) {
  for (int look = 1;; ++look) {
    ActorSubject subject = SubjectOf(source, proven_exe);
    const Decision decision = Evaluate(*ruleset_, question, subject);
    if (!decision.look_again || look == kSettleLooks) return decision;
    nanosleep(&kSettleNap, nullptr);
  }
}

Decision FactWriter::Judge(const std::vector<CoveredBy>& names, const Source& source) {
  const std::vector<CoveredName> views = Views(names);
  return Settle({views, Operations{Operation::kWrite}, Gate::kUngated, false}, source, {});
}

uint8_t FactWriter::PackageManagerOf(const Source& source) {
  for (int look = 1;; ++look) {
    ActorSubject subject = SubjectOf(source);
    if (subject.IsPackageManager() != Subject::Answer::kUnsettled || look == kSettleLooks) {
      return subject.PackageManager();
    }
    nanosleep(&kSettleNap, nullptr);
  }
}

Decision FactWriter::Write(const Fact& fact, const Source& source) {
  const std::vector<CoveredName> views = Views(fact.names);
  const Gate gate = fact.judged ? Gate::kJudgedChange : Gate::kUngated;
  Decision decision = Settle({views, Operations{Operation::kWrite}, gate, false}, source,
                             fact.judged ? fact.judged->exe : FileIdentity{});
  if (fact.judged && fact.judged->workload == workload_ &&
      fact.judged->rule_index == decision.rule_index && fact.judged->ruleset_version == version_) {
    // What was proven while the opener was parked holds, whatever can still be known of the
    // process.
    decision.listed = fact.judged->listed;
    decision.changes_quiet =
        decision.listed && ruleset_->rules()[decision.rule_index].changes_quiet;
    decision.outcome = decision.changes_quiet ? Outcome::kQuiet : Outcome::kModified;
  }
  if (source.silent || decision.outcome == Outcome::kNotCovered) return decision;

  EventHeader& header = Begin(EventKind::kChange, source);
  header.operation = Operation::kWrite;
  header.change = fact.change;
  header.outcome = decision.outcome;
  header.mode = decision.mode;
  header.reason = ReasonOf(fact, decision, source);
  header.rule_index = decision.rule_index;
  header.count = fact.count;
  header.flags = static_cast<uint16_t>(fact.flags | (decision.listed ? EventFlag::kListed : 0) |
                                       (fact.judged ? EventFlag::kJudged : 0) |
                                       (decision.changes_quiet ? EventFlag::kChangesQuiet : 0));
  if (fact.before) {
    header.before_known = 1;
    DescribeFile(header, *fact.before);
    header.before_size = fact.before->size;
    header.before_mtime_ns = fact.before->mtime_ns;
    header.before_mode = fact.before->mode;
    header.before_uid = fact.before->uid;
    header.before_gid = fact.before->gid;
  }
  if (fact.after) DescribeFile(header, *fact.after);
  const std::string& covered = fact.names[decision.name_index].path;
  const bool is_covered = fact.path.empty() || StableNameOf(fact.path) == covered;
  writer_.Set(EventString::kPath, is_covered ? covered : fact.path);
  if (!is_covered && fact.path != covered && IsAboutContent(fact.change)) {
    writer_.Set(EventString::kProtectedPath, covered);
  }
  writer_.Set(EventString::kNewPath, fact.new_path);
  Describe(header, source);
  sink_.Put(writer_.Finish());
  return decision;
}

void FactWriter::WriteAccess(Operation operation, const std::vector<CoveredBy>& names,
                             const std::string& path, const FileStatus& status,
                             const Source& source) {
  if (source.silent) return;
  const std::vector<CoveredName> views = Views(names);
  // Where a block rule decides too, the gate has judged and told this open already.
  if (GatedOperations(*ruleset_, views).Has(operation)) return;
  const Decision decision = Settle({views, Operations{operation}, Gate::kOpen, false}, source, {});
  if (decision.outcome == Outcome::kNotCovered) return;
  if (decision.outcome == Outcome::kQuiet) {
    counters_->CountQuiet(decision.rule_index, operation);
    return;
  }
  EventHeader& header = Begin(EventKind::kAccess, source);
  header.operation = operation;
  header.outcome = decision.outcome;
  header.mode = decision.mode;
  const EventActorState state = StateOf(source);
  header.reason = state == EventActorState::kGone      ? Reason::kProcessGone
                  : state == EventActorState::kChanged ? Reason::kProcessChanged
                                                       : decision.reason;
  header.rule_index = decision.rule_index;
  DescribeFile(header, status);
  const std::string& covered = names[decision.name_index].path;
  const bool is_covered = path.empty() || path == covered || StableNameOf(path) == covered;
  writer_.Set(EventString::kPath, is_covered ? covered : path);
  if (!is_covered) writer_.Set(EventString::kProtectedPath, covered);
  Describe(header, source);
  sink_.Put(writer_.Finish());
}

void FactWriter::WriteLost(Failure reason, uint64_t from_ns, uint64_t to_ns, uint64_t count,
                           const std::string& tree) {
  EventHeader& header = writer_.Begin(EventKind::kLost);
  header.workload = workload_;
  header.time_ns = from_ns;
  header.verdict_duration_ns = to_ns - from_ns;  // of a gap: how long it was
  header.ruleset_version = version_;
  header.detail = static_cast<uint32_t>(reason);
  header.count = count;
  writer_.Set(EventString::kPath, tree);
  writer_.Set(EventString::kText, FailureName(reason));
  sink_.Put(writer_.Finish());
}

void FactWriter::WriteAppReplaced(const std::string& path, const FileStatus& status, bool followed,
                                  const Source& source) {
  EventHeader& header = Begin(EventKind::kAppReplaced, source);
  header.flags = followed ? EventFlag::kListed : uint16_t{0};
  header.reason = followed ? Reason::kNone : Reason::kIdentityMismatch;
  DescribeFile(header, status);
  writer_.Set(EventString::kPath, path);
  Describe(header, source);
  sink_.Put(writer_.Finish());
}

EventHeader& FactWriter::Begin(EventKind kind, const Source& source) {
  EventHeader& header = writer_.Begin(kind);
  header.time_ns = source.time_ns;
  header.ruleset_version = version_;
  header.workload = workload_;
  return header;
}

void FactWriter::Describe(EventHeader& header, const Source& source) {
  header.actor_state = StateOf(source);
  if (source.actor == nullptr) return;
  const ProcessSnapshot& process = source.actor->process;
  header.actor_workload = process.workload;
  header.pid = process.pid;
  header.tid = process.tid;
  header.ppid = process.ppid;
  header.euid = process.euid;
  header.ruid = process.ruid;
  header.process_start_ns = process.start_realtime_ns;
  header.package_manager = SubjectOf(source).PackageManager();
  writer_.Set(EventString::kExe, process.exe_path);
  writer_.Set(EventString::kCgroup, process.cgroup);
  writer_.SetAncestors(process.ancestors);
}

void FactWriter::DescribeFile(EventHeader& header, const FileStatus& status) {
  header.dev = status.identity.dev;
  header.ino = status.identity.ino;
  header.nlink = status.nlink;
  header.size = status.size;
  header.mtime_ns = status.mtime_ns;
  header.file_mode = status.mode;
  header.file_uid = status.uid;
  header.file_gid = status.gid;
}

}  // namespace fileward
