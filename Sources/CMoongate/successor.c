#define _GNU_SOURCE
#include "mg_system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

// systemd's number for the first descriptor that is handed over (sd_listen_fds(3)).
#define FIRST_DESCRIPTOR 3

static bool is_handover_variable(const char *entry) {
    static const char *const names[] = {"LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=", "MOONGATE_READY_FD="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(entry, names[i], strlen(names[i])) == 0) return true;
    }
    return false;
}

// The environment without what told this process of its own descriptors. The caller frees the array, not the texts.
static char **successor_environment(char *count, char *names, char *ready) {
    size_t size = 0;
    while (environ[size] != NULL) size++;
    char **result = calloc(size + 4, sizeof *result);
    if (result == NULL) return NULL;
    size_t filled = 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_handover_variable(environ[i])) result[filled++] = environ[i];
    }
    result[filled++] = count;
    result[filled++] = names;
    result[filled++] = ready;
    return result;
}

// Descriptors at places where no target of `dup2` is, so that none is overwritten before it was copied.
static int lift(const int *descriptors, size_t count, int *lifted) {
    for (size_t i = 0; i < count; i++) {
        lifted[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR + (int)count);
        if (lifted[i] >= 0) continue;
        int fault = errno;
        while (i-- > 0) close(lifted[i]);
        return fault;
    }
    return 0;
}

static int spawn(
    const char *path, char *const *arguments, char *const *environment, const int *lifted, size_t count, pid_t *child) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int fault = posix_spawn_file_actions_init(&actions);
    if (fault != 0) return fault;
    fault = posix_spawnattr_init(&attributes);
    if (fault != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return fault;
    }
    for (size_t i = 0; i < count && fault == 0; i++) {
        fault = posix_spawn_file_actions_adddup2(&actions, lifted[i], FIRST_DESCRIPTOR + (int)i);
    }
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    if (fault == 0) fault = posix_spawnattr_setsigmask(&attributes, &none);
    if (fault == 0) fault = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (fault == 0) fault = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (fault == 0) fault = posix_spawnp(child, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return fault;
}

int mg_spawn_successor(
    const char *path, char *const *arguments, const int *descriptors, size_t count, const char *names, pid_t *child) {
    if (count == 0) return EINVAL;
    int *lifted = calloc(count, sizeof *lifted);
    size_t names_size = strlen(names) + sizeof "LISTEN_FDNAMES=";
    char *names_text = malloc(names_size);
    char count_text[48], ready_text[48];
    snprintf(count_text, sizeof count_text, "LISTEN_FDS=%zu", count - 1);
    snprintf(ready_text, sizeof ready_text, "MOONGATE_READY_FD=%d", FIRST_DESCRIPTOR + (int)count - 1);
    char **environment = NULL;
    int fault = ENOMEM;
    if (lifted != NULL && names_text != NULL) {
        snprintf(names_text, names_size, "LISTEN_FDNAMES=%s", names);
        environment = successor_environment(count_text, names_text, ready_text);
    }
    if (environment != NULL) fault = lift(descriptors, count, lifted);
    if (fault == 0) {
        fault = spawn(path, arguments, environment, lifted, count, child);
        for (size_t i = 0; i < count; i++) close(lifted[i]);
    }
    free(environment);
    free(names_text);
    free(lifted);
    return fault;
}

int mg_take_descriptor(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return errno;
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return errno;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? errno : 0;
}

void mg_forget_handover(void) {
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    unsetenv("MOONGATE_READY_FD");
}
