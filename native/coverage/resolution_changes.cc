// The part of WorkloadCoverage that follows links: on the way of a pattern, and `..data` of a
// volume that is written atomically.
#include <algorithm>
#include <utility>

#include "native/coverage/link_resolver.h"
#include "native/coverage/workload_coverage.h"

namespace fileward {

// A link on the way of a pattern changed: the same rules, resolved as the disk is now.
void WorkloadCoverage::ResolveAgain() {
  const auto [path, changed_by] = *std::exchange(resolution_change_, std::nullopt);
  const size_t slash = path.rfind('/');
  const std::string parent = slash == 0 ? "/" : path.substr(0, slash);
  Source source = changed_by;
  if (const Directory* directory = table_.FindByPath(parent))
    source.silent = source.silent || !facts_.RulesSpeak(source, directory->identity.dev);
  const bool volume = path.ends_with("/..data");
  if (volume && !plan_->DecidesResolution(path)) {
    SwapVolume(parent, source);
    return;
  }
  auto plan = MakePlan(*shared_.ruleset_text);
  if (!plan.ok()) return;  // it could be parsed before
  const StableNames stable = NamesInVolumes();
  const size_t objects_before = table_.object_count();
  const bool was_link = plan_->WasLink(path);
  apps_.Recheck(**plan, facts_, changed_by);
  Cover(std::move(*plan), true);
  shared_.swap_alone(Part());
  Finish();
  WriteVolumeChanges(stable, source);
  if (volume || !was_link) return;
  // One record for the tree that the name now stands for.
  Fact fact;
  fact.change = Change::kDirectoryMoved;
  fact.flags = EventFlag::kDirectory | EventFlag::kReplaced;
  fact.path = path;
  const std::string real = ResolveLinks(*root_, path).real;
  table_.ForEachObject([&](CoveredObject& object) {
    for (const CoveredObject::Name& at : object.names) {
      const KnownName& known = at.directory->files.at(at.name);
      if (!IsAtOrBelow(known.covered_path, real)) continue;
      ++fact.count;
      const bool counted =
          std::any_of(fact.names.begin(), fact.names.end(),
                      [&](const CoveredBy& by) { return by.rules == known.rules; });
      if (!counted) fact.names.push_back({known.covered_path, known.rules});
    }
  });
  if (fact.count > 0 || objects_before != table_.object_count()) facts_.Write(fact, source);
}

// No pattern's literal part leads through it: only the names in its directory change.
void WorkloadCoverage::SwapVolume(const std::string& directory_path, const Source& source) {
  Directory* directory = table_.FindByPath(directory_path);
  if (directory == nullptr) return;
  const StableNames before = NamesInVolumes();
  plan_->SetVolume(directory_path, {});
  walk_.WalkAgain(*directory);
  WriteVolumeChanges(before, source);
}

WorkloadCoverage::StableNames WorkloadCoverage::NamesInVolumes() {
  StableNames names;
  table_.ForEachObject([&](CoveredObject& object) {
    for (const CoveredObject::Name& at : object.names) {
      const KnownName& known = at.directory->files.at(at.name);
      if (known.covered_path != table_.PathOf(*at.directory, at.name)) {
        names[known.covered_path] = {known.rules, object.status};
      }
    }
  });
  return names;
}

// What a swap of `..data` put in place, by stable names.
void WorkloadCoverage::WriteVolumeChanges(const StableNames& before, const Source& source) {
  Findings findings;
  const StableNames after = NamesInVolumes();
  for (const auto& [path, now] : after) {
    const auto was = before.find(path);
    if (was == before.end()) {
      findings.push_back(
          {Finding::Kind::kAppeared, path, now.first, std::nullopt, now.second, false});
    } else if (!was->second.second.SameFile(now.second)) {
      findings.push_back(
          {Finding::Kind::kReplaced, path, now.first, was->second.second, now.second, false});
    }
  }
  for (const auto& [path, was] : before) {
    if (!after.contains(path)) {
      findings.push_back(
          {Finding::Kind::kVanished, path, was.first, was.second, std::nullopt, true});
    }
  }
  changes_.WriteFindings(findings, source);
}

}  // namespace fileward
