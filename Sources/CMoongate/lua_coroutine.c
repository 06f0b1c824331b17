// coroutine.resume, wrap and close that keep the guard informed of what runs, and that let a hook wait for its
// host inside coroutines of its own.
#include "lua_internal.h"

static const char poisoned_key;

static lua_State *check_coroutine(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

/// A coroutine that the guard killed by an error has its hooks off for good: its `__close` handlers must never
/// run. Remembered in a table with weak keys.
static void poison(lua_State *L, mg_lua *vm, int coroutine) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &poisoned_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &poisoned_key);
    }
    lua_pushvalue(L, coroutine);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    vm->has_poisoned = true;
}

static bool is_poisoned(lua_State *L, mg_lua *vm, int coroutine) {
    if (!vm->has_poisoned) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &poisoned_key);
    lua_pushvalue(L, coroutine);
    bool found = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return found;
}

/// Runs the `__close` handlers of `co` where the guard can see them.
static int close_guarded(lua_State *L, mg_lua *vm, lua_State *co) {
    lua_State *before = vm->current;
    vm->current = co;
    int status = lua_resetthread(co);
    vm->current = before;
    mg_check_time(L);
    return status;
}

static int run(lua_State *L, lua_State *co, int count, bool wrapped);

static int go_on(lua_State *L, int status, lua_KContext wrapped) {
    (void)status;
    lua_State *co = lua_tothread(L, wrapped ? lua_upvalueindex(1) : 1);
    return run(L, co, 0, wrapped != 0);
}

static int fail(lua_State *L, mg_lua *vm, lua_State *co, bool wrapped) {
    if (!wrapped) {
        lua_pushboolean(L, 0);
        lua_xmove(co, L, 1);
        return 2;
    }
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) close_guarded(L, vm, co);
    lua_xmove(co, L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/// Lets `co` run with the `count` values on top of L.
static int run(lua_State *L, lua_State *co, int count, bool wrapped) {
    mg_lua *vm = mg_vm(L);
    if (!lua_checkstack(co, count)) return luaL_error(L, "too many arguments to resume");
    lua_xmove(L, co, count);
    lua_State *before = vm->current;
    int results = 0;
    vm->current = co;
    int status = lua_resume(co, L, count, &results);
    vm->current = before;
    if (mg_is_leaving(vm)) {
        bool died = status != LUA_OK && status != LUA_YIELD;
        if (died && vm->overrun) poison(L, vm, wrapped ? lua_upvalueindex(1) : 1);
        if (vm->overrun) mg_install_kill(L);
        mg_check_time(L);
        return mg_leave(L);
    }
    if (status == LUA_YIELD && vm->waiting) {
        if (lua_isyieldable(L)) return lua_yieldk(L, 0, wrapped, go_on);
        vm->waiting = false;
        return luaL_error(L, "attempt to wait across a C-call boundary");
    }
    if (status != LUA_OK && status != LUA_YIELD) return fail(L, vm, co, wrapped);
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        return luaL_error(L, "too many results to resume");
    }
    if (!wrapped) lua_pushboolean(L, 1);
    lua_xmove(co, L, results);
    return results + !wrapped;
}

static int resume(lua_State *L) {
    lua_State *co = check_coroutine(L);
    return run(L, co, lua_gettop(L) - 1, false);
}

static int call_wrapped(lua_State *L) {
    return run(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L), true);
}

static int wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

static int close_coroutine(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    lua_State *co = check_coroutine(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    const char *status = lua_tostring(L, -1);
    if (status[0] != 's' && status[0] != 'd') return luaL_error(L, "cannot close a %s coroutine", status);
    if (is_poisoned(L, vm, 1)) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "script ended");
        return 2;
    }
    if (close_guarded(L, vm, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

void mg_open_coroutine(lua_State *L, int library) {
    lua_pushcfunction(L, resume);
    lua_setfield(L, library, "resume");
    lua_pushcfunction(L, wrap);
    lua_setfield(L, library, "wrap");
    lua_getfield(L, library, "status");
    lua_pushcclosure(L, close_coroutine, 1);
    lua_setfield(L, library, "close");
}
