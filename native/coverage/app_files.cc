#include "native/coverage/app_files.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "native/base/clock.h"
#include "native/coverage/exe_expansion.h"
#include "native/coverage/link_resolver.h"
#include "native/coverage/mark_set.h"
#include "native/coverage/sha256.h"
#include "native/kernel/fanotify_group.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

// A container may put anything of any size where an app should be; hashing holds the thread up.
constexpr uint64_t kMaxHashedBytesInContainer = uint64_t{256} << 20;

// Whoever writes there without end gets a fifth of the thread for it, and no more than once a
// second.
constexpr uint64_t kHashRest = 4;
constexpr uint64_t kHashRestNs = 1'000'000'000;

std::unordered_set<FileIdentity> RunningExecutables() {
  std::unordered_set<FileIdentity> running;
  for (const int32_t pid : ListProcesses()) {
    if (const auto exe = ExeIdentity(pid)) running.insert(*exe);
  }
  return running;
}

}  // namespace

const std::unordered_set<FileIdentity>& RunningApps::Get() {
  if (!running_) running_ = RunningExecutables();
  return *running_;
}

void AppFiles::Adopt(const Plan& plan, const std::vector<FollowedApp>& earlier,
                     RunningApps& running) {
  plan_ = &plan;
  const Ruleset& ruleset = plan.ruleset();
  std::vector<FollowedApp> before = earlier;
  for (const Exe& exe : exes_) {
    before.insert(before.end(), exe.earlier.begin(), exe.earlier.end());
    for (const auto& [path, status] : exe.current) {
      before.push_back({exe.pattern, path, status.identity, status.birth_ns, false});
    }
  }
  exes_.assign(ruleset.exes().size(), {});
  by_entry_.clear();
  sha256_.clear();
  hashed_by_handle_.clear();
  for (const Rule& rule : ruleset.rules()) {
    for (const AppEntry& app : rule.apps) {
      if (!app.sha256.empty() && app.exe) exes_[*app.exe].hashed = true;
    }
  }
  for (uint32_t index = 0; index < exes_.size(); ++index) {
    Exe& exe = exes_[index];
    const PathPattern& pattern = ruleset.exes()[index].pattern;
    exe.pattern = pattern.text();
    exe.script = ruleset.IsScript(index);
    exe.current = Resolve(index, pattern);
    for (const FollowedApp& app : before) {
      const auto named = exe.current.find(app.path);
      const bool is_current = named != exe.current.end() && named->second.identity == app.identity;
      const bool listed =
          std::any_of(exe.earlier.begin(), exe.earlier.end(),
                      [&](const FollowedApp& other) { return other.identity == app.identity; });
      if (app.pattern == exe.pattern && !is_current && !listed &&
          running.Get().contains(app.identity)) {
        exe.earlier.push_back(app);
      }
    }
    MarkAndHash(exe);
  }
}

std::string AppFiles::Hash(const std::string& path) const {
  const UniqueFd fd = disk_.OpenFile(path);
  if (!fd) return {};
  return Sha256OfFile(fd.get(), disk_.is_host() ? UINT64_MAX : kMaxHashedBytesInContainer);
}

std::map<std::string, FileStatus> AppFiles::Resolve(uint32_t index, const PathPattern& pattern) {
  std::map<std::string, FileStatus> files;
  if (!plan_->ResolvesExe(index)) return files;
  for (const PatternAlternative& alternative : pattern.alternatives()) {
    for (const std::string& path : ExpandAlternative(disk_, alternative)) {
      const auto status = disk_.StatusFollowing(path);
      if (status && status->IsRegular()) files[path] = *status;
      for (const std::string& entry : ResolveLinks(disk_, path).entries) {
        std::vector<uint32_t>& exes = by_entry_[entry];
        if (std::find(exes.begin(), exes.end(), index) == exes.end()) exes.push_back(index);
      }
    }
  }
  return files;
}

