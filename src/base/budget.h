/* SPDX-License-Identifier: Apache-2.0
 * A memory limit for reading a model: a file of a few kilobytes can declare tensors of gigabytes. From begin
 * to end, a budget belongs to its thread, and the allocators of this folder check it first. Memory that
 * lives until the end of reading is charged (arenas, growing arrays, JSON, ONNX messages); memory that is
 * freed earlier only has to fit into the rest. A thread without a budget is not limited. */
#ifndef RT_BASE_BUDGET_H
#define RT_BASE_BUDGET_H

#include "base/error.h"

#include <sys/types.h>

/* The default limit: a constant plus a multiple of the file sizes, where integers count as the floats they
 * become. Importing a base-shaped checkpoint takes 2.1 times its f32 file, or 4.2 times an f16 file. */
enum { RT_BUDGET_BASE = 64 << 20, RT_BUDGET_TIMES = 8, RT_BUDGET_FILES = 64 };

typedef struct rt_budget {
    const char *source; /* what is read: the start of the error text */
    size_t limit, used;
    bool fixed;            /* the caller set the limit; else it grows with the mapped files */
    size_t files, decoded; /* their bytes, plus what their integers grow by as floats */
    struct {
        dev_t device;
        ino_t inode;
    } seen[RT_BUDGET_FILES]; /* each file counts once; files beyond these add nothing */
    size_t seen_count;
    char about[160];       /* the current tensor or node */
    size_t refused, taken; /* bytes of the first allocation over the limit, and of those before it */
    struct rt_budget *outer;
} rt_budget;

/* memory: limit in bytes; 0: from the file sizes. `source` must live until the end. */
void rt_budget_begin(rt_budget *budget, const char *source, uint64_t memory);
/* Ends the budget. RETORT_NOMEM caused by the budget becomes RETORT_LIMIT, with a hint how to raise it. */
retort_status rt_budget_end(rt_budget *budget, retort_status status, retort_error *err);

/* These use the budget of the thread; without one, everything fits. */
bool rt_budget_fits(size_t bytes); /* a temporary allocation */
bool rt_budget_take(size_t bytes); /* an allocation that stays */
void rt_budget_give(size_t bytes); /* frees such an allocation */
/* A file of `bytes` was mapped. */
void rt_budget_file(dev_t device, ino_t inode, size_t bytes);
/* A weight of `count` integers in `bytes` of such a file. */
void rt_budget_integers(size_t count, size_t bytes);
/* Names the purpose of the following allocations, "scope.leaf", for the error. */
void rt_budget_about(const char *scope, const char *leaf);
/* RETORT_LIMIT if running `name` needs more than the budget of the thread. */
retort_status rt_budget_check(const char *name, size_t bytes, retort_error *err);

#endif
