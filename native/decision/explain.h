// The evaluator asked with texts only: explain, test and replay. Nothing on disk is looked at.
#ifndef FILEWARD_DECISION_EXPLAIN_H_
#define FILEWARD_DECISION_EXPLAIN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "native/decision/evaluate.h"

namespace fileward {

// Whose process it is, where the groups asked are not the host's.
enum class Origin : uint8_t {
  kSame,   // the workload's own
  kHost,   // the host's, reaching in: entries with `workload: host` name it, and runtimes do
  kOther,  // another container's: no path of a rule means its program
};

// EvaluationQuery of src/native/addon.ts.
struct ExplainQuery {
  std::vector<std::string> paths;
  Operation operation = Operation::kRead;
  std::string exe;
  std::optional<std::string> script;
  std::optional<uint32_t> user_id;
  std::optional<std::string> unit;
  std::optional<std::string> sha256;
  std::optional<std::vector<std::string>> ancestors;  // nearest first
  std::optional<std::vector<uint32_t>> groups;        // absent: the host's
  Origin origin = Origin::kSame;
  bool ungated = false;
};

struct ExplainAnswer {
  Decision decision;
  MatchSet covering;  // every rule that covers one of the paths
};

// `ruleset` is one that holds all groups. An open for write that only `watch` rules cover is
// answered with what its change will be told as.
ExplainAnswer Explain(const Ruleset& ruleset, const ExplainQuery& query);

}  // namespace fileward

#endif  // FILEWARD_DECISION_EXPLAIN_H_
