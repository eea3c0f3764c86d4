#include "native/decision/open_slot.h"

namespace fileward {

void OpenSlot::Enter(const Event& event) {
  fd_.store(event.fd, std::memory_order_relaxed);
  tid_.store(event.tid, std::memory_order_relaxed);
  mask_.store(event.mask, std::memory_order_relaxed);
  since_ns_.store(event.since_ns, std::memory_order_relaxed);
  const uint64_t entered = (word_.load(std::memory_order_relaxed) & ~(kGeneration - 1));
  word_.store(With(entered + kGeneration, Phase::kWaiting));
}

void OpenSlot::Judge(bool allow) {
  uint64_t seen = word_.load();
  while (PhaseOf(seen) == Phase::kWaiting &&
         !word_.compare_exchange_weak(seen, WithVerdict(seen, allow))) {
  }
}

bool OpenSlot::Claim(bool allow) {
  uint64_t seen = word_.load();
  while (PhaseOf(seen) == Phase::kWaiting) {
    const uint64_t claimed = With(WithVerdict(seen, allow), Phase::kClaimed);
    if (word_.compare_exchange_weak(seen, claimed)) return true;
  }
  return false;
}

std::optional<bool> OpenSlot::Answered() const {
  const uint64_t seen = word_.load();
  if (PhaseOf(seen) != Phase::kOvertaken || (seen & kWriting) != 0) return std::nullopt;
  return (seen & kDeny) == 0;
}

bool OpenSlot::Leave() {
  uint64_t seen = word_.load();
  do {
    if ((seen & kWriting) != 0) return false;
  } while (!word_.compare_exchange_weak(seen, With(seen, Phase::kFree)));
  return true;
}

bool OpenSlot::IsOpenTo(Stand stand, uint64_t word) {
  const Phase phase = PhaseOf(word);
  if (stand == Stand::kWatchdog) return phase == Phase::kWaiting;
  // What the watchdog has written is done.
  const bool unwritten = phase != Phase::kOvertaken || (word & kWriting) != 0;
  return phase != Phase::kFree && unwritten &&
         (word & (static_cast<uint64_t>(Stand::kGuardian) | kGuardianWrote)) == 0;
}

OpenSlot::Taken OpenSlot::Read(uint64_t word) const {
  Taken taken;
  taken.event = {fd_.load(std::memory_order_relaxed), tid_.load(std::memory_order_relaxed),
                 mask_.load(std::memory_order_relaxed), since_ns_.load(std::memory_order_relaxed)};
  if ((word & kJudged) != 0) taken.allow = (word & kDeny) == 0;
  return taken;
}

std::optional<OpenSlot::Taken> OpenSlot::Take(Stand stand) {
  uint64_t seen = word_.load();
  if (!IsOpenTo(stand, seen)) return std::nullopt;
  const Taken taken = Read(seen);
  uint64_t wanted = seen | static_cast<uint64_t>(stand);
  if (PhaseOf(seen) == Phase::kWaiting) wanted = With(wanted, Phase::kOvertaken);
  if (!word_.compare_exchange_strong(seen, wanted)) return std::nullopt;
  return taken;
}

void OpenSlot::Done(Stand stand, bool allow) {
  uint64_t seen = word_.load();
  uint64_t wanted = 0;
  do {
    wanted = WithVerdict(seen, allow) & ~static_cast<uint64_t>(stand);
    if (stand == Stand::kGuardian) wanted |= kGuardianWrote;
  } while (!word_.compare_exchange_weak(seen, wanted));
}

std::optional<OpenSlot::Taken> OpenSlot::TakeFrom(Stand stand) {
  const uint64_t seen = word_.load();
  if ((seen & static_cast<uint64_t>(stand)) == 0) return std::nullopt;
  return Read(seen);
}

}  // namespace fileward
