/* A disk whose fsync fails while a file exists: LD_PRELOAD this, HUB_SYNC_FAILS names the file (its content is
 * ignored), HUB_SYNC_OF a word in the path of the files it happens to. What was not synced stays in the kernel's
 * memory, as on a disk that fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd)
{
    const char *flag = getenv("HUB_SYNC_FAILS"), *word = getenv("HUB_SYNC_OF");
    char link[64], path[4096];
    ssize_t size;
    if (!flag || !word || access(flag, F_OK) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size <= 0)
        return 0;
    path[size] = 0;
    return strstr(path, word) != NULL;
}

static int sync_of(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (fails(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fsync(int fd) { return sync_of("fsync", fd); }
int fdatasync(int fd) { return sync_of("fdatasync", fd); }
