#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "native/decision/intent.h"
#include "native/decision/object_table.h"
#include "native/decision/verdict_stats.h"

namespace fileward {
namespace {

ObjectName Name(const std::string& path) {
  return {path, std::make_shared<const MatchSet>(MatchSet{0}), false};
}

TEST(ObjectTable, KeepsEachNameOnceAndForgetsWithTheLast) {
  ObjectTable table;
  const FileIdentity file{1, 2};
  table.Add(file, 10, Name("/a"));
  table.Add(file, 10, Name("/b"));
  table.Add(file, 10, Name("/a"));
  ASSERT_NE(table.Find(file, 10), nullptr);
  EXPECT_EQ(table.Find(file, 10)->names.size(), 2U);
  table.RemoveName(file, "/a");
  EXPECT_EQ(table.Find(file, 10)->names.size(), 1U);
  table.RemoveName(file, "/b");
  EXPECT_EQ(table.Find(file, 10), nullptr);
  EXPECT_EQ(table.size(), 0U);
}

TEST(ObjectTable, AReusedInodeNumberIsAnotherFile) {
  ObjectTable table;
  const FileIdentity file{1, 2};
  table.Add(file, 10, Name("/a"));
  EXPECT_EQ(table.Find(file, 11), nullptr);
  EXPECT_NE(table.Find(file, 0), nullptr);
  table.Add(file, 11, Name("/b"));
  EXPECT_EQ(table.Find(file, 10), nullptr);
  EXPECT_EQ(table.Find(file, 11)->names.size(), 1U);
}

TEST(ObjectUpdates, ComeInOrderAlsoWhenTheSenderHasToWait) {
  ObjectUpdates updates;
  constexpr uint64_t kMessages = 40'000;  // more than the queue holds
  std::thread sender([&] {
    for (uint64_t i = 0; i < kMessages; ++i) {
      ASSERT_TRUE(updates.Send(RemoveIdentity{kHostWorkload, {1, i}}));
    }
  });
  for (uint64_t i = 0; i < kMessages;) {
    const auto update = updates.Take();
    if (!update) continue;
    ASSERT_EQ(std::get<RemoveIdentity>(*update).identity.ino, i++);
  }
  sender.join();
  updates.Close();
  EXPECT_FALSE(updates.Send(RemoveIdentity{kHostWorkload, {1, 1}}));
}

TEST(VerdictHistogram, BoundsAreInclusive) {
  VerdictHistogram histogram;
  histogram.Record(5'000);
  histogram.Record(5'001);
  histogram.Record(250'000'000);
  histogram.Record(250'000'001);
  EXPECT_EQ(histogram.bucket(0), 1U);
  EXPECT_EQ(histogram.bucket(1), 1U);
  EXPECT_EQ(histogram.bucket(kVerdictBoundsNs.size() - 1), 1U);
  EXPECT_EQ(histogram.bucket(kVerdictBoundsNs.size()), 1U);
  EXPECT_EQ(histogram.sum_ns(), 500'010'002U);
}

TEST(Intent, ComesFromTheFlags) {
  const auto wanted = [](uint64_t flags) { return IntentOfFlags(flags).wanted; };
  const Operations read = {Operation::kRead};
  const Operations write = {Operation::kWrite};
  const Operations both = {Operation::kRead, Operation::kWrite};
  EXPECT_EQ(wanted(O_RDONLY), read);
  EXPECT_EQ(wanted(O_RDONLY | O_CREAT | O_EXCL), read);
  EXPECT_EQ(wanted(O_WRONLY), write);
  EXPECT_EQ(wanted(O_WRONLY | O_APPEND), write);
  EXPECT_EQ(wanted(O_RDWR), both);
  EXPECT_EQ(wanted(O_RDONLY | O_TRUNC), both);
  EXPECT_EQ(wanted(O_ACCMODE), both);
  EXPECT_TRUE(IntentOfFlags(O_CREAT).creates);
  EXPECT_FALSE(IntentOfFlags(O_RDWR).creates);
}

}  // namespace
}  // namespace fileward
