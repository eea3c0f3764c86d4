// A bounded ring of whole event records between one producer thread and one consumer (the
// JavaScript thread), without locks. It owns its memory and nothing else. The producer never waits:
// a record that doesn't fit is counted, and the next Drain tells how many with a kLost record of
// its own in front. The consumer is woken through a callback without payload, once per stretch of
// records it hasn't drained yet, on the producer's thread: it must not block or open files
// (uv_async_send, an eventfd). Cost of a push: one memcpy of the record and one release store.
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

  // Producer only. False when full: counted as Failure::kRingFull and told by the next Drain.
  bool TryPush(std::span<const std::byte> record);

  // Consumer only: copies whole records, returns the bytes written. Call it until it returns 0:
  // only then will a new record surely wake. `out` must hold kMaxRecordBytes, or a longer record
  // stays where it is.
  size_t Drain(std::span<std::byte> out);

  // Records since the ring began; what was published and not drained yet waits in it.
  struct Counts {
    uint64_t published = 0;
    uint64_t drained = 0;
    uint64_t dropped = 0;
  };
  // Consumer only.
  Counts counts() const;

 private:
  bool Append(std::span<const std::byte> record);
  // Writes what was lost since the last report; returns its bytes.
  size_t ReportLost(std::span<std::byte> out);

  const size_t capacity_;
  const std::unique_ptr<std::byte[]> bytes_;
  const std::function<void()> wake_;
  // Producer's own.
  uint64_t cached_tail_ = 0;
  // Consumer's own.
  uint64_t drained_ = 0;
  uint64_t dropped_told_ = 0;
  // Written by the producer, read by counts(); the release of head_ publishes it.
  std::atomic<uint64_t> published_{0};
  // The producer releases it, with the times of the loss, to ReportLost's acquire.
  std::atomic<uint64_t> dropped_{0};
  std::atomic<uint64_t> lost_since_ns_{0};  // 0: nothing since the last report
  std::atomic<uint64_t> lost_until_ns_{0};
  // Bytes ever written; the producer releases it to Drain's acquire.
  alignas(64) std::atomic<uint64_t> head_{0};
  // Bytes ever drained; the consumer releases it to Append's acquire.
  alignas(64) std::atomic<uint64_t> tail_{0};
  // True from the wake-up until the next Drain; exchanged by both sides.
  alignas(64) std::atomic<bool> wake_pending_{false};
};

}  // namespace fileward

#endif  // FILEWARD_EVENT_EVENT_RING_H_
