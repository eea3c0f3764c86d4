#include "native/decision/pattern_trie.h"

#include <algorithm>

namespace fileward {
namespace {

using Kind = PatternSegment::Kind;

void AddAll(std::vector<uint32_t>& to, const std::vector<uint32_t>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

void MakeSet(std::vector<uint32_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

PatternTrie::NodeIndex PatternTrie::Step(NodeIndex from, const PatternSegment& segment) {
  const auto added = static_cast<NodeIndex>(nodes_.size());
  Node& node = nodes_[from];
  if (segment.kind == Kind::kAnyDirectories) {
    if (node.any_directories != 0) return node.any_directories;
    node.any_directories = added;
  } else if (segment.kind == Kind::kLiteral) {
    const auto [found, is_new] = node.literals.try_emplace(segment.text, added);
    if (!is_new) return found->second;
  } else {
    for (const auto& [glob, target] : node.globs) {
      if (glob == segment.text) return target;
    }
    node.globs.emplace_back(segment.text, added);
  }
  nodes_.emplace_back().loops = segment.kind == Kind::kAnyDirectories;
  return added;
}

void PatternTrie::Add(const PatternAlternative& alternative, uint32_t id) {
  NodeIndex at = 0;
  for (const PatternSegment& segment : alternative.segments) at = Step(at, segment);
  nodes_[at].ids.push_back(id);
}

void PatternTrie::Finish() {
  // Targets come behind their sources, so backwards each node's targets are complete.
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    const auto take = [&](NodeIndex target) {
      AddAll(node->ids_in, nodes_[target].ids);
      AddAll(node->ids_below, nodes_[target].ids);
      AddAll(node->ids_below, nodes_[target].ids_below);
    };
    for (const auto& [text, target] : node->literals) take(target);
    for (const auto& [glob, target] : node->globs) take(target);
    if (node->any_directories != 0) {
      AddAll(node->ids_below, nodes_[node->any_directories].ids_below);
    }
    MakeSet(node->ids);
    MakeSet(node->ids_in);
    MakeSet(node->ids_below);
  }
}

std::vector<PatternTrie::NodeIndex> PatternTrie::Walk(std::string_view path) const {
  std::vector<NodeIndex> active;
  std::vector<NodeIndex> next;
  const auto enter = [&](std::vector<NodeIndex>& nodes, NodeIndex node) {
    if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
    const NodeIndex any = nodes_[node].any_directories;
    if (any != 0 && std::find(nodes.begin(), nodes.end(), any) == nodes.end()) nodes.push_back(any);
  };
  enter(active, 0);
  for (size_t at = 0; at < path.size() && !active.empty();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    at = end + 1;
    if (name.empty()) continue;
    next.clear();
    for (const NodeIndex index : active) {
      const Node& node = nodes_[index];
      if (const auto found = node.literals.find(name); found != node.literals.end()) {
        enter(next, found->second);
      }
      for (const auto& [glob, target] : node.globs) {
        if (MatchGlobSegment(glob, name)) enter(next, target);
      }
      if (node.loops) enter(next, index);
    }
    active.swap(next);
  }
  return active;
}

std::vector<uint32_t> PatternTrie::Collect(std::string_view path,
                                           std::vector<uint32_t> Node::*field) const {
  std::vector<uint32_t> ids;
  const std::vector<NodeIndex> active = Walk(path);
  for (const NodeIndex node : active) AddAll(ids, nodes_[node].*field);
  if (active.size() > 1) MakeSet(ids);
  return ids;
}

std::vector<uint32_t> PatternTrie::Match(std::string_view path) const {
  return Collect(path, &Node::ids);
}

std::vector<uint32_t> PatternTrie::CouldMatchIn(std::string_view directory) const {
  return Collect(directory, &Node::ids_in);
}

std::vector<uint32_t> PatternTrie::CouldMatchBelow(std::string_view directory) const {
  return Collect(directory, &Node::ids_below);
}

std::vector<uint32_t> PatternTrie::MatchAllBelow(std::string_view directory) const {
  std::vector<uint32_t> ids;
  for (const NodeIndex index : Walk(directory)) {
    if (!nodes_[index].loops) continue;
    for (const auto& [glob, target] : nodes_[index].globs) {
      if (glob == "*") AddAll(ids, nodes_[target].ids);
    }
  }
  MakeSet(ids);
  return ids;
}

}  // namespace fileward
