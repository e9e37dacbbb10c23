/* SPDX-License-Identifier: Apache-2.0 */
#include "train/objective.h"

#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* The values of the graph's LayerNorms, in order: *out [count], to be freed. */
static bool list_norms(const rt_graph *graph, int **out, size_t *count) {
    *out = rt_calloc(graph->node_count, sizeof **out);
    *count = 0;
    for (size_t i = 0; *out != NULL && i < graph->node_count; i++)
        if (graph->nodes[i].op == RT_OP_LAYER_NORM) (*out)[(*count)++] = graph->nodes[i].outputs[0];
    return *out != NULL;
}

/* Whether each of the teacher's norms is one of the graph, of the same width. */
static bool pairs_norms(const rt_tape *tape, const rt_teacher *teacher, const int *values, size_t count) {
    bool same = count == teacher->norm_count;
    for (size_t i = 0; same && i < count; i++)
        same = rt_tape_has_grad(tape, values[i]) && rt_tape_columns(tape, values[i]) == teacher->norms[i].n;
    return same;
}

retort_status rt_objective_open(rt_objective *out, rt_tape *tape, const rt_examples *examples,
                                const rt_objective_options *options, retort_error *err) {
    *out = (rt_objective){.tape = tape, .examples = examples, .options = *options};
    const rt_teacher *teacher = options->teacher;
    size_t count = 0;
    out->rows = tape->plan.output_rows;
    if (teacher == NULL || !(options->hidden > 0)) return RETORT_OK;
    if (!list_norms(tape->graph, &out->states, &count))
        return rt_fail_nomem(err, tape->graph->node_count * sizeof *out->states);
    out->state_count = teacher->norm_count;
    if (pairs_norms(tape, teacher, out->states, count)) return RETORT_OK;
    size_t wanted = teacher->norms[teacher->norm_count - 1].n, width = 0;
    if (count > 0 && rt_tape_has_grad(tape, out->states[count - 1]))
        width = rt_tape_columns(tape, out->states[count - 1]);
    if (width == 0 || width != wanted)
        return rt_fail(err, RETORT_ARGUMENT,
                       "teacher: its hidden states have %zu columns, the model's %zu: only its logits can be "
                       "learned (hidden 0)",
                       wanted, width);
    out->states[0] = out->states[count - 1];
    out->state_count = 1;
    return RETORT_OK;
}

void rt_objective_close(rt_objective *objective) {
    free(objective->vectors);
    free(objective->gradient);
    free(objective->states);
    *objective = (rt_objective){0};
}

/* ---- Sequences ---- */

/* A batch in progress. */
typedef struct batch {
    rt_objective *o;
    const rt_prepared *prepared;
    const size_t *which;
    size_t n;
    double labels, soft;              /* shares of the loss */
    double label_weight, soft_weight; /* what each sum is divided by, */
    double sequences, tokens;         /* and those of hidden states */
    double loss;
} batch;

typedef struct sequence {
    size_t example;
    bool second;          /* of a pair */
    size_t first, length; /* in ids */
} sequence;

static sequence sequence_at(const batch *b, size_t index) {
    bool second = index >= b->n;
    size_t which = b->which[second ? index - b->n : index];
    const rt_example *example = &b->o->examples->items[which];
    return (sequence){which, second, second ? example->other_first : example->first,
                      second ? example->other_length : example->length};
}

/* The teacher's row for a sequence or, where it has one for each token, for its first one. */
static size_t teacher_row(const batch *b, rt_row_set rows, const sequence *s) {
    if (rows == RT_ROW_SET_TOKENS) return s->first;
    return s->example + (s->second ? b->o->examples->count : 0);
}

static void set_weights(batch *b) {
    const rt_objective *o = b->o;
    const rt_examples *examples = o->examples;
    bool tags = examples->kind == RT_TARGET_TAGS;
    size_t sequences = examples->kind == RT_TARGET_PAIR ? 2 * b->n : b->n, tokens = 0, scored = 0;
    for (size_t i = 0; i < sequences; i++) {
        sequence s = sequence_at(b, i);
        tokens += s.length;
        for (size_t t = 0; tags && t < s.length; t++) scored += examples->tags[s.first + t] >= 0;
    }
    bool teaches = o->options.teacher != NULL;
    b->soft = !teaches ? 0 : examples->kind == RT_TARGET_NONE ? 1 : o->options.soft;
    b->labels = examples->kind == RT_TARGET_NONE ? 0 : 1 - b->soft;
    b->label_weight = rt_loss_weight(examples, &o->options.loss, b->which, b->n);
    b->soft_weight = (double)(o->rows != RT_ROW_SET_TOKENS ? sequences : tags ? scored : tokens);
    b->sequences = (double)sequences;
    b->tokens = (double)tokens;
}

