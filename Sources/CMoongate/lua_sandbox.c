// What a policy file finds among its globals: everything that cannot reach outside the VM, and clear errors for
// the rest. Each file gets copies of its own, so that none can change another's `string.rep`.
#include "lua_internal.h"
#include <string.h>

static const char *const base_names[] = {
    "assert", "error",    "getmetatable", "ipairs",   "next",   "rawequal", "rawget", "rawlen",
    "rawset", "select", "tonumber",     "tostring", "type", "_VERSION", NULL,
};
static const char *const closed_names[] = {"debug", "dofile", "io", "loadfile", "package", NULL};
static const char *const os_names[] = {"clock", "date", "difftime", "time", NULL};

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

static int print(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    int count = lua_gettop(L);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (int index = 1; index <= count; index++) {
        if (index > 1) luaL_addchar(&buffer, '\t');
        luaL_tolstring(L, index, NULL);
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

// MARK: load and require

static const char *read_pieces(lua_State *L, void *data, size_t *size) {
    size_t *total = data;
    luaL_checkstack(L, 2, "too many nested functions");
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        *size = 0;
        return NULL;
    }
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "reader function must return a string");
    // Keeps the piece alive below the parser's values.
    lua_replace(L, 5);
    const char *piece = lua_tolstring(L, 5, size);
    *total += *size;
    if (*total > MG_SOURCE_MAX) luaL_error(L, "source too long (more than %d bytes)", MG_SOURCE_MAX);
    return piece;
}

/// Upvalue 1: the globals of the file that calls.
static int load_text(lua_State *L) {
    size_t length;
    const char *mode = luaL_optstring(L, 3, "bt");
    if (!strchr(mode, 't')) return luaL_error(L, "binary chunks are closed in policies");
    bool has_globals = !lua_isnone(L, 4);
    lua_settop(L, 4);
    lua_pushnil(L);
    int status;
    if (lua_type(L, 1) == LUA_TSTRING) {
        const char *source = lua_tolstring(L, 1, &length);
        if (length > MG_SOURCE_MAX) return luaL_error(L, "source too long (more than %d bytes)", MG_SOURCE_MAX);
        status = luaL_loadbufferx(L, source, length, luaL_optstring(L, 2, source), "t");
    } else {
        luaL_checktype(L, 1, LUA_TFUNCTION);
        length = 0;
        status = lua_load(L, read_pieces, &length, luaL_optstring(L, 2, "=(load)"), "t");
    }
    mg_check_time(L);
    if (status != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_pushvalue(L, has_globals ? 4 : lua_upvalueindex(1));
    lua_setupvalue(L, -2, 1);
    return 1;
}

static int finish_module(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, mg_vm(L)->modules);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, lua_tostring(L, 1));
    lua_pop(L, 1);
    return 1;
}

static int load_module(lua_State *L, mg_lua *vm, const char *name, size_t length) {
    mg_call *call = &vm->call;
    call->object = NULL;
    call->scope = NULL;
    vm->arguments[0] = (mg_value){.kind = MG_STRING, .size = (uint32_t)length, .bytes = (const uint8_t *)name};
    vm->output.count = 0;
    if (!vm->module_source || vm->module_source(call) != MG_RETURN || vm->output.count < 2)
        return luaL_error(L, "module '%s' not found in the policy path", name);
    mg_push_tape(L, vm, &vm->output);
    size_t size;
    const char *source = lua_tolstring(L, 2, &size);
    lua_pushfstring(L, "@%s", lua_tostring(L, 3));
    if (luaL_loadbufferx(L, source, size, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
    mg_push_globals(L, vm);
    lua_setupvalue(L, -2, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->modules);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 1, 0, finish_module);
    return finish_module(L, LUA_OK, 0);
}

/// Upvalue 1: the libraries of the file that calls. Modules are shared by all files of the VM.
static int require(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    lua_settop(L, 1);
    if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) return 1;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->modules);
    lua_getfield(L, -1, name);
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) return luaL_error(L, "loop in require of '%s'", name);
    if (!lua_isnil(L, -1)) return 1;
    lua_settop(L, 1);
    return load_module(L, vm, name, length);
}

void mg_push_globals(lua_State *L, mg_lua *vm) {
    luaL_checkstack(L, 8, "too many nested files");
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->template_globals);
    push_copy(L, -1, 0);
    lua_replace(L, -2);
    int globals = lua_gettop(L);
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, globals)) {
        if (lua_type(L, -1) != LUA_TTABLE) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, globals + 1);
    }
    lua_pushcclosure(L, require, 1);
    lua_setfield(L, globals, "require");
    lua_pushvalue(L, globals);
    lua_setfield(L, globals, "_G");
    lua_pushvalue(L, globals);
    lua_pushcclosure(L, load_text, 1);
    lua_setfield(L, globals, "load");
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

static void open_base(lua_State *L, int globals) {
    luaL_requiref(L, "_G", luaopen_base, 0);
    int base = lua_gettop(L);
    copy_named(L, base, globals, base_names);
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

static void open_os(lua_State *L, int globals) {
    luaL_requiref(L, "os", luaopen_os, 0);
    int full = lua_gettop(L);
    lua_newtable(L);
    copy_named(L, full, full + 1, os_names);
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
    int tables = open(L, globals, "table", luaopen_table);
    mg_open_bounded(L, strings, tables);
    open(L, globals, "math", luaopen_math);
    open(L, globals, "utf8", luaopen_utf8);
    mg_open_coroutine(L, open(L, globals, "coroutine", luaopen_coroutine));
    open_os(L, globals);
    // The table behind ("text"):method() is the library's own; files only ever see copies.
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, globals);
    vm->template_globals = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    vm->modules = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

// MARK: Libraries of the host

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

bool mg_lua_define_constant(mg_lua *vm, const char *library, const char *name, int64_t value) {
    struct constant_definition definition = {vm, library, name, value};
    return mg_protected(vm, define_constant, &definition);
}
