// The mode table of contract section 2, cell by cell, and who counts as listed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "native/decision/evaluate.h"
#include "native/decision/explain.h"
#include "test/native/decision_rules.h"

namespace fileward {
namespace {

using Answer = Subject::Answer;

class FakeSubject : public Subject {
 public:
  Answer IsExe(uint32_t exe) override { return Ask("exe", exes, exe); }
  Answer IsScript(uint32_t exe) override { return Ask("script", scripts, exe); }
  Answer HasAncestor(uint32_t exe) override { return Ask("ancestor", ancestors, exe); }
  Answer IsPackageManager() override {
    asked.insert("package_manager");
    return package_manager;
  }
  Answer IsRuntime() override {
    asked.insert("runtime");
    return runtime;
  }
  bool IsOf(bool host) override { return host == of_host; }
  bool HasUser(uint32_t user_id) override { return user == user_id; }
  bool HasUnit(std::string_view wanted) override { return unit == wanted; }
  bool HasSha256(std::string_view wanted) override { return sha256 == wanted; }

  std::map<uint32_t, Answer> exes;
  std::map<uint32_t, Answer> scripts;
  std::map<uint32_t, Answer> ancestors;
  Answer package_manager = Answer::kNo;
  Answer runtime = Answer::kNo;
  bool of_host = false;
  uint32_t user = 1000;
  std::string unit;
  std::string sha256;
  std::set<std::string> asked;

 private:
  Answer Ask(const std::string& what, const std::map<uint32_t, Answer>& answers, uint32_t exe) {
    asked.insert(what);
    const auto found = answers.find(exe);
    return found == answers.end() ? Answer::kNo : found->second;
  }
};

class EvaluateTest : public testing::Test {
 protected:
  Decision Ask(const TestRuleset& text, Operations wanted, Gate gate, bool unproven = false,
               const std::vector<std::string>& paths = {"/f"}) {
    ruleset_ = text.Parse();
    std::vector<MatchSet> matches;
    for (const std::string& path : paths) matches.push_back(ruleset_->Match(path));
    std::vector<CoveredName> names;
    for (size_t i = 0; i < paths.size(); ++i) names.push_back({paths[i], matches[i]});
    return Evaluate(*ruleset_, {names, wanted, gate, unproven}, subject_);
  }

  void BeListed() { subject_.exes[0] = Answer::kYes; }

