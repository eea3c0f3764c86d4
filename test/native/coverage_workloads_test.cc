// Workloads that come, get other groups or rules, share volumes and go: on the real kernel.
#include "test/native/coverage_workloads.h"

namespace fileward {
namespace {

TEST_F(CoverageWorkloads, CoversAContainerThatComes) {
  Apply(Groups({BlockRule("/etc/**")}));
  const auto container = Container(1);
  EXPECT_EQ(In(*container, "cat /etc/secret"), 0);
  const CoverageReport report = SetWorkloads({Spec(*container, {"g1"})});
  const WorkloadReport& covered = Of(report, 1);
  EXPECT_EQ(covered.error, "");
  EXPECT_GT(covered.covered_ns, 0U);
  ASSERT_EQ(covered.rules.size(), 1U);
  EXPECT_EQ(covered.rules[0].rule_index, 1U);
  EXPECT_EQ(covered.rules[0].files, 2U);
  EXPECT_EQ(In(*container, "cat /etc/secret"), 1);
  EXPECT_EQ(In(*container, "echo more >> /etc/secret"), 1);
  EXPECT_EQ(In(*container, "cat /bin/busybox"), 0);
  EXPECT_EQ(Shell("cat /etc/passwd"), 0) << "the host's file of that name is none of its rules'";
}

TEST_F(CoverageWorkloads, TellsChangesByThePathsOfTheContainer) {
  Apply(Groups({BlockRule("/etc/**", "monitor")}));
  const auto container = Container(1);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container,
               "echo new > /etc/new; mv /etc/new /etc/newer; rm /etc/newer; "
               "mkdir /etc/conf.d; sleep 0.1; echo x > /etc/conf.d/a"),
            0);
  EXPECT_EQ(AwaitIn(1, Change::kCreated, "/etc/new").header.actor_workload, 1U);
  EXPECT_EQ(AwaitIn(1, Change::kRenamed, "/etc/new").new_path(), "/etc/newer");
  AwaitIn(1, Change::kDeleted, "/etc/newer");
  EXPECT_EQ(AwaitIn(1, Change::kClosedWrite, "/etc/conf.d/a").exe(), "/bin/busybox");
}

TEST_F(CoverageWorkloads, TellsWhatTheHostDoesInAContainer) {
  Apply(Groups({BlockRule("/etc/**", "monitor")}));
  const auto container = Container(1);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(Shell("echo x >> '" + container->Inside("/etc/secret") + "'"), 0);
  const SeenFact fact = AwaitIn(1, Change::kClosedWrite, "/etc/secret");
  EXPECT_EQ(fact.header.actor_workload, kHostWorkload);
  EXPECT_TRUE(fact.Has(EventFlag::kJudged)) << "the first write copies the file up";
}

TEST_F(CoverageWorkloads, ARecordOfAVolumeIsTheActors) {
  const std::string volume = root_ + "/volume";
  ::mkdir(volume.c_str(), 0755);
  Apply(Groups({BlockRule("/data/**", "monitor")}, {BlockRule("/opt/**", "monitor")}));
  const auto first = Container(1, {{volume, "/data"}});
  const auto second = Container(2, {{volume, "/opt"}});
  SetWorkloads({Spec(*first, {"g1"}), Spec(*second, {"g2"})});

  EXPECT_EQ(In(*first, "echo x > /data/of-first"), 0);
  EXPECT_EQ(In(*second, "echo x > /opt/of-second"), 0);
  AwaitIn(1, Change::kClosedWrite, "/data/of-first");
  AwaitIn(2, Change::kClosedWrite, "/opt/of-second");
  // The host's changes are everybody's: one record, of the earlier rule.
  EXPECT_EQ(Shell("echo x > '" + volume + "/of-host'"), 0);
  AwaitIn(1, Change::kClosedWrite, "/data/of-host");
  EXPECT_EQ(Shell("echo x > '" + volume + "/last'"), 0);
  AwaitIn(1, Change::kClosedWrite, "/data/last");
  EXPECT_EQ(CountOf(Change::kCreated, "/opt/of-first"), 0U) << Seen();
  EXPECT_EQ(CountOf(Change::kCreated, "/data/of-second"), 0U) << Seen();
  EXPECT_EQ(CountOf(Change::kCreated, "/opt/of-host"), 0U) << Seen();
  EXPECT_EQ(CountOf(Change::kCreated, "/data/of-host"), 1U) << Seen();
}

TEST_F(CoverageWorkloads, OneWhoLeavesAVolumeLeavesTheOthersMarks) {
  const std::string volume = root_ + "/volume";
  ::mkdir(volume.c_str(), 0755);
  Write(volume + "/file");
  Apply(Groups({BlockRule("/data/**")}));
  const auto first = Container(1, {{volume, "/data"}});
  const auto second = Container(2, {{volume, "/data"}});
  const size_t marks_before = KernelMarks();
  const WorkloadSpec of_first = Spec(*first, {"g1"});
  const WorkloadSpec of_second = Spec(*second, {"g1"});
  SetWorkloads({of_first, of_second});
  EXPECT_EQ(In(*second, "cat /data/file"), 1);
  SetWorkloads({of_second});
  EXPECT_EQ(In(*second, "cat /data/file"), 1);
  EXPECT_EQ(In(*first, "cat /data/file"), 0);
  const CoverageReport report = SetWorkloads({});
  EXPECT_EQ(In(*second, "cat /data/file"), 0);
  EXPECT_EQ(KernelMarks(), marks_before);
  EXPECT_EQ(report.permission_marks + report.notification_marks, KernelMarks());
}

