// The table with the real process feed and real children.
#include "native/process/process_table.h"

#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <thread>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/kernel/process_files.h"
#include "native/process/process_feed.h"
#include "native/process/process_snapshot.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::Child;
using testing::Eventually;
using testing::TempDirectory;

FileIdentity IdentityOf(const std::string& path) {
  struct stat file {};
  EXPECT_EQ(::stat(path.c_str(), &file), 0) << path;
  return {file.st_dev, file.st_ino};
}

std::vector<FileIdentity> Identities(const Lineage& lineage) {
  std::vector<FileIdentity> identities;
  for (const auto& run : lineage.ancestors) identities.push_back(run->exe);
  return identities;
}

bool AllCertain(const Lineage& lineage) {
  return std::all_of(lineage.ancestors.begin(), lineage.ancestors.end(),
                     [](const auto& run) { return run->certain.load(); });
}

class ProcessTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    auto feed = ProcessFeed::Start(table_);
    if (!feed) GTEST_SKIP() << "no process feed here: " << feed.error().Message();
    feed_ = *std::move(feed);
    self_ = IdentityOf("/proc/self/exe");
  }

  // Everything that happened so far is in the table.
  void Catch() {
    const uint64_t now_ns = MonotonicNs();
    EXPECT_TRUE(Eventually([&] { return table_.CurrentAsOf(now_ns); }));
  }

  Lineage Settled(int32_t tid) {
    const uint64_t now_ns = MonotonicNs();
    Lineage lineage;
    EXPECT_TRUE(Eventually([&] { return (lineage = table_.LineageOf(tid, now_ns)).settled; }));
    return lineage;
  }

  // Until `pid` runs `exe`, as the table sees it.
  void AwaitRun(int32_t pid, const FileIdentity& exe) {
    ASSERT_TRUE(Eventually([&] {
      const auto view = table_.Find(pid);
      return view && view->run && view->run->exe == exe;
    }));
  }

  // The first number that a child wrote into `fd`.
  static int32_t ReadPid(int fd) {
    int32_t pid = 0;
    EXPECT_EQ(::read(fd, &pid, sizeof(pid)), static_cast<ssize_t>(sizeof(pid)));
    return pid;
  }

  // A copy of a program, so that its identity is nobody else's.
  std::string CopyOf(const std::string& program, const std::string& name) {
    std::filesystem::copy_file(program, directory_.Path(name));
    return directory_.Path(name);
  }

  TempDirectory directory_;
  ProcessTable table_;
  std::unique_ptr<ProcessFeed> feed_;
  FileIdentity self_;
};

TEST_F(ProcessTableTest, AChildRunsWhatItsParentRanUntilItExecs) {
  int gate[2];
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  Child child([&] {
    char go = 0;
    (void)!::read(gate[0], &go, 1);
    return ::execl("/bin/sleep", "sleep", "60", nullptr);
  });
  Catch();
  auto view = table_.Find(child.pid());
  ASSERT_TRUE(view);
  EXPECT_EQ(view->run->exe, self_);
  EXPECT_TRUE(view->run_verified);
  EXPECT_EQ(view->exec_count, 0u);
  EXPECT_EQ(view->ppid, ::getpid());
  ASSERT_EQ(::write(gate[1], "x", 1), 1);
  AwaitRun(child.pid(), IdentityOf("/bin/sleep"));
  view = table_.Find(child.pid());
  EXPECT_EQ(view->exec_count, 1u);
  EXPECT_GT(view->last_exec_ns, view->fork_ns);
  ASSERT_EQ(view->earlier.size(), 1u);
  EXPECT_EQ(view->earlier[0]->exe, self_);
  EXPECT_EQ(view->euid, ::geteuid());
  EXPECT_NEAR(static_cast<double>(view->start_ns),
              static_cast<double>(StartTime(child.pid()).value_or(0)), 30e6);
}

