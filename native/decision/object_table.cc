#include "native/decision/object_table.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace fileward {
namespace {

bool SameBirth(uint64_t left, uint64_t right) { return left == right || left == 0 || right == 0; }

void Signal(const UniqueFd& event) {
  const uint64_t one = 1;
  // Fails only when the counter is full: then the other side is awake already.
  [[maybe_unused]] const ssize_t written = ::write(event.get(), &one, sizeof(one));
}

constexpr size_t kUpdateCapacity = 16384;
constexpr size_t kGivenBackCapacity = 64;

}  // namespace

void ObjectTable::Add(const FileIdentity& identity, uint64_t birth_ns, ObjectName name) {
  if (std::find(devices_.begin(), devices_.end(), identity.dev) == devices_.end()) {
    devices_.push_back(identity.dev);
  }
  Object& object = objects_[identity];
  if (!SameBirth(object.birth_ns, birth_ns)) object.names.clear();
  object.birth_ns = birth_ns;
  const auto known = std::find_if(object.names.begin(), object.names.end(),
                                  [&](const ObjectName& old) { return old.path == name.path; });
  if (known == object.names.end()) {
    object.names.push_back(std::move(name));
  } else {
    *known = std::move(name);
  }
}

void ObjectTable::RemoveName(const FileIdentity& identity, std::string_view path) {
  const auto found = objects_.find(identity);
  if (found == objects_.end()) return;
  std::erase_if(found->second.names, [&](const ObjectName& name) { return name.path == path; });
  if (found->second.names.empty()) objects_.erase(found);
}

const Object* ObjectTable::Find(const FileIdentity& identity, uint64_t birth_ns) const {
  const auto found = objects_.find(identity);
  if (found == objects_.end() || !SameBirth(found->second.birth_ns, birth_ns)) return nullptr;
  return &found->second;
}

void RulesetSwap::MarkApplied() {
  applied_.store(true, std::memory_order_release);
  if (applied_event) Signal(applied_event);
}

ObjectUpdates::ObjectUpdates()
    : queue_(kUpdateCapacity),
      given_back_(kGivenBackCapacity),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

bool ObjectUpdates::Send(ObjectUpdate update) {
  while (given_back_.TryPop()) {
  }
  while (!closed_.load(std::memory_order_acquire)) {
    if (queue_.TryPush(update)) {
      Wake();
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

// Where the queue is full the caller frees it: a moment of its time, no more.
void ObjectUpdates::GiveBack(std::unique_ptr<WorkloadRules> rules) { given_back_.TryPush(rules); }

void ObjectUpdates::Wake() const { Signal(wake_); }

}  // namespace fileward
