#include "native/guardian/guardian_keeper.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "native/base/clock.h"
#include "native/guardian/handover.h"
#include "native/guardian/own_cgroup.h"
#include "native/kernel/fanotify_events.h"

namespace fileward {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr int kStandsMs = 5000;
constexpr int kLookMs = 250;
constexpr uint64_t kSilenceNs = kSecondNs;
constexpr uint64_t kFirstBackoffNs = kSecondNs / 20;
constexpr uint64_t kLongestBackoffNs = 5 * kSecondNs;
// A guardian that stood this long didn't die of its start.
constexpr uint64_t kGoodWhileNs = 10 * kSecondNs;

constexpr rlim_t kMostAgentFds = 16'384;
constexpr rlim_t kLeastGuardianFds = 64;
constexpr rlim_t kLeastFds = 256;

// Says where the guardian's numbers begin.
Result<int32_t> SplitFds() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return ErrnoError("getrlimit");
  const rlim_t reserve = std::max(limit.rlim_max / 4, kLeastGuardianFds);
  if (limit.rlim_max < kLeastFds) {
    return Error{EMFILE, "setrlimit",
                 "the agent and its guardian need 256 open files at least: raise ulimit -n, or "
                 "LimitNOFILE of the service"};
  }
  limit.rlim_cur = std::min({limit.rlim_cur, kMostAgentFds, limit.rlim_max - reserve});
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return ErrnoError("setrlimit");
  return static_cast<int32_t>(limit.rlim_cur);
}

int PidfdOf(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

Result<std::unique_ptr<GuardianKeeper>> GuardianKeeper::Start(PermissionGroup& group,
                                                              const JournalMemory& journal,
                                                              int wake_fd, Options options) {
  const Result<int32_t> first_fd = SplitFds();
  if (!first_fd) return first_fd.error();
  journal->first_guardian_fd.store(*first_fd);
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return ErrnoError("eventfd");
  std::unique_ptr<GuardianKeeper> keeper(
      new GuardianKeeper(group, journal, wake_fd, std::move(options), std::move(stop)));
  if (const Result<void> started = keeper->StartGuardian(); !started) return started.error();
  keeper->thread_ = std::thread([raw = keeper.get()] { raw->Run(); });
  return keeper;
}

GuardianKeeper::GuardianKeeper(PermissionGroup& group, const JournalMemory& journal, int wake_fd,
                               Options options, UniqueFd stop)
    : group_(group),
      journal_(journal),
      wake_fd_(wake_fd),
      options_(std::move(options)),
      stop_(std::move(stop)) {}

void GuardianKeeper::Stop() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
  if (guardian_) Bury();
}

void GuardianKeeper::Run() {
  ::pthread_setname_np(::pthread_self(), "fw-keeper");
  uint64_t backoff = kFirstBackoffNs;
  for (;;) {
    const uint64_t began = MonotonicNs();
    if (guardian_) Watch();
    if (Pause(0)) return;
    if (guardian_) Bury();
    backoff = MonotonicNs() - began > kGoodWhileNs ? kFirstBackoffNs
                                                   : std::min(2 * backoff, kLongestBackoffNs);
    if (Pause(backoff)) return;
    restarts_.fetch_add(1);
    [[maybe_unused]] const Result<void> started = StartGuardian();
  }
}

Result<void> GuardianKeeper::StartGuardian() {
  journal_->starting_guardian.store(true);
  Result<void> started = SpawnGuardian();
  journal_->starting_guardian.store(false);
  return started;
}

Result<void> GuardianKeeper::SpawnGuardian() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError("socketpair", "guardian");
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  if (Result<void> spawned = Spawn(theirs.get()); !spawned) return spawned;
  theirs.reset();
  const UniqueFd agent(PidfdOf(::getpid()));
  const HandoverFds fds{group_.fd(), journal_.fd(), agent.get(), wake_fd_};
  Result<void> sent = SendHandover(ours.get(), fds, ::getpid());
  if (sent && AwaitStands(ours.get(), kStandsMs)) return {};
  Bury();
  return sent ? Error{ETIMEDOUT, "", "the guardian doesn't stand: " + options_.executable}
              : sent.error();
}

Result<void> GuardianKeeper::Spawn(int channel) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  // Until it runs it must hold nothing.
  ::posix_spawn_file_actions_adddup2(&actions, channel, 0);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 1);
  sigset_t all;
  sigset_t none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  std::string executable = options_.executable;
  std::string socket = options_.socket;
  std::string canary = options_.canary;
  char* const argv[] = {executable.data(), socket.data(), canary.data(), nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = 0;
  const int failed =
      ::posix_spawn(&pid, executable.c_str(), &actions, &attributes, argv, environment);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) return Error{failed, "posix_spawn", options_.executable};
  guardian_.reset(PidfdOf(pid));
  pid_.store(pid);
  return {};
}

void GuardianKeeper::Watch() {
  pollfd fds[] = {{guardian_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  // Twice: the first look may come from a process that was stopped itself.
  for (int silent = 0; silent < 2;) {
    if (::poll(fds, 2, kLookMs) != 0) return;
    const uint64_t now = MonotonicNs();
    const uint64_t beat = journal_->heartbeat_ns.load();
    silent = now - std::min(now, beat) > kSilenceNs ? silent + 1 : 0;
  }
}

// Kills it where it still lives. From when this returns it writes nothing any more.
void GuardianKeeper::Bury() {
  ::syscall(SYS_pidfd_send_signal, guardian_.get(), SIGKILL, nullptr, 0);
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(guardian_.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  guardian_.reset();
  pid_.store(0);
  journal_->guardian_pid.store(0);
  AnswerForDead();
  RemoveEmptyGuardianCgroups();
}

void GuardianKeeper::AnswerForDead() {
  std::vector<Response> responses;
  // What it had read: the files are gone with it.
  const bool allow = !journal_->keep.load();
  std::vector<PermissionEvent> events;
  ParsePermissionEvents(FilledPart(journal_->guardian_buffer), events);
  for (PermissionEvent& event : events) {
    if (event.fd.release() >= 0) responses.push_back({event.raw_fd, allow});
  }
  const size_t read = responses.size();
  std::vector<OpenSlot*> taken;
  for (OpenSlot& slot : journal_->slots) {
    const auto left = slot.TakeFrom(OpenSlot::Stand::kGuardian);
    if (!left) continue;
    responses.push_back({left->event.fd, left->allow.value_or(allow)});
    taken.push_back(&slot);
  }
  group_.Answer(responses);
  for (size_t i = 0; i < taken.size(); ++i) {
    taken[i]->Done(OpenSlot::Stand::kGuardian, responses[read + i].allow);
  }
  journal_->guardian_buffer.fill(std::byte{0});
  journal_->hold_off.store(false);
  journal_->turn.ForgetGuardian();
}

// True: Stop has been called.
bool GuardianKeeper::Pause(uint64_t ns) {
  pollfd stop{stop_.get(), POLLIN, 0};
  return ::poll(&stop, 1, static_cast<int>(ns / 1'000'000)) != 0;
}

}  // namespace fileward
