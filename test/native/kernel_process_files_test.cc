#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <thread>

#include "native/base/clock.h"
#include "native/kernel/process_files.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::Child;
using testing::TempDirectory;

FileIdentity IdentityOf(const char* path) {
  struct stat file {};
  EXPECT_EQ(::stat(path, &file), 0);
  return {file.st_dev, file.st_ino};
}

TEST(ProcessFiles, StatusOfAThreadNamesItsGroup) {
  std::optional<ProcessStatus> status;
  int32_t tid = 0;
  std::thread([&] {
    tid = ::gettid();
    status = StatusOf(tid);
  }).join();
  ASSERT_TRUE(status);
  EXPECT_NE(tid, ::getpid());
  EXPECT_EQ(status->tgid, ::getpid());
  EXPECT_EQ(status->ppid, ::getppid());
  EXPECT_EQ(status->euid, ::geteuid());
  EXPECT_EQ(status->ruid, ::getuid());
  EXPECT_GE(status->threads, 2);
  EXPECT_TRUE(status->has_memory);
  EXPECT_FALSE(StatusOf(0x3fffffff));
}

TEST(ProcessFiles, AHostileCommandNameChangesNothing) {
  Child child([] {
    ::prctl(PR_SET_NAME, "a) S 1\nTgid:\t7");
    ::pause();
    return 0;
  });
  ASSERT_TRUE(testing::Eventually(
      [&] { return StatusOf(child.pid()).value_or(ProcessStatus{}).ppid == ::getpid(); }));
  const uint64_t now_ns = NowNs(CLOCK_BOOTTIME);
  const std::optional<uint64_t> start_ns = StartTime(child.pid());
  ASSERT_TRUE(start_ns);
  EXPECT_LE(*start_ns, now_ns);
  EXPECT_GT(*start_ns + 5'000'000'000, now_ns);
  EXPECT_EQ(StatusOf(child.pid())->tgid, child.pid());
  const uint64_t realtime_ns = BootToRealtimeNs(*start_ns);
  EXPECT_LE(realtime_ns, RealtimeNs() + 1'000'000'000);
  EXPECT_GT(realtime_ns + 5'000'000'000, RealtimeNs());
}

TEST(ProcessFiles, ExeIsTheFileNotItsText) {
  TempDirectory directory;
  const std::string program = directory.Path("sleeper (deleted)");
  std::filesystem::copy_file("/bin/sleep", program);
  const FileIdentity identity = IdentityOf(program.c_str());
  Child child([&] { return ::execl(program.c_str(), "x", "60", nullptr); });
  std::optional<Exe> exe;
  ASSERT_TRUE(testing::Eventually([&] {
    exe = ExeOf(child.pid());
    return exe && exe->identity == identity;
  }));
  EXPECT_EQ(exe->path, program) << "a real name may end in (deleted)";
  std::filesystem::remove(program);
  EXPECT_EQ(ExeOf(child.pid())->path, program);
  EXPECT_EQ(ExeIdentity(child.pid()), identity);
  EXPECT_FALSE(ExeOf(0x3fffffff));
}

TEST(ProcessFiles, OpenFlagsOfAFile) {
  TempDirectory directory;
  const std::string path = directory.Write("file");
  const FileIdentity identity = IdentityOf(path.c_str());
  EXPECT_FALSE(HasOpenFd(::getpid(), identity));
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd writer(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  std::vector<int> modes;
  for (const int flags : OpenFlagsOf(::getpid(), identity)) modes.push_back(flags & O_ACCMODE);
  std::sort(modes.begin(), modes.end());
  EXPECT_EQ(modes, (std::vector<int>{O_RDONLY, O_WRONLY}));
}

TEST(ProcessFiles, ListsProcessesThreadsChildrenAndArguments) {
  Child child([] { return ::execl("/bin/sleep", "sleep", "", "60", nullptr); });
  const auto has = [](const std::vector<int32_t>& list, int32_t pid) {
    return std::find(list.begin(), list.end(), pid) != list.end();
  };
  EXPECT_TRUE(has(ListProcesses(), child.pid()));
  EXPECT_TRUE(has(ListProcesses(), ::getpid()));
  EXPECT_TRUE(has(ListThreads(::getpid()), ::gettid()));
  EXPECT_TRUE(has(ListChildren(::getpid()), child.pid()));
}

TEST(UnitOfCgroup, OnlyUnitsOfTheSystemManager) {
  EXPECT_EQ(UnitOfCgroup("/system.slice/ssh.service"), "ssh.service");
  EXPECT_EQ(UnitOfCgroup("/system.slice/system-getty.slice/getty@tty1.service"),
            "getty@tty1.service");
  EXPECT_EQ(UnitOfCgroup("/system.slice/docker.service/child/x.service"), "docker.service");
  EXPECT_EQ(UnitOfCgroup("/system.slice/_cgroup.service"), "cgroup.service");
  EXPECT_EQ(UnitOfCgroup("/system.slice/run-1.scope"), "run-1.scope");
  EXPECT_EQ(UnitOfCgroup("/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service"),
            "");
  EXPECT_EQ(UnitOfCgroup("/docker/abc/system.slice/ssh.service"), "");
  EXPECT_EQ(UnitOfCgroup("/system.slice"), "");
  EXPECT_EQ(UnitOfCgroup("/"), "");
  EXPECT_EQ(UnitOfCgroup(""), "");
}

}  // namespace
}  // namespace fileward
