// The trampoline: takes the arguments apart, calls the leaf, and pushes results or raises once it has returned.
#include "lua_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mg_action mg_call_fail(mg_call *call, const uint8_t *message, size_t length) {
    mg_lua *vm = call->vm;
    if (length >= sizeof vm->message) length = sizeof vm->message - 1;
    memcpy(vm->message, message, length);
    vm->message[length] = 0;
    return MG_FAIL;
}

uint8_t *mg_call_scratch(mg_call *call, size_t size) {
    mg_lua *vm = call->vm;
    if (size > vm->scratch_size) {
        uint8_t *larger = realloc(vm->scratch, size);
        if (!larger) return NULL;
        vm->scratch = larger;
        vm->scratch_size = size;
    }
    return vm->scratch;
}

uint32_t mg_print_number(mg_value number, uint8_t *text) {
    if (number.kind == MG_INTEGER) return (uint32_t)snprintf((char *)text, 32, "%lld", (long long)number.integer);
    return (uint32_t)snprintf((char *)text, 32, "%.14g", number.number);
}

// MARK: Arguments

static int refuse_argument(lua_State *L, const mg_bound *bound, int number, int index, const char *wanted) {
    const char *got = luaL_typename(L, index);
    return luaL_error(L, "bad argument #%d to '%s' (%s expected, got %s)", number, bound->name, wanted, got);
}

static inline void decode_text(lua_State *L, mg_value *value, int index) {
    size_t length;
    value->kind = MG_STRING;
    value->bytes = (const uint8_t *)lua_tolstring(L, index, &length);
    if (length > UINT32_MAX) luaL_error(L, "string too long");
    value->size = (uint32_t)length;
}

static void decode_string(lua_State *L, mg_lua *vm, const mg_bound *bound, int number, int index) {
    mg_value *value = &vm->arguments[number - 1];
    int type = lua_type(L, index);
    if (type == LUA_TSTRING) {
        decode_text(L, value, index);
    } else if (type == LUA_TNUMBER) {
        mg_value printed = {.kind = MG_NUMBER};
        if (lua_isinteger(L, index)) {
            printed.kind = MG_INTEGER;
            printed.integer = lua_tointeger(L, index);
        } else {
            printed.number = lua_tonumber(L, index);
        }
        value->size = mg_print_number(printed, vm->numbers[number - 1]);
        value->bytes = vm->numbers[number - 1];
    } else {
        refuse_argument(L, bound, number, index, "string");
    }
    value->kind = MG_STRING;
}

static void decode_any(lua_State *L, mg_lua *vm, int number, int index) {
    mg_value *value = &vm->arguments[number - 1];
    size_t length;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        value->kind = MG_BOOLEAN;
        value->boolean = lua_toboolean(L, index);
        break;
    case LUA_TNUMBER:
        value->kind = lua_isinteger(L, index) ? MG_INTEGER : MG_NUMBER;
        if (value->kind == MG_INTEGER) value->integer = lua_tointeger(L, index);
        else value->number = lua_tonumber(L, index);
        break;
    case LUA_TSTRING:
        value->kind = MG_STRING;
        value->bytes = (const uint8_t *)lua_tolstring(L, index, &length);
        if (length > MG_TEXT_MAX) luaL_error(L, "string too long (more than %d bytes)", MG_TEXT_MAX);
        value->size = (uint32_t)length;
        break;
    case LUA_TTABLE:
        value->kind = MG_TABLE;
        value->integer = vm->input.count;
        mg_encode_table(L, &vm->input, index);
        break;
    case LUA_TLIGHTUSERDATA: value->kind = MG_NULL; break;
    default:
        value->kind = MG_OTHER;
        value->bytes = (const uint8_t *)luaL_typename(L, index);
    }
}

