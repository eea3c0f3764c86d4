// What is covered, while trees, links and whole directories change: seen by who
// may open what.
#include <atomic>

#include "test/native/coverage_fixture.h"

namespace fileward {
namespace {

const std::vector<std::string> kWrite = {"write"};
const std::vector<std::string> kAll = {"read", "write", "exec"};

class CoverageTrees : public CoverageFixture {
 protected:
  // What cat says of it: 0 read, 1 denied or absent.
  static bool MayRead(const std::string &path) { return Run({"/bin/cat", path}) == 0; }
  bool BecomesDenied(const std::string &path) {
    for (int i = 0; i < 2000; ++i) {
      if (!MayRead(path)) return std::filesystem::exists(path);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
};

TEST_F(CoverageTrees, CoversWhatIsThere) {
  ASSERT_EQ(Shell("mkdir -p " + dir_ + "/a/b/c; echo x > " + dir_ + "/a/b/c/deep; echo x > " +
                  dir_ + "/top"),
            0);
  Write(root_ + "/out/free");
  const CoverageReport report = Apply(Rules({Rule("block", "protect", kAll)}));
  EXPECT_FALSE(MayRead(dir_ + "/a/b/c/deep"));
  EXPECT_FALSE(MayRead(dir_ + "/top"));
  EXPECT_TRUE(MayRead(root_ + "/out/free"));
  ASSERT_EQ(report.rules.size(), 1U);
  EXPECT_EQ(report.rules[0].files, 2U);
  EXPECT_EQ(report.rules[0].directories, 4U);
  EXPECT_GT(report.permission_marks, 0U);
}

TEST_F(CoverageTrees, ExceptKeepsOut) {
  TestRule rule = Rule("block", "protect", kAll);
  rule.except = {dir_ + "/free/**"};
  ::mkdir((dir_ + "/free").c_str(), 0755);
  Write(dir_ + "/free/file");
  Write(dir_ + "/file");
  Apply(Rules({rule}));
  EXPECT_TRUE(MayRead(dir_ + "/free/file"));
  EXPECT_FALSE(MayRead(dir_ + "/file"));
}

TEST_F(CoverageTrees, NewDirectoriesAreCoveredAndWhatIsInThemTold) {
  Apply(Rules({Rule("block", "protect", kAll)}));
  // Made before anybody could mark them.
  ASSERT_EQ(Shell("mkdir -p " + root_ + "/out/new/sub; echo x > " + root_ +
                  "/out/new/sub/file; mv " + root_ + "/out/new " + dir_ + "/new"),
            0);
  Await(Change::kDirectoryMoved, dir_ + "/new");
  EXPECT_FALSE(MayRead(dir_ + "/new/sub/file"));
  Perl("for $i (1..50) { mkdir '" + dir_ + "/d'.$i; symlink 'x', '" + dir_ + "/d'.$i.'/link'; }");
  for (int i = 1; i <= 50; ++i) Await(Change::kMade, dir_ + "/d" + std::to_string(i) + "/link");
  Settle();
  for (int i = 1; i <= 50; ++i)
    EXPECT_EQ(CountOf(Change::kMade, dir_ + "/d" + std::to_string(i) + "/link"), 1U);
}

TEST_F(CoverageTrees, AbsentPathsAreWatchedFor) {
  TestRule rule = Rule("block", "protect", kAll);
  rule.path = {dir_ + "/later/deep/secret"};
  const CoverageReport report = Apply(Rules({rule}));
  ASSERT_EQ(report.rules[0].absent.size(), 1U);
  ASSERT_EQ(Shell("mkdir -p " + dir_ + "/later/deep"), 0);
  AwaitReport([](const CoverageReport &now) { return now.rules[0].directories == 1; });
  Write(dir_ + "/later/deep/secret");
  Write(dir_ + "/later/deep/other");
  EXPECT_FALSE(MayRead(dir_ + "/later/deep/secret"));
  EXPECT_TRUE(MayRead(dir_ + "/later/deep/other"));
}

TEST_F(CoverageTrees, LiteralFileStaysCoveredWhenReplaced) {
  TestRule rule = Rule("block", "protect", kAll);
  rule.path = {dir_ + "/secret"};
  Write(dir_ + "/secret");
  Apply(Rules({rule}));
  EXPECT_FALSE(MayRead(dir_ + "/secret"));
  Write(root_ + "/out/next");
  EXPECT_TRUE(MayRead(root_ + "/out/next"));
  ASSERT_EQ(Run({"/bin/mv", root_ + "/out/next", dir_ + "/secret"}), 0);
  EXPECT_FALSE(MayRead(dir_ + "/secret"));
}

TEST_F(CoverageTrees, MutedNeighbourRenamedOntoTheNameIsCovered) {
  TestRule rule = Rule("block", "protect", kAll);
  rule.path = {dir_ + "/secret"};
  Write(dir_ + "/secret");
  Write(dir_ + "/neighbour");
  Apply(Rules({rule}));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(MayRead(dir_ + "/neighbour"));
  ASSERT_EQ(Run({"/bin/mv", dir_ + "/neighbour", dir_ + "/secret"}), 0);
  Await(Change::kRenamed, dir_ + "/secret");
  EXPECT_TRUE(BecomesDenied(dir_ + "/secret"));
}

TEST_F(CoverageTrees, HardLinkElsewhereDoesNotHelp) {
  Write(dir_ + "/secret");
  Apply(Rules({Rule("block", "protect", kAll)}));
  ASSERT_EQ(Run({"/bin/ln", dir_ + "/secret", root_ + "/out/link"}), 0);
  EXPECT_FALSE(MayRead(root_ + "/out/link"));
}

TEST_F(CoverageTrees, MovedFileStaysProtectedUntilReleased) {
  const std::string path = Write(dir_ + "/secret");
  const std::string elsewhere = root_ + "/out/elsewhere";
  Apply(Rules({Rule("block", "protect", kAll)}));
  ASSERT_EQ(Run({"/bin/mv", path, elsewhere}), 0);
  const SeenFact moved = Await(Change::kRenamed, path);
  EXPECT_EQ(moved.header.outcome, Outcome::kViolated);
  EXPECT_EQ(moved.new_path(), elsewhere);
  EXPECT_FALSE(MayRead(elsewhere));
  const CoverageReport report =
      AwaitReport([](const CoverageReport &now) { return now.moved.size() == 1; });
  EXPECT_EQ(report.moved[0].path, elsewhere);
  EXPECT_EQ(report.moved[0].protected_path, path);
  // Moved on, it is still the same file.
  ASSERT_EQ(Run({"/bin/mv", elsewhere, elsewhere + "2"}), 0);
  Await(Change::kRenamed, elsewhere);
  EXPECT_FALSE(MayRead(elsewhere + "2"));
  // It is known to the next run of the agent.
  StopAll();
  EXPECT_TRUE(MayRead(elsewhere + "2"));
  facts_.clear();
  CoverageOptions options;
  options.moved = {{report.moved[0].identity, report.moved[0].birth_ns, elsewhere + "2", path}};
  Start(std::move(options));
  Apply(Rules({Rule("block", "protect", kAll)}));
  EXPECT_FALSE(MayRead(elsewhere + "2"));
  EXPECT_FALSE(coverage_->Release(root_ + "/out/unknown"));
  EXPECT_TRUE(coverage_->Release(path));
  AwaitReport([](const CoverageReport &now) { return now.moved.empty(); });
  EXPECT_TRUE(MayRead(elsewhere + "2"));
}

TEST_F(CoverageTrees, FileMovedByAListedAppIsReleased) {
  std::filesystem::copy("/bin/mv", root_ + "/bin/listed");
  const std::string path = Write(dir_ + "/log");
  Apply(Rules({Rule("block", "protect", kAll)}));
  ASSERT_EQ(Run({root_ + "/bin/listed", path, root_ + "/out/log"}), 0);
  Await(Change::kRenamed, path);
  Settle();
  EXPECT_TRUE(MayRead(root_ + "/out/log"));
}

TEST_F(CoverageTrees, MovedBackIsCoveredAsBefore) {
  const std::string path = Write(dir_ + "/secret");
  Apply(Rules({Rule("block", "protect", kAll)}));
  ASSERT_EQ(Shell("mv " + path + " " + root_ + "/out/x; mv " + root_ + "/out/x " + path), 0);
  AwaitReport(
      [](const CoverageReport &now) { return now.moved.empty() && now.rules[0].files == 1; });
  EXPECT_FALSE(MayRead(path));
}

TEST_F(CoverageTrees, SwappedLinkOnTheWayIsFollowed) {
  ASSERT_EQ(Shell("mkdir " + dir_ + "/v1 " + dir_ + "/v2; echo 1 > " + dir_ + "/v1/f; echo 2 > " +
                  dir_ + "/v2/f; ln -s v1 " + dir_ + "/current"),
            0);
  TestRule rule = Rule("block", "protect", kAll);
  rule.path = {dir_ + "/current/**"};
  const CoverageReport report = Apply(Rules({rule}));
  ASSERT_EQ(report.rules[0].resolved.size(), 1U);
  EXPECT_EQ(report.rules[0].resolved[0].real, dir_ + "/v1");
  EXPECT_FALSE(MayRead(dir_ + "/current/f"));
  EXPECT_TRUE(MayRead(dir_ + "/v2/f"));
  ASSERT_EQ(Shell("ln -s v2 " + dir_ + "/tmp; mv -T " + dir_ + "/tmp " + dir_ + "/current"), 0);
  AwaitReport(
      [&](const CoverageReport &now) { return now.rules[0].resolved[0].real == dir_ + "/v2"; });
  EXPECT_FALSE(MayRead(dir_ + "/v2/f"));
  EXPECT_TRUE(MayRead(dir_ + "/v1/f"));
  const SeenFact swapped = Await(Change::kDirectoryMoved, dir_ + "/current");
  EXPECT_TRUE(swapped.Has(EventFlag::kReplaced));
  EXPECT_EQ(swapped.header.count, 1U);
}

TEST_F(CoverageTrees, VolumeWrittenAtomicallyIsKnownByItsStableNames) {
  const std::string update = "cd " + dir_ +
                             "; mkdir ..$1; echo $1 > ..$1/conf; ln -s ..$1 "
                             "..data_tmp; mv -T ..data_tmp ..data; ";
  ASSERT_EQ(Shell("set -- one; " + update + "ln -s ..data/conf conf"), 0);
  Apply(Rules({Rule("block", "protect", kAll)}));
  EXPECT_FALSE(MayRead(dir_ + "/conf"));
  ASSERT_EQ(Shell("set -- two; " + update + "rm -r ..one"), 0);
  const SeenFact swapped = Await(Change::kRenamed, dir_ + "/conf");
  EXPECT_TRUE(swapped.Has(EventFlag::kReplaced));
  Settle();
  EXPECT_EQ(CountOf(Change::kRenamed, dir_ + "/conf"), 1U) << Seen();
  EXPECT_FALSE(MayRead(dir_ + "/conf"));
  for (const SeenFact &fact : facts_)
    EXPECT_EQ(fact.path().find("/.."), std::string::npos) << fact.path();
}

TEST_F(CoverageTrees, VolumeUnderAGlobForItsOwnNamesAlone) {
  const std::string update = "cd " + dir_ +
                             "; mkdir ..$1; echo $1 > ..$1/conf; ln -s ..$1 "
                             "..data_tmp; mv -T ..data_tmp ..data; ";
  ASSERT_EQ(Shell("set -- one; " + update + "ln -s ..data/conf conf"), 0);
  TestRule rule = Rule("watch", "monitor", {"write"});
  rule.path = {dir_ + "/*"};
  Apply(Rules({rule}));
  ASSERT_EQ(Shell("set -- two; " + update), 0);
  EXPECT_TRUE(Await(Change::kRenamed, dir_ + "/conf").Has(EventFlag::kReplaced));
}

TEST_F(CoverageTrees, ReplacedParentDirectoryIsCovered) {
  ASSERT_EQ(Shell("mkdir -p " + dir_ + "/a/b " + root_ + "/out/a/b; echo 1 > " + dir_ +
                  "/a/b/secret; echo 2 > " + root_ + "/out/a/b/secret"),
            0);
  TestRule rule = Rule("block", "protect", kAll);
  rule.path = {dir_ + "/a/b/secret"};
  Apply(Rules({rule}));
  ASSERT_EQ(Shell("mv " + dir_ + "/a " + root_ + "/out/old; mv " + root_ + "/out/a " + dir_ + "/a"),
            0);
  EXPECT_TRUE(BecomesDenied(dir_ + "/a/b/secret"));
  EXPECT_TRUE(BecomesDenied(root_ + "/out/old/b/secret"))
      << "it was moved out by an app that isn't listed";
  // Deleted and made again.
  ASSERT_EQ(Shell("rm -r " + dir_ + "/a; mkdir -p " + dir_ + "/a/b"), 0);
  AwaitReport([](const CoverageReport &now) {
    return now.rules[0].directories == 1 && now.rules[0].files == 0;
  });
  Write(dir_ + "/a/b/secret");
  EXPECT_TRUE(BecomesDenied(dir_ + "/a/b/secret"));
}

TEST_F(CoverageTrees, DirectoryMovedWithinKeepsItsFilesCovered) {
  ASSERT_EQ(Shell("mkdir -p " + dir_ + "/a/sub; echo 1 > " + dir_ + "/a/sub/secret"), 0);
  Apply(Rules({Rule("block", "protect", kAll)}));
  ASSERT_EQ(Run({"/bin/mv", dir_ + "/a", dir_ + "/b"}), 0);
  const SeenFact moved = Await(Change::kDirectoryMoved, dir_ + "/a");
  EXPECT_EQ(moved.new_path(), dir_ + "/b");
  EXPECT_FALSE(MayRead(dir_ + "/b/sub/secret"));
  const CoverageReport report =
      AwaitReport([](const CoverageReport &now) { return now.rules[0].files == 1; });
  EXPECT_TRUE(report.moved.empty());
}

TEST_F(CoverageTrees, RulesetsChangeWithoutAnUnprotectedMoment) {
  const std::string path = Write(dir_ + "/secret");
  TestRule first = Rule("block", "protect", kAll);
  TestRule other = Rule("block", "protect", kAll);
  other.path = {root_ + "/out/**", dir_ + "/s*"};
  TestRule third = first;
  third.mode = "monitor";
  third.path = {root_ + "/out/**"};
  Apply(Rules({first}));
  std::atomic<bool> stop{false};
  std::atomic<int> looks{0};
  std::atomic<int> allowed{0};
  std::thread reader([&] {
    while (!stop) {
      allowed += MayRead(path) ? 1 : 0;
      ++looks;
    }
  });
  for (int i = 0; i < 20; ++i) {
    Apply(Rules({other}));
    Apply(Rules({first, third}));
  }
  while (looks < 100) std::this_thread::yield();
  stop = true;
  reader.join();
  EXPECT_EQ(allowed, 0);
  Apply(Rules({third}));
  EXPECT_TRUE(MayRead(path));
  Apply(Rules({first}));
  EXPECT_FALSE(MayRead(path)) << "it was muted while no rule covered it";
}

TEST_F(CoverageTrees, NothingIsMissedInAFlood) {
  ASSERT_EQ(Shell("mkdir -p " + dir_ + "/many"), 0);
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  constexpr int kFiles = 60'000;
  ASSERT_EQ(
      Perl("for $i (1.." + std::to_string(kFiles) + ") { symlink 'x', '" + dir_ + "/many/'.$i; }"),
      0);
  std::vector<char> seen(kFiles + 1, 0);
  int missing = kFiles;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (missing > 0 && std::chrono::steady_clock::now() < deadline) {
    Drain();
    for (const SeenFact &fact : facts_) {
      if (fact.header.kind != EventKind::kChange || fact.header.change != Change::kMade) continue;
      char &there =
          seen[static_cast<size_t>(std::stoi(fact.path().substr(fact.path().rfind('/') + 1)))];
      missing -= there == 0 ? 1 : 0;
      there = 1;
    }
    facts_.clear();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(missing, 0);
}

TEST_F(CoverageTrees, ManyDirectoriesAndLongPaths) {
  ASSERT_EQ(Perl("chdir '" + dir_ +
                 "'; for $i (1..10000) { mkdir \"d$i\"; } for $i (1..14) { $n "
                 "= 'n' x 250; mkdir "
                 "$n; chdir $n; } open(F, '>', 'deep'); close(F);"),
            0);
  const CoverageReport report = Apply(Rules({Rule("block", "protect", kAll)}));
  EXPECT_EQ(report.rules[0].directories, 10'015U);
  EXPECT_EQ(report.rules[0].files, 1U);
  EXPECT_TRUE(report.rules[0].degraded.empty());
  EXPECT_EQ(Perl("chdir '" + dir_ +
                 "'; for $i (1..14) { chdir('n' x 250); } exit(open(F, '<', "
                 "'deep') ? 0 : 1);"),
            1);
}

TEST_F(CoverageTrees, LimitsAreReported) {
  ASSERT_EQ(Perl("chdir '" + dir_ + "'; for $i (1..40) { mkdir 'd'; chdir 'd'; }"), 0);
  const CoverageReport report = Apply(Rules({Rule("block", "protect", kAll)}));
  ASSERT_EQ(report.rules[0].degraded.size(), 1U);
  EXPECT_EQ(report.rules[0].degraded[0].error_type, "depth_limit");
}

TEST_F(CoverageTrees, MountBelowIsCovered) {
  ::mkdir((dir_ + "/mnt").c_str(), 0755);
  Apply(Rules({Rule("block", "protect", kAll)}));
  ASSERT_EQ(::mount("tmpfs", (dir_ + "/mnt").c_str(), "tmpfs", 0, "mode=0755"), 0);
  Write(dir_ + "/mnt/secret");
  EXPECT_TRUE(BecomesDenied(dir_ + "/mnt/secret"));
  ::umount2((dir_ + "/mnt").c_str(), MNT_DETACH);
}

TEST_F(CoverageTrees, InspectPlacesNoMark) {
  Write(dir_ + "/file");
  const CoverageReport report = InspectCoverage(Rules({Rule("block", "protect", kAll)}).Json());
  EXPECT_EQ(report.rules[0].files, 1U);
  EXPECT_EQ(report.rules[0].absent_apps, std::vector<std::string>{root_ + "/bin/listed"});
  EXPECT_TRUE(MayRead(dir_ + "/file"));
}

}  // namespace
}  // namespace fileward
