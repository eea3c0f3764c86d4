// Who made a change that has no gate, with real notification events, the real feed and real
// children.
#include <sys/fanotify.h>
#include <sys/stat.h>

#include <thread>

#include "native/base/clock.h"
#include "native/kernel/fanotify_group.h"
#include "native/process/actor.h"
#include "native/process/process_feed.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {
namespace {

using testing::Child;
using testing::TempDirectory;

FileIdentity IdentityOf(const std::string& path) {
  struct stat file {};
  EXPECT_EQ(::stat(path.c_str(), &file), 0) << path;
  return {file.st_dev, file.st_ino};
}

class ActorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    auto feed = ProcessFeed::Start(table_);
    if (!feed) GTEST_SKIP() << "no process feed here: " << feed.error().Message();
    feed_ = *std::move(feed);
    static const KernelFeatures features = ProbeKernelFeatures();
    Result<NotificationGroup> group = NotificationGroup::Open(features);
    ASSERT_TRUE(group.ok());
    group_ = std::make_unique<NotificationGroup>(*std::move(group));
    ASSERT_TRUE(group_->MarkDirectory(AT_FDCWD, directory_.path().c_str(), FAN_CREATE).ok());
    directory_.Write("warm-up");
    Read();
  }

  // Reads like a reader thread: sleeps, then reads all. `pause_us` makes it slow.
  std::vector<NotificationEvent> Read(useconds_t pause_us = 0) {
    std::vector<NotificationEvent> events;
    window_.BeforePoll();
    EXPECT_TRUE(testing::AwaitReadable(group_->fd()));
    window_.AfterPoll();
    ::usleep(pause_us);
    while (true) {
      window_.BeforeRead();
      const Result<size_t> read = group_->Read(events);
      window_.AfterRead(group_->drained());
      EXPECT_TRUE(read.ok());
      if (!read.ok() || *read == 0) return events;
      lower_bound_ns_ = window_.lower_bound_ns();
      read_ns_ = window_.read_ns();
    }
  }

  Actor Resolve(const NotificationEvent& event) {
    return ResolveActor(table_, event.pid, event.pidfd.get(), lower_bound_ns_, read_ns_);
  }

  TempDirectory directory_;
  ProcessTable table_;
  std::unique_ptr<ProcessFeed> feed_;
  std::unique_ptr<NotificationGroup> group_;
  EventWindow window_;
  uint64_t lower_bound_ns_ = 0;
  uint64_t read_ns_ = 0;
};

TEST_F(ActorTest, AProcessThatStaysIsKnown) {
  const std::string touch = directory_.Path("created");
  Child child([&] {
    return ::execl("/bin/sh", "sh", "-c", ("sleep 0.1; : > " + touch + "; read x").c_str(),
                   nullptr);
  });
  const auto events = Read();
  ASSERT_EQ(events.size(), 1u);
  const Actor actor = Resolve(events[0]);
  EXPECT_EQ(actor.state, ActorState::kKnown);
  EXPECT_EQ(actor.process.pid, child.pid());
  EXPECT_EQ(actor.process.exe, IdentityOf("/bin/sh"));
  EXPECT_EQ(actor.process.ppid, ::getpid());
}

TEST_F(ActorTest, AProcessThatExitedIsKnownByTheTable) {
  Child child([&] {
    const std::string name = directory_.Path("created");
    ::usleep(100'000);  // the reader sleeps by then
    return ::execl("/bin/touch", "touch", name.c_str(), nullptr);
  });
  const int32_t pid = child.pid();
  std::thread reaper([&] { child.Wait(); });
  const auto events = Read(50'000);
  reaper.join();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].pid, pid);
  const Actor actor = Resolve(events[0]);
  EXPECT_EQ(actor.state, ActorState::kKnown);
  EXPECT_EQ(actor.process.exe, IdentityOf("/bin/touch"));
  EXPECT_TRUE(actor.process.uid_known);
}

// Makes the change as one program and is another one by the time of the look.
TEST_F(ActorTest, AProcessThatExecedSinceIsNotBelieved) {
  for (int round = 0; round < 20; ++round) {
    Child child([&] {
      directory_.Write("by-us" + std::to_string(round));
      return ::execl("/bin/sleep", "sleep", "60", nullptr);
    });
    const auto events = Read(20'000);
    ASSERT_EQ(events.size(), 1u);
    const Actor actor = Resolve(events[0]);
    EXPECT_FALSE(actor.state == ActorState::kKnown && actor.process.exe == IdentityOf("/bin/sleep"))
        << "taken for what it only became later";
    if (actor.state == ActorState::kChanged && actor.previous) {
      EXPECT_EQ(actor.previous->exe, IdentityOf("/proc/self/exe"));
    }
  }
}

TEST_F(ActorTest, AForkedChildThatNeverExecsIsKnownWhileItWasSeen) {
  Child child([&] {
    ::usleep(100'000);
    directory_.Write("created");
    return ::pause();
  });
  const auto events = Read();
  ASSERT_EQ(events.size(), 1u);
  const Actor actor = Resolve(events[0]);
  EXPECT_EQ(actor.state, ActorState::kKnown);
  EXPECT_EQ(actor.process.exe, IdentityOf("/proc/self/exe"));
}

TEST_F(ActorTest, WithoutAFeedNobodyIsBelieved) {
  feed_.reset();
  Child child([&] {
    directory_.Write("created");
    return ::pause();
  });
  const auto events = Read();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_NE(Resolve(events[0]).state, ActorState::kKnown);
}

TEST_F(ActorTest, NobodyIsKnownByAPidThatNeverWas) {
  const uint64_t now_ns = MonotonicNs();
  EXPECT_EQ(ResolveActor(table_, 0x3fffffff, -1, now_ns, now_ns).state, ActorState::kGone);
}

// A reader that was busy with one event must not stretch the window of the next over an exec.
TEST_F(ActorTest, AReadThatEmptiesTheQueueBoundsTheNext) {
  directory_.Write("first");
  Read();
  const uint64_t before_second_ns = MonotonicNs();
  directory_.Write("second");
  std::vector<NotificationEvent> events;
  window_.BeforeRead();
  ASSERT_TRUE(group_->Read(events).ok());
  EXPECT_TRUE(group_->drained());
  window_.AfterRead(group_->drained());
  EXPECT_LE(window_.lower_bound_ns(), before_second_ns) << "its own events are older than the read";
  directory_.Write("third");
  window_.BeforeRead();
  ASSERT_TRUE(group_->Read(events).ok());
  EXPECT_GT(window_.lower_bound_ns(), before_second_ns);
}

TEST_F(ActorTest, TheWindowIsShortAfterALongSleep) {
  const uint64_t began_ns = MonotonicNs();
  Child child([&] {
    ::usleep(300'000);
    directory_.Write("created");
    return 0;
  });
  Read();
  // The reader slept: the bound is near the wake-up, not at the beginning of the sleep.
  EXPECT_GT(lower_bound_ns_, began_ns + 250'000'000);
  EXPECT_LT(lower_bound_ns_, read_ns_);
}

}  // namespace
}  // namespace fileward
