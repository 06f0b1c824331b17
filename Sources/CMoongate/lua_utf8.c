// `utf8`, whose functions walk through a text in C: bounded by its length.
#include "lua_internal.h"

/// Upvalue 1: the function of the library.
static int bounded(lua_State *L) {
    if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) > MG_TEXT_MAX)
        return luaL_error(L, "string too long (more than %d bytes)", MG_TEXT_MAX);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

void mg_open_utf8(lua_State *L, int library) {
    static const char *const names[] = {"len", "offset", "codepoint", "codes", NULL};
    for (const char *const *name = names; *name; name++) {
        lua_getfield(L, library, *name);
        lua_pushcclosure(L, bounded, 1);
        lua_setfield(L, library, *name);
    }
}
