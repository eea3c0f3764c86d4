#include "native/decision/deadline_denials.h"

#include <algorithm>

namespace fileward {
namespace {

bool Denies(const Rule& rule) {
  return rule.held && rule.behavior == Behavior::kBlock && rule.mode == Mode::kProtect &&
         rule.on_deadline == Verdict::kDeny;
}

bool AnyDenies(const WorkloadRules& rules) {
  return std::ranges::any_of(rules.ruleset->rules(), Denies);
}

// Of each group the first rule that has the operation decides, as in Evaluate.
void AddDenied(const WorkloadRules& rules, const Object& object, Operations& denied) {
  for (const ObjectName& name : object.names) {
    for (const Operation operation : kOperations) {
      uint32_t decided_group = kNoRule;
      for (const uint32_t index : *name.rules) {
        const Rule& rule = rules.ruleset->rules()[index];
        if (rule.group == decided_group || !rule.operations.Has(operation)) continue;
        decided_group = rule.group;
        if (Denies(rule)) denied.Add(operation);
      }
    }
  }
}

}  // namespace

void DeadlineDenials::Rebuild() {
  journal_.keep.store(std::ranges::any_of(
      workloads_.all(), [](const auto& entry) { return AnyDenies(*entry.second); }));
  if (!journal_.keep.load() && journal_.denials.size() == 0) return;
  journal_.denials.Replace([&](const auto& add) {
    for (const auto& [workload, rules] : workloads_.all()) {
      if (!AnyDenies(*rules)) continue;
      for (const auto& [file, object] : rules->table.objects()) add(file, DeniedOf(file));
    }
  });
}

void DeadlineDenials::Update(const FileIdentity& file) {
  if (journal_.keep.load()) journal_.denials.Set(file, DeniedOf(file));
}

// By all workloads: what one of them denies is denied.
Operations DeadlineDenials::DeniedOf(const FileIdentity& file) const {
  Operations denied;
  for (const auto& [workload, rules] : workloads_.all()) {
    if (const Object* const object = rules->table.Find(file, 0)) AddDenied(*rules, *object, denied);
  }
  return denied;
}

}  // namespace fileward
