// Resolves a path as written through the links on its way, inside one root and never out of it, and
// says where a change would make it resolve elsewhere.
#ifndef FILEWARD_COVERAGE_LINK_RESOLVER_H_
#define FILEWARD_COVERAGE_LINK_RESOLVER_H_

#include <string>
#include <string_view>
#include <vector>

namespace fileward {

class RootDirectory;

struct ResolvedPath {
  // Without links as far as the path exists; what is absent follows as written.
  std::string real;
  bool exists = false;
  bool looped = false;  // more links than the kernel follows (40), or longer ones
  // Real paths of the directories looked into, each once: they need name events.
  std::vector<std::string> directories;
  // Real paths of the entries that decided: a change to one of them calls for a new look.
  std::vector<std::string> entries;
  std::vector<std::string> links;  // those of `entries` that are links
};

// `path` is absolute. Empty segments and "." vanish; ".." is taken as the kernel takes it.
ResolvedPath ResolveLinks(const RootDirectory& root, std::string_view path);

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_LINK_RESOLVER_H_
