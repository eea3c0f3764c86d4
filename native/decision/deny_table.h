#ifndef FILEWARD_DECISION_DENY_TABLE_H_
#define FILEWARD_DECISION_DENY_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "native/base/file_identity.h"
#include "native/decision/operations.h"

namespace fileward {

// What an open of a file is denied for when nobody can judge it: the files of all protecting rules
// with `on_deadline: deny`. In the journal: the decision thread writes, the guardian and the
// watchdog look up, at any moment of a change.
//
// Open addressing in two halves, of which one is in force. An entry keeps its file for as long as
// its half is in force; taking a file out leaves it without operations.
class DenyTable {
 public:
  // --- One thread. ---

  // No operations: takes it out. What doesn't fit is left out, and full() says so.
  void Set(const FileIdentity& file, Operations denied);
  // Fills the other half with `each(add)`, add(file, operations), and puts it in force.
  template <typename Each>
  void Replace(Each each) {
    // Find looks at generation_ again after its look at a half: behind this, a change shows there.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    Half& next = Clear(halves_[(generation_.load() + 1) % 2]);
    each([&next](const FileIdentity& file, Operations denied) { Put(next, file, denied); });
    generation_.fetch_add(1);
  }

  // --- Any. ---

  Operations Find(const FileIdentity& file) const;
  size_t size() const { return InForce().used.load(std::memory_order_relaxed); }
  bool full() const { return InForce().full.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kEntries = size_t{1} << 16;
  static constexpr size_t kMost = kEntries / 4 * 3;
  struct Entry {
    std::atomic<uint64_t> ino{0};  // 0: none; released when the rest is written
    std::atomic<uint64_t> dev{0};
    std::atomic<Operations> denied{};
  };
  struct Half {
    std::array<Entry, kEntries> entries;
    std::atomic<size_t> used{0};
    std::atomic<bool> full{false};
  };
  static Half& Clear(Half& half);
  static void Put(Half& half, const FileIdentity& file, Operations denied);
  const Half& InForce() const { return halves_[generation_.load() % 2]; }

  std::array<Half, 2> halves_;
  // Which half is in force, and whether the one that was looked at still can be.
  std::atomic<uint64_t> generation_{0};
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_DENY_TABLE_H_
