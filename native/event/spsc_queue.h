// A bounded queue between exactly one producer thread and one consumer thread, without locks (the
// shape of rigtorp/SPSCQueue). Cost: one store and, when the cached position of the other side is
// used up, one load of its cache line. TryPush returns false when full: the caller counts or waits,
// nothing is dropped here.
#ifndef FILEWARD_EVENT_SPSC_QUEUE_H_
#define FILEWARD_EVENT_SPSC_QUEUE_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace fileward {

template <typename T>
class SpscQueue {
 public:
  // `capacity` is rounded up to a power of two.
  explicit SpscQueue(size_t capacity) : slots_(std::bit_ceil(capacity)), mask_(slots_.size() - 1) {}
  SpscQueue(const SpscQueue&) = delete;
  SpscQueue& operator=(const SpscQueue&) = delete;

  // Producer only. `value` is left untouched when it doesn't fit.
  bool TryPush(T& value) {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head - cached_tail_ == slots_.size()) {
      cached_tail_ = tail_.load(std::memory_order_acquire);
      if (head - cached_tail_ == slots_.size()) return false;
    }
    slots_[head & mask_].emplace(std::move(value));
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // Consumer only.
  std::optional<T> TryPop() {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == cached_head_) {
      cached_head_ = head_.load(std::memory_order_acquire);
      if (tail == cached_head_) return std::nullopt;
    }
    std::optional<T>& slot = slots_[tail & mask_];
    std::optional<T> value(std::move(*slot));
    slot.reset();
    tail_.store(tail + 1, std::memory_order_release);
    return value;
  }

 private:
  std::vector<std::optional<T>> slots_;
  const size_t mask_;
  // Written by the producer, released to TryPop's acquire.
  alignas(64) std::atomic<size_t> head_{0};
  size_t cached_tail_ = 0;
  // Written by the consumer, released to TryPush's acquire.
  alignas(64) std::atomic<size_t> tail_{0};
  size_t cached_head_ = 0;
};

}  // namespace fileward

#endif  // FILEWARD_EVENT_SPSC_QUEUE_H_
