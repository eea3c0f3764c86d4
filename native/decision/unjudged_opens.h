// What an open gets that nobody could judge in time: `on_deadline` of the rules that cover its
// file, by the journal's deny table. For the watchdog and for the guardian, which has nothing else.
//
// Opens nothing but /proc files and takes no lock that others hold. A file that isn't in the table
// costs one look-up; for one that is, what the opener wants is read from its system call, which may
// take some naps until it is parked: 20 ms for all who come together. One thread.
#ifndef FILEWARD_DECISION_UNJUDGED_OPENS_H_
#define FILEWARD_DECISION_UNJUDGED_OPENS_H_

#include <cstdint>
#include <functional>

#include "native/base/file_identity.h"
#include "native/decision/intent.h"
#include "native/decision/verdict_journal.h"
#include "native/process/process_table.h"

namespace fileward {

// Of an open descriptor of ours, or of "/proc/<pid>/fd/<number>"; asks no server. Not known():
// there is none.
FileIdentity IdentityOfFd(int fd);
FileIdentity IdentityOfFile(const char* path);

class UnjudgedOpens {
 public:
  // `may_pass`: threads that no rule holds; asked only of those that would be denied.
  UnjudgedOpens(const VerdictJournal& journal, std::function<bool(int32_t tid)> may_pass);

  // `file` not known(): denied where a rule wants that of what can't be known.
  bool Allows(const FileIdentity& file, int32_t tid, uint64_t mask);

 private:
  Operations WantedBy(const FileIdentity& file, int32_t tid, uint64_t mask);
  // False: the time for naps is used up.
  bool Nap();

  const VerdictJournal& journal_;
  const std::function<bool(int32_t tid)> may_pass_;
  // Knows nobody, so that only what registers say is proven.
  const ProcessTable nobody_;
  uint64_t nap_until_ns_ = 0;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_UNJUDGED_OPENS_H_