TEST_F(CoverageWorkloads, NothingStaysOfAContainerThatEnds) {
  const std::string volume = root_ + "/volume";
  ::mkdir(volume.c_str(), 0755);
  Write(volume + "/file");
  Apply(Groups({BlockRule("/data/**"), BlockRule("/etc/**")}));
  SetWorkloads({});
  const size_t marks_before = KernelMarks();
  const size_t fds_before = OpenFds();
  auto container = Container(1, {{volume, "/data"}});
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_GT(KernelMarks(), marks_before);
  container->Stop();
  AwaitReport([](const CoverageReport& report) {
    return report.workloads.size() == 1 && report.workloads[0].error == "gone";
  });
  // Marks and mounts go while it is still told as a workload, and while its overlay is mounted.
  EXPECT_TRUE(Eventually([&] { return KernelMarks() == marks_before; })) << KernelMarks();
  EXPECT_TRUE(Eventually([&] { return OpenFds() == fds_before; })) << OpenFds();
  EXPECT_EQ(::umount2(container->Root().c_str(), 0), 0) << std::strerror(errno);
  EXPECT_EQ(Shell("cat '" + volume + "/file'"), 0);
  EXPECT_TRUE(SetWorkloads({}).workloads.empty());
}

TEST_F(CoverageWorkloads, TellsTheLastChangesOfAContainerThatEnds) {
  Apply(Groups({BlockRule("/etc/**", "monitor")}));
  const auto container = Container(1);
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container, "echo x > /etc/last"), 0);
  container->Stop();
  SetWorkloads({});
  AwaitIn(1, Change::kCreated, "/etc/last");
}

TEST_F(CoverageWorkloads, OtherGroupsComeWithoutAGap) {
  Apply(Groups({BlockRule("/etc/**")}, {BlockRule("/opt/**")}));
  const auto container = Container(1);
  SetWorkloads({Spec(*container, {"g1"})});
  const pid_t reader = ::fork();
  if (reader == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    container->Enter();
    ::dup2(::open("/dev/null", O_WRONLY), 2);
    ::execl("/bin/busybox", "sh", "-c", "while ! read x < /etc/secret; do :; done; exit 7",
            nullptr);
    ::_exit(127);
  }
  for (int round = 0; round < 20; ++round) {
    SetWorkloads({Spec(*container, {"g2", "g1"})});
    SetWorkloads({Spec(*container, {"g1"})});
    Apply(Groups({BlockRule("/etc/**")}, {BlockRule("/opt/**")}));
    SetWorkloads({Spec(*container, {"g1"})});
  }
  EXPECT_EQ(::waitpid(reader, nullptr, WNOHANG), 0) << "a read came through";
  ::kill(reader, SIGKILL);
  ::waitpid(reader, nullptr, 0);
  EXPECT_EQ(In(*container, "echo x > /opt/file; cat /opt/file"), 0);
  SetWorkloads({Spec(*container, {"g2"})});
  EXPECT_EQ(In(*container, "cat /opt/file"), 1);
  EXPECT_EQ(In(*container, "cat /etc/secret"), 0);
}

TEST_F(CoverageWorkloads, OtherGroupsLeaveNoMarkOfTheOld) {
  const std::string volume = root_ + "/volume";
  ::mkdir(volume.c_str(), 0755);
  Write(volume + "/file");
  Apply(Groups({BlockRule("/data/**")}, {BlockRule("/opt/**")}));
  const auto container = Container(1, {{volume, "/data"}});
  const CoverageReport before = SetWorkloads({Spec(*container, {"g2"})});
  const size_t marks_before = KernelMarks();
  SetWorkloads({Spec(*container, {"g1"})});
  EXPECT_EQ(In(*container, "cat /data/file"), 1);
  const CoverageReport after = SetWorkloads({Spec(*container, {"g2"})});
  EXPECT_EQ(KernelMarks(), marks_before);
  EXPECT_EQ(after.permission_marks, before.permission_marks);
  EXPECT_EQ(after.notification_marks, before.notification_marks);
}

TEST_F(CoverageWorkloads, AnotherProcessOfThatPidIsNotTheContainer) {
  Apply(Groups({BlockRule("/etc/**")}));
  const auto container = Container(1);
  WorkloadSpec spec = Spec(*container, {"g1"});
  ++spec.start_ticks;
  EXPECT_EQ(Of(SetWorkloads({spec}), 1).error, "gone");
  EXPECT_EQ(In(*container, "cat /etc/secret"), 0);
  --spec.start_ticks;
  EXPECT_EQ(Of(SetWorkloads({spec}), 1).error, "");
}

TEST_F(CoverageWorkloads, ANewRulesetIsInForceEverywhereAtOnce) {
  Apply(Groups({BlockRule("/etc/**", "monitor")}));
  const auto first = Container(1);
  const auto second = Container(2);
  SetWorkloads({Spec(*first, {"g1"}), Spec(*second, {"g1"})});
  EXPECT_EQ(In(*first, "cat /etc/secret"), 0);
  coverage_->Apply(Groups({BlockRule("/etc/**")}).Json(), ++version_,
                   {Spec(*first, {"g1"}), Spec(*second, {"g1"})}, ++serial_);
  AwaitReport([&](const CoverageReport& report) { return report.ruleset_version == version_; });
  EXPECT_EQ(In(*first, "cat /etc/secret"), 1);
  EXPECT_EQ(In(*second, "cat /etc/secret"), 1);
}

}  // namespace
}  // namespace fileward
