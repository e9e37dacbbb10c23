/* SPDX-License-Identifier: Apache-2.0
 * What reading a model may take: a file of a few kilobytes can name tensors of gigabytes. From begin to end a
 * budget is its thread's, and this folder's allocations ask it before they are made. What lives until the
 * reading ends is counted (arenas, growing arrays, JSON, ONNX messages); what is freed before is only held
 * against what is left. A thread without a budget takes what it asks for. */
#ifndef RT_BASE_BUDGET_H
#define RT_BASE_BUDGET_H

#include "base/error.h"

#include <sys/types.h>

/* Without a limit of the caller's: so much, and so many times the files' sizes, integers in them counted as
 * the floats that they become. Importing a base-shaped checkpoint takes 2.1 times its f32 file, 4.2 times one
 * of f16. */
enum { RT_BUDGET_BASE = 64 << 20, RT_BUDGET_TIMES = 8, RT_BUDGET_FILES = 64 };

typedef struct rt_budget {
    const char *source; /* what is read: begins the error */
    size_t limit, used;
    bool fixed;            /* the limit is the caller's, else it grows with the files that are mapped */
    size_t files, decoded; /* their bytes, and what their integers have more as floats */
    struct {
        dev_t device;
        ino_t inode;
    } seen[RT_BUDGET_FILES]; /* a file counts once; further files add nothing */
    size_t seen_count;
    char about[160];       /* the tensor or node at hand */
    size_t refused, taken; /* bytes of the first allocation that was over the limit, and those before it */
    struct rt_budget *outer;
} rt_budget;

/* memory: bytes that may be taken; 0: by the files' sizes. `source` must live until the end. */
void rt_budget_begin(rt_budget *budget, const char *source, uint64_t memory);
/* Ends it. A failure for want of memory that the budget refused becomes RETORT_LIMIT and says what would
 * help. */
retort_status rt_budget_end(rt_budget *budget, retort_status status, retort_error *err);

/* Of the thread's budget; without one everything fits. */
bool rt_budget_fits(size_t bytes); /* an allocation that is freed again soon */
bool rt_budget_take(size_t bytes); /* one that stays */
void rt_budget_give(size_t bytes); /* it is freed */
/* A file of `bytes` was mapped. */
void rt_budget_file(dev_t device, ino_t inode, size_t bytes);
/* A weight of `count` integers in `bytes` of such a file. */
void rt_budget_integers(size_t count, size_t bytes);
/* What the allocations that follow are for: "scope.leaf", for the error. */
void rt_budget_about(const char *scope, const char *leaf);
/* RETORT_LIMIT when what `name` needs to be run is over the thread's budget. */
retort_status rt_budget_check(const char *name, size_t bytes, retort_error *err);

#endif