/* ---- Losses of a chunk ---- */

static void add_labels(batch *b, size_t first, size_t count, const float *rows, size_t columns, float *grad) {
    const rt_objective *o = b->o;
    double loss = 0;
    if (!(b->labels > 0)) return;
    rt_loss_rows(o->examples, &o->options.loss, b->which + first, count, b->label_weight, b->labels, rows,
                 columns, grad, &loss);
    b->loss += b->labels * loss;
}

/* Rows of a sequence against the teacher's. Of tagged texts only the scored tokens. */
static double teach_rows(const batch *b, const sequence *s, size_t length, const float *rows,
                         const float *wanted, float *grad) {
    const rt_objective *o = b->o;
    const rt_teacher *teacher = o->options.teacher;
    bool tags = o->examples->kind == RT_TARGET_TAGS;
    double loss = 0;
    for (size_t t = 0; t < length; t++) {
        size_t at = t * teacher->columns;
        if (tags && o->examples->tags[s->first + t] < 0) continue;
        rt_loss_teacher(o->examples->answer, 1, teacher->columns, rows + at, wanted + at,
                        o->options.temperature, b->soft_weight, b->soft, grad + at, &loss);
    }
    return loss;
}

static void add_teacher(batch *b, size_t first, const rt_chunk *chunk, const float *rows, size_t columns,
                        float *grad) {
    const rt_teacher *teacher = b->o->options.teacher;
    double loss = 0;
    bool tokens = b->o->rows == RT_ROW_SET_TOKENS;
    if (teacher == NULL || !(b->soft > 0) || !(b->soft_weight > 0)) return;
    for (size_t i = 0; i < chunk->batch; i++) {
        sequence s = sequence_at(b, first + i);
        size_t at = (tokens ? (size_t)chunk->starts[i] : i) * columns;
        const float *wanted = teacher->live ? teacher->logits_now + at
                                            : teacher->logits + teacher_row(b, teacher->rows, &s) * columns;
        loss += teach_rows(b, &s, tokens ? s.length : 1, rows + at, wanted, grad + at);
    }
    b->loss += b->soft * loss;
}

/* Hidden states of a LayerNorm; of first tokens alone where either model has no others. */
static retort_status add_norm(batch *b, size_t first, const rt_chunk *chunk, int value,
                              const rt_teacher_norm *norm, retort_error *err) {
    const rt_objective *o = b->o;
    size_t count, n;
    const float *rows = rt_tape_value(o->tape, value, &count, &n);
    float *grad = rt_tape_grad(o->tape, value);
    rt_row_set kind = RT_ROW_SET_SEQUENCES;
    rt_value_row_set(&o->tape->graph->values[value], &kind);
    bool tokens = kind == RT_ROW_SET_TOKENS, theirs = norm->kind == RT_ROW_SET_TOKENS;
    if (grad == NULL) return rt_fail_nomem(err, count * n * sizeof *grad);
    double loss = 0;
    for (size_t i = 0; i < chunk->batch; i++) {
        sequence s = sequence_at(b, first + i);
        size_t at = (tokens ? (size_t)chunk->starts[i] : i) * n;
        const float *wanted = norm->now != NULL
                                  ? norm->now + (theirs ? (size_t)chunk->starts[i] : i) * n
                                  : o->options.teacher->states + teacher_row(b, norm->kind, &s) * n;
        rt_loss_hidden(tokens && theirs ? s.length : 1, n, rows + at, wanted,
                       tokens && theirs ? b->tokens : b->sequences, o->options.hidden, grad + at, &loss);
    }
    b->loss += o->options.hidden * loss;
    return RETORT_OK;
}

static retort_status add_hidden(batch *b, size_t first, const rt_chunk *chunk, retort_error *err) {
    const rt_objective *o = b->o;
    const rt_teacher *teacher = o->options.teacher;
    retort_status status = RETORT_OK;
    if (teacher == NULL) return RETORT_OK;
    for (size_t i = o->state_count; status == RETORT_OK && i-- > 0;) {
        const rt_teacher_norm *norm = &teacher->norms[teacher->norm_count - o->state_count + i];
        status = add_norm(b, first, chunk, o->states[i], norm, err);
    }
    return status;
}

