/* Preloaded into a process (LD_PRELOAD), lets its writes and fsyncs fail and sets its clock, as a control page says.

   The page is a file that both sides map: a change is in force at once, and is taken back by writing zeros. Programs
   that make system calls without the C library, as Go's do, are not reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t clock_offset_ns;
    volatile int32_t fsync_errno;
    volatile int32_t write_errno;
    volatile int64_t failures;
    char prefix[4000];
};

static struct control none;
static struct control *control = &none;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_SHIM_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) control = page;
}

/* Whether a file lies below the prefix. */
static int is_meant(int fd) {
    char link[64], path[4096];
    char *end = link + strlen(strcpy(link, "/proc/self/fd/"));
    char digits[16];
    int count = 0;
    if (fd < 0) return 0;
    do digits[count++] = '0' + fd % 10; while ((fd /= 10) && count < 15);
    while (count) *end++ = digits[--count];
    *end = 0;
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, control->prefix, strlen(control->prefix)) == 0;
}

static int fails(int fd, int32_t with) {
    if (!with || !is_meant(fd)) return 0;
    __sync_fetch_and_add(&control->failures, 1);
    errno = with;
    return 1;
}

int fsync(int fd) {
    if (fails(fd, control->fsync_errno)) return -1;
    return ((int (*)(int))real("fsync"))(fd);
}

int fdatasync(int fd) {
    if (fails(fd, control->fsync_errno)) return -1;
    return ((int (*)(int))real("fdatasync"))(fd);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (fails(fd, control->write_errno)) return -1;
    return ((ssize_t (*)(int, const void *, size_t))real("write"))(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (fails(fd, control->write_errno)) return -1;
    return ((ssize_t (*)(int, const void *, size_t, off64_t))real("pwrite64"))(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = (int (*)(clockid_t, struct timespec *))real("clock_gettime");
    int status = next(id, at);
    int64_t offset = control->clock_offset_ns;
    if (status == 0 && offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = at->tv_nsec + offset % 1000000000;
        at->tv_sec += offset / 1000000000 + (ns >= 1000000000) - (ns < 0);
        at->tv_nsec = ns + (ns < 0 ? 1000000000 : 0) - (ns >= 1000000000 ? 1000000000 : 0);
    }
    return status;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    int status = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return status;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
