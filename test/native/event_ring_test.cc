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

TEST_F(EventRingTest, WhenFullSaysHowManyWereLostBeforeTheNext) {
  EventRing ring(0, nullptr);
  const uint64_t counted = FailureCount(Failure::kRingFull);
  uint64_t pushed = 0;
  while (ring.TryPush(Record(pushed, 1000))) ++pushed;
  EXPECT_FALSE(ring.TryPush(Record(0, 1000)));
  EXPECT_FALSE(ring.TryPush(Record(0, 1000)));
  EXPECT_EQ(FailureCount(Failure::kRingFull) - counted, 3U);
  // The report is small and may have found room already; what follows it is in a second one.
  uint64_t lost = 0;
  const auto count_lost = [&](const std::vector<EventHeader>& headers) {
    uint64_t records = 0;
    for (const EventHeader& header : headers) {
      const bool is_report = header.kind == EventKind::kLost;
      if (is_report) {
        EXPECT_EQ(header.detail, static_cast<uint32_t>(Failure::kRingFull));
      }
      (is_report ? lost : records) += is_report ? header.count : 1;
    }
    return records;
  };
  EXPECT_EQ(count_lost(Drain(ring)), pushed);
  ASSERT_TRUE(ring.TryPush(Record(77, 0)));
  const auto after = Drain(ring);
  EXPECT_EQ(count_lost(after), 1U);
  EXPECT_EQ(lost, 3U);
  EXPECT_EQ(after.back().count, 77U);
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
    // Room for what is left to say.
    while (!ring.TryPush(writer.Finish())) std::this_thread::yield();
  });
  uint64_t accounted = 0;
  uint64_t last = 0;
  bool done = false;
  while (!done) {
    for (const EventHeader& header : Drain(ring)) {
      if (header.kind == EventKind::kLost) {
        accounted += header.count;
        continue;
      }
      ASSERT_GE(header.ino, last);
      ASSERT_EQ(header.lengths[0], header.ino % 200);
      done = header.ino == kRecords && last == kRecords;
      last = header.ino;
      ++accounted;
    }
    // The last record comes twice; the first of the two may have been lost.
    done = done || (last == kRecords && accounted > kRecords);
  }
  producer.join();
  accounted += Drain(ring).size();
  EXPECT_GT(accounted, kRecords);
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
