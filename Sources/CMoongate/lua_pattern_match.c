// The matching machine behind find, match, gmatch and gsub (Lua manual §6.4.1).
//
// The library's own backtracks in C where no hook reaches it: `("a"):rep(30000):find(".-.-.-b")` keeps a worker
// for hours. This one counts its steps and asks the guard every few thousand.
#include "lua_pattern.h"
#include "lua_dialect.h"
#include <ctype.h>
#include <string.h>

#define OPEN (-1)
#define POSITION (-2)
#define DEPTH_MAX 200

/// A step looks at `length` bytes: sets and repeated captures may be long.
static inline void count_step(mg_matcher *m, ptrdiff_t length) {
    m->patience -= 1 + length / 16;
    if (m->patience > 0) return;
    m->patience = MG_PATIENCE;
    mg_check_time(m->L);
}

// MARK: Single characters

static bool is_zero(mg_matcher *m, int character, int class) {
    if (m->legacy < 0) m->legacy = mg_is_legacy(m->L);
    return m->legacy ? (character == 0) == (class == 'z') : class == character;
}

static inline bool in_class(mg_matcher *m, int character, int class) {
    switch (class) {
    case 'a': return isalpha(character);
    case 'A': return !isalpha(character);
    case 'c': return iscntrl(character);
    case 'C': return !iscntrl(character);
    case 'd': return isdigit(character);
    case 'D': return !isdigit(character);
    case 'g': return isgraph(character);
    case 'G': return !isgraph(character);
    case 'l': return islower(character);
    case 'L': return !islower(character);
    case 'p': return ispunct(character);
    case 'P': return !ispunct(character);
    case 's': return isspace(character);
    case 'S': return !isspace(character);
    case 'u': return isupper(character);
    case 'U': return !isupper(character);
    case 'w': return isalnum(character);
    case 'W': return !isalnum(character);
    case 'x': return isxdigit(character);
    case 'X': return !isxdigit(character);
    case 'z':
    case 'Z': return is_zero(m, character, class);
    default: return class == character;
    }
}

/// Behind the single-character item that begins at `p`.
static const char *item_end(mg_matcher *m, const char *p) {
    const char *end = m->pattern_end;
    char first = *p++;
    if (first == '%') {
        if (p == end) luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (first != '[') return p;
    if (p < end && *p == '^') p += 1;
    // A bracket in first place is an ordinary member.
    do {
        if (p == end) luaL_error(m->L, "malformed pattern (missing ']')");
        bool escaped = *p == '%';
        p += 1;
        if (escaped) {
            if (p == end) luaL_error(m->L, "malformed pattern (missing ']')");
            p += 1;
        }
    } while (p == end || *p != ']');
    return p + 1;
}

/// Whether the set from `p` (at its `[`) to `last` (at its `]`) has `character`.
static bool in_set(mg_matcher *m, int character, const char *p, const char *last) {
    bool wanted = true;
    p += 1;
    if (*p == '^') {
        wanted = false;
        p += 1;
    }
    while (p < last) {
        if (*p == '%') {
            if (in_class(m, character, (unsigned char)p[1])) return wanted;
            p += 2;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= character && character <= (unsigned char)p[2]) return wanted;
            p += 3;
        } else {
            if ((unsigned char)*p == character) return wanted;
            p += 1;
        }
    }
    return !wanted;
}

static inline bool matches_one(mg_matcher *m, const char *s, const char *p, const char *end) {
    if (s >= m->subject_end) return false;
    int character = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case '%': return in_class(m, character, (unsigned char)p[1]);
    case '[': return in_set(m, character, p, end - 1);
    default: return (unsigned char)*p == character;
    }
}

// MARK: Repetition

/// What must stand behind a repetition for the rest of the pattern to have a chance.
enum { ANYTHING = -1, SUBJECT_END = -2 };

static bool has_open_capture(const mg_matcher *m) {
    for (int index = m->level - 1; index >= 0; index--)
        if (m->captures[index].length == OPEN) return true;
    return false;
}

