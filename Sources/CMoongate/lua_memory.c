// Memory of a VM: a limit of its own, and a share of what all VMs of a worker may hold.
#include "lua_internal.h"
#include <stdlib.h>

static inline bool fits(size_t held, size_t more, size_t limit) { return more <= limit && held <= limit - more; }

static inline bool pool_has_room(const mg_lua *vm, size_t growth) {
    return !vm->pool || fits(vm->pool->held, growth, vm->pool->limit);
}

/// One request for memory. Lua tells of what kind a new object is; buffers of libraries have no kind.
typedef struct request {
    const void *block;
    size_t old_size;
    size_t new_size;
    size_t growth;
    bool is_object;
} request;

/// Says no, upon which Lua collects all garbage and asks again for the same; libraries' buffers just fail.
static bool refuse(mg_lua *vm, request asked) {
    vm->refused = true;
    vm->asked_block = asked.block;
    vm->asked_old_size = asked.old_size;
    vm->asked_new_size = asked.new_size;
    return false;
}

/// The next collection is due when an eighth of the limit was allocated since this one.
static size_t next_collection(size_t held, size_t limit) {
    size_t room = limit - limit / 8 * 3;
    size_t later = held + limit / 8;
    return later > room ? later : room;
}

/// Whether a request that was refused may be granted now that all garbage is gone. An eighth has to stay free: just
/// below its limit a policy could make every allocation a collection. The run that is refused now is left for good, so it
/// cannot ask again.
static bool may_grow_after_collection(mg_lua *vm, request asked) {
    vm->live = vm->memory;
    if (!fits(vm->memory, asked.growth, vm->memory_limit - vm->memory_limit / 8) || !pool_has_room(vm, asked.growth)) {
        vm->spent = true;
        return refuse(vm, asked);
    }
    vm->collection = next_collection(vm->memory + asked.growth, vm->memory_limit);
    return true;
}

static inline bool may_grow(mg_lua *vm, request asked) {
    bool is_again = vm->asked_new_size == asked.new_size && vm->asked_block == asked.block
                    && vm->asked_old_size == asked.old_size;
    vm->asked_new_size = 0;
    if (is_again) return may_grow_after_collection(vm, asked);
    // Collected well before the limit, since for buffers nothing is.
    if (asked.is_object && !fits(vm->memory, asked.growth, vm->collection)) return refuse(vm, asked);
    if (fits(vm->memory, asked.growth, vm->memory_limit) && pool_has_room(vm, asked.growth)) return true;
    return refuse(vm, asked);
}

static inline void account(mg_lua *vm, size_t old_size, size_t new_size) {
    vm->memory = vm->memory - old_size + new_size;
    if (vm->memory > vm->peak) vm->peak = vm->memory;
    if (vm->pool) vm->pool->held = vm->pool->held - old_size + new_size;
}

void *mg_allocate(void *context, void *block, size_t old_size, size_t new_size) {
    mg_lua *vm = context;
    size_t kind = block ? 0 : old_size;
    if (!block) old_size = 0;
    if (new_size == 0) {
        account(vm, old_size, 0);
        free(block);
        return NULL;
    }
    if (new_size > old_size) {
        request asked = {block, block ? old_size : kind, new_size, new_size - old_size, kind != 0};
        if (!may_grow(vm, asked)) return NULL;
        vm->allocations += 1;
        vm->taken += asked.growth;
    }
    vm->moves += 1;
    void *moved = realloc(block, new_size);
    if (!moved) {
        // Lua counts on smaller blocks being given.
        if (new_size > old_size) return NULL;
        moved = block;
    }
    account(vm, old_size, new_size);
    return moved;
}

void mg_open_memory(mg_lua *vm, size_t limit) {
    vm->memory_limit = limit;
    vm->collection = next_collection(0, limit);
}

mg_memory mg_lua_memory(const mg_lua *vm) {
    return (mg_memory){.held = vm->memory, .peak = vm->peak, .live = vm->live, .limit = vm->memory_limit};
}

size_t mg_lua_held(const mg_lua *vm) { return vm->memory; }
uint64_t mg_lua_allocations(const mg_lua *vm) { return vm->allocations; }
size_t mg_lua_taken(const mg_lua *vm) { return vm->taken; }

void mg_lua_join_pool(mg_lua *vm, mg_pool *pool) {
    if (vm->pool) vm->pool->held -= vm->memory;
    vm->pool = pool;
    if (pool) pool->held += vm->memory;
}

void mg_lua_collect(mg_lua *vm) {
    lua_gc(vm->main, LUA_GCCOLLECT);
    vm->live = vm->memory;
    vm->collection = next_collection(vm->memory, vm->memory_limit);
}

// MARK: What runs may use

mg_terms *mg_terms_of(mg_lua *vm, int reference) {
    if (reference >= vm->terms_count) {
        int count = reference + 32;
        mg_terms *larger = realloc(vm->known_terms, (size_t)count * sizeof *larger);
        if (!larger) return NULL;
        for (int index = vm->terms_count; index < count; index++) larger[index] = vm->default_terms;
        vm->known_terms = larger;
        vm->terms_count = count;
    }
    return &vm->known_terms[reference];
}

struct copy_order {
    int function;
    int made;
};

static int copy_reference(lua_State *L) {
    struct copy_order *order = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, order->function);
    order->made = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

int32_t mg_lua_limited(mg_lua *vm, int32_t function, uint32_t milliseconds) {
    struct copy_order order = {function, 0};
    if (!mg_protected(vm, copy_reference, &order)) return 0;
    mg_terms *terms = mg_terms_of(vm, order.made);
    if (!terms) return 0;
    *terms = mg_make_terms(milliseconds);
    return order.made;
}

void mg_lua_limit(mg_lua *vm, int32_t function, uint32_t milliseconds) {
    if (function < vm->terms_count) vm->known_terms[function] = mg_make_terms(milliseconds);
}
