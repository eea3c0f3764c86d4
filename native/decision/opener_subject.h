// A parked opener as the evaluator's Subject. Reads /proc and the process table when asked, each
// thing once; nothing it does can block or open a file that could be covered. Lives for one look at
// one event, on the decision thread.
#ifndef FILEWARD_DECISION_OPENER_SUBJECT_H_
#define FILEWARD_DECISION_OPENER_SUBJECT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "native/decision/app_identities.h"
#include "native/decision/evaluate.h"
#include "native/process/process_table.h"

namespace fileward {

class OpenerSubject : public Subject {
 public:
  struct Context {
    const Ruleset& ruleset;
    const AppIdentities& apps;
    const ProcessTable& processes;
  };
  // `as_of_ns`: CLOCK_MONOTONIC at which the event was read. `last_look`: what isn't settled by now
  // is unknown.
  OpenerSubject(const Context& context, int32_t tid, int32_t tgid, uint64_t as_of_ns,
                bool last_look)
      : context_(context), tid_(tid), tgid_(tgid), as_of_ns_(as_of_ns), last_look_(last_look) {}

  Answer IsExe(uint32_t exe) override;
  Answer IsScript(uint32_t exe) override;
  Answer HasAncestor(uint32_t exe) override;
  Answer IsPackageManager() override;
  bool HasUser(uint32_t user_id) override;
  bool HasUnit(std::string_view unit) override;
  bool HasSha256(std::string_view sha256) override;

  // Of the running executable; not known() when the process is gone.
  const FileIdentity& exe();
  // 0, or 1 + index of the package manager that IsPackageManager found.
  uint8_t package_manager() const { return package_manager_; }

 private:
  Answer Unsettled() const { return last_look_ ? Answer::kUnknown : Answer::kUnsettled; }
  const std::vector<uint32_t>& ExesByText();
  const Lineage& lineage();
  Answer AnyAncestor(const std::function<bool(const ExeRun& run)>& matches);
  // That the opener runs, not known() when it is none that the ruleset names.
  FileIdentity script() const;

  const Context& context_;
  const int32_t tid_;
  const int32_t tgid_;
  const uint64_t as_of_ns_;
  const bool last_look_;
  uint8_t package_manager_ = 0;
  std::optional<FileIdentity> exe_;
  std::optional<std::vector<uint32_t>> exes_by_text_;
  std::optional<Lineage> lineage_;
  std::optional<uint32_t> user_id_;
  std::optional<std::string> unit_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OPENER_SUBJECT_H_
