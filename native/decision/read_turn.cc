#include "native/decision/read_turn.h"

#include <chrono>
#include <thread>

namespace fileward {

uint64_t ReadTurn::Begin() {
  uint64_t seen = word_.load();
  if (HolderOf(seen) != Holder::kNobody) return 0;
  const uint64_t ours = With(seen + 0x100, Holder::kAgent);
  return word_.compare_exchange_strong(seen, ours) ? ours >> 8 : 0;
}

bool ReadTurn::End() {
  // kAgent comes back when the guardian that had overtaken us is gone.
  while (!Move(Holder::kAgent, Holder::kNobody)) {
    if (Move(Holder::kAnswered, Holder::kNobody)) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

ReadTurn::State ReadTurn::Look() const {
  const uint64_t seen = word_.load();
  return {HolderOf(seen) == Holder::kAgent, seen >> 8};
}

bool ReadTurn::Overtake(uint64_t turn) {
  uint64_t seen = With(turn << 8, Holder::kAgent);
  return word_.compare_exchange_strong(seen, With(seen, Holder::kOvertaken));
}

bool ReadTurn::BeginForAgent() {
  return Move(Holder::kNobody, Holder::kGuardian) || Move(Holder::kAnswered, Holder::kOvertaken);
}

void ReadTurn::EndForAgent() {
  if (!Move(Holder::kGuardian, Holder::kNobody)) Move(Holder::kOvertaken, Holder::kAnswered);
}

void ReadTurn::ForgetGuardian() {
  if (!Move(Holder::kGuardian, Holder::kNobody)) Move(Holder::kOvertaken, Holder::kAgent);
}

bool ReadTurn::Move(Holder from, Holder to) {
  uint64_t seen = word_.load();
  return HolderOf(seen) == from && word_.compare_exchange_strong(seen, With(seen, to));
}

}  // namespace fileward
