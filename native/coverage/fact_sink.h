// Where the records of all workloads go into ring 1: what several of them say of one change of one
// file becomes one record, the strictest (ties: the earlier rule).
//
// Contract: between Gather and Tell records are kept back; a record waits only for those of other
// workloads about the same. Otherwise it is written at once. Owned by the coverage thread, the
// ring's only producer.
#ifndef FILEWARD_COVERAGE_FACT_SINK_H_
#define FILEWARD_COVERAGE_FACT_SINK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

#include "native/event/event_record.h"
#include "native/event/event_ring.h"

namespace fileward {

class FactSink {
 public:
  explicit FactSink(EventRing& ring) : ring_(ring) {}

  void Gather() { gathers_ = true; }
  void Tell();
  void Put(std::span<const std::byte> record);

 private:
  // What makes two records tell the same change. The path doesn't count: each workload has its own
  // for one file.
  struct Same {
    explicit Same(const EventHeader& header);
    bool operator==(const Same&) const = default;
    EventKind kind;
    Change change;
    Operation operation;
    int32_t pid;
    uint64_t dev;
    uint64_t ino;
  };
  struct Hash {
    size_t operator()(const Same& same) const;
  };
  struct Places {
    std::vector<size_t> kept;              // indexes
    std::map<WorkloadId, size_t> told_by;  // the first so many of them
  };
  EventRing& ring_;
  bool gathers_ = false;
  std::vector<std::vector<std::byte>> kept_;  // in the order in which the first of each came
  std::unordered_map<Same, Places, Hash> places_;
};

}  // namespace fileward

#endif  // FILEWARD_COVERAGE_FACT_SINK_H_
