// Loading files and running their functions in pooled coroutines.
#include "lua_dialect.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: Coroutines

static int new_thread(lua_State *L) {
    mg_thread *thread = lua_touserdata(L, 1);
    thread->state = lua_newthread(L);
    thread->reference = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static mg_thread *take_thread(mg_lua *vm) {
    mg_thread *thread = vm->idle;
    if (thread) {
        vm->idle = thread->next;
        return thread;
    }
    thread = calloc(1, sizeof *thread);
    if (!thread) {
        mg_set_failure(vm, MG_REASON_MEMORY, "not enough memory", "");
        return NULL;
    }
    if (mg_protected(vm, new_thread, thread)) return thread;
    free(thread);
    return NULL;
}

static inline void give_thread(mg_lua *vm, mg_thread *thread) {
    thread->next = vm->idle;
    vm->idle = thread;
}

/// For coroutines that must not run again. Lua collects them; their `__close` handlers never run.
static void drop_thread(mg_lua *vm, mg_thread *thread) {
    luaL_unref(vm->main, LUA_REGISTRYINDEX, thread->reference);
    free(thread);
}

/// Clears a coroutine that did not come to its end. `__close` handlers run, under the guard like everything else.
static bool reset(mg_lua *vm, mg_thread *thread) {
    vm->current = thread->state;
    lua_resetthread(thread->state);
    lua_settop(thread->state, 0);
    return !vm->overrun;
}

// MARK: Failures

/// For a traceback, beyond the limit.
#define REPORT_ROOM (64 << 10)

struct report {
    mg_lua *vm;
    lua_State *thread;
    mg_reason reason;
    const char *message;
};

static int write_report(lua_State *L) {
    const struct report *report = lua_touserdata(L, 1);
    luaL_traceback(L, report->thread, NULL, 0);
    mg_set_failure(report->vm, report->reason, report->message, lua_tostring(L, -1));
    return 0;
}

static void report(mg_lua *vm, lua_State *thread, mg_reason reason, const char *message) {
    struct report order = {vm, thread, reason, message};
    // A script that has nothing left gets a report all the same.
    vm->memory_limit += REPORT_ROOM;
    if (!mg_protected(vm, write_report, &order)) mg_set_failure(vm, reason, message, "");
    vm->memory_limit -= REPORT_ROOM;
}

static void report_error(mg_lua *vm, lua_State *thread, int status) {
    const char *message = lua_type(thread, -1) == LUA_TSTRING ? lua_tostring(thread, -1) : "unspecified lua error";
    const char *hint = mg_dialect_hint(message);
    char advised[600];
    if (hint) {
        snprintf(advised, sizeof advised, "%.400s; %s", message, hint);
        message = advised;
    }
    bool is_memory = status == LUA_ERRMEM || (vm->refused && strstr(message, "not enough memory"));
    report(vm, thread, is_memory ? MG_REASON_MEMORY : MG_REASON_RUNTIME, message);
}

static void report_overrun(mg_lua *vm) {
    char message[256];
    snprintf(message, sizeof message, "%stime limit of %u ms exceeded", vm->where, vm->terms.milliseconds);
    mg_set_failure(vm, MG_REASON_TIME, message, vm->kill_trace);
}

static void report_spent(mg_lua *vm, lua_State *thread) {
    char message[128];
    snprintf(message, sizeof message, "memory limit of %zu bytes exceeded", vm->memory_limit);
    report(vm, thread, MG_REASON_MEMORY, message);
}

// MARK: Running

/// The rare ends of a run: out of memory, stopped, killed, failed.
static mg_outcome settle(mg_lua *vm, mg_thread *thread, int status) {
    lua_State *state = thread->state;
    if (vm->spent) {
        report_spent(vm, state);
        drop_thread(vm, thread);
        return MG_FAILED;
    }
    if (vm->unwind == MG_UNWIND_STOP && !vm->overrun) {
        if (reset(vm, thread)) give_thread(vm, thread);
        else drop_thread(vm, thread);
        return MG_STOPPED;
    }
    if (vm->overrun) {
        report_overrun(vm);
        drop_thread(vm, thread);
        return MG_FAILED;
    }
    if (status == LUA_YIELD) report(vm, state, MG_REASON_MISUSE, "script performed an unexpected yield");
    else report_error(vm, state, status);
    if (status != LUA_ERRMEM && reset(vm, thread)) give_thread(vm, thread);
    else drop_thread(vm, thread);
    return MG_FAILED;
}

static mg_outcome run(mg_lua *vm, mg_scope *scope, mg_thread *thread, int count, mg_thread **waiting) {
    lua_State *state = thread->state;
    int results;
    mg_outcome outcome;
    vm->scope = scope;
    vm->current = state;
    vm->terms = thread->terms;
    vm->spent = false;
    vm->taken = 0;
    vm->unwind = MG_UNWIND_NONE;
    vm->refused = false;
    vm->where[0] = 0;
    vm->kill_trace[0] = 0;
    mg_guard_enter(vm);
    int status = lua_resume(state, vm->main, count, &results);
    bool is_leaving = mg_is_leaving(vm);
    if (status == LUA_OK && !is_leaving) {
        lua_settop(state, 0);
        give_thread(vm, thread);
        outcome = MG_FINISHED;
    } else if (status == LUA_YIELD && vm->waiting && !is_leaving) {
        lua_pop(state, results);
        *waiting = thread;
        outcome = MG_WAITING;
    } else if (status == LUA_OK && !vm->spent) {
        // Ended by itself just as the guard struck: what it did stands.
        drop_thread(vm, thread);
        outcome = MG_FINISHED;
    } else {
        outcome = settle(vm, thread, status);
    }
    vm->waiting = false;
    mg_guard_leave(vm);
    vm->scope = NULL;
    vm->current = vm->main;
    vm->spent = false;
    return outcome;
}

mg_outcome mg_lua_start(mg_lua *vm, mg_scope *scope, int32_t function, int32_t argument, mg_thread **waiting) {
    mg_terms terms = function < vm->terms_count ? vm->known_terms[function] : vm->default_terms;
    mg_thread *thread = take_thread(vm);
    if (!thread) return MG_FAILED;
    thread->terms = terms;
    // A fresh or cleared coroutine has room for these, and reading the registry allocates nothing.
    vm->function = function;
    lua_rawgeti(thread->state, LUA_REGISTRYINDEX, function);
    if (argument) lua_rawgeti(thread->state, LUA_REGISTRYINDEX, argument);
    return run(vm, scope, thread, argument ? 1 : 0, waiting);
}

mg_tape *mg_lua_results(mg_lua *vm) {
    vm->output.count = 0;
    return &vm->output;
}

mg_outcome mg_lua_resume(mg_lua *vm, mg_scope *scope, mg_thread *thread, const char *error) {
    vm->resume_error = error;
    scope->turn += 1;
    mg_thread *again = thread;
    mg_outcome outcome = run(vm, scope, thread, 0, &again);
    vm->resume_error = NULL;
    return outcome;
}

void mg_lua_abandon(mg_lua *vm, mg_thread *thread) { drop_thread(vm, thread); }

// MARK: Files

struct source {
    mg_lua *vm;
    const uint8_t *text;
    size_t length;
    const char *name;
    int globals;
    int function;
};

static int compile(lua_State *L) {
    struct source *source = lua_touserdata(L, 1);
    const char *text = (const char *)source->text;
    bool legacy = mg_defines_envoy_hooks(text, source->length);
    mg_compile(L, source->vm, text, source->length, source->name, legacy);
    source->globals = luaL_ref(L, LUA_REGISTRYINDEX);
    source->function = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/// The reference was free for another use before.
static bool set_terms(mg_lua *vm, int reference, mg_terms terms) {
    mg_terms *place = mg_terms_of(vm, reference);
    if (place) *place = terms;
    return place != NULL;
}

static int32_t run_main_chunk(mg_lua *vm, struct source *source, uint32_t milliseconds) {
    if (!set_terms(vm, source->globals, vm->default_terms)
        || !set_terms(vm, source->function, mg_make_terms(milliseconds))) {
        mg_set_failure(vm, MG_REASON_MEMORY, "not enough memory", "");
        return 0;
    }
    mg_thread *waiting = NULL;
    mg_outcome outcome = mg_lua_start(vm, NULL, source->function, 0, &waiting);
    vm->known_terms[source->function] = vm->default_terms;
    return outcome == MG_FINISHED ? source->globals : 0;
}

int32_t mg_lua_load(
    mg_lua *vm, const uint8_t *text, size_t length, const char *name, uint32_t milliseconds) {
    struct source source = {vm, text, length, name, 0, 0};
    if (!mg_protected(vm, compile, &source)) {
        if (vm->reason != MG_REASON_MEMORY) vm->reason = MG_REASON_SYNTAX;
        return 0;
    }
    int32_t file = run_main_chunk(vm, &source, milliseconds);
    luaL_unref(vm->main, LUA_REGISTRYINDEX, source.function);
    if (!file) luaL_unref(vm->main, LUA_REGISTRYINDEX, source.globals);
    return file;
}

struct lookup {
    int file;
    const char *name;
    int found;
};

static int look_up(lua_State *L) {
    struct lookup *lookup = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, lookup->file);
    lua_pushstring(L, lookup->name);
    int type = lua_rawget(L, -2);
    if (type == LUA_TNIL) lookup->found = 0;
    else if (type != LUA_TFUNCTION) lookup->found = -1;
    else lookup->found = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

int32_t mg_lua_function(mg_lua *vm, int32_t file, const char *name) {
    struct lookup lookup = {file, name, 0};
    if (!mg_protected(vm, look_up, &lookup)) return 0;
    if (lookup.found > 0 && !set_terms(vm, lookup.found, *mg_terms_of(vm, file))) return 0;
    return lookup.found;
}

struct listing {
    int file;
    mg_tape *names;
};

static int list_functions(lua_State *L) {
    struct listing *listing = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, listing->file);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -1) == LUA_TFUNCTION && lua_type(L, -2) == LUA_TSTRING) {
            size_t length;
            const char *name = lua_tolstring(L, -2, &length);
            mg_value value = {.kind = MG_STRING, .size = (uint32_t)length, .bytes = (const uint8_t *)name};
            if (length <= MG_TEXT_MAX && !mg_tape_push(listing->names, value)) return luaL_error(L, "not enough memory");
        }
        lua_pop(L, 1);
    }
    return 0;
}

bool mg_lua_function_names(mg_lua *vm, int32_t file, mg_tape *names) {
    struct listing listing = {file, names};
    return mg_protected(vm, list_functions, &listing);
}

// MARK: Tables

struct table_order {
    mg_lua *vm;
    const mg_tape *tape;
    int reference;
};

static int new_table(lua_State *L) {
    struct table_order *order = lua_touserdata(L, 1);
    mg_push_tape(L, order->vm, order->tape);
    if (lua_type(L, -1) != LUA_TTABLE) return luaL_error(L, "not a table");
    mg_freeze(L);
    order->reference = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

int32_t mg_lua_new_table(mg_lua *vm, const mg_tape *tape) {
    struct table_order order = {vm, tape, 0};
    return mg_protected(vm, new_table, &order) ? order.reference : 0;
}
