#include "native/coverage/actor_subject.h"

#include <algorithm>

#include "native/base/clock.h"

namespace fileward {
namespace {

bool Contains(std::span<const uint32_t> exes, uint32_t exe) {
  return std::find(exes.begin(), exes.end(), exe) != exes.end();
}

}  // namespace

ActorSubject::ActorSubject(const Ruleset& ruleset, const AppIdentities& apps,
                           const ProcessTable& processes, const Actor* actor, uint64_t as_of_ns,
                           const FileIdentity& proven_exe)
    : ruleset_(ruleset),
      apps_(apps),
      processes_(processes),
      actor_(actor),
      as_of_ns_(as_of_ns),
      exe_(proven_exe) {
  if (!exe_.known() && actor != nullptr && actor->state == ActorState::kKnown)
    exe_ = actor->process.exe;
}

std::span<const uint32_t> ActorSubject::Exes() const {
  return exe_.known() ? apps_.ExesOf(exe_) : std::span<const uint32_t>{};
}

Subject::Answer ActorSubject::IsExe(uint32_t exe) {
  if (!exe_.known()) return Answer::kUnknown;
  if (Contains(Exes(), exe)) return Answer::kYes;
  const bool same_text =
      actor_ != nullptr && Contains(ruleset_.MatchExes(actor_->process.exe_path), exe);
  return same_text ? Answer::kMismatch : Answer::kNo;
}

FileIdentity ActorSubject::script() const {
  const bool known = actor_ != nullptr && exe_.known() && actor_->process.exe == exe_;
  return known ? actor_->process.script : FileIdentity{};
}

Subject::Answer ActorSubject::IsScript(uint32_t exe) {
  if (!exe_.known()) return Answer::kUnknown;
  return Contains(apps_.ExesOf(script()), exe) ? Answer::kYes : Answer::kNo;
}

const Lineage& ActorSubject::lineage() {
  if (!lineage_) {
    lineage_ = actor_ == nullptr ? Lineage{} : processes_.LineageOf(actor_->process.pid, as_of_ns_);
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
  return AnyAncestor([&](const ExeRun& run) { return Contains(apps_.ExesOf(run.exe), exe); });
}

Subject::Answer ActorSubject::IsPackageManager() {
  const auto manager_of = [this](const FileIdentity& exe, const FileIdentity& script) {
    const uint8_t manager = ruleset_.PackageManagerOf(apps_.ExesOf(exe));
    return manager != 0 ? manager : ruleset_.PackageManagerOfScript(apps_.ExesOf(script));
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

bool ActorSubject::HasUser(uint32_t user_id) {
  return actor_ != nullptr && actor_->process.uid_known && actor_->process.euid == user_id;
}

bool ActorSubject::HasUnit(std::string_view unit) {
  return actor_ != nullptr && actor_->process.unit == unit;
}

bool ActorSubject::HasSha256(std::string_view sha256) {
  return exe_.known() && apps_.Sha256Of(exe_) == sha256;
}

}  // namespace fileward
