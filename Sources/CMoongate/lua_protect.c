// pcall and xpcall that cannot keep a script alive which is being left for good.
#include "lua_internal.h"

static bool is_leaving(lua_State *L) { return mg_is_leaving(mg_vm(L)); }

static int leave(lua_State *L) {
    mg_check_time(L);
    return mg_leave(L);
}

/// Behind the protected function: `skip` values below its results stay where they are.
static int finish_pcall(lua_State *L, int status, lua_KContext skip) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)skip;
    if (is_leaving(L)) return leave(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int protected_call(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall);
    return finish_pcall(L, status, 0);
}

static int finish_handler(lua_State *L, int status, lua_KContext context) {
    (void)context;
    if (status != LUA_OK && status != LUA_YIELD && is_leaving(L)) return leave(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/// The handler runs after the stack was unwound. Scripts cannot tell (`debug` is closed), and a handler that ran
/// where the error was raised would run with hooks off if the guard raised it.
static int finish_xpcall(lua_State *L, int status, lua_KContext skip) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)skip;
    if (is_leaving(L)) return leave(L);
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    status = lua_pcallk(L, 1, 1, 0, 0, finish_handler);
    return finish_handler(L, status, 0);
}

static int protected_call_with_handler(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    int count = lua_gettop(L) - 2;
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);
    int status = lua_pcallk(L, count, LUA_MULTRET, 0, 2, finish_xpcall);
    return finish_xpcall(L, status, 2);
}

/// A finaliser would run with hooks off, where the guard cannot stop it.
static int set_metatable(lua_State *L) {
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    if (type == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "__gc is closed in policies");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

void mg_open_protect(lua_State *L, int globals) {
    static const luaL_Reg functions[] = {
        {"pcall", protected_call},
        {"xpcall", protected_call_with_handler},
        {"setmetatable", set_metatable},
        {NULL, NULL},
    };
    lua_pushvalue(L, globals);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
