// The real guardian beside a real agent: what openers get when the agent doesn't answer.
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "native/kernel/process_files.h"
#include "test/native/guardian_fixture.h"

namespace fileward {
namespace {

using testing::Eventually;

class GuardianTest : public GuardianFixture {
 protected:
  void SetUp() override {
    SKIP_UNDER_TSAN();
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: permission groups need CAP_SYS_ADMIN";
    // Once, not in each agent.
    Features();
    MakeDirectory();
    secret_ = MakeFile("secret");
    other_ = MakeFile("other");
  }

  std::string Talk(const std::string& word) {
    const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, Socket().c_str());
    if (::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      return "";
    }
    (void)!::write(client.get(), word.data(), word.size());
    char line[256];
    const ssize_t got = ::read(client.get(), line, sizeof(line));
    return got > 0 ? std::string(line, static_cast<size_t>(got)) : "";
  }

  // While it is being started a child of ours, as our openers are, would pass for it.
  bool AwaitOther(pid_t than) {
    return Eventually([&] {
      const pid_t next = keeper_->stats().pid;
      return next > 0 && next != than && journal().guardian_pid.load() == next &&
             !journal().starting_guardian.load();
    });
  }

  std::string secret_;  // covered, and denied when nobody judges
  std::string other_;   // covered
};

TEST_F(GuardianTest, AnswersForAStoppedAgentByTheTableAndStandsBackWhenItGoesOn) {
  StartInChild(Rules({secret_}));
  const std::string free = MakeFile("free");
  EXPECT_EQ(OpenInChild(other_, O_RDONLY), EPERM);
  StopAgent();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(OpenInChild(secret_, O_RDONLY), EPERM);
    EXPECT_EQ(OpenInChild(other_, O_RDONLY), 0);
    EXPECT_EQ(OpenInChild(free, O_RDONLY), 0);
  }
  EXPECT_EQ(journal().present.reason.load(), VerdictJournal::Reason::kNotReading);
  EXPECT_GE(journal().unjudged.denied.load(), 3U);
  EXPECT_GE(journal().unjudged.allowed.load(), 3U);
  ::kill(agent_, SIGCONT);
  EXPECT_TRUE(
      Eventually([&] { return journal().present.reason.load() == VerdictJournal::Reason::kNone; }));
  EXPECT_EQ(OpenInChild(other_, O_RDONLY), EPERM);
  ASSERT_EQ(journal().episode_count.load(), 1U);
  const VerdictJournal::Episode& episode = journal().episodes[0];
  EXPECT_EQ(episode.reason.load(), VerdictJournal::Reason::kNotReading);
  EXPECT_GT(episode.to_ns.load(), episode.from_ns.load());
}

TEST_F(GuardianTest, WhatAnOpenerWantsCountsForTheTable) {
  StartInChild(Rules({secret_}, {"write"}));
  StopAgent();
  EXPECT_EQ(OpenInChild(secret_, O_RDONLY), 0);
  EXPECT_EQ(OpenInChild(secret_, O_WRONLY), EPERM);
  EXPECT_EQ(OpenInChild(secret_, O_RDONLY | O_TRUNC), EPERM);
  EXPECT_EQ(std::filesystem::file_size(secret_), 7U);
}

TEST_F(GuardianTest, ADeathWithoutDenyReleasesEverybodyAndLeavesNobody) {
  StartInChild(Rules({}));
  StopAgent();
  const pid_t opener = ::fork();
  if (opener == 0) ::_exit(Open(secret_, O_RDONLY));
  EndAgent(SIGKILL);
  EXPECT_EQ(ExitOf(opener), 0);
  EXPECT_TRUE(Eventually([&] { return HasEnded(guardian_); }));
  guardian_ = 0;
  EXPECT_FALSE(std::filesystem::exists(Socket()));
  EXPECT_EQ(OpenInChild(secret_, O_RDWR), 0);
}

