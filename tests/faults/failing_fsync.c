/* Makes one fsync or fdatasync fail with EIO for each time the file named by $TEST_FSYNC is made: what was to be
   written may be lost, as it is when a disk fails. Loaded before the C library, by LD_PRELOAD. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void) {
    const char *flag = getenv("TEST_FSYNC");
    int before = errno;
    if (flag && unlink(flag) == 0) {
        errno = EIO;
        return 1;
    }
    errno = before;
    return 0;
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails() ? -1 : real(file);
}

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails() ? -1 : real(file);
}
