#pragma once
#include <stdbool.h>
#include <stddef.h>

// RE2 behind a C face: Swift reads this header, only the .cpp sees C++.

#ifdef __cplusplus
#define MG_NOEXCEPT noexcept
extern "C" {
#else
#define MG_NOEXCEPT
#endif

/// A compiled pattern. Immutable: any thread may match against it at the same time.
typedef struct mg_re2 mg_re2;

/// Compiles `pattern`. On failure returns NULL and writes what is wrong, cut to fit and terminated by a zero,
/// into `error` (`error_capacity` bytes, at least 1).
mg_re2 *_Nullable mg_re2_compile(
    const char *_Nonnull pattern, size_t length, char *_Nonnull error, size_t error_capacity) MG_NOEXCEPT;

/// Whether the whole text matches. Takes time linear in `length`, whatever the pattern.
bool mg_re2_matches(const mg_re2 *_Nonnull pattern, const char *_Nonnull text, size_t length) MG_NOEXCEPT;

/// What is wrong with a substitution for matches of `pattern`, in which `\0` to `\9` stand for the match and its groups,
/// written as `mg_re2_compile` does; false: nothing.
bool mg_re2_is_bad_substitution(
    const mg_re2 *_Nonnull pattern, const char *_Nonnull substitution, size_t length, char *_Nonnull error,
    size_t error_capacity) MG_NOEXCEPT;

/// Writes `text` with every match replaced into `target` (`capacity` bytes). Returns the length; -1 if there is no room.
ptrdiff_t mg_re2_replace(
    const mg_re2 *_Nonnull pattern, const char *_Nonnull text, size_t length, const char *_Nonnull substitution,
    size_t substitution_length, char *_Nonnull target, size_t capacity) MG_NOEXCEPT;

void mg_re2_free(mg_re2 *_Nullable pattern) MG_NOEXCEPT;

#ifdef __cplusplus
}
#endif
