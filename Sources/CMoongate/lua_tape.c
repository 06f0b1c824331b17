// Tables on their way between Lua and Swift: flat, bounded in depth and size.
#include "lua_internal.h"
#include <stdlib.h>

#define TAPE_MAX (1 << 24)
/// What a table from a script may have in values.
#define INPUT_MAX (1 << 18)

bool mg_tape_grow(mg_tape *tape) {
    if (tape->capacity >= TAPE_MAX) return false;
    int32_t capacity = tape->capacity ? tape->capacity * 2 : 32;
    mg_value *larger = realloc(tape->values, (size_t)capacity * sizeof *larger);
    if (!larger) return false;
    tape->values = larger;
    tape->capacity = capacity;
    return true;
}

void mg_tape_free(mg_tape *tape) {
    free(tape->values);
    *tape = (mg_tape){0};
}

static void push(lua_State *L, mg_tape *tape, mg_value value) {
    // Empty tables with room for many are slow to walk through, and one may be in here often.
    mg_poll(L);
    if (tape->count >= INPUT_MAX || !mg_tape_push(tape, value))
        luaL_error(L, "table too large (more than %d values)", INPUT_MAX);
}

static void encode(lua_State *L, mg_tape *tape, int index, int depth);

static const char array_key;

/// Pushes the metatable that marks arrays.
static void push_array_mark(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) != LUA_TNIL) return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
}

static bool is_array(lua_State *L, int index) {
    if (!lua_getmetatable(L, index)) return false;
    push_array_mark(L);
    bool is_equal = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is_equal;
}

static void encode_entries(lua_State *L, mg_tape *tape, int index, int depth) {
    if (depth >= MG_TABLE_DEPTH) luaL_error(L, "table too deep (more than %d levels)", MG_TABLE_DEPTH);
    luaL_checkstack(L, 6, "table too deep");
    int view = luaL_getmetafield(L, index, "__view");
    if (view != LUA_TNIL) {
        if (view == LUA_TTABLE) encode_entries(L, tape, lua_gettop(L), depth + 1);
        lua_pop(L, 1);
        if (view == LUA_TTABLE) return;
    }
    if (mg_push_context_view(L, index)) {
        encode_entries(L, tape, lua_gettop(L), depth);
        lua_pop(L, 1);
        return;
    }
    push(L, tape, (mg_value){.kind = MG_TABLE, .size = is_array(L, index)});
    lua_pushnil(L);
    while (lua_next(L, index)) {
        int value = lua_gettop(L);
        encode(L, tape, value - 1, depth + 1);
        encode(L, tape, value, depth + 1);
        lua_settop(L, value - 1);
    }
    push(L, tape, (mg_value){.kind = MG_END});
}

static void encode(lua_State *L, mg_tape *tape, int index, int depth) {
    mg_value value = {.kind = MG_NIL};
    size_t length;
    switch (lua_type(L, index)) {
    case LUA_TNIL: break;
    case LUA_TBOOLEAN:
        value.kind = MG_BOOLEAN;
        value.boolean = lua_toboolean(L, index);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            value.kind = MG_INTEGER;
            value.integer = lua_tointeger(L, index);
        } else {
            value.kind = MG_NUMBER;
            value.number = lua_tonumber(L, index);
        }
        break;
    case LUA_TSTRING:
        value.kind = MG_STRING;
        value.bytes = (const uint8_t *)lua_tolstring(L, index, &length);
        if (length > MG_TEXT_MAX) luaL_error(L, "string too long (more than %d bytes)", MG_TEXT_MAX);
        value.size = (uint32_t)length;
        break;
    case LUA_TTABLE: encode_entries(L, tape, index, depth); return;
    // The only one that scripts can get hold of.
    case LUA_TLIGHTUSERDATA: value.kind = MG_NULL; break;
    default:
        if (mg_vm(L)->takes_bytes && mg_take_bytes(L, mg_vm(L), index, &value)) break;
        value.kind = MG_OTHER;
        value.bytes = (const uint8_t *)luaL_typename(L, index);
    }
    push(L, tape, value);
}

void mg_encode_table(lua_State *L, mg_tape *tape, int index) { encode_entries(L, tape, lua_absindex(L, index), 0); }

// MARK: Results

static int push_value(lua_State *L, mg_lua *vm, const mg_tape *tape, int place);

