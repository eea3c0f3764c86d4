// The text of a ruleset, as the native core reads it for the host, for `explain` and for a
// container.
//
// Held: it is a ruleset or an error with words, never an exception; what it is asked about paths,
// apps and questions stays inside its tables; and the three readings agree on rules and groups.
#include <cstdint>
#include <string>
#include <vector>

#include "native/decision/explain.h"
#include "native/decision/ruleset.h"
#include "test/fuzz/require.h"

namespace fileward {
namespace {

constexpr size_t kMostRegexes = 8;  // RE2 may take 256 MiB for a set of them

// The literal part of every pattern, and something below it.
std::vector<std::string> PathsOf(const Ruleset& ruleset) {
  std::vector<std::string> paths = {"/etc/shadow", "/a", "/usr/bin/a/b/c"};
  for (const Rule& rule : ruleset.rules()) {
    for (const PathPattern& pattern : rule.paths) {
      if (paths.size() > 32) return paths;
      const std::string base = pattern.LiteralBase();
      paths.push_back(base);
      paths.push_back((base == "/" ? "" : base) + "/x");
    }
  }
  return paths;
}

void RequireInside(const Ruleset& ruleset, const MatchSet& rules) {
  for (size_t i = 0; i < rules.size(); ++i) {
    Require(rules[i] < ruleset.rules().size());
    Require(i == 0 || rules[i - 1] < rules[i]);
  }
}

void Ask(const Ruleset& ruleset, const std::string& path) {
  const MatchSet match = ruleset.Match(path);
  RequireInside(ruleset, match);
  RequireInside(ruleset, ruleset.CouldMatchIn(path));
  RequireInside(ruleset, ruleset.CouldMatchBelow(path));
  for (const uint32_t exe : ruleset.MatchExes(path)) {
    Require(exe < ruleset.exes().size());
    ruleset.IsScript(exe);
  }
  ExplainQuery query;
  query.paths = {path, "/etc/shadow"};
  query.exe = ruleset.exes().empty() ? "/usr/bin/cat" : ruleset.exes()[0].pattern.LiteralBase();
  query.ancestors = {"/usr/bin/a"};
  query.user_id = 0;
  for (const Operation operation : kOperations) {
    for (const bool ungated : {false, true}) {
      query.operation = operation;
      query.ungated = ungated;
      const ExplainAnswer answer = Explain(ruleset, query);
      RequireInside(ruleset, answer.covering);
      const Decision& decision = answer.decision;
      Require((decision.rule_index == kNoRule) == (decision.outcome == Outcome::kNotCovered));
      Require((decision.verdict == Verdict::kDeny) == (decision.outcome == Outcome::kDenied));
      if (decision.rule_index == kNoRule) continue;
      const Rule& rule = ruleset.rules()[decision.rule_index];
      Require(decision.verdict != Verdict::kDeny ||
              (rule.behavior == Behavior::kBlock && rule.mode == Mode::kProtect && !ungated));
    }
  }
}

void Compare(const Ruleset& all, const Ruleset& held) {
  Require(all.rules().size() == held.rules().size());
  Require(all.groups().size() == held.groups().size());
  for (size_t i = 0; i < all.rules().size(); ++i) {
    Require(all.rules()[i].group == held.rules()[i].group);
  }
}

}  // namespace
}  // namespace fileward

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fileward;
  const std::string json(reinterpret_cast<const char*>(data), size);
  size_t regexes = 0;
  for (size_t at = json.find("regex"); at != std::string::npos; at = json.find("regex", at + 1)) {
    ++regexes;
  }
  if (regexes > kMostRegexes) return 0;
  const auto text = RulesetText::Read(json);
  if (!text.ok()) {
    Require(!text.error().Message().empty());
    return 0;
  }
  const BaseResolver resolver = [](const std::string& base) { return "/real" + base; };
  const auto nobody = [](const RuleGroup&) { return false; };
  const auto everybody = [](const RuleGroup&) { return true; };
  const auto all = Ruleset::Parse(**text, {}, everybody, Ruleset::Content::kAll);
  const auto held = Ruleset::Parse(**text, resolver, Ruleset::HoldsHost, Ruleset::Content::kHeld);
  const auto none = Ruleset::Parse(**text, resolver, nobody, Ruleset::Content::kHeld);
  if (!all.ok()) {
    Require(!all.error().Message().empty());
    return 0;
  }
  // What another group holds isn't read for a workload: it can only be more lenient.
  Require(held.ok() && none.ok(), "what all groups can be read of, one can");
  Compare(**all, **held);
  Compare(**all, **none);
  for (const std::string& path : PathsOf(**all)) {
    Ask(**all, path);
    RequireInside(**held, (*held)->Match(path));
    Require((*none)->Match(path).empty());
  }
  return 0;
}
