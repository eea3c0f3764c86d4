#include "native/event/event_record.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace fileward {
namespace {

EventHeader HeaderOf(std::span<const std::byte> record) {
  EventHeader header;
  std::memcpy(&header, record.data(), sizeof(header));
  return header;
}

std::string StringOf(std::span<const std::byte> record, EventString string) {
  const EventHeader header = HeaderOf(record);
  size_t offset = kEventHeaderBytes;
  for (size_t i = 0; i < static_cast<size_t>(string); ++i) offset += header.lengths[i];
  return {reinterpret_cast<const char*>(record.data()) + offset,
          header.lengths[static_cast<size_t>(string)]};
}

TEST(EventRecord, HoldsHeaderAndStringsInWhateverOrderTheyWereSet) {
  RecordWriter writer;
  EventHeader& header = writer.Begin(EventKind::kOpen);
  header.pid = 42;
  header.ino = 0x1122334455667788;
  writer.Set(EventString::kExe, "/usr/bin/cat");
  writer.Set(EventString::kPath, "/etc/shadow");
  const auto record = writer.Finish();
  EXPECT_EQ(record.size() % 8, 0U);
  EXPECT_EQ(HeaderOf(record).size_bytes, record.size());
  EXPECT_EQ(HeaderOf(record).pid, 42);
  EXPECT_EQ(HeaderOf(record).ino, 0x1122334455667788U);
  EXPECT_EQ(StringOf(record, EventString::kPath), "/etc/shadow");
  EXPECT_EQ(StringOf(record, EventString::kProtectedPath), "");
  EXPECT_EQ(StringOf(record, EventString::kExe), "/usr/bin/cat");
}

TEST(EventRecord, BeginForgetsTheRecordBefore) {
  RecordWriter writer;
  EventHeader& first = writer.Begin(EventKind::kOpen);
  first.flags = EventFlag::kListed;
  first.workload = first.actor_workload = 7;
  writer.Set(EventString::kPath, "/a");
  writer.Finish();
  writer.Begin(EventKind::kChange);
  const auto record = writer.Finish();
  EXPECT_EQ(record.size(), kEventHeaderBytes);
  EXPECT_EQ(HeaderOf(record).flags, 0);
  EXPECT_EQ(HeaderOf(record).workload, kHostWorkload);
  EXPECT_EQ(HeaderOf(record).actor_workload, kUnknownWorkload);
  EXPECT_EQ(HeaderOf(record).kind, EventKind::kChange);
}

TEST(EventRecord, KeepsAncestorsApartAndTheNearestEight) {
  RecordWriter writer;
  writer.Begin(EventKind::kOpen);
  std::vector<std::string> ancestors;
  for (int i = 0; i < 10; ++i) ancestors.push_back("/bin/a" + std::to_string(i));
  writer.SetAncestors(ancestors);
  std::string expected = "/bin/a0";
  for (int i = 1; i < 8; ++i) expected += std::string(1, '\0') + "/bin/a" + std::to_string(i);
  EXPECT_EQ(StringOf(writer.Finish(), EventString::kAncestors), expected);
}

TEST(EventRecord, CutsWhatIsTooLongAndNeverExceedsItsBound) {
  RecordWriter writer;
  writer.Begin(EventKind::kOpen);
  const std::string path(10'000, 'x');
  for (const auto string :
       {EventString::kPath, EventString::kProtectedPath, EventString::kNewPath, EventString::kExe,
        EventString::kCgroup, EventString::kArgs, EventString::kText}) {
    writer.Set(string, path);
  }
  writer.SetAncestors(std::vector<std::string>(8, path));
  const auto record = writer.Finish();
  EXPECT_LE(record.size(), kMaxRecordBytes);
  EXPECT_EQ(StringOf(record, EventString::kPath), std::string(kMaxPathBytes, 'x'));
  EXPECT_EQ(StringOf(record, EventString::kText), std::string(kMaxTextBytes, 'x'));
}

}  // namespace
}  // namespace fileward
