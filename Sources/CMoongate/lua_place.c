// Where a script is that runs for long, noted for other threads (the watchdog).
//
// A script that runs instructions or calls functions notes it by a hook. One that is within a single call of C runs none: then the tick's signal
// handler reads the frames, which stand still meanwhile.
#include "lua_internal.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 256
/// In ticks of 10 ms: the hook is set at the first of each fifty, and a thread that runs no instruction is read at the second.
#define NOTE_PERIOD 50
#define NOTE_BY_HOOK 30
#define NOTE_BY_TICK 49
/// How long the guard's hook has not been reached by a thread that runs no instruction.
#define STANDSTILL 20

struct mg_place {
    /// Odd while it is written.
    atomic_uint version;
    atomic_int line;
    atomic_char file[NAME_SIZE];
    atomic_char hook_file[NAME_SIZE];
};

static _Thread_local mg_place *noted;
/// At the last tick: the innermost frame, and what the VM had counted.
static _Thread_local const void *innermost;
static _Thread_local uint64_t moves;

mg_place *mg_place_new(void) { return calloc(1, sizeof(mg_place)); }
void mg_place_free(mg_place *place) { free(place); }
void mg_place_note(mg_place *place) { noted = place; }

// MARK: Writing, on the thread whose place it is

static void copy(atomic_char *target, const char *source) {
    // What a chunk was loaded from is a file's name behind `@`, or a name of ours behind `=`.
    if (*source == '@' || *source == '=') source += 1;
    size_t i = 0;
    for (; source[i] && i < NAME_SIZE - 1; i++) atomic_store_explicit(&target[i], source[i], memory_order_relaxed);
    atomic_store_explicit(&target[i], 0, memory_order_relaxed);
}

static void write_place(mg_place *place, const char *file, const char *hook_file, int line) {
    unsigned version = atomic_load_explicit(&place->version, memory_order_relaxed);
    // The hook that a tick interrupts goes on afterwards.
    if (version & 1) return;
    atomic_store_explicit(&place->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    copy(place->file, file);
    copy(place->hook_file, hook_file);
    atomic_store_explicit(&place->line, line, memory_order_relaxed);
    atomic_store_explicit(&place->version, version + 2, memory_order_release);
}

/// Notes the innermost and the outermost function written in Lua. Reads only, and asks Lua for no memory.
static void note(lua_State *L) {
    lua_Debug activation, inner, outer;
    bool found = false;
    for (int level = 0; lua_getstack(L, level, &activation); level++) {
        lua_getinfo(L, "Sl", &activation);
        if (*activation.what == 'C' || activation.currentline <= 0) continue;
        if (!found) inner = activation;
        outer = activation;
        found = true;
    }
    if (found) write_place(noted, inner.source, outer.source, inner.currentline);
}

static void place_hook(lua_State *L, lua_Debug *activation) {
    (void)activation;
    mg_lua *vm = mg_vm(L);
    mg_reset_hook(L, vm);
    // A coroutine that did not run any more when the hook was set has kept it until now.
    if (noted && vm->ticks >= NOTE_BY_HOOK) note(L);
}

static bool stands_still(mg_lua *vm, const lua_Debug *activation) {
    return *activation->what == 'C' || (vm->overrun && vm->ticks >= vm->terms.ticks + STANDSTILL);
}

/// In a signal handler, which may have interrupted Lua anywhere: it reads frames only if a tick ago the innermost one was the
/// same, no block of memory was made or changed since, so that no stack is on the move, and either the frame is of a function
/// written in C or no instruction has run for long, since the guard's hook would have ended the script.
void mg_place_tick(mg_lua *vm) {
    if (!noted) return;
    uint32_t moment = vm->ticks % NOTE_PERIOD;
    lua_Debug activation;
    if (moment == NOTE_BY_HOOK && !vm->overrun) lua_sethook(vm->current, place_hook, LUA_MASKCOUNT | LUA_MASKCALL, 1);
    if (moment == NOTE_BY_TICK - 1) {
        innermost = lua_getstack(vm->current, 0, &activation) ? activation.i_ci : NULL;
        moves = vm->moves;
    }
    if (moment != NOTE_BY_TICK || !innermost || moves != vm->moves) return;
    if (!lua_getstack(vm->current, 0, &activation) || activation.i_ci != innermost) return;
    lua_getinfo(vm->current, "S", &activation);
    if (stands_still(vm, &activation)) note(vm->current);
}

void mg_place_clear(void) {
    if (noted && atomic_load_explicit(&noted->line, memory_order_relaxed) != 0) write_place(noted, "", "", 0);
}

// MARK: Reading, on any thread

static void read_name(const atomic_char *source, char *target, size_t size) {
    size_t i = 0;
    for (; i + 1 < size && i < NAME_SIZE; i++) {
        target[i] = atomic_load_explicit(&source[i], memory_order_relaxed);
        if (!target[i]) return;
    }
    target[i] = 0;
}

bool mg_place_read(const mg_place *place, char *file, char *hook_file, size_t size, int *line) {
    unsigned version = atomic_load_explicit(&place->version, memory_order_acquire);
    if (version & 1 || size == 0) return false;
    read_name(place->file, file, size);
    read_name(place->hook_file, hook_file, size);
    *line = atomic_load_explicit(&place->line, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return *line > 0 && atomic_load_explicit(&place->version, memory_order_relaxed) == version;
}
