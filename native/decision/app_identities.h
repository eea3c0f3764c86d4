// Which files the exe patterns name now (and named before, as long as a process runs them), by
// identity. Built by coverage, handed to the decision thread as an immutable snapshot; safe to read
// from any thread.
#ifndef FILEWARD_DECISION_APP_IDENTITIES_H_
#define FILEWARD_DECISION_APP_IDENTITIES_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "native/base/file_identity.h"

namespace fileward {

class AppIdentities {
 public:
  struct App {
    std::vector<uint32_t> exes;  // indexes in Ruleset::exes(), scripts too
    std::string sha256;          // lower-case hex; empty when no rule asks for it
  };

  AppIdentities() = default;
  explicit AppIdentities(std::unordered_map<FileIdentity, App> apps) : apps_(std::move(apps)) {}

  std::span<const uint32_t> ExesOf(const FileIdentity& identity) const {
    const auto found = apps_.find(identity);
    return found == apps_.end() ? std::span<const uint32_t>{} : found->second.exes;
  }
  std::string_view Sha256Of(const FileIdentity& identity) const {
    const auto found = apps_.find(identity);
    return found == apps_.end() ? std::string_view{} : found->second.sha256;
  }

 private:
  std::unordered_map<FileIdentity, App> apps_;
};

}  // namespace fileward

#endif  // FILEWARD_DECISION_APP_IDENTITIES_H_
