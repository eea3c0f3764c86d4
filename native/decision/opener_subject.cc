#include "native/decision/opener_subject.h"

#include <algorithm>

#include "native/kernel/process_files.h"

namespace fileward {
namespace {

bool Contains(std::span<const uint32_t> exes, uint32_t exe) {
  return std::find(exes.begin(), exes.end(), exe) != exes.end();
}

}  // namespace

const FileIdentity& OpenerSubject::exe() {
  if (!exe_) exe_ = ExeIdentity(tgid_).value_or(FileIdentity{});
  return *exe_;
}

const std::vector<uint32_t>& OpenerSubject::ExesByText() {
  if (!exes_by_text_) exes_by_text_ = context_.ruleset.MatchExes(ExePath(tgid_));
  return *exes_by_text_;
}

FileIdentity OpenerSubject::script() const {
  const auto view = context_.processes.Find(tgid_);
  return view && view->run && view->run_verified ? view->run->script : FileIdentity{};
}

const Lineage& OpenerSubject::lineage() {
  if (!lineage_) lineage_ = context_.processes.LineageOf(tid_, as_of_ns_);
  return *lineage_;
}

Subject::Answer OpenerSubject::IsExe(uint32_t exe_index) {
  if (exe().known() && Contains(context_.apps.ExesOf(exe()), exe_index)) return Answer::kYes;
  return Contains(ExesByText(), exe_index) ? Answer::kMismatch : Answer::kNo;
}

Subject::Answer OpenerSubject::IsScript(uint32_t exe_index) {
  if (!context_.processes.CurrentAsOf(as_of_ns_)) return Unsettled();
  return Contains(context_.apps.ExesOf(script()), exe_index) ? Answer::kYes : Answer::kNo;
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
  return AnyAncestor(
      [&](const ExeRun& run) { return Contains(context_.apps.ExesOf(run.exe), exe_index); });
}

Subject::Answer OpenerSubject::IsPackageManager() {
  const auto manager_of = [this](const FileIdentity& exe, const FileIdentity& script) {
    const uint8_t manager = context_.ruleset.PackageManagerOf(context_.apps.ExesOf(exe));
    return manager != 0 ? manager
                        : context_.ruleset.PackageManagerOfScript(context_.apps.ExesOf(script));
  };
  package_manager_ = manager_of(exe(), {});
  if (package_manager_ != 0) return Answer::kYes;
  if (!context_.processes.CurrentAsOf(as_of_ns_)) return Unsettled();
  package_manager_ = manager_of({}, script());
  if (package_manager_ != 0) return Answer::kYes;
  const Answer answer = AnyAncestor([&](const ExeRun& run) {
    const uint8_t manager = manager_of(run.exe, run.script);
    if (package_manager_ == 0) package_manager_ = manager;
    return manager != 0;
  });
  if (answer == Answer::kYes) return answer;
  package_manager_ = 0;
  const bool text_says_so = context_.ruleset.PackageManagerOf(ExesByText()) != 0;
  return answer != Answer::kUnsettled && text_says_so ? Answer::kMismatch : answer;
}

bool OpenerSubject::HasUser(uint32_t user_id) {
  if (!user_id_) {
    const auto status = StatusOf(tid_);
    if (!status) return false;
    user_id_ = status->euid;
  }
  return *user_id_ == user_id;
}

bool OpenerSubject::HasUnit(std::string_view unit) {
  if (!unit_) unit_ = UnitOfCgroup(CgroupOf(tgid_));
  return *unit_ == unit;
}

bool OpenerSubject::HasSha256(std::string_view sha256) {
  return exe().known() && context_.apps.Sha256Of(exe()) == sha256;
}

}  // namespace fileward