__attribute__((noinline)) static void decode(
    lua_State *L, mg_lua *vm, const mg_bound *bound, int number, int index) {
    mg_parameter parameter = bound->parameters[number - 1];
    mg_value *value = &vm->arguments[number - 1];
    if (parameter.optional && lua_isnoneornil(L, index)) {
        value->kind = MG_NIL;
        return;
    }
    int converts = 0;
    vm->takes_bytes = parameter.type == 'r';
    switch (parameter.type) {
    case 'd':
        if (!mg_take_bytes(L, vm, index, value)) decode_string(L, vm, bound, number, index);
        break;
    case 's': decode_string(L, vm, bound, number, index); break;
    case 'i':
        value->kind = MG_INTEGER;
        value->integer = lua_tointegerx(L, index, &converts);
        if (!converts) refuse_argument(L, bound, number, index, lua_isnumber(L, index) ? "integer" : "number");
        break;
    case 'n':
        value->kind = MG_NUMBER;
        value->number = lua_tonumberx(L, index, &converts);
        if (!converts) refuse_argument(L, bound, number, index, "number");
        break;
    case 'b':
        if (lua_type(L, index) != LUA_TBOOLEAN) refuse_argument(L, bound, number, index, "boolean");
        value->kind = MG_BOOLEAN;
        value->boolean = lua_toboolean(L, index);
        break;
    case 'r':
    case 't':
        if (lua_type(L, index) != LUA_TTABLE) refuse_argument(L, bound, number, index, "table");
        decode_any(L, vm, number, index);
        break;
    case 'f':
        if (lua_type(L, index) != LUA_TFUNCTION) refuse_argument(L, bound, number, index, "function");
        value->kind = MG_NIL;
        break;
    default:
        value->kind = MG_NIL;
        if (lua_isnone(L, index)) refuse_argument(L, bound, number, index, "value");
        if (!lua_isnil(L, index)) decode_any(L, vm, number, index);
    }
}

// MARK: Functions

/// Puts the functions among the arguments into the registry. Behind everything else that may raise but memory.
static void take_functions(lua_State *L, mg_lua *vm, const mg_bound *bound, int before_first) {
    for (int number = 1; number <= bound->count; number++) {
        if (bound->parameters[number - 1].type != 'f' || lua_isnoneornil(L, number + before_first)) continue;
        lua_pushvalue(L, number + before_first);
        int reference = luaL_ref(L, LUA_REGISTRYINDEX);
        vm->arguments[number - 1].integer = reference;
        vm->arguments[number - 1].kind = MG_REFERENCE;
        mg_terms *terms = mg_terms_of(vm, reference);
        if (!terms) luaL_error(L, "not enough memory");
        *terms = vm->terms;
    }
}

static void give_functions_back(mg_lua *vm, const mg_bound *bound) {
    for (int number = 1; number <= bound->count; number++) {
        mg_value value = vm->arguments[number - 1];
        if (bound->parameters[number - 1].type == 'f' && value.kind == MG_REFERENCE)
            mg_lua_release(vm, (int32_t)value.integer);
    }
}

void mg_lua_release(mg_lua *vm, int32_t reference) {
    if (reference < vm->terms_count) vm->known_terms[reference] = vm->default_terms;
    luaL_unref(vm->main, LUA_REGISTRYINDEX, reference);
}

// MARK: The call

/// The host has brought the results, or an error, for a leaf that waited.
static int woken(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    mg_lua *vm = mg_vm(L);
    vm->waiting = false;
    if (vm->resume_error) return luaL_error(L, "%s", vm->resume_error);
    return mg_push_tape(L, vm, &vm->output);
}

int mg_end_leaf(lua_State *L, mg_lua *vm, mg_action action) {
    switch (action) {
    case MG_RETURN: break;
    case MG_FAIL: return luaL_error(L, "%s", vm->message);
    case MG_REFUSE:
        lua_pushstring(L, vm->message);
        return lua_error(L);
    case MG_WAIT:
        vm->waiting = true;
        // While the hook waits, nothing of it keeps the arguments alive: the leaf has copied what it needs.
        lua_settop(L, 0);
        return lua_yieldk(L, 0, 0, woken);
    case MG_STOP:
        vm->unwind = MG_UNWIND_STOP;
        return mg_leave(L);
    case MG_LEAVE:
        mg_check_time(L);
        return luaL_error(L, "script ended");
    }
    return 0;
}

