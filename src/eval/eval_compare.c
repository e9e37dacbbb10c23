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
        double apart = fabs((double)rows->data[i] - reference->data[i]);
        if (apart > e->comparison.worst) e->comparison.worst = apart;
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

/* ---- One text ---- */

/* Probability of the best label of a row, and which one it is. */
static double best_of(const float *row, size_t n, int64_t *label) {
    size_t best = rt_score_best(row, n);
    *label = (int64_t)best;
    return exp((double)row[best] - rt_score_log_sum(row, n, 1));
}

static void compare_text(const rt_evaluation *e, retort_eval_text *text, size_t row, size_t count,
                         const retort_matrix *rows, const retort_matrix *reference) {
    bool several =
        e->config->problem == RETORT_PROBLEM_MULTI_LABEL && e->config->task == RETORT_TASK_CLASSIFY;
    size_t n = rows->columns;
    text->rows = count;
    text->kl = 0;
    for (size_t i = row; i < row + count; i++) {
        const float *a = reference->data + i * n, *b = rows->data + i * n;
        text->changed += several ? decisions_agree(a, b, n) == 0 : best_agrees(a, b, n) == 0;
        text->kl += (several ? rt_divergence_yes_no(a, b, n) : rt_divergence(a, b, n, 1)) / (double)count;
    }
}

retort_status rt_eval_tell(const rt_evaluation *e, size_t index, size_t first, size_t n,
                           const retort_matrix *rows, const retort_matrix *reference, retort_error *err) {
    const rt_config *config = e->config;
    retort_eval_text text = {.size = sizeof text, .index = index, .gold = -1, .label = -1, .reference = -1};
    text.probability = text.reference_probability = text.kl = NAN;
    bool classify = config->task == RETORT_TASK_CLASSIFY && !rt_config_has_values(config);
    bool one = classify && config->problem != RETORT_PROBLEM_MULTI_LABEL,
         compared = e->options->reference != NULL;
    size_t row = rt_eval_row(e, first), count = rt_eval_row(e, first + n) - row;
    if (one) {
        text.gold = e->agrees ? -1 : e->data->samples[index].label;
        text.probability = best_of(rows->data + row * rows->columns, rows->columns, &text.label);
        if (compared)
            text.reference_probability =
                best_of(reference->data + row * rows->columns, rows->columns, &text.reference);
    }
    if (compared && (classify || config->task == RETORT_TASK_TAG))
        compare_text(e, &text, row, count, rows, reference);
    if (e->options->each(e->options->each_user, &text) == 0) return RETORT_OK;
    return rt_fail(err, RETORT_CANCELLED, "evaluation: stopped after %zu texts", index + 1);
}
