/* SPDX-License-Identifier: Apache-2.0
 * One budget of bytes for everything that the server holds for requests. Demands beyond it are refused;
 * nobody waits for memory. */
#ifndef SERVE_MEMORY_H
#define SERVE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Uses of the bytes, one row each: id, label of the gauge. */
#define SRV_USES(X)                                                                                          \
    X(BODIES, "bodies")                                                                                      \
    X(INPUTS, "inputs")                                                                                      \
    X(ANSWERS, "answers")                                                                                    \
    X(CACHE, "cache")
typedef enum srv_use {
#define SRV_USE_ID(id, ...) SRV_USE_##id,
    SRV_USES(SRV_USE_ID)
#undef SRV_USE_ID
        SRV_USE_COUNT
} srv_use;
extern const char *const srv_use_names[SRV_USE_COUNT];

typedef struct srv_memory {
    size_t limit; /* 0: none */
    atomic_size_t used[SRV_USE_COUNT];
} srv_memory;

/* Makes the allocator return large blocks to the system at once, whatever sizes it has seen: the process
 * then holds what it uses. */
void srv_memory_tune(void);
/* A quarter of the memory of the cgroup or the machine, within sane bounds. */
size_t srv_memory_default(void);
size_t srv_memory_used(const srv_memory *memory);
/* False: it would exceed the budget. The last eighth is reserved for pieces of up to 64 kB, so that large
 * requests do not crowd out small ones. Pieces of up to 1 kB are always granted, for health checks and
 * errors. NULL memory: nothing is counted. */
bool srv_memory_take(srv_memory *memory, srv_use use, size_t bytes);
void srv_memory_give(srv_memory *memory, srv_use use, size_t bytes);
/* Moves bytes from one use to another. */
void srv_memory_move(srv_memory *memory, srv_use from, srv_use to, size_t bytes);
#endif
