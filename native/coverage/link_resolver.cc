#include "native/coverage/link_resolver.h"

#include <fcntl.h>

#include <algorithm>
#include <deque>

#include "native/base/unique_fd.h"
#include "native/coverage/file_status.h"
#include "native/coverage/workload_root.h"

namespace fileward {
namespace {

constexpr int kMaxLinks = 40;  // MAXSYMLINKS of the kernel
// What 40 links could ask for has no use but to keep us busy.
constexpr int kMaxSteps = 4096;

std::deque<std::string> Segments(std::string_view path) {
  std::deque<std::string> segments;
  size_t start = 0;
  while (start < path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    if (!segment.empty() && segment != ".") segments.emplace_back(segment);
    start = end + 1;
  }
  return segments;
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

void AddOnce(std::vector<std::string>& list, const std::string& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

}  // namespace

ResolvedPath ResolveLinks(const RootDirectory& root, std::string_view path) {
  ResolvedPath result;
  std::deque<std::string> pending = Segments(path);
  std::string at = "/";
  UniqueFd fd = root.OpenDirectory("/");
  int links = 0;
  for (int steps = 0; !pending.empty(); ++steps) {
    const std::string segment = pending.front();
    if (!fd) break;  // a file stands where a directory should: the rest is absent
    result.looped = steps == kMaxSteps;
    if (result.looped) break;
    pending.pop_front();
    if (segment == "..") {
      at = ParentOf(at);
      fd = root.OpenDirectory(at);
      continue;
    }
    const std::string entry = JoinPath(at, segment);
    AddOnce(result.directories, at);
    AddOnce(result.entries, entry);
    const auto status = root.StatusAt(fd.get(), segment);
    if (!status) {
      pending.push_front(segment);
      break;
    }
    if (status->IsSymlink()) {
      AddOnce(result.links, entry);
      if (++links > kMaxLinks) {
        result.looped = true;
        pending.push_front(segment);
        break;
      }
      const auto target = LinkTargetAt(fd.get(), segment.c_str());
      std::deque<std::string> next = Segments(target.value_or(""));
      if (target && target->starts_with('/')) {
        at.assign(1, '/');  // GCC 12 warns of = "/" by mistake (PR 105651)
        fd = root.OpenDirectory("/");
      }
      pending.insert(pending.begin(), next.begin(), next.end());
      continue;
    }
    at = entry;
    fd = status->IsDirectory() ? root.OpenDirectoryAt(fd.get(), segment) : UniqueFd();
  }
  result.exists = pending.empty();
  for (const std::string& segment : pending) at = JoinPath(at, segment);
  result.real = at;
  return result;
}

}  // namespace fileward
