#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "native/base/failure.h"
#include "native/kernel/fanotify_group.h"
#include "native/kernel/process_files.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::AwaitReadable;
using testing::Child;
using testing::TempDirectory;
using testing::TryOpen;

class PermissionGroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    static const KernelFeatures features = ProbeKernelFeatures();
    ASSERT_TRUE(features.permission_events);
    Result<PermissionGroup> group = PermissionGroup::Open(features);
    ASSERT_TRUE(group.ok()) << group.error().Message();
    group_ = std::make_unique<PermissionGroup>(*std::move(group));
  }

  // Reads until `count` events are there.
  std::vector<PermissionEvent> Await(size_t count) {
    std::vector<PermissionEvent> events;
    while (events.size() < count && AwaitReadable(group_->fd())) {
      const Result<size_t> read = group_->Read(events, 64);
      EXPECT_TRUE(read.ok());
      if (!read.ok()) break;
    }
    EXPECT_EQ(events.size(), count);
    return events;
  }

  TempDirectory directory_;
  std::unique_ptr<PermissionGroup> group_;
};

TEST_F(PermissionGroupTest, ReadsAndWritesOfAnOpenFileAreAskedForWhereTheFilesystemCan) {
  if (!group_->gates_access()) GTEST_SKIP() << "no FAN_PRE_ACCESS";
  const std::string image = directory_.Write("image");
  const std::string mounted = directory_.Path("mounted");
  ASSERT_EQ(std::system(("truncate -s 8M " + image + " && mkfs.ext4 -q -F " + image + " && mkdir " +
                         mounted + " && mount -o loop " + image + " " + mounted)
                            .c_str()),
            0);
  const std::string path = mounted + "/file";
  ASSERT_EQ(std::system(("echo content > " + path).c_str()), 0);
  const UniqueFd tmpfs(::open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(group_->ProbeAccess(tmpfs.get()).error().error_number, EOPNOTSUPP);
  UniqueFd directory(::open(mounted.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(group_->ProbeAccess(directory.get()).ok());
  ASSERT_TRUE(group_->MarkDirectory(AT_FDCWD, mounted.c_str(), FAN_PRE_ACCESS).ok());
  {
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    for (const bool writes : {false, true}) {
      Child child([&] {
        char byte = 'x';
        const ssize_t done = writes ? ::write(file.get(), &byte, 1) : ::read(file.get(), &byte, 1);
        return done < 0 ? errno : 0;
      });
      ASSERT_TRUE(AwaitReadable(group_->fd()));
      std::vector<PermissionEvent> events;
      // An event of twice the size fits, however few were asked for.
      ASSERT_TRUE(group_->Read(events, 1).ok());
      ASSERT_EQ(events.size(), 1U);
      EXPECT_EQ(events[0].mask, uint64_t{FAN_PRE_ACCESS});
      SyscallState state;
      ASSERT_TRUE(testing::Eventually([&] {
        state = SyscallOf(events[0].tid);
        return state.kind == SyscallState::Kind::kBlocked;
      }));
      EXPECT_EQ(ClassifyAccessCall(state, events[0].tid).call,
                writes ? AccessCall::kWrite : AccessCall::kRead);
      group_->Answer(std::array{Response{events[0].raw_fd, false}});
      EXPECT_EQ(child.Wait(), EPERM);
    }
  }
  directory.reset();
  EXPECT_EQ(::umount(mounted.c_str()), 0);
}

TEST_F(PermissionGroupTest, DeniedOpenerGetsEpermAndAllowedOneGetsIn) {
  const std::string path = directory_.Write("file");
  ASSERT_TRUE(group_->MarkDirectory(AT_FDCWD, directory_.path().c_str(), FAN_OPEN_PERM).ok());
  for (const bool allow : {false, true}) {
    Child child([&] { return TryOpen(path, O_RDONLY); });
    const auto events = Await(1);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].tid, child.pid());
    EXPECT_EQ(events[0].mask, uint64_t{FAN_OPEN_PERM});
    struct stat opened {
    }, named{};
    EXPECT_EQ(::fstat(events[0].fd.get(), &opened), 0);
    EXPECT_EQ(::stat(path.c_str(), &named), 0);
    EXPECT_EQ(opened.st_ino, named.st_ino);
    group_->Answer(std::array{Response{events[0].raw_fd, allow}});
    EXPECT_EQ(child.Wait(), allow ? 0 : EPERM);
  }
}

TEST_F(PermissionGroupTest, NamesTheOpeningThread) {
  const std::string path = directory_.Write("file");
  ASSERT_TRUE(group_->MarkFile(AT_FDCWD, path.c_str(), FAN_OPEN_PERM).ok());
  std::atomic<pid_t> tid{0};
  std::thread opener([&] {
    tid = ::gettid();
    TryOpen(path, O_RDONLY);
  });
  const auto events = Await(1);
  if (events.size() == 1) {
    EXPECT_EQ(events[0].tid, tid.load());
    group_->Answer(std::array{Response{events[0].raw_fd, true}});
  }
  opener.join();
}

TEST_F(PermissionGroupTest, OneBatchIsAnsweredAtOnceEachByItsOwnVerdict) {
  constexpr size_t kOpeners = 300;  // more than one writev takes
  const std::string yes = directory_.Write("yes");
  const std::string no = directory_.Write("no");
  ASSERT_TRUE(group_->MarkDirectory(AT_FDCWD, directory_.path().c_str(), FAN_OPEN_PERM).ok());
  std::vector<std::unique_ptr<Child>> children;
  for (size_t i = 0; i < kOpeners; ++i) {
    const std::string& path = i % 3 == 0 ? no : yes;
    children.push_back(std::make_unique<Child>([&path] { return TryOpen(path, O_RDONLY); }));
  }
  struct stat forbidden {};
  ASSERT_EQ(::stat(no.c_str(), &forbidden), 0);
  const auto events = Await(kOpeners);
  std::vector<Response> responses;
  for (const PermissionEvent& event : events) {
    struct stat file {};
    ASSERT_EQ(::fstat(event.fd.get(), &file), 0);
    responses.push_back({event.raw_fd, file.st_ino != forbidden.st_ino});
  }
  group_->Answer(responses);
  for (size_t i = 0; i < kOpeners; ++i) EXPECT_EQ(children[i]->Wait(), i % 3 == 0 ? EPERM : 0);
}

TEST_F(PermissionGroupTest, ABadResponseDoesNotKeepTheOthersWaiting) {
  const std::string path = directory_.Write("file");
  ASSERT_TRUE(group_->MarkFile(AT_FDCWD, path.c_str(), FAN_OPEN_PERM).ok());
  Child first([&] { return TryOpen(path, O_RDONLY); });
  Child second([&] { return TryOpen(path, O_RDONLY); });
  const auto events = Await(2);
  ASSERT_EQ(events.size(), 2u);
  const uint64_t rejected = FailureCount(Failure::kResponseRejected);
  // -2 is no descriptor (EINVAL), 9999 is nobody's (ENOENT: as if answered by somebody else).
  group_->Answer(std::array{Response{-2, true}, Response{events[0].raw_fd, false},
                            Response{9999, true}, Response{events[1].raw_fd, false},
                            Response{-2, true}});
  EXPECT_EQ(first.Wait(), EPERM);
  EXPECT_EQ(second.Wait(), EPERM);
  EXPECT_EQ(FailureCount(Failure::kResponseRejected) - rejected, 2u);
}

TEST_F(PermissionGroupTest, AnIgnoredFileIsNotAskedAboutUntilItIsUnignored) {
  const std::string covered = directory_.Write("covered");
  const std::string sibling = directory_.Write("sibling");
  ASSERT_TRUE(group_->MarkDirectory(AT_FDCWD, directory_.path().c_str(), FAN_OPEN_PERM).ok());
  ASSERT_TRUE(group_->IgnoreFile(AT_FDCWD, sibling.c_str(), FAN_OPEN_PERM).ok());
  // Would hang if it were asked about: nobody reads. Writing must not end it.
  Child quiet([&] {
    const int result = TryOpen(sibling, O_WRONLY | O_TRUNC);
    return result != 0 ? result : TryOpen(sibling, O_RDONLY);
  });
  EXPECT_EQ(quiet.Wait(), 0);
  ASSERT_TRUE(group_->UnignoreFile(AT_FDCWD, sibling.c_str(), FAN_OPEN_PERM).ok());
  Child asked([&] { return TryOpen(sibling, O_RDONLY); });
  const auto events = Await(1);
  ASSERT_EQ(events.size(), 1u);
  group_->Answer(std::array{Response{events[0].raw_fd, false}});
  EXPECT_EQ(asked.Wait(), EPERM);
}

TEST_F(PermissionGroupTest, TakingOneBitOffAMarkLeavesTheOthersForChildren) {
  const std::string path = directory_.Write("script", "#!/bin/true\n");
  const char* directory = directory_.path().c_str();
  ASSERT_TRUE(group_->MarkDirectory(AT_FDCWD, directory, FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM).ok());
  ASSERT_TRUE(group_->Unmark(AT_FDCWD, directory, FAN_OPEN_EXEC_PERM).ok());
  Child reader([&] { return TryOpen(path, O_RDONLY); });
  const auto events = Await(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].mask, uint64_t{FAN_OPEN_PERM});
  group_->Answer(std::array{Response{events[0].raw_fd, false}});
  EXPECT_EQ(reader.Wait(), EPERM);
  ASSERT_TRUE(group_->Unmark(AT_FDCWD, directory, FAN_OPEN_PERM).ok());
  EXPECT_TRUE(group_->Unmark(AT_FDCWD, directory, FAN_OPEN_PERM).ok()) << "twice is fine";
  Child free([&] { return TryOpen(path, O_RDONLY); });
  EXPECT_EQ(free.Wait(), 0);
}

