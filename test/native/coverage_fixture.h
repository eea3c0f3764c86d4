// The whole native core on a tmpfs of its own, with real programs as actors.
// Everything that is marked lies on that tmpfs (and on the directories above
// it, which take name events only), in a mount namespace of the test process.
#ifndef FILEWARD_TEST_NATIVE_COVERAGE_FIXTURE_H_
#define FILEWARD_TEST_NATIVE_COVERAGE_FIXTURE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "native/coverage/coverage.h"
#include "native/decision/decision_thread.h"
#include "native/kernel/fanotify_group.h"
#include "native/process/process_feed.h"
#include "native/process/process_table.h"
#include "test/native/decision_rules.h"

namespace fileward {

struct SeenFact {
  EventHeader header;
  std::map<EventString, std::string> strings;
  std::string path() const { return strings.at(EventString::kPath); }
  std::string new_path() const { return strings.at(EventString::kNewPath); }
  std::string protected_path() const { return strings.at(EventString::kProtectedPath); }
  std::string exe() const { return strings.at(EventString::kExe); }
  bool Has(uint16_t flag) const { return (header.flags & flag) != 0; }
};

class CoverageFixture : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    static const bool unshared = [] {
      return ::unshare(CLONE_NEWNS) == 0 &&
             ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    }();
    ASSERT_TRUE(unshared) << std::strerror(errno);
  }

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: fanotify groups need CAP_SYS_ADMIN";
    char name[] = "/tmp/fileward-coverage-XXXXXX";
    root_ = ::mkdtemp(name);
    ASSERT_EQ(::mount("tmpfs", root_.c_str(), "tmpfs", 0, "mode=0755"), 0) << std::strerror(errno);
    dir_ = root_ + "/dir";
    ASSERT_EQ(::mkdir(dir_.c_str(), 0755), 0);
    ASSERT_EQ(::mkdir((root_ + "/out").c_str(), 0755), 0);
    ASSERT_EQ(::mkdir((root_ + "/bin").c_str(), 0755), 0);
    Start();
  }

  void Start(CoverageOptions options = {}) {
    auto group = PermissionGroup::Open(Features());
    ASSERT_TRUE(group.ok()) << group.error().Message();
    group_ = std::make_unique<PermissionGroup>(std::move(*group));
    if (feed_ == nullptr) {
      auto feed = ProcessFeed::Start(processes_);
      ASSERT_TRUE(feed.ok()) << feed.error().Message();
      feed_ = std::move(*feed);
    }
    open_ring_ = std::make_unique<EventRing>(size_t{4} << 20, [] {});
    ring_ = std::make_unique<EventRing>(size_t{32} << 20, [] {});
    auto decisions = DecisionThread::Start(*group_, processes_, *open_ring_, {});
    ASSERT_TRUE(decisions.ok()) << decisions.error().Message();
    decisions_ = std::move(*decisions);
    options.on_report = [this](const CoverageReport &report) {
      const std::lock_guard lock(mutex_);
      report_ = report;
      reported_.notify_all();
    };
    auto coverage =
        Coverage::Start(std::move(options), Features(), *group_, *decisions_, processes_, *ring_);
    ASSERT_TRUE(coverage.ok()) << coverage.error().Message();
    coverage_ = std::move(*coverage);
  }

  void StopAll() {
    if (coverage_) coverage_->Stop();
    if (decisions_) decisions_->Stop();
    coverage_.reset();
    group_.reset();
    decisions_.reset();
  }

  void TearDown() override {
    StopAll();
    feed_.reset();
    if (root_.empty()) return;
    ::umount2(root_.c_str(), MNT_DETACH);
    ::rmdir(root_.c_str());
  }

  static KernelFeatures Features() {
    static const KernelFeatures features = ProbeKernelFeatures();
    return features;
  }

  // A rule on everything below `dir_` with nobody listed but exe 0, and what a
  // test changes about it.
  TestRule Rule(const std::string &behavior, const std::string &mode,
                std::vector<std::string> operations) const {
    TestRule rule;
    rule.path = {dir_ + "/**"};
    rule.behavior = behavior;
    rule.mode = mode;
    rule.operations = std::move(operations);
    rule.apps = {ListedApp(0)};
    return rule;
  }
  TestRuleset Rules(std::vector<TestRule> rules) const {
    TestRuleset ruleset = OneGroup(std::move(rules));
    ruleset.exes = {root_ + "/bin/listed"};
    return ruleset;
  }

  // Applies and waits until it is in force.
  CoverageReport Apply(const std::string &json) {
    const uint64_t version = ++version_;
    coverage_->Apply(json, version);
    return AwaitReport(
        [&](const CoverageReport &report) { return report.ruleset_version == version; });
  }
  CoverageReport Apply(const TestRuleset &ruleset) { return Apply(ruleset.Json()); }
  CoverageReport AwaitReport(const std::function<bool(const CoverageReport &)> &wanted) {
    std::unique_lock lock(mutex_);
    const bool came =
        reported_.wait_for(lock, std::chrono::seconds(30), [&] { return wanted(report_); });
    EXPECT_TRUE(came) << "no such report";
    return report_;
  }

  std::string Write(const std::string &path, const std::string &content = "content") const {
    std::ofstream(path) << content;
    return path;
  }

  // Runs a program; its exit status. The groups are CLOEXEC.
  static int Run(const std::vector<std::string> &command) {
    std::vector<char *> argv;
    for (const std::string &word : command) argv.push_back(const_cast<char *>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      const int null = ::open("/dev/null", O_RDWR);
      ::dup2(null, 1);
      ::dup2(null, 2);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  static int Shell(const std::string &script) { return Run({"/bin/sh", "-c", script}); }
  static int Perl(const std::string &script) { return Run({"/usr/bin/perl", "-e", script}); }

  using Wanted = std::function<bool(const SeenFact &)>;

  // Takes facts until one is wanted; everything taken is kept in `facts_`.
  SeenFact Await(const std::string &what, const Wanted &wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (;;) {
      for (const SeenFact &fact : facts_) {
        if (wanted(fact)) return fact;
      }
      if (std::chrono::steady_clock::now() > deadline) break;
      Drain();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ADD_FAILURE() << "no fact: " << what << "; seen:" << Seen();
    return {EventHeader{},
            {{EventString::kPath, ""},
             {EventString::kNewPath, ""},
             {EventString::kProtectedPath, ""},
             {EventString::kExe, ""}}};
  }
  SeenFact Await(Change change, const std::string &path) {
    return Await("change " + std::to_string(static_cast<int>(change)) + " of " + path,
                 [&](const SeenFact &fact) {
                   return fact.header.kind == EventKind::kChange && fact.header.change == change &&
                          fact.path() == path;
                 });
  }

  // Everything up to now: a last change in the tree is awaited, so what came
  // before it is there.
  std::vector<SeenFact> Settle() {
    const std::string path = dir_ + "/settle-" + std::to_string(++settled_);
    EXPECT_EQ(Shell("mkfifo '" + path + "'"), 0);
    Await(Change::kMade, path);
    std::vector<SeenFact> all;
    for (const SeenFact &fact : facts_) {
      if (fact.path() != path) all.push_back(fact);
    }
    return all;
  }
  size_t CountOf(Change change, const std::string &path) {
    size_t count = 0;
    for (const SeenFact &fact : facts_)
      count += fact.header.change == change && fact.path() == path ? 1U : 0U;
    return count;
  }

  void Drain() {
    static std::vector<std::byte> buffer(size_t{8} << 20);
    const size_t bytes = ring_->Drain(buffer);
    for (size_t at = 0; at < bytes;) {
      SeenFact &fact = facts_.emplace_back();
      std::memcpy(&fact.header, &buffer[at], kEventHeaderBytes);
      size_t string_at = at + kEventHeaderBytes;
      for (size_t i = 0; i < kEventStringCount; ++i) {
        const uint32_t length = fact.header.lengths[i];
        fact.strings[static_cast<EventString>(i)].assign(
            reinterpret_cast<const char *>(&buffer[string_at]), length);
        string_at += length;
      }
      at += fact.header.size_bytes;
    }
  }

  std::string Seen() const {
    std::string text;
    for (const SeenFact &fact : facts_) {
      text += "\n  kind " + std::to_string(static_cast<int>(fact.header.kind)) + " change " +
              std::to_string(static_cast<int>(fact.header.change)) + " outcome " +
              std::to_string(static_cast<int>(fact.header.outcome)) + " reason " +
              std::to_string(static_cast<int>(fact.header.reason)) + " flags " +
              std::to_string(fact.header.flags) + " " + fact.path() + " -> " + fact.new_path() +
              " by " + fact.exe();
    }
    return text;
  }

  std::string root_;
  std::string dir_;
  std::unique_ptr<PermissionGroup> group_;
  ProcessTable processes_;
  std::unique_ptr<ProcessFeed> feed_;
  std::unique_ptr<EventRing> open_ring_;
  std::unique_ptr<EventRing> ring_;
  std::unique_ptr<DecisionThread> decisions_;
  std::unique_ptr<Coverage> coverage_;
  std::vector<SeenFact> facts_;
  uint64_t version_ = 0;
  int settled_ = 0;
  std::mutex mutex_;
  std::condition_variable reported_;
  CoverageReport report_;
};

}  // namespace fileward

#endif  // FILEWARD_TEST_NATIVE_COVERAGE_FIXTURE_H_
