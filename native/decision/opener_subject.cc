#include "native/decision/opener_subject.h"

#include <algorithm>

#include "native/kernel/process_files.h"
#include "native/process/workload_users.h"

namespace fileward {
namespace {

bool Contains(std::span<const uint32_t> exes, uint32_t exe) {
  return std::find(exes.begin(), exes.end(), exe) != exes.end();
}

}  // namespace

const FileIdentity& OpenerSubject::exe() {
  if (!exe_) {
    const FileIdentity named = ExeIdentity(opener_.tgid).value_or(FileIdentity{});
    const auto started = context_.processes.StartedBy(opener_.tgid, named, opener_.as_of_ns);
    exe_settled_ = started || last_look_;
    exe_ = named;
    if (started && started->known()) {
      exe_ = started;
    } else if (exe_settled_ && context_.processes.HasFeed() && !SharesUserNamespace(opener_.tid)) {
      exe_ = FileIdentity{};
    }
  }
  return *exe_;
}

const std::string& OpenerSubject::exe_path() {
  if (!exe_path_) {
    exe_path_ = ExePath(opener_.tgid);
    const std::string& prefix = context_.rules.root.prefix;
    if (IsOwnProcess() && exe_path_->starts_with(prefix)) exe_path_->erase(0, prefix.size());
  }
  return *exe_path_;
}

FileIdentity OpenerSubject::script() const {
  const auto view = context_.processes.Find(opener_.tgid);
  return view && view->run && view->run_verified ? view->run->script : FileIdentity{};
}

const Lineage& OpenerSubject::lineage() {
  if (!lineage_) lineage_ = context_.processes.LineageOf(opener_.tid, opener_.as_of_ns);
  return *lineage_;
}

// Whose file `exe` of the ruleset means.
const WorkloadRules* OpenerSubject::RulesNaming(uint32_t exe) const {
  return context_.rules.ruleset->exes()[exe].host ? context_.host : &context_.rules;
}

bool OpenerSubject::Names(uint32_t exe, const FileIdentity& identity) const {
  const WorkloadRules* const rules = RulesNaming(exe);
  // A container that has the host's program in a mount of its own doesn't become the host by it.
  if (rules != &context_.rules && opener_.workload != kHostWorkload) return false;
  return rules != nullptr && identity.known() && Contains(rules->apps->ExesOf(identity), exe);
}

// A text means a file only in the opener's own root.
bool OpenerSubject::IsNamedBy(uint32_t exe, const std::string& path) const {
  const WorkloadRules* const rules = RulesNaming(exe);
  if (rules == nullptr || (IsContainers() && opener_.workload != rules->workload)) return false;
  return Contains(rules->ruleset->MatchExes(path), exe);
}

Subject::Answer OpenerSubject::IsExe(uint32_t exe_index) {
  if (Names(exe_index, exe())) return exe_settled_ ? Answer::kYes : Unsettled();
  return IsNamedBy(exe_index, exe_path()) ? Answer::kMismatch : Answer::kNo;
}

Subject::Answer OpenerSubject::IsScript(uint32_t exe_index) {
  if (!context_.processes.CurrentAsOf(opener_.as_of_ns)) return Unsettled();
  return Names(exe_index, script()) ? Answer::kYes : Answer::kNo;
}

Subject::Answer OpenerSubject::AnyAncestor(const std::function<bool(const ExeRun& run)>& matches) {
  bool doubtful = !lineage().complete;
  for (const auto& run : lineage().ancestors) {
    const bool certain = run->certain.load(std::memory_order_relaxed) && run->exe.known();
    if (matches(*run)) {
      if (certain) return lineage().settled ? Answer::kYes : Unsettled();
      doubtful = true;
    }
    doubtful = doubtful || !certain;
  }
  if (!lineage().settled) return Unsettled();
  return doubtful ? Answer::kUnknown : Answer::kNo;
}

Subject::Answer OpenerSubject::HasAncestor(uint32_t exe_index) {
  return AnyAncestor([&](const ExeRun& run) { return Names(exe_index, run.exe); });
}

Subject::Answer OpenerSubject::IsPackageManager() {
  const Ruleset& ruleset = *context_.rules.ruleset;
  const AppIdentities& apps = *context_.rules.apps;
  const auto manager_of = [&](const FileIdentity& exe, const FileIdentity& script) {
    const uint8_t manager = ruleset.PackageManagerOf(apps.ExesOf(exe));
    return manager != 0 ? manager : ruleset.PackageManagerOfScript(apps.ExesOf(script));
  };
  package_manager_ = manager_of(exe(), {});
  if (package_manager_ != 0 && exe_settled_) return Answer::kYes;
  package_manager_ = 0;
  if (!context_.processes.CurrentAsOf(opener_.as_of_ns)) return Unsettled();
  package_manager_ = manager_of({}, script());
  if (package_manager_ != 0) return Answer::kYes;
  const Answer answer = AnyAncestor([&](const ExeRun& run) {
    const uint8_t manager = manager_of(run.exe, run.script);
    if (package_manager_ == 0) package_manager_ = manager;
    return manager != 0;
  });
  if (answer == Answer::kYes) return answer;
  package_manager_ = 0;
  const bool same_root = !IsContainers() || IsOwnProcess();
  const bool text_says_so =
      same_root && ruleset.PackageManagerOf(ruleset.MatchExes(exe_path())) != 0;
  return answer != Answer::kUnsettled && text_says_so ? Answer::kMismatch : answer;
}

// On the host nobody is: the word means who starts a container's programs.
Subject::Answer OpenerSubject::IsRuntime() {
  if (!IsContainers()) return Answer::kNo;
  if (opener_.workload == kHostWorkload) {
    const bool known = context_.host != nullptr &&
                       context_.host->ruleset->IsRuntime(context_.host->apps->ExesOf(exe()));
    if (known && !exe_settled_) return Unsettled();
    return known ? Answer::kYes : Answer::kNo;
  }
  if (!IsOwnProcess()) return Answer::kNo;
  using FromOutside = ProcessTable::FromOutside;
  switch (
      context_.processes.CameFromOutside(opener_.tid, context_.rules.workload, opener_.as_of_ns)) {
    case FromOutside::kNo:
      return Answer::kNo;
    case FromOutside::kYes:
      return Answer::kYes;
    case FromOutside::kUnknown:
      return Answer::kUnknown;
    case FromOutside::kUnsettled:
      return Unsettled();
  }
  return Answer::kUnknown;
}

bool OpenerSubject::IsOf(bool host) {
  const WorkloadId whose =
      opener_.workload ? *opener_.workload : context_.processes.WorkloadOf(opener_.tid);
  return whose == (host ? kHostWorkload : context_.rules.workload);
}

bool OpenerSubject::HasUser(uint32_t user_id) {
  if (!user_id_) {
    const auto status = StatusOf(opener_.tid);
    if (!status) return false;
    user_id_ = status->euid;
  }
  const WorkloadUsers* const users = context_.rules.users.get();
  if (users == nullptr || opener_.workload == kHostWorkload) return *user_id_ == user_id;
  const std::string* const name = context_.rules.ruleset->UserName(user_id);
  const std::optional<uint32_t> wanted = name == nullptr ? user_id : users->UidOf(*name);
  return wanted && users->Inside(*user_id_) == *wanted;
}

bool OpenerSubject::HasUnit(std::string_view unit) {
  if (!unit_) {
    const std::string cgroup = CgroupOf(opener_.tgid);
    // What a container makes below its own cgroup is a unit there and nowhere else.
    const bool counts = !IsContainers() || opener_.workload == kHostWorkload || IsOwnProcess();
    const WorkloadId workload = IsOwnProcess() ? context_.rules.workload : kHostWorkload;
    unit_ = counts ? UnitOfCgroup(context_.processes.workloads()->Within(workload, cgroup)) : "";
  }
  return *unit_ == unit;
}

bool OpenerSubject::HasSha256(std::string_view sha256) {
  const auto is = [&](const WorkloadRules& rules) { return rules.apps->Sha256Of(exe()) == sha256; };
  // As in Names.
  const bool asks_host = context_.host != nullptr && opener_.workload == kHostWorkload;
  return exe().known() && (is(context_.rules) || (asks_host && is(*context_.host)));
}

}  // namespace fileward
