// The hook for messages: a loop over `handle:grpcMessages()` that calls it.
#include "lua_internal.h"
#include <string.h>

struct loop_order {
    int32_t hook;
    int32_t made;
};

/// In Lua, so that the hook may wait like any other, and be left by the guard.
static const char loop_text[] =
    "local hook = ...\n"
    "return function(handle)\n"
    "  for message in handle:grpcMessages() do hook(handle, message) end\n"
    "end";

static int make_loop(lua_State *L) {
    struct loop_order *order = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, loop_text, strlen(loop_text), "=messages", "t") != LUA_OK) return lua_error(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, order->hook);
    lua_call(L, 1, 1);
    order->made = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

int32_t mg_lua_message_loop(mg_lua *vm, int32_t hook) {
    struct loop_order order = {hook, 0};
    if (!mg_protected(vm, make_loop, &order)) return 0;
    mg_terms terms = hook < vm->terms_count ? vm->known_terms[hook] : vm->default_terms;
    mg_terms *place = mg_terms_of(vm, order.made);
    if (!place) return 0;
    *place = terms;
    return order.made;
}
