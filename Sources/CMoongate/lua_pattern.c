// string.find, match, gmatch and gsub on the guarded matcher.
#define _GNU_SOURCE
#include "lua_pattern.h"
#include "lua_dialect.h"
#include <ctype.h>
#include <string.h>

static void prepare(mg_matcher *m, lua_State *L, const char *subject, size_t length, const char *pattern_end) {
    m->L = L;
    m->subject = subject;
    m->subject_end = subject + length;
    m->pattern_end = pattern_end;
    m->patience = MG_PATIENCE;
    m->legacy = -1;
    m->depth = 0;
    m->level = 0;
}

/// A script's start position as an offset; negative ones count from the end.
static size_t start_offset(lua_Integer position, size_t length) {
    if (position > 0) return (size_t)position - 1;
    if (position == 0) return 0;
    if (position < -(lua_Integer)length) return 0;
    return length - (size_t)(-position);
}

static bool has_specials(const char *pattern, size_t length) {
    static const bool is_special[256] = {
        ['^'] = true, ['$'] = true, ['*'] = true, ['+'] = true, ['?'] = true,
        ['.'] = true, ['('] = true, ['['] = true, ['%'] = true, ['-'] = true,
    };
    for (size_t index = 0; index < length; index++)
        if (is_special[(unsigned char)pattern[index]]) return true;
    return false;
}

static const char *check_pattern(lua_State *L, size_t *size) {
    const char *pattern = luaL_checklstring(L, 2, size);
    if (*size > MG_TEXT_MAX) luaL_error(L, "pattern too long (more than %d bytes)", MG_TEXT_MAX);
    return pattern;
}

/// `memmem` in windows, since it cannot be stopped.
static const char *search_plain(lua_State *L, const char *subject, size_t length, const char *text, size_t size) {
    while (length > MG_TEXT_MAX + size) {
        const char *found = memmem(subject, MG_TEXT_MAX + size, text, size);
        if (found) return found;
        mg_poll(L);
        subject += MG_TEXT_MAX;
        length -= MG_TEXT_MAX;
    }
    return memmem(subject, length, text, size);
}

static int find_plain(lua_State *L, const char *subject, size_t length, size_t start, const char *text, size_t size) {
    const char *found = search_plain(L, subject + start, length - start, text, size);
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - subject + 1);
    lua_pushinteger(L, found - subject + (lua_Integer)size);
    return 2;
}

static int search(lua_State *L, bool is_find) {
    size_t length, size;
    const char *subject = luaL_checklstring(L, 1, &length);
    const char *pattern = check_pattern(L, &size);
    size_t start = 0;
    if (!lua_isnoneornil(L, 3)) {
        mg_whole(L, 3);
        start = start_offset(luaL_checkinteger(L, 3), length);
    }
    if (start > length) {
        lua_pushnil(L);
        return 1;
    }
    if (is_find && (lua_toboolean(L, 4) || !has_specials(pattern, size)))
        return find_plain(L, subject, length, start, pattern, size);
    const char *pattern_end = pattern + size;
    bool anchored = size > 0 && *pattern == '^';
    if (anchored) pattern += 1;
    mg_matcher m;
    prepare(&m, L, subject, length, pattern_end);
    for (const char *place = subject + start; place <= m.subject_end; place++) {
        mg_poll(L);
        m.level = 0;
        const char *end = mg_match(&m, place, pattern);
        if (end && is_find) {
            lua_pushinteger(L, place - subject + 1);
            lua_pushinteger(L, end - subject);
            return mg_push_captures(&m, NULL, NULL) + 2;
        }
        if (end) return mg_push_captures(&m, place, end);
        if (anchored) break;
    }
    lua_pushnil(L);
    return 1;
}

static int find(lua_State *L) { return search(L, true); }
static int match(lua_State *L) { return search(L, false); }

// MARK: gmatch

