#include "native/process/process_entry.h"

#include <utility>

#include "native/base/clock.h"
#include "native/kernel/process_files.h"

namespace fileward {
namespace {

// Chains longer than this are cut: what forks that deep is a loop, and the nearest are what rules
// name.
constexpr uint32_t kMaxChain = 128;
constexpr uint32_t kKeptOfLongChain = 32;

}  // namespace

std::shared_ptr<const ProcessTable::Chain> ProcessTable::Process::ChainForChild() const {
  // Forks without an exec between them add nothing.
  if (chain && chain->run == run) return chain;
  auto link = std::make_shared<Chain>();
  link->run = run;
  link->complete = chain ? chain->complete : chain_complete;
  link->parent = chain;
  link->length = chain ? chain->length + 1 : 1;
  if (link->length <= kMaxChain) return link;
  std::vector<std::shared_ptr<const ExeRun>> nearest;
  for (const Chain* at = link.get(); nearest.size() < kKeptOfLongChain; at = at->parent.get()) {
    nearest.push_back(at->run);
  }
  std::shared_ptr<const Chain> shorter;
  while (!nearest.empty()) {
    auto next = std::make_shared<Chain>();
    next->run = std::move(nearest.back());
    next->length = shorter ? shorter->length + 1 : 1;
    next->parent = std::move(shorter);
    shorter = std::move(next);
    nearest.pop_back();
  }
  return shorter;
}

std::string ProcessTable::Process::NameOf(const FileIdentity& exe) const {
  for (size_t back = 0; run && back < RunCount(); ++back) {
    if (Run(back).exe == exe && !Run(back).path.empty()) return Run(back).path;
  }
  for (const Chain* at = chain.get(); at != nullptr; at = at->parent.get()) {
    if (at->run->exe == exe && !at->run->path.empty()) return at->run->path;
  }
  return {};
}

std::shared_ptr<ExeRun> ReadRun(int32_t pid, uint64_t since_ns) {
  auto run = std::make_shared<ExeRun>();
  run->since_ns = since_ns;
  if (std::optional<Exe> exe = ExeOf(pid)) {
    run->exe = exe->identity;
    run->place = PlaceOf(pid);
    run->path = PathAt(pid, std::move(exe->path));
  }
  run->cgroup = ReadCgroup(pid);
  run->read_ns = MonotonicNs();
  if (!run->exe.known()) run->certain.store(false, std::memory_order_relaxed);
  return run;
}

std::shared_ptr<const std::string> ReadCgroup(int32_t pid) {
  std::string cgroup = CgroupOf(pid);
  if (cgroup == "/" && IsExiting(pid)) return nullptr;
  return cgroup.empty() ? nullptr : std::make_shared<const std::string>(std::move(cgroup));
}

}  // namespace fileward
