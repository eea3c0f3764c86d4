#include "native/process/workload_users.h"

#include <algorithm>
#include <charconv>

#include "native/kernel/proc_reader.h"

namespace fileward {
namespace {

constexpr const char* kPasswd = "/etc/passwd";

std::string_view TakeField(std::string_view& line) {
  const size_t end = line.find(':');
  const std::string_view field = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return field;
}

// name:password:uid:...; nothing of a line that isn't so.
std::optional<std::pair<std::string, uint32_t>> UserOf(std::string_view line) {
  const std::string_view name = TakeField(line);
  TakeField(line);
  const std::string_view number = TakeField(line);
  uint32_t uid = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), uid);
  if (name.empty() || error != std::errc{} || end != number.data() + number.size()) {
    return std::nullopt;
  }
  return std::pair(std::string(name), uid);
}

}  // namespace

std::shared_ptr<const WorkloadUsers> WorkloadUsers::Read(int root_fd, int32_t init_pid) {
  auto users = std::make_shared<WorkloadUsers>();
  users->init_pid_ = init_pid;
  const ProcText<16384> map(init_pid, "uid_map");
  std::string_view ranges = map.view();
  while (!ranges.empty()) {
    std::string_view line = TakeLine(ranges);
    Range range;
    range.inside = ParseNumber<uint32_t>(TakeWord(line));
    range.outside = ParseNumber<uint32_t>(TakeWord(line));
    range.count = ParseNumber<uint32_t>(TakeWord(line));
    users->ranges_.push_back(range);
  }
  const Result<FileContent> passwd = ReadInRoot(root_fd, init_pid, kPasswd, kMostPasswdBytes);
  if (!passwd) return users;
  users->passwd_ = passwd->version;
  std::string_view rest = passwd->bytes;
  while (!rest.empty() && users->users_.size() < kMostUsers) {
    // The last line of what was cut may be half a name.
    if (passwd->cut && rest.find('\n') == std::string_view::npos) break;
    if (auto user = UserOf(TakeLine(rest))) users->users_.push_back(*std::move(user));
  }
  // The first line of a name stays the first.
  std::stable_sort(users->users_.begin(), users->users_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  users->users_.shrink_to_fit();
  return users;
}

std::optional<uint32_t> WorkloadUsers::UidOf(std::string_view name) const {
  const auto found = std::lower_bound(
      users_.begin(), users_.end(), name,
      [](const auto& user, std::string_view wanted) { return user.first < wanted; });
  if (found == users_.end() || found->first != name) return std::nullopt;
  return found->second;
}

uint32_t WorkloadUsers::Inside(uint32_t host_uid) const {
  if (ranges_.empty()) return host_uid;
  for (const Range& range : ranges_) {
    const uint32_t offset = host_uid - range.outside;
    if (host_uid >= range.outside && offset < range.count) return range.inside + offset;
  }
  return kNobody;
}

bool WorkloadUsers::IsCurrent(int root_fd) const {
  return VersionInRoot(root_fd, init_pid_, kPasswd) == passwd_;
}

}  // namespace fileward
