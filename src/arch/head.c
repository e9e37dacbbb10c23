/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/head.h"
#include "base/names.h"
#include "base/random.h"
#include "base/utf8.h"

#include <stdio.h>

enum { FIRST_PART = 13 }; /* the number of the first part of a head, on which what is drawn depends */

static retort_status name_labels(rt_config *out, rt_arena *arena, const retort_head *head, rt_names *seen,
                                 retort_error *err) {
    char number[32];
    for (size_t i = 0; i < head->count; i++) {
        snprintf(number, sizeof number, "LABEL_%zu", i);
        const char *name = head->labels != NULL ? head->labels[i] : number;
        int before = -1;
        size_t bad;
        if (!rt_utf8_valid((const uint8_t *)name, strlen(name), &bad))
            return rt_fail(err, RETORT_ARGUMENT, "import: label %zu of the new head, '%.60s', is not UTF-8",
                           i, name);
        out->label_names[i] = rt_arena_text(arena, name, strlen(name));
        if (out->label_names[i] == NULL || !rt_names_add(seen, out->label_names[i], (int)i, &before))
            return rt_fail_nomem(err, strlen(name));
        if (before >= 0)
            return rt_fail(err, RETORT_ARGUMENT, "import: labels %d and %zu of the new head are both '%.60s'",
                           before, i, name);
    }
    return RETORT_OK;
}

retort_status rt_head_config(rt_config *out, rt_arena *arena, const retort_head *head, retort_error *err) {
    rt_names seen = {0};
    out->task = head->task;
    out->pooling = RT_POOL_NONE;
    out->pooler = out->arch->heads[head->task].pooler;
    out->problem = head->task == RETORT_TASK_CLASSIFY ? head->problem : RETORT_PROBLEM_SINGLE_LABEL;
    out->scoring = (rt_scoring){0};
    out->labels = (int64_t)head->count;
    out->label_names = rt_arena_calloc(arena, head->count, sizeof *out->label_names);
    if (out->label_names == NULL) return rt_fail_nomem(err, head->count * sizeof *out->label_names);
    retort_status status = name_labels(out, arena, head, &seen, err);
    rt_names_free(&seen);
    return status;
}

/* 0.02 times a number that is nearly normal: twelve uniform ones have a mean of 6 and a variance of 1 together. The sum
 * is one of integers, so that no C library has a say in it (as log and cos would in Box and Muller's way), and ends at
 * 6 standard deviations. */
static float draw(uint64_t *state) {
    uint64_t sum = 0;
    for (int i = 0; i < 6; i++) {
        uint64_t bits = rt_random(state);
        sum += (bits >> 32) + (bits & UINT32_MAX);
    }
    const double one = 4294967296.0;
    return (float)(((double)sum - 6 * one) * (0.02 / one));
}

retort_status rt_head_linear(rt_weight *out, rt_arena *arena, uint64_t seed, rt_role role, int64_t rows,
                             int64_t columns, retort_error *err) {
    size_t n = (size_t)rows * (size_t)columns; /* bounded by rt_config's sizes and RT_MOST_LABELS */
    uint64_t state = seed;
    state = rt_random(&state) + FIRST_PART + (uint64_t)(role - RT_ROLE_HEAD);
    rt_tensor *weight = rt_arena_calloc(arena, 1, sizeof *weight),
              *bias = rt_arena_calloc(arena, 1, sizeof *bias);
    float *values = rt_arena_calloc(arena, n, sizeof *values),
          *zeros = rt_arena_calloc(arena, (size_t)rows, sizeof *zeros);
    if (weight == NULL || bias == NULL || values == NULL || zeros == NULL)
        return rt_fail_nomem(err, n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = draw(&state);
    *weight =
        (rt_tensor){.name = "head", .data = values, .dtype = RETORT_F32, .rank = 2, .shape = {rows, columns}};
    *bias = (rt_tensor){.name = "head", .data = zeros, .dtype = RETORT_F32, .rank = 1, .shape = {rows}};
    *out = (rt_weight){weight, bias};
    return RETORT_OK;
}

retort_status rt_head_norm(rt_weight *out, rt_arena *arena, int64_t columns, retort_error *err) {
    size_t n = (size_t)columns; /* bounded by rt_config's sizes */
    rt_tensor *weight = rt_arena_calloc(arena, 1, sizeof *weight),
              *bias = rt_arena_calloc(arena, 1, sizeof *bias);
    float *ones = rt_arena_calloc(arena, n, sizeof *ones), *zeros = rt_arena_calloc(arena, n, sizeof *zeros);
    if (weight == NULL || bias == NULL || ones == NULL || zeros == NULL)
        return rt_fail_nomem(err, n * sizeof *ones);
    for (size_t i = 0; i < n; i++) ones[i] = 1;
    *weight = (rt_tensor){.name = "head", .data = ones, .dtype = RETORT_F32, .rank = 1, .shape = {columns}};
    *bias = (rt_tensor){.name = "head", .data = zeros, .dtype = RETORT_F32, .rank = 1, .shape = {columns}};
    *out = (rt_weight){weight, bias};
    return RETORT_OK;
}