void AppFiles::MarkAndHash(Exe& exe) {
  if (!exe.script && !exe.hashed) return;
  for (const auto& [path, status] : exe.current) {
    const UniqueFd fd = disk_.Follow(path);
    Marked& marked = marked_[status.identity];
    if (fd && marked.handle_key.empty()) marked.handle_key = HandleKey(fd.get(), "");
    // The decision thread sees in the exec of a script what the interpreter then runs.
    if (fd && exe.script && !std::exchange(marked.script, true))
      marks_.MarkApp(status.identity, fd.get(), MarkSet::AppMark::kScript);
    if (!exe.hashed || sha256_.contains(status.identity)) continue;
    if (fd) {
      // Marked before it is read: whatever is written after is told.
      if (!std::exchange(marked.hashed, true))
        marks_.MarkApp(status.identity, fd.get(), MarkSet::AppMark::kHashed);
      hashed_by_handle_[marked.handle_key] = {status.identity, path, false, 0};
    }
    sha256_[status.identity] = Hash(path);
  }
}

void AppFiles::TakeBackMarks(
    const std::function<UniqueFd(const FileIdentity&, const std::string&)>& open) {
  for (const auto& [identity, marked] : marked_) {
    const UniqueFd fd = open(identity, marked.handle_key);
    if (marked.script) marks_.UnmarkApp(identity, fd.get(), MarkSet::AppMark::kScript);
    if (marked.hashed) marks_.UnmarkApp(identity, fd.get(), MarkSet::AppMark::kHashed);
  }
  marked_.clear();
}

bool AppFiles::Trusts(const std::string& path, FactWriter& facts, const Source& source) const {
  const auto status = disk_.StatusFollowing(path);
  const std::string real = ResolveLinks(disk_, path).real;
  Plan::Match match = plan_->MatchFile(real);
  const bool guarded =
      match.rules != nullptr &&
      std::any_of(match.rules->begin(), match.rules->end(), [&](uint32_t index) {
        const Rule& rule = facts.ruleset().rules()[index];
        return rule.behavior == Behavior::kBlock && rule.operations.Has(Operation::kWrite);
      });
  if (!status || !guarded) return true;
  if (facts.PackageManagerOf(source) != 0) return true;
  return facts.Judge({{match.covered_path, match.rules}}, source).listed;
}

bool AppFiles::Renew(uint32_t index, FactWriter& facts, const Source& source) {
  Exe& exe = exes_[index];
  std::map<std::string, FileStatus> found = Resolve(index, plan_->ruleset().exes()[index].pattern);
  std::map<std::string, FileStatus> next;
  bool changed = false;
  for (const auto& [path, status] : found) {
    const auto known = exe.current.find(path);
    if (known != exe.current.end() && known->second.SameFile(status)) {
      next[path] = status;
      continue;
    }
    if (const auto refused = exe.rejected.find(path);
        refused != exe.rejected.end() && refused->second.SameFile(status)) {
      continue;
    }
    const bool follows = source.silent || Trusts(path, facts, source);
    if (follows) {
      next[path] = status;
      exe.rejected.erase(path);
    } else {
      exe.rejected[path] = status;
    }
    facts.WriteAppReplaced(path, status, follows, source);
    changed = changed || follows;
  }
  for (const auto& [path, status] : exe.current) {
    const auto now = next.find(path);
    if (now != next.end() && now->second.SameFile(status)) continue;
    exe.earlier.push_back({exe.pattern, path, status.identity, status.birth_ns, false});
    changed = true;
  }
  exe.current = std::move(next);
  MarkAndHash(exe);
  return changed;
}

void AppFiles::Recheck(const Plan& plan, FactWriter& facts, const Source& source) {
  plan_ = &plan;
  by_entry_.clear();
  for (uint32_t index = 0; index < exes_.size(); ++index) (void)Renew(index, facts, source);
}

