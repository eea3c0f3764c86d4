#include "native/decision/evaluate.h"

#include <algorithm>
#include <utility>

namespace fileward {
namespace {

using Answer = Subject::Answer;

// The strictest doubt wins: an entry whose exe is a mismatch is that, whatever else is unknown
// about it.
Answer Worse(Answer left, Answer right) {
  static constexpr auto kRank = [](Answer answer) {
    switch (answer) {
      case Answer::kNo:
        return 4;
      case Answer::kMismatch:
        return 3;
      case Answer::kUnsettled:
        return 2;
      case Answer::kUnknown:
        return 1;
      case Answer::kYes:
        return 0;
    }
    return 4;
  };
  return kRank(left) >= kRank(right) ? left : right;
}

// Cheapest first; stops at the first plain no.
Answer Matches(const AppEntry& app, Subject& subject) {
  Answer answer = Answer::kYes;
  // An exe is a file of one workload; a user or a unit could be anybody's.
  if (!app.exe && !subject.IsOf(app.host)) return Answer::kNo;
  if (app.exe) {
    Answer exe = subject.IsExe(*app.exe);
    if (app.children && exe != Answer::kYes) {
      const Answer ancestor = subject.HasAncestor(*app.exe);
      if (ancestor == Answer::kYes || exe == Answer::kNo) exe = ancestor;
    }
    answer = exe;
  }
  if (answer == Answer::kNo) return answer;
  if (!app.sha256.empty() && !subject.HasSha256(app.sha256)) return Answer::kNo;
  if (app.user_id && !subject.HasUser(*app.user_id)) return Answer::kNo;
  if (!app.unit.empty() && !subject.HasUnit(app.unit)) return Answer::kNo;
  if (app.script) answer = Worse(answer, subject.IsScript(*app.script));
  if (answer == Answer::kNo) return answer;
  if (app.package_manager) answer = Worse(answer, subject.IsPackageManager());
  if (answer == Answer::kNo) return answer;
  if (app.ancestor) answer = Worse(answer, subject.HasAncestor(*app.ancestor));
  return answer;
}

struct Listing {
  bool listed = false;
  int32_t app_index = -1;  // -1: by no entry
  Reason reason = Reason::kNone;
  bool look_again = false;
};

// The runtime starts programs: it reads and executes. Not known to be it is not being it.
bool IsRuntimeFor(const Rule& rule, Operation operation, Subject& subject, Listing& listing) {
  if (!rule.runtime || operation == Operation::kWrite) return false;
  const Answer answer = subject.IsRuntime();
  listing.look_again = listing.look_again || answer == Answer::kUnsettled;
  return answer == Answer::kYes;
}

Listing FindListing(const Rule& rule, Operation operation, Subject& subject) {
  bool mismatch = false;
  bool unknown = false;
  Listing listing;
  for (size_t i = 0; i < rule.apps.size(); ++i) {
    if (!rule.apps[i].operations.Has(operation)) continue;
    const Answer answer = Matches(rule.apps[i], subject);
    if (answer == Answer::kYes) return {true, static_cast<int32_t>(i), Reason::kNone, false};
    mismatch = mismatch || answer == Answer::kMismatch;
    unknown = unknown || answer == Answer::kUnknown || answer == Answer::kUnsettled;
    listing.look_again = listing.look_again || answer == Answer::kUnsettled;
  }
  if (IsRuntimeFor(rule, operation, subject, listing)) return {true, -1, Reason::kNone, false};
  listing.reason = mismatch  ? Reason::kIdentityMismatch
                   : unknown ? Reason::kAncestryUnknown
                             : Reason::kAppNotListed;
  return listing;
}

// The mode table of contract section 2.
Outcome OutcomeOf(const Rule& rule, Operation operation, Gate gate, bool listed) {
  if (gate == Gate::kOpen || gate == Gate::kAccess) {
    if (listed) return Outcome::kQuiet;
    if (rule.behavior == Behavior::kWatch) {
      return operation == Operation::kWrite ? Outcome::kQuiet : Outcome::kAccessed;
    }
    return rule.mode == Mode::kProtect   ? Outcome::kDenied
           : rule.mode == Mode::kMonitor ? Outcome::kViolated
                                         : Outcome::kLearned;
  }
  if (listed) return rule.changes_quiet ? Outcome::kQuiet : Outcome::kModified;
  const bool forbidden = rule.behavior == Behavior::kBlock && rule.mode != Mode::kDiscover;
  return gate == Gate::kUngated && forbidden ? Outcome::kViolated : Outcome::kModified;
}

Reason ReasonOf(Outcome outcome, const Question& question, Reason listing) {
  if (outcome == Outcome::kQuiet || outcome == Outcome::kNotCovered) return Reason::kNone;
  if (question.gate == Gate::kUngated) {
    return outcome == Outcome::kViolated ? Reason::kNotEnforceable : Reason::kNone;
  }
  if (question.gate == Gate::kJudgedChange) return Reason::kNone;
  return question.unproven ? Reason::kIntentUnproven : listing;
}

// Groups that hold one file and learn.
constexpr size_t kMostLearned = 16;

class Evaluation {
 public:
  Evaluation(const Ruleset& ruleset, const Question& question, Subject& subject)
      : ruleset_(ruleset), question_(question), subject_(subject) {}