/* ---- Passes ---- */

/* After a forward pass: the losses of a chunk other than that of pairs, and the backward pass. */
static retort_status learn_chunk(batch *b, size_t c, const float *vectors_gradient, retort_error *err) {
    rt_objective *o = b->o;
    const rt_chunk *chunk = &b->prepared->chunks[c];
    size_t first = b->prepared->first_sequence[c], count, columns;
    const float *rows = rt_tape_value(o->tape, o->tape->graph->output, &count, &columns);
    float *grad = rt_tape_grad(o->tape, o->tape->graph->output);
    if (grad == NULL) return rt_fail_nomem(err, count * columns * sizeof *grad);
    if (vectors_gradient != NULL)
        memcpy(grad, vectors_gradient + first * columns, count * columns * sizeof *grad);
    else
        add_labels(b, first, chunk->batch, rows, columns, grad);
    bool live = o->options.teacher != NULL && o->options.teacher->live;
    retort_status status = live ? rt_teacher_ask(o->options.teacher, chunk, err) : RETORT_OK;
    if (status == RETORT_OK) add_teacher(b, first, chunk, rows, columns, grad);
    if (status == RETORT_OK) status = add_hidden(b, first, chunk, err);
    return status == RETORT_OK ? rt_tape_backward(o->tape, err) : status;
}

static retort_status learn_rows(batch *b, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t c = 0; status == RETORT_OK && c < b->prepared->chunk_count; c++) {
        status = rt_tape_forward(b->o->tape, &b->prepared->chunks[c], err);
        if (status == RETORT_OK) status = learn_chunk(b, c, NULL, err);
    }
    return status;
}

static retort_status reserve_vectors(rt_objective *o, size_t count, retort_error *err) {
    bool made = rt_grow((void **)&o->vectors, &o->vector_capacity, count, sizeof *o->vectors) &&
                rt_grow((void **)&o->gradient, &o->gradient_capacity, count, sizeof *o->gradient);
    if (!made) return rt_fail_nomem(err, count * sizeof *o->vectors);
    memset(o->gradient, 0, count * sizeof *o->gradient);
    return RETORT_OK;
}

/* Forward over all chunks, the loss over all vectors, then again chunk by chunk, the last one first: it is still on the
 * tape. */
static retort_status learn_pairs(batch *b, retort_error *err) {
    rt_objective *o = b->o;
    size_t columns = o->tape->plan.output_columns, chunks = b->prepared->chunk_count, count;
    retort_status status = reserve_vectors(o, 2 * b->n * columns, err);
    for (size_t c = 0; status == RETORT_OK && c < chunks; c++) {
        status = rt_tape_forward(o->tape, &b->prepared->chunks[c], err);
        if (status != RETORT_OK) break;
        const float *rows = rt_tape_value(o->tape, o->tape->graph->output, &count, &columns);
        memcpy(o->vectors + b->prepared->first_sequence[c] * columns, rows, count * columns * sizeof *rows);
    }
    double loss = 0;
    if (status == RETORT_OK && b->labels > 0)
        status = rt_loss_pairs(o->examples, &o->options.loss, b->which, b->n, b->labels, o->vectors, columns,
                               o->gradient, &loss, err);
    b->loss += b->labels * loss;
    for (size_t c = chunks; status == RETORT_OK && c-- > 0;) {
        if (c + 1 < chunks) status = rt_tape_forward(o->tape, &b->prepared->chunks[c], err);
        if (status == RETORT_OK) status = learn_chunk(b, c, o->gradient, err);
    }
    return status;
}

retort_status rt_objective_batch(rt_objective *objective, const rt_prepared *prepared, const size_t *which,
                                 size_t n, double *loss, retort_error *err) {
    batch b = {.o = objective, .prepared = prepared, .which = which, .n = n};
    bool pairs = objective->examples->kind == RT_TARGET_PAIR;
    if (prepared->distinct.count != (pairs ? 2 * n : n))
        return rt_fail(err, RETORT_ARGUMENT, "training: a batch of %zu sequences for %zu texts",
                       prepared->distinct.count, n);
    set_weights(&b);
    retort_status status = pairs ? learn_pairs(&b, err) : learn_rows(&b, err);
    *loss = b.loss;
    return status;
}
