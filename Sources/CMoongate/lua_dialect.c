// Two dialects of Lua live in one VM: files with Envoy's hooks are written for Lua 5.1 (LuaJIT), all others for 5.4.
//
// A file's dialect is known before it runs, by the hooks that its text defines. Chunks of the old dialect have a name
// that begins with `=`, all others one with `@`, which Lua shows alike: that is how a function that both dialects
// share, such as a method of strings, finds out who calls.
#include "lua_dialect.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

// MARK: The dialect of a file

/// Behind the long bracket that opens at `p`; `p` itself where none does.
static const char *skip_long_bracket(const char *p, const char *end) {
    const char *q = p + 1;
    while (q < end && *q == '=') q += 1;
    if (q >= end || *q != '[') return p;
    size_t level = (size_t)(q - p - 1);
    for (q += 1; q < end; q++) {
        if (*q != ']') continue;
        const char *close = q + 1;
        while (close < end && *close == '=') close += 1;
        if (close < end && *close == ']' && (size_t)(close - q - 1) == level) return close + 1;
    }
    return end;
}

static const char *skip_line(const char *p, const char *end) {
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? newline : end;
}

/// Behind the text that the quotation mark at `p` opens.
static const char *skip_quoted(const char *p, const char *end) {
    char quote = *p++;
    while (p < end && *p != quote && *p != '\n') p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p < end ? p + 1 : end;
}

static bool is(const char *word, size_t length, const char *name) {
    return strlen(name) == length && memcmp(word, name, length) == 0;
}

bool mg_defines_envoy_hooks(const char *text, size_t length) {
    const char *p = text, *end = text + length;
    // The last word, and the last character that is no space.
    bool behind_globals = false;
    char before = 0;
    while (p < end) {
        const char *start = p;
        if (*p == '-' && p + 1 < end && p[1] == '-') {
            p += 2;
            const char *behind = p < end && *p == '[' ? skip_long_bracket(p, end) : p;
            p = behind == p ? skip_line(p, end) : behind;
            continue;
        }
        if (*p == '"' || *p == '\'') p = skip_quoted(p, end);
        else if (*p == '[') p = skip_long_bracket(p, end);
        else if (isalnum((unsigned char)*p) || *p == '_') {
            while (p < end && (isalnum((unsigned char)*p) || *p == '_')) p += 1;
            size_t size = (size_t)(p - start);
            bool is_hook = is(start, size, "envoy_on_request") || is(start, size, "envoy_on_response");
            bool is_field = before == '.' || before == ':';
            if (is_hook && (!is_field || behind_globals)) return true;
            behind_globals = is(start, size, "_G") && !is_field;
        }
        if (p == start) p += 1;
        if (*start != '.' && !isalnum((unsigned char)*start) && *start != '_' && !isspace((unsigned char)*start))
            behind_globals = false;
        if (!isspace((unsigned char)*start)) before = p[-1];
    }
    return false;
}

bool mg_is_legacy(lua_State *L) {
    if (lua_toboolean(L, lua_upvalueindex(1))) return true;
    lua_Debug activation;
    for (int level = 1; lua_getstack(L, level, &activation); level++) {
        lua_getinfo(L, "S", &activation);
        if (*activation.what != 'C') return *activation.source == '=';
    }
    // A tail call has left nobody to ask: the hook that runs is the next best.
    lua_rawgeti(L, LUA_REGISTRYINDEX, mg_vm(L)->function);
    if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lua_getinfo(L, ">S", &activation);
    return *activation.source == '=';
}

// MARK: Numbers as the old dialect has them

void mg_whole(lua_State *L, int index) {
    int converts;
    if (lua_isinteger(L, index) || lua_isnoneornil(L, index)) return;
    lua_Number number = lua_tonumberx(L, index, &converts);
    if (!converts) return;
    lua_tointegerx(L, index, &converts);
    if (converts || !mg_is_legacy(L)) return;
    const lua_Number most = 4611686018427387904.0;
    lua_Integer whole = 0;
    if (number >= most) whole = (lua_Integer)1 << 62;
    else if (number <= -most) whole = -((lua_Integer)1 << 62);
    else if (number == number) whole = (lua_Integer)number;
    lua_pushinteger(L, whole);
    lua_replace(L, index);
}

void mg_push_number(lua_State *L, lua_Number number) {
    bool fits = number >= -9007199254740992.0 && number <= 9007199254740992.0;
    // Minus zero has no whole number.
    if (fits && floor(number) == number && !(number == 0 && signbit(number)))
        lua_pushinteger(L, (lua_Integer)number);
    else
        lua_pushnumber(L, number);
}

bool mg_is_float(lua_State *L, int index) { return lua_type(L, index) == LUA_TNUMBER && !lua_isinteger(L, index); }

void mg_print_float(lua_State *L, int index) {
    uint8_t text[32];
    mg_value number = {.kind = MG_NUMBER, .number = lua_tonumber(L, index)};
    uint32_t length = mg_print_number(number, text);
    lua_pushlstring(L, (const char *)text, length);
    lua_replace(L, index);
}

// MARK: Hints for those who write 5.1 where 5.4 is spoken

static const char *const hints[][2] = {
    {"global 'unpack'", "unpack is Lua 5.1's; use table.unpack"},
    {"global 'loadstring'", "loadstring is Lua 5.1's; use load"},
    {"global 'setfenv'", "setfenv is Lua 5.1's; use the last argument of load"},
    {"global 'getfenv'", "getfenv is Lua 5.1's; use _ENV"},
    {"global 'gcinfo'", "gcinfo is Lua 5.1's; use collectgarbage(\"count\")"},
    {"global 'bit'", "bit is LuaJIT's; use the operators & | ~ << >>"},
    {"global 'jit'", "jit is LuaJIT's; policies run on Lua 5.4"},
    {"global 'module'", "module is Lua 5.1's; return a table from the file"},
    {"global 'newproxy'", "newproxy is Lua 5.1's; use setmetatable with a table"},
    {"field 'getn'", "table.getn is Lua 5.1's; use #"},
    {"field 'maxn'", "table.maxn is Lua 5.1's; use # or count with pairs"},
    {"field 'foreach'", "table.foreach is Lua 5.1's; use pairs"},
    {"field 'foreachi'", "table.foreachi is Lua 5.1's; use ipairs"},
    {"field 'pow'", "math.pow is Lua 5.1's; use x ^ y"},
    {"field 'log10'", "math.log10 is Lua 5.1's; use math.log(x, 10)"},
    {"field 'ldexp'", "math.ldexp is Lua 5.1's; use m * 2.0 ^ e"},
    {"field 'frexp'", "math.frexp is Lua 5.1's"},
    {"field 'cosh'", "math.cosh is Lua 5.1's; use math.exp"},
    {"field 'sinh'", "math.sinh is Lua 5.1's; use math.exp"},
    {"field 'tanh'", "math.tanh is Lua 5.1's; use math.exp"},
};

const char *mg_dialect_hint(const char *message) {
    if (strstr(message, "has no integer representation"))
        return "Lua 5.4 does not cut off fractions; use math.floor or //";
    if (!strstr(message, " a nil value (")) return NULL;
    for (size_t index = 0; index < sizeof hints / sizeof *hints; index++)
        if (strstr(message, hints[index][0])) return hints[index][1];
    return NULL;
}
