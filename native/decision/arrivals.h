#ifndef FILEWARD_DECISION_ARRIVALS_H_
#define FILEWARD_DECISION_ARRIVALS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fileward {

// When events came into the kernel's queue, which doesn't say: the guardian looks at its length at
// every tick. Events are numbered from 1 in the order in which they are read.
//
// In the journal. Written by the guardian; the decision thread reads it (a sample that is being
// overwritten is a minute old and says "long ago" either way).
class Arrivals {
 public:
  // At `now_ns` the first `arrived` events had come. Fewer than before: openers were killed while
  // they waited, and those behind them have smaller numbers than it seemed.
  void Add(uint64_t now_ns, uint64_t arrived);
  // How many had come by then, for certain.
  uint64_t ArrivedBy(uint64_t time_ns) const;
  // When the event was there for certain; `unless` when no sample has it.
  uint64_t SeenNs(uint64_t number, uint64_t unless) const;

 private:
  // A minute of ticks: the longest deadline there is.
  static constexpr uint64_t kSamples = 4096;
  struct Sample {
    std::atomic<uint64_t> time_ns{0};
    std::atomic<uint64_t> arrived{0};
  };
  const Sample& At(uint64_t index) const { return samples_[index % kSamples]; }
  // Of the oldest sample that is still there.
  uint64_t First(uint64_t count) const { return count - (count < kSamples ? count : kSamples); }

  std::array<Sample, kSamples> samples_;
  std::atomic<uint64_t> count_{0};  // released when a sample is written
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_ARRIVALS_H_
