// The table that `handle:ctx()` gives: one for each request and VM, over values that all policies of the request share.
//
// Strings, numbers and booleans under string keys live with the host, which sees them from every VM. Everything else stays in a table
// of this VM, and the host remembers only that the key is taken.
#include "lua_internal.h"

static const char metatable_key;

// MARK: Parts

/// Raises unless the context at `index` is that of the run.
static mg_scope *check_context(lua_State *L, mg_lua *vm, int index) {
    mg_scope *scope = vm->scope;
    if (scope && scope->table) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, scope->table);
        bool is_same = lua_rawequal(L, -1, index);
        lua_pop(L, 1);
        if (is_same) return scope;
    }
    luaL_error(L, "object used outside of proper scope");
    return NULL;
}

/// Pushes what this VM keeps of the context; makes it if `makes`. False: there is nothing, and nothing is pushed.
static bool push_locals(lua_State *L, mg_scope *scope, bool makes) {
    if (scope->locals) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, scope->locals);
        return true;
    }
    if (!makes) return false;
    lua_newtable(L);
    lua_pushvalue(L, -1);
    scope->locals = luaL_ref(L, LUA_REGISTRYINDEX);
    return true;
}

static mg_call *prepare(mg_lua *vm) {
    mg_call *call = &vm->call;
    call->object = NULL;
    call->scope = vm->scope->native;
    call->passed = 2;
    vm->input.count = 0;
    vm->output.count = 0;
    return call;
}

static mg_value text_value(lua_State *L, int index) {
    size_t length;
    mg_value value = {.kind = MG_STRING, .bytes = (const uint8_t *)lua_tolstring(L, index, &length)};
    if (length > MG_TEXT_MAX) luaL_error(L, "string too long (more than %d bytes)", MG_TEXT_MAX);
    value.size = (uint32_t)length;
    return value;
}

/// A value that policies share; anything else becomes MG_OTHER.
static mg_value shared_value(lua_State *L, int index) {
    switch (lua_type(L, index)) {
    case LUA_TNIL: return (mg_value){.kind = MG_NIL};
    case LUA_TBOOLEAN: return (mg_value){.kind = MG_BOOLEAN, .boolean = lua_toboolean(L, index)};
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) return (mg_value){.kind = MG_INTEGER, .integer = lua_tointeger(L, index)};
        return (mg_value){.kind = MG_NUMBER, .number = lua_tonumber(L, index)};
    case LUA_TSTRING: return text_value(L, index);
    default: return (mg_value){.kind = MG_OTHER};
    }
}

// MARK: Reading and writing

static int read_context(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    mg_scope *scope = check_context(L, vm, 1);
    if (vm->context.read && lua_type(L, 2) == LUA_TSTRING) {
        mg_call *call = prepare(vm);
        vm->arguments[0] = text_value(L, 2);
        mg_action action = vm->context.read(call);
        bool is_ours = vm->output.count == 1 && vm->output.values->kind == MG_OTHER;
        if (action != MG_RETURN || !is_ours) return mg_run_leaf(L, vm, action);
    }
    if (!push_locals(L, scope, false)) return 0;
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int write_context(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    mg_scope *scope = check_context(L, vm, 1);
    bool is_shared = false;
    if (vm->context.write && lua_type(L, 2) == LUA_TSTRING) {
        mg_call *call = prepare(vm);
        vm->arguments[0] = text_value(L, 2);
        vm->arguments[1] = shared_value(L, 3);
        is_shared = vm->arguments[1].kind != MG_OTHER;
        mg_action action = vm->context.write(call);
        if (action != MG_RETURN) return mg_run_leaf(L, vm, action);
    }
    if (!push_locals(L, scope, !is_shared)) return 0;
    lua_pushvalue(L, 2);
    if (is_shared) lua_pushnil(L);
    else lua_pushvalue(L, 3);
    lua_settable(L, -3);
    return 0;
}

// MARK: Walking

/// Whether the key on top is one that this VM's table has the value of.
static bool is_local(lua_State *L, mg_lua *vm) {
    if (!vm->context.read || lua_type(L, -1) != LUA_TSTRING) return true;
    mg_call *call = prepare(vm);
    vm->arguments[0] = text_value(L, -1);
    return vm->context.read(call) == MG_RETURN && vm->output.count == 1 && vm->output.values->kind == MG_OTHER;
}

/// Pushes a table of what the policy sees of the context at `index`.
static void push_view(lua_State *L, mg_lua *vm, int index) {
    mg_scope *scope = check_context(L, vm, index);
    luaL_checkstack(L, 8, "too many nested functions");
    if (!vm->context.list) {
        lua_newtable(L);
    } else if (vm->context.list(prepare(vm)) != MG_RETURN || mg_push_tape(L, vm, &vm->output) != 1) {
        luaL_error(L, "not enough memory");
    }
    int view = lua_gettop(L);
    if (!push_locals(L, scope, false)) return;
    lua_pushnil(L);
    while (lua_next(L, view + 1)) {
        lua_pushvalue(L, -2);
        bool belongs = is_local(L, vm);
        lua_pushvalue(L, -2);
        if (belongs) lua_rawset(L, view);
        else lua_pop(L, 2);
        lua_pop(L, 1);
    }
    lua_settop(L, view);
}

static int next_of_view(lua_State *L) {
    lua_settop(L, 2);
    if (lua_next(L, 1)) return 2;
    lua_pushnil(L);
    return 1;
}

static int walk_context(lua_State *L) {
    lua_settop(L, 1);
    lua_pushcfunction(L, next_of_view);
    push_view(L, mg_vm(L), 1);
    lua_pushnil(L);
    return 3;
}

static int context_length(lua_State *L) {
    mg_scope *scope = check_context(L, mg_vm(L), 1);
    lua_pushinteger(L, push_locals(L, scope, false) ? (lua_Integer)lua_rawlen(L, -1) : 0);
    return 1;
}

bool mg_push_context_view(lua_State *L, int index) {
    if (!lua_getmetatable(L, index)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
    bool is_context = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (is_context) push_view(L, mg_vm(L), index);
    return is_context;
}

// MARK: Making

static void push_metatable(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"__index", read_context}, {"__newindex", write_context}, {"__pairs", walk_context},
        {"__len", context_length}, {NULL, NULL},
    };
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key) != LUA_TNIL) return;
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
}

void mg_push_context(lua_State *L, mg_lua *vm) {
    mg_scope *scope = vm->scope;
    if (!scope) luaL_error(L, "only a hook has a context table");
    if (scope->table) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, scope->table);
        return;
    }
    lua_newtable(L);
    push_metatable(L);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    scope->table = luaL_ref(L, LUA_REGISTRYINDEX);
}

void mg_lua_set_context_leaves(mg_lua *vm, mg_context_leaves leaves) { vm->context = leaves; }

void mg_lua_end_scope(mg_lua *vm, mg_scope *scope) {
    luaL_unref(vm->main, LUA_REGISTRYINDEX, scope->table ? scope->table : LUA_NOREF);
    luaL_unref(vm->main, LUA_REGISTRYINDEX, scope->locals ? scope->locals : LUA_NOREF);
    scope->table = 0;
    scope->locals = 0;
}
