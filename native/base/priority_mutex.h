// A mutex whose holder runs at the priority of whoever waits for it. Where a real-time thread
// shares data with ordinary ones this keeps a busy machine from holding it up: a std::mutex's
// holder that was preempted would have to wait for its turn first.
#ifndef FILEWARD_BASE_PRIORITY_MUTEX_H_
#define FILEWARD_BASE_PRIORITY_MUTEX_H_

#include <pthread.h>

namespace fileward {

// For std::lock_guard. Not recursive.
class PriorityMutex {
 public:
  PriorityMutex() {
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    // Refused where the kernel has no such futex; then it is an ordinary one.
    (void)::pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    ::pthread_mutex_init(&mutex_, &attributes);
    ::pthread_mutexattr_destroy(&attributes);
  }
  ~PriorityMutex() { ::pthread_mutex_destroy(&mutex_); }
  PriorityMutex(const PriorityMutex&) = delete;
  PriorityMutex& operator=(const PriorityMutex&) = delete;

  void lock() { ::pthread_mutex_lock(&mutex_); }
  void unlock() { ::pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_;
};

}  // namespace fileward

#endif  // FILEWARD_BASE_PRIORITY_MUTEX_H_
