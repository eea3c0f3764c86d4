// What is told of changes in a covered tree: one fact each, with who did it and
// what was before.
#include "test/native/coverage_fixture.h"

namespace fileward {
namespace {

const std::string kPerl = std::filesystem::canonical("/usr/bin/perl");
// Who is gone at once may go unrecognised; these tests are about those who aren't.
const std::string kStay = " select(undef, undef, undef, 0.2);";
const std::vector<std::string> kWrite = {"write"};
const std::vector<std::string> kAll = {"read", "write", "exec"};

class CoverageChanges : public CoverageFixture {};

TEST_F(CoverageChanges, CreateWriteCloseAreToldWithTheProgram) {
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  const std::string path = dir_ + "/new file";
  ASSERT_EQ(Perl("open(F, '>', '" + path + "'); print F 'hello'; close(F);" + kStay), 0);
  const SeenFact created = Await(Change::kCreated, path);
  EXPECT_EQ(created.header.outcome, Outcome::kModified);
  EXPECT_EQ(created.exe(), kPerl);
  EXPECT_EQ(created.header.actor_state, EventActorState::kKnown);
  const SeenFact closed = Await(Change::kClosedWrite, path);
  EXPECT_EQ(closed.header.size, 5U);
  EXPECT_NE(closed.header.ino, 0U);
}

TEST_F(CoverageChanges, OverwriteSaysWhatWasBefore) {
  const std::string path = Write(dir_ + "/file", "old content");
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Shell("echo -n new > " + path), 0);
  const SeenFact closed = Await(Change::kClosedWrite, path);
  EXPECT_EQ(closed.header.before_known, 1U);
  EXPECT_EQ(closed.header.before_size, 11U);
  EXPECT_EQ(closed.header.size, 3U);
}

TEST_F(CoverageChanges, TruncateCallNeedsNoClose) {
  const std::string path = Write(dir_ + "/file", "old content");
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Perl("truncate('" + path + "', 0); sleep 1;"), 0);
  const SeenFact written = Await(Change::kWritten, path);
  EXPECT_EQ(written.header.size, 0U);
  EXPECT_EQ(written.header.before_size, 11U);
}

TEST_F(CoverageChanges, ChmodIsToldOnlyWhereItChangedSomething) {
  const std::string path = Write(dir_ + "/file");
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Shell("chmod 0644 " + path + "; chmod 0600 " + path + "; chmod 0600 " + path), 0);
  const SeenFact changed = Await(Change::kAttributes, path);
  EXPECT_EQ(changed.header.before_mode & 07777, 0644U);
  EXPECT_EQ(changed.header.file_mode & 07777, 0600U);
  Settle();
  EXPECT_EQ(CountOf(Change::kAttributes, path), 1U) << Seen();
}

TEST_F(CoverageChanges, RenameWithinIsOneFactWithBothNames) {
  const std::string path = Write(dir_ + "/old");
  ::mkdir((dir_ + "/sub").c_str(), 0755);
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Run({"/bin/mv", path, dir_ + "/sub/new"}), 0);
  const SeenFact renamed = Await(Change::kRenamed, path);
  EXPECT_EQ(renamed.new_path(), dir_ + "/sub/new");
  EXPECT_TRUE(renamed.Has(EventFlag::kRenameTargetCovered));
  EXPECT_FALSE(renamed.Has(EventFlag::kReplaced));
  ASSERT_EQ(Shell("echo more >> " + dir_ + "/sub/new"), 0);
  Await(Change::kClosedWrite, dir_ + "/sub/new");
  Settle();
  EXPECT_EQ(CountOf(Change::kCreated, dir_ + "/sub/new") + CountOf(Change::kDeleted, path), 0U)
      << Seen();
}