TEST_F(GuardianTest, ADeathWithDenyIsKeptUntilASuccessorSaysEnd) {
  StartInChild(Rules({secret_}));
  EndAgent(SIGKILL);
  EXPECT_EQ(Run({"/bin/cat", secret_}), 1);
  EXPECT_EQ(Run({"/bin/cat", other_}), 0);
  ASSERT_TRUE(Eventually([&] { return !Talk("status\n").empty(); }));
  struct stat status {};
  ASSERT_EQ(::stat(Socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(InChild([&] {
              return ::setresuid(65534, 65534, 65534) == 0 ? int(!Talk("end\n").empty()) : 2;
            }),
            0);
  const std::string line = Talk("end\n");
  EXPECT_NE(line.find("\"pid\":" + std::to_string(guardian_)), std::string::npos) << line;
  EXPECT_NE(line.find("\"allowed\":1,\"denied\":1"), std::string::npos) << line;
  EXPECT_TRUE(Eventually([&] { return HasEnded(guardian_); }));
  guardian_ = 0;
  EXPECT_EQ(OpenInChild(secret_, O_RDONLY), 0);
  EXPECT_FALSE(std::filesystem::exists(Socket()));
}

TEST_F(GuardianTest, RootsOfTheSameProgramPassADeadAgent) {
  StartInChild(Rules({secret_}));
  EndAgent(SIGKILL);
  // Forked children are the agent's own program, as its successor is.
  EXPECT_EQ(Run({"/bin/cat", secret_}), 1);
  EXPECT_EQ(
      InChild([&] { return ::setresuid(65534, 65534, 65534) == 0 ? Open(secret_, O_RDONLY) : 2; }),
      EPERM);
  EXPECT_EQ(OpenInChild(secret_, O_RDONLY), 0);
}

TEST_F(GuardianTest, OneKeeperEndsTheOther) {
  StartInChild(Rules({secret_}));
  EndAgent(SIGKILL);
  ASSERT_TRUE(Eventually([&] { return !Talk("status\n").empty(); }));
  const pid_t first = std::exchange(guardian_, 0);
  StartInChild(Rules({secret_}));
  EXPECT_FALSE(HasEnded(first));
  EndAgent(SIGKILL);
  EXPECT_TRUE(Eventually([&] { return HasEnded(first); }));
  EXPECT_TRUE(Eventually([&] { return !Talk("status\n").empty(); }));
  EXPECT_FALSE(HasEnded(guardian_));
}

TEST_F(GuardianTest, ACleanEndLeavesNoGuardian) {
  StartHere(Rules({secret_}));
  const pid_t guardian = keeper_->stats().pid;
  EXPECT_GT(guardian, 0);
  keeper_.reset();
  EXPECT_TRUE(HasEnded(guardian));
  EXPECT_EQ(OpenInChild(secret_, O_RDONLY), EPERM);
}

TEST_F(GuardianTest, WhenItDiesOrHangsThereIsAnother) {
  StartHere(Rules({}));
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const pid_t guardian = keeper_->stats().pid;
    ::kill(guardian, signal);
    EXPECT_TRUE(AwaitOther(guardian));
    EXPECT_EQ(OpenInChild(secret_, O_RDONLY), EPERM);
  }
  EXPECT_EQ(keeper_->stats().restarts, 2U);
}

TEST_F(GuardianTest, NoRuleKeepsItFromBeingStarted) {
  const std::string copy = dir_ + "/guardian";
  std::filesystem::copy_file(executable_, copy);
  executable_ = copy;
  StartHere(Rules({}));
  ASSERT_NE(keeper_, nullptr);
  EXPECT_EQ(Run({copy, "", ""}), EPERM);
  const pid_t guardian = keeper_->stats().pid;
  ::kill(guardian, SIGKILL);
  EXPECT_TRUE(AwaitOther(guardian));
}

TEST_F(GuardianTest, AStuckDecisionThreadHoldsNobody) {
  TestRuleset rules = Rules({secret_});
  rules.groups[0].rules[1].mode = "monitor";
  StartHere(rules);
  stuck_ = true;
  // Telling about this one gets it stuck.
  EXPECT_EQ(OpenInChild(other_, O_RDONLY), 0);
  EXPECT_EQ(Run({"/bin/cat", secret_}), 1);
  EXPECT_EQ(OpenInChild(other_, O_RDONLY), 0);
  EXPECT_EQ(journal().unjudged.allowed.load(), 1U);
  EXPECT_EQ(journal().unjudged.denied.load(), 1U);
  stuck_ = false;
  EXPECT_TRUE(
      Eventually([&] { return journal().present.reason.load() == VerdictJournal::Reason::kNone; }));
  EXPECT_EQ(Run({"/bin/cat", secret_}), 1);
  EXPECT_EQ(Events(2).at(0).header.outcome, Outcome::kViolated);
}

// The agent here is this process without a decision thread: each test stops at another point.
class HandMadeAgentTest : public GuardianTest {
 protected:
  void SetUp() override {
    GuardianTest::SetUp();
    if (IsSkipped()) return;
    StartDecisions();
    decisions_->Stop();
    journal().deadline_ns.store(kDeadlineNs);
    group_->UseBuffer(journal().agent_buffer);
  }
  void TearDown() override {
    batch_.clear();
    GuardianTest::TearDown();
  }
  pid_t StartOpener(const std::string& path) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(group_->fd());
      ::_exit(Open(path, O_RDONLY));
    }
    return child;
  }
  // As the decision thread does it.
  uint64_t BeginTurn() {
    uint64_t turn = 0;
    EXPECT_TRUE(Eventually([&] { return (turn = journal().turn.Begin()) != 0; }));
    group_->ClearBuffer();
    journal().read_before.store(journal().events_read.load());
    journal().reading_turn.store(turn);
    return turn;
  }
  size_t Read(size_t max) {
    const size_t before = batch_.size();
    EXPECT_TRUE(testing::AwaitReadable(group_->fd()));
    const Result<size_t> read = group_->Read(batch_, max);
    journal().events_read.fetch_add(read.value());
    return batch_.size() - before;
  }
  void Deny(const std::string& path) {
    journal().keep.store(true);
    journal().denials.Set(IdentityOf(path), {Operation::kRead, Operation::kWrite});
  }

  std::vector<PermissionEvent> batch_;
};

