#include "native/decision/workload_set.h"

#include <algorithm>
#include <utility>

#include "native/base/volume_name.h"

namespace fileward {

std::vector<CoveredName> Covering::Names() const {
  std::vector<CoveredName> names;
  if (object != nullptr) {
    for (const ObjectName& name : object->names) names.push_back({name.path, *name.rules});
  }
  for (const Path& path : paths) names.push_back({path.path, path.matched});
  return names;
}

WorkloadRules* WorkloadSet::Of(WorkloadId workload) const {
  const auto found = workloads_.find(workload);
  return found == workloads_.end() ? nullptr : found->second.get();
}

void WorkloadSet::Swap(RulesetSwap& swap) {
  std::map<WorkloadId, std::unique_ptr<WorkloadRules>> leaving;
  if (swap.all) leaving.swap(workloads_);
  for (WorkloadRules& part : swap.parts) {
    if (!part.apps) part.apps = std::make_shared<AppIdentities>();
    std::unique_ptr<WorkloadRules>& rules = workloads_[part.workload];
    if (const auto old = leaving.extract(part.workload)) rules = std::move(old.mapped());
    if (!rules) rules = std::make_unique<WorkloadRules>();
    std::swap(*rules, part);
  }
  for (auto& [workload, rules] : leaving) {
    mounts_.Remove(workload);
    swap.parts.push_back(std::move(*rules));
  }
  IndexDevices();
}

std::unique_ptr<WorkloadRules> WorkloadSet::Take(WorkloadId workload) {
  auto taken = workloads_.extract(workload);
  if (!taken) return nullptr;
  mounts_.Remove(workload);
  IndexDevices();
  return std::move(taken.mapped());
}

void WorkloadSet::IndexDevices() {
  by_device_.clear();
  for (const auto& [workload, rules] : workloads_) {
    for (const uint64_t dev : rules->table.devices()) by_device_[dev].push_back(rules.get());
  }
}

void WorkloadSet::Add(AddName add) {
  WorkloadRules* const rules = Of(add.workload);
  if (rules == nullptr) return;
  rules->table.Add(add.identity, add.birth_ns, std::move(add.name));
  auto& here = by_device_[add.identity.dev];
  if (std::find(here.begin(), here.end(), rules) == here.end()) here.push_back(rules);
}

void WorkloadSet::Remove(const RemoveName& name) {
  if (auto* const rules = Of(name.workload)) rules->table.RemoveName(name.identity, name.path);
}

void WorkloadSet::Remove(const RemoveIdentity& identity) {
  if (auto* const rules = Of(identity.workload)) rules->table.Remove(identity.identity);
}

void WorkloadSet::Set(AppsChanged apps) {
  if (auto* const rules = Of(apps.workload)) rules->apps = std::move(apps.apps);
}

void WorkloadSet::Set(UsersChanged users) {
  if (auto* const rules = Of(users.workload)) rules->users = std::move(users.users);
}

// The host's mounts count without any rules of its own: containers' files are reached through them.
void WorkloadSet::Set(MountsChanged mounts) {
  if (mounts.workload == kHostWorkload || Of(mounts.workload) != nullptr) {
    mounts_.Set(mounts.workload, std::move(mounts.mounts));
  }
}

WorkloadSet::Found WorkloadSet::FindKnown(const FileAtMount& file) const {
  Found found;
  const auto here = by_device_.find(file.identity.dev);
  if (here == by_device_.end()) return found;
  for (const WorkloadRules* rules : here->second) {
    if (const Object* object = rules->table.Find(file.identity, file.birth_ns)) {
      found.coverings.push_back({rules, object, {}, {}});
    }
  }
  return found;
}

void WorkloadSet::MatchPath(WorkloadId workload, std::string path, Found& found) const {
  const WorkloadRules* const rules = Of(workload);
  if (rules == nullptr) return;
  MatchSet matched = rules->ruleset->Match(path);
  if (matched.empty()) return;
  const auto known =
      std::find_if(found.coverings.begin(), found.coverings.end(),
                   [&](const Covering& covering) { return covering.rules == rules; });
  Covering& covering = known == found.coverings.end()
                           ? found.coverings.emplace_back(Covering{rules, nullptr, {}, {}})
                           : *known;
  covering.paths.push_back({std::move(path), std::move(matched)});
}

// A text counts only on a mount that we know; what was opened through another (of a private mount
// namespace) is found again by its handle.
WorkloadSet::Found WorkloadSet::FindByPath(const FileAtMount& file, const std::string& text) const {
  Found found;
  if (text.empty()) return found;
  if (mounts_.ViewOf(kHostWorkload) == nullptr) {
    MatchPath(kHostWorkload, text, found);
    found.all_paths_known = true;
    return found;
  }
  if (const auto place = mounts_.PlaceOf(file.fd, file.identity.dev, file.mount_id, text)) {
    WorkloadMounts::Paths paths = mounts_.PathsOf(*place);
    for (WorkloadPath& path : paths.paths) {
      // In a new version of a volume, of which coverage has yet to tell.
      std::string stable = StableNameOf(path.path);
      if (!stable.empty() && IsOnVolumeOf(path.workload, file)) {
        MatchPath(path.workload, std::move(stable), found);
      }
      MatchPath(path.workload, std::move(path.path), found);
    }
    found.all_paths_known = paths.all;
    return found;
  }
  // An overlay has no such handles. There the text is taken where it says that rules cover the
  // file: who makes it lie gains nothing.
  for (const auto& [workload, rules] : workloads_) {
    if (rules->root.own_filesystem && rules->root.dev == file.identity.dev) {
      MatchPath(workload, text, found);
    }
  }
  return found;
}

bool WorkloadSet::IsOnRootOf(const WorkloadRules& rules, const FileAtMount& file) const {
  if (!rules.root.own_filesystem) return false;
  if (rules.root.dev == file.identity.dev) return true;
  // An overlay of layers on several filesystems gives its files other devices than its directories.
  const MountView* const view = mounts_.ViewOf(rules.workload);
  return view != nullptr && view->root_filesystem() != 0 &&
         view->root_filesystem() == mounts_.FilesystemOf(file.mount_id);
}

bool WorkloadSet::IsOnVolumeOf(WorkloadId workload, const FileAtMount& file) const {
  const WorkloadRules* const rules = Of(workload);
  return workload != kHostWorkload && rules != nullptr && !IsOnRootOf(*rules, file);
}

bool WorkloadSet::IsApp(const FileIdentity& identity) const {
  return std::any_of(workloads_.begin(), workloads_.end(), [&](const auto& entry) {
    return !entry.second->apps->ExesOf(identity).empty();
  });
}

std::string WorkloadSet::PathIn(WorkloadId workload, const FileAtMount& file, std::string text,
                                const std::string& covered) const {
  if (text.empty()) return covered;
  if (workload == kHostWorkload) return text;
  // Through a mount of its own: by the name that its process used.
  if (const MountView* const view = mounts_.ViewOf(workload)) {
    if (auto path = view->PathOf(file.mount_id, text)) return *path;
  }
  const auto place = mounts_.PlaceOf(file.fd, file.identity.dev, file.mount_id, text);
  if (!place) return covered;
  std::string first;
  for (WorkloadPath& path : mounts_.PathsOf(*place).paths) {
    if (path.workload != workload) continue;
    if (path.path == covered) return covered;
    if (first.empty()) first = std::move(path.path);
  }
  return first.empty() ? covered : first;
}

}  // namespace fileward
