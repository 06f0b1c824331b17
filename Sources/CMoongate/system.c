#define _GNU_SOURCE
#include "mg_system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

int mg_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int mg_unacknowledged(int fd) {
    int count = 0;
    return ioctl(fd, SIOCOUTQ, &count) == 0 ? count : -1;
}

void mg_set_thread_name(const char *name) {
    pthread_setname_np(pthread_self(), name);
}

void mg_open_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        // The lowest free number is this one. Where there is no /dev, reads from and writes to a folder fail.
        if (open("/dev/null", O_RDWR) < 0) (void)open("/", O_RDONLY | O_DIRECTORY);
    }
}

int mg_thread_identity(pid_t *number, clockid_t *clock) {
    *number = gettid();
    return pthread_getcpuclockid(pthread_self(), clock);
}

bool mg_join_thread(pthread_t thread, uint64_t nanoseconds) {
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)(nanoseconds / 1000000000);
    end.tv_nsec += (long)(nanoseconds % 1000000000);
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec += 1;
        end.tv_nsec -= 1000000000;
    }
    // Not pthread_clockjoin_np: ThreadSanitizer does not know it, and would take the next thread of the same handle for this one.
    // pthread_timedjoin_np goes by a clock that jumps.
    const struct timespec pause = {0, 1000000};
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec)) return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void mg_keep_free_memory(void) {
    mallopt(M_TRIM_THRESHOLD, 2 << 20);
    // Setting the one ends the adjustment of the other, which begins at 128 KiB.
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

void mg_trim_memory(void) {
    malloc_trim(0);
}

int mg_usable_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

void mg_counted(void (*body)(void *), void *context) {
    body(context);
    // No tail call: this function has to be on the stack meanwhile.
    __asm__ volatile("" ::: "memory");
}
