#include "native/coverage/actor_subject.h"

#include <algorithm>

#include "native/base/clock.h"

namespace fileward {
namespace {

bool Contains(std::span<const uint32_t> exes, uint32_t exe) {
  return std::find(exes.begin(), exes.end(), exe) != exes.end();
}

}  // namespace

ActorSubject::ActorSubject(const Context& context, const Actor* actor, uint64_t as_of_ns,
                           const FileIdentity& proven_exe)
    : context_(context), actor_(actor), as_of_ns_(as_of_ns), exe_(proven_exe) {
  if (!exe_.known() && actor != nullptr && actor->state == ActorState::kKnown)
    exe_ = actor->process.exe;
}

bool ActorSubject::IsHostProcess() const {
  return actor_ != nullptr && actor_->process.workload == kHostWorkload;
}

bool ActorSubject::Names(uint32_t exe, const FileIdentity& identity) const {
  if (context_.workload == kHostWorkload || !context_.ruleset.exes()[exe].host)
    return Contains(context_.apps.ExesOf(identity), exe);
  // A container that has the host's program in a mount of its own doesn't become the host by it.
  return IsHostProcess() && Contains(context_.host_apps.ExesOf(identity), exe);
}

Subject::Answer ActorSubject::IsExe(uint32_t exe) {
  if (!exe_.known()) return Answer::kUnknown;
  if (Names(exe, exe_)) return Answer::kYes;
  const bool same_text =
      actor_ != nullptr && Contains(context_.ruleset.MatchExes(actor_->process.exe_path), exe);
  return same_text ? Answer::kMismatch : Answer::kNo;
}

FileIdentity ActorSubject::script() const {
  const bool known = actor_ != nullptr && exe_.known() && actor_->process.exe == exe_;
  return known ? actor_->process.script : FileIdentity{};
}

Subject::Answer ActorSubject::IsScript(uint32_t exe) {
  if (!exe_.known()) return Answer::kUnknown;
  return Names(exe, script()) ? Answer::kYes : Answer::kNo;
}

const Lineage& ActorSubject::lineage() {
  if (!lineage_) {
    lineage_ = actor_ == nullptr ? Lineage{}
                                 : context_.processes.LineageOf(actor_->process.pid, as_of_ns_);
  }
  return *lineage_;
}

Subject::Answer ActorSubject::AnyAncestor(const std::function<bool(const ExeRun& run)>& matches) {
  if (actor_ == nullptr) return Answer::kUnknown;
  const uint64_t now_ns = MonotonicNs();
  bool doubtful = !lineage().complete;
  for (const auto& run : lineage().ancestors) {
    const bool certain = run->certain.load(std::memory_order_relaxed) && run->exe.known();
    if (certain && matches(*run)) {
      // Whether the others are settled doesn't matter: this one is what counts.
      const bool settled = lineage().settled || now_ns > run->read_ns + ProcessTable::kSettleNs;
      return settled ? Answer::kYes : Answer::kUnsettled;
    }
    doubtful = doubtful || !certain;
  }
  if (!lineage().settled) return Answer::kUnsettled;
  return doubtful ? Answer::kUnknown : Answer::kNo;
}

Subject::Answer ActorSubject::HasAncestor(uint32_t exe) {
  return AnyAncestor([&](const ExeRun& run) { return Names(exe, run.exe); });
}

Subject::Answer ActorSubject::IsPackageManager() {
  const auto manager_of = [this](const FileIdentity& exe, const FileIdentity& script) {
    const uint8_t manager = context_.ruleset.PackageManagerOf(context_.apps.ExesOf(exe));
    return manager != 0 ? manager
                        : context_.ruleset.PackageManagerOfScript(context_.apps.ExesOf(script));
  };
  package_manager_ = exe_.known() ? manager_of(exe_, script()) : uint8_t{0};
  if (package_manager_ != 0) return Answer::kYes;
  const Answer answer = AnyAncestor([&](const ExeRun& run) {
    package_manager_ = manager_of(run.exe, run.script);
    return package_manager_ != 0;
  });
  if (answer != Answer::kYes) package_manager_ = 0;
  return answer;
}

uint8_t ActorSubject::PackageManager() {
  return IsPackageManager() == Answer::kYes ? package_manager_ : 0;
}

Subject::Answer ActorSubject::IsRuntime() {
  if (context_.workload == kHostWorkload) return Answer::kNo;
  if (actor_ == nullptr) return Answer::kUnknown;
  if (IsHostProcess()) {
    if (!exe_.known()) return Answer::kUnknown;
    return context_.ruleset.IsRuntime(context_.host_apps.ExesOf(exe_)) ? Answer::kYes : Answer::kNo;
  }
  if (actor_->process.workload != context_.workload) return Answer::kNo;
  switch (context_.processes.CameFromOutside(actor_->process.pid, context_.workload, as_of_ns_)) {
    case ProcessTable::FromOutside::kNo:
      return Answer::kNo;
    case ProcessTable::FromOutside::kYes:
      return Answer::kYes;
    case ProcessTable::FromOutside::kUnknown:
      return Answer::kUnknown;
    case ProcessTable::FromOutside::kUnsettled:
      return Answer::kUnsettled;
  }
  return Answer::kUnknown;
}

bool ActorSubject::IsOf(bool host) {
  if (host) return IsHostProcess();
  return actor_ != nullptr && actor_->process.workload == context_.workload;
}

bool ActorSubject::HasUser(uint32_t user_id) {
  if (actor_ == nullptr || !actor_->process.uid_known) return false;
  const uint32_t euid = actor_->process.euid;
  if (context_.users == nullptr || IsHostProcess()) return euid == user_id;
  const std::string* name = context_.ruleset.UserName(user_id);
  const std::optional<uint32_t> wanted =
      name == nullptr ? std::optional(user_id) : context_.users->UidOf(*name);
  return wanted && context_.users->Inside(euid) == *wanted;
}

bool ActorSubject::HasUnit(std::string_view unit) {
  if (actor_ == nullptr) return false;
  // What a container makes below its own cgroup is a unit there and nowhere else.
  const bool own = actor_->process.workload == context_.workload;
  if (context_.workload == kHostWorkload) return UnitOfCgroup(actor_->process.cgroup) == unit;
  return (own || IsHostProcess()) && actor_->process.unit == unit;
}

bool ActorSubject::HasSha256(std::string_view sha256) {
  if (!exe_.known()) return false;
  return context_.apps.Sha256Of(exe_) == sha256 ||
         (IsHostProcess() && context_.host_apps.Sha256Of(exe_) == sha256);
}

}  // namespace fileward
