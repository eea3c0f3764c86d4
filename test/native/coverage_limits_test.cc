// What one container may cost: files known of it, records of one change told by several.
#include "native/coverage/fact_sink.h"
#include "test/native/coverage_workloads.h"

namespace fileward {
namespace {

TEST_F(CoverageWorkloads, KnowsNoMoreFilesOfAContainerThanItsShare) {
  constexpr int kMade = 300;
  TestRule rule = BlockRule("/opt/**");
  std::string json = Groups({rule}).Json();
  const std::string marks = "\"marks\":200000";
  ASSERT_NE(json.find(marks), std::string::npos);
  json.replace(json.find(marks), marks.size(), "\"marks\":400");
  Apply(json);
  const auto container = Container(1);
  ASSERT_EQ(In(*container, "i=0; while [ $i -lt " + std::to_string(kMade) +
                               " ]; do echo x > /opt/$i; i=$((i + 1)); done"),
            0);
  const CoverageReport report = SetWorkloads({Spec(*container, {"g1"})});
  const WorkloadReport& covered = Of(report, 1);
  EXPECT_EQ(covered.error, "");
  ASSERT_EQ(covered.rules.size(), 1U);
  EXPECT_EQ(covered.rules[0].files, 100U);
  EXPECT_TRUE(std::any_of(covered.rules[0].degraded.begin(), covered.rules[0].degraded.end(),
                          [](const auto& gap) { return gap.error_type == "mark_limit"; }));
  // Those that aren't known are guarded by their paths all the same.
  for (const int file : {0, kMade / 2, kMade - 1})
    EXPECT_EQ(In(*container, "cat /opt/" + std::to_string(file)), 1) << file;
}

TEST_F(CoverageWorkloads, ARulesetThatAContainerCantTakeLeavesTheOneBefore) {
  Apply(Groups({BlockRule("/etc/**")}));
  const auto container = Container(1);
  const WorkloadSpec spec = Spec(*container, {"g1"});
  SetWorkloads({spec});
  EXPECT_EQ(In(*container, "cat /etc/secret"), 1);
  const uint64_t serial = ++serial_;
  // TypeScript has it checked before; to the host's own rules it doesn't matter.
  coverage_->Apply(Groups({BlockRule("no path")}).Json(), ++version_, {spec}, serial);
  const CoverageReport report =
      AwaitReport([](const CoverageReport& told) { return !told.error.empty(); });
  EXPECT_EQ(report.ruleset_version, version_) << "of the one that was refused";
  EXPECT_EQ(In(*container, "cat /etc/secret"), 1);
}

std::vector<std::byte> Record(WorkloadId workload, uint64_t ino, Outcome outcome) {
  EventHeader header{};
  header.kind = EventKind::kChange;
  header.change = Change::kCreated;
  header.workload = workload;
  header.dev = 1;
  header.ino = ino;
  header.outcome = outcome;
  header.size_bytes = kEventHeaderBytes;
  std::vector<std::byte> record(kEventHeaderBytes);
  std::memcpy(record.data(), &header, sizeof(header));
  return record;
}

TEST(FactSink, MergesWhatSeveralTellOfOneChange) {
  constexpr uint64_t kFiles = 20'000;
  constexpr uint64_t kNames = 20'000;  // of one more file
  EventRing ring(size_t{64} << 20, [] {});
  FactSink sink(ring);
  sink.Gather();
  for (const WorkloadId workload : {1U, 2U}) {
    const Outcome outcome = workload == 1 ? Outcome::kModified : Outcome::kViolated;
    for (uint64_t ino = 1; ino <= kFiles; ++ino) sink.Put(Record(workload, ino, outcome));
    for (uint64_t name = 0; name < kNames; ++name) sink.Put(Record(workload, 0, outcome));
  }
  sink.Tell();
  std::vector<std::byte> told(size_t{64} << 20);
  const size_t bytes = ring.Drain(told);
  ASSERT_EQ(bytes, (kFiles + kNames) * kEventHeaderBytes);
  for (size_t at = 0; at < bytes; at += kEventHeaderBytes) {
    EventHeader header;
    std::memcpy(&header, &told[at], sizeof(header));
    ASSERT_EQ(header.workload, 2U) << "the stricter one";
    ASSERT_EQ(header.ino, at / kEventHeaderBytes < kFiles ? at / kEventHeaderBytes + 1 : 0U);
  }
}

}  // namespace
}  // namespace fileward
