// Objects that Swift lends to Lua, their classes, and `pairs` over them.
#include "lua_internal.h"
#include <string.h>

/// The state of one `pairs` loop. Its `__close` runs when the loop ends, by `break` and errors too.
typedef struct mg_iterator {
    uint32_t magic;
    bool is_done;
    uint32_t generation;
    uint32_t turn;
    int64_t position;
    mg_object *over;
} mg_iterator;

/// What taken-back objects belong to: it never runs.
static mg_scope ended;

mg_object *mg_check_alive(lua_State *L, mg_lua *vm, mg_object *object) {
    mg_scope *scope = object->scope;
    if (!scope) return object;
    if (scope != vm->scope || object->generation != scope->generation)
        luaL_error(L, "object used outside of proper scope");
    return object;
}

bool mg_take_bytes(lua_State *L, mg_lua *vm, int index, mg_value *value) {
    mg_object *object = lua_touserdata(L, index);
    if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) != sizeof *object
        || object->magic != MG_OBJECT_MAGIC || !vm->classes[object->kind].bytes)
        return false;
    mg_check_alive(L, vm, object);
    size_t size = 0;
    value->kind = MG_STRING;
    value->bytes = vm->classes[object->kind].bytes(object->native, &size);
    if (size > UINT32_MAX) luaL_error(L, "string too long");
    value->size = (uint32_t)size;
    return true;
}

mg_object *mg_push_object(lua_State *L, mg_lua *vm, uint16_t kind, mg_scope *scope, int user_values) {
    mg_object *object = lua_newuserdatauv(L, sizeof *object, user_values);
    memset(object, 0, sizeof *object);
    object->magic = MG_OBJECT_MAGIC;
    object->kind = kind;
    object->scope = scope;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->classes[kind].metatable);
    lua_setmetatable(L, -2);
    return object;
}

static int collect(lua_State *L) {
    mg_object *object = lua_touserdata(L, 1);
    mg_lua *vm = mg_vm(L);
    if (object->scope || !object->native) return 0;
    vm->classes[object->kind].release(object->native);
    object->native = NULL;
    return 0;
}

// MARK: pairs

static void finish(mg_iterator *iterator) {
    if (iterator->is_done) return;
    iterator->is_done = true;
    mg_object *over = iterator->over;
    if (over->generation == iterator->generation && over->turn == iterator->turn && over->iterators > 0)
        over->iterators -= 1;
}

static mg_iterator *check_iterator(lua_State *L) {
    mg_iterator *iterator = lua_touserdata(L, 1);
    if (!iterator || lua_rawlen(L, 1) != sizeof *iterator || iterator->magic != MG_ITERATOR_MAGIC)
        luaL_error(L, "calling an iterator on bad self");
    return iterator;
}

static int close_iterator(lua_State *L) {
    finish(check_iterator(L));
    return 0;
}

static int step(lua_State *L) {
    mg_lua *vm = mg_vm(L);
    mg_iterator *iterator = check_iterator(L);
    mg_object *over = mg_check_alive(L, vm, iterator->over);
    if (over->generation != iterator->generation || over->scope->turn != iterator->turn)
        return luaL_error(L, "object used outside of proper scope");
    if (iterator->is_done) {
        lua_pushnil(L);
        return 1;
    }
    mg_call *call = &vm->call;
    call->object = over;
    call->scope = vm->scope ? vm->scope->native : NULL;
    call->passed = 0;
    call->position = iterator->position;
    vm->output.count = 0;
    mg_action action = vm->classes[over->kind].iterate(call);
    iterator->position = call->position;
    if (action == MG_RETURN && vm->output.count == 0) {
        finish(iterator);
        lua_pushnil(L);
        return 1;
    }
    return mg_run_leaf(L, vm, action);
}

static const char iterator_key;

