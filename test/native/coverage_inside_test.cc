// What is inside a container: its links, mounts, layers, apps and files, and what it may try.
#include "test/native/coverage_workloads.h"

namespace fileward {
namespace {

TEST_F(CoverageWorkloads, NoLinkLeadsOut) {
  const std::string outside = Write(root_ + "/out/file");
  Apply(Groups({BlockRule("/conf/**"), BlockRule("/up/**")}));
  const auto container = Container(1);
  EXPECT_EQ(
      In(*container, "ln -s '" + root_ + "/out' /conf; ln -s ../../../../../.." + root_ +
                         "/out /up; mkdir -p '" + root_ + "/out'; echo x > '" + outside + "'"),
      0);
  const CoverageReport report = SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(Of(report, 1).rules[0].resolved[0].real, root_ + "/out");
  EXPECT_EQ(Shell("cat '" + outside + "'"), 0);
  EXPECT_EQ(In(*container, "cat '" + outside + "'"), 1);
  EXPECT_EQ(In(*container, "cat /up/file"), 1);
}

TEST_F(CoverageWorkloads, FollowsALinkThatChangesInside) {
  Apply(Groups({BlockRule("/conf/**")}));
  const auto container = Container(1);
  EXPECT_EQ(In(*container, "mkdir /a /b; echo x > /a/file; echo x > /b/file; ln -s /a /conf"), 0);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container, "cat /a/file"), 1);
  EXPECT_EQ(In(*container, "cat /b/file"), 0);
  EXPECT_EQ(In(*container, "ln -s /b /next; mv -T /next /conf"), 0);
  EXPECT_TRUE(Eventually([&] { return In(*container, "cat /b/file") == 1; }));
  EXPECT_TRUE(Eventually([&] { return In(*container, "cat /a/file") == 0; }));
}

TEST_F(CoverageWorkloads, CoversWhatIsMountedLater) {
  Apply(Groups({BlockRule("/data/**")}));
  const auto container = Container(1);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container,
               "mkdir /opt/new && mount -t tmpfs tmpfs /opt/new && "
               "echo x > /opt/new/file && mount -o bind /opt/new /data"),
            0);
  EXPECT_TRUE(Eventually([&] { return In(*container, "cat /data/file") == 1; }));
  EXPECT_EQ(In(*container, "umount /data"), 0) << "nothing of ours keeps it busy";
}

TEST_F(CoverageWorkloads, AChrootIsAContainerToo) {
  Apply(Groups({BlockRule("/etc/**")}));
  const auto container = Container(1, {}, true);
  const CoverageReport report = SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(Of(report, 1).error, "");
  EXPECT_EQ(In(*container, "cat /etc/secret"), 1);
  EXPECT_EQ(In(*container, "cat /bin/busybox"), 0);
}

TEST_F(CoverageWorkloads, WaitsForTheContainersOwnRoot) {
  Apply(Groups({BlockRule("/file")}));
  const std::string root = root_ + "/out";
  const std::string file = Write(root + "/file");
  int go[2];
  ASSERT_EQ(::pipe2(go, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    char byte = 0;
    if (::unshare(CLONE_NEWNS) == 0 && ::read(go[0], &byte, 1) == 1 && ::chroot(root.c_str()) == 0)
      ::pause();
    ::_exit(1);
  }
  EXPECT_TRUE(Eventually([&] {
    return std::filesystem::read_symlink("/proc/" + std::to_string(child) + "/ns/mnt") !=
           std::filesystem::read_symlink("/proc/self/ns/mnt");
  }));
  const WorkloadSpec spec = {1, child, StartTicksOf(child), "/fileward-nowhere", {"g1"}};
  EXPECT_EQ(Of(SetWorkloads({spec}), 1).error, "no_root");
  EXPECT_EQ(::write(go[1], "g", 1), 1);
  AwaitReport([](const CoverageReport& report) {
    return report.workloads.size() == 1 && report.workloads[0].covered_ns != 0;
  });
  EXPECT_NE(Shell("cat '" + file + "'"), 0);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(go[0]);
  ::close(go[1]);
}

TEST_F(CoverageWorkloads, NeverGuardsTheHostsOwnRootForAContainer) {
  Apply(Groups({BlockRule(root_ + "/out/**")}));
  const std::string file = Write(root_ + "/out/file");
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::pause();
  }
  const WorkloadSpec spec = {1, child, StartTicksOf(child), "/fileward-nowhere", {"g1"}};
  EXPECT_EQ(Of(SetWorkloads({spec}), 1).error, "no_root");
  EXPECT_EQ(Shell("cat '" + file + "'"), 0);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(CoverageWorkloads, AnAppIsThatFileOfTheContainer) {
  TestRuleset ruleset = Groups({BlockRule("/etc/**", "monitor")});
  ruleset.exes = {"/usr/bin/none", "/bin/busybox", "/bin/sh"};
  ruleset.host_exes = {2};
  ruleset.groups[1].rules[0].apps = {ListedApp(1), ListedApp(2)};
  Apply(ruleset);
  const auto container = Container(1);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container, "mkdir /etc/listed; ln /etc/secret /etc/link"), 0);
  EXPECT_TRUE(AwaitIn(1, Change::kLinked, "/etc/secret").Has(EventFlag::kListed));
  // /bin/busybox of the host is another file; /bin/sh is listed as the host's.
  const std::string etc = container->Inside("/etc");
  EXPECT_EQ(Run({"/bin/busybox", "ln", etc + "/passwd", etc + "/of-busybox"}), 0);
  EXPECT_FALSE(AwaitIn(1, Change::kLinked, "/etc/passwd").Has(EventFlag::kListed));
  EXPECT_EQ(Shell("echo x > '" + etc + "/of-sh'"), 0);
  EXPECT_TRUE(AwaitIn(1, Change::kCreated, "/etc/of-sh").Has(EventFlag::kListed));
}

