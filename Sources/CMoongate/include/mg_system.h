// System calls and constants that Swift's Glibc module does not offer.
#pragma once
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <stdint.h>

/// accept4 is a GNU extension that Swift's Glibc module leaves out.
int mg_accept(int fd, struct sockaddr *address, socklen_t *length);

/// pthread_setname_np for the calling thread; the kernel takes at most 15 bytes.
void mg_set_thread_name(const char *name);

/// Cores that the scheduler lets this process run on; sched_getaffinity is a GNU extension.
int mg_usable_cores(void);
