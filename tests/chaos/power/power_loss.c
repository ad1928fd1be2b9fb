/* Stands between a server and its disk (LD_PRELOAD), and notes how much of each file a loss of power would leave.
 *
 * POWER_LOSS_LOG   gets a line "BYTES PATH" after each fsync or fdatasync that succeeded: how long the file was before it began.
 * POWER_LOSS_STOP  while there is a file of that name no fsync ever returns, as with a disk that has gone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(int fd, long long bytes) {
  char link[64], path[PATH_MAX], line[PATH_MAX + 32];
  const char *log_path = getenv("POWER_LOSS_LOG");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (log_path == NULL || length < 0) return;
  path[length] = '\0';
  int log = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  int size = snprintf(line, sizeof line, "%lld %s\n", bytes, path);
  /* Without its note the server must not go on: the test would think that less was synced than was. */
  if (log < 0 || write(log, line, size) != size) abort();
  close(log);
}

static int synced(int fd, const char *name) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  const char *stop = getenv("POWER_LOSS_STOP");
  while (stop != NULL && access(stop, F_OK) == 0) usleep(10000);
  struct stat before;
  int known = fstat(fd, &before);
  int result = real(fd);
  int error = errno;
  if (result == 0 && known == 0) note(fd, before.st_size);
  errno = error;
  return result;
}

int fsync(int fd) { return synced(fd, "fsync"); }

int fdatasync(int fd) { return synced(fd, "fdatasync"); }