TEST_F(CoverageChanges, AtomicSaveIsToldOfTheCoveredName) {
  TestRule rule = Rule("watch", "monitor", kWrite);
  rule.path = {dir_ + "/conf"};
  Write(dir_ + "/conf", "before");
  Apply(Rules({rule}));
  ASSERT_EQ(Shell("echo after > " + dir_ + "/tmp; mv " + dir_ + "/tmp " + dir_ + "/conf"), 0);
  const SeenFact renamed = Await(Change::kRenamed, dir_ + "/conf");
  EXPECT_EQ(renamed.new_path(), dir_ + "/tmp");
  EXPECT_TRUE(renamed.Has(EventFlag::kReplaced));
  EXPECT_EQ(renamed.header.before_size, 6U);
  // The file that stands there now is covered as the one before was.
  ASSERT_EQ(Shell("echo more >> " + dir_ + "/conf"), 0);
  Await(Change::kClosedWrite, dir_ + "/conf");
}

TEST_F(CoverageChanges, DeleteAndRecreateAreTwo) {
  const std::string path = Write(dir_ + "/file");
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Perl("unlink('" + path + "'); open(F, '>', '" + path + "');" + kStay), 0);
  const SeenFact deleted = Await(Change::kDeleted, path);
  EXPECT_TRUE(deleted.Has(EventFlag::kUnlinked));
  EXPECT_EQ(deleted.header.before_size, 7U);
  EXPECT_EQ(deleted.exe(), kPerl);
  Await(Change::kCreated, path);
}

TEST_F(CoverageChanges, SymlinksAndFifosAreMade) {
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Shell("ln -s /etc/passwd " + dir_ + "/link; mkfifo " + dir_ + "/fifo"), 0);
  Await(Change::kMade, dir_ + "/link");
  Await(Change::kMade, dir_ + "/fifo");
}

TEST_F(CoverageChanges, DirectoryMovedOutIsOneFactWithTheNumberOfFiles) {
  ASSERT_EQ(Shell("mkdir -p " + dir_ + "/tree/sub; cd " + dir_ + "/tree; touch a b sub/c"), 0);
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Run({"/bin/mv", dir_ + "/tree", root_ + "/out/tree"}), 0);
  const SeenFact moved = Await(Change::kDirectoryMoved, dir_ + "/tree");
  EXPECT_EQ(moved.header.count, 3U);
  EXPECT_TRUE(moved.Has(EventFlag::kDirectory));
  ASSERT_EQ(Run({"/bin/mv", root_ + "/out/tree", dir_ + "/back"}), 0);
  const SeenFact back = Await(Change::kDirectoryMoved, dir_ + "/back");
  EXPECT_EQ(back.header.count, 3U);
  ASSERT_EQ(Shell("echo x > " + dir_ + "/back/sub/c"), 0);
  Await(Change::kClosedWrite, dir_ + "/back/sub/c");
}

TEST_F(CoverageChanges, HardLinkElsewhereIsToldAndChangesThroughItToo) {
  const std::string path = Write(dir_ + "/file");
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  const std::string link = root_ + "/out/link";
  ASSERT_EQ(Run({"/bin/ln", path, link}), 0);
  Await(Change::kLinked, path);
  ASSERT_EQ(Shell("echo more >> " + link), 0);
  const SeenFact closed = Await(Change::kClosedWrite, link);
  EXPECT_EQ(closed.protected_path(), path);
}

TEST_F(CoverageChanges, LinkWithinNamesBoth) {
  const std::string path = Write(dir_ + "/file");
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  ASSERT_EQ(Run({"/bin/ln", path, dir_ + "/second"}), 0);
  const SeenFact linked = Await(Change::kLinked, path);
  EXPECT_EQ(linked.new_path(), dir_ + "/second");
  Settle();
  EXPECT_EQ(CountOf(Change::kLinked, path), 1U) << Seen();
}

TEST_F(CoverageChanges, ListedAppIsMarkedListed) {
  std::filesystem::copy("/bin/mv", root_ + "/bin/listed");
  const std::string path = Write(dir_ + "/file");
  Apply(Rules({Rule("block", "protect", kWrite)}));
  ASSERT_EQ(Run({root_ + "/bin/listed", path, dir_ + "/moved"}), 0);
  const SeenFact listed = Await(Change::kRenamed, path);
  EXPECT_TRUE(listed.Has(EventFlag::kListed));
  EXPECT_EQ(listed.header.outcome, Outcome::kModified);
  ASSERT_EQ(Run({"/bin/mv", dir_ + "/moved", dir_ + "/again"}), 0);
  const SeenFact unlisted = Await(Change::kRenamed, dir_ + "/moved");
  EXPECT_FALSE(unlisted.Has(EventFlag::kListed));
  EXPECT_EQ(unlisted.header.outcome, Outcome::kViolated);
  EXPECT_EQ(unlisted.header.reason, Reason::kNotEnforceable);
}

