// The watchdog alone: a group whose events nobody decides in time.
#include <poll.h>

#include "native/base/clock.h"
#include "native/base/failure.h"
#include "native/decision/watchdog.h"
#include "test/native/decision_fixture.h"

namespace fileward {
namespace {

class WatchdogTest : public DecisionFixture {
 protected:
  // The openers' answers come from here, not from a decision thread.
  void SetUp() override {
    DecisionFixture::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    path_ = MakeFile("file");
    decisions_->Stop();
    auto journal = JournalMemory::Create();
    ASSERT_TRUE(journal.ok()) << journal.error().Message();
    journal_ = std::make_unique<JournalMemory>(std::move(*journal));
    (*journal_)->deadline_ns.store(20'000'000);
    auto watchdog = Watchdog::Start(*group_, **journal_);
    ASSERT_TRUE(watchdog.ok());
    watchdog_ = std::move(*watchdog);
  }
  void TearDown() override {
    watchdog_.reset();
    DecisionFixture::TearDown();
  }

  pid_t StartOpener() {
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(group_->fd());
      ::_exit(Open(path_, O_RDONLY));
    }
    return child;
  }
  std::vector<PermissionEvent> ReadOne() {
    std::vector<PermissionEvent> events;
    pollfd ready{group_->fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&ready, 1, 10'000), 1);
    EXPECT_EQ(group_->Read(events, 1).value(), 1U);
    return events;
  }
  bool AwaitAnswer(Watchdog::Slot slot) {
    while (!watchdog_->Answered(slot)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return *watchdog_->Answered(slot);
  }

  // What the decision thread does with an event that it has read.
  Watchdog::Slot Enter(const PermissionEvent& event) {
    return watchdog_->Enter({event.raw_fd, event.tid, event.mask, MonotonicNs()});
  }

  std::string path_;
  std::unique_ptr<JournalMemory> journal_;
  std::unique_ptr<Watchdog> watchdog_;
};

TEST_F(WatchdogTest, AnswersByTheSlotsVerdictAndTheDecisionComesTooLate) {
  for (const bool allow : {true, false}) {
    const uint64_t counted = FailureCount(Failure::kDeadline);
    const pid_t opener = StartOpener();
    const auto events = ReadOne();
    const Watchdog::Slot slot = Enter(events[0]);
    watchdog_->SetVerdict(slot, allow);
    EXPECT_EQ(AwaitAnswer(slot), allow);
    EXPECT_EQ(ExitOf(opener), allow ? 0 : EPERM);
    EXPECT_FALSE(watchdog_->Claim(slot, true));
    EXPECT_EQ(FailureCount(Failure::kDeadline), counted + 1);
    watchdog_->Leave(slot);
  }
}

TEST_F(WatchdogTest, LeavesAloneWhatWasClaimed) {
  const uint64_t counted = FailureCount(Failure::kDeadline);
  const pid_t opener = StartOpener();
  const auto events = ReadOne();
  const Watchdog::Slot slot = Enter(events[0]);
  ASSERT_TRUE(watchdog_->Claim(slot, false));
  // Several deadlines.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(watchdog_->Answered(slot));
  EXPECT_EQ(FailureCount(Failure::kDeadline), counted);
  const Response deny{events[0].raw_fd, false};
  group_->Answer({&deny, 1});
  EXPECT_EQ(ExitOf(opener), EPERM);
  watchdog_->Leave(slot);
}

TEST_F(WatchdogTest, StartsAgainAfterAPause) {
  for (int round = 0; round < 3; ++round) {
    const pid_t opener = StartOpener();
    const auto events = ReadOne();
    const Watchdog::Slot slot = Enter(events[0]);
    AwaitAnswer(slot);
    EXPECT_EQ(ExitOf(opener), 0);
    watchdog_->Leave(slot);
    // Long enough for the timer to have been put to rest.
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
}

}  // namespace
}  // namespace fileward
