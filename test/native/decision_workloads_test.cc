// Several workloads before the decision thread: real containers (an overlay as root, a mount
// namespace, a cgroup, shared volumes) and host processes that reach into them.
#include <chrono>
#include <optional>
#include <thread>

#include "native/process/workload_users.h"
#include "test/native/decision_container.h"
#include "test/native/decision_fixture.h"

namespace fileward {
namespace {

const std::string kBusybox = "/bin/busybox";

class DecisionWorkloadsTest : public DecisionFixture {
 protected:
  void SetUp() override {
    DecisionFixture::SetUp();
    if (IsSkipped()) return;
    if (!std::filesystem::exists(kBusybox)) GTEST_SKIP() << "needs busybox-static";
    volume_ = root_ + "/volume";
    std::filesystem::create_directories(volume_);
    std::ofstream(volume_ + "/shared") << "content";
  }
  void TearDown() override {
    if (decisions_) decisions_->Stop();
    containers_.clear();
    DecisionFixture::TearDown();
  }

  // With `volume_` at /data.
  DecisionContainer& Start(bool chroot_only = false) {
    DecisionContainer::Options options;
    options.id = static_cast<WorkloadId>(containers_.size() + 1);
    options.base = root_ + "/container-" + std::to_string(options.id);
    options.volumes = {{volume_, "/data"}};
    options.chroot_only = chroot_only;
    containers_.push_back(std::make_unique<DecisionContainer>(std::move(options)));
    Know(containers_.size());
    return *containers_.back();
  }
  // The first `count` of them.
  void Know(size_t count) {
    std::vector<WorkloadCgroups::Entry> entries;
    for (size_t i = 0; i < count; ++i) {
      const DecisionContainer& container = *containers_[i];
      entries.push_back({container.id(), container.cgroup(), container.init()});
    }
    processes_.SetWorkloads(std::make_shared<const WorkloadCgroups>(std::move(entries)));
  }

  void Mark(const DecisionContainer& container, const std::string& directory) {
    const auto marked =
        group_->MarkDirectory(AT_FDCWD, container.Inside(directory).c_str(), FAN_OPEN_PERM);
    ASSERT_TRUE(marked.ok()) << marked.error().Message();
  }

  // What coverage would find in it, for the groups named.
  static WorkloadRules RulesOf(const DecisionContainer& container, const TestRuleset& text,
                               const std::string& group, bool with_table = true) {
    WorkloadRules rules;
    rules.workload = container.id();
    rules.ruleset = text.Parse({}, [&](const RuleGroup& held) { return held.name == group; });
    for (const char* directory : {"/etc", "/data", "/opt"}) {
      for (const auto& entry : std::filesystem::directory_iterator(container.Inside(directory))) {
        const std::string path = directory + ("/" + entry.path().filename().string());
        auto matched = std::make_shared<const MatchSet>(rules.ruleset->Match(path));
        if (!with_table || matched->empty()) continue;
        rules.table.Add(IdentityOf(entry.path()), 0, {path, matched, false});
      }
    }
    rules.apps = AppsBelow(text, container.Inside(""));
    const UniqueFd root(::open(container.Inside("").c_str(), O_PATH | O_CLOEXEC));
    rules.users = WorkloadUsers::Read(root.get(), container.init());
    rules.root.dev = IdentityOf(container.Inside("/")).dev;
    rules.root.own_filesystem = !container.chroot_only();
    if (container.chroot_only()) rules.root.prefix = container.Root();
    return rules;
  }
  void SendMounts(const DecisionContainer& container) {
    auto mounts = MountView::ReadContainer(container.init());
    ASSERT_TRUE(mounts.ok()) << mounts.error().Message();
    ASSERT_TRUE(decisions_->updates().Send(MountsChanged{container.id(), *mounts}));
  }
  // The host holds group g0, container n group gn.
  void ApplyAll(const TestRuleset& text, bool with_table = true) {
    std::vector<WorkloadRules> parts;
    parts.push_back(HostRules(text, with_table));
    const std::string shared = volume_ + "/shared";
    auto matched = std::make_shared<const MatchSet>(parts.front().ruleset->Match(shared));
    if (with_table && !matched->empty()) {
      parts.front().table.Add(IdentityOf(shared), 0, {shared, matched, false});
    }
    for (const auto& container : containers_) {
      parts.push_back(RulesOf(*container, text, "g" + std::to_string(container->id()), with_table));
    }
    Swap(std::move(parts));
    SendHostMounts();
    for (const auto& container : containers_) SendMounts(*container);
  }