TEST_F(CoverageChanges, JudgedWritesSaySo) {
  const std::string path = Write(dir_ + "/file");
  Apply(Rules({Rule("block", "monitor", kWrite)}));
  ASSERT_EQ(Shell("echo more >> " + path), 0);
  const SeenFact closed = Await(Change::kClosedWrite, path);
  EXPECT_TRUE(closed.Has(EventFlag::kJudged)) << Seen();
  EXPECT_EQ(closed.header.outcome, Outcome::kModified);
}

TEST_F(CoverageChanges, WriteThroughAnOlderDescriptorSaysSo) {
  const std::string path = Write(dir_ + "/file");
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND);  // inherited by the child
  Apply(Rules({Rule("block", "protect", kWrite)}));
  ASSERT_EQ(Perl("open(F, '>&=', " + std::to_string(fd) + "); syswrite(F, 'x'); sleep 1;"), 0);
  const SeenFact written = Await(Change::kWritten, path);
  EXPECT_FALSE(written.Has(EventFlag::kJudged));
  EXPECT_EQ(written.header.outcome, Outcome::kViolated);
  EXPECT_EQ(written.header.reason, Reason::kDescriptorNotJudged);
  ::close(fd);
}

TEST_F(CoverageChanges, WatchedReadAndExecAreTold) {
  const std::string path = Write(dir_ + "/file");
  std::filesystem::copy("/bin/true", dir_ + "/program");
  Apply(Rules({Rule("watch", "monitor", kAll)}));
  ASSERT_EQ(Run({"/bin/cat", path}), 0);
  const SeenFact read = Await("read", [&](const SeenFact &fact) {
    return fact.header.kind == EventKind::kAccess && fact.header.operation == Operation::kRead &&
           fact.path() == path;
  });
  EXPECT_EQ(read.header.outcome, Outcome::kAccessed);
  ASSERT_EQ(Run({dir_ + "/program"}), 0);
  Await("exec", [&](const SeenFact &fact) {
    return fact.header.kind == EventKind::kAccess && fact.header.operation == Operation::kExec &&
           fact.path() == dir_ + "/program";
  });
  ASSERT_EQ(Shell("echo x > " + path), 0);
  Await(Change::kClosedWrite, path);
  size_t reads = 0;
  for (const SeenFact &fact : Settle())
    reads += fact.header.operation == Operation::kRead ? 1U : 0U;
  EXPECT_EQ(reads, 1U) << Seen();
}

TEST_F(CoverageChanges, LongReadIsToldWhileOpen) {
  const std::string path = Write(dir_ + "/file");
  Apply(Rules({Rule("watch", "monitor", kAll)}));
  std::thread reader([&] { Perl("open(F, '<', '" + path + "'); sleep 3;"); });
  Await("read", [&](const SeenFact &fact) { return fact.header.operation == Operation::kRead; });
  reader.join();
  size_t reads = 0;
  for (const SeenFact &fact : Settle())
    reads += fact.header.operation == Operation::kRead ? 1U : 0U;
  EXPECT_EQ(reads, 1U) << Seen();
}

TEST_F(CoverageChanges, OwnChangesAreNotTold) {
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  Write(dir_ + "/own");
  ::rename((dir_ + "/own").c_str(), (dir_ + "/own2").c_str());
  EXPECT_TRUE(Settle().empty()) << Seen();
  ASSERT_EQ(Shell("echo x >> " + dir_ + "/own2"), 0);
  Await(Change::kClosedWrite, dir_ + "/own2");
}

TEST_F(CoverageChanges, NamesAreBytes) {
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  const std::string odd = dir_ + "/\xff\xfe\n'\" " + std::string(240, 'x');
  ASSERT_EQ(Run({"/usr/bin/touch", odd}), 0);
  Await(Change::kCreated, odd);
}

}  // namespace
}  // namespace fileward
