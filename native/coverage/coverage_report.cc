#include "native/coverage/coverage_report.h"

#include <atomic>

#include "native/kernel/fanotify_group.h"

namespace fileward {

CoverageReport BuildReport(const Plan& plan, DirectoryTable& table, const TreeWalk& walk,
                           const AppFiles& apps) {
  CoverageReport report;
  const Ruleset& ruleset = plan.ruleset();
  report.rules.resize(ruleset.rules().size());
  for (uint32_t index = 0; index < report.rules.size(); ++index)
    report.rules[index].rule_index = index;
  table.ForEachBelow(table.root(), [&](Directory& directory) {
    if (!directory.walked) return;
    for (const uint32_t rule : ruleset.CouldMatchIn(table.PathOf(directory)))
      ++report.rules[rule].directories;
    for (const auto& [name, known] : directory.files) {
      for (const uint32_t rule : *known.rules) ++report.rules[rule].files;
    }
  });
  plan.Describe(report.rules);
  apps.Describe(ruleset, report.rules);
  for (const TreeWalk::Trouble& trouble : walk.troubles()) {
    const std::string detail =
        trouble.detail.empty() ? trouble.path : trouble.path + ": " + trouble.detail;
    MatchSet rules = ruleset.CouldMatchBelow(trouble.path);
    if (rules.empty()) rules = ruleset.Match(trouble.path);
    for (const uint32_t rule : rules) {
      if (trouble.reason == Failure::kStrictUnavailable && !ruleset.rules()[rule].IsStrict())
        continue;
      report.rules[rule].degraded.push_back({std::string(FailureName(trouble.reason)), detail});
    }
  }
  return report;
}

CoverageReport InspectCoverage(std::string_view ruleset_json) {
  const std::unique_ptr<RootDirectory> root = RootDirectory::OfHost();
  const auto text = RulesetText::Read(std::string(ruleset_json));
  auto plan =
      text.ok() ? Plan::Make(*root, **text, Ruleset::HoldsHost, true) : Result<Plan>(text.error());
  CoverageReport report;
  if (!plan.ok()) {
    report.error = plan.error().Message();
    return report;
  }
  DirectoryTable table(*root);
  // Only root may ask what a filesystem has; others are told nothing of it.
  KernelFeatures features;
  features.pre_content = true;
  Result<PermissionGroup> probe = PermissionGroup::Open(features);
  MarkSet marks(probe.ok() ? &probe.value() : nullptr);
  const std::atomic<bool> stopping{false};
  TreeWalk walk(kHostWorkload, table, marks, nullptr, stopping);
  AppFiles apps(*root, marks);
  RunningApps running;
  walk.SetPlan(&plan.value(), true);
  walk.WalkAll(nullptr);
  apps.Adopt(plan.value(), {}, running);
  report = BuildReport(plan.value(), table, walk, apps);
  report.permission_marks = marks.permission_count();
  report.notification_marks = marks.notification_count();
  return report;
}

}  // namespace fileward
