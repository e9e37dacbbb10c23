/* SPDX-License-Identifier: Apache-2.0 */
#include "train/teacher.h"
#include "base/check_finite.h"
#include "engine/prepare.h"

#include <stdlib.h>
#include <string.h>

/* ---- Whether it can teach this student ---- */

static retort_status check_pieces(const retort_model *teacher, const retort_model *student,
                                  retort_error *err) {
    long long ours = student->config.vocab, theirs = teacher->config.vocab;
    if (ours != theirs)
        return rt_fail(err, RETORT_ARGUMENT,
                       "teacher: a vocabulary of %lld pieces, and the model's has %lld: expected the "
                       "same tokenizer, restricted alike (--languages, --texts)",
                       theirs, ours);
    for (int32_t i = 0; i < (int32_t)ours; i++) {
        const char *a = rt_tokenizer_piece(teacher->tokenizer, i),
                   *b = rt_tokenizer_piece(student->tokenizer, i);
        if (a == NULL || b == NULL ? a == b : strcmp(a, b) == 0) continue;
        return rt_fail(err, RETORT_ARGUMENT,
                       "teacher: another vocabulary: piece %d is '%.80s', and the model's '%.80s': "
                       "expected the same tokenizer, restricted alike (--languages, --texts)",
                       i, a != NULL ? a : "", b != NULL ? b : "");
    }
    return RETORT_OK;
}

static bool has_label(const rt_config *config, const char *name) {
    for (int64_t i = 0; i < config->labels; i++) {
        if (strcmp(config->label_names[i], name) == 0) return true;
    }
    return false;
}

static retort_status check_labels(const rt_config *teacher, const rt_config *student, retort_error *err) {
    if (rt_config_columns(teacher) != rt_config_columns(student))
        return rt_fail(err, RETORT_ARGUMENT, "teacher: %lld %s, the model has %lld",
                       (long long)rt_config_columns(teacher),
                       teacher->task == RETORT_TASK_EMBED ? "numbers per vector" : "labels",
                       (long long)rt_config_columns(student));
    for (int64_t i = 0; teacher->task != RETORT_TASK_EMBED && i < teacher->labels; i++) {
        const char *a = teacher->label_names[i], *b = student->label_names[i];
        if (strcmp(a, b) != 0)
            return rt_fail(err, RETORT_ARGUMENT, "teacher: %s: label %lld is '%.80s', the model's is '%.80s'",
                           has_label(student, a) ? "its labels are in another order" : "it has other labels",
                           (long long)i, a, b);
    }
    return RETORT_OK;
}

static retort_status check_fit(const retort_model *teacher, const retort_model *student,
                               const rt_examples *examples, retort_error *err) {
    static const char *const tasks[] = {[RETORT_TASK_CLASSIFY] = "classifies",
                                        [RETORT_TASK_TAG] = "tags",
                                        [RETORT_TASK_ANSWER] = "answers questions",
                                        [RETORT_TASK_FILL] = "fills masks",
                                        [RETORT_TASK_EMBED] = "embeds"};
    static const char *const problems[] = {[RETORT_PROBLEM_SINGLE_LABEL] = "one label per text",
                                           [RETORT_PROBLEM_MULTI_LABEL] = "several labels per text",
                                           [RETORT_PROBLEM_REGRESSION] = "numbers"};
    const rt_config *theirs = &teacher->config, *ours = &student->config;
    if (theirs->task != ours->task)
        return rt_fail(err, RETORT_ARGUMENT, "teacher: it %s, the model %s", tasks[theirs->task],
                       tasks[ours->task]);
    if (theirs->task == RETORT_TASK_CLASSIFY && theirs->problem != ours->problem)
        return rt_fail(err, RETORT_ARGUMENT, "teacher: it gives %s, the model %s", problems[theirs->problem],
                       problems[ours->problem]);
    retort_status status = check_labels(theirs, ours, err);
    if (status == RETORT_OK) status = check_pieces(teacher, student, err);
    size_t longest = 0;
    for (size_t i = 0; i < examples->count; i++) {
        longest = rt_max(longest, examples->items[i].length);
        longest = rt_max(longest, examples->items[i].other_length);
    }
    if (status != RETORT_OK || (int64_t)longest <= theirs->positions) return status;
    return rt_fail(err, RETORT_ARGUMENT, "teacher: it reads up to %lld tokens, a text has %zu",
                   (long long)theirs->positions, longest);
}

/* ---- Its engine ---- */

