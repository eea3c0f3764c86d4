#include "native/addon/report.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "native/base/failure.h"

namespace fileward {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;

Napi::Number Number(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

Napi::String String(Napi::Env env, std::string_view text) {
  return Napi::String::New(env, text.data(), text.size());
}

Napi::String Decimal(Napi::Env env, uint64_t value) { return String(env, std::to_string(value)); }

// An array of what `convert` makes of each item.
template <typename Items, typename Convert>
Napi::Array List(Napi::Env env, const Items& items, Convert convert) {
  Napi::Array array = Napi::Array::New(env, items.size());
  uint32_t index = 0;
  for (const auto& item : items) array.Set(index++, convert(item));
  return array;
}

Napi::Array TextList(Napi::Env env, const std::vector<std::string>& texts) {
  return List(env, texts, [env](const std::string& text) { return String(env, text); });
}

Napi::Object TextPair(Napi::Env env, const char* first_key, const std::string& first,
                      const char* second_key, const std::string& second) {
  Napi::Object object = Napi::Object::New(env);
  object.Set(first_key, String(env, first));
  object.Set(second_key, String(env, second));
  return object;
}

void SetIdentity(Napi::Object& object, const FileIdentity& identity, uint64_t birth_ns) {
  const Napi::Env env = object.Env();
  object.Set("device", Decimal(env, identity.dev));
  object.Set("inode", Decimal(env, identity.ino));
  object.Set("birth_ns", Decimal(env, birth_ns));
}

Napi::Object RuleCoverageToJs(Napi::Env env, const RuleCoverage& rule) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("rule_index", Number(env, rule.rule_index));
  object.Set("files", Number(env, rule.files));
  object.Set("directories", Number(env, rule.directories));
  object.Set("resolved", List(env, rule.resolved, [env](const RuleCoverage::Resolved& resolved) {
               Napi::Object pair =
                   TextPair(env, "pattern", resolved.pattern, "real", resolved.real);
               pair.Set("base", String(env, resolved.base));
               return pair;
             }));
  object.Set("absent", TextList(env, rule.absent));
  object.Set("absent_apps", TextList(env, rule.absent_apps));
  object.Set("degraded", List(env, rule.degraded, [env](const RuleCoverage::Degraded& degraded) {
               return TextPair(env, "error_type", degraded.error_type, "detail", degraded.detail);
             }));
  return object;
}

Napi::Array RulesToJs(Napi::Env env, const std::vector<RuleCoverage>& rules) {
  return List(env, rules, [env](const RuleCoverage& rule) { return RuleCoverageToJs(env, rule); });
}

Napi::Object WorkloadReportToJs(Napi::Env env, const WorkloadReport& workload) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("workload", Number(env, workload.workload));
  object.Set("error", String(env, workload.error));
  object.Set("covered_ns", Napi::BigInt::New(env, workload.covered_ns));
  object.Set("rules", RulesToJs(env, workload.rules));
  return object;
}

Napi::Object MovedFileToJs(Napi::Env env, const MovedFile& moved) {
  Napi::Object object = TextPair(env, "path", moved.path, "protected_path", moved.protected_path);
  SetIdentity(object, moved.identity, moved.birth_ns);
  return object;
}

Napi::Object FollowedAppToJs(Napi::Env env, const FollowedApp& app) {
  Napi::Object object = TextPair(env, "pattern", app.pattern, "path", app.path);
  SetIdentity(object, app.identity, app.birth_ns);
  object.Set("current", Napi::Boolean::New(env, app.current));
  return object;
}

std::string TextAt(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsString())
    throw Napi::TypeError::New(object.Env(), std::string(key) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

std::vector<std::string> TextsAt(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsArray())
    throw Napi::TypeError::New(object.Env(), std::string(key) + " must be an array");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < array.Length(); ++i)
    texts.push_back(array.Get(i).ToString().Utf8Value());
  return texts;
}

uint64_t DecimalAt(const Napi::Object& object, const char* key) {
  const std::string text = TextAt(object, key);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw Napi::TypeError::New(object.Env(), std::string(key) + " must be a decimal number");
  }
  return number;
}

// A whole number from 1 to `greatest`.
uint32_t CountAt(const Napi::Object& object, const char* key, uint32_t greatest) {
  const Napi::Value value = object.Get(key);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  if (!(number >= 1 && number <= greatest) || number != std::floor(number)) {
    throw Napi::TypeError::New(
        object.Env(), std::string(key) + " must be a number from 1 to " + std::to_string(greatest));
  }
  return static_cast<uint32_t>(number);
}

// What `convert` makes of each object of a list; nothing of an absent list.
template <typename Item, typename Convert>
std::vector<Item> ItemsFrom(const Napi::Value& value, Convert convert) {
  std::vector<Item> items;
  if (value.IsUndefined()) return items;
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), "an array is expected");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) items.push_back(convert(array.Get(i).ToObject()));
  return items;
}

}  // namespace

Napi::Object FeatureReport(Napi::Env env, const KernelFeatures& features) {
  Napi::Object report = Napi::Object::New(env);
  report.Set("features", List(env, features.lines, [env](const FeatureLine& line) {
               Napi::Object object = TextPair(env, "name", line.name, "detail", line.detail);
               object.Set("available", Napi::Boolean::New(env, line.available));
               return object;
             }));
  report.Set("missing_capabilities", TextList(env, features.missing_capabilities));
  report.Set("can_enforce", Napi::Boolean::New(env, features.can_enforce()));
  report.Set("can_watch", Napi::Boolean::New(env, features.can_watch()));
  return report;
}