TEST_F(PermissionGroupTest, MarksThroughAnOPathDescriptor) {
  directory_.Write("file");
  const UniqueFd handle(::open(directory_.path().c_str(), O_PATH | O_CLOEXEC));
  const std::string self = "/proc/self/fd/" + std::to_string(handle.get());
  ASSERT_TRUE(group_->MarkDirectory(AT_FDCWD, self.c_str(), FAN_OPEN_PERM).ok());
  Child child([&] { return TryOpen(directory_.Path("file"), O_RDONLY); });
  const auto events = Await(1);
  ASSERT_EQ(events.size(), 1u);
  group_->Answer(std::array{Response{events[0].raw_fd, false}});
  EXPECT_EQ(child.Wait(), EPERM);
}

TEST_F(PermissionGroupTest, AMarkThatFailsSaysWhy) {
  const Result<void> marked =
      group_->MarkFile(AT_FDCWD, directory_.Path("absent").c_str(), FAN_OPEN_PERM);
  ASSERT_FALSE(marked.ok());
  EXPECT_EQ(marked.error().error_number, ENOENT);
  EXPECT_STREQ(marked.error().syscall, "fanotify_mark");
}

TEST_F(PermissionGroupTest, ClosingTheGroupLetsOpenersIn) {
  const std::string path = directory_.Write("file");
  ASSERT_TRUE(group_->MarkFile(AT_FDCWD, path.c_str(), FAN_OPEN_PERM).ok());
  const int group = group_->fd();
  Child child([&] {
    ::close(group);  // whoever forks holds the group too
    return TryOpen(path, O_RDONLY);
  });
  ASSERT_EQ(Await(1).size(), 1u);
  group_.reset();
  EXPECT_EQ(child.Wait(), 0);
}

}  // namespace
}  // namespace fileward
