// Functions of `string` whose arguments the two dialects read differently, and `rep`, which is bounded.
//
// Methods of texts are the same functions for all files, so these ask for the dialect, but only where it matters.
#include "lua_dialect.h"
#include <string.h>

static int sub(lua_State *L) {
    mg_whole(L, 2);
    mg_whole(L, 3);
    return mg_vm(L)->library.sub(L);
}

static int bytes(lua_State *L) {
    mg_whole(L, 2);
    mg_whole(L, 3);
    return mg_vm(L)->library.byte(L);
}

static int characters(lua_State *L) {
    for (int index = 1; index <= lua_gettop(L); index++) mg_whole(L, index);
    return mg_vm(L)->library.character(L);
}

static int repeat(lua_State *L) {
    size_t length, gap;
    const char *text = luaL_checklstring(L, 1, &length);
    mg_whole(L, 2);
    lua_Integer count = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &gap);
    if (count <= 0 || length + gap == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (length + gap > MG_TEXT_MAX || count > (lua_Integer)(MG_TEXT_MAX / (length + gap)))
        return luaL_error(L, "string.rep: the result would be longer than %d bytes", MG_TEXT_MAX);
    size_t total = (size_t)count * length + (size_t)(count - 1) * gap;
    luaL_Buffer buffer;
    char *target = luaL_buffinitsize(L, &buffer, total);
    for (lua_Integer index = 0; index < count; index++) {
        memcpy(target, text, length);
        target += length;
        if (index + 1 == count) break;
        memcpy(target, separator, gap);
        target += gap;
    }
    luaL_pushresultsize(&buffer, total);
    return 1;
}

/// In the old dialect: what one conversion of `format` takes.
static void prepare_argument(lua_State *L, int index, char conversion) {
    if (index > lua_gettop(L)) return;
    if (strchr("cdiouxX", conversion)) mg_whole(L, index);
    else if (conversion == 's' && mg_is_float(L, index) && mg_is_legacy(L)) mg_print_float(L, index);
}

static int format(lua_State *L) {
    size_t length;
    const char *p = luaL_checklstring(L, 1, &length), *end = p + length;
    int index = 1;
    while (p < end) {
        if (*p++ != '%') continue;
        while (p < end && *p && strchr("-+ #.0123456789", *p)) p += 1;
        if (p >= end) break;
        if (*p != '%' && *p) prepare_argument(L, ++index, *p);
        p += 1;
    }
    return mg_vm(L)->library.format(L);
}

void mg_open_strings(lua_State *L, int strings) {
    static const luaL_Reg functions[] = {
        {"sub", sub}, {"byte", bytes}, {"char", characters}, {"rep", repeat}, {"format", format}, {NULL, NULL},
    };
    mg_lua *vm = mg_vm(L);
    vm->library.sub = mg_take_function(L, strings, "sub");
    vm->library.byte = mg_take_function(L, strings, "byte");
    vm->library.character = mg_take_function(L, strings, "char");
    vm->library.format = mg_take_function(L, strings, "format");
    lua_pushvalue(L, strings);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
