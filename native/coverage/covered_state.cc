// The part of WorkloadCoverage that says which files are covered and how they looked when the last
// change of each was told.
#include <unordered_map>
#include <utility>

#include "native/coverage/workload_coverage.h"

namespace fileward {
namespace {

// Adds names with the rule that decides about their changes; what no rule asks for is left out.
class Collector {
 public:
  Collector(const Plan& plan, FactWriter& facts, CoveredFiles& files)
      : plan_(plan), facts_(facts), files_(files) {}

  bool Add(const KnownName& known, const FileStatus& status, const std::string& path) {
    const uint32_t rule = RuleOf(known);
    if (rule == kNoRule || plan_.IsVolumeInternal(path)) return false;
    files_.Add(known.covered_path, status, rule);
    return true;
  }

  void AddBelow(const Directory& directory, const std::string& path,
                const std::function<const CoveredObject*(const FileIdentity&)>& find) {
    for (const auto& [name, known] : directory.files) {
      if (const CoveredObject* object = find(known.identity))
        Add(known, object->status, JoinPath(path, name));
    }
    for (const auto& [name, child] : directory.children)
      AddBelow(*child, JoinPath(path, name), find);
  }

 private:
  // Names share few sets of rules.
  uint32_t RuleOf(const KnownName& known) {
    const auto [found, fresh] = rules_.try_emplace(known.rules, kNoRule);
    if (fresh) found->second = facts_.Judge({{known.covered_path, known.rules}}, {}).rule_index;
    return found->second;
  }

  const Plan& plan_;
  FactWriter& facts_;
  CoveredFiles& files_;
  std::unordered_map<MatchRef, uint32_t> rules_;
};

}  // namespace

void WorkloadCoverage::KeepFoundFiles() {
  if (!std::exchange(keeps_found_, false) || shared_.stopping.load(std::memory_order_acquire))
    return;
  found_files_ = AllCoveredFiles();
}

CoveredFiles WorkloadCoverage::TakeCoveredFiles() {
  if (found_files_) {
    CoveredFiles files = std::move(*found_files_);
    found_files_.reset();
    return files;
  }
  if (plan_ == nullptr) return {};
  const ChangedNames changed = table_.TakeChanged();
  return changed.all ? AllCoveredFiles() : CoveredFilesNamed(changed);
}

CoveredFiles WorkloadCoverage::AllCoveredFiles() {
  (void)table_.TakeChanged();
  CoveredFiles files(shared_.version, true);
  Collector(*plan_, facts_, files).AddBelow(table_.root(), "/", [&](const FileIdentity& identity) {
    return table_.FindObject(identity);
  });
  return files;
}

CoveredFiles WorkloadCoverage::CoveredFilesNamed(const ChangedNames& changed) {
  CoveredFiles files(shared_.version, false);
  Collector collector(*plan_, facts_, files);
  std::unordered_set<std::string> gone = changed.covered_paths;
  // All names by which something is covered, so that the same one of them is kept as among all
  // files.
  std::unordered_set<std::string> paths = changed.paths;
  for (const std::string& covered : changed.covered_paths) {
    paths.insert(covered);
    if (std::string inside = plan_->PathInVolume(covered); !inside.empty())
      paths.insert(std::move(inside));
  }
  for (const std::string& path : paths) {
    const size_t slash = path.rfind('/');
    const Directory* directory = table_.FindByPath(slash == 0 ? "/" : path.substr(0, slash));
    if (directory == nullptr) continue;
    const auto known = directory->files.find(path.substr(slash + 1));
    if (known == directory->files.end()) continue;
    const CoveredObject* object = table_.FindObject(known->second.identity);
    if (object != nullptr && collector.Add(known->second, object->status, path))
      gone.erase(known->second.covered_path);
  }
  for (const std::string& path : gone) files.AddGone(path);
  return files;
}

}  // namespace fileward
