// Turns what was seen into records: who did it, what the rules of one workload say of it, how the
// file was before and after. Owned by the coverage thread.
#ifndef FILEWARD_COVERAGE_FACT_WRITER_H_
#define FILEWARD_COVERAGE_FACT_WRITER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "native/base/failure.h"
#include "native/coverage/actor_subject.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/fact_sink.h"
#include "native/coverage/file_status.h"
#include "native/decision/app_identities.h"
#include "native/decision/evaluate.h"
#include "native/decision/object_table.h"
#include "native/decision/verdict_stats.h"
#include "native/event/event_record.h"
#include "native/process/actor.h"
#include "native/process/process_table.h"

namespace fileward {

// Who acted and when the event was read.
struct Source {
  std::shared_ptr<const Actor> actor;  // null: not known
  uint64_t time_ns = 0;                // CLOCK_REALTIME
  uint64_t read_ns = 0;                // CLOCK_MONOTONIC
  // The agent itself, a volume's writer at work, or nobody of whom the rules speak: no fact.
  bool silent = false;
  bool found_on_rescan = false;
  bool doubtful = false;  // see Changes::Handle
};

struct CoveredBy {
  std::string path;
  MatchRef rules;
};

struct Fact {
  Change change = Change::kNone;
  std::vector<CoveredBy> names;  // by which the object is covered (and was, for a rename)
  std::string path;              // by which it was reached; empty: the deciding name
  std::string new_path;
  std::optional<FileStatus> before;
  std::optional<FileStatus> after;
  std::optional<JudgedOpen> judged;
  uint16_t flags = 0;
  uint64_t count = 0;
};

class FactWriter {
 public:
  // `root`: where the workload's files are. `host_apps`: the host's, as they are at any time.
  FactWriter(WorkloadId workload, const WorkloadRoot& root, FactSink& sink,
             const ProcessTable& processes, const std::shared_ptr<const AppIdentities>& host_apps)
      : workload_(workload),
        root_(root),
        sink_(sink),
        processes_(processes),
        host_apps_(host_apps) {}

  // `counters`: made for all rules of that version.
  void SetRuleset(std::shared_ptr<const Ruleset> ruleset, uint64_t version,
                  std::shared_ptr<RuleCounters> counters);
  void SetApps(std::shared_ptr<const AppIdentities> apps) { apps_ = std::move(apps); }
  void SetUsers(std::shared_ptr<const WorkloadUsers> users) { users_ = std::move(users); }
  const Ruleset& ruleset() const { return *ruleset_; }

  // Do this workload's rules speak of what that actor does in a directory on this device?
  bool RulesSpeak(const Source& source, uint64_t directory_dev) const;

  // What the rules say of a change by this actor through no gate.
  Decision Judge(const std::vector<CoveredBy>& names, const Source& source);
  // 0, or 1 + index of the package manager that the actor is proven to be or to descend from.
  uint8_t PackageManagerOf(const Source& source);
  // Judges and writes one; nothing for the agent's own. The decision is returned either way.
  Decision Write(const Fact& fact, const Source& source);
  // A watched read or exec: quiet ones are counted only.
  void WriteAccess(Operation operation, const std::vector<CoveredBy>& names,
                   const std::string& path, const FileStatus& status, const Source& source);
  // `tree`: the directory below which it was; empty: not known.
  void WriteLost(Failure reason, uint64_t from_ns, uint64_t to_ns, uint64_t count,
                 const std::string& tree);
  // An app's file was replaced: followed, or listed no more.
  void WriteAppReplaced(const std::string& path, const FileStatus& status, bool followed,
                        const Source& source);

 private:
  ActorSubject SubjectOf(const Source& source, const FileIdentity& proven_exe = {}) const;
  Decision Settle(const Question& question, const Source& source, const FileIdentity& proven_exe);
  EventHeader& Begin(EventKind kind, const Source& source);
  void Describe(EventHeader& header, const Source& source);
  static void DescribeFile(EventHeader& header, const FileStatus& status);

  const WorkloadId workload_;
  const WorkloadRoot& root_;
  FactSink& sink_;
  const ProcessTable& processes_;
  const std::shared_ptr<const AppIdentities>& host_apps_;
  std::shared_ptr<const Ruleset> ruleset_;
  uint64_t version_ = 0;
  std::shared_ptr<const AppIdentities> apps_ = std::make_shared<const AppIdentities>();
  std::shared_ptr<const WorkloadUsers> users_;  // null: the host's
  std::shared_ptr<RuleCounters> counters_;
  RecordWriter writer_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_FACT_WRITER_H_
