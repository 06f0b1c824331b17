#pragma once
// Lua's patterns, matched by a machine that the guard can stop. Not for Swift.
#include "lua_internal.h"

#define MG_CAPTURES 32
#define MG_PATIENCE 4096

typedef struct mg_capture {
    const char *start;
    /// -1: still open; -2: a position.
    ptrdiff_t length;
} mg_capture;

typedef struct mg_matcher {
    lua_State *L;
    const char *subject;
    const char *subject_end;
    const char *pattern_end;
    /// Steps until the guard is asked again.
    ptrdiff_t patience;
    /// Whether `%z` is a class; -1: not asked yet.
    int legacy;
    int depth;
    int level;
    mg_capture captures[MG_CAPTURES];
} mg_matcher;

/// Tries the pattern at one place; the end of the match, or NULL.
const char *mg_match(mg_matcher *matcher, const char *place, const char *pattern);
/// Pushes capture `index`; without any captures index 0 is the whole match.
void mg_push_capture(mg_matcher *matcher, int index, const char *start, const char *end);
/// Pushes all captures, or the whole match if there are none and `start` is given. Returns how many.
int mg_push_captures(mg_matcher *matcher, const char *start, const char *end);
