// What Coverage::TakeCoveredFiles tells: the state from which the next start finds what changed
// meanwhile.
#include <algorithm>
#include <cstring>

#include "native/coverage/covered_files.h"
#include "test/native/coverage_fixture.h"

namespace fileward {
namespace {

const std::vector<std::string> kWrite = {"write"};

struct Told {
  bool full = false;
  uint32_t left_out = 0;
  std::vector<std::string> order;
  std::map<std::string, CoveredFileEntry> files;
  bool Has(const std::string& path) const {
    const auto found = files.find(path);
    return found != files.end() && found->second.gone == 0;
  }
  bool Gone(const std::string& path) const {
    const auto found = files.find(path);
    return found != files.end() && found->second.gone == 1;
  }
};

Told Decode(const std::vector<std::byte>& bytes) {
  Told told;
  CoveredFilesHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  told.full = header.full != 0;
  told.left_out = header.left_out;
  for (size_t at = sizeof(header); at < bytes.size();) {
    CoveredFileEntry entry;
    std::memcpy(&entry, &bytes[at], sizeof(entry));
    at += sizeof(entry);
    const std::string path(reinterpret_cast<const char*>(&bytes[at]), entry.path_bytes);
    at += entry.path_bytes;
    told.order.push_back(path);
    told.files[path] = entry;
  }
  EXPECT_EQ(told.order.size(), header.count);
  return told;
}

class CoverageFiles : public CoverageFixture {
 protected:
  Told Take() { return Decode(coverage_->TakeCoveredFiles().Encode()); }
  // What changed since the last call, once everything up to now is handled.
  Told TakeSettled() {
    Settle();
    return Take();
  }
  void Cover() { Apply(Rules({Rule("watch", "monitor", kWrite)})); }
  void CoverAndTake() {
    Cover();
    Take();
  }
  static struct stat StatOf(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
    return found;
  }
};

uint64_t Nanoseconds(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(time.tv_nsec);
}

TEST_F(CoverageFiles, AllAtFirstInTheOrderOfTheirBytes) {
  ASSERT_EQ(Shell("cd " + dir_ + "; mkdir -p a; touch a/x a-b a.c z; mkfifo fifo; ln -s x link"),
            0);
  Write(root_ + "/out/other");
  Cover();
  const Told told = Take();
  EXPECT_TRUE(told.full);
  EXPECT_EQ(told.order, (std::vector<std::string>{dir_ + "/a-b", dir_ + "/a.c", dir_ + "/a/x",
                                                  dir_ + "/fifo", dir_ + "/link", dir_ + "/z"}));
  const struct stat found = StatOf(dir_ + "/a/x");
  const CoveredFileEntry& entry = told.files.at(dir_ + "/a/x");
  EXPECT_EQ(entry.ino, found.st_ino);
  EXPECT_EQ(entry.mode, found.st_mode);
  EXPECT_EQ(entry.mtime_ns, Nanoseconds(found.st_mtim));
  EXPECT_EQ(entry.ctime_ns, Nanoseconds(found.st_ctim));
  EXPECT_EQ(entry.rule_index, 0U);
  const Told again = TakeSettled();
  EXPECT_FALSE(again.full);
  EXPECT_FALSE(again.Has(dir_ + "/a/x"));
}

TEST_F(CoverageFiles, WhatApplyFoundIsKeptWhateverHappensBeforeItIsTaken) {
  const std::string path = Write(dir_ + "/file", "12345");
  Cover();
  ASSERT_EQ(Shell("echo more >> " + path + "; touch " + dir_ + "/new"), 0);
  Settle();
  const Told first = Take();
  EXPECT_TRUE(first.full);
  EXPECT_EQ(first.files.at(path).size, 5U);
  EXPECT_FALSE(first.Has(dir_ + "/new"));
  const Told changed = Take();
  EXPECT_FALSE(changed.full);
  EXPECT_EQ(changed.files.at(path).size, 10U);
  EXPECT_TRUE(changed.Has(dir_ + "/new"));
}

TEST_F(CoverageFiles, ChangesAreTold) {
  for (const char* name : {"written", "deleted", "renamed", "mode", "replaced", "linked", "quiet"})
    Write(dir_ + "/" + name);
  CoverAndTake();
  ASSERT_EQ(Shell("cd " + dir_ +
                  "; echo more >> written; rm deleted; mv renamed new; chmod 600 mode;"
                  "echo x > " +
                  root_ + "/out/tmp; mv " + root_ + "/out/tmp replaced; ln linked second"),
            0);
  const Told told = TakeSettled();
  EXPECT_FALSE(told.full);
  for (const char* name : {"written", "new", "mode", "replaced", "linked", "second"}) {
    const std::string path = dir_ + "/" + name;
    ASSERT_TRUE(told.Has(path)) << path;
    const struct stat found = StatOf(path);
    const CoveredFileEntry& entry = told.files.at(path);
    EXPECT_EQ(entry.ino, found.st_ino) << path;
    EXPECT_EQ(entry.size, static_cast<uint64_t>(found.st_size)) << path;
    EXPECT_EQ(entry.mode, found.st_mode) << path;
    EXPECT_EQ(entry.ctime_ns, Nanoseconds(found.st_ctim)) << path;
  }
  EXPECT_TRUE(told.Gone(dir_ + "/deleted"));
  EXPECT_TRUE(told.Gone(dir_ + "/renamed"));
  EXPECT_FALSE(told.files.contains(dir_ + "/quiet"));
}

TEST_F(CoverageFiles, OwnChangesAreKnownToo) {
  const std::string path = Write(dir_ + "/file", "1");
  CoverAndTake();
  Write(path, "123");
  const Told told = TakeSettled();
  EXPECT_EQ(told.files.at(path).size, 3U);
}

TEST_F(CoverageFiles, AnUnfinishedWriteIsNotKnownYet) {
  const std::string path = Write(dir_ + "/file", "1");
  CoverAndTake();
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND);
  std::thread writer([&] { Perl("open(F, '>>', '" + path + "'); syswrite(F, 'xy'); sleep 2;"); });
  Await(Change::kWritten, path);
  EXPECT_FALSE(TakeSettled().Has(path));
  writer.join();
  Await(Change::kClosedWrite, path);
  EXPECT_EQ(TakeSettled().files.at(path).size, 3U);
  ::close(fd);
}

TEST_F(CoverageFiles, AMovedDirectoryTellsAll) {
  ASSERT_EQ(Shell("mkdir -p " + dir_ + "/tree/sub; touch " + dir_ + "/tree/sub/file"), 0);
  CoverAndTake();
  ASSERT_EQ(Shell("mv " + dir_ + "/tree " + dir_ + "/moved"), 0);
  const Told told = TakeSettled();
  EXPECT_TRUE(told.full);
  EXPECT_TRUE(told.Has(dir_ + "/moved/sub/file"));
  EXPECT_FALSE(told.files.contains(dir_ + "/tree/sub/file"));
}

TEST_F(CoverageFiles, ADeletedOrMovedOutTreeIsGone) {
  ASSERT_EQ(Shell("cd " + dir_ + "; mkdir -p one two; touch one/file two/file"), 0);
  CoverAndTake();
  ASSERT_EQ(Shell("rm -r " + dir_ + "/one; mv " + dir_ + "/two " + root_ + "/out"), 0);
  const Told told = TakeSettled();
  EXPECT_TRUE(told.full || told.Gone(dir_ + "/one/file"));
  EXPECT_FALSE(told.Has(dir_ + "/one/file"));
  EXPECT_FALSE(told.Has(dir_ + "/two/file"));
}

TEST_F(CoverageFiles, OnlyWhatChangesAreAskedForOf) {
  const std::string path = Write(dir_ + "/file");
  Apply(Rules({Rule("watch", "monitor", {"read"})}));
  EXPECT_FALSE(Take().Has(path));
  Apply(Rules({Rule("watch", "monitor", kWrite)}));
  const Told told = Take();
  EXPECT_TRUE(told.full);
  EXPECT_TRUE(told.Has(path));
}

TEST_F(CoverageFiles, AVolumeIsKnownByItsStableNames) {
  ASSERT_EQ(Shell("cd " + dir_ +
                  "; mkdir ..1; echo one > ..1/key; ln -s ..1 ..data;"
                  "ln -s ..data/key key"),
            0);
  Cover();
  EXPECT_TRUE(Take().Has(dir_ + "/key"));
  ASSERT_EQ(Shell("cd " + dir_ +
                  "; mkdir ..2; echo second > ..2/key; ln -s ..2 ..data_tmp;"
                  "mv -T ..data_tmp ..data; rm -r ..1"),
            0);
  const Told told = TakeSettled();
  EXPECT_TRUE(told.Has(dir_ + "/key"));
  for (const auto& [path, entry] : told.files)
    EXPECT_TRUE(entry.gone == 1 || path.find("..1") == std::string::npos) << path;
}

TEST_F(CoverageFiles, TheLinkAndTheFileOfAVolumeAreOneAndTheFileIsTold) {
  const std::string key = dir_ + "/key";
  ASSERT_EQ(Shell("cd " + dir_ +
                  "; mkdir ..1; echo one > ..1/key; ln -s ..1 ..data;"
                  "ln -s ..data/key key"),
            0);
  Cover();
  const auto expect_file = [&](const Told& told, const char* when) {
    SCOPED_TRACE(when);
    EXPECT_EQ(std::count(told.order.begin(), told.order.end(), key), 1);
    ASSERT_TRUE(told.Has(key));
    EXPECT_EQ(told.files.at(key).ino, StatOf(dir_ + "/..1/key").st_ino);
  };
  const Told first = Take();
  EXPECT_TRUE(first.full);
  expect_file(first, "at first");
  ASSERT_EQ(Shell("cd " + dir_ + "; ln -s ..data/key other; mv -T other key"), 0);
  expect_file(TakeSettled(), "another link");
  ASSERT_EQ(Shell("echo more >> " + dir_ + "/..1/key"), 0);
  expect_file(TakeSettled(), "written");
  // The link stands there still.
  ASSERT_EQ(Shell("rm " + dir_ + "/..1/key"), 0);
  const Told dangling = TakeSettled();
  ASSERT_TRUE(dangling.Has(key));
  EXPECT_EQ(dangling.files.at(key).ino, StatOf(key).st_ino);
}

TEST_F(CoverageFiles, AnswersAfterTheEnd) {
  const std::string path = Write(dir_ + "/file", "1");
  CoverAndTake();
  ASSERT_EQ(Shell("echo more >> " + path), 0);
  Await(Change::kClosedWrite, path);
  coverage_->Stop();
  EXPECT_EQ(Take().files.at(path).size, 6U);
}

TEST_F(CoverageFiles, BeyondItsBoundTheLastAreLeftOut) {
  CoveredFiles files(1, true);
  FileStatus status;
  for (size_t i = 0; i < kMaxCoveredFiles + 3; ++i) files.Add(std::to_string(i), status, 0);
  const Told told = Decode(files.Encode());
  EXPECT_EQ(told.left_out, 3U);
  EXPECT_EQ(told.order.size(), kMaxCoveredFiles);
}

}  // namespace
}  // namespace fileward