/* The LayerNorms whose outputs are wanted. False: out of memory, or one does not give floats. */
static bool find_norms(rt_teacher *t, bool all) {
    t->norms = rt_calloc(t->plan.step_count, sizeof *t->norms);
    if (t->norms == NULL) return false;
    for (size_t i = 0; i < t->plan.step_count; i++) {
        const rt_node *node = t->plan.steps[i].node;
        if (node->op != RT_OP_LAYER_NORM) continue;
        const rt_value *value = &t->model->graph.values[node->outputs[0]];
        rt_teacher_norm norm = {.step = i, .n = (size_t)value->dims[1]};
        if (!rt_value_row_set(value, &norm.kind) || value->dtype != RETORT_F32) return false;
        if (!all) t->norm_count = 0;
        t->norms[t->norm_count++] = norm;
    }
    return t->norm_count > 0;
}

static retort_status open_engine(rt_teacher *t, const retort_model *teacher,
                                 const rt_teacher_options *options, retort_error *err) {
    retort_optimize_options optimize = RETORT_OPTIMIZE_OPTIONS;
    retort_status status = RETORT_OK;
    if (teacher->graph.level == 3)
        t->model = retort_model_retain((retort_model *)(uintptr_t)teacher); /* counting owners is no change */
    else
        status = rt_model_optimize(&t->model, teacher, &optimize, err);
    if (status == RETORT_OK)
        status = rt_plan_make(&t->plan, &t->model->graph, options->kernels, NULL, options->rows,
                              (size_t)rt_min((size_t)teacher->config.positions, options->rows), err);
    if (status == RETORT_OK) status = rt_thread_pool_open(&t->pool, options->threads, err);
    if (status == RETORT_OK) status = rt_executor_open(&t->executor, &t->plan, t->pool, err);
    if (status != RETORT_OK) return status;
    t->rows = t->plan.output_rows;
    t->columns = t->plan.output_columns;
    if (!options->states || find_norms(t, options->all_states)) return RETORT_OK;
    return t->norms == NULL ? rt_fail_nomem(err, t->plan.step_count * sizeof *t->norms)
                            : rt_fail(err, RETORT_ARGUMENT, "teacher: its hidden states are not floats");
}

/* ---- Running ---- */

/* A batch in progress: sequence `first` and those after it, in the order of the rows of logits. */
typedef struct teaching {
    rt_teacher *teacher;
    const rt_examples *examples;
    const rt_prepared *batch;
    size_t first;
} teaching;

static size_t sequences_of(const rt_examples *examples) {
    return examples->kind == RT_TARGET_PAIR ? 2 * examples->count : examples->count;
}

static void range_of(const rt_examples *examples, size_t sequence, size_t *first, size_t *length) {
    bool second = sequence >= examples->count;
    const rt_example *e = &examples->items[second ? sequence - examples->count : sequence];
    *first = second ? e->other_first : e->first;
    *length = second ? e->other_length : e->length;
}

/* Copies the rows of a chunk to their places. */
static void keep_rows(const teaching *run, const rt_chunk *chunk, rt_row_set kind, const float *from,
                      size_t columns, float *to) {
    size_t sequence = run->first + run->batch->first_sequence[chunk - run->batch->chunks];
    for (size_t i = 0; i < chunk->batch; i++) {
        size_t first, length;
        bool tokens = kind == RT_ROW_SET_TOKENS;
        range_of(run->examples, sequence + i, &first, &length);
        memcpy(to + (tokens ? first : sequence + i) * columns,
               from + (tokens ? (size_t)chunk->starts[i] : i) * columns,
               (tokens ? length : 1) * columns * sizeof *to);
    }
}

static retort_status see(void *user, const rt_event *event, retort_error *err) {
    (void)err;
    const teaching *run = user;
    rt_teacher *t = run->teacher;
    const rt_teacher_norm *norm = t->norm_count > 0 ? &t->norms[t->norm_count - 1] : NULL;
    if (norm != NULL && event->step == norm->step)
        keep_rows(run, event->chunk, norm->kind,
                  rt_place_at(&t->plan.steps[event->step].out[0], event->worker), norm->n, t->states);
    if (event->step + 1 == t->plan.step_count)
        keep_rows(run, event->chunk, t->rows, rt_place_at(&t->plan.output, event->worker), t->columns,
                  t->logits);
    return RETORT_OK;
}

/* Sequences of about this many tokens are prepared together. */
enum { BATCH_TOKENS = 16384 };

/* The ids of the next sequences, concatenated; their offsets. */
typedef struct gathered {
    int32_t *ids, *types, *offsets;
    size_t id_capacity, type_capacity, offset_capacity;
} gathered;

