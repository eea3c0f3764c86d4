#include "native/coverage/exe_expansion.h"

#include <dirent.h>

#include "native/coverage/file_status.h"
#include "native/coverage/workload_root.h"

namespace fileward {
namespace {

constexpr size_t kMaxPaths = 10'000;
constexpr size_t kMaxDirectories = 50'000;
// It may make them only to keep us busy.
constexpr size_t kMaxDirectoriesInContainer = 5'000;
constexpr int kMaxDepth = 64;

class Expansion {
 public:
  Expansion(const RootDirectory& root, const PatternAlternative& alternative)
      : root_(root), segments_(alternative.segments) {}

  void Expand(const std::string& path, size_t index, int depth) {
    if (paths.size() >= kMaxPaths || depth > kMaxDepth) return;
    if (index == segments_.size()) {
      paths.push_back(path);
      return;
    }
    const PatternSegment& segment = segments_[index];
    if (segment.kind == PatternSegment::Kind::kLiteral) {
      Expand(JoinPath(path, segment.text), index + 1, depth + 1);
      return;
    }
    const bool any = segment.kind == PatternSegment::Kind::kAnyDirectories;
    if (any) Expand(path, index + 1, depth);
    // Through links: what a path in the pattern's literal part names may be one.
    if (++directories_ > (root_.is_host() ? kMaxDirectories : kMaxDirectoriesInContainer)) return;
    const UniqueFd fd = root_.OpenDirectoryFollowing(path);
    if (!fd || IsPseudoFilesystem(fd.get())) return;
    std::vector<std::string> names;
    ForEachEntry(fd.get(), [&](const char* name, unsigned char type) {
      const bool wanted = any ? type == DT_DIR : MatchGlobSegment(segment.text, name);
      if (wanted) names.emplace_back(name);
    });
    for (const std::string& name : names)
      Expand(JoinPath(path, name), any ? index : index + 1, depth + 1);
  }

  std::vector<std::string> paths;

 private:
  const RootDirectory& root_;
  const std::vector<PatternSegment>& segments_;
  size_t directories_ = 0;
};

}  // namespace

std::vector<std::string> ExpandAlternative(const RootDirectory& root,
                                           const PatternAlternative& alternative) {
  Expansion expansion(root, alternative);
  expansion.Expand("/", 0, 0);
  return std::move(expansion.paths);
}

}  // namespace fileward
