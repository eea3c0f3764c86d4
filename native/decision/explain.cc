#include "native/decision/explain.h"

#include <algorithm>

namespace fileward {
namespace {

std::vector<uint32_t> HostGroups(const Ruleset& ruleset) {
  std::vector<uint32_t> groups;
  for (uint32_t index = 0; index < ruleset.groups().size(); ++index) {
    if (ruleset.groups()[index].host) groups.push_back(index);
  }
  return groups;
}

// What is absent has an identity of its own, so a text that matches is the file.
class OfflineSubject : public Subject {
 public:
  OfflineSubject(const Ruleset& ruleset, const ExplainQuery& query)
      : ruleset_(ruleset),
        query_(query),
        of_container_(query.groups && *query.groups != HostGroups(ruleset)),
        exes_(Named(query.exe)) {
    if (query.script) scripts_ = Named(*query.script);
    if (!query.ancestors) return;
    for (const std::string& ancestor : *query.ancestors) {
      const auto matched = Named(ancestor);
      ancestors_.insert(ancestors_.end(), matched.begin(), matched.end());
    }
    MakeSet(ancestors_);
  }

  Answer IsExe(uint32_t exe) override { return Has(exes_, exe); }
  Answer IsScript(uint32_t exe) override { return Has(scripts_, exe); }
  Answer HasAncestor(uint32_t exe) override {
    return query_.ancestors ? Has(ancestors_, exe) : Answer::kUnknown;
  }
  Answer IsPackageManager() override {
    if (ruleset_.PackageManagerOf(exes_) != 0) return Answer::kYes;
    if (ruleset_.PackageManagerOfScript(scripts_) != 0) return Answer::kYes;
    if (!query_.ancestors) return Answer::kUnknown;
    return ruleset_.PackageManagerOf(ancestors_) != 0 ? Answer::kYes : Answer::kNo;
  }
  Answer IsRuntime() override {
    const bool known = of_container_ && query_.origin == Origin::kHost &&
                       ruleset_.IsRuntime(ruleset_.MatchExes(query_.exe));
    return known ? Answer::kYes : Answer::kNo;
  }
  bool IsOf(bool host) override {
    return !of_container_ || query_.origin == (host ? Origin::kHost : Origin::kSame);
  }
  bool HasUser(uint32_t user_id) override { return query_.user_id == user_id; }
  bool HasUnit(std::string_view unit) override { return query_.unit == unit; }
  bool HasSha256(std::string_view sha256) override { return query_.sha256 == sha256; }

 private:
  // Exes whose file that is for the rules that are asked.
  std::vector<uint32_t> Named(const std::string& path) const {
    std::vector<uint32_t> exes = ruleset_.MatchExes(path);
    if (!of_container_) return exes;
    std::erase_if(exes, [this](uint32_t exe) {
      return query_.origin != (ruleset_.exes()[exe].host ? Origin::kHost : Origin::kSame);
    });
    return exes;
  }
  static Answer Has(const std::vector<uint32_t>& exes, uint32_t exe) {
    return std::binary_search(exes.begin(), exes.end(), exe) ? Answer::kYes : Answer::kNo;
  }

  const Ruleset& ruleset_;
  const ExplainQuery& query_;
  const bool of_container_;
  std::vector<uint32_t> exes_;
  std::vector<uint32_t> scripts_;
  std::vector<uint32_t> ancestors_;
};

}  // namespace

ExplainAnswer Explain(const Ruleset& ruleset, const ExplainQuery& query) {
  std::vector<MatchSet> matched;
  ExplainAnswer answer;
  const std::vector<uint32_t> groups = query.groups ? *query.groups : HostGroups(ruleset);
  for (const std::string& path : query.paths) {
    matched.push_back(ruleset.MatchInGroups(path, groups));
    answer.covering.insert(answer.covering.end(), matched.back().begin(), matched.back().end());
  }
  MakeSet(answer.covering);
  std::vector<CoveredName> names;
  for (size_t i = 0; i < matched.size(); ++i) names.push_back({query.paths[i], matched[i]});

  OfflineSubject subject(ruleset, query);
  Question question{names, {query.operation}, query.ungated ? Gate::kUngated : Gate::kOpen, false};
  answer.decision = Evaluate(ruleset, question, subject);
  if (query.ungated || query.operation != Operation::kWrite) return answer;
  question.gate = Gate::kJudgedChange;
  const Decision change = Evaluate(ruleset, question, subject);
  const bool told_by_watch = change.rule_index != kNoRule &&
                             ruleset.rules()[change.rule_index].behavior == Behavior::kWatch;
  if (told_by_watch && change.outcome > answer.decision.outcome) answer.decision = change;
  return answer;
}

}  // namespace fileward