TEST_F(CoverageWorkloads, MountsWithoutEndDontKeepOthersWaiting) {
  Apply(Groups({BlockRule("/data/**")}));
  const auto restless = Container(1);
  SetWorkloads({Spec(*restless, {"g1"})});
  const pid_t mounter = ::fork();
  if (mounter == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    restless->Enter();
    for (;;) {
      ::mount("tmpfs", "/data", "tmpfs", 0, nullptr);
      ::umount2("/data", MNT_DETACH);
    }
  }
  for (WorkloadId id = 2; id < 6; ++id) {
    const auto other = Container(id);
    SetWorkloads({Spec(*restless, {"g1"}), Spec(*other, {"g1"})});
    EXPECT_EQ(In(*other, "echo x > /data/file; cat /data/file"), 1);
  }
  ::kill(mounter, SIGKILL);
  ::waitpid(mounter, nullptr, 0);
}

TEST_F(CoverageWorkloads, HostRulesKeepOffTheLayersOfACoveredContainer) {
  const auto container = Container(1);
  TestRuleset ruleset = Groups({BlockRule("/etc/**")});
  ruleset.groups[0].rules.push_back(BlockRule(root_ + "/container-1/**", "monitor"));
  Apply(ruleset);
  const CoverageReport report = SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(Of(report, 1).error, "");
  const auto& degraded = report.rules[1].degraded;
  EXPECT_TRUE(std::any_of(degraded.begin(), degraded.end(),
                          [](const auto& gap) { return gap.error_type == "overlay_layer"; }));
  // Would never come back if reading the event had to wait for an event.
  EXPECT_EQ(In(*container, "cat /etc/secret"), 1);
  EXPECT_EQ(In(*container, "echo x > /opt/file; cat /opt/file"), 0);
}

TEST_F(CoverageWorkloads, AContainersTreesEndAtTheLimitOfMarks) {
  const auto container = Container(1);
  EXPECT_EQ(In(*container, "cd /data; for i in 1 2 3 4 5 6 7 8 9; do mkdir -p $i/a/b; done"), 0);
  std::string json = Groups({BlockRule("/data/**")}).Json();
  const std::string limit = "\"marks\":200000";
  json.replace(json.find(limit), limit.size(), "\"marks\":20");
  Apply(json);
  const CoverageReport report = SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_LE(report.permission_marks + report.notification_marks, 20U);
  const auto& degraded = Of(report, 1).rules[0].degraded;
  EXPECT_TRUE(std::any_of(degraded.begin(), degraded.end(),
                          [](const auto& gap) { return gap.error_type == "mark_limit"; }));
}

// Handles of an overlay can't be opened, so nobody knows where the file is now.
TEST_F(CoverageWorkloads, AFileMovedOutOfReachStaysProtected) {
  TestRuleset rules = Groups({BlockRule("/etc/secret*", "monitor"), BlockRule("/data/**")});
  Apply(rules);
  const auto container = Container(1);
  EXPECT_EQ(In(*container,
               "echo x > /etc/secret2; mkdir /data/sub; echo x > /data/sub/file; "
               "echo x > /data/gone"),
            0);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container, "mv /etc/secret /opt/away; mv /data/sub /opt/sub"), 0);
  EXPECT_EQ(AwaitIn(1, Change::kRenamed, "/etc/secret").header.outcome, Outcome::kViolated);
  AwaitIn(1, Change::kDirectoryMoved, "/data/sub");
  EXPECT_EQ(In(*container, "cat /opt/sub/file"), 1) << "protect";
  EXPECT_EQ(In(*container, "cat /opt/away"), 0) << "monitor";
  // Moved on and linked, it is still that file; what takes its name is another.
  EXPECT_EQ(In(*container,
               "mv /opt/sub/file /tmp/file; echo x > /opt/sub/file; "
               "cat /opt/sub/file"),
            0);
  EXPECT_EQ(In(*container, "cat /tmp/file"), 1);
  EXPECT_EQ(In(*container, "mv /tmp/file /data/file"), 0);
  EXPECT_EQ(In(*container, "cat /data/file"), 1) << "as before";
  EXPECT_EQ(In(*container, "mv /data/gone /opt/gone; rm /opt/gone"), 0);
  AwaitIn(1, Change::kDeleted, "/data/gone");
}

TEST_F(CoverageWorkloads, TellsAFileThatTookAnInodeNumberOver) {
  Apply(Groups({BlockRule("/etc/**", "monitor")}));
  const auto container = Container(1);
  SetWorkloads({Spec(*container, {"g1"})});
  // Without a birth time the two look the same where the number is used again.
  EXPECT_EQ(In(*container,
               "echo 1 > /etc/a; sleep 0.1; rm /etc/a; echo 2 > /etc/a; rm /etc/a; "
               "echo 3 > /etc/a; echo > /etc/last"),
            0);
  AwaitIn(1, Change::kClosedWrite, "/etc/last");
  EXPECT_EQ(CountOf(Change::kCreated, "/etc/a"), 3U) << Seen();
  EXPECT_EQ(CountOf(Change::kDeleted, "/etc/a"), 2U) << Seen();
}

}  // namespace
}  // namespace fileward
