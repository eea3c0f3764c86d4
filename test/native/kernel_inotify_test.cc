#include "native/base/failure.h"
#include "native/kernel/inotify.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::TempDirectory;

std::vector<InotifyEvent> Drain(Inotify& inotify) {
  std::vector<InotifyEvent> events;
  while (true) {
    const Result<size_t> read = inotify.Read(events);
    EXPECT_TRUE(read.ok());
    if (!read.ok() || *read == 0) return events;
  }
}

TEST(Inotify, NamesWhatChangesInAWatchedDirectory) {
  TempDirectory directory;
  Result<Inotify> inotify = Inotify::Open();
  ASSERT_TRUE(inotify.ok());
  EXPECT_TRUE(Drain(*inotify).empty());
  const Result<int> watch = inotify->Watch(directory.path().c_str(), IN_CREATE | IN_MOVE);
  ASSERT_TRUE(watch.ok());
  const std::string name = "a\nname \xff";
  directory.Write(name);
  ASSERT_EQ(::rename(directory.Path(name).c_str(), directory.Path("new").c_str()), 0);
  const auto events = Drain(*inotify);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].watch, *watch);
  EXPECT_EQ(events[0].mask, uint32_t{IN_CREATE});
  EXPECT_EQ(events[0].name, name);
  EXPECT_EQ(events[1].mask, uint32_t{IN_MOVED_FROM});
  EXPECT_EQ(events[2].name, "new");
  EXPECT_EQ(events[1].cookie, events[2].cookie);
  ASSERT_TRUE(inotify->Unwatch(*watch).ok());
  directory.Write("unseen");
  const auto after = Drain(*inotify);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].mask, uint32_t{IN_IGNORED});
}

TEST(Inotify, WatchingWhatIsAbsentSaysWhy) {
  Result<Inotify> inotify = Inotify::Open();
  ASSERT_TRUE(inotify.ok());
  const Result<int> watch = inotify->Watch("/nonexistent/fileward", IN_CREATE);
  ASSERT_FALSE(watch.ok());
  EXPECT_EQ(watch.error().error_number, ENOENT);
  EXPECT_STREQ(watch.error().syscall, "inotify_add_watch");
}

}  // namespace
}  // namespace fileward
