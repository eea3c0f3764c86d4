#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "native/decision/ruleset.h"
#include "test/native/decision_rules.h"

namespace fileward {
namespace {

TestRule PathRule(std::vector<std::string> path, std::vector<std::string> except = {}) {
  TestRule rule;
  rule.path = std::move(path);
  rule.except = std::move(except);
  return rule;
}

TEST(Ruleset, ReadsEveryKey) {
  TestRule rule = PathRule({"/etc/shadow"}, {"/etc/x"});
  rule.name = "shadow \"quoted\"";
  rule.behavior = "watch";
  rule.operations = {"read"};
  rule.mode = "discover";
  rule.changes_listed = "quiet";
  rule.on_deadline = "deny";
  TestApp app = ListedApp();
  app.operations = {"write"};
  app.more +=
      ",\"user_id\":33,\"unit\":\"a.service\",\"sha256\":\"ab\",\"ancestor\":1,\"script\":2";
  app.children = true;
  rule.apps = {app};
  TestRuleset text = OneGroup({rule});
  text.exes = {"/usr/bin/listed", "/usr/sbin/cron", "/usr/bin/script", "/usr/bin/dnf"};
  text.package_managers = {{"apt", {1}}, {"dnf", {}, {3}}};
  const auto ruleset = text.Parse();
  ASSERT_TRUE(ruleset);
  ASSERT_EQ(ruleset->rules().size(), 1U);
  const Rule& read = ruleset->rules()[0];
  EXPECT_EQ(read.name, "shadow \"quoted\"");
  EXPECT_EQ(read.behavior, Behavior::kWatch);
  EXPECT_EQ(read.operations, Operations{Operation::kRead});
  EXPECT_EQ(read.mode, Mode::kDiscover);
  EXPECT_TRUE(read.changes_quiet);
  EXPECT_EQ(read.on_deadline, Verdict::kDeny);
  ASSERT_EQ(read.apps.size(), 1U);
  EXPECT_EQ(read.apps[0].operations, Operations{Operation::kWrite});
  EXPECT_EQ(read.apps[0].exe, 0U);
  EXPECT_EQ(read.apps[0].ancestor, 1U);
  EXPECT_EQ(read.apps[0].script, 2U);
  EXPECT_EQ(read.apps[0].user_id, 33U);
  EXPECT_EQ(read.apps[0].unit, "a.service");
  EXPECT_EQ(read.apps[0].sha256, "ab");
  EXPECT_TRUE(read.apps[0].children);
  EXPECT_EQ(ruleset->max_marks(), 200000U);
  EXPECT_EQ(ruleset->max_depth(), 32U);
  EXPECT_EQ(ruleset->deadline_ns(), 10'000'000'000U);
  EXPECT_TRUE(ruleset->IsScript(2));
  EXPECT_FALSE(ruleset->IsScript(1));
  const std::vector<uint32_t> exes = {0, 1};
  EXPECT_EQ(ruleset->PackageManagerOf(exes), 1);
  EXPECT_EQ(ruleset->PackageManagerOf(std::span(exes).first(1)), 0);
  const std::vector<uint32_t> scripts = {3};
  EXPECT_TRUE(ruleset->IsScript(3));
  EXPECT_EQ(ruleset->PackageManagerOfScript(scripts), 2);
  EXPECT_EQ(ruleset->PackageManagerOf(scripts), 0);
}

TEST(Ruleset, RefusesWhatIsNoRuleset) {
  const std::string good = OneGroup({PathRule({"/a"})}).Json();
  const auto broken = [&](const std::string& from, const std::string& to) {
    std::string json = good;
    json.replace(json.find(from), from.size(), to);
    const auto parsed = Ruleset::Parse(json);
    return parsed ? std::string("accepted") : parsed.error().Message();
  };
  EXPECT_NE(broken("\"format\":1", "\"format\":2").find("format"), std::string::npos);
  EXPECT_NE(broken("\"block\"", "\"blok\"").find("blok"), std::string::npos);
  EXPECT_NE(broken("[\"/a\"]", "[\"a\"]").find("absolute"), std::string::npos);
  EXPECT_NE(broken("\"mode\"", "\"mod\"").find("mode"), std::string::npos);
  EXPECT_NE(broken("[\"/a\"]", "{").find("at byte"), std::string::npos);
  EXPECT_NE(Ruleset::Parse("").ok(), true);
  EXPECT_NE(Ruleset::Parse("[]").ok(), true);
}

TEST(Ruleset, MatchesInConfigurationOrderAndHonoursExcept) {
  TestRule regex;
  regex.regex = "/home/[^/]+/\\.ssh/.*";
  regex.except = {"/home/*/.ssh/known_hosts"};
  const auto ruleset = OneGroup({PathRule({"/home/**"}, {"/home/tmp/**"}), regex,
                                 PathRule({"/home/a/.ssh/id", "/etc/*"})})
                           .Parse();
  EXPECT_EQ(ruleset->Match("/home/a/.ssh/id"), (MatchSet{0, 1, 2}));
  EXPECT_EQ(ruleset->Match("/home/a/.ssh/known_hosts"), (MatchSet{0}));
  EXPECT_EQ(ruleset->Match("/home/tmp/.ssh/id"), (MatchSet{1}));
  EXPECT_EQ(ruleset->Match("/etc/x"), (MatchSet{2}));
  EXPECT_EQ(ruleset->Match("/home"), (MatchSet{}));
  EXPECT_EQ(ruleset->Match("/usr/x"), (MatchSet{}));
}

TEST(Ruleset, RegexTakesNamesThatAreNotUtf8) {
  TestRule by_character;
  by_character.regex = "/d/.";
  TestRule anything;
  anything.regex = "/d/.*";
  const auto ruleset = OneGroup({by_character, anything}).Parse();
  EXPECT_EQ(ruleset->Match("/d/\xc3\xa9"), (MatchSet{0, 1}));
  EXPECT_EQ(ruleset->Match("/d/\xff"), (MatchSet{0, 1}));
  EXPECT_EQ(ruleset->Match("/d/a\xff"), (MatchSet{1}));
  EXPECT_EQ(ruleset->Match("/d/a\nb"), (MatchSet{1}));
  EXPECT_EQ(ruleset->Match("/d/ab/c"), (MatchSet{1}));
}

TEST(Ruleset, HasThePatternsOfTheGroupsThatHoldItsWorkload) {
  TestRule regex;
  regex.regex = "/a";
  TestRuleset text;
  text.groups = {{{PathRule({"/a"}), regex}, false}, {{PathRule({"/a"})}, true}};
  const auto host = text.Parse();
  EXPECT_EQ(host->Match("/a"), (MatchSet{2}));
  EXPECT_EQ(host->CouldMatchIn("/"), (MatchSet{2}));
  EXPECT_FALSE(host->rules()[0].held);
  EXPECT_TRUE(host->rules()[0].paths.empty());
  std::vector<std::string> resolved;
  const auto container = text.Parse(
      [&](const std::string& path) {
        resolved.push_back(path);
        return path;
      },
      [](const RuleGroup& group) { return group.name == "g0"; });
  EXPECT_EQ(container->Match("/a"), (MatchSet{0, 1}));
  EXPECT_TRUE(container->rules()[1].held);
  EXPECT_EQ(std::count(resolved.begin(), resolved.end(), "/a"), 2);
  const auto all = text.Parse({}, [](const RuleGroup&) { return true; });
  EXPECT_EQ(all->Match("/a"), (MatchSet{0, 1, 2}));
  const std::vector<uint32_t> second = {1};
  EXPECT_EQ(all->MatchInGroups("/a", second), (MatchSet{2}));
}

TEST(Ruleset, KnowsRuntimesAndUsersByName) {
  TestRuleset text = OneGroup({PathRule({"/a"})});
  text.exes = {"/usr/bin/cat", "/usr/bin/runc"};
  text.runtimes = {1};
  text.users = {{33, "www-data"}};
  const auto ruleset = text.Parse();
  const std::vector<uint32_t> cat = {0};
  const std::vector<uint32_t> both = {0, 1};
  EXPECT_FALSE(ruleset->IsRuntime(cat));
  EXPECT_TRUE(ruleset->IsRuntime(both));
  ASSERT_NE(ruleset->UserName(33), nullptr);
  EXPECT_EQ(*ruleset->UserName(33), "www-data");
  EXPECT_EQ(ruleset->UserName(34), nullptr);
}

TEST(Ruleset, TellsCoverageWhereToLook) {
  TestRule regex;
  regex.regex = "/srv/[^/]+/key";
  const auto ruleset = OneGroup({PathRule({"/etc/*.conf", "/etc/ssh/**"}),
                                 PathRule({"/usr/**"}, {"/usr/share/**"}), regex})
                           .Parse();
  EXPECT_EQ(ruleset->CouldMatchIn("/etc"), (MatchSet{0}));
  EXPECT_EQ(ruleset->CouldMatchIn("/etc/ssh/deep"), (MatchSet{0}));
  EXPECT_EQ(ruleset->CouldMatchIn("/etc/apt"), (MatchSet{}));
  EXPECT_EQ(ruleset->CouldMatchBelow("/"), (MatchSet{0, 1, 2}));
  EXPECT_EQ(ruleset->CouldMatchBelow("/etc/apt"), (MatchSet{}));
  EXPECT_EQ(ruleset->CouldMatchIn("/usr/share"), (MatchSet{}));
  EXPECT_EQ(ruleset->CouldMatchBelow("/usr/share/doc"), (MatchSet{}));
  EXPECT_EQ(ruleset->CouldMatchIn("/usr"), (MatchSet{1}));
  EXPECT_EQ(ruleset->CouldMatchIn("/srv"), (MatchSet{}));
  EXPECT_EQ(ruleset->CouldMatchIn("/srv/a"), (MatchSet{2}));
  EXPECT_EQ(ruleset->CouldMatchBelow("/srv/a/b"), (MatchSet{}));
}

TEST(Ruleset, ResolvedSpellingsMatchToo) {
  TestRule regex;
  regex.regex = "/var/run/[a-z]+\\.pid";
  const auto resolver = [](const std::string& path) {
    return path.starts_with("/var/run") ? "/run" + path.substr(8) : path;
  };
  TestRuleset text = OneGroup({PathRule({"/var/run/x/**"}, {"/var/run/x/y"}), regex});
  text.exes = {"/var/run/app"};
  const auto ruleset = text.Parse(resolver);
  EXPECT_EQ(ruleset->Match("/run/x/a"), (MatchSet{0}));
  EXPECT_EQ(ruleset->Match("/var/run/x/a"), (MatchSet{0}));
  EXPECT_EQ(ruleset->Match("/run/x/y"), (MatchSet{}));
  EXPECT_EQ(ruleset->Match("/run/a.pid"), (MatchSet{1}));
  EXPECT_EQ(ruleset->Match("/run/A.pid"), (MatchSet{}));
  EXPECT_EQ(ruleset->MatchExes("/run/app"), (std::vector<uint32_t>{0}));
}

// The times are printed, not asserted: 65 ms to load, 0.7 us to match on a quiet machine with 2
// vCPU, -O2.
TEST(Ruleset, TenThousandRulesLoadAndMatch) {
  std::vector<TestRule> rules;
  for (int i = 0; i < 10'000; ++i) {
    const std::string n = std::to_string(i);
    if (i % 10 == 0) {
      TestRule regex;
      regex.regex = "/srv/app" + n + "/[^/]+/key[0-9]+";
      rules.push_back(regex);
    } else {
      rules.push_back(PathRule({"/srv/app" + n + "/*/conf-[a-z]*." + n,
                                i % 5 == 0 ? "/data/**/" + n + "/*" : "/opt/*/" + n + "/?*"}));
    }
  }
  const std::string json = OneGroup(rules).Json();
  const auto began = std::chrono::steady_clock::now();
  const auto ruleset = Ruleset::Parse(json);
  const auto loaded = std::chrono::steady_clock::now();
  ASSERT_TRUE(ruleset.ok());
  const Ruleset& rs = **ruleset;
  EXPECT_EQ(rs.Match("/srv/app17/x/conf-abc.17"), (MatchSet{17}));
  EXPECT_EQ(rs.Match("/data/a/b/c/25/f"), (MatchSet{25}));
  EXPECT_EQ(rs.Match("/opt/any/9999/f"), (MatchSet{9999}));
  EXPECT_EQ(rs.Match("/srv/app40/x/key7"), (MatchSet{40}));
  EXPECT_EQ(rs.CouldMatchIn("/srv/app40/x"), (MatchSet{40}));
  const auto matching = std::chrono::steady_clock::now();
  size_t matched = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string n = std::to_string(i);
    matched += rs.Match("/srv/app" + n + "/x/conf-abc." + n).size();
    matched += rs.Match("/data/a/b/" + n + "/f").size();
    matched += rs.Match("/srv/app" + n + "/x/key1").size();
  }
  const auto done = std::chrono::steady_clock::now();
  EXPECT_EQ(matched, 9000U + 1000U + 1000U);
  using std::chrono::duration;
  printf("10,000 rules: load %.1f ms, match %.2f us\n",
         duration<double, std::milli>(loaded - began).count(),
         duration<double, std::micro>(done - matching).count() / 30'000);
}

TEST(RulesetText, LeavesOutWhatOtherGroupsHold) {
  TestRule first;
  first.path = {"/first/*"};
  TestRule second;
  second.path = {"/second/*"};
  TestRuleset both;
  both.groups = {{{first}, false}, {{second}, false}};
  const auto text = RulesetText::Read(both.Json());
  ASSERT_TRUE(text.ok()) << text.error().Message();
  size_t resolved = 0;
  const auto resolver = [&](const std::string& base) {
    ++resolved;
    return base;
  };
  const auto ruleset = Ruleset::Parse(
      **text, resolver, [](const RuleGroup& group) { return group.name == "g1"; },
      Ruleset::Content::kHeld);
  ASSERT_TRUE(ruleset.ok()) << ruleset.error().Message();
  ASSERT_EQ((*ruleset)->rules().size(), 2U);
  EXPECT_EQ((*ruleset)->rules()[0].name, "");
  EXPECT_FALSE((*ruleset)->rules()[0].held);
  EXPECT_TRUE((*ruleset)->Match("/first/file").empty());
  EXPECT_EQ((*ruleset)->Match("/second/file"), MatchSet{1});
  EXPECT_EQ(resolved, 1U);
}

}  // namespace
}  // namespace fileward
