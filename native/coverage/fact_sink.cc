#include "native/coverage/fact_sink.h"

#include <cstring>

namespace fileward {
namespace {

EventHeader HeaderOf(std::span<const std::byte> record) {
  EventHeader header;
  std::memcpy(&header, record.data(), sizeof(header));
  return header;
}

bool IsMergeable(const EventHeader& header) {
  return header.kind == EventKind::kChange || header.kind == EventKind::kAccess;
}

bool IsStricter(const EventHeader& left, const EventHeader& right) {
  return left.outcome != right.outcome ? left.outcome > right.outcome
                                       : left.rule_index < right.rule_index;
}

}  // namespace

FactSink::Same::Same(const EventHeader& header)
    : kind(header.kind),
      change(header.change),
      operation(header.operation),
      pid(header.pid),
      dev(header.dev),
      ino(header.ino) {}

size_t FactSink::Hash::operator()(const Same& same) const {
  uint64_t hash = same.dev;
  for (const uint64_t part :
       {same.ino, static_cast<uint64_t>(same.pid), static_cast<uint64_t>(same.kind),
        static_cast<uint64_t>(same.change), static_cast<uint64_t>(same.operation)}) {
    hash = (hash ^ part) * 0x9e37'79b9'7f4a'7c15U;
    hash ^= hash >> 32;
  }
  return hash;
}

void FactSink::Put(std::span<const std::byte> record) {
  if (!gathers_) {
    ring_.TryPush(record);
    return;
  }
  const EventHeader header = HeaderOf(record);
  if (IsMergeable(header)) {
    Places& places = places_[Same(header)];
    // What a workload tells several times (of a file's names, say) are several changes.
    const size_t nth = places.told_by[header.workload]++;
    if (nth < places.kept.size()) {
      std::vector<std::byte>& kept = kept_[places.kept[nth]];
      if (IsStricter(header, HeaderOf(kept))) kept.assign(record.begin(), record.end());
      return;
    }
    places.kept.push_back(kept_.size());
  }
  kept_.emplace_back(record.begin(), record.end());
}

void FactSink::Tell() {
  gathers_ = false;
  for (const std::vector<std::byte>& record : kept_) ring_.TryPush(record);
  kept_.clear();
  places_.clear();
}

}  // namespace fileward
