// `bit`, LuaJIT's library of bit operations: 32 bits, signed results. Files with Envoy's hooks find it.
#include "lua_dialect.h"

/// Any number modulo 2^32, fractions rounded as LuaJIT does: by adding so much that the low word is what is left.
static uint32_t argument(lua_State *L, int index) {
    if (lua_isinteger(L, index)) return (uint32_t)lua_tointeger(L, index);
    union {
        lua_Number number;
        uint64_t bits;
    } shifted = {luaL_checknumber(L, index) + 6755399441055744.0};
    return (uint32_t)shifted.bits;
}

static int give(lua_State *L, uint32_t bits) {
    lua_pushinteger(L, (int32_t)bits);
    return 1;
}

static int to_bit(lua_State *L) { return give(L, argument(L, 1)); }
static int not(lua_State *L) { return give(L, ~argument(L, 1)); }

static int and(lua_State *L) {
    uint32_t bits = argument(L, 1);
    for (int index = 2; index <= lua_gettop(L); index++) bits &= argument(L, index);
    return give(L, bits);
}

static int or(lua_State *L) {
    uint32_t bits = argument(L, 1);
    for (int index = 2; index <= lua_gettop(L); index++) bits |= argument(L, index);
    return give(L, bits);
}

static int xor(lua_State *L) {
    uint32_t bits = argument(L, 1);
    for (int index = 2; index <= lua_gettop(L); index++) bits ^= argument(L, index);
    return give(L, bits);
}

static uint32_t left(uint32_t bits, uint32_t by) { return bits << by; }
static uint32_t right(uint32_t bits, uint32_t by) { return bits >> by; }
static uint32_t rotate_left(uint32_t bits, uint32_t by) { return by ? bits << by | bits >> (32 - by) : bits; }
static uint32_t rotate_right(uint32_t bits, uint32_t by) { return by ? bits >> by | bits << (32 - by) : bits; }

static uint32_t right_signed(uint32_t bits, uint32_t by) {
    uint32_t sign = bits >> 31 ? ~(UINT32_MAX >> by) : 0;
    return bits >> by | sign;
}

/// Only the low five bits of the distance count.
static int shift(lua_State *L, uint32_t (*by)(uint32_t, uint32_t)) {
    return give(L, by(argument(L, 1), argument(L, 2) & 31));
}

static int shift_left(lua_State *L) { return shift(L, left); }
static int shift_right(lua_State *L) { return shift(L, right); }
static int shift_right_signed(lua_State *L) { return shift(L, right_signed); }
static int turn_left(lua_State *L) { return shift(L, rotate_left); }
static int turn_right(lua_State *L) { return shift(L, rotate_right); }

static int swap(lua_State *L) {
    uint32_t bits = argument(L, 1);
    return give(L, bits >> 24 | (bits >> 8 & 0xff00) | (bits << 8 & 0xff0000) | bits << 24);
}

/// `tohex(x, n)`: n digits, capital letters if n is negative.
static int to_hex(lua_State *L) {
    uint32_t bits = argument(L, 1);
    int32_t wanted = lua_isnoneornil(L, 2) ? 8 : (int32_t)argument(L, 2);
    const char *digits = wanted < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
    uint32_t count = wanted < 0 ? -(uint32_t)wanted : (uint32_t)wanted;
    if (count > 8) count = 8;
    char text[8];
    for (uint32_t place = count; place > 0; place--, bits >>= 4) text[place - 1] = digits[bits & 15];
    lua_pushlstring(L, text, count);
    return 1;
}

void mg_push_bit(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"tobit", to_bit},       {"bnot", not},           {"band", and},
        {"bor", or},             {"bxor", xor},           {"lshift", shift_left},
        {"rshift", shift_right}, {"arshift", shift_right_signed}, {"rol", turn_left},
        {"ror", turn_right},     {"bswap", swap},         {"tohex", to_hex},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
