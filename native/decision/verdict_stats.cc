#include "native/decision/verdict_stats.h"

#include <algorithm>

namespace fileward {

void VerdictHistogram::Record(uint64_t duration_ns) {
  const auto bound =
      std::lower_bound(kVerdictBoundsNs.begin(), kVerdictBoundsNs.end(), duration_ns);
  RuleCounters::Increment(buckets_[static_cast<size_t>(bound - kVerdictBoundsNs.begin())]);
  RuleCounters::Increment(sum_ns_, duration_ns);
}

}  // namespace fileward
