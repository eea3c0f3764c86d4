// A parked opener as the evaluator's Subject, before the rules of one workload. Reads /proc and the
// process table when asked, each thing once; nothing it does can block or open a file that could be
// covered. Lives for one look at one event, on the decision thread.
//
// Files are told by identity: a path of a rule means that file in the rule's own workload, one with
// `workload: host` the host's. Users and units are those of the opener's side: a container's own,
// or the host's for a host process that reaches in.
#ifndef FILEWARD_DECISION_OPENER_SUBJECT_H_
#define FILEWARD_DECISION_OPENER_SUBJECT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "native/decision/evaluate.h"
#include "native/decision/object_table.h"
#include "native/process/process_table.h"

namespace fileward {

class OpenerSubject : public Subject {
 public:
  struct Context {
    const WorkloadRules& rules;
    const WorkloadRules* host;  // null: it has none
    const ProcessTable& processes;
  };
  struct Opener {
    int32_t tid = 0;
    int32_t tgid = 0;
    // Not asked where the host's rules alone speak, which are the same for everybody.
    std::optional<WorkloadId> workload;
    uint64_t as_of_ns = 0;  // CLOCK_MONOTONIC at which the event was read
  };
  // `last_look`: what isn't settled by now is unknown.
  OpenerSubject(const Context& context, const Opener& opener, bool last_look)
      : context_(context), opener_(opener), last_look_(last_look) {}

  Answer IsExe(uint32_t exe) override;
  Answer IsScript(uint32_t exe) override;
  Answer HasAncestor(uint32_t exe) override;
  Answer IsPackageManager() override;
  Answer IsRuntime() override;
  bool IsOf(bool host) override;
  bool HasUser(uint32_t user_id) override;
  bool HasUnit(std::string_view unit) override;
  bool HasSha256(std::string_view sha256) override;

  // Of the executable that it was seen to start; not known() when the process is gone, or only the
  // word of a process stands for it whose word counts for nothing.
  const FileIdentity& exe();
  // 0, or 1 + index of the package manager that IsPackageManager found.
  uint8_t package_manager() const { return package_manager_; }

 private:
  Answer Unsettled() const { return last_look_ ? Answer::kUnknown : Answer::kUnsettled; }
  bool IsContainers() const { return context_.rules.workload != kHostWorkload; }
  bool IsOwnProcess() const { return opener_.workload == context_.rules.workload; }
  const WorkloadRules* RulesNaming(uint32_t exe) const;
  bool Names(uint32_t exe, const FileIdentity& identity) const;
  bool IsNamedBy(uint32_t exe, const std::string& path) const;
  const std::string& exe_path();
  const Lineage& lineage();
  Answer AnyAncestor(const std::function<bool(const ExeRun& run)>& matches);
  // That the opener runs, not known() when it is none that the ruleset names.
  FileIdentity script() const;

  const Context context_;
  const Opener opener_;
  const bool last_look_;
  uint8_t package_manager_ = 0;
  std::optional<FileIdentity> exe_;
  bool exe_settled_ = false;
  std::optional<std::string> exe_path_;
  std::optional<Lineage> lineage_;
  std::optional<uint32_t> user_id_;
  std::optional<std::string> unit_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OPENER_SUBJECT_H_