  FakeSubject subject_;
  std::shared_ptr<const Ruleset> ruleset_;
};

TestRule RuleFor(const std::string& behavior, const std::string& mode) {
  TestRule rule;
  rule.path = {"/f"};
  rule.behavior = behavior;
  rule.mode = mode;
  rule.apps = {ListedApp()};
  return rule;
}

struct Cell {
  std::string behavior;
  std::string mode;
  Gate gate;
  Operation operation;
  bool listed;
  Outcome outcome;
};

TEST_F(EvaluateTest, EachCellOfTheModeTable) {
  std::vector<Cell> cells;
  for (const std::string mode : {"discover", "monitor", "protect"}) {
    const Outcome forbidden = mode == "discover"  ? Outcome::kLearned
                              : mode == "monitor" ? Outcome::kViolated
                                                  : Outcome::kDenied;
    for (const Operation op : {Operation::kRead, Operation::kWrite, Operation::kExec}) {
      cells.push_back({"block", mode, Gate::kOpen, op, true, Outcome::kQuiet});
      cells.push_back({"block", mode, Gate::kOpen, op, false, forbidden});
      cells.push_back({"watch", mode, Gate::kOpen, op, true, Outcome::kQuiet});
      cells.push_back({"watch", mode, Gate::kOpen, op, false,
                       op == Operation::kWrite ? Outcome::kQuiet : Outcome::kAccessed});
    }
    const Outcome ungated = mode == "discover" ? Outcome::kModified : Outcome::kViolated;
    const Operation write = Operation::kWrite;
    cells.push_back({"block", mode, Gate::kUngated, write, false, ungated});
    cells.push_back({"block", mode, Gate::kUngated, write, true, Outcome::kModified});
    cells.push_back({"watch", mode, Gate::kUngated, write, false, Outcome::kModified});
    cells.push_back({"block", mode, Gate::kJudgedChange, write, false, Outcome::kModified});
    cells.push_back({"block", mode, Gate::kJudgedChange, write, true, Outcome::kModified});
    cells.push_back({"watch", mode, Gate::kJudgedChange, write, false, Outcome::kModified});
  }
  for (const Cell& cell : cells) {
    subject_.exes[0] = cell.listed ? Answer::kYes : Answer::kNo;
    const Decision decision =
        Ask(OneGroup({RuleFor(cell.behavior, cell.mode)}), {cell.operation}, cell.gate);
    const std::string where = cell.behavior + " " + cell.mode + " gate " +
                              std::to_string(static_cast<int>(cell.gate)) + " operation " +
                              std::to_string(static_cast<int>(cell.operation)) +
                              (cell.listed ? " listed" : " not listed");
    EXPECT_EQ(decision.outcome, cell.outcome) << where;
    EXPECT_EQ(decision.listed, cell.listed) << where;
    EXPECT_EQ(decision.verdict, cell.outcome == Outcome::kDenied ? Verdict::kDeny : Verdict::kAllow)
        << where;
    EXPECT_EQ(decision.operation, cell.operation) << where;
    const Reason reason = cell.gate == Gate::kOpen && cell.outcome > Outcome::kQuiet
                              ? Reason::kAppNotListed
                          : cell.outcome == Outcome::kViolated ? Reason::kNotEnforceable
                                                               : Reason::kNone;
    EXPECT_EQ(decision.reason, reason) << where;
  }
}

TEST_F(EvaluateTest, ChangesOfAListedAppFollowTheRulesChangesKey) {
  BeListed();
  for (const std::string behavior : {"block", "watch"}) {
    for (const Gate gate : {Gate::kUngated, Gate::kJudgedChange}) {
      TestRule rule = RuleFor(behavior, "protect");
      rule.changes_listed = "quiet";
      EXPECT_EQ(Ask(OneGroup({rule}), {Operation::kWrite}, gate).outcome, Outcome::kQuiet);
      rule.changes_listed = "report";
      EXPECT_EQ(Ask(OneGroup({rule}), {Operation::kWrite}, gate).outcome, Outcome::kModified);
    }
  }
}

TEST_F(EvaluateTest, TheFirstRuleThatHoldsTheOperationDecides) {
  TestRule readers = RuleFor("block", "protect");
  readers.operations = {"read"};
  readers.apps = {};
  TestRule rest = RuleFor("block", "monitor");
  const TestRuleset text = OneGroup({readers, rest});
  EXPECT_EQ(Ask(text, {Operation::kRead}, Gate::kOpen).rule_index, 0U);
  EXPECT_EQ(Ask(text, {Operation::kWrite}, Gate::kOpen).rule_index, 1U);
  EXPECT_EQ(Ask(text, {Operation::kWrite}, Gate::kOpen).outcome, Outcome::kViolated);
  const Decision both = Ask(text, {Operation::kRead, Operation::kWrite}, Gate::kOpen);
  EXPECT_EQ(both.outcome, Outcome::kDenied);
  EXPECT_EQ(both.operation, Operation::kRead);
}

TEST_F(EvaluateTest, AnOperationThatNoRuleHoldsIsNotCovered) {
  TestRule rule = RuleFor("block", "protect");
  rule.operations = {"write"};
  const TestRuleset text = OneGroup({rule});
  EXPECT_EQ(Ask(text, {Operation::kRead}, Gate::kOpen).outcome, Outcome::kNotCovered);
  EXPECT_EQ(Ask(text, {Operation::kExec}, Gate::kOpen).outcome, Outcome::kNotCovered);
  EXPECT_EQ(Ask(text, {Operation::kWrite}, Gate::kOpen).outcome, Outcome::kDenied);
}

TEST_F(EvaluateTest, TheStrictestOfGroupsAndNamesWinsAndTiesGoToConfigurationOrder) {
  TestRuleset text;
  text.groups = {{{RuleFor("watch", "monitor")}, true},
                 {{RuleFor("block", "monitor")}, true},
                 {{RuleFor("block", "protect")}, true},
                 {{RuleFor("block", "protect")}, true}};
  EXPECT_EQ(Ask(text, {Operation::kRead}, Gate::kOpen).rule_index, 2U);
  text.groups.resize(2);
  EXPECT_EQ(Ask(text, {Operation::kRead}, Gate::kOpen).rule_index, 1U);

  TestRule monitor = RuleFor("block", "monitor");
  TestRule protect = RuleFor("block", "protect");
  protect.path = {"/g"};
  const Decision decision =
      Ask(OneGroup({monitor, protect}), {Operation::kRead}, Gate::kOpen, false, {"/f", "/g"});
  EXPECT_EQ(decision.outcome, Outcome::kDenied);
  EXPECT_EQ(decision.name_index, 1U);
}

TEST_F(EvaluateTest, WhatCanChangeNothingIsNotAsked) {
  TestRule first = RuleFor("block", "protect");
  first.apps = {};
  first.runtime = false;
  TestRule second = RuleFor("block", "monitor");
  TestRuleset text;
  text.groups = {{{first}, true}, {{second}, true}};
  Ask(text, {Operation::kRead}, Gate::kOpen);
  EXPECT_TRUE(subject_.asked.empty());
}

TEST_F(EvaluateTest, ReadAndWriteAreToldAsTheWriteWhenItIsAsStrict) {
  const TestRuleset text = OneGroup({RuleFor("block", "protect")});
  const Operations both = {Operation::kRead, Operation::kWrite};
  EXPECT_EQ(Ask(text, both, Gate::kOpen).operation, Operation::kWrite);
  BeListed();
  const Decision listed = Ask(text, both, Gate::kOpen);
  EXPECT_EQ(listed.outcome, Outcome::kQuiet);
  EXPECT_EQ(listed.operation, Operation::kWrite);
}

TEST_F(EvaluateTest, EveryDiscoverRuleThatDoesNotListLearnsUnlessTheOpenIsDenied) {
  const Operations both{Operation::kRead, Operation::kWrite};
  const auto learned = [&](const std::string& first, const std::string& second) {
    TestRuleset text;
    text.groups = {{{RuleFor("block", first)}}, {{RuleFor("block", second)}}};
    std::vector<std::string> all;
    for (const Learning& each : Ask(text, both, Gate::kOpen).learned) {
      all.push_back(std::to_string(each.rule_index) +
                    (each.operation == Operation::kRead ? " read" : " write"));
    }
    std::sort(all.begin(), all.end());
    return all;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(learned("discover", "discover"), (Texts{"0 read", "0 write", "1 read", "1 write"}));
  EXPECT_EQ(learned("monitor", "discover"), (Texts{"1 read", "1 write"}));
  EXPECT_EQ(learned("protect", "discover"), Texts{});
  subject_.exes[0] = Answer::kYes;
  EXPECT_EQ(learned("discover", "discover"), Texts{});
}

TEST_F(EvaluateTest, WhatIsNotProvenCountsAsAWrite) {
  const Operations both = {Operation::kRead, Operation::kWrite};
  const Decision decision = Ask(OneGroup({RuleFor("block", "protect")}), both, Gate::kOpen, true);
  EXPECT_EQ(decision.outcome, Outcome::kDenied);
  EXPECT_EQ(decision.operation, Operation::kWrite);
  EXPECT_EQ(decision.reason, Reason::kIntentUnproven);
  TestRule only_read = RuleFor("block", "protect");
  only_read.operations = {"read"};
  EXPECT_EQ(Ask(OneGroup({only_read}), both, Gate::kOpen, true).operation, Operation::kRead);
  BeListed();
  EXPECT_EQ(Ask(OneGroup({RuleFor("block", "protect")}), both, Gate::kOpen, true).reason,
            Reason::kNone);
}

TEST_F(EvaluateTest, AnEntryListsForItsOperationsOnly) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps[0].operations = {"read"};
  BeListed();
  EXPECT_EQ(Ask(OneGroup({rule}), {Operation::kRead}, Gate::kOpen).outcome, Outcome::kQuiet);
  EXPECT_EQ(Ask(OneGroup({rule}), {Operation::kWrite}, Gate::kOpen).outcome, Outcome::kDenied);
}

TEST_F(EvaluateTest, EveryGivenCriterionMustHold) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps[0].more +=
      ",\"user_id\":33,\"unit\":\"a.service\",\"sha256\":\"ab\",\"script\":1,\"ancestor\":2";
  TestRuleset text = OneGroup({rule});
  text.exes = {"/a", "/b", "/c"};
  const auto all_hold = [&] {
    subject_ = FakeSubject();
    subject_.exes[0] = subject_.scripts[1] = subject_.ancestors[2] = Answer::kYes;
    subject_.user = 33;
    subject_.unit = "a.service";
    subject_.sha256 = "ab";
  };
  const auto outcome = [&] { return Ask(text, {Operation::kRead}, Gate::kOpen).outcome; };
  all_hold();
  EXPECT_EQ(outcome(), Outcome::kQuiet);
  const std::vector<std::function<void()>> breaks = {
      [&] { subject_.exes.clear(); },       [&] { subject_.scripts.clear(); },
      [&] { subject_.ancestors.clear(); },  [&] { subject_.user = 34; },
      [&] { subject_.unit = "b.service"; }, [&] { subject_.sha256 = "cd"; },
  };
  for (size_t i = 0; i < breaks.size(); ++i) {
    all_hold();
    breaks[i]();
    EXPECT_EQ(outcome(), Outcome::kDenied) << "criterion " << i;
  }
}

TEST_F(EvaluateTest, ReasonsSayWhyAnEntryFailed) {
  const TestRuleset text = OneGroup({RuleFor("block", "protect")});
  subject_.exes[0] = Answer::kMismatch;
  EXPECT_EQ(Ask(text, {Operation::kRead}, Gate::kOpen).reason, Reason::kIdentityMismatch);

  TestRule with_user = RuleFor("block", "protect");
  with_user.apps[0].more += ",\"user_id\":0";
  EXPECT_EQ(Ask(OneGroup({with_user}), {Operation::kRead}, Gate::kOpen).reason,
            Reason::kAppNotListed);

  TestRule with_ancestor = RuleFor("block", "protect");
  with_ancestor.apps[0].more += ",\"ancestor\":0";
  BeListed();
  subject_.ancestors[0] = Answer::kUnknown;
  EXPECT_EQ(Ask(OneGroup({with_ancestor}), {Operation::kRead}, Gate::kOpen).reason,
            Reason::kAncestryUnknown);
  subject_.ancestors[0] = Answer::kNo;
  EXPECT_EQ(Ask(OneGroup({with_ancestor}), {Operation::kRead}, Gate::kOpen).reason,
            Reason::kAppNotListed);
}

TEST_F(EvaluateTest, UnsettledAncestryAsksForAnotherLookUnlessAnotherEntryLists) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps[0].package_manager = true;
  rule.apps[0].more.clear();
  subject_.package_manager = Answer::kUnsettled;
  EXPECT_TRUE(Ask(OneGroup({rule}), {Operation::kRead}, Gate::kOpen).look_again);
  rule.apps.push_back(ListedApp());
  BeListed();
  const Decision decision = Ask(OneGroup({rule}), {Operation::kRead}, Gate::kOpen);
  EXPECT_FALSE(decision.look_again);
  EXPECT_EQ(decision.outcome, Outcome::kQuiet);
  EXPECT_EQ(decision.app_index, 1);
}

