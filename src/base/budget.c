/* SPDX-License-Identifier: Apache-2.0 */
#include "base/budget.h"
#include "base/size.h"

#include <stdio.h>

static _Thread_local rt_budget *current;

void rt_budget_begin(rt_budget *budget, const char *source, uint64_t memory) {
    *budget = (rt_budget){.source = source, .fixed = memory > 0, .outer = current};
    budget->limit = memory == 0 ? RT_BUDGET_BASE : memory > SIZE_MAX ? SIZE_MAX : (size_t)memory;
    current = budget;
}

/* The limit, its origin, and how to raise it. */
static void say_limit(const rt_budget *b, char *out, size_t size) {
    char files[96] = "";
    if (!b->fixed) {
        snprintf(files, sizeof files, " (%d MB and %d times the %zu of the files)", RT_BUDGET_BASE >> 20,
                 RT_BUDGET_TIMES, b->files + b->decoded);
    }
    snprintf(out, size, "the limit is %zu%s; --memory SIZE, in C options.memory, raises it", b->limit, files);
}

retort_status rt_budget_end(rt_budget *budget, retort_status status, retort_error *err) {
    char limit[256];
    current = budget->outer;
    if (status != RETORT_NOMEM || budget->refused == 0) return status;
    say_limit(budget, limit, sizeof limit);
    return rt_fail(err, RETORT_LIMIT, "%.120s: %.100s needs %zu bytes with %zu taken: %s", budget->source,
                   budget->about[0] != '\0' ? budget->about : "reading it", budget->refused, budget->taken,
                   limit);
}

bool rt_budget_fits(size_t bytes) {
    rt_budget *b = current;
    if (b == NULL || (b->used <= b->limit && bytes <= b->limit - b->used)) return true;
    if (b->refused == 0) {
        b->refused = bytes;
        b->taken = b->used;
    }
    return false;
}

bool rt_budget_take(size_t bytes) {
    if (!rt_budget_fits(bytes)) return false;
    if (current != NULL) current->used += bytes;
    return true;
}

void rt_budget_give(size_t bytes) {
    if (current != NULL) current->used -= rt_min(bytes, current->used);
}

static void grow(rt_budget *b, size_t *sum, size_t bytes) {
    size_t more;
    if (!rt_add(*sum, bytes, sum)) *sum = SIZE_MAX;
    if (!rt_mul(bytes, RT_BUDGET_TIMES, &more) || !rt_add(b->limit, more, &b->limit)) b->limit = SIZE_MAX;
}

void rt_budget_file(dev_t device, ino_t inode, size_t bytes) {
    rt_budget *b = current;
    if (b == NULL || b->fixed || b->seen_count == RT_BUDGET_FILES) return;
    for (size_t i = 0; i < b->seen_count; i++) {
        if (b->seen[i].device == device && b->seen[i].inode == inode) return;
    }
    b->seen[b->seen_count].device = device;
    b->seen[b->seen_count++].inode = inode;
    grow(b, &b->files, bytes);
}

void rt_budget_integers(size_t count, size_t bytes) {
    rt_budget *b = current;
    size_t floats, most;
    if (b == NULL || b->fixed || !rt_mul(count, sizeof(float), &floats) || floats <= bytes) return;
    /* Tensors of external data may overlap; no file has more than two integers per byte. */
    if (!rt_mul(b->files, 2 * sizeof(float) - 1, &most)) most = SIZE_MAX;
    grow(b, &b->decoded, rt_min(floats - bytes, most - rt_min(most, b->decoded)));
}

void rt_budget_about(const char *scope, const char *leaf) {
    if (current == NULL) return;
    snprintf(current->about, sizeof current->about, "%.100s%s%.50s", scope, leaf[0] != '\0' ? "." : "", leaf);
}

retort_status rt_budget_check(const char *name, size_t bytes, retort_error *err) {
    char limit[256];
    if (current == NULL || bytes <= current->limit) return RETORT_OK;
    say_limit(current, limit, sizeof limit);
    return rt_fail(err, RETORT_LIMIT, "%.120s: %.100s needs %zu bytes to run: %s", current->source, name,
                   bytes, limit);
}
