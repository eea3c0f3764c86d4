#include "native/event/event_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "native/base/failure.h"
#include "native/event/spsc_queue.h"

namespace fileward {
namespace {

class EventRingTest : public testing::Test {
 protected:
  std::span<const std::byte> Record(uint64_t number, size_t path_bytes) {
    writer_.Begin(EventKind::kOpen).count = number;
    writer_.Set(EventString::kPath, std::string(path_bytes, 'p'));
    return writer_.Finish();
  }

  std::vector<EventHeader> Drain(EventRing& ring) {
    std::vector<EventHeader> headers;
    while (const size_t bytes = ring.Drain(buffer_)) {
      for (size_t at = 0; at < bytes;) {
        EventHeader& header = headers.emplace_back();
        std::memcpy(&header, &buffer_[at], sizeof(header));
        at += header.size_bytes;
      }
    }
    return headers;
  }

  RecordWriter writer_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kMaxRecordBytes + 4096);
};

TEST_F(EventRingTest, KeepsOrderAndContentAcrossManyWraps) {
  EventRing ring(0, nullptr);
  uint64_t next = 0;
  for (uint64_t number = 0; number < 20'000; ++number) {
    ASSERT_TRUE(ring.TryPush(Record(number, number * 37 % 3000)));
    if (number % 7 != 0) continue;
    for (const EventHeader& header : Drain(ring)) {
      ASSERT_EQ(header.count, next);
      ASSERT_EQ(header.lengths[0], next * 37 % 3000);
      ASSERT_EQ(header.sequence, static_cast<uint32_t>(next));
      ++next;
    }
  }
  next += Drain(ring).size();
  EXPECT_EQ(next, 20'000U);
}

TEST_F(EventRingTest, WhenFullTheNextDrainSaysHowManyWereLost) {
  EventRing ring(0, nullptr);
  const uint64_t counted = FailureCount(Failure::kRingFull);
  uint64_t pushed = 0;
  while (ring.TryPush(Record(pushed, 1000))) ++pushed;
  EXPECT_FALSE(ring.TryPush(Record(0, 1000)));
  EXPECT_FALSE(ring.TryPush(Record(0, 1000)));
  EXPECT_EQ(FailureCount(Failure::kRingFull) - counted, 3U);
  EXPECT_EQ(ring.counts().published, pushed);
  EXPECT_EQ(ring.counts().drained, 0U);
  EXPECT_EQ(ring.counts().dropped, 3U);
  // No further record is needed: nobody may ever push one.
  const auto headers = Drain(ring);
  ASSERT_EQ(headers.size(), pushed + 1);
  EXPECT_EQ(headers[0].kind, EventKind::kLost);
  EXPECT_EQ(headers[0].detail, static_cast<uint32_t>(Failure::kRingFull));
  EXPECT_EQ(headers[0].count, 3U);
  EXPECT_GT(headers[0].time_ns, 0U);
  EXPECT_GT(headers[0].verdict_duration_ns, 0U);
  EXPECT_EQ(ring.counts().drained, pushed);
  ASSERT_TRUE(ring.TryPush(Record(77, 0)));
  const auto after = Drain(ring);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].count, 77U);
}

TEST_F(EventRingTest, WakesOncePerStretchOfUndrainedRecords) {
  int wakes = 0;
  EventRing ring(0, [&] { ++wakes; });
  ring.TryPush(Record(1, 0));
  ring.TryPush(Record(2, 0));
  EXPECT_EQ(wakes, 1);
  Drain(ring);
  ring.TryPush(Record(3, 0));
  EXPECT_EQ(wakes, 2);
}

TEST_F(EventRingTest, TwoThreadsLoseNothingUnsaid) {
  EventRing ring(0, nullptr);
  constexpr uint64_t kRecords = 300'000;
  std::thread producer([&] {
    RecordWriter writer;
    for (uint64_t number = 1; number <= kRecords; ++number) {
      writer.Begin(EventKind::kOpen).ino = number;
      writer.Set(EventString::kPath, std::string(number % 200, 'p'));
      ring.TryPush(writer.Finish());
    }
  });
  uint64_t drained = 0;
  uint64_t lost = 0;
  uint64_t last = 0;
  while (drained + lost < kRecords) {
    for (const EventHeader& header : Drain(ring)) {
      if (header.kind == EventKind::kLost) {
        lost += header.count;
        continue;
      }
      ASSERT_GT(header.ino, last);
      ASSERT_EQ(header.lengths[0], header.ino % 200);
      last = header.ino;
      ++drained;
    }
    const EventRing::Counts counts = ring.counts();
    ASSERT_GE(counts.published, counts.drained);
    ASSERT_EQ(counts.drained, drained);
    ASSERT_GE(counts.dropped, lost);
  }
  producer.join();
  EXPECT_EQ(drained + lost, kRecords);
  EXPECT_EQ(ring.counts().published, drained);
  EXPECT_EQ(ring.counts().dropped, lost);
  EXPECT_TRUE(Drain(ring).empty());
}

TEST(SpscQueue, RefusesWhenFullAndKeepsTheValue) {
  SpscQueue<std::string> queue(2);
  std::string value = "a";
  EXPECT_TRUE(queue.TryPush(value));
  value = "b";
  EXPECT_TRUE(queue.TryPush(value));
  value = "c";
  EXPECT_FALSE(queue.TryPush(value));
  EXPECT_EQ(value, "c");
  EXPECT_EQ(queue.TryPop(), "a");
  EXPECT_TRUE(queue.TryPush(value));
  EXPECT_EQ(queue.TryPop(), "b");
  EXPECT_EQ(queue.TryPop(), "c");
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

}  // namespace
}  // namespace fileward
