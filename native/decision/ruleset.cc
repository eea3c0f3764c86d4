#include "native/decision/ruleset.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "native/decision/regex_set.h"

namespace fileward {
namespace {

std::vector<uint32_t> Without(const std::vector<uint32_t>& ids,
                              const std::vector<uint32_t>& taken) {
  std::vector<uint32_t> left;
  std::set_difference(ids.begin(), ids.end(), taken.begin(), taken.end(), std::back_inserter(left));
  return left;
}

// 0, or the first manager that one of `exes` stands for.
uint8_t FirstManager(const std::vector<uint8_t>& manager_of, std::span<const uint32_t> exes) {
  uint8_t first = 0;
  for (const uint32_t exe : exes) {
    const uint8_t manager = manager_of[exe];
    if (manager != 0 && (first == 0 || manager < first)) first = manager;
  }
  return first;
}

bool StartsWithDirectory(std::string_view path, std::string_view directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

}  // namespace

Ruleset::Ruleset() : regexes_(std::make_unique<RegexSet>()) {}
Ruleset::~Ruleset() = default;

void Ruleset::Index() {
  for (uint32_t index = 0; index < rules_.size(); ++index) {
    for (const PathPattern& pattern : rules_[index].paths) {
      PatternTrie& trie = pattern.is_regex() ? regex_trie_ : path_trie_;
      for (const auto& alternative : pattern.alternatives()) trie.Add(alternative, index);
    }
    for (const PathPattern& pattern : rules_[index].excepts) {
      for (const auto& alternative : pattern.alternatives()) except_trie_.Add(alternative, index);
    }
  }
  for (uint32_t index = 0; index < exes_.size(); ++index) {
    for (const auto& alternative : exes_[index].pattern.alternatives()) {
      exe_trie_.Add(alternative, index);
    }
  }
  for (PatternTrie* trie : {&path_trie_, &except_trie_, &exe_trie_, &regex_trie_}) trie->Finish();
  package_manager_of_exe_.assign(exes_.size(), 0);
  package_manager_of_script_.assign(exes_.size(), 0);
  for (size_t manager = package_managers_.size(); manager-- > 0;) {
    for (const uint32_t exe : package_managers_[manager].exes) {
      package_manager_of_exe_[exe] = static_cast<uint8_t>(manager + 1);
    }
    for (const uint32_t script : package_managers_[manager].scripts) {
      package_manager_of_script_[script] = static_cast<uint8_t>(manager + 1);
    }
  }
}

MatchSet Ruleset::Match(std::string_view path) const {
  std::vector<uint32_t> rules = path_trie_.Match(path);
  const std::vector<uint32_t> candidates = regex_trie_.Match(path);
  if (!candidates.empty()) {
    std::vector<uint32_t> matched = regexes_->Match(path);
    // A regex says nothing about where links lead: a resolved path is matched as it would be
    // written.
    for (const uint32_t rule : candidates) {
      for (const auto& alternative : rules_[rule].paths.front().alternatives()) {
        if (alternative.base == alternative.written_base ||
            !StartsWithDirectory(path, alternative.base)) {
          continue;
        }
        const std::string written =
            alternative.written_base + std::string(path.substr(alternative.base.size()));
        const std::vector<uint32_t> also = regexes_->Match(written);
        if (std::binary_search(also.begin(), also.end(), rule)) matched.push_back(rule);
      }
    }
    rules.insert(rules.end(), matched.begin(), matched.end());
    MakeSet(rules);
  }
  return rules.empty() ? rules : Without(rules, except_trie_.Match(path));
}

MatchSet Ruleset::MatchInGroups(std::string_view path, std::span<const uint32_t> groups) const {
  MatchSet match = Match(path);
  std::erase_if(match, [&](uint32_t rule) {
    return std::find(groups.begin(), groups.end(), rules_[rule].group) == groups.end();
  });
  return match;
}

MatchSet Ruleset::CouldMatch(std::vector<uint32_t> by_glob, const std::vector<uint32_t>& by_regex,
                             const std::vector<uint32_t>& excepted) {
  by_glob.insert(by_glob.end(), by_regex.begin(), by_regex.end());
  MakeSet(by_glob);
  return excepted.empty() ? std::move(by_glob) : Without(by_glob, excepted);
}

MatchSet Ruleset::CouldMatchIn(std::string_view directory) const {
  return CouldMatch(path_trie_.CouldMatchIn(directory), regex_trie_.CouldMatchIn(directory),
                    except_trie_.MatchAllBelow(directory));
}

MatchSet Ruleset::CouldMatchBelow(std::string_view directory) const {
  return CouldMatch(path_trie_.CouldMatchBelow(directory), regex_trie_.CouldMatchBelow(directory),
                    except_trie_.MatchAllBelow(directory));
}

std::vector<uint32_t> Ruleset::MatchExes(std::string_view path) const {
  return exe_trie_.Match(path);
}

uint8_t Ruleset::PackageManagerOf(std::span<const uint32_t> exes) const {
  return FirstManager(package_manager_of_exe_, exes);
}

uint8_t Ruleset::PackageManagerOfScript(std::span<const uint32_t> scripts) const {
  return FirstManager(package_manager_of_script_, scripts);
}

bool Ruleset::IsRuntime(std::span<const uint32_t> exes) const {
  return std::any_of(exes.begin(), exes.end(), [&](uint32_t exe) { return is_runtime_[exe]; });
}

const std::string* Ruleset::UserName(uint32_t user_id) const {
  const auto found = user_names_.find(user_id);
  return found == user_names_.end() ? nullptr : &found->second;
}

}  // namespace fileward
