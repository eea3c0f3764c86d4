// The evaluator asked with texts only: explain, test and replay. Nothing on disk is looked at.
#ifndef FILEWARD_DECISION_EXPLAIN_H_
#define FILEWARD_DECISION_EXPLAIN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "native/decision/evaluate.h"

namespace fileward {

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
  bool ungated = false;
};

struct ExplainAnswer {
  Decision decision;
  MatchSet covering;  // every rule that covers one of the paths
};

// An open for write that only `watch` rules cover is answered with what its change will be told as.
ExplainAnswer Explain(const Ruleset& ruleset, const ExplainQuery& query);

}  // namespace fileward

#endif  // FILEWARD_DECISION_EXPLAIN_H_
