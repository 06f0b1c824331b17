// Library functions that loop in C, where the guard's hook cannot stop them: bounded by count.
//
// Memory limits do not help: `string.rep("", 1e12)` and a `__len` that lies need no memory at all.
#include "lua_internal.h"
#include <string.h>

static int repeat(lua_State *L) {
    size_t length, gap;
    const char *text = luaL_checklstring(L, 1, &length);
    lua_Integer count = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &gap);
    if (count <= 0 || length + gap == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (length + gap > MG_TEXT_MAX || count > (lua_Integer)(MG_TEXT_MAX / (length + gap)))
        return luaL_error(L, "string.rep: the result would be longer than %d bytes", MG_TEXT_MAX);
    size_t total = (size_t)count * length + (size_t)(count - 1) * gap;
    luaL_Buffer buffer;
    char *target = luaL_buffinitsize(L, &buffer, total);
    for (lua_Integer index = 0; index < count; index++) {
        memcpy(target, text, length);
        target += length;
        if (index + 1 == count) break;
        memcpy(target, separator, gap);
        target += gap;
    }
    luaL_pushresultsize(&buffer, total);
    return 1;
}

/// Calls the library's own function, upvalue 1, with the arguments as they are.
static int pass_on(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static void check_count(lua_State *L, lua_Integer count, lua_Integer most) {
    if (count > most) luaL_error(L, "too many elements (at most %d)", (int)most);
}

static void check_length(lua_State *L, lua_Integer most) {
    if (lua_type(L, 1) == LUA_TTABLE) check_count(L, luaL_len(L, 1), most);
}

static int bounded_length(lua_State *L) {
    check_length(L, MG_STEPS_MAX);
    return pass_on(L);
}

/// `<`, asking the guard: comparing long texts takes its time, and sorting compares often.
static int is_less(lua_State *L) {
    mg_check_time(L);
    lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
    return 1;
}

static int bounded_sort(lua_State *L) {
    check_length(L, MG_STEPS_MAX / 10);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_pushcfunction(L, is_less);
    }
    return pass_on(L);
}

static void check_range(lua_State *L, lua_Integer first, lua_Integer last) {
    if (first > last) return;
    if ((lua_Unsigned)last - (lua_Unsigned)first >= MG_STEPS_MAX) check_count(L, MG_STEPS_MAX + 1, MG_STEPS_MAX);
}

static int bounded_concat(lua_State *L) {
    check_length(L, MG_STEPS_MAX);
    if (!lua_isnoneornil(L, 4)) check_range(L, luaL_optinteger(L, 3, 1), luaL_checkinteger(L, 4));
    return pass_on(L);
}

static int bounded_move(lua_State *L) {
    check_range(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return pass_on(L);
}

static void replace(lua_State *L, int library, const char *name, lua_CFunction function) {
    lua_getfield(L, library, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, library, name);
}

void mg_open_bounded(lua_State *L, int strings, int tables) {
    lua_pushcfunction(L, repeat);
    lua_setfield(L, strings, "rep");
    replace(L, tables, "concat", bounded_concat);
    replace(L, tables, "insert", bounded_length);
    replace(L, tables, "move", bounded_move);
    replace(L, tables, "remove", bounded_length);
    replace(L, tables, "sort", bounded_sort);
}