TEST_F(ProcessTableTest, ANotedScriptIsWhatTheNextExecRuns) {
  int gate[2];
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  Child child([&] {
    char go = 0;
    (void)!::read(gate[0], &go, 1);
    return ::execl("/bin/sh", "sh", "-c", "exec sleep 60", nullptr);
  });
  Catch();
  const FileIdentity script{1, 2};
  table_.NoteScript(child.pid(), script, {"-c"});
  EXPECT_FALSE(table_.Find(child.pid())->run->script.known()) << "not before the exec";
  ASSERT_EQ(::write(gate[1], "x", 1), 1);
  AwaitRun(child.pid(), IdentityOf("/bin/sleep"));
  const auto view = table_.Find(child.pid());
  EXPECT_FALSE(view->run->script.known()) << "it runs something else by now";
  ASSERT_EQ(view->earlier.size(), 2u);
  EXPECT_EQ(view->earlier[0]->script, script);
}

TEST_F(ProcessTableTest, AnExecThatDoesNotNameTheNotedScriptIsNotIt) {
  int gate[2];
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  Child child([&] {
    char go = 0;
    (void)!::read(gate[0], &go, 1);
    return ::execl("/bin/sh", "sh", "-c", "exec sleep 60", "/opt/script", nullptr);
  });
  Catch();
  // As after an exec of the script that failed.
  table_.NoteScript(child.pid(), FileIdentity{1, 2}, {"/opt/script"});
  ASSERT_EQ(::write(gate[1], "x", 1), 1);
  AwaitRun(child.pid(), IdentityOf("/bin/sleep"));
  const auto view = table_.Find(child.pid());
  ASSERT_EQ(view->earlier.size(), 2u);
  EXPECT_FALSE(view->earlier[0]->script.known());
}

TEST_F(ProcessTableTest, AncestorsAreWhatEachRanWhenItForkedTheNext) {
  const std::string outer = CopyOf("/bin/sh", "outer");
  const std::string inner = CopyOf("/bin/sh", "inner");
  const FileIdentity sleep = IdentityOf("/bin/sleep");
  const std::string script = inner + " -c '/bin/sleep 60 & wait'; true";
  Child child([&] { return ::execl(outer.c_str(), "outer", "-c", script.c_str(), nullptr); });
  AwaitRun(child.pid(), IdentityOf(outer));
  // outer -> inner -> sleep
  int32_t grandchild = 0;
  ASSERT_TRUE(Eventually([&] {
    for (const int32_t first : ListChildren(child.pid())) {
      for (const int32_t second : ListChildren(first)) grandchild = second;
    }
    return grandchild != 0;
  }));
  AwaitRun(grandchild, sleep);
  const Lineage lineage = Settled(grandchild);
  const auto ancestors = Identities(lineage);
  ASSERT_GE(ancestors.size(), 3u);
  EXPECT_EQ(ancestors[0], IdentityOf(inner));
  EXPECT_EQ(ancestors[1], IdentityOf(outer));
  EXPECT_EQ(ancestors[2], self_);
  EXPECT_TRUE(AllCertain(lineage));
  EXPECT_FALSE(lineage.complete) << "this process was there before the table";
  const ProcessSnapshot snapshot = SnapshotOf(grandchild, table_);
  ASSERT_GE(snapshot.ancestors.size(), 3u);
  EXPECT_EQ(snapshot.ancestors[0], inner);
  EXPECT_EQ(snapshot.ancestors[1], outer);
  EXPECT_EQ(snapshot.exe, sleep);
  ::kill(grandchild, SIGKILL);
}

TEST_F(ProcessTableTest, AParentThatExecsLaterLendsItsChildNothing) {
  int out[2];
  ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
  Child parent([&] {
    const int32_t child = ::fork();
    if (child == 0) return ::pause();
    (void)!::write(out[1], &child, sizeof(child));
    return ::execl("/bin/sleep", "sleep", "60", nullptr);
  });
  const int32_t child = ReadPid(out[0]);
  AwaitRun(parent.pid(), IdentityOf("/bin/sleep"));
  const auto ancestors = Identities(Settled(child));
  ASSERT_FALSE(ancestors.empty());
  EXPECT_EQ(ancestors[0], self_);
  for (const FileIdentity& ancestor : ancestors) EXPECT_NE(ancestor, IdentityOf("/bin/sleep"));
  ::kill(child, SIGKILL);
}