/// Upvalues: subject, pattern, next offset, offset where the last match ended (-1: none yet), whether `%z` is a class.
static int next_match(lua_State *L) {
    size_t length, size;
    const char *subject = lua_tolstring(L, lua_upvalueindex(1), &length);
    const char *pattern = lua_tolstring(L, lua_upvalueindex(2), &size);
    lua_Integer next = lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    mg_matcher m;
    prepare(&m, L, subject, length, pattern + size);
    m.legacy = lua_toboolean(L, lua_upvalueindex(5));
    for (const char *place = subject + next; place <= m.subject_end; place++) {
        mg_poll(L);
        m.level = 0;
        const char *end = mg_match(&m, place, pattern);
        // An empty match right behind the last one is none.
        if (!end || end - subject == last) continue;
        lua_pushinteger(L, end - subject);
        lua_pushvalue(L, -1);
        lua_replace(L, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return mg_push_captures(&m, place, end);
    }
    return 0;
}

static int gmatch(lua_State *L) {
    size_t length, size;
    luaL_checklstring(L, 1, &length);
    const char *pattern = check_pattern(L, &size);
    bool has_class_z = (strstr(pattern, "%z") || strstr(pattern, "%Z")) && mg_is_legacy(L);
    mg_whole(L, 3);
    size_t start = start_offset(luaL_optinteger(L, 3, 1), length);
    lua_settop(L, 2);
    lua_pushinteger(L, start > length ? (lua_Integer)length + 1 : (lua_Integer)start);
    lua_pushinteger(L, -1);
    lua_pushboolean(L, has_class_z);
    lua_pushcclosure(L, next_match, 5);
    return 1;
}

// MARK: gsub

static void add_template(mg_matcher *m, luaL_Buffer *buffer, const char *start, const char *end) {
    lua_State *L = m->L;
    size_t length;
    const char *text = lua_tolstring(L, 3, &length);
    for (size_t index = 0; index < length; index++) {
        mg_poll(L);
        if (text[index] != '%') {
            luaL_addchar(buffer, text[index]);
            continue;
        }
        index += 1;
        char next = index < length ? text[index] : 0;
        if (next == '%') {
            luaL_addchar(buffer, '%');
        } else if (next == '0') {
            luaL_addlstring(buffer, start, (size_t)(end - start));
        } else if (isdigit((unsigned char)next)) {
            mg_push_capture(m, next - '1', start, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(buffer);
        } else if (!mg_is_legacy(L)) {
            luaL_error(L, "invalid use of '%%' in replacement string");
        } else if (index < length) {
            luaL_addchar(buffer, next);
        }
    }
}

static void add_replacement(mg_matcher *m, luaL_Buffer *buffer, const char *start, const char *end, int type) {
    lua_State *L = m->L;
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, mg_push_captures(m, start, end), 1);
    } else if (type == LUA_TTABLE) {
        mg_push_capture(m, 0, start, end);
        lua_gettable(L, 3);
    } else {
        add_template(m, buffer, start, end);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(buffer, start, (size_t)(end - start));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    } else {
        if (mg_is_float(L, -1) && mg_is_legacy(L)) mg_print_float(L, lua_gettop(L));
        luaL_addvalue(buffer);
    }
}

static int gsub(lua_State *L) {
    size_t length, size;
    const char *subject = luaL_checklstring(L, 1, &length);
    const char *pattern = check_pattern(L, &size);
    int type = lua_type(L, 3);
    luaL_argexpected(
        L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
        "string/function/table");
    mg_whole(L, 4);
    if (mg_is_float(L, 3) && mg_is_legacy(L)) mg_print_float(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1);
    const char *pattern_end = pattern + size;
    bool anchored = size > 0 && *pattern == '^';
    if (anchored) pattern += 1;
    mg_matcher m;
    prepare(&m, L, subject, length, pattern_end);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    const char *place = subject;
    const char *last = NULL;
    lua_Integer count = 0;
    while (count < most) {
        mg_poll(L);
        m.level = 0;
        const char *end = mg_match(&m, place, pattern);
        if (end && end != last) {
            count += 1;
            add_replacement(&m, &buffer, place, end, type);
            place = last = end;
        } else if (place < m.subject_end) {
            luaL_addchar(&buffer, *place++);
        } else {
            break;
        }
        if (anchored) break;
    }
    luaL_addlstring(&buffer, place, (size_t)(m.subject_end - place));
    luaL_pushresult(&buffer);
    lua_pushinteger(L, count);
    return 2;
}

void mg_open_patterns(lua_State *L, int strings) {
    static const luaL_Reg functions[] = {
        {"find", find}, {"match", match}, {"gmatch", gmatch}, {"gsub", gsub}, {NULL, NULL},
    };
    lua_pushvalue(L, strings);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
