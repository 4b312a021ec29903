/* Preloaded into a process: fsync and fdatasync fail with EIO while the file that FAIL_SYNC names exists. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int answer(long call, int file)
{
    const char *sign = getenv("FAIL_SYNC");
    if (sign != NULL && access(sign, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, file);
}

int fsync(int file) { return answer(SYS_fsync, file); }

int fdatasync(int file) { return answer(SYS_fdatasync, file); }
