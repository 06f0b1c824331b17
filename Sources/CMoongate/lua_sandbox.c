// What a policy file finds among its globals: everything that cannot reach outside the VM, and clear errors for
// the rest. Each file gets copies of its own, so that none can change another's `string.rep`.
#include "lua_dialect.h"
#include <string.h>

static const char *const base_names[] = {
    "assert", "error",    "getmetatable", "ipairs",   "next",   "rawequal", "rawget", "rawlen",
    "rawset", "select", "tonumber",     "tostring", "type", "_VERSION", NULL,
};
static const char *const closed_names[] = {"debug", "dofile", "io", "loadfile", "package", NULL};
static const char *const os_names[] = {"clock", "difftime", "time", NULL};
/// Lua 5.1's, which some builds of the library still have.
static const char *const old_math_names[] = {"pow", "log10", "ldexp", "frexp", "cosh", "sinh", "tanh", NULL};

static int refuse_member(lua_State *L) {
    const char *library = lua_tostring(L, lua_upvalueindex(1));
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L, "%s.%s is closed in policies", library, name);
}

static int refuse_function(lua_State *L) {
    return luaL_error(L, "%s is closed in policies", lua_tostring(L, lua_upvalueindex(1)));
}

/// Behind a file's globals: names that nobody defined are nil, and what was closed says so.
static int undefined_global(lua_State *L) {
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *name = lua_tostring(L, 2);
    for (const char *const *closed = closed_names; *closed; closed++)
        if (strcmp(name, *closed) == 0) return luaL_error(L, "%s is closed in policies", name);
    return 0;
}

static int count_garbage(lua_State *L) {
    const char *option = luaL_optstring(L, 1, "collect");
    if (strcmp(option, "count") != 0) return luaL_error(L, "collectgarbage: only \"count\" is open in policies");
    lua_pushnumber(L, (lua_Number)mg_vm(L)->memory / 1024);
    return 1;
}

void mg_to_text(lua_State *L, int index) {
    if (mg_is_float(L, index) && mg_is_legacy(L)) {
        mg_print_float(L, index);
        return;
    }
    luaL_tolstring(L, index, NULL);
    lua_replace(L, index);
}

static int print(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    int count = lua_gettop(L);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (int index = 1; index <= count; index++) {
        mg_poll(L);
        if (index > 1) luaL_addchar(&buffer, '\t');
        lua_pushvalue(L, index);
        mg_to_text(L, lua_gettop(L));
        luaL_addvalue(&buffer);
    }
    luaL_pushresult(&buffer);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    if (!vm->print || length > MG_TEXT_MAX) return 0;
    vm->call.object = NULL;
    vm->call.scope = vm->scope ? vm->scope->native : NULL;
    vm->arguments[0] = (mg_value){.kind = MG_STRING, .size = (uint32_t)length, .bytes = (const uint8_t *)text};
    vm->output.count = 0;
    vm->print(&vm->call);
    return 0;
}

static void copy_named(lua_State *L, int from, int to, const char *const *names) {
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        lua_setfield(L, to, *names);
    }
}

/// Pushes a copy of the table at `index`, tables in it copied too, metatables shared.
static void push_copy(lua_State *L, int index, int depth) {
    luaL_checkstack(L, 6, "library too deep");
    index = lua_absindex(L, index);
    lua_newtable(L);
    int copy = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -1) == LUA_TTABLE && depth < 4) {
            push_copy(L, -1, depth + 1);
            lua_replace(L, -2);
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, copy);
    }
    if (lua_getmetatable(L, index)) lua_setmetatable(L, copy);
}

lua_CFunction mg_take_function(lua_State *L, int library, const char *name) {
    lua_getfield(L, library, name);
    lua_CFunction function = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    return function;
}

