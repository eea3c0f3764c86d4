// Writes rulesets as src/policy/compile.ts does, for the tests of native/decision.
#ifndef FILEWARD_TEST_NATIVE_DECISION_RULES_H_
#define FILEWARD_TEST_NATIVE_DECISION_RULES_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "native/decision/ruleset.h"

namespace fileward {

inline std::string Quoted(const std::string& text) {
  std::string json = "\"";
  for (const char byte : text) {
    if (byte == '"' || byte == '\\') json += '\\';
    json += byte;
  }
  return json + "\"";
}

inline std::string JsonList(const std::vector<std::string>& items, bool quote = true) {
  std::string json = "[";
  for (const std::string& item : items) {
    if (json.size() > 1) json += ",";
    json += quote ? Quoted(item) : item;
  }
  return json + "]";
}

struct TestApp {
  std::vector<std::string> operations = {"read", "write", "exec"};
  std::string more;  // e.g. "\"exe\":0"
  bool children = false;
  bool package_manager = false;
  bool host = false;

  std::string Json() const {
    return "{\"operations\":" + JsonList(operations) + (more.empty() ? "" : "," + more) +
           ",\"children\":" + (children ? "true" : "false") +
           ",\"host\":" + (host ? "true" : "false") +
           ",\"package_manager\":" + (package_manager ? "true" : "false") + "}";
  }
};

// `exe` 0 is listed for everything.
inline TestApp ListedApp(int exe = 0) {
  TestApp app;
  app.more = "\"exe\":" + std::to_string(exe);
  return app;
}

struct TestRule {
  std::string name = "rule";
  std::vector<std::string> path;
  std::string regex;
  std::vector<std::string> except;
  std::string behavior = "block";
  std::vector<std::string> operations = {"read", "write", "exec"};
  std::string mode = "protect";
  std::vector<TestApp> apps;
  std::string changes_listed = "report";
  std::string on_deadline = "allow";
  bool runtime = true;
  bool strict = false;

  std::string Json() const {
    std::vector<std::string> app_texts;
    for (const TestApp& app : apps) app_texts.push_back(app.Json());
    return "{\"name\":" + Quoted(name) + "," +
           (regex.empty() ? "\"path\":" + JsonList(path) : "\"regex\":" + Quoted(regex)) +
           ",\"except\":" + JsonList(except) + ",\"behavior\":" + Quoted(behavior) +
           ",\"operations\":" + JsonList(operations) + ",\"mode\":" + Quoted(mode) +
           ",\"apps\":" + JsonList(app_texts, false) +
           ",\"changes_listed\":" + Quoted(changes_listed) +
           ",\"on_deadline\":" + Quoted(on_deadline) +
           ",\"runtime\":" + (runtime ? "true" : "false") +
           ",\"strict\":" + (strict ? "true" : "false") + ",\"required\":false}";
  }
};

struct TestGroup {
  std::vector<TestRule> rules;
  bool host = true;
};

struct TestPackageManager {
  std::string name;
  std::vector<int> exes;
  std::vector<int> scripts = {};
};

inline std::string JsonNumbers(const std::vector<int>& numbers) {
  std::vector<std::string> texts;
  for (const int number : numbers) texts.push_back(std::to_string(number));
  return JsonList(texts, false);
}

struct TestRuleset {
  std::vector<std::string> exes = {"/usr/bin/listed"};
  std::set<uint32_t> host_exes;  // `workload: host`
  std::vector<int> runtimes;
  std::map<uint32_t, std::string> users;
  std::vector<TestPackageManager> package_managers;
  std::vector<TestGroup> groups;
  // Far off: a busy machine must not change what a test sees.
  uint64_t deadline_ns = 10'000'000'000;

  std::string Json() const {
    std::string json =
        "{\"format\":1,\"limits\":{\"marks\":200000,\"depth\":32},\"verdict\":{"
        "\"deadline_ns\":" +
        std::to_string(deadline_ns) + ",\"on_deadline\":\"allow\"},\"exes\":[";
    for (size_t i = 0; i < exes.size(); ++i) {
      json += (i > 0 ? "," : "") + std::string("{\"pattern\":") + Quoted(exes[i]) +
              ",\"host\":" + (host_exes.contains(static_cast<uint32_t>(i)) ? "true" : "false") +
              "}";
    }
    json += "],\"package_managers\":[";
    for (size_t i = 0; i < package_managers.size(); ++i) {
      const TestPackageManager& manager = package_managers[i];
      json += (i > 0 ? "," : "") + std::string("{\"name\":") + Quoted(manager.name) +
              ",\"exes\":" + JsonNumbers(manager.exes) +
              ",\"scripts\":" + JsonNumbers(manager.scripts) + "}";
    }
    json += "],\"runtimes\":" + JsonNumbers(runtimes) + ",\"users\":{";
    for (const auto& [id, name] : users) {
      json += (json.back() == '{' ? "\"" : ",\"") + std::to_string(id) + "\":" + Quoted(name);
    }
    json += "},\"groups\":[";
    for (size_t i = 0; i < groups.size(); ++i) {
      std::vector<std::string> rules;
      for (const TestRule& rule : groups[i].rules) rules.push_back(rule.Json());
      json += (i > 0 ? "," : "") + std::string("{\"name\":\"g") + std::to_string(i) +
              "\",\"host\":" + (groups[i].host ? "true" : "false") +
              ",\"rules\":" + JsonList(rules, false) + "}";
    }
    return json + "]}";
  }

  std::shared_ptr<const Ruleset> Parse(const BaseResolver& resolver = {},
                                       const GroupHolds& holds = Ruleset::HoldsHost) const {
    auto parsed = Ruleset::Parse(Json(), resolver, holds);
    if (!parsed) {
      ADD_FAILURE() << parsed.error().Message();
      return nullptr;
    }
    return *parsed;
  }
};

inline TestRuleset OneGroup(std::vector<TestRule> rules) {
  TestRuleset ruleset;
  ruleset.groups = {{std::move(rules), true}};
  return ruleset;
}

}  // namespace fileward

#endif  // FILEWARD_TEST_NATIVE_DECISION_RULES_H_
