// Functions of `string` whose arguments the two dialects read differently, and those whose own loops are bounded or ask
// the guard.
//
// Methods of texts are the same functions for all files, so these ask for the dialect, but only where it matters.
#include "lua_dialect.h"
#include <ctype.h>
#include <string.h>

/// Text that is worked on between two questions to the guard.
#define PIECE (1 << 16)
/// What one call of `format` may convert.
#define CONVERSIONS_MAX 2000
#define QUOTED_MAX (1 << 16)

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
    int count = lua_gettop(L);
    for (int index = 1; index <= count; index++) {
        mg_poll(L);
        mg_whole(L, index);
    }
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
    memcpy(target, text, length);
    if (count > 1) memcpy(target + length, separator, gap);
    // What stands there already is repeated, so that short texts take no more copies than long ones.
    for (size_t done = length + gap; done < total;) {
        size_t more = done < total - done ? done : total - done;
        memcpy(target + done, target, more);
        done += more;
    }
    luaL_pushresultsize(&buffer, total);
    return 1;
}

// MARK: Case and order

static int transform(lua_State *L, void (*write)(char *target, const char *source, size_t from, size_t to, size_t all)) {
    size_t length;
    const char *source = luaL_checklstring(L, 1, &length);
    luaL_Buffer buffer;
    char *target = luaL_buffinitsize(L, &buffer, length);
    for (size_t from = 0; from < length; from += PIECE) {
        mg_poll(L);
        write(target, source, from, length - from < PIECE ? length : from + PIECE, length);
    }
    luaL_pushresultsize(&buffer, length);
    return 1;
}

static void write_upper(char *target, const char *source, size_t from, size_t to, size_t all) {
    (void)all;
    for (size_t index = from; index < to; index++) target[index] = (char)toupper((unsigned char)source[index]);
}

static void write_lower(char *target, const char *source, size_t from, size_t to, size_t all) {
    (void)all;
    for (size_t index = from; index < to; index++) target[index] = (char)tolower((unsigned char)source[index]);
}

static void write_reversed(char *target, const char *source, size_t from, size_t to, size_t all) {
    for (size_t index = from; index < to; index++) target[index] = source[all - index - 1];
}

static int upper(lua_State *L) { return transform(L, write_upper); }
static int lower(lua_State *L) { return transform(L, write_lower); }
static int reverse(lua_State *L) { return transform(L, write_reversed); }

// MARK: format

/// What one conversion of `format` takes, in the old dialect, and what `%q` quotes.
static void prepare_argument(lua_State *L, int index, char conversion, size_t *quoted) {
    if (index > lua_gettop(L)) return;
    if (conversion == 'q' && lua_type(L, index) == LUA_TSTRING) {
        *quoted += lua_rawlen(L, index);
        if (*quoted > QUOTED_MAX) luaL_error(L, "string.format: more than %d bytes to quote", QUOTED_MAX);
    }
    if (strchr("cdiouxX", conversion)) mg_whole(L, index);
    else if (conversion == 's' && mg_is_float(L, index) && mg_is_legacy(L)) mg_print_float(L, index);
}

static int format(lua_State *L) {
    size_t length;
    const char *p = luaL_checklstring(L, 1, &length), *end = p + length;
    if (length > MG_TEXT_MAX) return luaL_error(L, "string.format: format longer than %d bytes", MG_TEXT_MAX);
    int index = 1;
    size_t quoted = 0;
    while (p < end) {
        if (*p++ != '%') continue;
        while (p < end && *p && strchr("-+ #.0123456789", *p)) p += 1;
        if (p >= end) break;
        if (*p != '%' && *p) prepare_argument(L, ++index, *p, &quoted);
        if (index > CONVERSIONS_MAX) return luaL_error(L, "string.format: more than %d conversions", CONVERSIONS_MAX - 1);
        p += 1;
    }
    return mg_vm(L)->library.format(L);
}

// MARK: pack

/// The sizes of `c` are written out as padding, and some options take nothing at all.
static void check_layout(lua_State *L) {
    size_t length;
    const char *p = luaL_checklstring(L, 1, &length), *end = p + length;
    if (length > PIECE) luaL_error(L, "format longer than %d bytes", PIECE);
    size_t padding = 0;
    while (p < end) {
        if (*p++ != 'c') continue;
        size_t size = 0;
        for (; p < end && isdigit((unsigned char)*p) && size <= MG_TEXT_MAX; p++) size = size * 10 + (size_t)(*p - '0');
        padding += size;
        if (padding > MG_TEXT_MAX) luaL_error(L, "more than %d bytes of fixed size", MG_TEXT_MAX);
    }
}

static int pack(lua_State *L) {
    check_layout(L);
    return mg_vm(L)->library.pack(L);
}

static int unpack(lua_State *L) {
    check_layout(L);
    return mg_vm(L)->library.unpack_bytes(L);
}

static int pack_size(lua_State *L) {
    check_layout(L);
    return mg_vm(L)->library.pack_size(L);
}

void mg_open_strings(lua_State *L, int strings) {
    static const luaL_Reg functions[] = {
        {"sub", sub}, {"byte", bytes}, {"char", characters}, {"rep", repeat}, {"format", format},
        {"upper", upper}, {"lower", lower}, {"reverse", reverse}, {"pack", pack}, {"unpack", unpack},
        {"packsize", pack_size}, {NULL, NULL},
    };
    mg_lua *vm = mg_vm(L);
    vm->library.sub = mg_take_function(L, strings, "sub");
    vm->library.byte = mg_take_function(L, strings, "byte");
    vm->library.character = mg_take_function(L, strings, "char");
    vm->library.format = mg_take_function(L, strings, "format");
    vm->library.pack = mg_take_function(L, strings, "pack");
    vm->library.unpack_bytes = mg_take_function(L, strings, "unpack");
    vm->library.pack_size = mg_take_function(L, strings, "packsize");
    lua_pushvalue(L, strings);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