TEST_F(EvaluateTest, ChildrenListsTheAppAndWhatItForked) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps[0].children = true;
  const auto outcome = [&] {
    return Ask(OneGroup({rule}), {Operation::kRead}, Gate::kOpen).outcome;
  };
  EXPECT_EQ(outcome(), Outcome::kDenied);
  subject_.ancestors[0] = Answer::kYes;
  EXPECT_EQ(outcome(), Outcome::kQuiet);
  subject_.ancestors.clear();
  BeListed();
  EXPECT_EQ(outcome(), Outcome::kQuiet);
  rule.apps[0].children = false;
  subject_.exes.clear();
  subject_.ancestors[0] = Answer::kYes;
  EXPECT_EQ(outcome(), Outcome::kDenied);
}

TEST_F(EvaluateTest, AnEntryWithoutExeListsProcessesOfOneWorkload) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps[0].more = "\"user_id\":1000";
  const auto outcome = [&] {
    return Ask(OneGroup({rule}), {Operation::kRead}, Gate::kOpen).outcome;
  };
  EXPECT_EQ(outcome(), Outcome::kQuiet);
  subject_.of_host = true;
  EXPECT_EQ(outcome(), Outcome::kDenied);
  rule.apps[0].host = true;
  EXPECT_EQ(outcome(), Outcome::kQuiet);
}

