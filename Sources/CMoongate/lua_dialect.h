#pragma once
// The old dialect: Lua 5.1 as LuaJIT in Envoy speaks it. Not for Swift.
//
// Functions that exist in both dialects have as upvalue 1 whether they belong to a file of the old one; without one
// they ask who calls.
#include "lua_internal.h"

/// Whether a source text defines `envoy_on_request` or `envoy_on_response`, comments and texts left out.
bool mg_defines_envoy_hooks(const char *text, size_t length);
/// Whether the running C function was called from the old dialect.
bool mg_is_legacy(lua_State *L);
/// In the old dialect, cuts off the fraction of the number at `index`; anything else stays as it is.
void mg_whole(lua_State *L, int index);
/// Pushes a number that prints without `.0`, as all numbers of the old dialect do.
void mg_push_number(lua_State *L, lua_Number number);
bool mg_is_float(lua_State *L, int index);
/// Replaces the number at `index` by its text, `5` and not `5.0`.
void mg_print_float(lua_State *L, int index);
/// What to do about an error that comes from writing Lua 5.1; NULL: it does not.
const char *mg_dialect_hint(const char *message);

// lua_legacy.c, lua_legacy_globals.c, lua_bit.c
/// Makes the globals of a file those of the old dialect.
void mg_open_legacy(lua_State *L, int globals);
void mg_open_legacy_globals(lua_State *L, int globals);
/// Pushes the library `bit`.
void mg_push_bit(lua_State *L);
