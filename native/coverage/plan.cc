#include "native/coverage/plan.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "native/kernel/fanotify_abi.h"

namespace fileward {
namespace {

constexpr Operations kOpenGated{Operation::kRead, Operation::kWrite};

}  // namespace

uint64_t NameEvents(bool has_rename_event) {
  const uint64_t moves = has_rename_event ? FAN_RENAME : FAN_MOVED_FROM | FAN_MOVED_TO;
  return FAN_CREATE | FAN_DELETE | moves;
}

Result<Plan> Plan::Make(const RootDirectory& root, const RulesetText& text, const GroupHolds& holds,
                        bool has_rename_event) {
  std::unordered_map<std::string, ResolvedPath> resolved;
  auto resolve = [&](const std::string& path) -> const ResolvedPath& {
    const auto found = resolved.find(path);
    return found != resolved.end() ? found->second
                                   : resolved.emplace(path, ResolveLinks(root, path)).first->second;
  };
  auto parsed = Ruleset::Parse(
      text, [&](const std::string& path) { return resolve(path).real; }, holds,
      root.is_host() ? Ruleset::Content::kAll : Ruleset::Content::kHeld);
  if (!parsed.ok()) return parsed.error();

  Plan plan;
  plan.root_ = &root;
  plan.ruleset_ = std::move(parsed.value());
  plan.name_events_ = NameEvents(has_rename_event);
  const auto rules = plan.ruleset_->rules();
  for (uint32_t index = 0; index < rules.size(); ++index) {
    if (!rules[index].held) continue;
    for (const PathPattern& pattern : rules[index].paths) {
      for (const PatternAlternative& alternative : pattern.alternatives()) {
        const ResolvedPath& found = resolve(alternative.written_base);
        if (alternative.base != found.real) continue;  // as written, where that leads elsewhere
        plan.AddWay(found, plan.deciding_entries_);
        plan.bases_.insert(alternative.Directory());
        plan.NoteStrict(index, alternative);
        if (alternative.literal) plan.literals_.insert(found.real);
        const bool elsewhere = found.real != alternative.written_base;
        plan.findings_.push_back({index,
                                  alternative.literal ? alternative.written_base : pattern.text(),
                                  alternative.written_base, elsewhere ? found.real : ""});
      }
    }
  }
  plan.ChooseExes();
  const auto exes = plan.ruleset_->exes();
  for (uint32_t index = 0; index < exes.size(); ++index) {
    if (!plan.ResolvesExe(index)) continue;
    for (const PatternAlternative& alternative : exes[index].pattern.alternatives()) {
      const ResolvedPath& found = resolve(alternative.written_base);
      plan.AddWay(found, plan.app_entries_);
      if (alternative.base == found.real) plan.way_directories_.insert(alternative.Directory());
    }
  }
  return plan;
}

void Plan::NoteStrict(uint32_t rule, const PatternAlternative& alternative) {
  const uint64_t mask = PermissionMask({rule});
  if (!ruleset_->rules()[rule].IsStrict() || mask == 0) return;
  const std::string base = alternative.Directory();
  strict_bases_[base] |= mask & ~uint64_t{FAN_PRE_ACCESS};
  const auto depth = [](const std::string& path) {
    return path == "/" ? 0 : std::count(path.begin(), path.end(), '/');
  };
  const bool any_depth = std::any_of(alternative.segments.begin(), alternative.segments.end(),
                                     [](const PatternSegment& segment) {
                                       return segment.kind == PatternSegment::Kind::kAnyDirectories;
                                     });
  if (any_depth || static_cast<std::ptrdiff_t>(alternative.segments.size()) > depth(base) + 1)
    strict_trees_[base] |= mask & ~uint64_t{FAN_PRE_ACCESS};
}

uint64_t Plan::FilesystemMask(const std::string& directory) const {
  uint64_t mask = 0;
  for (const auto& [base, wanted] : strict_trees_) {
    if (IsAtOrBelow(directory, base)) mask |= wanted;
  }
  return mask;
}

uint64_t Plan::BaseMask(const std::string& directory) const {
  const auto found = strict_bases_.find(directory);
  return found == strict_bases_.end() ? 0 : found->second;
}

void Plan::ChooseExes() {
  resolves_exe_.assign(ruleset_->exes().size(), root_->is_host());
  if (root_->is_host()) return;
  const auto choose = [&](std::optional<uint32_t> exe) {
    if (exe && !ruleset_->exes()[*exe].host) resolves_exe_[*exe] = true;
  };
  for (const Rule& rule : ruleset_->rules()) {
    if (!rule.held) continue;
    for (const AppEntry& app : rule.apps) {
      for (const auto& exe : {app.exe, app.script, app.ancestor}) choose(exe);
    }
  }
  for (const PackageManager& manager : ruleset_->package_managers()) {
    for (const auto& exes : {manager.exes, manager.scripts}) {
      for (const uint32_t exe : exes) choose(exe);
    }
  }
}

void Plan::AddWay(const ResolvedPath& resolved, std::unordered_set<std::string>& entries) {
  way_directories_.insert(resolved.directories.begin(), resolved.directories.end());
  entries.insert(resolved.entries.begin(), resolved.entries.end());
  links_.insert(resolved.links.begin(), resolved.links.end());
}

uint64_t Plan::PermissionMask(const MatchSet& rules) const {
  Operations gated;
  Operations strict;
  for (const uint32_t index : rules) {
    const Rule& rule = ruleset_->rules()[index];
    if (rule.behavior == Behavior::kBlock) gated.Add(rule.operations);
    if (rule.IsStrict()) strict.Add(rule.operations);
  }
  // An exec raises FAN_OPEN_PERM too, so the exec event is asked for only where nothing else is.
  const uint64_t access = strict.empty() ? 0 : FAN_PRE_ACCESS;
  if (gated.HasAny(kOpenGated)) return FAN_OPEN_PERM | access;
  if (gated.Has(Operation::kExec)) return FAN_OPEN_EXEC_PERM | access;
  return 0;
}

uint64_t Plan::ContentEvents(const MatchSet& rules) const {
  uint64_t mask = 0;
  for (const uint32_t index : rules) {
    const Rule& rule = ruleset_->rules()[index];
    if (rule.operations.Has(Operation::kWrite)) mask |= FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB;
    if (rule.behavior != Behavior::kWatch) continue;
    // Execs are asked for to tell them from reads.
    if (rule.operations.Has(Operation::kRead))
      mask |= FAN_OPEN | FAN_CLOSE_NOWRITE | FAN_CLOSE_WRITE | FAN_OPEN_EXEC;
    if (rule.operations.Has(Operation::kExec)) mask |= FAN_OPEN_EXEC;
  }
  return mask;
}

DirectoryNeeds Plan::NeedsOf(const std::string& directory) const {
  MatchSet inside = ruleset_->CouldMatchIn(directory);
  DirectoryNeeds needs;
  needs.recurse = !ruleset_->CouldMatchBelow(directory).empty();
  if (const std::string stable = StablePath(directory); !stable.empty()) {
    const MatchSet more = ruleset_->CouldMatchIn(stable);
    inside.insert(inside.end(), more.begin(), more.end());
    needs.recurse = needs.recurse || !ruleset_->CouldMatchBelow(stable).empty();
  }
  needs.files = !inside.empty();
  needs.permission_mask = PermissionMask(inside);
  needs.notification_mask = name_events_ | ContentEvents(inside);
  return needs;
}

std::string Plan::CommonBase() const {
  if (bases_.empty()) return {};
  // They are sorted: what the first and the last share, all share.
  const std::string& first = *bases_.begin();
  const std::string& last = *bases_.rbegin();
  if (IsAtOrBelow(last, first)) return first;
  const auto shared = std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first;
  const size_t slash = first.rfind('/', static_cast<size_t>(shared - first.begin()) - 1);
  return slash == 0 ? "/" : first.substr(0, slash);
}

bool Plan::CoversSame(const Plan& other) const {
  if (bases_ != other.bases_ || literals_ != other.literals_ ||
      way_directories_ != other.way_directories_ ||
      ruleset_->rules().size() != other.ruleset_->rules().size() ||
      ruleset_->max_depth() != other.ruleset_->max_depth() ||
      ruleset_->max_marks() != other.ruleset_->max_marks()) {
    return false;
  }
  auto same_texts = [](const std::vector<PathPattern>& left,
                       const std::vector<PathPattern>& right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](const PathPattern& a, const PathPattern& b) {
                        return a.is_regex() == b.is_regex() && a.text() == b.text();
                      });
  };
  for (size_t index = 0; index < ruleset_->rules().size(); ++index) {
    const Rule& left = ruleset_->rules()[index];
    const Rule& right = other.ruleset_->rules()[index];
    if (left.held != right.held || left.behavior != right.behavior || left.strict != right.strict ||
        !(left.operations == right.operations) || !same_texts(left.paths, right.paths) ||
        !same_texts(left.excepts, right.excepts)) {
      return false;
    }
  }
  return true;
}

