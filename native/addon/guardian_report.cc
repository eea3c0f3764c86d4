#include "native/addon/guardian_report.h"

#include <algorithm>
#include <string>

#include "native/addon/report.h"
#include "native/base/clock.h"

namespace fileward {
namespace {

using Answers = VerdictJournal::Answers;
using StandInReason = VerdictJournal::Reason;

Napi::BigInt Count(Napi::Env env, const std::atomic<uint64_t>& count) {
  return Napi::BigInt::New(env, count.load());
}

void SetAnswers(Napi::Object& object, const Answers& answers) {
  object.Set("allowed", Count(object.Env(), answers.allowed));
  object.Set("denied", Count(object.Env(), answers.denied));
}

Napi::BigInt Realtime(Napi::Env env, uint64_t monotonic_ns) {
  return Napi::BigInt::New(env, RealtimeNs() - (MonotonicNs() - monotonic_ns));
}

const char* WordOf(StandInReason reason) {
  return reason == StandInReason::kNotReading ? "not_reading"
         : reason == StandInReason::kCanary   ? "canary"
                                              : "";
}

Napi::Object EpisodeToJs(Napi::Env env, const VerdictJournal::Episode& episode) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("reason", Napi::String::New(env, WordOf(episode.reason.load())));
  object.Set("from_ns", Realtime(env, episode.from_ns.load()));
  object.Set("to_ns", Realtime(env, episode.to_ns.load()));
  SetAnswers(object, episode.answered);
  return object;
}

Napi::Array EpisodesToJs(Napi::Env env, const VerdictJournal& journal) {
  const uint64_t count = journal.episode_count.load();
  const uint64_t kept = std::min<uint64_t>(count, VerdictJournal::kEpisodes);
  Napi::Array array = Napi::Array::New(env, kept);
  for (uint64_t i = 0; i < kept; ++i) {
    const uint64_t index = (count - kept + i) % VerdictJournal::kEpisodes;
    array.Set(static_cast<uint32_t>(i), EpisodeToJs(env, journal.episodes[index]));
  }
  return array;
}

std::string TextAt(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsString()) {
    throw Napi::TypeError::New(object.Env(), "guardian." + std::string(key) + " must be a string");
  }
  return value.As<Napi::String>().Utf8Value();
}

}  // namespace

std::optional<GuardianKeeper::Options> GuardianOptionsFrom(const Napi::Value& value) {
  if (value.IsUndefined()) return std::nullopt;
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), "guardian must be an object");
  const auto object = value.As<Napi::Object>();
  return GuardianKeeper::Options{TextAt(object, "executable"), TextAt(object, "socket"),
                                 TextAt(object, "canary")};
}

Napi::Object GuardianStatsToJs(Napi::Env env, const GuardianKeeper::Stats& keeper,
                               const VerdictJournal& journal) {
  Napi::Object stats = Napi::Object::New(env);
  stats.Set("pid", Napi::Number::New(env, keeper.pid));
  stats.Set("restarts", Napi::Number::New(env, static_cast<double>(keeper.restarts)));
  stats.Set("own_cgroup", Napi::Boolean::New(env, journal.own_cgroup.load()));
  const StandInReason reason = journal.present.reason.load();
  stats.Set("standing_in", Napi::String::New(env, WordOf(reason)));
  stats.Set("since_ns", reason == StandInReason::kNone
                            ? Napi::BigInt::New(env, uint64_t{0})
                            : Realtime(env, journal.present.from_ns.load()));
  stats.Set("episodes", EpisodesToJs(env, journal));
  stats.Set("episode_count",
            Napi::Number::New(env, static_cast<double>(journal.episode_count.load())));
  Napi::Object answered = Napi::Object::New(env);
  SetAnswers(answered, journal.unjudged);
  stats.Set("answered", answered);
  stats.Set("late", Count(env, journal.late));
  Napi::Object table = Napi::Object::New(env);
  table.Set("entries", Napi::Number::New(env, static_cast<double>(journal.denials.size())));
  table.Set("full", Napi::Boolean::New(env, journal.denials.full()));
  stats.Set("deny_table", table);
  Napi::Object canary = HistogramToJs(env, journal.canary.latency);
  canary.Set("misses", Count(env, journal.canary.misses));
  stats.Set("canary", canary);
  return stats;
}

}  // namespace fileward
