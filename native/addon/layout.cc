#include "native/addon/layout.h"

#include <cstddef>
#include <initializer_list>
#include <span>
#include <utility>

#include "native/addon/words.h"
#include "native/coverage/covered_files.h"
#include "native/event/event_record.h"

namespace fileward {
namespace {

// Each word at the index of its value; one left out is a hole, which JavaScript reports.
template <typename Enum, size_t kSize>
Napi::Array Words(Napi::Env env, const EnumWord<Enum> (&words)[kSize]) {
  Napi::Array array = Napi::Array::New(env);
  for (const auto& [value, word] : words) {
    array.Set(static_cast<uint32_t>(value), Napi::String::New(env, word));
  }
  return array;
}

Napi::Object Numbers(Napi::Env env, std::initializer_list<std::pair<const char*, size_t>> numbers) {
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, number] : numbers) {
    object.Set(name, Napi::Number::New(env, static_cast<double>(number)));
  }
  return object;
}

Napi::Object Fields(Napi::Env env) {
#define FIELD(name) \
  { #name, offsetof(EventHeader, name) }
  return Numbers(env, {FIELD(size_bytes),
                       FIELD(kind),
                       FIELD(flags),
                       FIELD(time_ns),
                       FIELD(ruleset_version),
                       FIELD(operation),
                       FIELD(change),
                       FIELD(outcome),
                       FIELD(verdict),
                       FIELD(mode),
                       FIELD(reason),
                       FIELD(actor_state),
                       FIELD(package_manager),
                       FIELD(rule_index),
                       FIELD(nlink),
                       FIELD(dev),
                       FIELD(ino),
                       FIELD(size),
                       FIELD(mtime_ns),
                       FIELD(file_mode),
                       FIELD(file_uid),
                       FIELD(file_gid),
                       FIELD(before_known),
                       FIELD(before_size),
                       FIELD(before_mtime_ns),
                       FIELD(before_mode),
                       FIELD(before_uid),
                       FIELD(before_gid),
                       FIELD(detail),
                       FIELD(pid),
                       FIELD(tid),
                       FIELD(ppid),
                       FIELD(euid),
                       FIELD(ruid),
                       FIELD(sequence),
                       FIELD(process_start_ns),
                       FIELD(verdict_duration_ns),
                       FIELD(count),
                       FIELD(workload),
                       FIELD(actor_workload),
                       FIELD(lengths)});
#undef FIELD
}

Napi::Object Flags(Napi::Env env) {
  return Numbers(env, {{"listed", EventFlag::kListed},
                       {"judged", EventFlag::kJudged},
                       {"replaced", EventFlag::kReplaced},
                       {"o_creat_fresh", EventFlag::kCreatFresh},
                       {"own", EventFlag::kOwn},
                       {"directory", EventFlag::kDirectory},
                       {"rename_target_covered", EventFlag::kRenameTargetCovered},
                       {"unlinked", EventFlag::kUnlinked},
                       {"changes_quiet", EventFlag::kChangesQuiet},
                       {"extended_attributes", EventFlag::kExtendedAttributes}});
}

}  // namespace

Napi::Object CoveredFilesLayout(Napi::Env env) {
#define HEADER(name) {#name, offsetof(CoveredFilesHeader, name)}
#define ENTRY(name) \
  { #name, offsetof(CoveredFileEntry, name) }
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("header_bytes", Napi::Number::New(env, sizeof(CoveredFilesHeader)));
  layout.Set("header", Numbers(env, {HEADER(ruleset_version), HEADER(count), HEADER(left_out),
                                     HEADER(full)}));
  layout.Set("entry_bytes", Napi::Number::New(env, sizeof(CoveredFileEntry)));
  layout.Set("entry",
             Numbers(env, {ENTRY(ino), ENTRY(birth_ns), ENTRY(size), ENTRY(mtime_ns),
                           ENTRY(ctime_ns), ENTRY(mode), ENTRY(uid), ENTRY(gid), ENTRY(rule_index),
                           ENTRY(dev), ENTRY(path_bytes), ENTRY(gone)}));
#undef ENTRY
#undef HEADER
  return layout;
}

Napi::Object EventLayout(Napi::Env env) {
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("header_bytes", Napi::Number::New(env, kEventHeaderBytes));
  layout.Set("fields", Fields(env));
  layout.Set("strings", Words(env, kEventStringWords));
  layout.Set("flags", Flags(env));
  layout.Set("kinds", Words(env, kEventKindWords));
  layout.Set("operations", Words(env, kOperationWords));
  layout.Set("changes", Words(env, kChangeWords));
  layout.Set("outcomes", Words(env, kOutcomeWords));
  layout.Set("verdicts", Words(env, kVerdictWords));
  layout.Set("modes", Words(env, kModeWords));
  layout.Set("reasons", Words(env, kReasonWords));
  layout.Set("actor_states", Words(env, kActorStateWords));
  return layout;
}

}  // namespace fileward
