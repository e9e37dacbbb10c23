/* SPDX-License-Identifier: Apache-2.0
 * A malloc in front of the C library's that fails when known to, and counts. For one file of a program. */
#ifndef FAILING_MALLOC_H
#define FAILING_MALLOC_H

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static atomic_bool armed, sticky; /* sticky: all allocations from the n-th on fail */
static atomic_long asked, live, fail_at;

/* jansson 2.14 does not look whether its lexer's buffer (sizes 32, 64, 128 …) could grow, and asserts later:
 * no caller can do anything about that, so these allocations succeed. */
static bool is_lexer_buffer(size_t size, const void *caller) {
    Dl_info info;
    return size >= 32 && (size & (size - 1)) == 0 && dladdr(caller, &info) != 0 && info.dli_fname != NULL &&
           strstr(info.dli_fname, "libjansson") != NULL;
}

static bool denied(size_t size, const void *caller) {
    if (!atomic_load(&armed)) return false;
    long n = atomic_fetch_add(&asked, 1) + 1, at = atomic_load(&fail_at);
    bool deny = at > 0 && (n == at || (n > at && atomic_load(&sticky))) && !is_lexer_buffer(size, caller);
    if (deny) errno = ENOMEM;
    return deny;
}
static void *given(void *block) {
    if (block != NULL && atomic_load(&armed)) atomic_fetch_add(&live, 1);
    return block;
}

#pragma GCC visibility push(default) /* the shared libraries shall use them too */
void *malloc(size_t size) {
    return denied(size, __builtin_return_address(0)) ? NULL : given(__libc_malloc(size));
}
void *calloc(size_t n, size_t size) {
    return denied(0, NULL) ? NULL : given(__libc_calloc(n, size));
}
void *aligned_alloc(size_t alignment, size_t size) {
    return denied(0, NULL) ? NULL : given(__libc_memalign(alignment, size));
}
void *realloc(void *block, size_t size) {
    if (denied(0, NULL)) return NULL;
    void *grown = __libc_realloc(block, size);
    return block == NULL ? given(grown) : grown;
}
int posix_memalign(void **out, size_t alignment, size_t size) {
    void *block = denied(0, NULL) ? NULL : given(__libc_memalign(alignment, size));
    if (block != NULL) *out = block;
    return block != NULL ? 0 : ENOMEM;
}
void free(void *block) {
    if (block != NULL && atomic_load(&armed)) atomic_fetch_sub(&live, 1);
    __libc_free(block);
}
#pragma GCC visibility pop

#endif
