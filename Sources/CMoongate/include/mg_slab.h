#pragma once
// Memory for one thread's many small, short-lived blocks: nghttp2's streams, frames and header fields.
#include <stddef.h>

/// Blocks by size in free lists, without locks. Used by one thread at a time. What was taken from the system
/// stays until the slab is gone: the peak is the bound.
typedef struct mg_slab mg_slab;

/// NULL when memory is out.
mg_slab *_Nullable mg_slab_open(void);
/// Gives the memory back as soon as the last block is free: header fields may outlive the session that made them.
void mg_slab_close(mg_slab *_Nonnull slab);
/// Blocks in use.
size_t mg_slab_blocks(const mg_slab *_Nonnull slab);

// As the C library's functions of these names; `slab` is a `mg_slab`.
void *_Nullable mg_slab_malloc(size_t size, void *_Nullable slab);
void *_Nullable mg_slab_calloc(size_t count, size_t size, void *_Nullable slab);
void *_Nullable mg_slab_realloc(void *_Nullable block, size_t size, void *_Nullable slab);
void mg_slab_free(void *_Nullable block, void *_Nullable slab);
