#include "native/decision/open_publisher.h"

#include <string>

#include "native/base/failure.h"
#include "native/base/result.h"
#include "native/base/volume_name.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

// Some seconds of writes while coverage walks a large tree.
constexpr size_t kJudgedCapacity = 16384;

void SetFile(EventHeader& header, const OpenedFile& file) {
  header.nlink = file.nlink;
  header.dev = file.identity.dev;
  header.ino = file.identity.ino;
  header.size = file.size;
  header.mtime_ns = file.mtime_ns;
  header.file_mode = file.mode;
  header.file_uid = file.uid;
  header.file_gid = file.gid;
}

void SetDecision(EventHeader& header, const PendingOpen& open) {
  const Decision& decision = open.decision;
  if (decision.listed) header.flags |= EventFlag::kListed;
  if (open.creat_fresh) header.flags |= EventFlag::kCreatFresh;
  if (decision.changes_quiet) header.flags |= EventFlag::kChangesQuiet;
  header.operation = decision.operation;
  header.outcome = decision.outcome;
  header.verdict = decision.verdict;
  header.mode = decision.mode;
  header.reason = decision.reason;
  header.rule_index = decision.rule_index;
  header.workload = open.workload;
  header.package_manager = open.package_manager;
}

}  // namespace

OpenPublisher::OpenPublisher(EventRing& ring, bool collect_args)
    : ring_(ring), collect_args_(collect_args), judged_opens_(kJudgedCapacity) {}

void OpenPublisher::TellCoverage(const PendingOpen& open) {
  JudgedOpen judged;
  judged.workload = open.workload;
  judged.identity = open.file.identity;
  judged.birth_ns = open.file.birth_ns;
  judged.tgid = open.tgid;
  judged.tid = open.event.tid;
  judged.exe = open.exe;
  judged.rule_index = open.decision.rule_index;
  judged.ruleset_version = open.ruleset_version;
  judged.time_ns = open.read_real_ns;
  judged.outcome = open.decision.outcome;
  judged.mode = open.decision.mode;
  judged.listed = open.decision.listed;
  judged.creat_fresh = open.creat_fresh;
  if (!judged_opens_.TryPush(judged)) CountFailure(Failure::kJudgedQueueFull);
}

void OpenPublisher::Publish(const PendingOpen& open, uint64_t duration_ns) {
  (open.Allows() ? stats_.allowed : stats_.denied).Record(duration_ns);
  if (open.state != PendingOpen::State::kJudged) return;
  if (!open.IsReported()) {
    // The open was counted.
    if (open.IsAccess()) return;
    if (own_counters_ && own_counters_->ruleset_version() == open.ruleset_version) {
      own_counters_->CountQuiet(open.decision.rule_index, open.decision.operation);
    }
    return;
  }
  EventHeader& header = writer_.Begin(EventKind::kOpen);
  header.time_ns = open.read_real_ns;
  header.ruleset_version = open.ruleset_version;
  header.verdict_duration_ns = duration_ns;
  header.count = 1;
  SetDecision(header, open);
  SetFile(header, open.file);
  if (open.process) SetProcess(*open.process);
  const bool is_stable = StableNameOf(open.path) == open.covered_path;
  writer_.Set(EventString::kPath, is_stable ? open.covered_path : open.path);
  if (!is_stable && open.path != open.covered_path) {
    writer_.Set(EventString::kProtectedPath, open.covered_path);
  }
  if (collect_args_) SetArgs(open.tgid);
  ring_.TryPush(writer_.Finish());
  if (open.Allows()) PublishLearned(open);
}

// One record more for each rule and operation that learns and is not the one told.
void OpenPublisher::PublishLearned(const PendingOpen& open) {
  const Learning told{open.decision.rule_index, open.decision.operation};
  for (const auto& [workload, learning] : open.learned) {
    if (open.decision.outcome == Outcome::kLearned && learning == told) continue;
    EventHeader& header = writer_.header();
    // Not another open: nothing that is said of one is to be counted twice.
    header.kind = EventKind::kAccess;
    header.flags = 0;
    header.operation = learning.operation;
    header.outcome = Outcome::kLearned;
    header.mode = Mode::kDiscover;
    header.reason = Reason::kAppNotListed;
    header.rule_index = learning.rule_index;
    header.workload = workload;
    header.verdict_duration_ns = 0;
    ring_.TryPush(writer_.Finish());
  }
}

void OpenPublisher::SetProcess(const ProcessSnapshot& process) {
  EventHeader& header = writer_.header();
  header.actor_state = EventActorState::kKnown;
  header.actor_workload = process.workload;
  header.pid = process.pid;
  header.tid = process.tid;
  header.ppid = process.ppid;
  header.euid = process.euid;
  header.ruid = process.ruid;
  header.process_start_ns = process.start_realtime_ns;
  writer_.Set(EventString::kExe, process.exe_path);
  writer_.Set(EventString::kCgroup, process.cgroup);
  writer_.SetAncestors(process.ancestors);
}

// The kernel reads arguments from anonymous memory only (since 4.17), so a process can't make this
// wait for a file system of its own; what is left is a privileged userfaultfd, and the watchdog
// stands in then.
void OpenPublisher::SetArgs(int32_t pid) {
  std::string joined;
  for (const std::string& arg : ArgumentsOf(pid, kMaxArgsBytes)) {
    if (!joined.empty()) joined.push_back('\0');
    joined += arg;
  }
  writer_.Set(EventString::kArgs, joined);
}

void OpenPublisher::PublishOpenFailed(uint64_t time_ns, int error_number) {
  EventHeader& header = writer_.Begin(EventKind::kLost);
  header.time_ns = time_ns;
  header.detail = static_cast<uint32_t>(Failure::kEventOpenFailed);
  header.count = 1;
  writer_.Set(EventString::kText, Error{error_number, "open", ""}.Message());
  ring_.TryPush(writer_.Finish());
}

}  // namespace fileward
