#define _GNU_SOURCE
#include "mg_system.h"

#include <malloc.h>
#include <sched.h>
#include <unistd.h>
#include <pthread.h>

int mg_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void mg_set_thread_name(const char *name) {
    pthread_setname_np(pthread_self(), name);
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
