// The process behind a notification event as the evaluator's Subject: what is proven of it, and
// nothing more. Lives for one look at one event, on the coverage thread.
#ifndef FILEWARD_COVERAGE_ACTOR_SUBJECT_H_
#define FILEWARD_COVERAGE_ACTOR_SUBJECT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "native/decision/app_identities.h"
#include "native/decision/evaluate.h"
#include "native/process/actor.h"
#include "native/process/process_table.h"
#include "native/process/workload_users.h"

namespace fileward {

class ActorSubject : public Subject {
 public:
  // Whose rules ask.
  struct Context {
    WorkloadId workload = kHostWorkload;
    const Ruleset& ruleset;
    const AppIdentities& apps;
    const AppIdentities& host_apps;
    const WorkloadUsers* users;  // null: the host's
    const ProcessTable& processes;
  };
  // `actor` null: nobody knows who it was. `proven_exe`: what the process ran when its open was
  // judged.
  ActorSubject(const Context& context, const Actor* actor, uint64_t as_of_ns,
               const FileIdentity& proven_exe = {});

  Answer IsExe(uint32_t exe) override;
  Answer IsScript(uint32_t exe) override;
  Answer HasAncestor(uint32_t exe) override;
  Answer IsPackageManager() override;
  Answer IsRuntime() override;
  bool IsOf(bool host) override;
  bool HasUser(uint32_t user_id) override;
  bool HasUnit(std::string_view unit) override;
  bool HasSha256(std::string_view sha256) override;

  // 0, or 1 + index of the package manager that the actor is or descends from, as far as is proven.
  uint8_t PackageManager();

 private:
  const Lineage& lineage();
  // Whether that file is what the entry's path names, in the workload or on the host.
  bool Names(uint32_t exe, const FileIdentity& identity) const;
  bool IsHostProcess() const;
  Answer AnyAncestor(const std::function<bool(const ExeRun& run)>& matches);
  // That the actor ran, as far as is proven.
  FileIdentity script() const;

  const Context context_;
  const Actor* const actor_;
  const uint64_t as_of_ns_;
  FileIdentity exe_;  // not known(): it can't be told which program acted
  std::optional<Lineage> lineage_;
  uint8_t package_manager_ = 0;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_ACTOR_SUBJECT_H_
