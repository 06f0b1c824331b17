// The guard against scripts that do not end.
//
// Each thread that runs scripts has a timer on its own CPU time that ticks every 10 ms; an idle thread gets no
// ticks. The tick's signal handler finds out whether the same run still goes on; one that has seen its limit of
// ticks gets a hook, which then leaves the script. A run that ends in time pays two stores and a look.
//
// The hook strikes at instructions and at calls and returns, those of C functions among them: a loop written in C that
// calls back, such as `table.concat` over an `__index`, runs no instruction when what it calls is written in C as well.
// Loops in C that call nothing ask by `mg_check_time`, those in Swift by `mg_call_is_over_limit`.
#define _GNU_SOURCE
#include "lua_internal.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK_NANOSECONDS 10000000
// Ignored by default, so a stray one after a timer's end harms nobody.
#define TICK_SIGNAL SIGURG

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Thread_local mg_lua *volatile running;
static _Thread_local bool armed;
_Thread_local volatile int mg_turn_spent;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t timer_key;

static void kill_hook(lua_State *L, lua_Debug *activation);
static void line_hook(lua_State *L, lua_Debug *activation);

static void tick(int signal) {
    (void)signal;
    mg_lua *vm = running;
    if (!vm) return;
    mg_turn_spent = 1;
    if (vm->serial != vm->seen_serial) {
        vm->seen_serial = vm->serial;
        vm->ticks = 0;
        return;
    }
    vm->ticks += 1;
    mg_place_tick(vm);
    if (vm->ticks < vm->terms.ticks) return;
    vm->overrun = 1;
    // With each further tick again, in case the script has switched coroutines meanwhile.
    mg_install_kill(vm->current);
}

// MARK: The timer of a thread

/// Kept with one added, since 0 is a timer's id too and destructors run for non-null values only.
static void delete_timer(void *kept) { timer_delete((timer_t)((uintptr_t)kept - 1)); }

static void prepare_process(void) {
    pthread_key_create(&timer_key, delete_timer);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = tick;
    action.sa_flags = SA_RESTART;
    sigaction(TICK_SIGNAL, &action, NULL);
}

static void arm_thread(void) {
    pthread_once(&once, prepare_process);
    // Threads of pools often have every signal blocked.
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, TICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = TICK_SIGNAL;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    timer_t timer;
    // Without a timer (the process is out of them) scripts run unguarded until the next run tries again.
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) return;
    struct itimerspec period = {{0, TICK_NANOSECONDS}, {0, TICK_NANOSECONDS}};
    timer_settime(timer, 0, &period, NULL);
    pthread_setspecific(timer_key, (void *)((uintptr_t)timer + 1));
    armed = true;
}

void mg_guard_enter(mg_lua *vm) {
    if (!armed) arm_thread();
    vm->serial += 1;
    // A leaf may run another VM: its run ends within this one.
    vm->outer = running;
    running = vm;
    atomic_signal_fence(memory_order_seq_cst);
}

void mg_guard_leave(mg_lua *vm) {
    atomic_signal_fence(memory_order_seq_cst);
    running = vm->outer;
    vm->overrun = 0;
    if (vm->ticks == 0) return;
    vm->ticks = 0;
    mg_place_clear();
}

// The ticks of the thread find no script meanwhile, this one's outer one neither.
void mg_call_stop_clock(mg_call *call) {
    (void)call;
    atomic_signal_fence(memory_order_seq_cst);
    running = NULL;
    atomic_signal_fence(memory_order_seq_cst);
}

void mg_call_start_clock(mg_call *call) {
    atomic_signal_fence(memory_order_seq_cst);
    running = call->vm;
    atomic_signal_fence(memory_order_seq_cst);
}

// MARK: Leaving a script

/// Notes where the script is. Into buffers of the VM: a hook must not ask Lua for memory.
static void record_overrun(mg_lua *vm, lua_State *L) {
    if (vm->unwind != MG_UNWIND_NONE) return;
    vm->unwind = MG_UNWIND_KILL;
    vm->where[0] = 0;
    size_t room = sizeof vm->kill_trace;
    int used = snprintf(vm->kill_trace, room, "stack traceback:");
    lua_Debug activation;
    for (int level = 0; lua_getstack(L, level, &activation) && (size_t)used < room; level++) {
        lua_getinfo(L, "Sln", &activation);
        const char *name = activation.name ? activation.name : activation.what;
        int line = activation.currentline;
        if (line > 0 && !vm->where[0])
            snprintf(vm->where, sizeof vm->where, "%s:%d: ", activation.short_src, line);
        char *end = vm->kill_trace + used;
        if (line > 0) used += snprintf(end, room - used, "\n\t%s:%d: in %s", activation.short_src, line, name);
        else used += snprintf(end, room - used, "\n\t%s: in %s", activation.short_src, name);
    }
}

int mg_leave(lua_State *L) {
    if (lua_isyieldable(L)) return lua_yield(L, 0);
    lua_pushliteral(L, "script ended");
    return lua_error(L);
}

/// Fires at the next instruction, call or return. A coroutine that was not running any more when the guard stopped its run may
/// keep the hook: then it only takes itself away.
static void kill_hook(lua_State *L, lua_Debug *activation) {
    mg_lua *vm = mg_vm(L);
    if (!vm->overrun) {
        mg_reset_hook(L, vm);
        return;
    }
    record_overrun(vm, L);
    // An error raised here would leave the coroutine with hooks switched off, so it is the second choice. Lua lets hooks
    // yield at instructions only.
    if (activation->event == LUA_HOOKCOUNT && lua_isyieldable(L)) {
        lua_yield(L, 0);
        return;
    }
    lua_pushliteral(L, "script ended");
    lua_error(L);
}

// MARK: Lines

static void line_hook(lua_State *L, lua_Debug *activation) {
    mg_lua *vm = mg_vm(L);
    if (!vm->line_hook) return mg_reset_hook(L, vm);
    lua_getinfo(L, "S", activation);
    const char *source = activation->source;
    if (*source == '@' || *source == '=') vm->line_hook(vm->line_context, source + 1, activation->currentline);
}

void mg_reset_hook(lua_State *L, mg_lua *vm) {
    lua_sethook(L, vm->line_hook ? line_hook : NULL, vm->line_hook ? LUA_MASKLINE : 0, 0);
}

void mg_lua_set_line_hook(mg_lua *vm, mg_line_hook hook, void *context) {
    vm->line_hook = hook;
    vm->line_context = context;
    // Coroutines that are made from now on have it from the main state.
    mg_reset_hook(vm->main, vm);
    for (mg_thread *thread = vm->idle; thread; thread = thread->next) mg_reset_hook(thread->state, vm);
}

/// Lua's manual allows this one function in a signal handler.
void mg_install_kill(lua_State *L) { lua_sethook(L, kill_hook, LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKRET, 1); }

bool mg_call_is_over_limit(const mg_call *call) { return call->vm->overrun != 0; }

void mg_check_time(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    if (!vm->overrun) return;
    record_overrun(vm, L);
    mg_install_kill(L);
    mg_leave(L);
}

// Compiled here and not in the header: Swift would compile it without the sanitizer's macros.
bool mg_guard_is_held_back(void) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return false;
}
