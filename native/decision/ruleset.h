// The compiled rules, immutable: what src/policy/ruleset.ts wrote, with its patterns in tries.
//
// Thread-safety: const after Parse; any thread may match at the same time. RE2's own short lock is
// the only one, and only where a `regex:` rule could match; nobody opens a file while holding it.
// Cost: 10,000 rules load in 65 ms and match a path in 0.7 us (pattern_trie.h says against what).
#ifndef FILEWARD_DECISION_RULESET_H_
#define FILEWARD_DECISION_RULESET_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "native/base/result.h"
#include "native/decision/operations.h"
#include "native/decision/path_pattern.h"
#include "native/decision/pattern_trie.h"
#include "native/event/event_record.h"

namespace fileward {

class RegexSet;

enum class Behavior : uint8_t { kWatch, kBlock };

// All criteria that are given must hold. `exe`, `script` and `ancestor` are indexes in
// Ruleset::exes().
struct AppEntry {
  Operations operations;
  std::optional<uint32_t> exe;
  std::optional<uint32_t> script;
  std::optional<uint32_t> ancestor;
  bool children = false;  // `exe` or any process that has it as an ancestor
  bool host = false;      // a process of the host's, whatever workload the rule guards
  std::optional<uint32_t> user_id;
  std::string unit;    // empty: not asked
  std::string sha256;  // empty: not asked; lower-case hex
  bool package_manager = false;
};

struct Rule {
  std::string name;
  uint32_t group = 0;
  bool held = false;  // by the workload of this ruleset; otherwise it has no patterns
  std::vector<PathPattern> paths;
  std::vector<PathPattern> excepts;
  Behavior behavior = Behavior::kWatch;
  Operations operations;
  Mode mode = Mode::kMonitor;
  std::vector<AppEntry> apps;
  bool changes_quiet = false;  // of a listed app
  Verdict on_deadline = Verdict::kAllow;
  bool runtime = true;
  bool strict = false;
  bool required = false;

  // Strict is about what is denied: a `watch` rule holds nobody up.
  bool IsStrict() const { return strict && behavior == Behavior::kBlock; }
};

struct RuleGroup {
  std::string name;
  bool host = false;
  uint32_t first_rule = 0;
  uint32_t rule_count = 0;
};

// The JSON of a ruleset, read once for all workloads that take their rules of it. Immutable.
class RulesetText {
 public:
  static Result<std::shared_ptr<const RulesetText>> Read(std::string json);
  ~RulesetText();
  RulesetText(const RulesetText&) = delete;
  RulesetText& operator=(const RulesetText&) = delete;

 private:
  friend class RulesetParser;
  struct Tree;
  RulesetText();
  const std::unique_ptr<Tree> tree_;
};

// Which groups have the workload of a ruleset as a member.
using GroupHolds = std::function<bool(const RuleGroup& group)>;

struct ExePattern {
  PathPattern pattern;
  bool host = false;  // the host's file, whatever workload the rule guards
};

struct PackageManager {
  std::string name;
  std::vector<uint32_t> exes;
  std::vector<uint32_t> scripts;  // whoever runs one counts, its interpreter alone doesn't
};

// Indexes of rules through all groups, ascending (configuration order), each once.
using MatchSet = std::vector<uint32_t>;

class Ruleset {
 public:
  // The ruleset of one workload: the host's, or whose groups `holds` names. Rules keep their
  // numbers, but those of other groups cover nothing. `resolver`, when given, says where the
  // literal part of each pattern leads in the workload's root; both spellings then match.
  static Result<std::shared_ptr<const Ruleset>> Parse(std::string_view json,
                                                      const BaseResolver& resolver = {},
                                                      const GroupHolds& holds = HoldsHost);
  // kHeld: what other groups hold is left out, all but the rules' numbers, and an exe that nothing
  // else names isn't resolved. For containers, of which there may be many.
  enum class Content : uint8_t { kAll, kHeld };
  static Result<std::shared_ptr<const Ruleset>> Parse(const RulesetText& text,
                                                      const BaseResolver& resolver,
                                                      const GroupHolds& holds, Content content);
  static bool HoldsHost(const RuleGroup& group) { return group.host; }
  ~Ruleset();
  Ruleset(const Ruleset&) = delete;
  Ruleset& operator=(const Ruleset&) = delete;

  std::span<const Rule> rules() const { return rules_; }
  std::span<const RuleGroup> groups() const { return groups_; }
  std::span<const ExePattern> exes() const { return exes_; }
  std::span<const PackageManager> package_managers() const { return package_managers_; }
  uint32_t max_marks() const { return max_marks_; }
  uint32_t max_depth() const { return max_depth_; }
  uint64_t deadline_ns() const { return deadline_ns_; }

  // The rules that cover `path` (absolute, no trailing slash) and don't except it.
  MatchSet Match(std::string_view path) const;
  // Of these only the named groups' (indexes): explain.
  MatchSet MatchInGroups(std::string_view path, std::span<const uint32_t> groups) const;

  // For coverage: rules that could cover an entry of `directory` / something anywhere below
  // it. Errs on the side of yes, but not where an `except` takes the whole directory out.
  MatchSet CouldMatchIn(std::string_view directory) const;
  MatchSet CouldMatchBelow(std::string_view directory) const;

  // Indexes of the exe patterns whose text matches `path`: what the path would be, not what the
  // file is.
  std::vector<uint32_t> MatchExes(std::string_view path) const;

  // 0 none, else 1 + index in package_managers() of the first that has one of `exes`.
  uint8_t PackageManagerOf(std::span<const uint32_t> exes) const;
  // The same for a script that is run, by the patterns that it matches.
  uint8_t PackageManagerOfScript(std::span<const uint32_t> scripts) const;
  // True when `exe` is named as a script: by an app entry or as a package manager's.
  bool IsScript(uint32_t exe) const { return is_script_[exe]; }
  // True when one of `exes`, the host's, is a container runtime.
  bool IsRuntime(std::span<const uint32_t> exes) const;

  // The name by which the configuration gave this user, when it is to be looked up in the
  // workload's own passwd; nullptr: it is a number.
  const std::string* UserName(uint32_t user_id) const;

 private:
  friend class RulesetParser;
  Ruleset();
  void Index();
  static MatchSet CouldMatch(std::vector<uint32_t> by_glob, const std::vector<uint32_t>& by_regex,
                             const std::vector<uint32_t>& excepted);

  std::vector<Rule> rules_;
  std::vector<RuleGroup> groups_;
  std::vector<ExePattern> exes_;
  std::vector<PackageManager> package_managers_;
  std::vector<uint8_t> package_manager_of_exe_;
  std::vector<uint8_t> package_manager_of_script_;
  std::vector<bool> is_script_;
  std::vector<bool> is_runtime_;
  std::unordered_map<uint32_t, std::string> user_names_;
  uint32_t max_marks_ = 0;
  uint32_t max_depth_ = 0;
  uint64_t deadline_ns_ = 0;

  PatternTrie path_trie_;    // ids: rules
  PatternTrie except_trie_;  // ids: rules
  PatternTrie exe_trie_;     // ids: exes
  PatternTrie regex_trie_;   // ids: rules; the shapes of the regexes, to be confirmed
  std::unique_ptr<RegexSet> regexes_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_RULESET_H_
