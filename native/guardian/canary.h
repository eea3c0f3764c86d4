// The proof from outside that an open of a covered file is answered: a child of the guardian's that
// opens one every two seconds and says in the journal how long it took.
//
// It is forked and never execs, so that it is the guardian's executable to every rule, and owns
// nothing but its end of the wake-up: no group, which would keep openers waiting when the others
// die. It dies with the guardian. If two opens in a row come late or not at all, the agent is to
// stop reading and the guardian stands in; after 5 s (then 10, 20, ... 60) the agent is tried
// again, with the canary's next open at once.
#ifndef FILEWARD_GUARDIAN_CANARY_H_
#define FILEWARD_GUARDIAN_CANARY_H_

#include <cstdint>
#include <string>

#include "native/base/unique_fd.h"
#include "native/decision/verdict_journal.h"

namespace fileward {

class Canary {
 public:
  // Starts the child; an empty `file`: there is none.
  Canary(VerdictJournal::Canary& journal, const std::string& file);
  ~Canary() { Stop(); }
  Canary(const Canary&) = delete;
  Canary& operator=(const Canary&) = delete;
  void Stop();

  enum class Word : uint8_t { kNone, kStandIn, kTryAgain };
  // Once a tick. `stands_in`: what it sees now is no agent's doing.
  Word Look(uint64_t now_ns, uint64_t deadline_ns, bool stands_in);

 private:
  void Start();
  [[noreturn]] void Sing();
  void OpenOnce();
  void Skip();
  bool HasMissed(uint64_t now_ns, uint64_t deadline_ns);

  VerdictJournal::Canary& journal_;
  const std::string& file_;
  UniqueFd again_;  // eventfd: the next open at once
  int32_t pid_ = 0;
  uint64_t looked_ns_ = 0;       // at the child
  uint64_t judged_ns_ = 0;       // began_ns of the last open that was counted
  uint64_t judged_took_ns_ = 0;  // it, when it was counted last
  uint32_t misses_ = 0;          // in a row
  uint64_t hold_until_ns_ = 0;
  uint64_t hold_ns_ = 0;  // the last one; 0: none since it went well
};

}  // namespace fileward

#endif  // FILEWARD_GUARDIAN_CANARY_H_