  // A program of the container.
  int Cat(const DecisionContainer& container, const std::string& path,
          const std::string& below = "") {
    return InChild([&] {
      container.Enter(below);
      return Exec({kBusybox, "cat", path});
    });
  }
  // The host's program, by a path of the host's.
  int HostCat(const std::string& path) { return Run({kBusybox, "cat", path}); }

  static TestRule Rule(const std::vector<std::string>& paths, std::vector<TestApp> apps = {}) {
    TestRule rule;
    rule.path = paths;
    rule.apps = std::move(apps);
    return rule;
  }
  // Group 0 is the host's and empty.
  static TestRuleset Groups(std::vector<TestRule> first, std::vector<TestRule> second = {}) {
    TestRuleset text;
    text.exes = {kBusybox};
    text.groups = {{{}, true}, {std::move(first), false}, {std::move(second), false}};
    return text;
  }
  SeenEvent One() {
    const auto events = Events(1);
    return events.empty() ? SeenEvent{} : events.front();
  }

  std::string volume_;
  std::vector<std::unique_ptr<DecisionContainer>> containers_;
};

TEST_F(DecisionWorkloadsTest, OnASharedVolumeTheOpenersRulesDecide) {
  DecisionContainer& strict = Start();
  DecisionContainer& lenient = Start();
  Mark(strict, "/data");
  for (const bool with_table : {true, false}) {
    ApplyAll(Groups({Rule({"/data/*"})}, {Rule({"/data/*"}, {ListedApp()})}), with_table);
    EXPECT_NE(Cat(strict, "/data/shared"), 0);
    const SeenEvent denied = One();
    EXPECT_EQ(denied.header.workload, strict.id());
    EXPECT_EQ(denied.header.actor_workload, strict.id());
    EXPECT_EQ(denied.header.rule_index, 0U);
    EXPECT_EQ(denied.header.reason, Reason::kAppNotListed);
    EXPECT_EQ(denied.strings.at(EventString::kPath), "/data/shared");
    EXPECT_EQ(Cat(lenient, "/data/shared"), 0);
    EXPECT_EQ(decisions_->counters()->quiet(1, Operation::kRead), 1U);
    // A host process is judged by both; the volume has no name in common with the host.
    EXPECT_NE(HostCat(volume_ + "/shared"), 0);
    const SeenEvent host = One();
    EXPECT_EQ(host.header.workload, strict.id());
    EXPECT_EQ(host.header.actor_workload, kHostWorkload);
    EXPECT_EQ(host.strings.at(EventString::kPath), "/data/shared");
  }
}

TEST_F(DecisionWorkloadsTest, TheHostsRulesHoldOnAVolumeToo) {
  DecisionContainer& container = Start();
  Mark(container, "/data");
  TestRuleset text = Groups({Rule({"/data/*"}, {ListedApp()})});
  text.groups[0].rules = {Rule({volume_ + "/*"})};
  for (const bool with_table : {true, false}) {
    ApplyAll(text, with_table);
    EXPECT_NE(Cat(container, "/data/shared"), 0);
    const SeenEvent denied = One();
    EXPECT_EQ(denied.header.workload, kHostWorkload);
    EXPECT_EQ(denied.header.actor_workload, container.id());
    EXPECT_EQ(denied.header.rule_index, 0U);
  }
}

TEST_F(DecisionWorkloadsTest, AnAppIsAFileOfTheWorkloadsOwnRoot) {
  DecisionContainer& container = Start();
  Mark(container, "/etc");
  ApplyAll(Groups({Rule({"/etc/secret"}, {ListedApp()})}));
  EXPECT_EQ(Cat(container, "/etc/secret"), 0);
  EXPECT_EQ(Events(0).size(), 0U);
  // The host's busybox has the same path and the same bytes.
  EXPECT_NE(HostCat(container.Inside("/etc/secret")), 0);
  SeenEvent denied = One();
  EXPECT_EQ(denied.header.reason, Reason::kAppNotListed);
  EXPECT_EQ(denied.header.actor_workload, kHostWorkload);
  EXPECT_EQ(denied.strings.at(EventString::kPath), "/etc/secret");
  EXPECT_EQ(denied.strings.at(EventString::kProtectedPath), "");
  EXPECT_NE(HostCat(container.Root() + "/etc/secret"), 0);
  denied = One();
  EXPECT_EQ(denied.strings.at(EventString::kPath), "/etc/secret");

  // An entry with `workload: host` is the other way round.
  TestRuleset text = Groups({Rule({"/etc/secret"}, {ListedApp()})});
  text.host_exes = {0};
  ApplyAll(text);
  EXPECT_EQ(HostCat(container.Root() + "/etc/secret"), 0);
  EXPECT_NE(Cat(container, "/etc/secret"), 0);
  EXPECT_EQ(One().header.reason, Reason::kAppNotListed);
}

TEST_F(DecisionWorkloadsTest, AnotherFileOfTheSamePathInTheContainerIsAMismatch) {
  DecisionContainer& container = Start();
  Mark(container, "/etc");
  ApplyAll(Groups({Rule({"/etc/secret"}, {ListedApp()})}));
  const std::string busybox = container.Inside(kBusybox);
  std::filesystem::copy_file(busybox, busybox + ".new");
  ASSERT_EQ(::rename((busybox + ".new").c_str(), busybox.c_str()), 0);
  EXPECT_NE(Cat(container, "/etc/secret"), 0);
  EXPECT_EQ(One().header.reason, Reason::kIdentityMismatch);
}

TEST_F(DecisionWorkloadsTest, ANewFileIsFoundByEveryWayIntoTheContainer) {
  DecisionContainer& container = Start();
  Mark(container, "/etc");
  ApplyAll(Groups({Rule({"/etc/new*"})}));
  const auto create = [&](const std::string& path, const std::function<void()>& enter) {
    return InChild([&] {
      enter();
      return Exec({kBusybox, "touch", path});
    });
  };
  EXPECT_NE(create("/etc/new-1", [&] { container.Enter(); }), 0);
  EXPECT_NE(create(container.Root() + "/etc/new-2", [] {}), 0);
  EXPECT_NE(create(container.Inside("/etc/new-3"), [] {}), 0);
  EXPECT_NE(create("/etc/new-4", [&] { container.EnterRoot(); }), 0);
  // Through mounts that nobody knows.
  EXPECT_NE(create("/etc/new-5",
                   [&] {
                     container.Enter();
                     ::unshare(CLONE_NEWNS);
                   }),
            0);
  const auto events = Events(5);
  ASSERT_EQ(events.size(), 5U);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].strings.at(EventString::kPath), "/etc/new-" + std::to_string(i + 1));
    EXPECT_EQ(events[i].header.workload, container.id());
    const bool own = i == 0 || i == 4;
    EXPECT_EQ(events[i].header.actor_workload, own ? container.id() : kHostWorkload);
    EXPECT_TRUE(events[i].header.flags & EventFlag::kCreatFresh);
  }
}