TEST_F(EvaluateTest, PackageManagersAreListedByBeingOneOrHavingOneAbove) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps[0].more.clear();
  rule.apps[0].package_manager = true;
  EXPECT_EQ(Ask(OneGroup({rule}), {Operation::kWrite}, Gate::kOpen).outcome, Outcome::kDenied);
  subject_.package_manager = Answer::kYes;
  EXPECT_EQ(Ask(OneGroup({rule}), {Operation::kWrite}, Gate::kOpen).outcome, Outcome::kQuiet);
}

TEST_F(EvaluateTest, TheDeadlineDeniesOnlyWhatAProtectingRuleSaysSo) {
  const auto verdict = [&](const std::string& mode, const std::string& behavior) {
    TestRule rule = RuleFor(behavior, mode);
    rule.on_deadline = "deny";
    ruleset_ = OneGroup({rule}).Parse();
    const MatchSet rules = ruleset_->Match("/f");
    const CoveredName name{"/f", rules};
    return DeadlineVerdict(*ruleset_, {&name, 1});
  };
  EXPECT_EQ(verdict("protect", "block"), Verdict::kDeny);
  EXPECT_EQ(verdict("monitor", "block"), Verdict::kAllow);
  EXPECT_EQ(verdict("protect", "watch"), Verdict::kAllow);
  EXPECT_EQ(DeadlineVerdict(*ruleset_, {}), Verdict::kAllow);
}