// With CLONE_PARENT the kernel says that the parent of the caller forked. The parent runs another
// program by then: it must not become an ancestor of what its old child makes.
TEST_F(ProcessTableTest, ClonedSiblingsHaveNoForgedAncestors) {
  const std::string listed = CopyOf("/bin/sleep", "listed");
  int out[2], gate[2];
  ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  Child parent([&] {
    if (::fork() == 0) {
      char go = 0;
      (void)!::read(gate[0], &go, 1);
      const long sibling =
          ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, 0);
      if (sibling == 0) return ::pause();
      const auto pid = static_cast<int32_t>(sibling);
      (void)!::write(out[1], &pid, sizeof(pid));
      return ::pause();
    }
    return ::execl(listed.c_str(), "listed", "60", nullptr);
  });
  AwaitRun(parent.pid(), IdentityOf(listed));
  const auto children = ListChildren(parent.pid());
  ASSERT_EQ(::write(gate[1], "x", 1), 1);
  const int32_t sibling = ReadPid(out[0]);
  const Lineage lineage = Settled(sibling);
  EXPECT_FALSE(lineage.complete);
  for (const FileIdentity& ancestor : Identities(lineage)) EXPECT_NE(ancestor, IdentityOf(listed));
  const auto view = table_.Find(sibling);
  ASSERT_TRUE(view);
  EXPECT_FALSE(view->run_verified && view->run->exe == IdentityOf(listed));
  ::kill(sibling, SIGKILL);
  for (const int32_t child : children) ::kill(child, SIGKILL);
}

// The same by way of adoption: a subreaper takes over an orphan and then execs.
TEST_F(ProcessTableTest, AdoptedOrphansForgeNoAncestorsEither) {
  const std::string listed = CopyOf("/bin/sleep", "listed");
  int out[2], gate[2];
  ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  Child parent([&] {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const int32_t middle = ::fork();
    if (middle == 0) {
      if (::fork() == 0) {
        char go = 0;
        (void)!::read(gate[0], &go, 1);
        const long sibling =
            ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, 0);
        if (sibling == 0) return ::pause();
        const auto pid = static_cast<int32_t>(sibling);
        (void)!::write(out[1], &pid, sizeof(pid));
        return ::pause();
      }
      return 0;
    }
    ::waitpid(middle, nullptr, 0);
    return ::execl(listed.c_str(), "listed", "60", nullptr);
  });
  AwaitRun(parent.pid(), IdentityOf(listed));
  const auto children = ListChildren(parent.pid());
  ASSERT_EQ(children.size(), 1u);
  ASSERT_EQ(::write(gate[1], "x", 1), 1);
  const int32_t sibling = ReadPid(out[0]);
  for (const FileIdentity& ancestor : Identities(Settled(sibling))) {
    EXPECT_NE(ancestor, IdentityOf(listed));
  }
  ::kill(sibling, SIGKILL);
  for (const int32_t child : children) ::kill(child, SIGKILL);
}

TEST_F(ProcessTableTest, ThreadsBelongToTheirGroup) {
  std::thread([&] {
    Catch();
    EXPECT_EQ(table_.TgidOf(::gettid()), ::getpid());
  }).join();
  EXPECT_EQ(table_.TgidOf(::getpid()), ::getpid());
  EXPECT_EQ(table_.TgidOf(0x3fffffff), 0);
}

