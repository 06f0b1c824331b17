// The libraries as a file with Envoy's hooks finds them: Lua 5.1's functions, its arguments and its numbers.
//
// What cannot be had: `10 / 2 .. ""` gives `5.0`, since the operator is the machine's own.
#include "lua_dialect.h"
#include <math.h>
#include <string.h>

// MARK: Functions of both dialects, told that they belong to the old one

static void bind(lua_State *L, int library, const char *const *names) {
    for (; *names; names++) {
        lua_getfield(L, library, *names);
        lua_CFunction function = lua_tocfunction(L, -1);
        lua_pop(L, 1);
        if (!function) continue;
        lua_pushboolean(L, 1);
        lua_pushcclosure(L, function, 1);
        lua_setfield(L, library, *names);
    }
}

// MARK: table

static int get_length(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushinteger(L, luaL_len(L, 1));
    return 1;
}

static int greatest_key(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Number greatest = 0;
    lua_Integer steps = 0;
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        lua_pop(L, 1);
        if ((++steps & 0xfff) == 0) mg_check_time(L);
        if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) > greatest) greatest = lua_tonumber(L, -1);
    }
    mg_push_number(L, greatest);
    return 1;
}

/// Behind the function that `foreach` has called: its result, if it gave one, ends the loop.
static int go_on_foreach(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    for (;;) {
        if (!lua_isnil(L, -1)) return 1;
        lua_pop(L, 1);
        mg_check_time(L);
        if (!lua_next(L, 1)) return 0;
        // The key stays below as the place of the loop.
        lua_pushvalue(L, 2);
        lua_insert(L, -2);
        lua_pushvalue(L, -3);
        lua_insert(L, -2);
        lua_callk(L, 2, 1, 0, go_on_foreach);
    }
}

static int for_each(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushnil(L);
    lua_pushnil(L);
    return go_on_foreach(L, LUA_OK, 0);
}

static int go_on_foreachi(lua_State *L, int status, lua_KContext place) {
    (void)status;
    for (;;) {
        if (!lua_isnil(L, -1)) return 1;
        lua_settop(L, 3);
        mg_check_time(L);
        if (++place > lua_tointeger(L, 3)) return 0;
        lua_pushvalue(L, 2);
        lua_pushinteger(L, place);
        lua_rawgeti(L, 1, place);
        lua_callk(L, 2, 1, place, go_on_foreachi);
    }
}

static int for_each_index(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushinteger(L, luaL_len(L, 1));
    lua_pushnil(L);
    return go_on_foreachi(L, LUA_OK, 0);
}

// MARK: math

