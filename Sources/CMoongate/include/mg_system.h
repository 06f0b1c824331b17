// System calls and constants that Swift's Glibc module does not offer.
#pragma once
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/// accept4 is a GNU extension that Swift's Glibc module leaves out.
int mg_accept(int fd, struct sockaddr *address, socklen_t *length);

/// ioctl(SIOCOUTQ): octets that the peer's kernel has not acknowledged, an end that was sent among them. -1: it does not say.
int mg_unacknowledged(int fd);

/// pthread_setname_np for the calling thread; the kernel takes at most 15 bytes.
void mg_set_thread_name(const char *name);

// Marks memory as freed, or as in use again, where AddressSanitizer looks; does nothing elsewhere.
void mg_poison(const void *memory, size_t size);
void mg_unpoison(const void *memory, size_t size);

/// Opens /dev/null on those of the descriptors 0, 1 and 2 that are closed: the next file that is opened would get the number,
/// and with it everything that is written to standard output or standard error. To be called before anything is opened.
void mg_open_standard_descriptors(void);

/// The calling thread's number in the kernel, and the clock of the CPU time that it uses. Returns 0 or an errno.
int mg_thread_identity(pid_t *number, clockid_t *clock);

/// Waits at most so many nanoseconds for a thread to end. Only if it has, its handle is spent.
bool mg_join_thread(pthread_t thread, uint64_t nanoseconds);

/// Cores that the scheduler lets this process run on; sched_getaffinity is a GNU extension.
int mg_usable_cores(void);

/// mallopt: each arena of the allocator keeps up to 2 MiB of free memory at its end, which it otherwise gives back and takes
/// again, page by page, with every request that needs more than the usual.
void mg_keep_free_memory(void);

/// malloc_trim: gives free memory back to the system. Locks each arena of the allocator for a moment.
void mg_trim_memory(void);

/// Starts `path` (looked for in PATH if it has no slash) with the arguments, an array that ends with NULL. The child gets
/// the descriptors from 3 on, and in its environment LISTEN_FDS and LISTEN_FDNAMES (`names`) for all but the last, whose
/// number is in MOONGATE_READY_FD. Returns 0 or what is wrong, as errno has it.
int mg_spawn_successor(
    const char *path, char *const *arguments, const int *descriptors, size_t count, const char *names, pid_t *child);

/// Makes an inherited descriptor non-blocking and keeps it from children. Returns 0 or an errno.
int mg_take_descriptor(int fd);

/// Removes what `mg_spawn_successor` and systemd put into the environment.
void mg_forget_handover(void);

/// Has the kernel refuse, with EPERM and for all threads and all programs that they start, system calls that an edge never
/// needs (seccomp(2)); with `strict` also those that start programs. Needs `mg_refuse_new_privileges` or root. Again it
/// does nothing. Returns 0 or an errno: EINVAL or ENOSYS where the kernel or the processor's architecture has no filter.
int mg_refuse_system_calls(bool strict);

/// Programs that this process starts get no more rights than it has, whatever their files say; for ever. Concerns the
/// calling thread and those that it will start; `mg_refuse_system_calls` brings the others along. Returns 0 or an errno.
int mg_refuse_new_privileges(void);

/// Runs `body`, under a name that tools can be told: `scripts/bench/instructions` counts what happens in here.
void mg_counted(void (*body)(void *), void *context);
