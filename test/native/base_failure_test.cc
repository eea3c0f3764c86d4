#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "native/base/failure.h"

namespace fileward {
namespace {

TEST(Failure, EveryReasonHasItsOwnSnakeCaseName) {
  std::set<std::string> names;
  for (size_t i = 0; i < kFailureCount; ++i) {
    const std::string name(FailureName(static_cast<Failure>(i)));
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos) << name;
    names.insert(name);
  }
  EXPECT_EQ(names.size(), kFailureCount);
  EXPECT_EQ(FailureName(Failure::kQueueOverflow), "queue_overflow");
}

TEST(Failure, CountsFromManyThreads) {
  const uint64_t before = FailureCount(Failure::kRingFull);
  const uint64_t other = FailureCount(Failure::kMarkLimit);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 10'000; ++i) CountFailure(Failure::kRingFull, 2);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(FailureCount(Failure::kRingFull) - before, 80'000u);
  EXPECT_EQ(FailureCount(Failure::kMarkLimit), other);
}

}  // namespace
}  // namespace fileward