TEST_F(ProcessTableTest, AThreadThatExecsTakesTheProcessAlong) {
  SKIP_UNDER_TSAN();
  const std::string program = CopyOf("/bin/sleep", "program");
  Child child([&] {
    std::thread([&] { ::execl(program.c_str(), "program", "60", nullptr); }).join();
    return 1;
  });
  AwaitRun(child.pid(), IdentityOf(program));
  Catch();
  const auto view = table_.Find(child.pid());
  ASSERT_TRUE(view);
  EXPECT_FALSE(view->exited);
  EXPECT_EQ(view->exec_count, 1u);
  EXPECT_TRUE(table_.RunsAlone(child.pid(), 1));
}

TEST_F(ProcessTableTest, AnExitedProcessStaysFindableWithItsChain) {
  const std::string program = CopyOf("/bin/true", "program");
  Child child([&] { return ::execl(program.c_str(), "program", nullptr); });
  const int32_t pid = child.pid();
  EXPECT_EQ(child.Wait(), 0);
  Catch();
  const auto view = table_.Find(pid);
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->exited);
  EXPECT_EQ(view->exec_count, 1u);
  EXPECT_EQ(table_.TgidOf(pid), 0) << "no live process";
  EXPECT_EQ(Identities(Settled(pid)).at(0), self_);
}

TEST_F(ProcessTableTest, RunsAloneOnlyUnsharedExecsSeen) {
  EXPECT_FALSE(table_.RunsAlone(::getpid(), 1)) << "was there before the table";
  Child forked([] { return ::pause(); });
  Catch();
  EXPECT_FALSE(table_.RunsAlone(forked.pid(), 1)) << "shares our exec";
  Child execed([] { return ::execl("/bin/sleep", "sleep", "60", nullptr); });
  AwaitRun(execed.pid(), IdentityOf("/bin/sleep"));
  EXPECT_TRUE(table_.RunsAlone(execed.pid(), 1));
  const std::string shell = CopyOf("/bin/sh", "shell");
  Child parent([&] {
    return ::execl(shell.c_str(), "shell", "-c", "(while :; do read x; done) & wait", nullptr);
  });
  AwaitRun(parent.pid(), IdentityOf(shell));
  ASSERT_TRUE(Eventually([&] { return !ListChildren(parent.pid()).empty(); }));
  Catch();
  EXPECT_FALSE(table_.RunsAlone(parent.pid(), 1)) << "its subshell may share its memory";
  for (const int32_t child : ListChildren(parent.pid())) ::kill(child, SIGKILL);
}

TEST_F(ProcessTableTest, AChangeOfUserIsSeen) {
  Child child([] {
    (void)!::setresuid(1234, 4321, 4321);
    return ::pause();
  });
  ASSERT_TRUE(Eventually([&] { return StatusOf(child.pid())->euid == 4321; }));
  Catch();
  const auto view = table_.Find(child.pid());
  ASSERT_TRUE(view && view->uid_known);
  EXPECT_EQ(view->ruid, 1234u);
  EXPECT_EQ(view->euid, 4321u);
}

TEST_F(ProcessTableTest, AfterALossItStillKnowsWhoRunsWhat) {
  Child child([] { return ::execl("/bin/sleep", "sleep", "60", nullptr); });
  AwaitRun(child.pid(), IdentityOf("/bin/sleep"));
  feed_.reset();
  // Unseen: one exits, one comes, one execs.
  Child unseen([] { return ::execl("/bin/tail", "tail", "-f", "/dev/null", nullptr); });
  int32_t gone = 0;
  {
    Child brief([] { return 0; });
    gone = brief.pid();
    brief.Wait();
  }
  const FileIdentity tail = IdentityOf("/bin/tail");
  ASSERT_TRUE(Eventually([&] { return ExeIdentity(unseen.pid()) == tail; }));
  const uint64_t overruns = FailureCount(Failure::kProcessFeedOverrun);
  table_.Scan(true);
  EXPECT_EQ(FailureCount(Failure::kProcessFeedOverrun) - overruns, 1u);
  EXPECT_EQ(table_.Rescans(), 1u);
  EXPECT_EQ(table_.Find(child.pid())->run->exe, IdentityOf("/bin/sleep"));
  ASSERT_TRUE(table_.Find(unseen.pid()));
  EXPECT_EQ(table_.Find(unseen.pid())->run->exe, IdentityOf("/bin/tail"));
  EXPECT_FALSE(table_.LineageOf(unseen.pid(), 0).complete);
  EXPECT_TRUE(table_.LineageOf(unseen.pid(), 0).ancestors.empty());
  EXPECT_FALSE(table_.Find(gone));
  ASSERT_FALSE(table_.LineageOf(child.pid(), 0).ancestors.empty()) << "chains seen before stay";
}

