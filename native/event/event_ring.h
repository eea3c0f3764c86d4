// A bounded ring of whole event records between one producer thread and one consumer (the
// JavaScript thread), without locks. It owns its memory and nothing else. The producer never waits:
// a record that doesn't fit is counted, and as soon as there is room again a kLost record with that
// count goes in before the next record. The consumer is woken through a callback without payload,
// once per stretch of records it hasn't drained yet, on the producer's thread: it must not block or
// open files (uv_async_send, an eventfd). Cost of a push: one memcpy of the record and one release
// store.
#ifndef FILEWARD_EVENT_EVENT_RING_H_
#define FILEWARD_EVENT_EVENT_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "native/event/event_record.h"

namespace fileward {

class EventRing {
 public:
  // `capacity_bytes` is rounded up to a power of two of at least two records of kMaxRecordBytes.
  EventRing(size_t capacity_bytes, std::function<void()> wake);
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

  // Producer only. False when full: counted as FailureReason::kRingFull and reported later as
  // kLost.
  bool TryPush(std::span<const std::byte> record);

  // Consumer only: copies whole records, returns the bytes written. Call it until it returns 0:
  // only then will a new record surely wake. `out` must hold kMaxRecordBytes, or a longer record
  // stays where it is.
  size_t Drain(std::span<std::byte> out);

 private:
  bool Append(std::span<const std::byte> record);
  bool ReportLost();

  const size_t capacity_;
  const std::unique_ptr<std::byte[]> bytes_;
  const std::function<void()> wake_;
  // Producer's own.
  uint64_t lost_count_ = 0;
  uint64_t lost_since_ns_ = 0;
  uint32_t sequence_ = 0;
  uint64_t cached_tail_ = 0;
  // Bytes ever written; the producer releases it to Drain's acquire.
  alignas(64) std::atomic<uint64_t> head_{0};
  // Bytes ever drained; the consumer releases it to Append's acquire.
  alignas(64) std::atomic<uint64_t> tail_{0};
  // True from the wake-up until the next Drain; exchanged by both sides.
  alignas(64) std::atomic<bool> wake_pending_{false};
};

}  // namespace fileward

#endif  // FILEWARD_EVENT_EVENT_RING_H_