Napi::Object CoverageReportToJs(Napi::Env env, const CoverageReport& report) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ruleset_version", Napi::BigInt::New(env, report.ruleset_version));
  object.Set("marks", MarkCountsToJs(env, report.permission_marks, report.notification_marks));
  object.Set("rules", RulesToJs(env, report.rules));
  object.Set("workloads", List(env, report.workloads, [env](const WorkloadReport& workload) {
               return WorkloadReportToJs(env, workload);
             }));
  object.Set("moved", List(env, report.moved,
                           [env](const MovedFile& moved) { return MovedFileToJs(env, moved); }));
  object.Set("followed_apps", List(env, report.followed_apps, [env](const FollowedApp& app) {
               return FollowedAppToJs(env, app);
             }));
  return object;
}

Napi::Object MarkCountsToJs(Napi::Env env, uint64_t permission, uint64_t notification) {
  Napi::Object marks = Napi::Object::New(env);
  marks.Set("permission", Number(env, permission));
  marks.Set("notification", Number(env, notification));
  return marks;
}

Napi::Object RingCountsToJs(Napi::Env env, const EventRing::Counts& counts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("published", Number(env, counts.published));
  object.Set("drained", Number(env, counts.drained));
  object.Set("dropped", Number(env, counts.dropped));
  return object;
}

Napi::Object NotificationCountsToJs(Napi::Env env, const Coverage::EventCounts& counts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("read", Number(env, counts.read));
  object.Set("handled", Number(env, counts.handled));
  return object;
}

std::vector<MovedFile> MovedFilesFrom(const Napi::Value& value) {
  return ItemsFrom<MovedFile>(value, [](const Napi::Object& object) {
    MovedFile moved;
    moved.identity = {DecimalAt(object, "device"), DecimalAt(object, "inode")};
    moved.birth_ns = DecimalAt(object, "birth_ns");
    moved.path = TextAt(object, "path");
    moved.protected_path = TextAt(object, "protected_path");
    return moved;
  });
}

std::vector<FollowedApp> FollowedAppsFrom(const Napi::Value& value) {
  return ItemsFrom<FollowedApp>(value, [](const Napi::Object& object) {
    FollowedApp app;
    app.pattern = TextAt(object, "pattern");
    app.path = TextAt(object, "path");
    app.identity = {DecimalAt(object, "device"), DecimalAt(object, "inode")};
    app.birth_ns = DecimalAt(object, "birth_ns");
    app.current = object.Get("current").ToBoolean();
    return app;
  });
}

std::vector<WorkloadSpec> WorkloadSpecsFrom(const Napi::Value& value) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), "workloads must be an array");
  return ItemsFrom<WorkloadSpec>(value, [](const Napi::Object& object) {
    WorkloadSpec spec;
    spec.id = CountAt(object, "id", kUnknownWorkload - 1);
    spec.pid = static_cast<int32_t>(CountAt(object, "pid", std::numeric_limits<int32_t>::max()));
    spec.start_ticks = DecimalAt(object, "start_ticks");
    spec.cgroup = TextAt(object, "cgroup");
    spec.groups = TextsAt(object, "groups");
    return spec;
  });
}

Napi::Array FailureNames(Napi::Env env) {
  Napi::Array names = Napi::Array::New(env, kFailureCount);
  for (uint32_t i = 0; i < kFailureCount; ++i) {
    names.Set(i, String(env, FailureName(static_cast<Failure>(i))));
  }
  return names;
}

Napi::Object FailureCounts(Napi::Env env) {
  Napi::Object counts = Napi::Object::New(env);
  for (uint32_t i = 0; i < kFailureCount; ++i) {
    const auto reason = static_cast<Failure>(i);
    counts.Set(String(env, FailureName(reason)), Napi::BigInt::New(env, FailureCount(reason)));
  }
  return counts;
}

Napi::Object HistogramToJs(Napi::Env env, const VerdictHistogram& histogram) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("bounds_seconds", List(env, kVerdictBoundsNs, [env](uint64_t bound_ns) {
               return Napi::Number::New(env, static_cast<double>(bound_ns) / kNanosecondsPerSecond);
             }));
  Napi::Array counts = Napi::Array::New(env, VerdictHistogram::kBuckets);
  for (uint32_t i = 0; i < VerdictHistogram::kBuckets; ++i) {
    counts.Set(i, Napi::BigInt::New(env, histogram.bucket(i)));
  }
  object.Set("counts", counts);
  object.Set("sum_seconds", Napi::Number::New(env, static_cast<double>(histogram.sum_ns()) /
                                                       kNanosecondsPerSecond));
  return object;
}

Napi::Object VerdictHistograms(Napi::Env env, const VerdictStats& stats) {
  Napi::Object histograms = Napi::Object::New(env);
  histograms.Set("allow", HistogramToJs(env, stats.allowed));
  histograms.Set("deny", HistogramToJs(env, stats.denied));
  return histograms;
}

}  // namespace fileward