TEST_F(DecisionWorkloadsTest, AContainerThatIsAChrootOnly) {
  DecisionContainer& container = Start(true);
  Mark(container, "/etc");
  for (const bool with_table : {true, false}) {
    ApplyAll(Groups({Rule({"/etc/secret"})}), with_table);
    EXPECT_NE(Cat(container, "/etc/secret"), 0);
    const SeenEvent own = One();
    EXPECT_EQ(own.header.workload, container.id());
    EXPECT_EQ(own.header.actor_workload, container.id());
    EXPECT_EQ(own.strings.at(EventString::kPath), "/etc/secret");
    EXPECT_NE(HostCat(container.Root() + "/etc/secret"), 0);
    EXPECT_EQ(One().strings.at(EventString::kPath), "/etc/secret");
  }
  ApplyAll(Groups({Rule({"/etc/secret"}, {ListedApp()})}));
  EXPECT_EQ(Cat(container, "/etc/secret"), 0);
}

TEST_F(DecisionWorkloadsTest, TheRuntimeIsListedUnlessTheRuleSaysNo) {
  DecisionContainer& container = Start();
  Mark(container, "/etc");
  TestRuleset text = Groups({Rule({"/etc/secret"})});
  text.exes = {kBusybox};
  text.host_exes = {0};
  text.runtimes = {0};
  const auto before_its_exec = [&] {
    return InChild([&] {
      container.Enter();
      return Open("/etc/secret", O_RDONLY);
    });
  };
  ApplyAll(text);
  // The host's runtime, by identity; what it has put into the container and hasn't executed
  // anything there yet; what it runs there.
  EXPECT_EQ(HostCat(container.Root() + "/etc/secret"), 0);
  EXPECT_EQ(before_its_exec(), 0);
  EXPECT_EQ(Events(0).size(), 0U);
  EXPECT_NE(Cat(container, "/etc/secret"), 0);
  EXPECT_EQ(One().header.actor_workload, container.id());
  // It starts programs, it doesn't write.
  EXPECT_NE(Run({kBusybox, "sh", "-c", "echo x >" + container.Root() + "/etc/secret"}), 0);
  EXPECT_EQ(One().header.operation, Operation::kWrite);

  text.groups[1].rules[0].runtime = false;
  ApplyAll(text);
  EXPECT_NE(HostCat(container.Root() + "/etc/secret"), 0);
  EXPECT_EQ(before_its_exec(), EPERM);
  Events(2);
}