static int power(lua_State *L) {
    lua_pushnumber(L, pow(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
    return 1;
}

static int remainder_of(lua_State *L) {
    mg_push_number(L, fmod(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
    return 1;
}

static int logarithm(lua_State *L) {
    lua_pushnumber(L, log10(luaL_checknumber(L, 1)));
    return 1;
}

static int scale(lua_State *L) {
    mg_whole(L, 2);
    lua_Integer exponent = luaL_checkinteger(L, 2);
    int bounded = exponent > 5000 ? 5000 : exponent < -5000 ? -5000 : (int)exponent;
    lua_pushnumber(L, ldexp(luaL_checknumber(L, 1), bounded));
    return 1;
}

static int split(lua_State *L) {
    int exponent;
    lua_pushnumber(L, frexp(luaL_checknumber(L, 1), &exponent));
    lua_pushinteger(L, exponent);
    return 2;
}

static int hyperbolic(lua_State *L, double (*function)(double)) {
    lua_pushnumber(L, function(luaL_checknumber(L, 1)));
    return 1;
}

static int hyperbolic_cosine(lua_State *L) { return hyperbolic(L, cosh); }
static int hyperbolic_sine(lua_State *L) { return hyperbolic(L, sinh); }
static int hyperbolic_tangent(lua_State *L) { return hyperbolic(L, tanh); }

/// Upvalue 1: a function of the library, whose results are to print as numbers of the old dialect do.
static int with_plain_results(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    int count = lua_gettop(L);
    for (int index = 1; index <= count; index++) {
        if (!mg_is_float(L, index)) continue;
        mg_push_number(L, lua_tonumber(L, index));
        lua_replace(L, index);
    }
    return count;
}

/// Upvalue 1: a function of the library, which wants whole numbers.
static int with_whole_arguments(lua_State *L) {
    for (int index = 1; index <= lua_gettop(L); index++) mg_whole(L, index);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/// Upvalue 1: a function of the library, whose first argument is to be a whole number.
static int with_whole_first(lua_State *L) {
    mg_whole(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static void wrap(lua_State *L, int library, const char *const *names, lua_CFunction wrapper) {
    for (; *names; names++) {
        lua_getfield(L, library, *names);
        lua_pushcclosure(L, wrapper, 1);
        lua_setfield(L, library, *names);
    }
}

// MARK: os

/// A copy of the table with whole numbers, since the caller's must not change.
static int get_time(lua_State *L) {
    if (lua_type(L, 1) == LUA_TTABLE) {
        lua_settop(L, 1);
        static const char *const names[] = {"year", "month", "day", "hour", "min", "sec", "isdst", NULL};
        lua_createtable(L, 0, 7);
        for (const char *const *name = names; *name; name++) {
            lua_getfield(L, 1, *name);
            mg_whole(L, lua_gettop(L));
            lua_setfield(L, 2, *name);
        }
        lua_replace(L, 1);
    }
    return mg_vm(L)->library.time(L);
}

static int get_difference(lua_State *L) {
    mg_whole(L, 1);
    mg_whole(L, 2);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_pushinteger(L, 0);
    }
    return mg_vm(L)->library.difftime(L);
}

// MARK: The globals

static void set_functions(lua_State *L, int library, const luaL_Reg *functions) {
    for (; functions->name; functions++) {
        lua_pushboolean(L, 1);
        lua_pushcclosure(L, functions->func, 1);
        lua_setfield(L, library, functions->name);
    }
}

static void open_math(lua_State *L, int math) {
    static const luaL_Reg functions[] = {
        {"pow", power}, {"fmod", remainder_of}, {"log10", logarithm}, {"ldexp", scale}, {"frexp", split},
        {"cosh", hyperbolic_cosine}, {"sinh", hyperbolic_sine}, {"tanh", hyperbolic_tangent}, {NULL, NULL},
    };
    static const char *const plain[] = {"abs", "max", "min", "modf", "sqrt", NULL};
    static const char *const whole[] = {"random", "randomseed", NULL};
    set_functions(L, math, functions);
    wrap(L, math, plain, with_plain_results);
    wrap(L, math, whole, with_whole_arguments);
}

static int field(lua_State *L, int globals, const char *name) {
    lua_getfield(L, globals, name);
    return lua_gettop(L);
}

void mg_open_legacy(lua_State *L, int globals) {
    static const char *const strings[] = {
        "sub", "byte", "char", "rep", "format", "find", "match", "gmatch", "gsub", NULL,
    };
    static const char *const tables[] = {"concat", "insert", "remove", "sort", "move", "unpack", NULL};
    static const char *const dates[] = {"date", NULL};
    static const char *const first[] = {"select", NULL};
    static const luaL_Reg added[] = {
        {"getn", get_length}, {"maxn", greatest_key}, {"foreach", for_each}, {"foreachi", for_each_index},
        {NULL, NULL},
    };
    static const luaL_Reg times[] = {{"time", get_time}, {"difftime", get_difference}, {NULL, NULL}};
    luaL_checkstack(L, 16, "too many nested files");
    bind(L, field(L, globals, "string"), strings);
    int table = field(L, globals, "table");
    bind(L, table, tables);
    set_functions(L, table, added);
    open_math(L, field(L, globals, "math"));
    int os = field(L, globals, "os");
    bind(L, os, dates);
    set_functions(L, os, times);
    lua_settop(L, globals);
    wrap(L, globals, first, with_whole_first);
    mg_open_legacy_globals(L, globals);
}