  Decision Run() {
    for (const Operation operation : kOperations) {
      if (!question_.wanted.Has(operation)) continue;
      for (size_t name = 0; name < question_.names.size(); ++name) {
        JudgeName(static_cast<uint32_t>(name), operation);
      }
    }
    if (decision_.outcome != Outcome::kDenied) decision_.learned = std::move(learned_);
    return std::move(decision_);
  }

 private:
  // In each group the first rule that holds the operation decides.
  void JudgeName(uint32_t name, Operation operation) {
    uint32_t decided_group = kNoRule;
    for (const uint32_t index : question_.names[name].rules) {
      const Rule& rule = ruleset_.rules()[index];
      if (rule.group == decided_group || !rule.operations.Has(operation)) continue;
      decided_group = rule.group;
      if (question_.gate == Gate::kAccess && !rule.IsStrict()) continue;
      JudgeRule(name, index, rule, operation);
    }
  }

  // Stricter than what was found so far, or as strict and earlier in the configuration. Of equal
  // judgements of two operations the first asked stays.
  bool Beats(Outcome outcome, uint32_t index, Operation operation) const {
    if (outcome != decision_.outcome) return outcome > decision_.outcome;
    return operation == judged_operation_ && index < decision_.rule_index;
  }

  void JudgeRule(uint32_t name, uint32_t index, const Rule& rule, Operation operation) {
    // Unlisted is the strictest that a rule can say: where that changes nothing, the subject isn't
    // asked.
    const Outcome unlisted = OutcomeOf(rule, operation, question_.gate, false);
    const bool may_decide = Beats(unlisted, index, operation);
    if (!may_decide && unlisted != Outcome::kLearned) return;
    const Listing listing = FindListing(rule, operation, subject_);
    const bool listed = listing.listed;
    const Outcome outcome = OutcomeOf(rule, operation, question_.gate, listed);
    if (outcome == Outcome::kLearned) Learn({index, operation});
    if (!may_decide) return;
    decision_.look_again = decision_.look_again || listing.look_again;
    if (!Beats(outcome, index, operation)) return;
    judged_operation_ = operation;
    const bool look_again = decision_.look_again;
    decision_ = Decision{};
    decision_.look_again = look_again;
    decision_.outcome = outcome;
    decision_.verdict = outcome == Outcome::kDenied ? Verdict::kDeny : Verdict::kAllow;
    decision_.mode = rule.mode;
    decision_.reason = ReasonOf(outcome, question_, listing.reason);
    // What isn't proven counts as a write, where the rule has any.
    const bool as_write = question_.unproven && rule.operations.Has(Operation::kWrite);
    decision_.operation = as_write ? Operation::kWrite : operation;
    decision_.rule_index = index;
    decision_.name_index = name;
    decision_.app_index = listing.app_index;
    decision_.listed = listed;
    decision_.changes_quiet = listed && rule.changes_quiet;
  }

  // The same rule may hold the file by another of its names.
  void Learn(Learning learning) {
    if (learned_.size() >= kMostLearned) return;
    if (std::find(learned_.begin(), learned_.end(), learning) == learned_.end()) {
      learned_.push_back(learning);
    }
  }

  const Ruleset& ruleset_;
  const Question& question_;
  Subject& subject_;
  Decision decision_;
  std::vector<Learning> learned_;
  Operation judged_operation_ = Operation::kNone;
};

}  // namespace

Decision Evaluate(const Ruleset& ruleset, const Question& question, Subject& subject) {
  return Evaluation(ruleset, question, subject).Run();
}

Verdict DeadlineVerdict(const Ruleset& ruleset, std::span<const CoveredName> names) {
  for (const CoveredName& name : names) {
    for (const uint32_t index : name.rules) {
      const Rule& rule = ruleset.rules()[index];
      if (rule.behavior == Behavior::kBlock && rule.mode == Mode::kProtect &&
          rule.on_deadline == Verdict::kDeny) {
        return Verdict::kDeny;
      }
    }
  }
  return Verdict::kAllow;
}

Operations GatedOperations(const Ruleset& ruleset, std::span<const CoveredName> names, Gate gate) {
  Operations gated;
  for (const CoveredName& name : names) {
    for (const Operation operation : kOperations) {
      uint32_t decided_group = kNoRule;
      for (const uint32_t index : name.rules) {
        const Rule& rule = ruleset.rules()[index];
        if (rule.group == decided_group || !rule.operations.Has(operation)) continue;
        decided_group = rule.group;
        const bool gates =
            gate == Gate::kAccess ? rule.IsStrict() : rule.behavior == Behavior::kBlock;
        if (gates) gated.Add(operation);
      }
    }
  }
  return gated;
}

}  // namespace fileward
