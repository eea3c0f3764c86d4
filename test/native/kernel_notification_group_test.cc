#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdio>
#include <functional>

#include "native/base/failure.h"
#include "native/kernel/fanotify_group.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::AwaitReadable;
using testing::Child;
using testing::TempDirectory;

size_t OpenFds() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

std::string KeyOf(const std::string& path) { return HandleKey(AT_FDCWD, path.c_str()); }

class NotificationGroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    Open({});
  }

  void Open(const std::string& without) {
    ::setenv("FILEWARD_WITHOUT", without.c_str(), 1);
    const KernelFeatures features = ProbeKernelFeatures();
    ::unsetenv("FILEWARD_WITHOUT");
    Result<NotificationGroup> group = NotificationGroup::Open(features);
    ASSERT_TRUE(group.ok()) << group.error().Message();
    group_ = std::make_unique<NotificationGroup>(*std::move(group));
  }

  void Mark(const std::string& path, uint64_t mask) {
    const Result<void> marked = group_->MarkDirectory(AT_FDCWD, path.c_str(), mask);
    ASSERT_TRUE(marked.ok()) << marked.error().Message();
  }

  std::vector<NotificationEvent> Drain() {
    std::vector<NotificationEvent> events;
    while (true) {
      const Result<size_t> read = group_->Read(events);
      EXPECT_TRUE(read.ok());
      if (!read.ok() || *read == 0) return events;
    }
  }

  static const NotificationEvent* FindMask(const std::vector<NotificationEvent>& events,
                                           uint64_t mask) {
    for (const NotificationEvent& event : events) {
      if ((event.mask & mask) != 0) return &event;
    }
    return nullptr;
  }

  TempDirectory directory_;
  std::unique_ptr<NotificationGroup> group_;
};

TEST_F(NotificationGroupTest, ACreateNamesDirectoryFileAndProcess) {
  Mark(directory_.path(), FAN_CREATE);
  const std::string name = "a name\nwith \xff and \xf0\x9f\x98\x80";
  Child child([&] {
    directory_.Write(name);
    ::pause();
    return 0;
  });
  ASSERT_TRUE(AwaitReadable(group_->fd()));
  const auto events = Drain();
  const NotificationEvent* created = FindMask(events, FAN_CREATE);
  ASSERT_NE(created, nullptr);
  ASSERT_TRUE(created->name.has_value());
  EXPECT_EQ(created->name->name, name);
  EXPECT_EQ(created->name->directory_handle, KeyOf(directory_.path()));
  EXPECT_EQ(created->object_handle, KeyOf(directory_.Path(name)));
  EXPECT_EQ(created->pid, child.pid());
  ASSERT_TRUE(created->pidfd);
  pollfd alive{created->pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&alive, 1, 0), 0) << "the pidfd is of a live process";
}

TEST_F(NotificationGroupTest, ARenameTellsBothNames) {
  std::filesystem::create_directory(directory_.Path("from"));
  std::filesystem::create_directory(directory_.Path("to"));
  directory_.Write("from/old");
  Mark(directory_.Path("from"), FAN_RENAME);
  Mark(directory_.Path("to"), FAN_RENAME);
  ASSERT_EQ(::rename(directory_.Path("from/old").c_str(), directory_.Path("to/new").c_str()), 0);
  const auto events = Drain();
  const NotificationEvent* renamed = FindMask(events, FAN_RENAME);
  ASSERT_NE(renamed, nullptr);
  ASSERT_TRUE(renamed->old_name && renamed->new_name);
  EXPECT_EQ(renamed->old_name->name, "old");
  EXPECT_EQ(renamed->old_name->directory_handle, KeyOf(directory_.Path("from")));
  EXPECT_EQ(renamed->new_name->name, "new");
  EXPECT_EQ(renamed->new_name->directory_handle, KeyOf(directory_.Path("to")));
  EXPECT_EQ(renamed->object_handle, KeyOf(directory_.Path("to/new")));
}

