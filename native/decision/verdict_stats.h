// What the decision thread counts: plain arrays of relaxed counters, written by one thread, copied
// by any.
#ifndef FILEWARD_DECISION_VERDICT_STATS_H_
#define FILEWARD_DECISION_VERDICT_STATS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "native/event/event_record.h"

namespace fileward {

// Quiet answers per rule and operation of one ruleset version. Each RuleCounters has one writing
// thread.
class RuleCounters {
 public:
  RuleCounters(uint64_t ruleset_version, size_t rule_count)
      : ruleset_version_(ruleset_version), quiet_(rule_count * kOperationCount) {}

  uint64_t ruleset_version() const { return ruleset_version_; }
  size_t rule_count() const { return quiet_.size() / kOperationCount; }
  void CountQuiet(uint32_t rule, Operation operation) { Increment(quiet_[Index(rule, operation)]); }
  uint64_t quiet(uint32_t rule, Operation operation) const {
    return quiet_[Index(rule, operation)].load(std::memory_order_relaxed);
  }

  // One writer: a plain add is enough, and cheaper than a locked one.
  static void Increment(std::atomic<uint64_t>& counter, uint64_t by = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kOperationCount = 3;
  static size_t Index(uint32_t rule, Operation operation) {
    return rule * kOperationCount + static_cast<size_t>(operation) - 1;
  }
  const uint64_t ruleset_version_;
  std::vector<std::atomic<uint64_t>> quiet_;
};

// Bounds of contract section 5, inclusive; one more bucket holds what is above.
inline constexpr std::array<uint64_t, 15> kVerdictBoundsNs = {
    5'000,     10'000,    25'000,     50'000,     100'000,    250'000,     500'000,     1'000'000,
    2'500'000, 5'000'000, 10'000'000, 25'000'000, 50'000'000, 100'000'000, 250'000'000,
};

// Time from reading an event to having answered it.
class VerdictHistogram {
 public:
  static constexpr size_t kBuckets = kVerdictBoundsNs.size() + 1;

  void Record(uint64_t duration_ns);
  uint64_t bucket(size_t index) const { return buckets_[index].load(std::memory_order_relaxed); }
  uint64_t sum_ns() const { return sum_ns_.load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<uint64_t> sum_ns_{0};
};

struct VerdictStats {
  VerdictHistogram allowed;
  VerdictHistogram denied;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_VERDICT_STATS_H_
