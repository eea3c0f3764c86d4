#include "native/addon/evaluator.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "native/addon/js_error.h"
#include "native/addon/words.h"
#include "native/decision/explain.h"
#include "native/decision/path_pattern.h"
#include "native/decision/ruleset.h"

namespace fileward {
namespace {

std::vector<std::string> Strings(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  strings.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    strings.push_back(array.Get(i).ToString().Utf8Value());
  }
  return strings;
}

std::vector<uint32_t> Indexes(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<uint32_t> indexes;
  indexes.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    indexes.push_back(array.Get(i).ToNumber().Uint32Value());
  }
  return indexes;
}

std::optional<std::string> OptionalString(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsString()) return std::nullopt;
  return value.As<Napi::String>().Utf8Value();
}

Operation OperationNamed(Napi::Env env, const std::string& word) {
  for (const auto& [operation, name] : kOperationWords) {
    if (operation != Operation::kNone && word == name) return operation;
  }
  throw Napi::TypeError::New(env, "operation must be read, write or exec");
}

Origin OriginNamed(Napi::Env env, const std::string& word) {
  if (word == "same") return Origin::kSame;
  if (word == "host") return Origin::kHost;
  if (word == "other") return Origin::kOther;
  throw Napi::TypeError::New(env, "origin must be same, host or other");
}

ExplainQuery QueryFrom(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsObject()) {
    throw Napi::TypeError::New(info.Env(), "query must be an object");
  }
  const auto object = info[0].As<Napi::Object>();
  if (!object.Get("paths").IsArray()) {
    throw Napi::TypeError::New(info.Env(), "paths must be an array of strings");
  }
  ExplainQuery query;
  query.paths = Strings(object.Get("paths"));
  query.operation = OperationNamed(info.Env(), OptionalString(object, "operation").value_or(""));
  query.exe = OptionalString(object, "exe").value_or("");
  query.script = OptionalString(object, "script");
  query.unit = OptionalString(object, "unit");
  query.sha256 = OptionalString(object, "sha256");
  if (const Napi::Value user = object.Get("user_id"); user.IsNumber()) {
    query.user_id = user.As<Napi::Number>().Uint32Value();
  }
  if (const Napi::Value ancestors = object.Get("ancestors"); ancestors.IsArray()) {
    query.ancestors = Strings(ancestors);
  }
  if (const Napi::Value groups = object.Get("groups"); groups.IsArray()) {
    query.groups = Indexes(groups);
  }
  query.origin = OriginNamed(info.Env(), OptionalString(object, "origin").value_or("same"));
  query.ungated = OptionalString(object, "gate") == "change";
  return query;
}

Napi::Value AnswerFor(Napi::Env env, const ExplainQuery& query, const ExplainAnswer& explained) {
  const Decision& decision = explained.decision;
  const bool covered = decision.rule_index != kNoRule;
  Napi::Object answer = Napi::Object::New(env);
  const auto set_word = [&](const char* key, const char* word) {
    answer.Set(key, Napi::String::New(env, word));
  };
  set_word("outcome", WordIn<Outcome>(kOutcomeWords, decision.outcome));
  set_word("verdict", WordIn<Verdict>(kVerdictWords, decision.verdict));
  set_word("mode", decision.mode == Mode::kNone ? "" : WordIn<Mode>(kModeWords, decision.mode));
  set_word("reason",
           decision.reason == Reason::kNone ? "" : WordIn<Reason>(kReasonWords, decision.reason));
  answer.Set("rule_index", Napi::Number::New(env, covered ? decision.rule_index : -1.0));
  answer.Set("path", decision.name_index < query.paths.size()
                         ? Napi::String::New(env, query.paths[decision.name_index])
                         : Napi::String::New(env, ""));
  answer.Set("listed", Napi::Boolean::New(env, decision.listed));
  answer.Set("app_index", Napi::Number::New(env, decision.app_index));
  Napi::Array covering = Napi::Array::New(env, explained.covering.size());
  for (uint32_t i = 0; i < explained.covering.size(); ++i) {
    covering.Set(i, Napi::Number::New(env, explained.covering[i]));
  }
  answer.Set("covering", covering);
  return answer;
}

Napi::Value Problem(const Napi::CallbackInfo& info, const PathPattern::ParseResult& result) {
  if (result.pattern.has_value()) return info.Env().Null();
  Napi::Object problem = Napi::Object::New(info.Env());
  problem.Set("message", Napi::String::New(info.Env(), result.error.message));
  problem.Set("offset", Napi::Number::New(info.Env(), static_cast<double>(result.error.offset)));
  return problem;
}

}  // namespace

Napi::Value CreateEvaluator(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::map<std::string, std::string> resolved;
  if (info.Length() > 1 && info[1].IsObject()) {
    const auto object = info[1].As<Napi::Object>();
    for (const std::string& base : Strings(object.GetPropertyNames()))
      resolved[base] = object.Get(base).ToString().Utf8Value();
  }
  const auto resolver = [&resolved](const std::string& base) {
    const auto found = resolved.find(base);
    return found == resolved.end() ? base : found->second;
  };
  std::shared_ptr<const Ruleset> ruleset =
      ValueOrThrow(env, Ruleset::Parse(StringArgument(info, 0, "rulesetJson"), resolver,
                                       [](const RuleGroup&) { return true; }));
  Napi::Object evaluator = Napi::Object::New(env);
  // The closure owns the ruleset and goes with the function.
  const auto evaluate = [ruleset = std::move(ruleset)](const Napi::CallbackInfo& call) {
    const ExplainQuery query = QueryFrom(call);
    return AnswerFor(call.Env(), query, Explain(*ruleset, query));
  };
  evaluator.Set("evaluate", Napi::Function::New(env, evaluate, "evaluate"));
  return evaluator;
}

Napi::Value CheckGlob(const Napi::CallbackInfo& info) {
  return Problem(info, PathPattern::ParseGlob(StringArgument(info, 0, "pattern")));
}

Napi::Value CheckRegex(const Napi::CallbackInfo& info) {
  return Problem(info, PathPattern::ParseRegex(StringArgument(info, 0, "pattern")));
}

}  // namespace fileward
