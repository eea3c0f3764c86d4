// A listed app, run by whoever goes a way (way.h):
//   way_listed hold FILE r|w      opens it, says the descriptor's number, holds
//   it and a mapping until standard input ends way_listed pass FILE r|w sends
//   the descriptor through the socket that is its standard input way_listed
//   hand FILE r|w PROGRAM ARG...   runs PROGRAM with the descriptor as its
//   standard input way_listed open FILE          opens it to read and says `ok`
//   or the error
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int pass(int fd) {
  char byte = 'x';
  struct iovec text = {&byte, 1};
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct msghdr message = {
      .msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  *rights = (struct cmsghdr){
      .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
  memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
  return sendmsg(0, &message, 0) == 1 ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const int writes = argc > 3 && argv[3][0] == 'w';
  const int fd = open(argv[2], writes ? O_RDWR : O_RDONLY);
  if (fd < 0) {
    puts(strerrorname_np(errno));
    return 1;
  }
  if (strcmp(argv[1], "pass") == 0) return pass(fd);
  if (strcmp(argv[1], "hand") == 0 && argc > 4) {
    dup2(fd, 0);
    execv(argv[4], argv + 4);
    return 127;
  }
  if (strcmp(argv[1], "open") == 0) {
    puts("ok");
    return 0;
  }
  const void *mapping = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
  printf("%d\n", fd);
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) continue;
  return mapping == MAP_FAILED ? 1 : 0;
}