bool AppFiles::Touch(const std::string& path, FactWriter& facts, const Source& source) {
  std::vector<uint32_t> touched = plan_->ruleset().MatchExes(path);
  if (const auto found = by_entry_.find(path); found != by_entry_.end()) {
    touched.insert(touched.end(), found->second.begin(), found->second.end());
  }
  MakeSet(touched);
  bool changed = false;
  for (const uint32_t index : touched) changed = Renew(index, facts, source) || changed;
  return changed;
}

std::optional<FileIdentity> AppFiles::HashedFile(const std::string& handle_key) const {
  const auto found = hashed_by_handle_.find(handle_key);
  return found == hashed_by_handle_.end() ? std::nullopt : std::optional(found->second.identity);
}

bool AppFiles::ContentChanged(const std::string& handle_key, bool closed) {
  const auto found = hashed_by_handle_.find(handle_key);
  if (found == hashed_by_handle_.end()) return false;
  sha256_[found->second.identity].clear();
  found->second.due = closed;
  if (closed) HashDue(MonotonicNs());
  return true;
}

bool AppFiles::HashDue(uint64_t now_ns) {
  bool changed = false;
  for (auto& [handle, file] : hashed_by_handle_) {
    if (!file.due || now_ns < file.next_ns) continue;
    file.due = false;
    const uint64_t began_ns = MonotonicNs();
    sha256_[file.identity] = Hash(file.path);
    const uint64_t ended_ns = MonotonicNs();
    if (!disk_.is_host())
      file.next_ns = ended_ns + std::max(kHashRestNs, (ended_ns - began_ns) * kHashRest);
    changed = true;
  }
  return changed;
}

uint64_t AppFiles::NextHash() const {
  uint64_t due_ns = UINT64_MAX;
  for (const auto& [handle, file] : hashed_by_handle_) {
    if (file.due) due_ns = std::min(due_ns, file.next_ns);
  }
  return due_ns;
}

bool AppFiles::has_earlier() const {
  return std::any_of(exes_.begin(), exes_.end(),
                     [](const Exe& exe) { return !exe.earlier.empty(); });
}

bool AppFiles::DropEnded() {
  const auto running = RunningExecutables();
  size_t dropped = 0;
  for (Exe& exe : exes_) {
    dropped += std::erase_if(
        exe.earlier, [&](const FollowedApp& app) { return !running.contains(app.identity); });
  }
  return dropped > 0;
}

std::shared_ptr<const AppIdentities> AppFiles::Snapshot() const {
  std::unordered_map<FileIdentity, AppIdentities::App> apps;
  auto add = [&](const FileIdentity& identity, uint32_t index) {
    AppIdentities::App& app = apps[identity];
    if (std::find(app.exes.begin(), app.exes.end(), index) == app.exes.end())
      app.exes.push_back(index);
    if (const auto hash = sha256_.find(identity); hash != sha256_.end()) app.sha256 = hash->second;
  };
  for (uint32_t index = 0; index < exes_.size(); ++index) {
    for (const auto& [path, status] : exes_[index].current) add(status.identity, index);
    for (const FollowedApp& app : exes_[index].earlier) add(app.identity, index);
  }
  return std::make_shared<const AppIdentities>(std::move(apps));
}

std::vector<FollowedApp> AppFiles::Followed() const {
  std::vector<FollowedApp> followed;
  for (const Exe& exe : exes_)
    followed.insert(followed.end(), exe.earlier.begin(), exe.earlier.end());
  return followed;
}

void AppFiles::Describe(const Ruleset& ruleset, std::vector<RuleCoverage>& rules) const {
  for (uint32_t index = 0; index < rules.size(); ++index) {
    for (const AppEntry& app : ruleset.rules()[index].apps) {
      for (const auto& exe : {app.exe, app.script, app.ancestor}) {
        if (exe && plan_->ResolvesExe(*exe) && exes_[*exe].current.empty())
          rules[index].absent_apps.push_back(exes_[*exe].pattern);
      }
    }
    std::vector<std::string>& absent = rules[index].absent_apps;
    std::sort(absent.begin(), absent.end());
    absent.erase(std::unique(absent.begin(), absent.end()), absent.end());
  }
}

}  // namespace fileward
