#include "native/decision/deny_table.h"

#include <functional>

namespace fileward {

DenyTable::Half& DenyTable::Clear(Half& half) {
  for (Entry& entry : half.entries) entry.ino.store(0, std::memory_order_relaxed);
  half.used.store(0);
  half.full.store(false);
  return half;
}

void DenyTable::Put(Half& half, const FileIdentity& file, Operations denied) {
  for (size_t at = std::hash<FileIdentity>{}(file);; ++at) {
    Entry& entry = half.entries[at % kEntries];
    const uint64_t ino = entry.ino.load(std::memory_order_relaxed);
    if (ino == file.ino && entry.dev.load(std::memory_order_relaxed) == file.dev) {
      entry.denied.store(denied);
      return;
    }
    if (ino != 0) continue;
    if (denied.empty()) return;
    if (half.used.load() >= kMost) {
      half.full.store(true);
      return;
    }
    half.used.fetch_add(1);
    entry.dev.store(file.dev, std::memory_order_relaxed);
    entry.denied.store(denied, std::memory_order_relaxed);
    entry.ino.store(file.ino, std::memory_order_release);
    return;
  }
}

void DenyTable::Set(const FileIdentity& file, Operations denied) {
  Put(halves_[generation_.load() % 2], file, denied);
}

Operations DenyTable::Find(const FileIdentity& file) const {
  if (!file.known()) return {};
  for (;;) {
    const uint64_t generation = generation_.load();
    const Half& half = halves_[generation % 2];
    Operations denied;
    // Bounded, though a half is never full: whoever writes it may have gone mad.
    const size_t first = std::hash<FileIdentity>{}(file);
    for (size_t at = first; at != first + kEntries; ++at) {
      const Entry& entry = half.entries[at % kEntries];
      const uint64_t ino = entry.ino.load(std::memory_order_acquire);
      if (ino == 0) break;
      if (ino != file.ino || entry.dev.load(std::memory_order_relaxed) != file.dev) continue;
      denied = entry.denied.load();
      break;
    }
    // One change of halves on, this one may have been cleared under us.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (generation_.load() == generation) return denied;
  }
}

}  // namespace fileward
