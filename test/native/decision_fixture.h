// A decision thread on a tmpfs of its own, with real children as openers. Everything that is marked
// lies on that tmpfs, in a mount namespace of the test process.
#ifndef FILEWARD_TEST_NATIVE_DECISION_FIXTURE_H_
#define FILEWARD_TEST_NATIVE_DECISION_FIXTURE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "native/decision/decision_thread.h"
#include "native/kernel/fanotify_group.h"
#include "native/process/process_feed.h"
#include "native/process/process_table.h"
#include "test/native/decision_rules.h"

namespace fileward {

struct SeenEvent {
  EventHeader header;
  std::map<EventString, std::string> strings;
};

class DecisionFixture : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    // Once per process: mounts of these tests are nobody else's.
    static const bool unshared = [] {
      return ::unshare(CLONE_NEWNS) == 0 &&
             ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    }();
    ASSERT_TRUE(unshared) << std::strerror(errno);
  }

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: permission groups need CAP_SYS_ADMIN";
    MakeDirectory();
    StartDecisions();
  }

  void MakeDirectory() {
    char name[] = "/tmp/fileward-decision-XXXXXX";
    root_ = ::mkdtemp(name);
    ASSERT_EQ(::mount("tmpfs", root_.c_str(), "tmpfs", 0, "mode=0755"), 0) << std::strerror(errno);
    dir_ = root_ + "/dir";
    ASSERT_EQ(::mkdir(dir_.c_str(), 0777), 0);
  }

  void StartDecisions() {
    auto group = PermissionGroup::Open(Features());
    ASSERT_TRUE(group.ok()) << group.error().Message();
    group_ = std::make_unique<PermissionGroup>(std::move(*group));
    auto feed = ProcessFeed::Start(processes_);
    ASSERT_TRUE(feed.ok()) << feed.error().Message();
    feed_ = std::move(*feed);
    ring_ = std::make_unique<EventRing>(size_t{4} << 20, [this] {
      // Runs on the decision thread.
      while (stuck_.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    auto started = DecisionThread::Start(*group_, processes_, *ring_, {});
    ASSERT_TRUE(started.ok()) << started.error().Message();
    decisions_ = std::move(*started);
    MarkDir(FAN_OPEN_PERM);
  }

  void TearDown() override {
    if (decisions_) decisions_->Stop();
    feed_.reset();
    group_.reset();
    decisions_.reset();
    if (!root_.empty()) {
      ::umount2(root_.c_str(), MNT_DETACH);
      ::rmdir(root_.c_str());
    }
  }

  static KernelFeatures Features() {
    static const KernelFeatures features = ProbeKernelFeatures();
    return features;
  }

  void MarkDir(uint64_t mask) {
    const auto marked = group_->MarkDirectory(AT_FDCWD, dir_.c_str(), mask);
    ASSERT_TRUE(marked.ok()) << marked.error().Message();
  }

  static FileIdentity IdentityOf(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return {makedev(major(status.st_dev), minor(status.st_dev)), status.st_ino};
  }

  std::string MakeFile(const std::string& name, const std::string& content = "content") {
    const std::string path = dir_ + "/" + name;
    std::ofstream(path) << content;
    return path;
  }

  // Puts the ruleset in force with every file in the directory that it covers, and the exes that
  // exist.
  void Apply(const TestRuleset& text, bool with_table = true) {
    std::vector<WorkloadRules> parts;
    parts.push_back(HostRules(text, with_table));
    Swap(std::move(parts));
    SendHostMounts();
  }

  WorkloadRules HostRules(const TestRuleset& text, bool with_table = true) const {
    WorkloadRules rules;
    rules.ruleset = text.Parse();
    for (const auto& entry : std::filesystem::directory_iterator(dir_)) {
      const std::string path = entry.path();
      auto matched = std::make_shared<const MatchSet>(rules.ruleset->Match(path));
      if (with_table && !matched->empty()) {
        rules.table.Add(IdentityOf(path), 0, {path, matched, false});
      }
    }
    rules.apps = AppsBelow(text, "");
    return rules;
  }
  // Those that exist below `root`.
  static std::shared_ptr<const AppIdentities> AppsBelow(const TestRuleset& text,
                                                        const std::string& root) {
    std::unordered_map<FileIdentity, AppIdentities::App> apps;
    for (uint32_t i = 0; i < text.exes.size(); ++i) {
      const std::string path = root + text.exes[i];
      if (std::filesystem::exists(path)) apps[IdentityOf(path)].exes.push_back(i);
    }
    return std::make_shared<AppIdentities>(std::move(apps));
  }

  // A new version that is these workloads and no others.
  void Swap(std::vector<WorkloadRules> parts) {
    auto swap = std::make_shared<RulesetSwap>();
    swap->version = ++version_;
    swap->counters =
        std::make_shared<RuleCounters>(version_, parts.front().ruleset->rules().size());
    swap->parts = std::move(parts);
    swap->all = true;
    Send(swap);
  }
  void Send(const std::shared_ptr<RulesetSwap>& swap) {
    ASSERT_TRUE(decisions_->updates().Send(ReplaceAll{swap}));
    while (!swap->applied()) std::this_thread::yield();
  }
  void SendHostMounts() {
    auto mounts = MountView::ReadHost();
    ASSERT_TRUE(mounts.ok()) << mounts.error().Message();
    ASSERT_TRUE(decisions_->updates().Send(MountsChanged{kHostWorkload, *mounts}));
  }

  // Runs `what` in a child that was forked, not exec'ed: its executable is the test's. The child's
  // answer is its exit status, errno as a rule.
  int InChild(const std::function<int()>& what) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (group_) ::close(group_->fd());
      ::_exit(what());
    }
    return ExitOf(child);
  }

  static int ExitOf(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  static int Open(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags, 0644);
    if (fd < 0) return errno;
    ::close(fd);
    return 0;
  }
  int OpenInChild(const std::string& path, int flags) {
    return InChild([&] { return Open(path, flags); });
  }

  // Runs a program, returns its exit status.
  int Run(const std::vector<std::string>& command) {
    return InChild([&] { return Exec(command); });
  }
  static int Exec(const std::vector<std::string>& command) {
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 1);
    ::dup2(null, 2);
    ::execv(argv[0], argv.data());
    return errno;
  }

  std::vector<SeenEvent> DrainEvents() {
    std::vector<std::byte> buffer(1 << 20);
    std::vector<SeenEvent> events;
    while (const size_t bytes = ring_->Drain(buffer)) {
      for (size_t at = 0; at < bytes;) {
        SeenEvent& event = events.emplace_back();
        std::memcpy(&event.header, &buffer[at], kEventHeaderBytes);
        size_t string_at = at + kEventHeaderBytes;
        for (size_t i = 0; i < kEventStringCount; ++i) {
          const uint32_t length = event.header.lengths[i];
          event.strings[static_cast<EventString>(i)].assign(
              reinterpret_cast<const char*>(&buffer[string_at]), length);
          string_at += length;
        }
        at += event.header.size_bytes;
      }
    }
    return events;
  }

  // Waits until `count` events came, and a moment longer for more.
  std::vector<SeenEvent> Events(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::vector<SeenEvent> events;
    bool lingered = false;
    while (std::chrono::steady_clock::now() < deadline) {
      std::ranges::move(DrainEvents(), std::back_inserter(events));
      if (events.size() >= count && std::exchange(lingered, true)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_EQ(events.size(), count);
    return events;
  }

  uint64_t Answers() const {
    uint64_t answers = 0;
    for (size_t i = 0; i < VerdictHistogram::kBuckets; ++i) {
      answers += decisions_->stats().allowed.bucket(i) + decisions_->stats().denied.bucket(i);
    }
    return answers;
  }

  std::string root_;
  std::string dir_;
  std::atomic<bool> stuck_{false};
  std::unique_ptr<PermissionGroup> group_;
  ProcessTable processes_;
  std::unique_ptr<ProcessFeed> feed_;
  std::unique_ptr<EventRing> ring_;
  std::unique_ptr<DecisionThread> decisions_;
  uint64_t version_ = 0;
};

}  // namespace fileward

#endif  // FILEWARD_TEST_NATIVE_DECISION_FIXTURE_H_