/// The character that the pattern at `p` demands first, ANYTHING or SUBJECT_END: a repetition that gives characters back
/// need only try the places that have it.
static int find_follower(const mg_matcher *m, const char *p) {
    // More brackets than one would need a count of the open ones.
    if (p < m->pattern_end && *p == ')' && has_open_capture(m)) p += 1;
    if (p >= m->pattern_end) return ANYTHING;
    const char *next = p + 1;
    if (*p == '$') return next == m->pattern_end ? SUBJECT_END : ANYTHING;
    if (*p == '(' || *p == ')' || *p == '.' || *p == '[' || *p == '%') return ANYTHING;
    if (next < m->pattern_end && (*next == '*' || *next == '?' || *next == '-')) return ANYTHING;
    return (unsigned char)*p;
}

static inline bool may_follow(const mg_matcher *m, const char *s, int follower) {
    if (follower == ANYTHING) return true;
    if (s == m->subject_end) return follower == SUBJECT_END;
    return (unsigned char)*s == follower;
}

/// How many characters from `s` on match the item.
static ptrdiff_t run_length(mg_matcher *m, const char *s, const char *p, const char *end) {
    if (*p == '.') return m->subject_end - s;
    ptrdiff_t count = 0;
    while (matches_one(m, s + count, p, end)) {
        count += 1;
        count_step(m, end - p);
    }
    return count;
}

static const char *match_longest(mg_matcher *m, const char *s, const char *p, const char *end) {
    ptrdiff_t count = run_length(m, s, p, end);
    int follower = find_follower(m, end + 1);
    for (; count >= 0; count--) {
        count_step(m, 0);
        if (!may_follow(m, s + count, follower)) continue;
        const char *result = mg_match(m, s + count, end + 1);
        if (result) return result;
    }
    return NULL;
}

static const char *match_shortest(mg_matcher *m, const char *s, const char *p, const char *end) {
    int follower = find_follower(m, end + 1);
    for (;; s++) {
        const char *result = may_follow(m, s, follower) ? mg_match(m, s, end + 1) : NULL;
        if (result) return result;
        if (!matches_one(m, s, p, end)) return NULL;
        count_step(m, end - p);
    }
}

// MARK: Captures, balances, frontiers

static const char *match_capture(mg_matcher *m, const char *s, const char *p, ptrdiff_t length) {
    if (m->level >= MG_CAPTURES) luaL_error(m->L, "too many captures");
    m->captures[m->level].start = s;
    m->captures[m->level].length = length;
    m->level += 1;
    const char *result = mg_match(m, s, p);
    if (!result) m->level -= 1;
    return result;
}

static const char *close_capture(mg_matcher *m, const char *s, const char *p) {
    int index = m->level - 1;
    while (index >= 0 && m->captures[index].length != OPEN) index -= 1;
    if (index < 0) luaL_error(m->L, "invalid pattern capture");
    m->captures[index].length = s - m->captures[index].start;
    const char *result = mg_match(m, s, p);
    if (!result) m->captures[index].length = OPEN;
    return result;
}

/// Behind a repetition of capture `digit`, or NULL.
static const char *match_again(mg_matcher *m, const char *s, int digit) {
    int index = digit - '1';
    if (index < 0 || index >= m->level || m->captures[index].length == OPEN)
        luaL_error(m->L, "invalid capture index %%%d", index + 1);
    // A position repeats nowhere.
    if (m->captures[index].length == POSITION) return NULL;
    size_t length = (size_t)m->captures[index].length;
    count_step(m, m->captures[index].length);
    if ((size_t)(m->subject_end - s) < length || memcmp(m->captures[index].start, s, length) != 0) return NULL;
    return s + length;
}

static const char *match_balance(mg_matcher *m, const char *s, const char *p) {
    if (m->pattern_end - p < 2) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->subject_end || *s != p[0]) return NULL;
    int open = 1;
    for (s += 1; s < m->subject_end; s++) {
        count_step(m, 0);
        if (*s == p[1]) {
            if (--open == 0) return s + 1;
        } else if (*s == p[0]) {
            open += 1;
        }
    }
    return NULL;
}