static mg_object *check_self(lua_State *L, mg_lua *vm, const mg_bound *bound) {
    mg_object *object = lua_touserdata(L, 1);
    if (!object || lua_rawlen(L, 1) != sizeof *object || object->magic != MG_OBJECT_MAGIC
        || object->kind != bound->kind)
        luaL_error(
            L, "calling '%s' on bad self (%s expected, got %s)", bound->name, vm->classes[bound->kind].name,
            luaL_typename(L, 1));
    return mg_check_alive(L, vm, object);
}

static int trampoline(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    const mg_bound *bound = lua_touserdata(L, lua_upvalueindex(1));
    mg_call *call = &vm->call;
    int before_first = bound->kind ? 1 : 0;
    call->object = bound->kind ? check_self(L, vm, bound) : NULL;
    call->passed = lua_gettop(L) - before_first;
    vm->input.count = 0;
    for (int number = 1; number <= bound->count; number++) {
        int index = number + before_first;
        // What most arguments are.
        if (bound->parameters[number - 1].type == 's' && lua_type(L, index) == LUA_TSTRING)
            decode_text(L, &vm->arguments[number - 1], index);
        else
            decode(L, vm, bound, number, index);
    }
    if (bound->may_wait) {
        if (!vm->scope) return luaL_error(L, "'%s' may only be called in a hook", bound->name);
        if (!lua_isyieldable(L)) return luaL_error(L, "'%s' cannot wait across a C-call boundary", bound->name);
    }
    call->scope = vm->scope ? vm->scope->native : NULL;
    vm->output.count = 0;
    if (bound->has_functions) {
        take_functions(L, vm, bound, before_first);
        mg_action action = bound->leaf(call);
        if (action == MG_FAIL || action == MG_LEAVE) give_functions_back(vm, bound);
        return mg_run_leaf(L, vm, action);
    }
    if (!bound->constructs) return mg_run_leaf(L, vm, bound->leaf(call));
    // Made before the leaf runs, so that what it creates has an owner whatever happens.
    mg_object *made = mg_push_object(L, vm, bound->constructs, NULL, 1);
    call->created = NULL;
    call->created_size = 0;
    mg_action action = bound->leaf(call);
    made->native = call->created;
    if (action != MG_RETURN || !made->native) return mg_run_leaf(L, vm, action);
    // As much again in Lua's own memory, never touched: the limits and the collector know no other.
    if (call->created_size > 0) {
        lua_newuserdatauv(L, call->created_size, 0);
        lua_setiuservalue(L, -2, 1);
    }
    return 1;
}

// MARK: Definition

static const char *const parameter_types = "sinbtvfdr";

static bool parse_signature(mg_bound *bound, const char *signature) {
    for (const char *next = signature; *next; next++) {
        if (*next == '~') {
            bound->may_wait = true;
        } else if (*next == '?' && bound->count > 0) {
            bound->parameters[bound->count - 1].optional = true;
        } else if (*next != '=') {
            if (!strchr(parameter_types, *next) || bound->count == MG_ARGUMENTS) return false;
            bound->parameters[bound->count].type = *next;
            if (*next == 'f') bound->has_functions = true;
            bound->count += 1;
        }
    }
    return true;
}

void mg_push_binding(lua_State *L, mg_lua *vm, const mg_binding *binding, uint16_t kind) {
    mg_bound *bound = calloc(1, sizeof *bound);
    if (!bound) luaL_error(L, "not enough memory");
    bound->next = vm->bounds;
    vm->bounds = bound;
    const char *dot = strrchr(binding->name, '.');
    bound->name = strdup(dot ? dot + 1 : binding->name);
    bound->leaf = binding->leaf;
    bound->kind = kind;
    bound->constructs = binding->constructs;
    if (!bound->name || !parse_signature(bound, binding->signature))
        luaL_error(L, "bad signature '%s' of '%s'", binding->signature, binding->name);
    lua_pushlightuserdata(L, bound);
    lua_pushcclosure(L, trampoline, 1);
}