TEST_F(HandMadeAgentTest, WhatWasReadAndEnteredNowhereIsAnsweredAndTheTurnIsLost) {
  Deny(secret_);
  StartKeeper();
  const pid_t opener = StartOpener(secret_);
  const pid_t other = StartOpener(other_);
  EXPECT_TRUE(Eventually([&] { return group_->Queued() == 2; }));
  BeginTurn();
  ASSERT_EQ(Read(8), 2U);
  EXPECT_EQ(ExitOf(opener), EPERM);
  EXPECT_EQ(ExitOf(other), 0);
  EXPECT_FALSE(journal().turn.End());
  EXPECT_NE(BeginTurn(), 0U);
  EXPECT_TRUE(journal().turn.End());
}

TEST_F(HandMadeAgentTest, ASlotIsAnsweredAsJudgedClaimedOrByTheTable) {
  Deny(secret_);
  StartKeeper();
  OpenSlot* const slots = journal().slots.data();
  journal().slots_used.store(4);
  struct Case {
    std::string path;
    int want;
  };
  const Case cases[] = {{other_, 0}, {secret_, EPERM}, {other_, EPERM}, {other_, EPERM}};
  for (size_t i = 0; i < std::size(cases); ++i) {
    const pid_t opener = StartOpener(cases[i].path);
    BeginTurn();
    ASSERT_EQ(Read(1), 1U);
    const PermissionEvent& event = batch_.back();
    slots[i].Enter({event.raw_fd, event.tid, event.mask, MonotonicNs()});
    ASSERT_TRUE(journal().turn.End());
    // The first two were never looked at.
    if (i == 2) slots[i].Judge(false);
    if (i == 3) {
      ASSERT_TRUE(slots[i].Claim(false));
    }
    EXPECT_EQ(ExitOf(opener), cases[i].want) << i;
    EXPECT_TRUE(Eventually([&] { return slots[i].Leave(); }));
  }
  EXPECT_EQ(journal().late.load(), 4U);
  EXPECT_EQ(journal().unjudged.allowed.load() + journal().unjudged.denied.load(), 0U);
}

TEST_F(HandMadeAgentTest, ASlowReaderIsRelievedOfWhatIsOverdueAlone) {
  journal().deadline_ns.store(10 * kDeadlineNs);
  StartKeeper();
  constexpr int kOpeners = 300;
  std::vector<pid_t> openers;
  size_t read = 0;
  // One at a time, and each is denied: what is let through is the guardian's.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  uint64_t total = 0;
  while (total < kOpeners && std::chrono::steady_clock::now() < until) {
    for (int i = 0; i < 5 && openers.size() < kOpeners; ++i) {
      openers.push_back(StartOpener(other_));
    }
    if (group_->Queued() > 0 && journal().turn.Begin() != 0) {
      const Result<size_t> got = group_->Read(batch_, 1);
      journal().events_read.fetch_add(got.value());
      EXPECT_TRUE(journal().turn.End());
      for (PermissionEvent& event : batch_) {
        const Response deny{event.raw_fd, false};
        group_->Answer({&deny, 1});
        ++read;
      }
      batch_.clear();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    total = read + journal().unjudged.allowed.load();
  }
  size_t denied = 0;
  for (const pid_t opener : openers) denied += ExitOf(opener) == EPERM ? 1 : 0;
  EXPECT_GT(journal().unjudged.allowed.load(), 0U);
  EXPECT_GT(read, 0U);
  EXPECT_EQ(denied, read);
  EXPECT_EQ(journal().episode_count.load(), 0U);
}

TEST_F(HandMadeAgentTest, TheTwoNeverHaveTheSameNumberForAnEvent) {
  StartKeeper();
  const pid_t guardian = keeper_->stats().pid;
  const int first = journal().first_guardian_fd.load();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, static_cast<rlim_t>(first));
  int below = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(guardian) + "/fd")) {
    if (std::atoi(entry.path().filename().c_str()) < first) ++below;
  }
  EXPECT_EQ(below, first);
}

