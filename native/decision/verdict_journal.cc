#include "native/decision/verdict_journal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <new>
#include <type_traits>
#include <utility>

namespace fileward {
namespace {

static_assert(std::is_trivially_destructible_v<VerdictJournal>);
static_assert(std::atomic<uint64_t>::is_always_lock_free &&
              std::atomic<bool>::is_always_lock_free &&
              std::atomic<Operations>::is_always_lock_free);

Result<void*> Map(const UniqueFd& memory) {
  void* const at =
      ::mmap(nullptr, sizeof(VerdictJournal), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (at == MAP_FAILED) return ErrnoError("mmap", "verdict journal");
  return at;
}

}  // namespace

Result<JournalMemory> JournalMemory::Create() {
  UniqueFd memory(::memfd_create("fileward-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory) return ErrnoError("memfd_create", "verdict journal");
  if (::ftruncate(memory.get(), sizeof(VerdictJournal)) != 0) {
    return ErrnoError("ftruncate", "verdict journal");
  }
  if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoError("fcntl", "verdict journal");
  }
  const Result<void*> at = Map(memory);
  if (!at) return at.error();
  return JournalMemory(std::move(memory), new (*at) VerdictJournal);
}

Result<JournalMemory> JournalMemory::Open(UniqueFd memory) {
  struct stat status {};
  if (::fstat(memory.get(), &status) != 0) return ErrnoError("fstat", "verdict journal");
  if (status.st_size != sizeof(VerdictJournal)) {
    return Error{EINVAL, "", "the verdict journal is of another version"};
  }
  const Result<void*> at = Map(memory);
  if (!at) return at.error();
  return JournalMemory(std::move(memory), std::launder(static_cast<VerdictJournal*>(*at)));
}

void JournalMemory::Unmap::operator()(VerdictJournal* journal) const {
  ::munmap(journal, sizeof(VerdictJournal));
}

}  // namespace fileward