TEST_F(ProcessTableTest, WithoutAFeedNothingIsEverCurrentAndNobodyWaits) {
  feed_.reset();
  EXPECT_FALSE(table_.HasFeed());
  EXPECT_FALSE(table_.CurrentAsOf(MonotonicNs()));
  const Lineage lineage = table_.LineageOf(::getpid(), MonotonicNs());
  EXPECT_TRUE(lineage.settled);
  EXPECT_FALSE(lineage.complete);
}

TEST_F(ProcessTableTest, AStormOfProcessesIsFollowedWithoutLoss) {
  const uint64_t lost = FailureCount(Failure::kProcessFeedOverrun);
  const size_t before = table_.Size();
  for (int i = 0; i < 2000; ++i) {
    Child child([] { return 0; });
    child.Wait();
  }
  Catch();
  EXPECT_EQ(FailureCount(Failure::kProcessFeedOverrun), lost);
  EXPECT_LT(table_.Size(), before + 100);
}

// --- Messages of our own making: what the kernel can't be made to do on demand ---

ProcEvent Fork(int32_t parent, int32_t child, uint64_t when_ns) {
  ProcEvent event;
  event.what = ProcEvent::What::kFork;
  event.pid = event.tgid = child;
  event.parent_pid = event.parent_tgid = parent;
  event.timestamp_ns = when_ns;
  return event;
}

ProcEvent Of(ProcEvent::What what, int32_t pid, uint64_t when_ns) {
  ProcEvent event;
  event.what = what;
  event.pid = event.tgid = pid;
  event.timestamp_ns = when_ns;
  return event;
}

TEST(ProcessTableMessages, AProgramReadAfterTheNextExecIsUncertain) {
  ProcessTable table;
  Child child([] { return ::pause(); });
  const uint64_t now_ns = MonotonicNs();
  table.Apply(Fork(::getpid(), child.pid(), now_ns - 400'000'000));
  table.Apply(Of(ProcEvent::What::kExec, child.pid(), now_ns - 300'000'000));
  const auto first = table.Find(child.pid())->run;
  EXPECT_TRUE(first->certain) << "late, but nothing came between";
  table.Apply(Of(ProcEvent::What::kExec, child.pid(), now_ns - 200'000'000));
  EXPECT_FALSE(first->certain);
  EXPECT_TRUE(table.Find(child.pid())->run->certain);
}

TEST(ProcessTableMessages, ASecondExecThatReadsTheSameMakesTheFirstUncertain) {
  ProcessTable table;
  Child child([] { return ::pause(); });
  table.Apply(Fork(::getpid(), child.pid(), MonotonicNs()));
  table.Apply(Of(ProcEvent::What::kExec, child.pid(), MonotonicNs()));
  const auto first = table.Find(child.pid())->run;
  ASSERT_TRUE(first->certain);
  ::usleep(5000);
  table.Apply(Of(ProcEvent::What::kExec, child.pid(), MonotonicNs()));
  EXPECT_FALSE(first->certain);
  EXPECT_TRUE(table.Find(child.pid())->run->certain);
}

