/* SPDX-License-Identifier: Apache-2.0
 * One budget of bytes over everything that requests make the server hold. What is asked for beyond it is
 * refused, never waited for. */
#ifndef SERVE_MEMORY_H
#define SERVE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What the bytes are for, a row each: id, label of the gauge. */
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

/* Tells the allocator to give large blocks back to the system at once, whatever sizes it has met: what a
 * process holds then follows what is used. */
void srv_memory_tune(void);
/* A quarter of what the cgroup or the machine has, within sane bounds. */
size_t srv_memory_default(void);
size_t srv_memory_used(const srv_memory *memory);
/* False: it would exceed the budget. The last eighth is for pieces of up to 64 kB: large requests do not
 * crowd small ones out. Pieces of up to 1 kB are always given, for health and errors. NULL memory: nothing is
 * counted. */
bool srv_memory_take(srv_memory *memory, srv_use use, size_t bytes);
void srv_memory_give(srv_memory *memory, srv_use use, size_t bytes);
/* The same bytes, for something else from now on. */
void srv_memory_move(srv_memory *memory, srv_use from, srv_use to, size_t bytes);
#endif