static retort_status gather(gathered *g, const rt_examples *examples, size_t from, bool types, rt_batch *out,
                            retort_error *err) {
    size_t tokens = 0, n = 0, first, length;
    for (; from + n < sequences_of(examples) && tokens < BATCH_TOKENS; n++) {
        range_of(examples, from + n, &first, &length);
        if (!rt_grow((void **)&g->ids, &g->id_capacity, tokens + length, sizeof *g->ids) ||
            !rt_grow((void **)&g->types, &g->type_capacity, tokens + length, sizeof *g->types) ||
            !rt_grow((void **)&g->offsets, &g->offset_capacity, n + 2, sizeof *g->offsets))
            return rt_fail_nomem(err, (tokens + length) * sizeof *g->ids);
        memcpy(g->ids + tokens, examples->ids + first, length * sizeof *g->ids);
        memcpy(g->types + tokens, examples->types + first, length * sizeof *g->types);
        g->offsets[n] = (int32_t)tokens;
        tokens += length;
        g->offsets[n + 1] = (int32_t)tokens;
    }
    *out = (rt_batch){g->ids, types ? g->types : NULL, g->offsets, n, NULL};
    return RETORT_OK;
}

static rt_limits limits_of(const rt_teacher *t, size_t rows) {
    const rt_config *config = &t->model->config;
    return (rt_limits){.vocab = config->vocab,
                       .types = config->types,
                       .positions = config->positions,
                       .position_offset = config->position_offset,
                       .after_pad = config->after_pad != 0,
                       .mask_id = t->model->graph.mask_id,
                       .capacity = rows,
                       .max_rows = rt_min(rows, RT_CHUNK_ROWS),
                       .workers = 1,
                       .keep_duplicates = true,
                       .output = t->rows};
}

static retort_status run_all(rt_teacher *t, const rt_examples *examples, const rt_teacher_options *options,
                             retort_error *err) {
    gathered g = {0};
    rt_prepared prepared = {0};
    rt_batch batch;
    retort_status status = RETORT_OK;
    const rt_limits limits = limits_of(t, options->rows);
    teaching run = {.teacher = t, .examples = examples, .batch = &prepared};
    rt_observer observer = {.user = &run, .see = see};
    size_t total = sequences_of(examples);
    t->executor.observers = &observer;
    t->executor.observer_count = 1;
    for (; status == RETORT_OK && run.first < total; run.first += batch.n) {
        status = gather(&g, examples, run.first, rt_config_has_types(&t->model->config), &batch, err);
        if (status == RETORT_OK) status = rt_prepare(&prepared, &batch, &limits, err);
        const rt_work work = {.chunks = prepared.chunks, .count = prepared.chunk_count, .team = true};
        if (status == RETORT_OK) status = rt_execute(&t->executor, &work, err);
        if (status != RETORT_OK) break;
        if (options->progress != NULL &&
            options->progress(options->user, "teacher", run.first + batch.n, total) != 0)
            status =
                rt_fail(err, RETORT_CANCELLED, "teacher: cancelled after %zu texts", run.first + batch.n);
    }
    t->executor.observers = NULL;
    t->executor.observer_count = 0;
    free(g.ids);
    free(g.types);
    free(g.offsets);
    rt_prepared_free(&prepared);
    return status;
}

/* ---- Opening ---- */

static size_t row_count(const rt_examples *examples, rt_row_set rows) {
    return rows == RT_ROW_SET_TOKENS ? examples->tokens : sequences_of(examples);
}

/* Room for the answers of a chunk. */
static retort_status reserve_now(rt_teacher *t, size_t rows, retort_error *err) {
    t->live = true;
    t->logits_now = rt_calloc(rows, t->columns * sizeof *t->logits_now);
    bool made = t->logits_now != NULL;
    for (size_t i = 0; made && i < t->norm_count; i++) {
        t->norms[i].now = rt_calloc(rows, t->norms[i].n * sizeof *t->norms[i].now);
        made = t->norms[i].now != NULL;
    }
    return made ? RETORT_OK : rt_fail_nomem(err, rows * t->columns * sizeof *t->logits_now);
}

/* Bytes of the states of all examples; more than memory has: SIZE_MAX. */
static size_t state_bytes(const rt_teacher *t, const rt_examples *examples) {
    const rt_teacher_norm *norm = &t->norms[t->norm_count - 1];
    size_t count, bytes;
    bool counted =
        rt_mul(row_count(examples, norm->kind), norm->n, &count) && rt_mul(count, sizeof *t->states, &bytes);
    return counted ? bytes : SIZE_MAX;
}

