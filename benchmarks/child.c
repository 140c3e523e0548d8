/* The child that is started: it stamps the monotonic clock into the file argv[1] as its first act, and waits;
   where there is an argv[2], only so many milliseconds, and exits with 1. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
  struct timespec now;
  char line[64];
  int file, size;

  clock_gettime(CLOCK_MONOTONIC, &now);

  if (count < 2 || (file = open(words[1], O_WRONLY | O_CREAT | O_APPEND, 0600)) < 0)
    return 64;

  size = snprintf(line, sizeof line, "exec %lld %d\n", now.tv_sec * 1000000000LL + now.tv_nsec, (int)getpid());

  if (write(file, line, size) != size)
    return 65;

  close(file);

  if (count > 2) {
    usleep(1000 * atoi(words[2]));
    return 1;
  }

  for (;;)
    pause();
}