TEST_F(DecisionWorkloadsTest, UsersAndUnitsAreTheContainersOwn) {
  DecisionContainer& container = Start();
  Mark(container, "/etc");
  const auto cat_as = [&](uint32_t uid) {
    return InChild([&] {
      container.Enter();
      if (::setgid(uid) != 0 || ::setuid(uid) != 0) return 197;
      return Exec({kBusybox, "cat", "/etc/secret"});
    });
  };
  TestApp by_name;
  by_name.more = "\"user_id\":4242";
  TestRuleset text = Groups({Rule({"/etc/secret"}, {by_name})});
  text.users = {{4242, "app"}};
  ApplyAll(text);
  EXPECT_EQ(cat_as(1000), 0);
  EXPECT_NE(cat_as(4242), 0);
  EXPECT_EQ(One().header.euid, 4242U);
  // One of the host's is listed by an entry that says so, and there it is the host's user of that
  // name.
  const auto host_cat_as = [&](uint32_t uid) {
    return InChild([&] {
      if (::setuid(uid) != 0) return 197;
      return Exec({kBusybox, "cat", container.Root() + "/etc/secret"});
    });
  };
  EXPECT_NE(host_cat_as(4242), 0);
  Events(1);
  text.groups[1].rules[0].apps[0].host = true;
  ApplyAll(text);
  EXPECT_EQ(host_cat_as(4242), 0);
  EXPECT_NE(host_cat_as(1000), 0);
  Events(1);
  text.groups[1].rules[0].apps[0].host = false;
  // One whose name the container doesn't know matches nobody.
  text.users = {{1000, "nobody-here"}};
  text.groups[1].rules[0].apps[0].more = "\"user_id\":1000";
  ApplyAll(text);
  EXPECT_NE(cat_as(1000), 0);
  Events(1);

  TestApp by_unit;
  by_unit.more = "\"unit\":\"web.service\"";
  ApplyAll(Groups({Rule({"/etc/secret"}, {by_unit})}));
  EXPECT_EQ(Cat(container, "/etc/secret", "/system.slice/web.service"), 0);
  EXPECT_NE(Cat(container, "/etc/secret", "/system.slice/other.service"), 0);
  Events(1);
  for (const char* below :
       {"/system.slice/web.service", "/system.slice/other.service", "/system.slice"}) {
    container.RemoveCgroup(below);
  }
}