TEST_F(HandMadeAgentTest, WithoutFdsNothingIsReadAndNobodyDenied) {
  StartKeeper();
  std::vector<UniqueFd> all;
  for (int fd = 0; fd >= 0; fd = ::dup(group_->fd()))
    if (fd > 0) all.emplace_back(fd);
  EXPECT_FALSE(PermissionGroup::CanRead());
  const pid_t opener = StartOpener(other_);
  EXPECT_TRUE(testing::AwaitReadable(group_->fd()));
  EXPECT_EQ(group_->Read(batch_, 8).value(), 0U);
  // By the guardian, which has its own.
  EXPECT_EQ(ExitOf(opener), 0);
  all.clear();
  EXPECT_TRUE(PermissionGroup::CanRead());
}

TEST_F(HandMadeAgentTest, OnlyTheTwoHoldTheGroup) {
  canary_ = other_;
  StartKeeper();
  EXPECT_TRUE(Eventually([&] { return journal().canary.began_ns.load() != 0; }));
  std::vector<int> holders;
  for (const int32_t pid : ListProcesses()) {
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry.path(), gone) == "anon_inode:[fanotify]" &&
          ExeIdentity(pid) == ExeIdentity(keeper_->stats().pid)) {
        holders.push_back(pid);
      }
    }
  }
  EXPECT_EQ(holders, std::vector<int>{keeper_->stats().pid});
}

TEST_F(HandMadeAgentTest, WhatADeadGuardianHadTakenIsAnswered) {
  StartKeeper();
  journal().slots_used.store(1);
  OpenSlot& slot = journal().slots[0];
  const pid_t opener = StartOpener(other_);
  BeginTurn();
  ASSERT_EQ(Read(1), 1U);
  const PermissionEvent& event = batch_.back();
  slot.Enter({event.raw_fd, event.tid, event.mask, MonotonicNs() + 3'600'000'000'000});
  slot.Judge(false);
  ASSERT_TRUE(journal().turn.End());
  // As if it had been killed between taking it and writing, in its turn.
  ASSERT_TRUE(slot.Take(OpenSlot::Stand::kGuardian));
  EXPECT_FALSE(slot.Leave());
  ::kill(keeper_->stats().pid, SIGKILL);
  EXPECT_EQ(ExitOf(opener), EPERM);
  EXPECT_TRUE(Eventually([&] { return slot.Leave(); }));
}

TEST_F(HandMadeAgentTest, TheCanaryIsTimedAndTwoMissesHoldTheAgentOff) {
  canary_ = other_;
  // A guardian that isn't to answer in time either.
  journal().deadline_ns.store(60'000'000'000);
  StartKeeper();
  const auto opened = [&] {
    uint64_t count = 0;
    for (size_t i = 0; i < VerdictHistogram::kBuckets; ++i) {
      count += journal().canary.latency.bucket(i);
    }
    return count;
  };
  EXPECT_TRUE(Eventually([&] { return journal().hold_off.load(); }));
  EXPECT_EQ(journal().present.reason.load(), VerdictJournal::Reason::kCanary);
  EXPECT_GE(journal().canary.misses.load(), 2U);
  EXPECT_TRUE(Eventually([&] { return opened() > 0; }));
  EXPECT_EQ(OpenInChild(secret_, O_RDONLY), 0);
  EXPECT_TRUE(Eventually([&] { return !journal().hold_off.load(); }));
  EXPECT_EQ(journal().episode_count.load(), 1U);
}

}  // namespace
}  // namespace fileward
