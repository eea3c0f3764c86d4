// The one evaluator: at run time for opens (decision thread) and changes (coverage), and for
// explain, test and replay. Pure: it asks `Subject` and reads the ruleset, nothing else.
// Thread-safe.
#ifndef FILEWARD_DECISION_EVALUATE_H_
#define FILEWARD_DECISION_EVALUATE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "native/decision/operations.h"
#include "native/decision/ruleset.h"
#include "native/event/event_record.h"

namespace fileward {

// Who opens or changes, asked lazily and cheapest first; an implementation remembers what it found.
class Subject {
 public:
  enum class Answer : uint8_t {
    kNo,
    kYes,
    kMismatch,   // the path text says yes, the file's identity says no
    kUnknown,    // cannot be known (a chain that was not seen)
    kUnsettled,  // not known yet: look again
  };
  virtual ~Subject() = default;
  virtual Answer IsExe(uint32_t exe) = 0;
  virtual Answer IsScript(uint32_t exe) = 0;
  virtual Answer HasAncestor(uint32_t exe) = 0;
  // Is a package manager or has one as an ancestor.
  virtual Answer IsPackageManager() = 0;
  // Is the container runtime at work on the workload (rules say `runtime: false` where that is not
  // to count).
  virtual Answer IsRuntime() = 0;
  // Is a process of the host's, or else of the workload whose rules these are.
  virtual bool IsOf(bool host) = 0;
  virtual bool HasUser(uint32_t user_id) = 0;
  virtual bool HasUnit(std::string_view unit) = 0;
  virtual bool HasSha256(std::string_view sha256) = 0;
};

enum class Gate : uint8_t {
  kOpen,     // an open, before it happens; `watch` rules say nothing about writes here: the change
             // itself is told
  kAccess,   // a read or write of what is open, before it happens: only what strict rules decide
  kUngated,  // a change that no gate could have stopped
  kJudgedChange,  // a change through a descriptor whose open was judged
};

// A name by which the object is covered, and the rules that cover it.
struct CoveredName {
  std::string_view path;
  std::span<const uint32_t> rules;
};

struct Question {
  std::span<const CoveredName> names;
  Operations wanted;
  Gate gate = Gate::kOpen;
  // The wanted operations are a guess on the strict side: told as `write`, reason intent_unproven.
  bool unproven = false;
};

// A discover rule that does not list the subject for an operation.
struct Learning {
  uint32_t rule_index = kNoRule;
  Operation operation = Operation::kNone;

  bool operator==(const Learning&) const = default;
};

struct Decision {
  Outcome outcome = Outcome::kNotCovered;
  Verdict verdict = Verdict::kAllow;
  Mode mode = Mode::kNone;
  Reason reason = Reason::kNone;
  Operation operation = Operation::kNone;
  uint32_t rule_index = kNoRule;
  uint32_t name_index = 0;  // in Question::names
  int32_t app_index = -1;   // entry of the rule that lists the subject; -1 also for the runtime
  bool listed = false;
  bool changes_quiet = false;
  // An answer that could change the outcome isn't settled: the outcome here takes it as unknown.
  bool look_again = false;
  // What protect would deny of this open: for each rule and operation, whichever is told. Empty
  // when it was denied.
  std::vector<Learning> learned;
};

// The strictest judgement over all names and their groups; ties go to configuration order, then to
// write.
Decision Evaluate(const Ruleset& ruleset, const Question& question, Subject& subject);

// What a watchdog answers for an open of these names: deny only where a protecting rule that could
// deny says so.
Verdict DeadlineVerdict(const Ruleset& ruleset, std::span<const CoveredName> names);

// Operations that a deciding `block` rule holds: what these names are judged for at this gate
// (kOpen or kAccess).
Operations GatedOperations(const Ruleset& ruleset, std::span<const CoveredName> names,
                           Gate gate = Gate::kOpen);

}  // namespace fileward

#endif  // FILEWARD_DECISION_EVALUATE_H_
