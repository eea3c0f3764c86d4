// What a guardian has to know of the agent to answer in its place, and what it has done: memory
// that both map (a sealed memfd), nothing but atomics, each with one writer unless it says
// otherwise.
//
// The agent creates it; its decision thread writes the slots, its reading and the deny table. A
// guardian maps what it is handed, and so does the next one: whatever a process was at when it
// ended is to be read here. No pointers, no locks; either process may stop between any two
// instructions.
#ifndef FILEWARD_DECISION_VERDICT_JOURNAL_H_
#define FILEWARD_DECISION_VERDICT_JOURNAL_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/decision/arrivals.h"
#include "native/decision/deny_table.h"
#include "native/decision/open_slot.h"
#include "native/decision/read_turn.h"
#include "native/decision/verdict_stats.h"
#include "native/kernel/fanotify_group.h"

namespace fileward {

struct VerdictJournal {
  static constexpr size_t kSlots = 4096;

  // --- The agent's. ---

  std::array<OpenSlot, kSlots> slots;
  std::atomic<uint32_t> slots_used{0};  // none of a higher number was ever entered
  std::atomic<uint64_t> deadline_ns{100'000'000};
  // A rule in force says `on_deadline: deny`: when the agent dies the group is kept, and what can't
  // be known is denied.
  std::atomic<bool> keep{false};
  DenyTable denials;
  // A guardian is being started: the agent's only child is to open its program and libraries.
  std::atomic<bool> starting_guardian{false};
  // The agent's event fds are below, the guardian's from here on: the kernel knows an event by its
  // number alone.
  std::atomic<int32_t> first_guardian_fd{0};

  // --- Reading the group. ---

  ReadTurn turn;
  std::atomic<uint64_t> events_read{0};  // by both, each in its turn
  // Of the agent's turn of this number: how many events were read before it. What agent_buffer
  // holds was read in it.
  std::atomic<uint64_t> reading_turn{0};
  std::atomic<uint64_t> read_before{0};
  // Of a turn that the guardian overtook: so many from the beginning of agent_buffer it answered.
  // The agent may only have been slow, and the kernel at filling it.
  std::atomic<size_t> answered_of_turn{0};
  // What a read gave, zeros behind it. The guardian clears its own when it has answered.
  alignas(8) std::array<std::byte, PermissionGroup::kBufferBytes> agent_buffer{};
  alignas(8) std::array<std::byte, PermissionGroup::kBufferBytes> guardian_buffer{};
  // Set by the guardian: the decision thread must not read.
  std::atomic<bool> hold_off{false};

  // --- The guardian's. ---

  Arrivals arrivals;
  std::atomic<int32_t> guardian_pid{0};  // 0 until it stands; back to 0 by the agent
  std::atomic<uint64_t> heartbeat_ns{0};
  std::atomic<bool> own_cgroup{false};
  std::atomic<uint64_t> late{0};  // slots that it answered
  struct Answers {
    std::atomic<uint64_t> allowed{0};
    std::atomic<uint64_t> denied{0};
  };
  Answers unjudged;  // of the queue
  enum class Reason : uint8_t { kNone, kNotReading, kCanary };
  struct Episode {
    std::atomic<Reason> reason{Reason::kNone};
    std::atomic<uint64_t> from_ns{0};
    std::atomic<uint64_t> to_ns{0};
    Answers answered;
  };
  static constexpr size_t kEpisodes = 16;
  Episode present;  // reason none: it doesn't stand in
  std::array<Episode, kEpisodes> episodes;
  std::atomic<uint64_t> episode_count{0};  // that have ended; the last ones are there

  // --- The canary's, a child of the guardian's. ---

  struct Canary {
    std::atomic<uint64_t> began_ns{0};
    std::atomic<uint64_t> ended_ns{0};  // not before began_ns: answered
    VerdictHistogram latency;
    std::atomic<uint64_t> misses{0};  // the guardian's
  };
  Canary canary;
};

// A mapping of it.
class JournalMemory {
 public:
  static Result<JournalMemory> Create();
  static Result<JournalMemory> Open(UniqueFd memory);
  JournalMemory(JournalMemory&&) noexcept = default;
  JournalMemory& operator=(JournalMemory&&) noexcept = default;

  VerdictJournal& operator*() const { return *journal_; }
  VerdictJournal* operator->() const { return journal_.get(); }
  int fd() const { return memory_.get(); }

 private:
  struct Unmap {
    void operator()(VerdictJournal* journal) const;
  };
  JournalMemory(UniqueFd memory, VerdictJournal* journal)
      : memory_(std::move(memory)), journal_(journal) {}
  UniqueFd memory_;
  std::unique_ptr<VerdictJournal, Unmap> journal_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_VERDICT_JOURNAL_H_