TEST_F(NotificationGroupTest, ARenameOutOfTheMarkedDirectoryTellsTheOldNameOnly) {
  std::filesystem::create_directory(directory_.Path("from"));
  directory_.Write("from/old");
  Mark(directory_.Path("from"), FAN_RENAME);
  ASSERT_EQ(::rename(directory_.Path("from/old").c_str(), directory_.Path("new").c_str()), 0);
  const auto events = Drain();
  const NotificationEvent* renamed = FindMask(events, FAN_RENAME);
  ASSERT_NE(renamed, nullptr);
  ASSERT_TRUE(renamed->old_name);
  EXPECT_EQ(renamed->old_name->name, "old");
  EXPECT_FALSE(renamed->new_name);
}

TEST_F(NotificationGroupTest, ADeletedDirectoryIsNamedDot) {
  std::filesystem::create_directory(directory_.Path("gone"));
  const std::string key = KeyOf(directory_.Path("gone"));
  Mark(directory_.Path("gone"), FAN_DELETE_SELF);
  ASSERT_EQ(::rmdir(directory_.Path("gone").c_str()), 0);
  const auto events = Drain();
  const NotificationEvent* deleted = FindMask(events, FAN_DELETE_SELF);
  ASSERT_NE(deleted, nullptr);
  ASSERT_TRUE(deleted->name);
  EXPECT_EQ(deleted->name->name, ".");
  EXPECT_EQ(deleted->name->directory_handle, key);
}

