#ifndef FILEWARD_DECISION_READ_TURN_H_
#define FILEWARD_DECISION_READ_TURN_H_

#include <atomic>
#include <cstdint>

namespace fileward {

// Whose turn it is to read the permission group: one word in the journal. An event belongs to the
// turn from being read until it stands in a slot, so that a decision thread that is stopped in
// between leaves nothing that nobody knows of: the guardian overtakes the turn and answers what
// lies in the agent's read buffer.
//
// Neither side waits for the other's turn to begin; a turn of the guardian's is a few milliseconds.
class ReadTurn {
 public:
  // --- The decision thread's side. ---

  // The turn's number; 0: it is the guardian's turn, look again soon.
  uint64_t Begin();
  // False: what was read is answered, but not by us. Waits while it is being answered.
  bool End();

  // --- The guardian's side. ---

  struct State {
    bool agent_reads = false;
    uint64_t turns = 0;  // that the agent began
  };
  State Look() const;
  // Takes the turn that the agent is in away from it; false when it isn't in that turn any more.
  bool Overtake(uint64_t turn);
  bool BeginForAgent();
  // After both.
  void EndForAgent();

  // A guardian has ended, perhaps in its turn. By the agent, any thread.
  void ForgetGuardian();

 private:
  enum class Holder : uint8_t {
    kNobody,
    kAgent,
    kGuardian,
    kOvertaken,  // the guardian, while the agent thinks that it is its turn
    kAnswered,   // nobody, while the agent thinks that it is its turn
  };
  static Holder HolderOf(uint64_t word) { return static_cast<Holder>(word & 0xff); }
  static uint64_t With(uint64_t word, Holder holder) {
    return (word & ~uint64_t{0xff}) | static_cast<uint64_t>(holder);
  }
  bool Move(Holder from, Holder to);

  // Holder in the low byte, above it how many turns the agent began. Every change is a
  // compare-exchange; what was read and entered is released by the one that ends a turn.
  std::atomic<uint64_t> word_{0};
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_READ_TURN_H_
