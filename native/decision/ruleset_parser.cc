// Ruleset::Parse. The JSON is written by src/policy/compile.ts, so an error here is a bug of ours:
// the messages name the place and are not polished. Set-up code: it may throw inside, never out of
// Parse.
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <charconv>
#include <stdexcept>
#include <utility>

#include "native/decision/regex_set.h"
#include "native/decision/ruleset.h"

namespace fileward {
namespace {

using Json = rapidjson::Value;

[[noreturn]] void Fail(const std::string& message) { throw std::invalid_argument(message); }

const Json& Member(const Json& object, const char* name) {
  if (!object.IsObject()) Fail(std::string("no object around ") + name);
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd()) Fail(std::string("missing ") + name);
  return found->value;
}

const Json* Optional(const Json& object, const char* name) {
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() || found->value.IsNull() ? nullptr : &found->value;
}

std::string Text(const Json& value) {
  if (!value.IsString()) Fail("not a string");
  return {value.GetString(), value.GetStringLength()};
}

std::string Text(const Json& object, const char* name) { return Text(Member(object, name)); }

bool Flag(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  if (!value.IsBool()) Fail(std::string("not a boolean: ") + name);
  return value.GetBool();
}

uint32_t Number(const Json& value) {
  if (!value.IsUint()) Fail("not an unsigned number");
  return value.GetUint();
}

rapidjson::Value::ConstArray List(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  if (!value.IsArray()) Fail(std::string("not a list: ") + name);
  return value.GetArray();
}

std::optional<uint32_t> OptionalNumber(const Json& object, const char* name) {
  const Json* const value = Optional(object, name);
  return value == nullptr ? std::nullopt : std::optional(Number(*value));
}

std::string OptionalText(const Json& object, const char* name) {
  const Json* const value = Optional(object, name);
  return value == nullptr ? std::string() : Text(*value);
}

template <typename T>
T Word(const Json& object, const char* name,
       std::initializer_list<std::pair<const char*, T>> words) {
  const std::string text = Text(object, name);
  for (const auto& [word, value] : words) {
    if (text == word) return value;
  }
  Fail(std::string(name) + " is no " + text);
}

Operations ReadOperations(const Json& object) {
  Operations operations;
  for (const Json& value : List(object, "operations")) {
    const std::string word = Text(value);
    if (word == "read") {
      operations.Add(Operation::kRead);
    } else if (word == "write") {
      operations.Add(Operation::kWrite);
    } else if (word == "exec") {
      operations.Add(Operation::kExec);
    } else {
      Fail("no operation: " + word);
    }
  }
  return operations;
}

Verdict ReadOnDeadline(const Json& object) {
  return Word<Verdict>(object, "on_deadline",
                       {{"allow", Verdict::kAllow}, {"deny", Verdict::kDeny}});
}

}  // namespace

// The strings stay where they are in `json`.
struct RulesetText::Tree {
  std::string json;
  rapidjson::Document document;
};

RulesetText::RulesetText() : tree_(std::make_unique<Tree>()) {}
RulesetText::~RulesetText() = default;

Result<std::shared_ptr<const RulesetText>> RulesetText::Read(std::string json) {
  std::shared_ptr<RulesetText> text(new RulesetText);
  text->tree_->json = std::move(json);
  rapidjson::Document& document = text->tree_->document;
  document.ParseInsitu(text->tree_->json.data());
  if (!document.HasParseError()) return std::shared_ptr<const RulesetText>(std::move(text));
  const std::string problem = rapidjson::GetParseError_En(document.GetParseError());
  const size_t offset = document.GetErrorOffset();
  return Error{0, "", "ruleset: " + problem + " at byte " + std::to_string(offset)};
}

class RulesetParser {
 public:
  RulesetParser(Ruleset& ruleset, const BaseResolver& resolver, const GroupHolds& holds,
                Ruleset::Content content)
      : ruleset_(ruleset), resolver_(resolver), holds_(holds), content_(content) {}

