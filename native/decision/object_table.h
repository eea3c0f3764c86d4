// What decides for one workload (its ruleset, its covered files by identity, its apps), and the
// messages by which coverage keeps that current on the decision thread.
//
// Contract: the decision thread owns its ObjectTables alone; coverage builds new ones on its own
// thread and hands them over in ReplaceAll. Cost: one hash lookup per question. A `birth_ns` of 0
// on either side matches any. Thread-safety: none; ownership moves with the message.
#ifndef FILEWARD_DECISION_OBJECT_TABLE_H_
#define FILEWARD_DECISION_OBJECT_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "native/base/file_identity.h"
#include "native/base/unique_fd.h"
#include "native/base/workload.h"
#include "native/decision/app_identities.h"
#include "native/decision/mount_view.h"
#include "native/decision/ruleset.h"
#include "native/decision/verdict_stats.h"
#include "native/event/spsc_queue.h"

namespace fileward {

class WorkloadUsers;

struct ObjectName {
  std::string path;
  std::shared_ptr<const MatchSet> rules;
  bool moved = false;  // protected under a name that it has no more
};

struct Object {
  uint64_t birth_ns = 0;
  std::vector<ObjectName> names;
};

class ObjectTable {
 public:
  // Adds or replaces the name; an object of another birth under the same identity goes first.
  void Add(const FileIdentity& identity, uint64_t birth_ns, ObjectName name);
  void RemoveName(const FileIdentity& identity, std::string_view path);
  void Remove(const FileIdentity& identity) { objects_.erase(identity); }
  const Object* Find(const FileIdentity& identity, uint64_t birth_ns) const;
  const std::unordered_map<FileIdentity, Object>& objects() const { return objects_; }
  size_t size() const { return objects_.size(); }
  // Of every object that was added; few.
  const std::vector<uint64_t>& devices() const { return devices_; }

 private:
  std::unordered_map<FileIdentity, Object> objects_;
  std::vector<uint64_t> devices_;
};

// Where a container's files are; the host's is left as it is.
struct WorkloadRoot {
  uint64_t dev = 0;  // st_dev of its root directory
  // `dev` is this container's alone: an overlay.
  bool own_filesystem = false;
  // Where its root is among our paths, when it shares our mount namespace (a chroot only).
  std::string prefix;
};

// What decides for one workload.
struct WorkloadRules {
  WorkloadId workload = kHostWorkload;
  std::shared_ptr<const Ruleset> ruleset;
  ObjectTable table;
  std::shared_ptr<const AppIdentities> apps;
  std::shared_ptr<const WorkloadUsers> users;  // null: the host's
  WorkloadRoot root;
};

// Everything that one version of the configuration decides with, put in place at once. Exe indexes
// mean something in their own version only, so a new version comes with all workloads in it; the
// host's part is always among them, since the other workloads ask for its apps. Coverage fills it,
// sends it, and keeps its reference until `applied()`: the decision thread leaves what was replaced
// in here so that it is freed on coverage's thread.
struct RulesetSwap {
  uint64_t version = 0;
  std::vector<WorkloadRules> parts;
  bool all = false;                        // workloads that have no part here leave
  std::shared_ptr<RuleCounters> counters;  // for all rules of the version; null: they stay
  UniqueFd applied_event;                  // an eventfd, optional: written when applied

  bool applied() const { return applied_.load(std::memory_order_acquire); }
  // Decision thread only, after the swap.
  void MarkApplied();

 private:
  // Released by MarkApplied, acquired by coverage in applied().
  std::atomic<bool> applied_{false};
};

struct AddName {
  WorkloadId workload = kHostWorkload;
  FileIdentity identity;
  uint64_t birth_ns = 0;
  ObjectName name;
};
struct RemoveName {
  WorkloadId workload = kHostWorkload;
  FileIdentity identity;
  std::string path;
};
struct RemoveIdentity {
  WorkloadId workload = kHostWorkload;
  FileIdentity identity;
};
struct ReplaceAll {
  std::shared_ptr<RulesetSwap> swap;
};
// Takes the ignore mark off a file that became covered; `file` is an O_PATH descriptor. After the
// AddName.
struct Unignore {
  UniqueFd file;
};
struct AppsChanged {
  WorkloadId workload = kHostWorkload;
  std::shared_ptr<const AppIdentities> apps;
};
struct MountsChanged {
  WorkloadId workload = kHostWorkload;
  std::shared_ptr<const MountView> mounts;
};

// The container has ended or is covered no more. What decided for it comes back to the thread that
// sends (see Send) to be freed there.
struct WorkloadGone {
  WorkloadId workload = kHostWorkload;
};
struct UsersChanged {
  WorkloadId workload = kHostWorkload;
  std::shared_ptr<const WorkloadUsers> users;
};

using ObjectUpdate = std::variant<AddName, RemoveName, RemoveIdentity, ReplaceAll, Unignore,
                                  AppsChanged, MountsChanged, WorkloadGone, UsersChanged>;

// Messages from the coverage thread (only producer) to the decision thread (only consumer), in
// order.
class ObjectUpdates {
 public:
  ObjectUpdates();

  // Waits (1 ms naps) while the queue is full: the decision thread never waits for coverage. False
  // after Close. Frees what was given back.
  bool Send(ObjectUpdate update);

  // Consumer.
  std::optional<ObjectUpdate> Take() { return queue_.TryPop(); }
  int wake_fd() const { return wake_.get(); }
  void Close() { closed_.store(true, std::memory_order_release); }
  void Wake() const;
  // What decides no more, to be freed by the next Send.
  void GiveBack(std::unique_ptr<WorkloadRules> rules);

 private:
  SpscQueue<ObjectUpdate> queue_;
  SpscQueue<std::unique_ptr<WorkloadRules>> given_back_;
  UniqueFd wake_;
  // Set by the decision thread when it ends, acquired by Send.
  std::atomic<bool> closed_{false};
};

// An open for write that was judged by a `block` rule; told before the answer, so that coverage
// knows it before the first change that can follow. Denied ones come too: their O_CREAT may have
// left an empty file.
struct JudgedOpen {
  WorkloadId workload = kHostWorkload;  // whose rule decided
  FileIdentity identity;
  uint64_t birth_ns = 0;
  int32_t tgid = 0;
  int32_t tid = 0;
  FileIdentity exe;
  uint32_t rule_index = kNoRule;
  uint64_t ruleset_version = 0;
  uint64_t time_ns = 0;  // CLOCK_REALTIME of the event
  Outcome outcome = Outcome::kQuiet;
  Mode mode = Mode::kNone;
  bool listed = false;
  bool creat_fresh = false;
};
// Decision thread (only producer) to coverage thread (only consumer).
using JudgedOpens = SpscQueue<JudgedOpen>;

}  // namespace fileward

#endif  // FILEWARD_DECISION_OBJECT_TABLE_H_
