// Quiet answers by ruleset version, kept across swaps: the core begins new counters with each
// ruleset, and again when it resolves the same one anew. JavaScript thread only.
#ifndef FILEWARD_ADDON_QUIET_TOTALS_H_
#define FILEWARD_ADDON_QUIET_TOTALS_H_

#include <napi.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "native/decision/verdict_stats.h"

namespace fileward {

class QuietTotals {
 public:
  // The counters now in force of the decision thread and of coverage, null before the first
  // ruleset. To be called after each swap and before ToJs.
  void Observe(std::shared_ptr<const RuleCounters> decision,
               std::shared_ptr<const RuleCounters> coverage);

  // [{ ruleset_version, counts: BigUint64Array of read, write, exec for each rule }], the oldest
  // first.
  Napi::Array ToJs(Napi::Env env) const;

 private:
  // Three for each rule: read, write, exec.
  using Counts = std::vector<uint64_t>;
  static constexpr size_t kKeptVersions = 16;

  static void Add(const RuleCounters& counters, Counts& counts);

  std::array<std::shared_ptr<const RuleCounters>, 2> in_force_;
  // By version: what counters said when they were replaced.
  std::map<uint64_t, Counts> replaced_;
};

}  // namespace fileward

#endif  // FILEWARD_ADDON_QUIET_TOTALS_H_
