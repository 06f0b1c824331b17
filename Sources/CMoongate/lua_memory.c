// Memory of a VM: one limit for all of it, and one for each policy.
//
// What a policy's runs allocate is charged to its account. The account stands behind each block, where Lua does not
// look, so that it gets back what is its own whenever a collection frees it, whoever runs then.
#include "lua_internal.h"
#include <stdlib.h>
#include <string.h>

typedef uint16_t tag;

static inline mg_account *owner_of(mg_lua *vm, const void *block, size_t size) {
    tag index;
    memcpy(&index, (const char *)block + size, sizeof index);
    return &vm->accounts[index];
}

static inline void set_owner(mg_lua *vm, void *block, size_t size, const mg_account *owner) {
    tag index = (tag)(owner - vm->accounts);
    memcpy((char *)block + size, &index, sizeof index);
}

/// The account that holds most, when the VM as a whole is full: whoever runs then may be innocent.
static mg_account *greatest(mg_lua *vm) {
    mg_account *found = vm->payer;
    for (int32_t index = 1; index < vm->account_count; index++)
        if (vm->accounts[index].held > found->held) found = &vm->accounts[index];
    return found;
}

static inline bool fits(size_t held, size_t more, size_t limit) { return more <= limit && held <= limit - more; }

/// One request for memory. Lua tells of what kind a new object is; buffers of libraries have no kind.
typedef struct request {
    const void *block;
    size_t old_size;
    size_t new_size;
    /// How much more the VM would hold, and the payer.
    size_t growth;
    size_t charge;
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
/// below its limit a policy could make every allocation a collection, at the cost of all others.
static bool may_grow_after_collection(mg_lua *vm, mg_account *payer, request asked) {
    if (!fits(payer->held, asked.charge, payer->limit - payer->limit / 8)) {
        if (payer != vm->accounts) payer->spent = true;
        return refuse(vm, asked);
    }
    if (!fits(vm->memory, asked.growth, vm->memory_limit - vm->memory_limit / 8)) {
        mg_account *guilty = greatest(vm);
        if (guilty != vm->accounts) guilty->spent = true;
        return refuse(vm, asked);
    }
    payer->collection = next_collection(payer->held + asked.charge, payer->limit);
    vm->collection = next_collection(vm->memory + asked.growth, vm->memory_limit);
    return true;
}

static inline bool may_grow(mg_lua *vm, mg_account *payer, request asked) {
    bool is_again = vm->asked_new_size == asked.new_size && vm->asked_block == asked.block
                    && vm->asked_old_size == asked.old_size;
    vm->asked_new_size = 0;
    if (is_again) return may_grow_after_collection(vm, payer, asked);
    // Collected well before the limit, since for buffers nothing is.
    if (asked.is_object
        && (!fits(payer->held, asked.charge, payer->collection) || !fits(vm->memory, asked.growth, vm->collection)))
        return refuse(vm, asked);
    if (fits(payer->held, asked.charge, payer->limit) && fits(vm->memory, asked.growth, vm->memory_limit)) return true;
    return refuse(vm, asked);
}

void *mg_allocate(void *context, void *block, size_t old_size, size_t new_size) {
    mg_lua *vm = context;
    size_t kind = block ? 0 : old_size;
    if (!block) old_size = 0;
    mg_account *owner = block ? owner_of(vm, block, old_size) : vm->payer;
    if (new_size == 0) {
        owner->held -= old_size;
        vm->memory -= old_size;
        free(block);
        return NULL;
    }
    mg_account *payer = owner;
    if (new_size > old_size) {
        payer = vm->payer;
        size_t growth = new_size - old_size;
        request asked = {block, block ? old_size : kind, new_size, growth, payer == owner ? growth : new_size, kind != 0};
        if (!may_grow(vm, payer, asked)) return NULL;
        vm->allocations += 1;
    }
    vm->moves += 1;
    void *moved = realloc(block, new_size + sizeof(tag));
    if (!moved) {
        // Lua counts on smaller blocks being given.
        if (new_size > old_size) return NULL;
        moved = block;
    }
    vm->memory = vm->memory - old_size + new_size;
    owner->held -= old_size;
    payer->held += new_size;
    if (payer->held > payer->peak) payer->peak = payer->held;
    set_owner(vm, moved, new_size, payer);
    return moved;
}

// MARK: Accounts

bool mg_open_accounts(mg_lua *vm) {
    vm->accounts = calloc(1, sizeof *vm->accounts);
    if (!vm->accounts) return false;
    vm->accounts[0].limit = vm->accounts[0].collection = vm->memory_limit;
    vm->collection = next_collection(0, vm->memory_limit);
    vm->account_count = 1;
    vm->payer = vm->accounts;
    return true;
}

int32_t mg_lua_new_account(mg_lua *vm, size_t limit) {
    if (vm->account_count > UINT16_MAX) return 0;
    mg_account *larger = realloc(vm->accounts, ((size_t)vm->account_count + 1) * sizeof *larger);
    if (!larger) return 0;
    vm->accounts = larger;
    vm->payer = larger;
    larger[vm->account_count] = (mg_account){.limit = limit, .collection = next_collection(0, limit)};
    return vm->account_count++;
}

mg_account mg_lua_account(const mg_lua *vm, int32_t account) {
    if (account >= 0 && account < vm->account_count) return vm->accounts[account];
    return (mg_account){0};
}

int32_t mg_lua_take_spent(mg_lua *vm) {
    for (int32_t index = 1; index < vm->account_count; index++) {
        mg_account *account = &vm->accounts[index];
        if (!account->spent || account->reported) continue;
        account->reported = true;
        return index;
    }
    return 0;
}

// MARK: What runs belong to

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
    int32_t account = function < vm->terms_count ? vm->known_terms[function].account : 0;
    mg_terms *terms = mg_terms_of(vm, order.made);
    if (!terms) return 0;
    *terms = mg_make_terms(account, milliseconds);
    return order.made;
}

void mg_lua_limit(mg_lua *vm, int32_t function, uint32_t milliseconds) {
    if (function < vm->terms_count)
        vm->known_terms[function] = mg_make_terms(vm->known_terms[function].account, milliseconds);
}
