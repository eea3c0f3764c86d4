#include "native/event/event_ring.h"

#include <algorithm>
#include <bit>
#include <cstring>

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
  // In order: nothing overtakes the report of what was lost before it.
  const bool pushed = (lost_count_ == 0 || ReportLost()) && Append(record);
  if (!pushed) {
    if (lost_count_++ == 0) lost_since_ns_ = RealtimeNs();
    CountFailure(Failure::kRingFull);
  }
  // Also when full: the consumer may have slept through all of it.
  if (!wake_pending_.exchange(true, std::memory_order_acq_rel) && wake_) wake_();
  return pushed;
}

bool EventRing::ReportLost() {
  EventHeader header;
  header.size_bytes = kEventHeaderBytes;
  header.kind = EventKind::kLost;
  header.time_ns = lost_since_ns_;
  header.count = lost_count_;
  header.detail = static_cast<uint32_t>(Failure::kRingFull);
  if (!Append(std::as_bytes(std::span(&header, 1)))) return false;
  lost_count_ = 0;
  return true;
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
  const uint32_t sequence = sequence_++;
  std::memcpy(place + offsetof(EventHeader, sequence), &sequence, sizeof(sequence));
  head_.store(head + record.size(), std::memory_order_release);
  return true;
}

size_t EventRing::Drain(std::span<std::byte> out) {
  // Before reading head_: a record pushed after that wakes again.
  wake_pending_.exchange(false, std::memory_order_acq_rel);
  const uint64_t head = head_.load(std::memory_order_acquire);
  uint64_t tail = tail_.load(std::memory_order_relaxed);
  size_t written = 0;
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
  }
  tail_.store(tail, std::memory_order_release);
  return written;
}

}  // namespace fileward
