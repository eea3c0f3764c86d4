// What is said about an open: the judged open to coverage before the answer, everything else after
// it.
//
// Owned by the decision thread, which is the only producer of the ring and of judged_opens(), the
// only writer of the counters. stats() and counters() may be read from any thread.
#ifndef FILEWARD_DECISION_OPEN_PUBLISHER_H_
#define FILEWARD_DECISION_OPEN_PUBLISHER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "native/decision/object_table.h"
#include "native/decision/open_judge.h"
#include "native/decision/verdict_stats.h"
#include "native/event/event_record.h"
#include "native/event/event_ring.h"

namespace fileward {

class OpenPublisher {
 public:
  OpenPublisher(EventRing& ring, bool collect_args);

  JudgedOpens& judged_opens() { return judged_opens_; }
  const VerdictStats& stats() const { return stats_; }
  std::shared_ptr<const RuleCounters> counters() const { return counters_.load(); }
  void SetCounters(std::shared_ptr<RuleCounters> counters) {
    own_counters_ = counters;
    counters_.store(std::move(counters));
  }

  // Before the answer, when the open is judged for writing.
  void TellCoverage(const PendingOpen& open);
  // After the answer, which took `duration_ns` from the read of the event.
  void Publish(const PendingOpen& open, uint64_t duration_ns);
  // An open that the kernel denied by itself because it could give us no fd for its file.
  void PublishOpenFailed(uint64_t time_ns, int error_number);

 private:
  void PublishLearned(const PendingOpen& open);
  void SetProcess(const ProcessSnapshot& process);
  void SetArgs(int32_t pid);

  EventRing& ring_;
  const bool collect_args_;
  RecordWriter writer_;
  JudgedOpens judged_opens_;
  VerdictStats stats_;
  std::shared_ptr<RuleCounters> own_counters_;
  // The same for counters(). A lock inside, for which whoever finds it taken spins: the decision
  // thread takes it at a swap only, never for an open.
  std::atomic<std::shared_ptr<RuleCounters>> counters_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_OPEN_PUBLISHER_H_
