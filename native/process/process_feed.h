// The process feed thread: receives from the proc connector and applies to the table.
//
// Owns the netlink socket, an eventfd that wakes it, and one thread. Shares with others only the
// ProcessTable, which outlives it. Opens files under /proc only, which no mark can cover, so no
// verdict of ours can hold it up; runs at high priority where it may, because verdicts wait for
// what it knows. Lost messages: counted as process_feed_overrun, then the table is scanned again;
// what was forked meanwhile has no known ancestry.
#ifndef FILEWARD_PROCESS_PROCESS_FEED_H_
#define FILEWARD_PROCESS_PROCESS_FEED_H_

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "native/base/result.h"
#include "native/base/unique_fd.h"
#include "native/kernel/proc_connector.h"
#include "native/process/process_table.h"

namespace fileward {

class ProcessFeed {
 public:
  // Listens, scans /proc, and returns with the table complete. `table` must outlive the feed.
  static Result<std::unique_ptr<ProcessFeed>> Start(ProcessTable& table);
  // Wakes and joins the thread.
  ~ProcessFeed();
  ProcessFeed(const ProcessFeed&) = delete;
  ProcessFeed& operator=(const ProcessFeed&) = delete;

 private:
  ProcessFeed(ProcessTable& table, ProcConnector connector, UniqueFd wake);
  void Run();
  // Applies what waits until the socket is empty.
  void Drain();

  ProcessTable& table_;
  ProcConnector connector_;
  UniqueFd wake_;
  std::vector<ProcEvent> events_;
  std::atomic<bool> stop_{false};  // set by the destructor, read by the thread after each wake-up
  std::thread thread_;
};

}  // namespace fileward

#endif  // FILEWARD_PROCESS_PROCESS_FEED_H_
