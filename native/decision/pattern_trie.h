// Patterns by segment: one walk down a path finds every pattern that matches it, however many there
// are.
//
// Contract: Add everything, then Finish once; after that all calls are const and safe from any
// thread. An `id` may be added many times; answers are sorted and hold each id once. Cost: a hash
// lookup per segment and literal step, one glob comparison per distinct wildcard segment that is
// reachable. Why not one RE2::Set for all patterns: with 10,000 rules of two globs each it took
// 1,015 ms to compile and 360 us to match a path, this 65 ms and 0.7 us (2 vCPU, -O2;
// decision_ruleset_test.cc); coverage needs to know what could match below a directory; and `?` has
// to take a whole UTF-8 character or one byte that is none.
#ifndef FILEWARD_DECISION_PATTERN_TRIE_H_
#define FILEWARD_DECISION_PATTERN_TRIE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "native/decision/path_pattern.h"

namespace fileward {

// Lets maps keyed by std::string be asked with a std::string_view.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

class PatternTrie {
 public:
  PatternTrie() : nodes_(1) {}

  void Add(const PatternAlternative& alternative, uint32_t id);
  // Works out the answers about directories.
  void Finish();

  // Ids of the patterns that match `path`.
  std::vector<uint32_t> Match(std::string_view path) const;
  // Ids of the patterns that could match an entry of `directory` / a path anywhere below it.
  std::vector<uint32_t> CouldMatchIn(std::string_view directory) const;
  std::vector<uint32_t> CouldMatchBelow(std::string_view directory) const;
  // Ids of the patterns that match every path below `directory`.
  std::vector<uint32_t> MatchAllBelow(std::string_view directory) const;

 private:
  using NodeIndex = uint32_t;
  struct Node {
    std::unordered_map<std::string, NodeIndex, TextHash, std::equal_to<>> literals;
    std::vector<std::pair<std::string, NodeIndex>> globs;
    NodeIndex any_directories = 0;  // 0: none
    bool loops = false;             // is the target of an any_directories edge: stays active
    std::vector<uint32_t> ids;      // patterns that end here
    std::vector<uint32_t> ids_in;
    std::vector<uint32_t> ids_below;
  };

  NodeIndex Step(NodeIndex from, const PatternSegment& segment);
  std::vector<NodeIndex> Walk(std::string_view path) const;
  std::vector<uint32_t> Collect(std::string_view path, std::vector<uint32_t> Node::*field) const;

  std::vector<Node> nodes_;
};

// Sorts and removes duplicates.
void MakeSet(std::vector<uint32_t>& ids);

}  // namespace fileward

#endif  // FILEWARD_DECISION_PATTERN_TRIE_H_
