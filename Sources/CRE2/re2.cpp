#include "CRE2.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string>

// Nothing here may throw into Swift: every entry is noexcept, and what RE2 itself reports is a value.

struct mg_re2 {
    re2::RE2 pattern;
    mg_re2(re2::StringPiece text, const re2::RE2::Options &options) : pattern(text, options) {}
};

namespace {

// Bytes for the program and its lazily built automaton. Beyond it RE2 matches slower, still in linear time.
constexpr int64_t memory_budget = 1 << 20;

void copy_text(const char *text, char *target, size_t capacity) {
    size_t count = std::min(std::strlen(text), capacity - 1);
    std::memcpy(target, text, count);
    target[count] = 0;
}

}  // namespace

extern "C" mg_re2 *mg_re2_compile(const char *pattern, size_t length, char *error, size_t error_capacity) noexcept {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(memory_budget);
    mg_re2 *compiled = new (std::nothrow) mg_re2(re2::StringPiece(pattern, length), options);
    if (compiled == nullptr) {
        copy_text("out of memory", error, error_capacity);
        return nullptr;
    }
    if (!compiled->pattern.ok()) {
        copy_text(compiled->pattern.error().c_str(), error, error_capacity);
        delete compiled;
        return nullptr;
    }
    return compiled;
}

extern "C" bool mg_re2_matches(const mg_re2 *pattern, const char *text, size_t length) noexcept {
    re2::StringPiece subject(text, length);
    return pattern->pattern.Match(subject, 0, length, re2::RE2::ANCHOR_BOTH, nullptr, 0);
}

extern "C" bool mg_re2_is_bad_substitution(
    const mg_re2 *pattern, const char *substitution, size_t length, char *error, size_t error_capacity) noexcept {
    try {
        std::string message;
        if (pattern->pattern.CheckRewriteString(re2::StringPiece(substitution, length), &message)) return false;
        copy_text(message.c_str(), error, error_capacity);
    } catch (const std::exception &) {
        copy_text("out of memory", error, error_capacity);
    }
    return true;
}

extern "C" ptrdiff_t mg_re2_replace(
    const mg_re2 *pattern, const char *text, size_t length, const char *substitution, size_t substitution_length,
    char *target, size_t capacity) noexcept {
    try {
        std::string result(text, length);
        re2::RE2::GlobalReplace(&result, pattern->pattern, re2::StringPiece(substitution, substitution_length));
        if (result.size() > capacity) return -1;
        std::memcpy(target, result.data(), result.size());
        return static_cast<ptrdiff_t>(result.size());
    } catch (const std::exception &) {
        return -1;
    }
}

extern "C" void mg_re2_free(mg_re2 *pattern) noexcept { delete pattern; }