TEST_F(DecisionWorkloadsTest, AScriptOfTheContainerIsAnApp) {
  DecisionContainer& container = Start();
  const std::string script = container.Inside("/opt/script");
  std::ofstream(script) << "#!/bin/sh\nread x < \"$1\"\n";
  std::ofstream(container.Inside("/etc/secret")) << "a line\n";
  ::chmod(script.c_str(), 0755);
  const auto marked = group_->MarkFile(AT_FDCWD, script.c_str(), FAN_OPEN_EXEC_PERM);
  ASSERT_TRUE(marked.ok()) << marked.error().Message();
  Mark(container, "/etc");
  TestRule rule = Rule({"/etc/secret"}, {ListedApp(0)});
  rule.apps[0].more += ",\"script\":1";
  TestRuleset text = Groups({rule});
  text.exes = {kBusybox, "/opt/script"};
  ApplyAll(text);
  const auto run = [&](const std::vector<std::string>& command) {
    return InChild([&] {
      container.Enter();
      return Exec(command);
    });
  };
  EXPECT_EQ(run({"/opt/script", "/etc/secret"}), 0);
  EXPECT_EQ(Events(0).size(), 0U);
  EXPECT_NE(run({"/bin/sh", "-c", "read x < /etc/secret"}), 0);
  EXPECT_NE(run({"/bin/sh", "/opt/script", "/etc/secret"}), 0);
  Events(2);
}

