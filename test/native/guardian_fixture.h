// A decision thread and the real guardian of build/Release. The agent is the test process itself,
// or a child of it where it is to be stopped or killed.
#ifndef FILEWARD_TEST_NATIVE_GUARDIAN_FIXTURE_H_
#define FILEWARD_TEST_NATIVE_GUARDIAN_FIXTURE_H_

#include <signal.h>
#include <sys/syscall.h>

#include "native/base/clock.h"
#include "native/guardian/guardian_keeper.h"
#include "native/kernel/process_files.h"
#include "test/native/decision_fixture.h"
#include "test/native/kernel_test_tools.h"

namespace fileward {

class GuardianFixture : public DecisionFixture {
 protected:
  static constexpr uint64_t kDeadlineNs = 50'000'000;

  void TearDown() override {
    keeper_.reset();
    if (agent_ > 0) EndAgent(SIGKILL);
    if (guardian_ > 0) EndGuardian();
    DecisionFixture::TearDown();
  }

  // All of the directory but free*: `denied` also when nobody judges, all else is let through then.
  TestRuleset Rules(const std::vector<std::string>& denied,
                    const std::vector<std::string>& operations = {"read", "write", "exec"}) {
    TestRule deny;
    deny.path = denied;
    deny.operations = operations;
    deny.on_deadline = "deny";
    TestRule allow;
    allow.path = {dir_ + "/*"};
    allow.except = {dir_ + "/free*"};
    std::vector<TestRule> rules;
    if (!denied.empty()) rules.push_back(deny);
    rules.push_back(allow);
    TestRuleset text = OneGroup(rules);
    text.deadline_ns = kDeadlineNs;
    return text;
  }

  void StartKeeper() {
    GuardianKeeper::Options options;
    options.executable =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "fileward_guardian";
    options.socket = Socket();
    options.canary = canary_;
    auto keeper = GuardianKeeper::Start(*group_, decisions_->journal(), decisions_->wake_fd(),
                                        std::move(options));
    ASSERT_TRUE(keeper.ok()) << keeper.error().Message();
    keeper_ = std::move(*keeper);
  }
  std::string Socket() const { return root_ + "/guardian.sock"; }

  // In the test process.
  void StartHere(const TestRuleset& rules) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: permission groups need CAP_SYS_ADMIN";
    StartDecisions();
    Apply(rules);
    StartKeeper();
  }

  // In a child: agent_, guardian_, and its journal in journal_.
  void StartInChild(const TestRuleset& rules) {
    struct Told {
      int journal_fd = -1;
      pid_t guardian = 0;
    } told;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    agent_ = ::fork();
    if (agent_ == 0) {
      StartDecisions();
      Apply(rules);
      StartKeeper();
      if (!keeper_) ::_exit(1);
      told = {decisions_->journal().fd(), keeper_->stats().pid};
      (void)!::write(ends[1], &told, sizeof(told));
      for (;;) ::pause();
    }
    ::close(ends[1]);
    const ssize_t got = ::read(ends[0], &told, sizeof(told));
    ::close(ends[0]);
    ASSERT_EQ(got, static_cast<ssize_t>(sizeof(told)));
    guardian_ = told.guardian;
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, agent_, 0)));
    UniqueFd memory(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), told.journal_fd, 0)));
    ASSERT_TRUE(memory) << std::strerror(errno);
    auto journal = JournalMemory::Open(std::move(memory));
    ASSERT_TRUE(journal.ok()) << journal.error().Message();
    journal_ = std::make_unique<JournalMemory>(std::move(*journal));
  }
  void EndAgent(int signal) {
    ::kill(agent_, signal);
    ::kill(agent_, SIGCONT);
    ::waitpid(agent_, nullptr, 0);
    agent_ = 0;
  }
  // All its threads.
  void StopAgent() {
    ASSERT_EQ(::kill(agent_, SIGSTOP), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(agent_, &status, WUNTRACED), agent_);
    ASSERT_TRUE(WIFSTOPPED(status));
  }
  // Or waits for init to look after it.
  static bool HasEnded(pid_t pid) {
    const auto status = StatusOf(pid);
    return !status || status->zombie;
  }
  void EndGuardian() {
    ::kill(guardian_, SIGKILL);
    testing::Eventually([this] { return HasEnded(guardian_); });
    guardian_ = 0;
  }

  VerdictJournal& journal() { return journal_ ? **journal_ : *decisions_->journal(); }

  std::string executable_ =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "fileward_guardian";
  std::string canary_;
  std::unique_ptr<GuardianKeeper> keeper_;
  pid_t agent_ = 0;
  pid_t guardian_ = 0;  // of agent_
  std::unique_ptr<JournalMemory> journal_;
};

}  // namespace fileward

#endif  // FILEWARD_TEST_NATIVE_GUARDIAN_FIXTURE_H_