  void Parse(const RulesetText& text) {
    const Json& document = text.tree_->document;
    if (Number(Member(document, "format")) != 1) Fail("format is not 1");
    ruleset_.max_marks_ = Number(Member(Member(document, "limits"), "marks"));
    ruleset_.max_depth_ = Number(Member(Member(document, "limits"), "depth"));
    const Json& deadline = Member(Member(document, "verdict"), "deadline_ns");
    if (!deadline.IsUint64()) Fail("deadline_ns is not a number");
    ruleset_.deadline_ns_ = deadline.GetUint64();
    for (const Json& exe : List(document, "exes")) {
      const std::string pattern = Text(exe, "pattern");
      ruleset_.exes_.push_back(
          {Checked(PathPattern::ParseGlob(pattern), pattern), Flag(exe, "host")});
    }
    is_named_.assign(ruleset_.exes_.size(), content_ == Ruleset::Content::kAll);
    ruleset_.is_script_.assign(ruleset_.exes_.size(), false);
    for (const Json& manager : List(document, "package_managers")) {
      PackageManager& added = ruleset_.package_managers_.emplace_back();
      added.name = Text(manager, "name");
      for (const Json& exe : List(manager, "exes")) added.exes.push_back(Named(Number(exe)));
      for (const Json& script : List(manager, "scripts")) {
        added.scripts.push_back(Named(Number(script)));
        ruleset_.is_script_[added.scripts.back()] = true;
      }
    }
    if (ruleset_.package_managers_.size() > 254) Fail("more than 254 package managers");
    ruleset_.is_runtime_.assign(ruleset_.exes_.size(), false);
    for (const Json& exe : List(document, "runtimes")) {
      ruleset_.is_runtime_[ExeIndex(Number(exe))] = true;
    }
    Users(Member(document, "users"));
    for (const Json& group : List(document, "groups")) Group(group);
    for (size_t exe = 0; exe < is_named_.size(); ++exe) {
      if (is_named_[exe]) Resolve(ruleset_.exes_[exe].pattern);
    }
    if (!ruleset_.regexes_->Compile()) Fail("the regular expressions together are too large");
    ruleset_.Index();
  }

