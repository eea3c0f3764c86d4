// The bytes of one read of a fanotify group, parsed as each of the two groups does.
//
// Held: no byte outside of the buffer is read, every descriptor that the bytes name is closed
// exactly once, and what the events say fits into what the bytes could hold. `close` is replaced in
// this program: the numbers are the fuzzer's, not of files that are open here.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "native/kernel/fanotify_events.h"
#include "test/fuzz/require.h"

namespace {
bool is_parsing = false;
std::map<int, int> closed;  // by number: how often
}  // namespace

extern "C" int close(int fd) {
  if (!is_parsing) return static_cast<int>(::syscall(SYS_close, fd));
  ++closed[fd];
  return 0;
}

namespace fileward {
namespace {

constexpr size_t kMetadataBytes = 24;
constexpr size_t kLeastKeyBytes = 12;  // fsid and handle type
constexpr size_t kMostKeyBytes = kLeastKeyBytes + 128;

// All numbers that `bytes` could have meant as descriptors: any four bytes of theirs.
std::map<int, int> NumbersIn(std::span<const std::byte> bytes) {
  std::map<int, int> numbers;
  for (size_t at = 0; at + sizeof(int) <= bytes.size(); ++at) {
    int number = 0;
    std::memcpy(&number, bytes.data() + at, sizeof(number));
    ++numbers[number];
  }
  return numbers;
}

void RequireClosedAtMostAsOftenAsNamed(std::span<const std::byte> bytes) {
  if (closed.empty()) return;
  const std::map<int, int> named = NumbersIn(bytes);
  for (const auto& [fd, times] : closed) {
    Require(fd >= 0);
    const auto found = named.find(fd);
    Require(found != named.end() && times <= found->second);
  }
}

void ParseAsPermission(std::span<const std::byte> bytes) {
  closed.clear();
  size_t owned = 0;
  {
    std::vector<PermissionEvent> events;
    is_parsing = true;
    ParsePermissionEvents(bytes, events);
    is_parsing = false;
    Require(closed.empty());
    Require(events.size() <= bytes.size() / kMetadataBytes);
    for (const PermissionEvent& event : events) {
      const bool has_file = static_cast<bool>(event.fd);
      Require(has_file ? event.raw_fd == event.fd.get() && event.open_error == 0
                       : event.raw_fd == -1 && event.open_error > 0 && event.open_error < 4096);
      owned += has_file ? 1 : 0;
    }
    is_parsing = true;
  }
  is_parsing = false;
  size_t times = 0;
  for (const auto& [fd, count] : closed) times += static_cast<size_t>(count);
  Require(times == owned);
  RequireClosedAtMostAsOftenAsNamed(bytes);
}

void RequireName(const std::optional<NotificationEvent::Name>& name, size_t size) {
  if (!name) return;
  Require(name->name.size() < size && name->name.find('\0') == std::string::npos);
  Require(name->directory_handle.size() >= kLeastKeyBytes);
  Require(name->directory_handle.size() <= kMostKeyBytes);
}

void ParseAsNotification(std::span<const std::byte> bytes) {
  closed.clear();
  {
    std::vector<NotificationEvent> events;
    is_parsing = true;
    ParseNotificationEvents(bytes, events);
    Require(events.size() <= bytes.size() / kMetadataBytes);
    for (const NotificationEvent& event : events) {
      for (const auto* name : {&event.name, &event.old_name, &event.new_name}) {
        RequireName(*name, bytes.size());
      }
      Require(event.object_handle.empty() || event.object_handle.size() >= kLeastKeyBytes);
      Require(event.object_handle.size() <= kMostKeyBytes);
      Require(event.pidfd.get() >= -1);
    }
  }
  is_parsing = false;
  RequireClosedAtMostAsOftenAsNamed(bytes);
}

}  // namespace
}  // namespace fileward

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A block of exactly this size, so that a byte too many is seen.
  const std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data),
                                     reinterpret_cast<const std::byte*>(data) + size);
  fileward::ParseAsPermission(bytes);
  fileward::ParseAsNotification(bytes);
  return 0;
}