/// Each file has random numbers of its own: one that seeds them must not make another's foreseeable.
static void open_random(lua_State *L, int globals) {
    static const char *const names[] = {"random", "randomseed", NULL};
    lua_pushcfunction(L, luaopen_math);
    lua_call(L, 0, 1);
    int fresh = lua_gettop(L);
    lua_getfield(L, globals, "math");
    copy_named(L, fresh, fresh + 1, names);
    lua_settop(L, fresh - 1);
}

void mg_push_globals(lua_State *L, mg_lua *vm, bool legacy) {
    luaL_checkstack(L, 8, "too many nested files");
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->template_globals);
    push_copy(L, -1, 0);
    lua_replace(L, -2);
    int globals = lua_gettop(L);
    open_random(L, globals);
    if (legacy) mg_open_legacy(L, globals);
    mg_open_load(L, globals, legacy);
    lua_pushvalue(L, globals);
    lua_setfield(L, globals, "_G");
}

// MARK: Building the template

static void close_function(lua_State *L, int table, const char *name, const char *shown) {
    lua_pushstring(L, shown);
    lua_pushcclosure(L, refuse_function, 1);
    lua_setfield(L, table, name);
}

/// Opens a standard library and pushes its table, which goes into the template as well.
static int open(lua_State *L, int globals, const char *name, lua_CFunction function) {
    luaL_requiref(L, name, function, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, globals, name);
    return lua_gettop(L);
}

/// No number is written as long as that.
static int to_number(lua_State *L) {
    if (lua_type(L, 1) != LUA_TSTRING || lua_rawlen(L, 1) <= MG_TEXT_MAX) return mg_vm(L)->library.tonumber(L);
    luaL_pushfail(L);
    return 1;
}

static void open_base(lua_State *L, int globals) {
    luaL_requiref(L, "_G", luaopen_base, 0);
    int base = lua_gettop(L);
    copy_named(L, base, globals, base_names);
    mg_vm(L)->library.tonumber = mg_take_function(L, base, "tonumber");
    lua_pushcfunction(L, to_number);
    lua_setfield(L, globals, "tonumber");
    mg_open_protect(L, globals);
    lua_getfield(L, base, "next");
    lua_pushcclosure(L, mg_pairs, 1);
    lua_setfield(L, globals, "pairs");
    lua_pushcfunction(L, count_garbage);
    lua_setfield(L, globals, "collectgarbage");
    lua_pushcfunction(L, print);
    lua_setfield(L, globals, "print");
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, undefined_global);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, globals);
}

/// Formatting takes a C function long enough for a format of a million letters to hold a worker up.
static int date(lua_State *L) {
    size_t length;
    luaL_optlstring(L, 1, "", &length);
    if (length > 1000) return luaL_error(L, "os.date: format longer than 1000 bytes");
    mg_whole(L, 2);
    return mg_vm(L)->library.date(L);
}

/// Variables of the process that the host lets policies see; nil for all others.
static int get_variable(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, mg_vm(L)->environment);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    return 1;
}

static void open_os(lua_State *L, int globals) {
    luaL_requiref(L, "os", luaopen_os, 0);
    int full = lua_gettop(L);
    lua_newtable(L);
    copy_named(L, full, full + 1, os_names);
    mg_library *library = &mg_vm(L)->library;
    library->date = mg_take_function(L, full, "date");
    library->time = mg_take_function(L, full, "time");
    library->difftime = mg_take_function(L, full, "difftime");
    lua_pushcfunction(L, date);
    lua_setfield(L, full + 1, "date");
    lua_pushcfunction(L, get_variable);
    lua_setfield(L, full + 1, "getenv");
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "os");
    lua_pushcclosure(L, refuse_member, 1);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, full + 1);
    lua_setfield(L, globals, "os");
    lua_pop(L, 1);
}

