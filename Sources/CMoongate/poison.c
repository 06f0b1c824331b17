#include "mg_system.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MG_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef MG_ADDRESS_SANITIZER
void __asan_poison_memory_region(void const volatile *memory, size_t size);
void __asan_unpoison_memory_region(void const volatile *memory, size_t size);

void mg_poison(const void *memory, size_t size) { __asan_poison_memory_region(memory, size); }
void mg_unpoison(const void *memory, size_t size) { __asan_unpoison_memory_region(memory, size); }
#else
void mg_poison(const void *memory, size_t size) {
    (void)memory;
    (void)size;
}
void mg_unpoison(const void *memory, size_t size) {
    (void)memory;
    (void)size;
}
#endif