TEST_F(DecisionWorkloadsTest, AllWorkloadsAreSwappedAtOnce) {
  DecisionContainer& first = Start();
  DecisionContainer& second = Start();
  Mark(first, "/data");
  const TestRule closed = Rule({"/data/*"});
  const TestRule open = Rule({"/data/*"}, {ListedApp()});
  // Exe 0 is busybox in one version and nothing in the other: an index of the wrong version shows.
  const auto version = [&](bool shifted) {
    TestRuleset text = Groups({closed}, {open});
    if (shifted) {
      text.exes = {"/bin/no-such-program", kBusybox};
      text.groups[2].rules[0].apps = {ListedApp(1)};
      text.groups[1].rules[0].apps = {ListedApp(0)};
    }
    return text;
  };
  ApplyAll(version(false));
  std::vector<pid_t> openers;
  for (const DecisionContainer* container : {&first, &second}) {
    openers.push_back(::fork());
    if (openers.back() != 0) continue;
    ::close(group_->fd());
    container->Enter();
    const std::string loop =
        "i=0; while [ $i -lt 400 ]; do if (read x < /data/shared) 2>/dev/null;"
        " then echo 1; else echo 0; fi; i=$((i+1)); done > /tmp/seen";
    ::execl(kBusybox.c_str(), "sh", "-c", loop.c_str(), nullptr);
    ::_exit(127);
  }
  std::ofstream(volume_ + "/shared") << "a line\n";
  for (int i = 0; i < 100; ++i) ApplyAll(version(i % 2 == 0));
  for (const pid_t opener : openers) EXPECT_EQ(ExitOf(opener), 0);
  const auto seen = [](const DecisionContainer& container) {
    std::ifstream file(container.Inside("/tmp/seen"));
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_EQ(seen(first).size(), 800U);
  EXPECT_EQ(seen(first).find('1'), std::string::npos);
  EXPECT_EQ(seen(second).size(), 800U);
  EXPECT_EQ(seen(second).find('0'), std::string::npos);
}

TEST_F(DecisionWorkloadsTest, OneWorkloadComesAndGoesWithoutTheOthers) {
  DecisionContainer& stays = Start();
  DecisionContainer& goes = Start();
  Mark(stays, "/etc");
  Mark(goes, "/etc");
  const TestRuleset text = Groups({Rule({"/etc/secret"})}, {Rule({"/etc/secret"})});
  std::vector<WorkloadRules> parts;
  parts.push_back(HostRules(text));
  parts.push_back(RulesOf(stays, text, "g1"));
  Swap(std::move(parts));
  SendHostMounts();
  EXPECT_NE(Cat(stays, "/etc/secret"), 0);
  EXPECT_EQ(Cat(goes, "/etc/secret"), 0);
  Events(1);

  auto added = std::make_shared<RulesetSwap>();
  added->version = version_;
  added->parts.push_back(RulesOf(goes, text, "g2"));
  const std::weak_ptr<const AppIdentities> apps = added->parts.front().apps;
  Send(added);
  added.reset();
  EXPECT_NE(Cat(stays, "/etc/secret"), 0);
  EXPECT_NE(Cat(goes, "/etc/secret"), 0);
  for (const SeenEvent& event : Events(2)) EXPECT_EQ(event.header.ruleset_version, version_);

  ASSERT_TRUE(decisions_->updates().Send(WorkloadGone{goes.id()}));
  // Late ones are for nobody.
  const FileIdentity secret = IdentityOf(goes.Inside("/etc/secret"));
  auto rules = std::make_shared<const MatchSet>(MatchSet{1});
  decisions_->updates().Send(AddName{goes.id(), secret, 0, {"/etc/secret", rules, false}});
  SendMounts(goes);
  EXPECT_EQ(Cat(goes, "/etc/secret"), 0);
  EXPECT_NE(Cat(stays, "/etc/secret"), 0);
  EXPECT_EQ(One().header.workload, stays.id());
  // What decided for it is freed by the sender, not by the decision thread.
  decisions_->updates().Send(UsersChanged{});
  EXPECT_TRUE(apps.expired());
}

TEST_F(DecisionWorkloadsTest, AContainerThatNobodyHasToldOfYetIsWaitedFor) {
  DecisionContainer& covered = Start();
  DecisionContainer& fresh = Start();
  Know(1);
  Mark(covered, "/data");
  TestRuleset text = Groups({Rule({"/data/*"})});
  const auto apply = [&] {
    std::vector<WorkloadRules> parts;
    parts.push_back(HostRules(text));
    parts.push_back(RulesOf(covered, text, "g1"));
    Swap(std::move(parts));
  };
  apply();
  const uint64_t answers = Answers();
  std::thread teller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(Answers(), answers);
    Know(2);
  });
  EXPECT_EQ(Cat(fresh, "/data/shared"), 0);
  teller.join();
  EXPECT_EQ(Events(0).size(), 0U);
  // Nobody does: it is the host's, as is whatever lies in no container.
  Know(1);
  text.deadline_ns = 200'000'000;
  apply();
  EXPECT_NE(Cat(fresh, "/data/shared"), 0);
  const SeenEvent denied = One();
  EXPECT_EQ(denied.header.outcome, Outcome::kDenied);
  EXPECT_NE(denied.header.reason, Reason::kDeadline);
}

TEST_F(DecisionWorkloadsTest, WhatNoWorkloadCoversAsksOnce) {
  DecisionContainer& container = Start();
  Mark(container, "/data");
  ApplyAll(Groups({Rule({"/data/covered*"})}));
  // One that has just been made may be about to take a covered name.
  EXPECT_EQ(Cat(container, "/data/shared"), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  EXPECT_EQ(Cat(container, "/data/shared"), 0);
  const uint64_t answers = Answers();
  EXPECT_EQ(HostCat(volume_ + "/shared"), 0);
  EXPECT_EQ(Cat(container, "/data/shared"), 0);
  EXPECT_EQ(Answers(), answers);
}

}  // namespace
}  // namespace fileward