int mg_open_sandbox(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    lua_newtable(L);
    int globals = lua_gettop(L);
    open_base(L, globals);
    int strings = open(L, globals, "string", luaopen_string);
    close_function(L, strings, "dump", "string.dump");
    mg_open_patterns(L, strings);
    mg_open_strings(L, strings);
    mg_open_tables(L, open(L, globals, "table", luaopen_table));
    int math = open(L, globals, "math", luaopen_math);
    for (const char *const *name = old_math_names; *name; name++) {
        lua_pushnil(L);
        lua_setfield(L, math, *name);
    }
    mg_open_utf8(L, open(L, globals, "utf8", luaopen_utf8));
    mg_open_coroutine(L, open(L, globals, "coroutine", luaopen_coroutine));
    open_os(L, globals);
    // The table behind ("text"):method() is the library's own; files only ever see copies.
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, globals);
    vm->template_globals = luaL_ref(L, LUA_REGISTRYINDEX);
    for (int dialect = 0; dialect < 2; dialect++) {
        lua_newtable(L);
        vm->modules[dialect] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_newtable(L);
    vm->environment = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

// MARK: Libraries of the host

struct variable {
    mg_lua *vm;
    const char *name;
    const char *value;
};

static int define_variable(lua_State *L) {
    const struct variable *variable = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, variable->vm->environment);
    lua_pushstring(L, variable->value);
    lua_setfield(L, -2, variable->name);
    return 0;
}

bool mg_lua_define_variable(mg_lua *vm, const char *name, const char *value) {
    struct variable variable = {vm, name, value};
    return mg_protected(vm, define_variable, &variable);
}

struct library_definition {
    mg_lua *vm;
    const char *name;
    const mg_binding *bindings;
    int32_t count;
};

/// Pushes the table in the table on top that `name` leads to; returns the last part of the name.
static const char *walk(lua_State *L, const char *name) {
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(name, '.')) {
        lua_pushlstring(L, name, (size_t)(dot - name));
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, -5);
        }
        lua_replace(L, -3);
        lua_pop(L, 1);
        name = dot + 1;
    }
    return name;
}

/// Pushes the template's table called `name`, made if need be; with an empty name the template itself.
static int push_library(lua_State *L, mg_lua *vm, const char *name) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->template_globals);
    if (*name) {
        lua_pushstring(L, name);
        if (lua_rawget(L, -2) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -1);
            lua_setfield(L, -3, name);
        }
    }
    return lua_gettop(L);
}

static int define_library(lua_State *L) {
    const struct library_definition *definition = lua_touserdata(L, 1);
    mg_lua *vm = definition->vm;
    int library = push_library(L, vm, definition->name);
    for (int32_t index = 0; index < definition->count; index++) {
        lua_pushvalue(L, library);
        const char *last = walk(L, definition->bindings[index].name);
        mg_push_binding(L, vm, &definition->bindings[index], 0);
        lua_setfield(L, -2, last);
        lua_settop(L, library);
    }
    return 0;
}

bool mg_lua_define_library(mg_lua *vm, const char *name, const mg_binding *bindings, int32_t count) {
    struct library_definition definition = {vm, name, bindings, count};
    return mg_protected(vm, define_library, &definition);
}

struct constant_definition {
    mg_lua *vm;
    const char *library;
    const char *name;
    int64_t value;
};

static int define_constant(lua_State *L) {
    const struct constant_definition *definition = lua_touserdata(L, 1);
    push_library(L, definition->vm, definition->library);
    lua_pushinteger(L, definition->value);
    lua_setfield(L, -2, definition->name);
    return 0;
}

static int define_null(lua_State *L) {
    const struct constant_definition *definition = lua_touserdata(L, 1);
    push_library(L, definition->vm, definition->library);
    const char *last = walk(L, definition->name);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, last);
    return 0;
}

bool mg_lua_define_null(mg_lua *vm, const char *library, const char *name) {
    struct constant_definition definition = {vm, library, name, 0};
    return mg_protected(vm, define_null, &definition);
}

bool mg_lua_define_constant(mg_lua *vm, const char *library, const char *name, int64_t value) {
    struct constant_definition definition = {vm, library, name, value};
    return mg_protected(vm, define_constant, &definition);
}