TEST_F(EvaluateTest, OnlyWhatABlockRuleDecidesIsGated) {
  TestRule watch = RuleFor("watch", "monitor");
  watch.operations = {"read"};
  TestRule block = RuleFor("block", "monitor");
  TestRuleset text = OneGroup({watch, block});
  ruleset_ = text.Parse();
  MatchSet rules = ruleset_->Match("/f");
  CoveredName name{"/f", rules};
  EXPECT_EQ(GatedOperations(*ruleset_, {&name, 1}),
            (Operations{Operation::kWrite, Operation::kExec}));
  text.groups.push_back({{block}, true});
  ruleset_ = text.Parse();
  rules = ruleset_->Match("/f");
  name.rules = rules;
  EXPECT_TRUE(GatedOperations(*ruleset_, {&name, 1}).Has(Operation::kRead));
}

TEST_F(EvaluateTest, AReadOrWriteOfAnOpenFileIsJudgedByStrictRulesAlone) {
  TestRule plain = RuleFor("block", "protect");
  TestRule strict = RuleFor("block", "monitor");
  strict.strict = true;
  const Operations wanted{Operation::kRead};
  EXPECT_EQ(Ask(OneGroup({plain}), wanted, Gate::kAccess).outcome, Outcome::kNotCovered);
  EXPECT_EQ(Ask(OneGroup({strict}), wanted, Gate::kAccess).outcome, Outcome::kViolated);
  strict.behavior = "watch";
  EXPECT_EQ(Ask(OneGroup({strict}), wanted, Gate::kAccess).outcome, Outcome::kNotCovered);
  strict.behavior = "block";
  // In its group another rule decides, and that one isn't strict.
  EXPECT_EQ(Ask(OneGroup({plain, strict}), wanted, Gate::kAccess).outcome, Outcome::kNotCovered);
  // Each of two groups decides for itself.
  TestRuleset two = OneGroup({plain});
  two.groups.push_back({{strict}, true});
  EXPECT_EQ(Ask(two, wanted, Gate::kAccess).outcome, Outcome::kViolated);
  EXPECT_EQ(Ask(two, wanted, Gate::kOpen).outcome, Outcome::kDenied);
  const MatchSet rules = ruleset_->Match("/f");
  const CoveredName name{"/f", rules};
  EXPECT_TRUE(GatedOperations(*ruleset_, {&name, 1}, Gate::kAccess).Has(Operation::kRead));
}

TEST_F(EvaluateTest, TheRuntimeIsListedForReadAndExecUnlessTheRuleSaysNo) {
  TestRule rule = RuleFor("block", "protect");
  const auto ask = [&](Operation operation) {
    return Ask(OneGroup({rule}), {operation}, Gate::kOpen);
  };
  subject_.runtime = Answer::kYes;
  for (const Operation operation : {Operation::kRead, Operation::kExec}) {
    const Decision decision = ask(operation);
    EXPECT_EQ(decision.outcome, Outcome::kQuiet);
    EXPECT_TRUE(decision.listed);
    EXPECT_EQ(decision.app_index, -1);
  }
  EXPECT_EQ(ask(Operation::kWrite).outcome, Outcome::kDenied);
  // A history that isn't known gives nothing, and takes nothing from the reason.
  subject_.runtime = Answer::kUnknown;
  EXPECT_EQ(ask(Operation::kRead).outcome, Outcome::kDenied);
  EXPECT_EQ(ask(Operation::kRead).reason, Reason::kAppNotListed);
  subject_.runtime = Answer::kUnsettled;
  EXPECT_TRUE(ask(Operation::kRead).look_again);
  EXPECT_FALSE(ask(Operation::kWrite).look_again);
  subject_.runtime = Answer::kYes;
  rule.runtime = false;
  EXPECT_EQ(ask(Operation::kExec).outcome, Outcome::kDenied);
  // A listed program is never asked about.
  rule.runtime = true;
  BeListed();
  subject_.asked.clear();
  EXPECT_EQ(ask(Operation::kRead).outcome, Outcome::kQuiet);
  EXPECT_FALSE(subject_.asked.contains("runtime"));
}

