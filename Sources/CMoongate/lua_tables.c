// Functions of `table` that loop in C, where the guard's hook cannot stop them: bounded by count, and asking the
// guard as they go.
//
// Memory limits do not help: a `__len` that lies needs no memory at all, and may lie differently when asked again,
// so each function asks once.
#include "lua_dialect.h"

static void check_count(lua_State *L, lua_Integer count) {
    if (count > MG_STEPS_MAX) luaL_error(L, "too many elements (at most %d)", MG_STEPS_MAX);
}

static void check_range(lua_State *L, lua_Integer first, lua_Integer last) {
    if (first <= last && (lua_Unsigned)last - (lua_Unsigned)first >= MG_STEPS_MAX) check_count(L, MG_STEPS_MAX + 1);
}

/// Tables and what behaves like one.
static void check_table(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TTABLE) return;
    if (luaL_getmetafield(L, index, "__index") == LUA_TNIL) luaL_checktype(L, index, LUA_TTABLE);
    else lua_pop(L, 1);
}

static lua_Integer check_length(lua_State *L) {
    check_table(L, 1);
    lua_Integer length = luaL_len(L, 1);
    check_count(L, length);
    return length;
}

// MARK: insert and remove

/// `t[to] = t[from]` for each place from `first` to `last`, in the direction of `step`.
static void shift(lua_State *L, lua_Integer first, lua_Integer last, lua_Integer step) {
    if (step < 0) check_range(L, last, first);
    for (lua_Integer place = first; step < 0 ? place > last : place < last; place += step) {
        mg_poll(L);
        lua_geti(L, 1, place + step);
        lua_seti(L, 1, place);
    }
}

static int insert(lua_State *L) {
    lua_Integer end = check_length(L) + 1;
    if (lua_gettop(L) == 2) {
        lua_seti(L, 1, end);
        return 0;
    }
    if (lua_gettop(L) != 3) return luaL_error(L, "wrong number of arguments to 'insert'");
    mg_whole(L, 2);
    lua_Integer position = luaL_checkinteger(L, 2);
    if (position < 1 || position > end) {
        luaL_argcheck(L, mg_is_legacy(L), 2, "position out of bounds");
        if (position > end) end = position;
    }
    shift(L, end, position, -1);
    lua_settop(L, 3);
    lua_seti(L, 1, position);
    return 0;
}

static int remove_element(lua_State *L) {
    lua_Integer length = check_length(L);
    mg_whole(L, 2);
    lua_Integer position = luaL_optinteger(L, 2, length);
    if (lua_gettop(L) > 1 && (position < 1 || position > length) && mg_is_legacy(L)) return 0;
    if (lua_gettop(L) > 1 && position != length)
        luaL_argcheck(L, (lua_Unsigned)position - 1u <= (lua_Unsigned)length, 2, "position out of bounds");
    lua_geti(L, 1, position);
    int result = lua_gettop(L);
    shift(L, position, length, 1);
    lua_pushnil(L);
    lua_seti(L, 1, position < length ? length : position);
    lua_settop(L, result);
    return 1;
}

// MARK: concat

static void add_element(lua_State *L, luaL_Buffer *buffer, lua_Integer index) {
    lua_geti(L, 1, index);
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)index);
    if (mg_is_float(L, -1) && mg_is_legacy(L)) mg_print_float(L, lua_gettop(L));
    luaL_addvalue(buffer);
}

static int concat(lua_State *L) {
    lua_Integer last = check_length(L);
    size_t gap;
    const char *separator = luaL_optlstring(L, 2, "", &gap);
    mg_whole(L, 3);
    mg_whole(L, 4);
    lua_Integer index = luaL_optinteger(L, 3, 1);
    last = luaL_optinteger(L, 4, last);
    check_range(L, index, last);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (; index < last; index++) {
        mg_poll(L);
        add_element(L, &buffer, index);
        luaL_addlstring(&buffer, separator, gap);
    }
    if (index == last) add_element(L, &buffer, index);
    luaL_pushresult(&buffer);
    return 1;
}

// MARK: sort and move

/// `<`, asking the guard: comparing long texts takes its time, and sorting compares often.
static int is_less(lua_State *L) {
    mg_check_time(L);
    lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
    return 1;
}

/// For comparisons that are C functions, which no hook reaches.
static int compare(lua_State *L) {
    mg_check_time(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

static int sort(lua_State *L) {
    if (check_length(L) > MG_STEPS_MAX / 10)
        return luaL_error(L, "too many elements (at most %d)", MG_STEPS_MAX / 10);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_pushcfunction(L, is_less);
        lua_replace(L, 2);
    } else if (lua_iscfunction(L, 2)) {
        lua_pushcclosure(L, compare, 1);
    }
    return mg_vm(L)->library.sort(L);
}

static void copy_element(lua_State *L, lua_Integer from, int target, lua_Integer to) {
    mg_poll(L);
    lua_geti(L, 1, from);
    lua_seti(L, target, to);
}

/// From the end where source and target overlap, so that no element is overwritten before it is read.
static int move(lua_State *L) {
    for (int index = 2; index <= 4; index++) mg_whole(L, index);
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    check_table(L, 1);
    check_table(L, target);
    lua_settop(L, 5);
    check_range(L, first, last);
    lua_Integer count = last >= first ? last - first + 1 : 0;
    luaL_argcheck(L, count == 0 || to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
    bool is_apart = to > last || to <= first || (target != 1 && !lua_compare(L, 1, target, LUA_OPEQ));
    if (is_apart) for (lua_Integer step = 0; step < count; step++) copy_element(L, first + step, target, to + step);
    else for (lua_Integer step = count - 1; step >= 0; step--) copy_element(L, first + step, target, to + step);
    lua_pushvalue(L, target);
    return 1;
}

static int unpack(lua_State *L) {
    mg_whole(L, 2);
    mg_whole(L, 3);
    lua_Integer first = luaL_optinteger(L, 2, 1);
    lua_Integer last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
    if (first > last) return 0;
    lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)first;
    if (count >= MG_STEPS_MAX || !lua_checkstack(L, (int)count + 1)) return luaL_error(L, "too many results to unpack");
    for (lua_Integer index = first; index < last; index++) {
        mg_poll(L);
        lua_geti(L, 1, index);
    }
    lua_geti(L, 1, last);
    return (int)count + 1;
}

void mg_open_tables(lua_State *L, int tables) {
    static const luaL_Reg functions[] = {
        {"concat", concat}, {"insert", insert}, {"remove", remove_element}, {"sort", sort},
        {"move", move},     {"unpack", unpack}, {NULL, NULL},
    };
    mg_lua *vm = mg_vm(L);
    vm->library.sort = mg_take_function(L, tables, "sort");
    lua_pushvalue(L, tables);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