TEST_F(NotificationGroupTest, NoDescriptorLeaks) {
  Mark(directory_.path(), FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_CLOSE_WRITE | FAN_ATTRIB);
  const size_t before = OpenFds();
  for (int round = 0; round < 20; ++round) {
    Child child([&] {
      for (int i = 0; i < 20; ++i) directory_.Write("file" + std::to_string(i));
      return 0;
    });
    ASSERT_EQ(child.Wait(), 0);
    EXPECT_FALSE(Drain().empty());
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST_F(NotificationGroupTest, AnOverflowIsFlaggedAndCounted) {
  std::FILE* limit_file = std::fopen("/proc/sys/fs/fanotify/max_queued_events", "r");
  int limit = 0;
  ASSERT_NE(limit_file, nullptr);
  ASSERT_EQ(std::fscanf(limit_file, "%d", &limit), 1);
  std::fclose(limit_file);
  if (limit > 65'536) GTEST_SKIP() << "max_queued_events is " << limit;
  Mark(directory_.path(), FAN_CREATE);
  const uint64_t before = FailureCount(Failure::kQueueOverflow);
  for (int i = 0; i < limit + 10; ++i) directory_.Write(std::to_string(i), "");
  const auto events = Drain();
  ASSERT_FALSE(events.empty());
  EXPECT_TRUE(events.back().overflow);
  EXPECT_FALSE(events.front().overflow);
  EXPECT_EQ(FailureCount(Failure::kQueueOverflow) - before, 1u);
}

TEST_F(NotificationGroupTest, LowerRungsStillNameWhatTheyCan) {
  for (const char* without :
       {"pidfd", "target_fid", "rename_event", "target_fid,rename_event,pidfd"}) {
    SCOPED_TRACE(without);
    Open(without);
    EXPECT_EQ(group_->has_rename(), std::string(without).find("rename_event") == std::string::npos);
    TempDirectory directory;
    Mark(directory.path(), FAN_CREATE | FAN_RENAME | FAN_MOVED_TO);
    directory.Write("file");
    const auto events = Drain();
    const NotificationEvent* created = FindMask(events, FAN_CREATE);
    ASSERT_NE(created, nullptr);
    ASSERT_TRUE(created->name);
    EXPECT_EQ(created->name->name, "file");
    EXPECT_EQ(created->name->directory_handle, KeyOf(directory.path()));
    EXPECT_EQ(created->pid, ::getpid());
  }
  Open("directory_names");
  EXPECT_FALSE(group_->has_names());
  Mark(directory_.path(), FAN_CREATE);
  directory_.Write("file");
  const auto events = Drain();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object_handle, KeyOf(directory_.path())) << "the directory that changed";
}

TEST_F(NotificationGroupTest, WithoutHandlesNothingCanBeMarked) {
  ::setenv("FILEWARD_WITHOUT", "fid", 1);
  const KernelFeatures features = ProbeKernelFeatures();
  ::unsetenv("FILEWARD_WITHOUT");
  Result<NotificationGroup> group = NotificationGroup::Open(features);
  ASSERT_TRUE(group.ok());
  const Result<void> marked = group->MarkDirectory(AT_FDCWD, directory_.path().c_str(), FAN_CREATE);
  ASSERT_FALSE(marked.ok());
  EXPECT_EQ(marked.error().error_number, EOPNOTSUPP);
  std::vector<NotificationEvent> events;
  EXPECT_EQ(*group->Read(events), 0u);
}

// Keys are compared with those of events on each filesystem that can be had here.
class HandleKeyTest : public NotificationGroupTest,
                      public ::testing::WithParamInterface<const char*> {
 protected:
  void TearDown() override {
    for (auto at = mounts_.rbegin(); at != mounts_.rend(); ++at) ::umount2(at->c_str(), MNT_DETACH);
  }

  bool MountTmpfs(const std::string& at) {
    std::filesystem::create_directory(at);
    if (::mount("tmpfs", at.c_str(), "tmpfs", 0, nullptr) != 0) return false;
    mounts_.push_back(at);
    return true;
  }

  bool Run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }

  // The directory to try in; empty when this filesystem can't be had.
  std::string MountOf(const std::string& type) {
    const std::string at = directory_.Path("mount");
    if (type == "tmpfs") return MountTmpfs(at) ? at : "";
    if (type == "overlay") {
      const std::string layers = directory_.Path("layers");
      if (!MountTmpfs(layers)) return "";
      for (const char* layer : {"/lower", "/upper", "/work"}) {
        std::filesystem::create_directory(layers + layer);
      }
      std::filesystem::create_directory(at);
      const std::string options =
          "lowerdir=" + layers + "/lower,upperdir=" + layers + "/upper,workdir=" + layers + "/work";
      if (::mount("overlay", at.c_str(), "overlay", 0, options.c_str()) != 0) return "";
    } else {
      const std::string image = directory_.Path("image");
      std::filesystem::create_directory(at);
      if (!Run("truncate -s 320M " + image) || !Run("mkfs." + type + " " + image) ||
          !Run("mount -o loop " + image + " " + at)) {
        return "";
      }
    }
    mounts_.push_back(at);
    return at;
  }

  std::vector<std::string> mounts_;
};

TEST_P(HandleKeyTest, IsTheKeyThatEventsCarry) {
  const std::string root = MountOf(GetParam());
  if (root.empty()) GTEST_SKIP() << "no " << GetParam() << " to be had here";
  std::filesystem::create_directory(root + "/sub");
  const Result<void> marked = group_->MarkDirectory(AT_FDCWD, (root + "/sub").c_str(), FAN_CREATE);
  if (!marked.ok()) GTEST_SKIP() << "no handles in events here: " << marked.error().Message();
  const UniqueFd file(::open((root + "/sub/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(file);
  const auto events = Drain();
  const NotificationEvent* created = FindMask(events, FAN_CREATE);
  ASSERT_NE(created, nullptr);
  ASSERT_TRUE(created->name);
  const UniqueFd directory(::open((root + "/sub").c_str(), O_PATH | O_CLOEXEC));
  EXPECT_EQ(created->name->directory_handle, HandleKey(directory.get(), ""));
  EXPECT_EQ(created->name->directory_handle, KeyOf(root + "/sub"));
  EXPECT_EQ(created->object_handle, HandleKey(directory.get(), "file"));
  EXPECT_NE(KeyOf(root), KeyOf(root + "/sub"));
}

INSTANTIATE_TEST_SUITE_P(Filesystems, HandleKeyTest,
                         ::testing::Values("tmpfs", "ext4", "xfs", "btrfs", "overlay"),
                         [](const auto& test) { return std::string(test.param); });

TEST(HandleKey, IsEmptyForWhatIsAbsentAndDoesNotFollowSymlinks) {
  const TempDirectory directory;
  EXPECT_EQ(KeyOf(directory.Path("absent")), "");
  directory.Write("file");
  ASSERT_EQ(::symlink("file", directory.Path("link").c_str()), 0);
  EXPECT_NE(KeyOf(directory.Path("link")), KeyOf(directory.Path("file")));
  EXPECT_NE(KeyOf(directory.Path("link")), "");
}

}  // namespace
}  // namespace fileward