TEST(Explain, AnswersWithTextsAsTheRunningAgentWould) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps = {ListedApp()};
  rule.apps[0].more += ",\"ancestor\":1";
  TestRuleset text = OneGroup({rule});
  text.exes = {"/usr/bin/python3.*", "/usr/sbin/cron"};
  const auto ruleset = text.Parse();
  ExplainQuery query;
  query.paths = {"/f"};
  query.exe = "/usr/bin/python3.11";
  EXPECT_EQ(Explain(*ruleset, query).decision.reason, Reason::kAncestryUnknown);
  query.ancestors = {"/bin/sh", "/usr/sbin/cron"};
  EXPECT_EQ(Explain(*ruleset, query).decision.outcome, Outcome::kQuiet);
  EXPECT_EQ(Explain(*ruleset, query).covering, (MatchSet{0}));
  query.exe = "/usr/bin/perl";
  EXPECT_EQ(Explain(*ruleset, query).decision.verdict, Verdict::kDeny);
  query.paths = {"/other"};
  EXPECT_EQ(Explain(*ruleset, query).decision.outcome, Outcome::kNotCovered);
}

TEST(Explain, AProgramIsWhatItIsInItsOwnRoot) {
  TestRule rule = RuleFor("block", "protect");
  rule.apps = {ListedApp(0), ListedApp(1)};
  TestRuleset text = OneGroup({rule});
  text.groups[0].host = false;
  text.exes = {"/bin/cat", "/usr/bin/kubelet", "/usr/bin/runc"};
  text.host_exes = {1, 2};
  text.runtimes = {2};
  const auto ruleset = text.Parse({}, [](const RuleGroup&) { return true; });
  const auto outcome = [&](const std::string& exe, Origin origin) {
    ExplainQuery query;
    query.paths = {"/f"};
    query.exe = exe;
    query.groups = {0};
    query.origin = origin;
    return Explain(*ruleset, query).decision.outcome;
  };
  EXPECT_EQ(outcome("/bin/cat", Origin::kSame), Outcome::kQuiet);
  EXPECT_EQ(outcome("/bin/cat", Origin::kHost), Outcome::kDenied);
  EXPECT_EQ(outcome("/bin/cat", Origin::kOther), Outcome::kDenied);
  EXPECT_EQ(outcome("/usr/bin/kubelet", Origin::kSame), Outcome::kDenied);
  EXPECT_EQ(outcome("/usr/bin/kubelet", Origin::kHost), Outcome::kQuiet);
  EXPECT_EQ(outcome("/usr/bin/kubelet", Origin::kOther), Outcome::kDenied);
  EXPECT_EQ(outcome("/usr/bin/runc", Origin::kSame), Outcome::kDenied);
  EXPECT_EQ(outcome("/usr/bin/runc", Origin::kHost), Outcome::kQuiet);
}

TEST(Explain, AWatchedWriteIsToldAsTheChangeItWillBe) {
  const auto ruleset = OneGroup({RuleFor("watch", "monitor")}).Parse();
  ExplainQuery query;
  query.paths = {"/f"};
  query.operation = Operation::kWrite;
  query.exe = "/bin/sh";
  EXPECT_EQ(Explain(*ruleset, query).decision.outcome, Outcome::kModified);
  query.exe = "/usr/bin/listed";
  EXPECT_NE(Explain(*ruleset, query).decision.outcome, Outcome::kAccessed);
  const auto discover = OneGroup({RuleFor("block", "discover")}).Parse();
  query.exe = "/bin/sh";
  EXPECT_EQ(Explain(*discover, query).decision.outcome, Outcome::kLearned);
}

}  // namespace
}  // namespace fileward
