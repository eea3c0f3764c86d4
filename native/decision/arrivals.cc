#include "native/decision/arrivals.h"

namespace fileward {

void Arrivals::Add(uint64_t now_ns, uint64_t arrived) {
  const uint64_t count = count_.load(std::memory_order_relaxed);
  const uint64_t first = First(count);
  for (uint64_t i = count; i-- > first && At(i).arrived > arrived;) {
    samples_[i % kSamples].arrived.store(arrived, std::memory_order_relaxed);
  }
  Sample& sample = samples_[count % kSamples];
  sample.time_ns.store(now_ns, std::memory_order_relaxed);
  sample.arrived.store(arrived, std::memory_order_relaxed);
  count_.store(count + 1, std::memory_order_release);
}

uint64_t Arrivals::ArrivedBy(uint64_t time_ns) const {
  const uint64_t count = count_.load(std::memory_order_acquire);
  const uint64_t first = First(count);
  for (uint64_t i = count; i-- > first;) {
    if (At(i).time_ns.load(std::memory_order_relaxed) <= time_ns) return At(i).arrived;
  }
  return 0;
}

uint64_t Arrivals::SeenNs(uint64_t number, uint64_t unless) const {
  const uint64_t count = count_.load(std::memory_order_acquire);
  const uint64_t first = First(count);
  uint64_t seen_ns = unless;
  for (uint64_t i = count; i-- > first;) {
    if (At(i).arrived.load(std::memory_order_relaxed) < number) break;
    seen_ns = At(i).time_ns.load(std::memory_order_relaxed);
  }
  return seen_ns;
}

}  // namespace fileward