 private:
  // JSON has no numbers as keys.
  void Users(const Json& json) {
    if (!json.IsObject()) Fail("not an object: users");
    for (const auto& [id, name] : json.GetObject()) {
      const std::string digits = Text(id);
      uint32_t user_id = 0;
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), user_id);
      if (error != std::errc() || end != digits.data() + digits.size()) Fail("no id: " + digits);
      ruleset_.user_names_.emplace(user_id, Text(name));
    }
  }

  uint32_t ExeIndex(uint32_t index) const {
    if (index >= ruleset_.exes_.size()) Fail("no exe " + std::to_string(index));
    return index;
  }

  uint32_t Named(uint32_t index) {
    is_named_[ExeIndex(index)] = true;
    return index;
  }

  void Resolve(PathPattern& pattern) const {
    if (resolver_) pattern.AddResolvedBases(resolver_);
  }
  static PathPattern Checked(PathPattern::ParseResult parsed, const std::string& text) {
    if (!parsed.pattern) {
      Fail("pattern '" + text + "': " + parsed.error.message + " (byte " +
           std::to_string(parsed.error.offset) + ")");
    }
    return std::move(*parsed.pattern);
  }
  PathPattern Glob(const std::string& text) const {
    PathPattern pattern = Checked(PathPattern::ParseGlob(text), text);
    Resolve(pattern);
    return pattern;
  }

  void Group(const Json& json) {
    const auto index = static_cast<uint32_t>(ruleset_.groups_.size());
    RuleGroup group{Text(json, "name"), Flag(json, "host"),
                    static_cast<uint32_t>(ruleset_.rules_.size()), 0};
    const bool held = holds_(group);
    for (const Json& rule : List(json, "rules")) {
      if (held || content_ == Ruleset::Content::kAll) {
        ReadRule(rule, index, held);
      } else {
        ruleset_.rules_.emplace_back().group = index;
      }
      ++group.rule_count;
    }
    ruleset_.groups_.push_back(std::move(group));
  }

  void ReadRule(const Json& json, uint32_t group, bool held) {
    const auto index = static_cast<uint32_t>(ruleset_.rules_.size());
    Rule& rule = ruleset_.rules_.emplace_back();
    rule.name = Text(json, "name");
    rule.group = group;
    rule.held = held;
    if (held) ReadPatterns(json, index, rule);
    rule.behavior = Word<Behavior>(json, "behavior",
                                   {{"watch", Behavior::kWatch}, {"block", Behavior::kBlock}});
    rule.operations = ReadOperations(json);
    rule.mode = Word<Mode>(
        json, "mode",
        {{"discover", Mode::kDiscover}, {"monitor", Mode::kMonitor}, {"protect", Mode::kProtect}});
    for (const Json& app : List(json, "apps")) rule.apps.push_back(ReadApp(app));
    rule.changes_quiet = Word<bool>(json, "changes_listed", {{"report", false}, {"quiet", true}});
    rule.on_deadline = ReadOnDeadline(json);
    rule.runtime = Flag(json, "runtime");
    rule.strict = Flag(json, "strict");
    rule.required = Flag(json, "required");
  }

  void ReadPatterns(const Json& json, uint32_t index, Rule& rule) {
    if (const Json* const regex = Optional(json, "regex")) {
      const std::string text = Text(*regex);
      rule.paths.push_back(Checked(PathPattern::ParseRegex(text), text));
      Resolve(rule.paths.back());
      if (!ruleset_.regexes_->Add(text, index)) Fail("regex '" + text + "' is refused");
    } else {
      for (const Json& path : List(json, "path")) rule.paths.push_back(Glob(Text(path)));
    }
    for (const Json& except : List(json, "except")) rule.excepts.push_back(Glob(Text(except)));
  }

  AppEntry ReadApp(const Json& json) {
    AppEntry app;
    app.operations = ReadOperations(json);
    app.exe = OptionalNumber(json, "exe");
    app.script = OptionalNumber(json, "script");
    app.ancestor = OptionalNumber(json, "ancestor");
    for (const auto& exe : {app.exe, app.script, app.ancestor}) {
      if (exe) Named(*exe);
    }
    if (app.script) ruleset_.is_script_[*app.script] = true;
    app.children = Flag(json, "children");
    app.host = Flag(json, "host");
    app.user_id = OptionalNumber(json, "user_id");
    app.unit = OptionalText(json, "unit");
    app.sha256 = OptionalText(json, "sha256");
    app.package_manager = Flag(json, "package_manager");
    return app;
  }

  Ruleset& ruleset_;
  const BaseResolver& resolver_;
  const GroupHolds& holds_;
  const Ruleset::Content content_;
  std::vector<bool> is_named_;  // by exe: something that was read names it
};

Result<std::shared_ptr<const Ruleset>> Ruleset::Parse(std::string_view json,
                                                      const BaseResolver& resolver,
                                                      const GroupHolds& holds) {
  const auto text = RulesetText::Read(std::string(json));
  if (!text.ok()) return text.error();
  return Parse(**text, resolver, holds, Content::kAll);
}

Result<std::shared_ptr<const Ruleset>> Ruleset::Parse(const RulesetText& text,
                                                      const BaseResolver& resolver,
                                                      const GroupHolds& holds, Content content) {
  std::shared_ptr<Ruleset> ruleset(new Ruleset);
  try {
    RulesetParser(*ruleset, resolver, holds, content).Parse(text);
  } catch (const std::invalid_argument& problem) {
    return Error{0, "", std::string("ruleset: ") + problem.what()};
  }
  return std::shared_ptr<const Ruleset>(std::move(ruleset));
}

}  // namespace fileward