void Plan::SetVolume(const std::string& directory, const std::string& target) {
  if (target.empty()) {
    volumes_.erase(directory);
  } else {
    volumes_[directory] = target;
  }
}

std::string Plan::StablePath(const std::string& path) const {
  for (const auto& [directory, target] : volumes_) {
    if (path != target && IsAtOrBelow(path, target)) return directory + path.substr(target.size());
    if (path == target) return directory;
  }
  return {};
}

std::string Plan::PathInVolume(const std::string& stable) const {
  for (const auto& [directory, target] : volumes_) {
    if (stable != directory && IsAtOrBelow(stable, directory))
      return target + stable.substr(directory.size());
  }
  return {};
}

bool Plan::IsVolumeInternal(const std::string& path) const {
  for (const auto& [directory, target] : volumes_) {
    if (path.size() <= directory.size() || !IsAtOrBelow(path, directory)) continue;
    if (path.compare(directory.size(), 3, "/..") == 0 && !IsAtOrBelow(path, target)) return true;
  }
  return false;
}

MatchRef Plan::Intern(MatchSet rules) const {
  MatchRef& shared = interned_[rules];
  if (shared == nullptr) shared = std::make_shared<const MatchSet>(std::move(rules));
  return shared;
}

Plan::Match Plan::MatchFile(const std::string& path) const {
  MatchSet rules = ruleset_->Match(path);
  std::string covered_path = path;
  if (!volumes_.empty()) {
    if (std::string stable = StablePath(path); !stable.empty()) {
      MatchSet more = ruleset_->Match(stable);
      if (!more.empty()) covered_path = std::move(stable);
      rules.insert(rules.end(), more.begin(), more.end());
      MakeSet(rules);
    }
  }
  if (rules.empty()) return {};
  return {Intern(std::move(rules)), std::move(covered_path)};
}

void Plan::Describe(std::vector<RuleCoverage>& rules) const {
  for (const PathFinding& finding : findings_) {
    RuleCoverage& rule = rules[finding.rule_index];
    if (!finding.real.empty())
      rule.resolved.push_back({finding.pattern, finding.base, finding.real});
    // Looked at now: it may have come or gone since the plan was made.
    if (root_->StatusFollowing(finding.base)) continue;
    rule.absent.push_back(finding.pattern);
    if (ruleset_->rules()[finding.rule_index].required) {
      rule.degraded.push_back({"absent", finding.pattern});
    }
  }
}

}  // namespace fileward
