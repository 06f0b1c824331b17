// Opening and closing a VM, and protected calls on its main state.
#include "lua_internal.h"
#include <stdlib.h>
#include <string.h>

/// Reached only by an error outside every protected call, which is a fault of this target.
static int panic(lua_State *L) {
    (void)L;
    abort();
}

mg_lua *mg_lua_open(size_t limit, uint32_t milliseconds) {
    mg_lua *vm = calloc(1, sizeof *vm);
    if (!vm) return NULL;
    mg_open_memory(vm, limit);
    vm->default_terms = mg_make_terms(milliseconds);
    vm->call.vm = vm;
    vm->call.arguments = vm->arguments;
    vm->call.input = &vm->input;
    vm->call.output = &vm->output;
    vm->main = lua_newstate(mg_allocate, vm);
    if (!vm->main) {
        free(vm);
        return NULL;
    }
    vm->current = vm->main;
    lua_atpanic(vm->main, panic);
    *(mg_lua **)lua_getextraspace(vm->main) = vm;
    if (!mg_protected(vm, mg_open_sandbox, NULL)) {
        mg_lua_close(vm);
        return NULL;
    }
    return vm;
}

void mg_lua_close(mg_lua *vm) {
    mg_lua_join_pool(vm, NULL);
    lua_close(vm->main);
    for (mg_bound *bound = vm->bounds; bound;) {
        mg_bound *next = bound->next;
        free(bound->name);
        free(bound);
        bound = next;
    }
    for (mg_thread *thread = vm->idle; thread;) {
        mg_thread *next = thread->next;
        free(thread);
        thread = next;
    }
    free(vm->known_terms);
    free(vm->input.values);
    free(vm->output.values);
    free(vm->scratch);
    free(vm->failure);
    free(vm->traceback);
    free(vm);
}

void mg_lua_set_context(mg_lua *vm, void *context) { vm->call.context = context; }
void mg_lua_set_module_source(mg_lua *vm, mg_leaf leaf) { vm->module_source = leaf; }
void mg_lua_set_print(mg_lua *vm, mg_leaf leaf) { vm->print = leaf; }

// MARK: Failures

static void keep(char **place, const char *text, size_t limit) {
    free(*place);
    size_t length = strlen(text);
    *place = strndup(text, length < limit ? length : limit);
}

void mg_set_failure(mg_lua *vm, mg_reason reason, const char *message, const char *traceback) {
    vm->reason = reason;
    keep(&vm->failure, message, 2000);
    keep(&vm->traceback, traceback, 8000);
}

mg_failure mg_lua_failure(const mg_lua *vm) {
    mg_failure failure = {
        .reason = vm->reason,
        .message = vm->failure ? vm->failure : "not enough memory",
        .traceback = vm->traceback ? vm->traceback : "",
    };
    return failure;
}

bool mg_protected(mg_lua *vm, lua_CFunction function, void *data) {
    lua_State *L = vm->main;
    int top = lua_gettop(L);
    // Within a run it is the run's fault, and the host's own requests are nobody's.
    bool was_spent = vm->spent;
    lua_pushcfunction(L, function);
    lua_pushlightuserdata(L, data);
    int status = lua_pcall(L, 1, 0, 0);
    if (!vm->scope) vm->spent = was_spent;
    if (status == LUA_OK) return true;
    const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "unspecified lua error";
    mg_reason reason = status == LUA_ERRMEM      ? MG_REASON_MEMORY
                       : status == LUA_ERRSYNTAX ? MG_REASON_SYNTAX
                                                 : MG_REASON_RUNTIME;
    mg_set_failure(vm, reason, message, "");
    lua_settop(L, top);
    return false;
}