TEST(ProcessTableMessages, MemoryIsBounded) {
  ProcessTable::Limits limits;
  limits.processes = 100;
  limits.exited = 10;
  ProcessTable table(limits);
  const uint64_t full = FailureCount(Failure::kProcessTableFull);
  for (int32_t pid = 0x3000'0000; pid < 0x3000'0000 + 200; ++pid) {
    table.Apply(Fork(1, pid, MonotonicNs()));
  }
  EXPECT_EQ(table.Size(), 100u);
  EXPECT_EQ(FailureCount(Failure::kProcessTableFull) - full, 100u);
  for (int32_t pid = 0x3000'0000; pid < 0x3000'0000 + 200; ++pid) {
    table.Apply(Of(ProcEvent::What::kExit, pid, MonotonicNs()));
  }
  EXPECT_EQ(table.Size(), 0u);
  EXPECT_FALSE(table.Find(0x3000'0000)) << "only the last few stay";
  EXPECT_TRUE(table.Find(0x3000'0000 + 99));
}

TEST(ProcessTableMessages, AReusedPidIsAnotherProcess) {
  ProcessTable table;
  constexpr int32_t kPid = 0x3000'0000;
  table.Apply(Fork(1, kPid, 1));
  table.Apply(Of(ProcEvent::What::kExec, kPid, 2));
  table.Apply(Fork(1, kPid, 3));  // the exit was never seen
  const auto view = table.Find(kPid);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->exec_count, 0u);
  EXPECT_EQ(view->fork_ns, 3u);
  EXPECT_FALSE(view->exited);
}

TEST(ProcessTableMessages, AnEndlessChainOfForksIsCutShort) {
  ProcessTable table;
  int32_t pid = 0x3000'0000;
  table.Apply(Fork(1, pid, 1));
  for (int i = 0; i < 1000; ++i, ++pid) {
    table.Apply(Of(ProcEvent::What::kExec, pid, 2));
    table.Apply(Fork(pid, pid + 1, 3));
  }
  const Lineage lineage = table.LineageOf(pid, 0);
  EXPECT_LE(lineage.ancestors.size(), 200u);
  EXPECT_GE(lineage.ancestors.size(), 16u);
  EXPECT_FALSE(lineage.complete);
}

TEST(ProcessTableMessages, AGroupOutlivesItsLeaderWhileThreadsLive) {
  ProcessTable table;
  constexpr int32_t kPid = 0x3000'0000;
  table.Apply(Fork(1, kPid, 1));
  ProcEvent thread = Fork(1, kPid + 1, 2);
  thread.tgid = kPid;
  table.Apply(thread);
  table.Apply(Of(ProcEvent::What::kExit, kPid, 3));
  EXPECT_EQ(table.TgidOf(kPid + 1), kPid);
  EXPECT_FALSE(table.Find(kPid)->exited);
  ProcEvent last = Of(ProcEvent::What::kExit, kPid + 1, 4);
  last.tgid = kPid;
  table.Apply(last);
  EXPECT_TRUE(table.Find(kPid)->exited);
  EXPECT_EQ(table.TgidOf(kPid + 1), 0);
}

TEST_F(ProcessTableTest, WhatAProcessWasSeenToStartStandsAgainstWhatItSaysItRuns) {
  const Child child([] { return ::execl("/bin/sleep", "sleep", "60", nullptr); });
  const FileIdentity sleep = IdentityOf("/bin/sleep");
  ASSERT_TRUE(Eventually([&] { return ExeIdentity(child.pid()) == sleep; }));
  Catch();
  const FileIdentity other = IdentityOf("/bin/sh");
  EXPECT_EQ(table_.StartedBy(child.pid(), other, 0), sleep);
  // Nothing newer is needed for what it is known to have started; for anything else it is.
  const uint64_t later_ns = MonotonicNs() + 60'000'000'000;
  EXPECT_EQ(table_.StartedBy(child.pid(), sleep, later_ns), sleep);
  EXPECT_EQ(table_.StartedBy(child.pid(), other, later_ns), std::nullopt);
}

}  // namespace
}  // namespace fileward
