#include "native/event/event_ring.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "native/base/clock.h"
#include "native/base/failure.h"

namespace fileward {
namespace {

// Records don't wrap: what is left before the end is skipped by a size with this bit, which no
// record has.
constexpr uint32_t kSkip = 0x80000000U;

}  // namespace

EventRing::EventRing(size_t capacity_bytes, std::function<void()> wake)
    : capacity_(std::bit_ceil(std::max(capacity_bytes, 2 * kMaxRecordBytes))),
      bytes_(new std::byte[capacity_]),
      wake_(std::move(wake)) {}

bool EventRing::TryPush(std::span<const std::byte> record) {
  const bool pushed = Append(record);
  if (!pushed) {
    const uint64_t now_ns = RealtimeNs();
    uint64_t none = 0;
    lost_since_ns_.compare_exchange_strong(none, now_ns, std::memory_order_relaxed);
    lost_until_ns_.store(now_ns, std::memory_order_relaxed);
    dropped_.fetch_add(1, std::memory_order_release);
    CountFailure(Failure::kRingFull);
  }
  // Also when full: the consumer may have slept through all of it.
  if (!wake_pending_.exchange(true, std::memory_order_acq_rel) && wake_) wake_();
  return pushed;
}

size_t EventRing::ReportLost(std::span<std::byte> out) {
  const uint64_t dropped = dropped_.load(std::memory_order_acquire);
  if (dropped == dropped_told_) return 0;
  EventHeader header;
  header.size_bytes = kEventHeaderBytes;
  header.kind = EventKind::kLost;
  const uint64_t until_ns = lost_until_ns_.load(std::memory_order_relaxed);
  // 0: the report before this one took the beginning of a loss that it did not count yet.
  const uint64_t since_ns = lost_since_ns_.exchange(0, std::memory_order_relaxed);
  header.time_ns = since_ns == 0 ? until_ns : std::min(since_ns, until_ns);
  header.verdict_duration_ns = until_ns - header.time_ns;  // of a gap: how long it was
  header.count = dropped - std::exchange(dropped_told_, dropped);
  header.detail = static_cast<uint32_t>(Failure::kRingFull);
  std::memcpy(out.data(), &header, sizeof(header));
  return sizeof(header);
}

EventRing::Counts EventRing::counts() const {
  // What is drained was published before.
  return {published_.load(std::memory_order_relaxed), drained_,
          dropped_.load(std::memory_order_relaxed)};
}

bool EventRing::Append(std::span<const std::byte> record) {
  uint64_t head = head_.load(std::memory_order_relaxed);
  const size_t to_end = capacity_ - static_cast<size_t>(head & (capacity_ - 1));
  const size_t skipped = to_end < record.size() ? to_end : 0;
  const auto fits = [&] { return head + skipped + record.size() - cached_tail_ <= capacity_; };
  if (!fits()) {
    cached_tail_ = tail_.load(std::memory_order_acquire);
    if (!fits()) return false;
  }
  if (skipped > 0) {
    // Sizes are multiples of 8, so there is room for the 4 bytes.
    const uint32_t skip = kSkip | static_cast<uint32_t>(skipped);
    std::memcpy(&bytes_[static_cast<size_t>(head & (capacity_ - 1))], &skip, sizeof(skip));
    head += skipped;
  }
  std::byte* const place = &bytes_[static_cast<size_t>(head & (capacity_ - 1))];
  std::memcpy(place, record.data(), record.size());
  const uint64_t published = published_.load(std::memory_order_relaxed);
  published_.store(published + 1, std::memory_order_relaxed);
  const auto sequence = static_cast<uint32_t>(published);
  std::memcpy(place + offsetof(EventHeader, sequence), &sequence, sizeof(sequence));
  head_.store(head + record.size(), std::memory_order_release);
  return true;
}

size_t EventRing::Drain(std::span<std::byte> out) {
  // Before reading head_: a record pushed after that wakes again.
  wake_pending_.exchange(false, std::memory_order_acq_rel);
  const uint64_t head = head_.load(std::memory_order_acquire);
  uint64_t tail = tail_.load(std::memory_order_relaxed);
  size_t written = ReportLost(out);
  while (tail != head) {
    const std::byte* const record = &bytes_[static_cast<size_t>(tail & (capacity_ - 1))];
    uint32_t size = 0;
    std::memcpy(&size, record, sizeof(size));
    if ((size & kSkip) != 0) {
      tail += size & ~kSkip;
      continue;
    }
    if (written + size > out.size()) break;
    std::memcpy(&out[written], record, size);
    written += size;
    tail += size;
    ++drained_;
  }
  tail_.store(tail, std::memory_order_release);
  return written;
}

}  // namespace fileward
