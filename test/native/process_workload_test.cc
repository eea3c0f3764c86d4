// Workloads by cgroup, their users, and what is told of a process in one.
#include <sched.h>
#include <sys/stat.h>

#include <fstream>

#include "native/base/clock.h"
#include "native/kernel/process_files.h"
#include "native/process/process_feed.h"
#include "native/process/process_snapshot.h"
#include "native/process/process_table.h"
#include "native/process/workload_users.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::Child;
using testing::Eventually;
using testing::TempDirectory;

constexpr WorkloadId kContainer = 7;

std::shared_ptr<const WorkloadCgroups> One(const std::string& cgroup, int32_t init_pid) {
  return std::make_shared<WorkloadCgroups>(
      std::vector<WorkloadCgroups::Entry>{{kContainer, cgroup, init_pid}});
}

TEST(WorkloadCgroups, TheLongestCgroupThatHoldsItCounts) {
  const WorkloadCgroups cgroups({{1, "/docker/aa", 10},
                                 {2, "/docker/aa/docker/bb", 20},
                                 {3, "/machine.slice/libpod-cc.scope/", 30}});
  EXPECT_EQ(cgroups.Of("/docker/aa"), 1u);
  EXPECT_EQ(cgroups.Of("/docker/aa/init.scope"), 1u);
  EXPECT_EQ(cgroups.Of("/docker/aa/docker/bb"), 2u) << "a container in a container";
  EXPECT_EQ(cgroups.Of("/docker/aa/docker/bb/x/y"), 2u);
  EXPECT_EQ(cgroups.Of("/docker/aab"), kHostWorkload) << "not a segment";
  EXPECT_EQ(cgroups.Of("/docker"), kHostWorkload);
  EXPECT_EQ(cgroups.Of("/machine.slice/libpod-cc.scope"), 3u);
  for (const char* text : {"/", "", "docker/aa", "//", "/../docker/aa"}) {
    EXPECT_EQ(cgroups.Of(text), kHostWorkload) << text;
  }
  EXPECT_EQ(cgroups.CgroupOf(3), "/machine.slice/libpod-cc.scope");
  EXPECT_EQ(cgroups.CgroupOf(4), "");
  EXPECT_EQ(cgroups.InitOf(2), 20);
  EXPECT_EQ(cgroups.InitOf(kHostWorkload), 0);
  EXPECT_TRUE(cgroups.Holds(1, "/docker/aa"));
  EXPECT_TRUE(cgroups.Holds(1, "/docker/aa/docker/bb/x")) << "and what is in it";
  EXPECT_FALSE(cgroups.Holds(1, "/docker/aab"));
  EXPECT_FALSE(cgroups.Holds(2, "/docker/aa"));
  EXPECT_FALSE(cgroups.Holds(kHostWorkload, "/"));
  EXPECT_EQ(cgroups.Within(1, "/docker/aa/system.slice/x.service"), "/system.slice/x.service");
  EXPECT_EQ(cgroups.Within(kHostWorkload, "/system.slice/x.service"), "/system.slice/x.service");
}

TEST(WorkloadCgroups, OneThatIsNotKnownIsToldByItsName) {
  const std::string id(64, 'a');
  const WorkloadCgroups cgroups({{1, "/docker/" + id, 10}});
  EXPECT_FALSE(cgroups.MayBeNew("/docker/" + id)) << "known";
  EXPECT_TRUE(cgroups.MayBeNew("/docker/" + std::string(64, 'b')));
  EXPECT_TRUE(cgroups.MayBeNew("/m.slice/libpod-" + std::string(64, 'b') + ".scope/container"));
  EXPECT_FALSE(cgroups.MayBeNew("/m.slice/libpod-conmon-" + std::string(64, 'b') + ".scope"));
  EXPECT_FALSE(cgroups.MayBeNew("/docker/" + std::string(63, 'b')));
  EXPECT_FALSE(cgroups.MayBeNew("/" + std::string(32, 'b') + "/" + std::string(32, 'b')));
  for (const char* text : {"", "/", "b"}) EXPECT_FALSE(cgroups.MayBeNew(text)) << text;
}

TEST(WorkloadCgroups, NobodyIsGivenTheRootCgroup) {
  const WorkloadCgroups cgroups({{1, "/", 10}, {2, "", 20}});
  EXPECT_TRUE(cgroups.empty());
  EXPECT_EQ(cgroups.Of("/any"), kHostWorkload);
}

class WorkloadUsersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::mkdir(directory_.Path("etc").c_str(), 0755), 0);
    root_ = UniqueFd(::open(directory_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  std::shared_ptr<const WorkloadUsers> Of(const std::string& passwd) {
    directory_.Write("etc/passwd", passwd);
    return Users();
  }
  std::shared_ptr<const WorkloadUsers> Users() {
    return WorkloadUsers::Read(root_.get(), ::getpid());
  }

  TempDirectory directory_;
  UniqueFd root_;
};

TEST_F(WorkloadUsersTest, TheFirstLineOfANameCounts) {
  const auto users =
      Of("root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/:\napp:x:0:0::/:\n"
         "toor:x:0:0::/:\n");
  EXPECT_EQ(users->UidOf("root"), 0u);
  EXPECT_EQ(users->UidOf("app"), 1000u);
  EXPECT_EQ(users->UidOf("toor"), 0u);
  EXPECT_FALSE(users->UidOf("nobody"));
  EXPECT_FALSE(users->UidOf(""));
}

TEST_F(WorkloadUsersTest, WhatIsNoUserIsLeftOut) {
  const auto users =
      Of("\n# comment\nroot\nroot:x\nroot:x:\nroot:x:0x10:0\nroot:x:-1:0\n:x:5:5\n"
         "root:x:4294967296:0\na:x:7:7\n");
  EXPECT_FALSE(users->UidOf("root"));
  EXPECT_FALSE(users->UidOf(""));
  EXPECT_EQ(users->UidOf("a"), 7u);
}

TEST_F(WorkloadUsersTest, AnEndlessFileIsReadInPart) {
  std::string passwd;
  for (int i = 0; passwd.size() < 2 * WorkloadUsers::kMostPasswdBytes; ++i) {
    passwd += "user" + std::to_string(i) + ":x:1:1:" + std::string(200, 'x') + ":/:\n";
  }
  const auto users = Of(passwd + "last:x:0:0::/:\n");
  EXPECT_EQ(users->UidOf("user0"), 1u);
  EXPECT_FALSE(users->UidOf("last"));
  passwd = "first:x:1:1\n";
  for (size_t i = 0; i < WorkloadUsers::kMostUsers; ++i) passwd += "a:b:2\n";
  const auto many = Of(passwd + "last:x:0:0::/:\n");
  EXPECT_EQ(many->UidOf("first"), 1u);
  EXPECT_FALSE(many->UidOf("last"));
}

TEST_F(WorkloadUsersTest, WithoutAFileThereAreNoNames) {
  const auto users = Users();
  EXPECT_FALSE(users->UidOf("root"));
  EXPECT_TRUE(users->IsCurrent(root_.get()));
  ASSERT_EQ(::mkfifo(directory_.Path("etc/passwd").c_str(), 0644), 0);
  EXPECT_FALSE(Users()->UidOf("root"));
}

TEST_F(WorkloadUsersTest, AChangedFileIsNoticed) {
  const auto users = Of("root:x:0:0\n");
  EXPECT_TRUE(users->IsCurrent(root_.get()));
  directory_.Write("etc/passwd", "root:x:0:0\nnew:x:5:5\n");
  EXPECT_FALSE(users->IsCurrent(root_.get()));
  EXPECT_EQ(Users()->UidOf("new"), 5u);
}

TEST_F(WorkloadUsersTest, AUserOfTheHostHasTheNumberThatTheNamespaceGivesIt) {
  EXPECT_EQ(Users()->Inside(1234), 1234u) << "no namespace";
  SKIP_UNLESS_ROOT();
  Child child([] {
    if (::unshare(CLONE_NEWUSER) != 0) return 1;
    return ::pause();
  });
  const std::string map = "/proc/" + std::to_string(child.pid()) + "/uid_map";
  ASSERT_TRUE(Eventually([&] {
    std::ofstream file(map);
    file << "0 100000 1000\n5000 3000 1\n";
    file.close();
    return WorkloadUsers::Read(root_.get(), child.pid())->Inside(100'000) == 0;
  }));
  const auto users = WorkloadUsers::Read(root_.get(), child.pid());
  EXPECT_EQ(users->Inside(100'999), 999u);
  EXPECT_EQ(users->Inside(101'000), WorkloadUsers::kNobody);
  EXPECT_EQ(users->Inside(0), WorkloadUsers::kNobody);
  EXPECT_EQ(users->Inside(3000), 5000u);
}

// A cgroup of our own in the hierarchy that CgroupOf reads.
class WorkloadProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    auto feed = ProcessFeed::Start(table_);
    if (!feed) GTEST_SKIP() << "no process feed here: " << feed.error().Message();
    feed_ = *std::move(feed);
    for (const char* hierarchy : {"/sys/fs/cgroup/systemd", "/sys/fs/cgroup"}) {
      const std::string path = hierarchy + cgroup_;
      if (::mkdir(path.c_str(), 0755) != 0) continue;
      cgroup_directory_ = path;
      return;
    }
    GTEST_SKIP() << "no cgroup can be made here";
  }
  void TearDown() override {
    if (cgroup_directory_.empty()) return;
    EXPECT_TRUE(Eventually([&] { return ::rmdir(cgroup_directory_.c_str()) == 0; }));
  }
  // To be called in a child.
  bool Enter() const {
    std::ofstream file(cgroup_directory_ + "/cgroup.procs");
    file << ::getpid();
    file.close();
    return file.good();
  }
  void AwaitExec(int32_t pid) {
    ASSERT_TRUE(Eventually([&] { return table_.ExecCountOf(pid) > 0; }));
  }

  const std::string cgroup_ = "/fw-workload-" + std::to_string(::getpid());
  std::string cgroup_directory_;
  TempDirectory directory_;
  ProcessTable table_;
  std::unique_ptr<ProcessFeed> feed_;
};

TEST_F(WorkloadProcessTest, AProcessBelongsToTheContainerOfItsCgroup) {
  Child child([this] {
    if (!Enter()) return 1;
    return ::execl("/bin/sleep", "sleep", "60", nullptr);
  });
  AwaitExec(child.pid());
  EXPECT_EQ(table_.WorkloadOf(child.pid()), kHostWorkload) << "as long as none is known";
  table_.SetWorkloads(One(cgroup_, child.pid()));
  EXPECT_EQ(table_.WorkloadOf(child.pid()), kContainer);
  EXPECT_EQ(table_.WorkloadOf(::getpid()), kHostWorkload);
  EXPECT_EQ(table_.WorkloadOf(0x3fffffff), kUnknownWorkload);
  EXPECT_EQ(SnapshotOf(child.pid(), table_).workload, kContainer);
}

TEST_F(WorkloadProcessTest, AProcessThatHasGoneStillBelongsThere) {
  table_.SetWorkloads(One(cgroup_, 1));
  Child child([this] {
    if (!Enter()) return 1;
    return ::execl("/bin/sleep", "sleep", "60", nullptr);
  });
  const pid_t pid = child.pid();
  AwaitExec(pid);
  ::kill(pid, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(table_.WorkloadOf(pid), kContainer) << "a zombie";
  child.Wait();
  EXPECT_EQ(table_.WorkloadOf(pid), kContainer);
  const ProcessSnapshot snapshot = SnapshotOf(pid, table_);
  EXPECT_EQ(snapshot.workload, kContainer);
  EXPECT_EQ(snapshot.cgroup, cgroup_);
  EXPECT_EQ(snapshot.ppid, ::getpid());
  EXPECT_FALSE(snapshot.ancestors.empty());
  EXPECT_TRUE(snapshot.exe_path.ends_with("/sleep")) << snapshot.exe_path;
}

TEST_F(WorkloadProcessTest, UnitsAreThoseOfTheContainersOwnManager) {
  const std::string below = cgroup_directory_ + "/system.slice";
  ASSERT_EQ(::mkdir(below.c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((below + "/web.service").c_str(), 0755), 0);
  {
    Child child([&] {
      std::ofstream(below + "/web.service/cgroup.procs") << ::getpid();
      return ::execl("/bin/sleep", "sleep", "60", nullptr);
    });
    AwaitExec(child.pid());
    EXPECT_EQ(SnapshotOf(child.pid(), table_).unit, "") << "no unit of the host's";
    table_.SetWorkloads(One(cgroup_, child.pid()));
    EXPECT_EQ(SnapshotOf(child.pid(), table_).unit, "web.service");
  }
  EXPECT_TRUE(Eventually([&] { return ::rmdir((below + "/web.service").c_str()) == 0; }));
  EXPECT_EQ(::rmdir(below.c_str()), 0);
}

// A container that is a chroot only: names are those in its own root.
TEST_F(WorkloadProcessTest, ProgramsHaveTheNamesOfTheirOwnRoot) {
  const std::string root = directory_.Path("root");
  for (const char* name : {"", "/bin"}) ASSERT_EQ(::mkdir((root + name).c_str(), 0755), 0);
  std::filesystem::copy_file("/bin/busybox", root + "/bin/outer");
  std::filesystem::copy_file("/bin/busybox", root + "/bin/busybox");
  int out[2], in[2];
  ASSERT_EQ(::pipe2(out, 0), 0);
  ASSERT_EQ(::pipe2(in, 0), 0);
  Child child([&] {
    if (::chroot(root.c_str()) != 0 || ::chdir("/") != 0) return 1;
    ::dup2(in[0], 0);
    ::dup2(out[1], 1);
    return ::execl("/bin/outer", "sh", "-c", "/bin/busybox sh -c 'echo $$; read x'; true", nullptr);
  });
  std::array<char, 32> text{};
  ASSERT_TRUE(testing::AwaitReadable(out[0]));
  ASSERT_GT(::read(out[0], text.data(), text.size() - 1), 0);
  const int32_t inner = std::atoi(text.data());
  AwaitExec(inner);
  const ProcessSnapshot snapshot = SnapshotOf(inner, table_);
  EXPECT_EQ(snapshot.exe_path, "/bin/busybox");
  ASSERT_FALSE(snapshot.ancestors.empty());
  EXPECT_EQ(snapshot.ancestors.front(), "/bin/outer");
  ::kill(inner, SIGKILL);
  const uint64_t now_ns = MonotonicNs();
  ASSERT_TRUE(Eventually([&] { return table_.CurrentAsOf(now_ns) && !StatusOf(inner); }));
  EXPECT_EQ(SnapshotOf(inner, table_).exe_path, "/bin/busybox") << "gone";
}

}  // namespace
}  // namespace fileward