/* Room for the answers to all examples or, if they are too many, of a chunk. */
static retort_status reserve(rt_teacher *t, const rt_examples *examples, const rt_teacher_options *options,
                             retort_error *err) {
    size_t rows = row_count(examples, t->rows), count,
           bytes = t->norm_count > 0 ? state_bytes(t, examples) : 0;
    bool fits = options->memory == 0 || bytes <= options->memory;
    if (options->live || !fits) return reserve_now(t, options->rows, err);
    if (rt_mul(rows, t->columns, &count)) t->logits = rt_calloc(count, sizeof *t->logits);
    if (t->logits == NULL) return rt_fail_nomem(err, rows * t->columns * sizeof *t->logits);
    if (t->norm_count > 0) t->states = rt_alloc_aligned(bytes);
    return t->norm_count > 0 && t->states == NULL ? rt_fail_nomem(err, bytes) : RETORT_OK;
}

static retort_status check_answers(const rt_teacher *t, const rt_examples *examples, retort_error *err) {
    size_t count = row_count(examples, t->rows) * t->columns;
    size_t at = rt_first_nonfinite(t->logits, RETORT_F32, count);
    if (at == count) return RETORT_OK;
    return rt_fail(err, RETORT_NONFINITE, "teacher: its answer is not finite: number %zu of row %zu is %g",
                   at % t->columns, at / t->columns, (double)t->logits[at]);
}

static void close_engine(rt_teacher *teacher) {
    rt_executor_close(&teacher->executor);
    rt_thread_pool_close(teacher->pool);
    rt_plan_free(&teacher->plan);
    retort_model_free(teacher->model);
    teacher->pool = NULL;
    teacher->model = NULL;
}

void rt_teacher_free(rt_teacher *teacher) {
    close_engine(teacher);
    for (size_t i = 0; i < teacher->norm_count; i++) free(teacher->norms[i].now);
    free(teacher->norms);
    free(teacher->logits_now);
    free(teacher->logits);
    free(teacher->states);
    *teacher = (rt_teacher){0};
}

retort_status rt_teacher_open(rt_teacher *out, const retort_model *teacher, const retort_model *student,
                              const rt_examples *examples, const rt_teacher_options *options,
                              retort_error *err) {
    *out = (rt_teacher){0};
    retort_status status = check_fit(teacher, student, examples, err);
    if (status == RETORT_OK) status = open_engine(out, teacher, options, err);
    if (status == RETORT_OK) status = reserve(out, examples, options, err);
    if (status == RETORT_OK && !out->live) status = run_all(out, examples, options, err);
    if (status == RETORT_OK && !out->live) status = check_answers(out, examples, err);
    if (status != RETORT_OK) rt_teacher_free(out);
    if (status == RETORT_OK && !out->live) close_engine(out);
    return status;
}

/* ---- A chunk ---- */

static retort_status see_chunk(void *user, const rt_event *event, retort_error *err) {
    (void)err;
    const rt_teacher *t = user;
    for (size_t i = 0; i < t->norm_count; i++) {
        const rt_teacher_norm *norm = &t->norms[i];
        if (event->step != norm->step) continue;
        memcpy(norm->now, rt_place_at(&t->plan.steps[event->step].out[0], event->worker),
               rt_chunk_rows(event->chunk, norm->kind) * norm->n * sizeof *norm->now);
    }
    if (event->step + 1 == t->plan.step_count)
        memcpy(t->logits_now, rt_place_at(&t->plan.output, event->worker),
               rt_chunk_rows(event->chunk, t->rows) * t->columns * sizeof *t->logits_now);
    return RETORT_OK;
}

retort_status rt_teacher_ask(rt_teacher *teacher, const rt_chunk *chunk, retort_error *err) {
    rt_executor *x = &teacher->executor;
    rt_observer observer = {.user = teacher, .see = see_chunk};
    const rt_work work = {.chunks = chunk, .count = 1, .team = true};
    x->observers = &observer;
    x->observer_count = 1;
    retort_status status = rt_execute(x, &work, err);
    x->observers = NULL;
    x->observer_count = 0;
    size_t count = rt_chunk_rows(chunk, teacher->rows) * teacher->columns;
    if (status != RETORT_OK || rt_first_nonfinite(teacher->logits_now, RETORT_F32, count) == count)
        return status;
    return rt_fail(err, RETORT_NONFINITE, "teacher: its answer is not finite");
}