/// Behind the set of `%f[set]` if the border is here, or NULL.
static const char *match_frontier(mg_matcher *m, const char *s, const char *p) {
    if (p >= m->pattern_end || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *end = item_end(m, p);
    count_step(m, end - p);
    int before = s == m->subject ? 0 : (unsigned char)s[-1];
    int here = s == m->subject_end ? 0 : (unsigned char)*s;
    return !in_set(m, before, p, end - 1) && in_set(m, here, p, end - 1) ? end : NULL;
}

// MARK: The machine

/// One single-character item with its repetition. True: the answer is in `result`; false: go on at `s`, `p`.
static bool match_item(mg_matcher *m, const char **s, const char **p, const char **result) {
    const char *end = item_end(m, *p);
    count_step(m, end - *p);
    char repetition = end < m->pattern_end ? *end : 0;
    bool matches = matches_one(m, *s, *p, end);
    switch (repetition) {
    case '?':
        if (matches && (*result = mg_match(m, *s + 1, end + 1))) return true;
        *p = end + 1;
        return false;
    case '*': *result = match_longest(m, *s, *p, end); return true;
    case '+': *result = matches ? match_longest(m, *s + 1, *p, end) : NULL; return true;
    case '-': *result = match_shortest(m, *s, *p, end); return true;
    default:
        *result = NULL;
        if (!matches) return true;
        *s += 1;
        *p = end;
        return false;
    }
}

/// `%b`, `%f` and `%1`. True: handled, with the place behind it in `s` (NULL: no match) and `p`.
static bool match_escape(mg_matcher *m, const char **s, const char **p) {
    const char *at = *p + 1;
    if (at >= m->pattern_end) return false;
    if (*at == 'b') {
        *s = match_balance(m, *s, at + 1);
        *p = at + 3;
    } else if (*at == 'f') {
        const char *behind = match_frontier(m, *s, at + 1);
        if (behind) *p = behind;
        else *s = NULL;
    } else if (isdigit((unsigned char)*at)) {
        *s = match_again(m, *s, (unsigned char)*at);
        *p = at + 1;
    } else {
        return false;
    }
    return true;
}

static const char *match_from(mg_matcher *m, const char *s, const char *p) {
    while (p < m->pattern_end) {
        count_step(m, 0);
        const char *result;
        switch (*p) {
        case '(':
            if (p + 1 < m->pattern_end && p[1] == ')') return match_capture(m, s, p + 2, POSITION);
            return match_capture(m, s, p + 1, OPEN);
        case ')': return close_capture(m, s, p + 1);
        case '$':
            if (p + 1 == m->pattern_end) return s == m->subject_end ? s : NULL;
            break;
        case '%':
            if (!match_escape(m, &s, &p)) break;
            if (!s) return NULL;
            continue;
        }
        if (match_item(m, &s, &p, &result)) return result;
    }
    return s;
}

const char *mg_match(mg_matcher *m, const char *s, const char *p) {
    m->depth += 1;
    if (m->depth > DEPTH_MAX) luaL_error(m->L, "pattern too complex");
    const char *result = match_from(m, s, p);
    m->depth -= 1;
    return result;
}

// MARK: Results

void mg_push_capture(mg_matcher *m, int index, const char *start, const char *end) {
    if (index >= m->level) {
        if (index != 0) luaL_error(m->L, "invalid capture index %%%d", index + 1);
        lua_pushlstring(m->L, start, (size_t)(end - start));
        return;
    }
    const mg_capture *capture = &m->captures[index];
    if (capture->length == OPEN) luaL_error(m->L, "unfinished capture");
    if (capture->length == POSITION) lua_pushinteger(m->L, capture->start - m->subject + 1);
    else lua_pushlstring(m->L, capture->start, (size_t)capture->length);
}

int mg_push_captures(mg_matcher *m, const char *start, const char *end) {
    int count = m->level == 0 && start ? 1 : m->level;
    luaL_checkstack(m->L, count, "too many captures");
    for (int index = 0; index < count; index++) mg_push_capture(m, index, start, end);
    return count;
}
