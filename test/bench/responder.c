// The least that a permission listener can do: marks one directory and allows every open in it.
// What is above this is fileward's own cost. Prints `ready`; ends with SIGTERM, or with its parent.
//   responder DIRECTORY
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kMaxEvents = 256 };

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // As fileward's group is: without blocking, with a poll before each batch, one writev for its
  // answers.
  const int group = fanotify_init(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS |
                                      FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_TID,
                                  O_RDONLY | O_CLOEXEC | O_LARGEFILE);
  if (group < 0) return perror("fanotify_init"), 1;
  if (fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD, argv[1]) !=
      0) {
    return perror("fanotify_mark"), 1;
  }
  puts("ready");
  fflush(stdout);
  static struct fanotify_event_metadata events[kMaxEvents];
  static struct fanotify_response responses[kMaxEvents];
  static struct iovec segments[kMaxEvents];
  for (;;) {
    struct pollfd wait = {.fd = group, .events = POLLIN};
    if (poll(&wait, 1, -1) < 0) return perror("poll"), 1;
    ssize_t length = read(group, events, sizeof(events));
    if (length < 0) continue;
    int count = 0;
    for (struct fanotify_event_metadata *event = events; FAN_EVENT_OK(event, length);
         event = FAN_EVENT_NEXT(event, length)) {
      responses[count] = (struct fanotify_response){.fd = event->fd, .response = FAN_ALLOW};
      segments[count] = (struct iovec){&responses[count], sizeof(responses[count])};
      count++;
    }
    if (count > 0 && writev(group, segments, count) < 0) return perror("writev"), 1;
    for (int i = 0; i < count; i++) close(responses[i].fd);
  }
}