/// Fills the table on top; returns the place behind its MG_END.
static int push_table(lua_State *L, mg_lua *vm, const mg_tape *tape, int place) {
    mg_value start = tape->values[place];
    bool is_list = start.kind != MG_TABLE;
    luaL_checkstack(L, 6, "table too deep");
    lua_createtable(L, is_list ? (int)start.size : 0, is_list ? 0 : (int)start.size);
    if (start.kind == MG_ARRAY) {
        push_array_mark(L);
        lua_setmetatable(L, -2);
    }
    place += 1;
    lua_Integer index = 1;
    while (place < tape->count && tape->values[place].kind != MG_END) {
        mg_poll(L);
        place = push_value(L, vm, tape, place);
        if (is_list) {
            lua_rawseti(L, -2, index++);
        } else {
            place = push_value(L, vm, tape, place);
            lua_rawset(L, -3);
        }
    }
    return place + 1;
}

/// Tables with a metatable of their own, read-only ones among them, keep it.
static void push_marked(lua_State *L) {
    if (lua_type(L, 1) == LUA_TTABLE) {
        lua_pushvalue(L, 1);
        if (lua_getmetatable(L, -1)) {
            if (!is_array(L, -2)) luaL_error(L, "the table has a metatable already");
            lua_pop(L, 1);
        }
    } else {
        lua_newtable(L);
    }
    push_array_mark(L);
    lua_setmetatable(L, -2);
}

static int method_returned(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    return lua_gettop(L);
}

static int call_method(lua_State *L) {
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_callk(L, 1, LUA_MULTRET, 0, method_returned);
    return lua_gettop(L);
}

/// The leaf runs in the function that was called, whose first argument is the object.
static void push_method(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, call_method, 2);
}

static int push_value(lua_State *L, mg_lua *vm, const mg_tape *tape, int place) {
    mg_value value = tape->values[place];
    switch (value.kind) {
    case MG_BOOLEAN: lua_pushboolean(L, value.boolean); break;
    case MG_INTEGER: lua_pushinteger(L, value.integer); break;
    case MG_NUMBER: lua_pushnumber(L, value.number); break;
    case MG_STRING: lua_pushlstring(L, (const char *)value.bytes, value.size); break;
    case MG_TABLE:
    case MG_LIST:
    case MG_ARRAY: return push_table(L, vm, tape, place);
    case MG_NULL: lua_pushlightuserdata(L, NULL); break;
    case MG_MARKED: push_marked(L); break;
    case MG_OBJECT:
        mg_object_arm(value.object);
        lua_rawgeti(L, LUA_REGISTRYINDEX, ((mg_object *)value.object)->reference);
        break;
    case MG_REFERENCE: lua_rawgeti(L, LUA_REGISTRYINDEX, value.integer); break;
    case MG_METHOD: push_method(L, (const char *)value.bytes); break;
    case MG_SCOPE_TABLE: mg_push_context(L, vm); break;
    default: lua_pushnil(L);
    }
    return place + 1;
}

int mg_push_tape(lua_State *L, mg_lua *vm, const mg_tape *tape) {
    // What most leaves give.
    if (tape->count == 1 && tape->values->kind == MG_STRING) {
        lua_pushlstring(L, (const char *)tape->values->bytes, tape->values->size);
        return 1;
    }
    int pushed = 0;
    for (int place = 0; place < tape->count; pushed++) {
        if (pushed > 8) luaL_checkstack(L, 4, "too many results");
        place = push_value(L, vm, tape, place);
    }
    return pushed;
}

// MARK: Read-only tables

static int refuse_write(lua_State *L) { return luaL_error(L, "this table is read-only"); }

static int view_length(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, lua_upvalueindex(1)));
    return 1;
}

static int view_next(lua_State *L) {
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1))) return 2;
    lua_pushnil(L);
    return 1;
}

static int view_pairs(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, view_next, 1);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

void mg_freeze(lua_State *L) {
    luaL_checkstack(L, 8, "table too deep");
    int table = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        if (lua_type(L, -1) == LUA_TTABLE) {
            mg_freeze(L);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, table);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_newtable(L);
    lua_createtable(L, 0, 6);
    lua_pushvalue(L, table);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, table);
    lua_setfield(L, -2, "__view");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, table);
    lua_pushcclosure(L, view_length, 1);
    lua_setfield(L, -2, "__len");
    lua_pushvalue(L, table);
    lua_pushcclosure(L, view_pairs, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_replace(L, table);
}
