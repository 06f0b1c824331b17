// Blocks of up to 1 KiB from chunks of 64 KiB, larger ones from the C library. Each block has a head of 16 bytes, so
// that it is aligned like malloc's and `free` knows its size.
#include "mg_slab.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEP 16
#define CLASSES 64
#define LARGEST (CLASSES * STEP)
#define CHUNK (64 * 1024)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
/// Every block from the C library, where the sanitizer watches it.
#define SLAB_IS_OFF 1
#endif
#endif
#ifndef SLAB_IS_OFF
#define SLAB_IS_OFF 0
#endif

typedef struct block {
    union {
        /// Bytes that the block holds, its head left out.
        size_t size;
        struct block *next;
    };
    uint64_t padding;
} block;

typedef struct chunk {
    struct chunk *next;
    uint64_t padding;
} chunk;

struct mg_slab {
    block *free[CLASSES + 1];
    uint8_t *fresh;
    size_t fresh_size;
    chunk *chunks;
    size_t blocks;
    bool is_closed;
};

_Static_assert(sizeof(block) == STEP && sizeof(chunk) == STEP, "blocks are aligned by their heads");

mg_slab *mg_slab_open(void) { return calloc(1, sizeof(mg_slab)); }

size_t mg_slab_blocks(const mg_slab *slab) { return slab->blocks; }

static void destroy(mg_slab *slab) {
    while (slab->chunks) {
        chunk *first = slab->chunks;
        slab->chunks = first->next;
        free(first);
    }
    free(slab);
}

void mg_slab_close(mg_slab *slab) {
    slab->is_closed = true;
    if (slab->blocks == 0) destroy(slab);
}

static block *large(size_t size) {
    if (size > PTRDIFF_MAX - STEP) return NULL;
    block *made = malloc(size + STEP);
    if (made) made->size = size;
    return made;
}

/// A block never used before. What is left of the chunk before it is lost: less than the largest block.
static block *carve(mg_slab *slab, size_t size) {
    size_t wanted = size + STEP;
    if (slab->fresh_size < wanted) {
        chunk *more = malloc(CHUNK);
        if (!more) return NULL;
        more->next = slab->chunks;
        slab->chunks = more;
        slab->fresh = (uint8_t *)(more + 1);
        slab->fresh_size = CHUNK - sizeof(chunk);
    }
    block *made = (block *)slab->fresh;
    slab->fresh += wanted;
    slab->fresh_size -= wanted;
    made->size = size;
    return made;
}

void *mg_slab_malloc(size_t size, void *opaque) {
    mg_slab *slab = opaque;
    size_t class = (size + STEP - 1) / STEP;
    block *taken;
    if (SLAB_IS_OFF || size > LARGEST) {
        taken = large(size);
    } else if ((taken = slab->free[class])) {
        slab->free[class] = taken->next;
        taken->size = class * STEP;
    } else {
        taken = carve(slab, class * STEP);
    }
    if (!taken) return NULL;
    slab->blocks += 1;
    return taken + 1;
}

void *mg_slab_calloc(size_t count, size_t size, void *slab) {
    if (size != 0 && count > SIZE_MAX / size) return NULL;
    void *taken = mg_slab_malloc(count * size, slab);
    if (taken) memset(taken, 0, count * size);
    return taken;
}

void *mg_slab_realloc(void *old, size_t size, void *slab) {
    if (!old) return mg_slab_malloc(size, slab);
    size_t held = ((block *)old - 1)->size;
    if (size <= held && !SLAB_IS_OFF) return old;
    void *taken = mg_slab_malloc(size, slab);
    if (!taken) return NULL;
    memcpy(taken, old, held < size ? held : size);
    mg_slab_free(old, slab);
    return taken;
}

void mg_slab_free(void *old, void *opaque) {
    if (!old) return;
    mg_slab *slab = opaque;
    block *freed = (block *)old - 1;
    if (SLAB_IS_OFF || freed->size > LARGEST) {
        free(freed);
    } else {
        size_t class = freed->size / STEP;
        freed->next = slab->free[class];
        slab->free[class] = freed;
    }
    slab->blocks -= 1;
    if (slab->is_closed && slab->blocks == 0) destroy(slab);
}
