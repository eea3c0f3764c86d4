// The words that the enums of native/event/event_record.h have in JavaScript.
#ifndef FILEWARD_ADDON_WORDS_H_
#define FILEWARD_ADDON_WORDS_H_

#include <span>
#include <utility>

#include "native/event/event_record.h"

namespace fileward {

template <typename Enum>
using EnumWord = std::pair<Enum, const char*>;

inline constexpr EnumWord<EventKind> kEventKindWords[] = {
    {EventKind{0}, "none"},
    {EventKind::kOpen, "open"},
    {EventKind::kAccess, "access"},
    {EventKind::kChange, "change"},
    {EventKind::kLost, "lost"},
    {EventKind::kCoverage, "coverage"},
    {EventKind::kEnforcement, "enforcement"},
    {EventKind::kAppReplaced, "app_replaced"},
};

inline constexpr EnumWord<Operation> kOperationWords[] = {
    {Operation::kNone, "none"},
    {Operation::kRead, "read"},
    {Operation::kWrite, "write"},
    {Operation::kExec, "exec"},
};

inline constexpr EnumWord<Change> kChangeWords[] = {
    {Change::kNone, "none"},
    {Change::kCreated, "created"},
    {Change::kDeleted, "deleted"},
    {Change::kRenamed, "renamed"},
    {Change::kWritten, "written"},
    {Change::kClosedWrite, "closed_write"},
    {Change::kAttributes, "attributes"},
    {Change::kLinked, "linked"},
    {Change::kDirectoryMoved, "directory_moved"},
    {Change::kDirectoryDeleted, "directory_deleted"},
    {Change::kMade, "made"},
};

inline constexpr EnumWord<Outcome> kOutcomeWords[] = {
    {Outcome::kNotCovered, "not_covered"}, {Outcome::kQuiet, "quiet"},
    {Outcome::kLearned, "learned"},        {Outcome::kAccessed, "accessed"},
    {Outcome::kModified, "modified"},      {Outcome::kViolated, "violated"},
    {Outcome::kDenied, "denied"},
};

inline constexpr EnumWord<Verdict> kVerdictWords[] = {
    {Verdict::kNone, "none"},
    {Verdict::kAllow, "allow"},
    {Verdict::kDeny, "deny"},
};

inline constexpr EnumWord<Mode> kModeWords[] = {
    {Mode::kNone, "none"},
    {Mode::kDiscover, "discover"},
    {Mode::kMonitor, "monitor"},
    {Mode::kProtect, "protect"},
};

inline constexpr EnumWord<Reason> kReasonWords[] = {
    {Reason::kNone, "none"},
    {Reason::kAppNotListed, "app_not_listed"},
    {Reason::kIdentityMismatch, "identity_mismatch"},
    {Reason::kAncestryUnknown, "ancestry_unknown"},
    {Reason::kIntentUnproven, "intent_unproven"},
    {Reason::kNotEnforceable, "not_enforceable"},
    {Reason::kDescriptorNotJudged, "descriptor_not_judged"},
    {Reason::kEmptyFileLeft, "empty_file_left"},
    {Reason::kProcessGone, "process_gone"},
    {Reason::kProcessChanged, "process_changed"},
    {Reason::kDeadline, "deadline"},
    {Reason::kFoundOnRescan, "found_on_rescan"},
};

inline constexpr EnumWord<EventActorState> kActorStateWords[] = {
    {EventActorState::kUnknown, "unknown"},
    {EventActorState::kKnown, "known"},
    {EventActorState::kGone, "gone"},
    {EventActorState::kChanged, "changed"},
};

inline constexpr EnumWord<EventString> kEventStringWords[] = {
    {EventString::kPath, "path"},        {EventString::kProtectedPath, "protected_path"},
    {EventString::kNewPath, "new_path"}, {EventString::kExe, "exe"},
    {EventString::kCgroup, "cgroup"},    {EventString::kAncestors, "ancestors"},
    {EventString::kArgs, "args"},        {EventString::kText, "text"},
};

// The word of `value`; "" for none of the table.
template <typename Enum>
constexpr const char* WordIn(std::span<const EnumWord<Enum>> words, Enum value) {
  for (const auto& [candidate, word] : words) {
    if (candidate == value) return word;
  }
  return "";
}

}  // namespace fileward

#endif  // FILEWARD_ADDON_WORDS_H_
