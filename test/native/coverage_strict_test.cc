// What strict rules add on a filesystem that asks only before opens: a mark on all of it.
#include "native/decision/told_accesses.h"
#include "test/native/coverage_fixture.h"

namespace fileward {
namespace {

class CoverageStrict : public CoverageFixture {
 protected:
  TestRule StrictRule(const std::string& path) const {
    TestRule rule = Rule("block", "protect", {"read"});
    rule.path = {path};
    rule.strict = true;
    return rule;
  }
  // How many of 100 files in directories that have just been made can be read.
  int ReadInNewDirectories(const std::string& parent) const {
    const std::string script =
        "my $open = 0; for my $i (1 .. 100) { my $d = \"" + parent + "/n$i-\" . $$; mkdir($d) or " +
        "exit 250; open(my $w, '>', \"$d/secret\") or exit 251; print $w 'x'; close($w); " +
        "$open++ if open(my $r, '<', \"$d/secret\"); } exit $open;";
    return Perl(script);
  }
  static size_t Gaps(const CoverageReport& report, size_t rule) {
    const auto& degraded = report.rules.at(rule).degraded;
    return static_cast<size_t>(std::count_if(
        degraded.begin(), degraded.end(),
        [](const RuleCoverage::Degraded& gap) { return gap.error_type == "strict_unavailable"; }));
  }
};

TEST_F(CoverageStrict, NewDirectoriesHaveNoGapAndTheMarkGoesWithTheRule) {
  const TestRule rule = StrictRule(dir_ + "/**");
  TestRule plain = rule;
  plain.strict = false;
  Apply(Rules({plain}));
  const uint64_t without = coverage_->marks().permission;
  Apply(Rules({rule}));
  EXPECT_EQ(coverage_->marks().permission, without + 1);
  EXPECT_EQ(ReadInNewDirectories(dir_), 0);
  const std::string outside = Write(root_ + "/out/file");
  EXPECT_EQ(Run({"/bin/cat", outside}), 0);
  Apply(Rules({}));
  EXPECT_EQ(coverage_->marks().permission, 0U);
  EXPECT_EQ(ReadInNewDirectories(dir_), 100);
}

TEST_F(CoverageStrict, WhatIsAbsentIsJudgedWhenItComes) {
  Apply(Rules({StrictRule(dir_ + "/later/on/secret")}));
  EXPECT_EQ(Shell("mkdir -p '" + dir_ + "/later/on' && echo x > '" + dir_ +
                  "/later/on/secret' && cat '" + dir_ + "/later/on/secret'"),
            1);
}

TEST_F(CoverageStrict, NothingIsMarkedAsAWholeForDirectoriesThatAreThere) {
  Write(dir_ + "/secret");
  TestRule rule = StrictRule(dir_ + "/secret");
  rule.strict = false;
  Apply(Rules({rule}));
  const uint64_t without = coverage_->marks().permission;
  rule.strict = true;
  Apply(Rules({rule}));
  EXPECT_EQ(coverage_->marks().permission, without);
}

TEST_F(CoverageStrict, AFilesystemThatAsksOnlyBeforeOpensIsToldOnceForEachTree) {
  ASSERT_EQ(Shell("mkdir -p '" + dir_ + "/a/b/c' '" + dir_ + "/d'"), 0);
  TestRule plain = StrictRule(dir_ + "/d/*");
  plain.strict = false;
  const CoverageReport report = Apply(Rules({StrictRule(dir_ + "/a/**"), plain}));
  EXPECT_EQ(Gaps(report, 0), 1U);
  EXPECT_EQ(Gaps(report, 1), 0U);
  const CoverageReport inspected =
      InspectCoverage(Rules({StrictRule(dir_ + "/a/**"), plain}).Json());
  EXPECT_EQ(Gaps(inspected, 0), 1U) << "and check says so";
}

TEST(ToldAccesses, SaysTheSameOnceOfAProcessAndItsFile) {
  ToldAccesses told;
  const ToldAccesses::Key key{{1, 2}, 3};
  ToldAccesses::Judged judged{{4, 5}, 6, 7, Outcome::kViolated};
  ToldAccesses::Judged by_other_rule = judged;
  by_other_rule.rule_index = 8;
  EXPECT_FALSE(told.HasTold(key, judged, Operation::kRead));
  told.Tell(key, judged, {Operation::kRead});
  EXPECT_TRUE(told.HasTold(key, judged, Operation::kRead));
  EXPECT_FALSE(told.HasTold(key, judged, Operation::kWrite));
  told.Tell(key, by_other_rule, {Operation::kWrite});
  EXPECT_TRUE(told.HasTold(key, judged, Operation::kRead)) << "each operation by itself";
  EXPECT_TRUE(told.HasTold(key, by_other_rule, Operation::kWrite));
  EXPECT_FALSE(told.HasToldWrite(key, judged));
  told.TellWrite(key, judged);
  EXPECT_TRUE(told.HasToldWrite(key, judged));
  ToldAccesses::Judged of_another_program = judged;
  of_another_program.exe = {8, 9};
  EXPECT_FALSE(told.HasTold(key, of_another_program, Operation::kRead));
  told.Forget(key);
  EXPECT_FALSE(told.HasTold(key, judged, Operation::kRead));
  for (int32_t tgid = 0; tgid < 10'000; ++tgid)
    told.Tell({{1, 2}, tgid}, judged, {Operation::kRead});
  EXPECT_TRUE(told.HasTold({{1, 2}, 9'999}, judged, Operation::kRead));
}

}  // namespace
}  // namespace fileward
