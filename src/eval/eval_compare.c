/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/eval.h"

#include <math.h>

static double best_agrees(const float *a, const float *b, size_t n) {
    return rt_score_best(a, n) == rt_score_best(b, n);
}

static double decisions_agree(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if ((a[i] > 0) != (b[i] > 0)) return 0; /* sigmoid above one half */
    }
    return 1;
}

static void compare_row(rt_evaluation *e, const float *reference, const float *row, size_t n) {
    rt_comparison *c = &e->comparison;
    bool classify = e->config->task == RETORT_TASK_CLASSIFY;
    c->rows++;
    if (e->config->task == RETORT_TASK_EMBED) {
        c->kl = NAN;
        c->agree += rt_cosine(reference, row, n);
    } else if (rt_config_has_values(e->config)) {
        c->kl = c->agree = NAN;
    } else if (classify && e->config->problem == RETORT_PROBLEM_MULTI_LABEL) {
        c->kl += rt_divergence_yes_no(reference, row, n);
        c->agree += decisions_agree(reference, row, n);
    } else {
        c->kl += rt_divergence(reference, row, n, 1);
        c->agree += best_agrees(reference, row, n);
    }
}

static size_t best_in_column(const float *values, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (values[2 * i] > values[2 * best]) best = i;
    }
    return best;
}

/* The start logits and the end logits of a window are one row each. */
static void compare_window(rt_evaluation *e, const float *reference, const float *rows, size_t tokens) {
    for (size_t column = 0; column < 2; column++) {
        e->comparison.rows++;
        e->comparison.kl += rt_divergence(reference + column, rows + column, tokens, 2);
        e->comparison.agree +=
            best_in_column(reference + column, tokens) == best_in_column(rows + column, tokens);
    }
}

void rt_eval_compare(rt_evaluation *e, const retort_matrix *rows, const retort_matrix *reference) {
    size_t n = rows->columns;
    for (size_t i = 0; i < rows->rows * n; i++) {
        e->comparison.worst = fmax(e->comparison.worst, fabs((double)rows->data[i] - reference->data[i]));
    }
    if (e->config->task == RETORT_TASK_ANSWER) {
        for (size_t i = 0; i < e->feed.n; i++) {
            size_t at = rt_eval_row(e, i) * n;
            compare_window(e, reference->data + at, rows->data + at, e->encodings[i].count);
        }
        return;
    }
    for (size_t i = 0; i < rows->rows; i++) compare_row(e, reference->data + i * n, rows->data + i * n, n);
}
