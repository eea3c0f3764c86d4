// Turns what was seen into records in ring 1: who did it, what the rules say of it, how the file
// was before and after. Owned by the coverage thread, the ring's only producer.
#ifndef FILEWARD_COVERAGE_FACT_WRITER_H_
#define FILEWARD_COVERAGE_FACT_WRITER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "native/base/failure.h"
#include "native/coverage/directory_table.h"
#include "native/coverage/file_status.h"
#include "native/decision/app_identities.h"
#include "native/decision/evaluate.h"
#include "native/decision/object_table.h"
#include "native/decision/verdict_stats.h"
#include "native/event/event_record.h"
#include "native/event/event_ring.h"
#include "native/process/actor.h"
#include "native/process/process_table.h"

namespace fileward {

// Who acted and when the event was read.
struct Source {
  std::shared_ptr<const Actor> actor;  // null: not known
  uint64_t time_ns = 0;                // CLOCK_REALTIME
  uint64_t read_ns = 0;                // CLOCK_MONOTONIC
  bool silent = false;                 // the agent itself, or a volume's writer at work: no fact
  bool found_on_rescan = false;
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
  FactWriter(EventRing& ring, const ProcessTable& processes) : ring_(ring), processes_(processes) {}

  void SetRuleset(std::shared_ptr<const Ruleset> ruleset, uint64_t version);
  void SetApps(std::shared_ptr<const AppIdentities> apps) { apps_ = std::move(apps); }
  const Ruleset& ruleset() const { return *ruleset_; }
  const AppIdentities& apps() const { return *apps_; }
  const ProcessTable& processes() const { return processes_; }
  std::shared_ptr<const RuleCounters> counters() const { return counters_; }

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
  Decision Settle(const Question& question, const Source& source, const FileIdentity& proven_exe);
  void Describe(EventHeader& header, const Source& source);
  static void DescribeFile(EventHeader& header, const FileStatus& status);

  EventRing& ring_;
  const ProcessTable& processes_;
  std::shared_ptr<const Ruleset> ruleset_;
  uint64_t version_ = 0;
  std::shared_ptr<const AppIdentities> apps_ = std::make_shared<const AppIdentities>();
  std::shared_ptr<RuleCounters> counters_;
  RecordWriter writer_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_FACT_WRITER_H_
