// Threads that open files and measure how long each open took, and whether its answer was the right one.
//   open_load [--threads N] [--times N] [--pause-us N] FILE=ok|EPERM|any...
// Says `ready`, begins when it reads a line from standard input, all threads at once, and ends after --times opens each,
// or when standard input ends. Then prints one JSON object: how many opens, the longest wait, the wrong answers.
// `letThrough`: opens that should have been refused; `wrong`: any other answer but the right one.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { kMaxFiles = 256, kBuckets = 256 };

struct file {
  char *path;
  int expected;  // an errno, 0: ok, -1: any
};

struct count {
  uint64_t opens, wrong, let_through, denied, longest_ns;
  int wrong_file, wrong_errno;
  uint64_t buckets[kBuckets];  // four to each power of two of microseconds
};

static struct file files[kMaxFiles];
static int file_count;
static uint64_t times;
static useconds_t pause_us;
static pthread_barrier_t begin;
static int ended;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int bucket_of(uint64_t ns) {
  uint64_t us = ns / 1000 + 1;
  int power = 63 - __builtin_clzll(us);
  int quarter = power < 2 ? 0 : (int)((us >> (power - 2)) & 3);
  return power * 4 + quarter;
}

static void open_one(struct count *count, int index) {
  const struct file *file = &files[index];
  uint64_t began = now_ns();
  int fd = open(file->path, O_RDONLY | O_CLOEXEC);
  int error = fd < 0 ? errno : 0;
  uint64_t waited = now_ns() - began;
  if (fd >= 0) close(fd);
  count->opens++;
  count->buckets[bucket_of(waited)]++;
  if (error == EPERM) count->denied++;
  if (waited > count->longest_ns) count->longest_ns = waited;
  if (file->expected < 0 || error == file->expected) return;
  if (error == 0) {
    count->let_through++;
    return;
  }
  if (count->wrong++ == 0) {
    count->wrong_file = index;
    count->wrong_errno = error;
  }
}

static void *run(void *argument) {
  struct count *count = argument;
  pthread_barrier_wait(&begin);
  for (uint64_t i = 0; times == 0 || i < times; i++) {
    if (__atomic_load_n(&ended, __ATOMIC_RELAXED)) break;
    open_one(count, (int)(i % (uint64_t)file_count));
    if (pause_us > 0) usleep(pause_us);
  }
  return NULL;
}

static void add(struct count *sum, const struct count *each) {
  if (sum->wrong == 0 && each->wrong > 0) {
    sum->wrong_file = each->wrong_file;
    sum->wrong_errno = each->wrong_errno;
  }
  sum->opens += each->opens;
  sum->wrong += each->wrong;
  sum->let_through += each->let_through;
  sum->denied += each->denied;
  if (each->longest_ns > sum->longest_ns) sum->longest_ns = each->longest_ns;
  for (int i = 0; i < kBuckets; i++) sum->buckets[i] += each->buckets[i];
}

// Upper bound of the bucket that holds it, in microseconds.
static uint64_t quantile_us(const struct count *sum, double quantile) {
  uint64_t rank = (uint64_t)((double)sum->opens * quantile), seen = 0;
  for (int i = 0; i < kBuckets; i++) {
    seen += sum->buckets[i];
    if (seen > rank) return i < 8 ? (uint64_t)(i / 4 + 1) : (uint64_t)(4 + i % 4 + 1) << (i / 4 - 2);
  }
  return 0;
}

static void add_file(char *text) {
  char *equals = strrchr(text, '=');
  if (equals == NULL || file_count == kMaxFiles) exit(2);
  *equals = '\0';
  const char *word = equals + 1;
  int expected = strcmp(word, "ok") == 0 ? 0 : strcmp(word, "EPERM") == 0 ? EPERM : -1;
  files[file_count++] = (struct file){text, expected};
}

int main(int argc, char **argv) {
  int threads = 1;
  for (int i = 1; i < argc; i++) {
    uint64_t value = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;
    if (strncmp(argv[i], "--", 2) != 0) {
      add_file(argv[i]);
      continue;
    }
    if (strcmp(argv[i], "--threads") == 0) threads = (int)value;
    if (strcmp(argv[i], "--times") == 0) times = value;
    if (strcmp(argv[i], "--pause-us") == 0) pause_us = (useconds_t)value;
    i++;
  }
  // Each thread has one file open at a time.
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  struct count *counts = calloc((size_t)threads, sizeof(*counts));
  pthread_t *ids = calloc((size_t)threads, sizeof(*ids));
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN + 16384);
  pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
  for (int i = 0; i < threads; i++) {
    if (pthread_create(&ids[i], &small, run, &counts[i]) != 0) {
      perror("pthread_create");
      return 2;
    }
  }
  printf("ready\n");
  fflush(stdout);
  char text[64];
  if (read(0, text, sizeof(text)) <= 0) return 2;
  uint64_t began = now_ns();
  pthread_barrier_wait(&begin);
  if (times == 0) {
    while (read(0, text, sizeof(text)) > 0) continue;
    __atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
  }
  struct count sum = {0};
  for (int i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    add(&sum, &counts[i]);
  }
  printf("{\"opens\":%lu,\"denied\":%lu,\"wrong\":%lu,\"letThrough\":%lu,\"longestUs\":%lu,\"medianUs\":%lu,"
         "\"p99Us\":%lu,\"tookMs\":%lu,\"firstWrong\":\"",
         sum.opens, sum.denied, sum.wrong, sum.let_through, sum.longest_ns / 1000, quantile_us(&sum, 0.5),
         quantile_us(&sum, 0.99), (now_ns() - began) / 1000000);
  if (sum.wrong > 0) printf("%s for %s", strerrorname_np(sum.wrong_errno), files[sum.wrong_file].path);
  printf("\"}\n");
  return 0;
}
