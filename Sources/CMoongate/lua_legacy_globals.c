// Global functions of Lua 5.1 that 5.4 has not, for files with Envoy's hooks.
#include "lua_dialect.h"
#include <string.h>

static int to_string(lua_State *L) {
    luaL_checkany(L, 1);
    mg_to_text(L, 1);
    lua_settop(L, 1);
    return 1;
}

static int to_number(lua_State *L) {
    mg_whole(L, 2);
    if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) > MG_TEXT_MAX) {
        luaL_pushfail(L);
        return 1;
    }
    int results = mg_vm(L)->library.tonumber(L);
    if (!mg_is_float(L, -1)) return results;
    mg_push_number(L, lua_tonumber(L, -1));
    return 1;
}

static int memory_in_use(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)(mg_lua_memory(mg_vm(L)).held / 1024));
    return 1;
}

/// Upvalue 1: the file's globals.
static int load_string(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    return mg_load_text(L, lua_upvalueindex(1), true);
}

// MARK: Environments

/// Pushes the function that argument 1 names: itself, or the one at a level of the stack.
static void push_function(lua_State *L, bool optional) {
    if (lua_isfunction(L, 1)) {
        lua_pushvalue(L, 1);
        return;
    }
    mg_whole(L, 1);
    lua_Integer level = optional ? luaL_optinteger(L, 1, 1) : luaL_checkinteger(L, 1);
    lua_Debug activation;
    luaL_argcheck(L, level > 0 && level < 1000, 1, "only functions that run have an environment of their own");
    if (!lua_getstack(L, (int)level, &activation)) luaL_argerror(L, 1, "invalid level");
    lua_getinfo(L, "f", &activation);
}

/// The place of `_ENV` among a function's upvalues, 0 if it has none; its value is pushed then.
static int push_environment(lua_State *L, int function) {
    if (lua_iscfunction(L, function)) return 0;
    const char *name;
    for (int place = 1; (name = lua_getupvalue(L, function, place)); place++) {
        if (strcmp(name, "_ENV") == 0) return place;
        lua_pop(L, 1);
    }
    return 0;
}

/// All files' globals, and nothing else, have the template's metatable; it is protected. Other files' are not shown.
static void check_own(lua_State *L, int environment) {
    if (lua_rawequal(L, environment, lua_upvalueindex(1)) || !lua_getmetatable(L, environment)) return;
    lua_getmetatable(L, lua_upvalueindex(1));
    if (lua_rawequal(L, -1, -2)) luaL_error(L, "the function belongs to another file");
    lua_pop(L, 2);
}

/// Upvalue 1: the file's globals.
static int get_environment(lua_State *L) {
    if (lua_type(L, 1) == LUA_TNUMBER && lua_tonumber(L, 1) == 0) {
        lua_pushvalue(L, lua_upvalueindex(1));
        return 1;
    }
    push_function(L, true);
    if (push_environment(L, lua_gettop(L))) check_own(L, lua_gettop(L));
    else lua_pushvalue(L, lua_upvalueindex(1));
    return 1;
}

/// Upvalue 1: the file's globals.
static int set_environment(lua_State *L) {
    luaL_checktype(L, 2, LUA_TTABLE);
    push_function(L, false);
    int function = lua_gettop(L);
    int place = push_environment(L, function);
    if (!place) {
        lua_settop(L, function);
        return 1;
    }
    check_own(L, lua_gettop(L));
    // Functions share the variable, so this one gets a new one: that of a function made for the purpose.
    luaL_loadbufferx(L, "", 0, "=setfenv", "t");
    lua_pushvalue(L, 2);
    lua_setupvalue(L, -2, 1);
    lua_upvaluejoin(L, function, place, lua_gettop(L), 1);
    lua_settop(L, function);
    return 1;
}

// MARK: What is not provided

static int refuse(lua_State *L) {
    return luaL_error(
        L, "%s is not provided: %s", lua_tostring(L, lua_upvalueindex(1)), lua_tostring(L, lua_upvalueindex(2)));
}

static void set_refusal(lua_State *L, int globals, const char *name, const char *instead) {
    lua_pushstring(L, name);
    lua_pushstring(L, instead);
    lua_pushcclosure(L, refuse, 2);
    lua_setfield(L, globals, name);
}

// MARK: jit

static int nothing(lua_State *L) {
    (void)L;
    return 0;
}

static int is_compiled(lua_State *L) {
    lua_pushboolean(L, 0);
    return 1;
}

/// Enough for scripts that switch the compiler off or report its version.
static void set_jit(lua_State *L, int globals) {
    static const luaL_Reg functions[] = {
        {"on", nothing}, {"off", nothing}, {"flush", nothing}, {"status", is_compiled}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_pushliteral(L, "none, policies run on Lua 5.4");
    lua_setfield(L, -2, "version");
    lua_pushinteger(L, 20100);
    lua_setfield(L, -2, "version_num");
    lua_pushliteral(L, "Linux");
    lua_setfield(L, -2, "os");
    lua_setfield(L, globals, "jit");
}

static void set_function(lua_State *L, int globals, const char *name, lua_CFunction function) {
    lua_pushboolean(L, 1);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, globals, name);
}

static void set_with_globals(lua_State *L, int globals, const char *name, lua_CFunction function) {
    lua_pushvalue(L, globals);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, globals, name);
}

void mg_open_legacy_globals(lua_State *L, int globals) {
    set_function(L, globals, "tostring", to_string);
    set_function(L, globals, "tonumber", to_number);
    set_function(L, globals, "gcinfo", memory_in_use);
    lua_getfield(L, globals, "print");
    set_function(L, globals, "print", lua_tocfunction(L, -1));
    lua_getfield(L, globals, "table");
    lua_getfield(L, -1, "unpack");
    lua_setfield(L, globals, "unpack");
    set_with_globals(L, globals, "loadstring", load_string);
    set_with_globals(L, globals, "getfenv", get_environment);
    set_with_globals(L, globals, "setfenv", set_environment);
    set_refusal(L, globals, "module", "return a table from the file");
    set_refusal(L, globals, "newproxy", "use setmetatable with a table");
    mg_push_bit(L);
    lua_setfield(L, globals, "bit");
    set_jit(L, globals);
    lua_settop(L, globals);
}
