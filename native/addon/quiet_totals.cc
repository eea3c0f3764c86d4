#include "native/addon/quiet_totals.h"

#include <algorithm>
#include <utility>

namespace fileward {
namespace {

constexpr std::array kCounted = {Operation::kRead, Operation::kWrite, Operation::kExec};

}  // namespace

void QuietTotals::Observe(std::shared_ptr<const RuleCounters> decision,
                          std::shared_ptr<const RuleCounters> coverage) {
  std::array next = {std::move(decision), std::move(coverage)};
  for (size_t i = 0; i < next.size(); ++i) {
    if (next[i] == in_force_[i]) continue;
    // A replaced one is written no more, so what it says now is final.
    if (const auto& old = in_force_[i]; old != nullptr)
      Add(*old, replaced_[old->ruleset_version()]);
    in_force_[i] = std::move(next[i]);
  }
  while (replaced_.size() > kKeptVersions) replaced_.erase(replaced_.begin());
}

Napi::Array QuietTotals::ToJs(Napi::Env env) const {
  std::map<uint64_t, Counts> totals = replaced_;
  for (const auto& counters : in_force_) {
    if (counters != nullptr) Add(*counters, totals[counters->ruleset_version()]);
  }
  Napi::Array list = Napi::Array::New(env, totals.size());
  uint32_t index = 0;
  for (const auto& [version, counts] : totals) {
    Napi::BigUint64Array array = Napi::BigUint64Array::New(env, counts.size());
    std::copy(counts.begin(), counts.end(), array.Data());
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("ruleset_version", Napi::BigInt::New(env, version));
    entry.Set("counts", array);
    list.Set(index++, entry);
  }
  return list;
}

void QuietTotals::Add(const RuleCounters& counters, Counts& counts) {
  counts.resize(std::max(counts.size(), counters.rule_count() * kCounted.size()));
  for (uint32_t rule = 0; rule < counters.rule_count(); ++rule) {
    for (size_t i = 0; i < kCounted.size(); ++i) {
      counts[rule * kCounted.size() + i] += counters.quiet(rule, kCounted[i]);
    }
  }
}

}  // namespace fileward