static int start_iteration(lua_State *L, mg_lua *vm, mg_object *object) {
    mg_check_alive(L, vm, object);
    if (!vm->classes[object->kind].iterate || !object->scope)
        return luaL_error(L, "%s has no pairs", vm->classes[object->kind].name);
    if (object->turn != object->scope->turn) {
        object->turn = object->scope->turn;
        object->iterators = 0;
    }
    if (object->iterators > 0) return luaL_error(L, "cannot create a second iterator before completing the first");
    lua_pushcfunction(L, step);
    mg_iterator *iterator = lua_newuserdatauv(L, sizeof *iterator, 0);
    memset(iterator, 0, sizeof *iterator);
    iterator->magic = MG_ITERATOR_MAGIC;
    iterator->generation = object->generation;
    iterator->turn = object->turn;
    iterator->over = object;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &iterator_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 2);
        lua_pushcfunction(L, close_iterator);
        lua_setfield(L, -2, "__close");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &iterator_key);
    }
    lua_setmetatable(L, -2);
    object->iterators += 1;
    lua_pushnil(L);
    lua_pushvalue(L, -2);
    return 4;
}

static int pairs_continued(lua_State *L, int status, lua_KContext context) {
    (void)L;
    (void)status;
    (void)context;
    return 3;
}

/// Lua's `pairs`, which also knows our objects: their loops get a closing value, so that a map may be written
/// again as soon as the loop is left.
int mg_pairs(lua_State *L) {
    luaL_checkany(L, 1);
    if (lua_type(L, 1) == LUA_TUSERDATA && lua_rawlen(L, 1) == sizeof(mg_object)) {
        mg_object *object = lua_touserdata(L, 1);
        if (object->magic == MG_OBJECT_MAGIC) return start_iteration(L, mg_vm(L), object);
    }
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_callk(L, 1, 3, 0, pairs_continued);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

// MARK: Definition

struct class_definition {
    mg_lua *vm;
    uint16_t kind;
    const mg_binding *bindings;
    int32_t count;
};

static int define_class(lua_State *L) {
    const struct class_definition *definition = lua_touserdata(L, 1);
    mg_lua *vm = definition->vm;
    mg_class *class = &vm->classes[definition->kind];
    lua_createtable(L, 0, 4);
    lua_createtable(L, 0, definition->count);
    for (int32_t index = 0; index < definition->count; index++) {
        mg_push_binding(L, vm, &definition->bindings[index], definition->kind);
        lua_setfield(L, -2, definition->bindings[index].name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, class->name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    if (class->release) {
        lua_pushcfunction(L, collect);
        lua_setfield(L, -2, "__gc");
    }
    class->metatable = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

bool mg_lua_define_class(
    mg_lua *vm, uint16_t kind, const char *name, const mg_binding *bindings, int32_t count, mg_leaf iterate,
    void (*release)(void *native)) {
    if (kind == 0 || kind >= MG_CLASSES) return false;
    vm->classes[kind].name = name;
    vm->classes[kind].iterate = iterate;
    vm->classes[kind].release = release;
    struct class_definition definition = {vm, kind, bindings, count};
    return mg_protected(vm, define_class, &definition);
}

void mg_lua_define_bytes(mg_lua *vm, uint16_t kind, mg_bytes bytes) {
    if (kind > 0 && kind < MG_CLASSES) vm->classes[kind].bytes = bytes;
}

struct object_order {
    mg_lua *vm;
    uint16_t kind;
    mg_scope *scope;
    mg_object *made;
};

static int new_object(lua_State *L) {
    struct object_order *order = lua_touserdata(L, 1);
    mg_object *object = mg_push_object(L, order->vm, order->kind, order->scope, 0);
    object->reference = luaL_ref(L, LUA_REGISTRYINDEX);
    order->made = object;
    return 0;
}

mg_object *mg_lua_new_object(mg_lua *vm, uint16_t kind, mg_scope *scope, void *native) {
    struct object_order order = {vm, kind, scope, NULL};
    if (!mg_protected(vm, new_object, &order)) return NULL;
    order.made->native = native;
    return order.made;
}

void mg_lua_end_object(mg_lua *vm, mg_object *object) {
    if (!object) return;
    object->scope = &ended;
    object->native = NULL;
    luaL_unref(vm->main, LUA_REGISTRYINDEX, object->reference);
}
