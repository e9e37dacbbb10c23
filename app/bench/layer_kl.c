/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/layer_kl.h"
#include "bench/corpus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXTS = 256, BATCH_TOKENS = 256 };

typedef struct layer_end {
    size_t step; /* of the reference: the last one of a layer */
    double kl;   /* summed over rows */
    bool known;
} layer_end;

typedef struct kl_run {
    layer_errors *layers;
    retort_session *session, *reference;
    bench_corpus corpus;
    layer_end *ends; /* [count] */
    size_t count;
    retort_matrix wanted; /* the reference's own answers to a batch, copied */
    float *copy;
    size_t rows;
} kl_run;

/* ---- Layers ---- */

static const char *step_name(const retort_session *session, size_t index) {
    retort_step_info step = {.size = sizeof step};
    retort_session_step(session, index, &step);
    return step.name;
}

static bool ends_layer(const kl_run *run, size_t step) {
    if (step + 1 == run->layers->reference_steps) return true;
    const char *name = step_name(run->reference, step), *next = step_name(run->reference, step + 1);
    size_t length = layer_name_length(name);
    return layer_name_length(next) != length || strncmp(name, next, length) != 0;
}

static cli_code find_ends(kl_run *run) {
    run->ends = calloc(run->layers->reference_steps + 1, sizeof *run->ends);
    if (run->ends == NULL) return cli_no_memory();
    for (size_t step = 0; step < run->layers->reference_steps; step++) {
        ptrdiff_t index = run->layers->of[step];
        bool shared = index >= 0 && !run->layers->items[index].unlike;
        if (shared && ends_layer(run, step))
            run->ends[run->count++] = (layer_end){.step = step, .known = true};
    }
    return CLI_DONE;
}

/* ---- Batches ---- */

static void rewind_rows(layer_errors *layers, bool forget) {
    for (size_t i = 0; i < layers->steps; i++) {
        layers->items[i].head = 0;
        if (forget) layers->items[i].count = 0;
    }
}

static double log_sum(const float *x, size_t n) {
    double most = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > most) most = x[i];
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - most);
    return most + log(sum);
}

static double divergence(const float *p, const float *q, size_t n) {
    double p_sum = log_sum(p, n), q_sum = log_sum(q, n), total = 0;
    for (size_t i = 0; i < n; i++) {
        double log_p = p[i] - p_sum;
        total += exp(log_p) * (log_p - (q[i] - q_sum));
    }
    return fmax(total, 0);
}

static void add(kl_run *run, layer_end *end, const retort_matrix *rows) {
    const retort_matrix *wanted = &run->wanted;
    for (size_t i = 0; i < wanted->rows; i++) {
        size_t at = i * wanted->columns;
        end->kl += divergence(wanted->data + at, rows->data + at, wanted->columns);
    }
}

static cli_code keep_wanted(kl_run *run, const retort_matrix *rows) {
    size_t n = rows->rows * rows->columns;
    float *grown = realloc(run->copy, (n + 1) * sizeof *grown);
    if (grown == NULL) return cli_no_memory();
    memcpy(grown, rows->data, n * sizeof *grown);
    run->copy = grown;
    run->wanted = (retort_matrix){grown, rows->rows, rows->columns};
    run->rows += rows->rows;
    return CLI_DONE;
}

/* Texts from…to in the model, in the reference, and in the reference from each layer on. */
static cli_code run_batch(kl_run *run, size_t from, size_t to) {
    layer_errors *layers = run->layers;
    retort_matrix rows;
    rewind_rows(layers, true);
    layers->mode = LAYER_LEAVE;
    cli_code code = bench_corpus_run(&run->corpus, run->session, from, to);
    if (code == CLI_DONE) code = bench_corpus_answer(&run->corpus, run->reference, from, to, &rows);
    if (code == CLI_DONE) code = keep_wanted(run, &rows);
    layers->mode = LAYER_PUT;
    for (size_t i = 0; code == CLI_DONE && i < run->count; i++) {
        rewind_rows(layers, false);
        layers->until = run->ends[i].step;
        layers->unput = false;
        code = bench_corpus_answer(&run->corpus, run->reference, from, to, &rows);
        run->ends[i].known &= !layers->unput;
        if (code == CLI_DONE) add(run, &run->ends[i], &rows);
    }
    return code;
}

static cli_code run_all(kl_run *run) {
    cli_code code = CLI_DONE;
    const bench_corpus *c = &run->corpus;
    run->layers->answered = false; /* the queues are emptied here */
    for (size_t from = 0, to; code == CLI_DONE && from < c->count; from = to) {
        to = from + 1;
        while (to < c->count && c->starts[to + 1] - c->starts[from] <= BATCH_TOKENS) to++;
        code = run_batch(run, from, to);
    }
    return code;
}

static bool is_softmax(const retort_model *model) {
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    if (info.task == RETORT_TASK_CLASSIFY)
        return info.problem == RETORT_PROBLEM_SINGLE_LABEL && info.labels > 1;
    return info.task == RETORT_TASK_TAG;
}

cli_code layer_kl(layer_errors *layers, retort_session *session, retort_session *reference,
                  const retort_model *model, retort_dataset *data) {
    kl_run run = {.layers = layers, .session = session, .reference = reference};
    if (!is_softmax(model)) return CLI_DONE;
    cli_code code = bench_corpus_sample_of(&run.corpus, data, model, MOST_TEXTS);
    if (code == CLI_DONE) code = find_ends(&run);
    if (code == CLI_DONE) code = run_all(&run);
    for (size_t i = 0; code == CLI_DONE && i < run.count && run.rows > 0; i++) {
        if (run.ends[i].known)
            layers->items[layers->of[run.ends[i].step]].kl = run.ends[i].kl / (double)run.rows;
    }
    layers->mode = LAYER_COMPARE;
    bench_corpus_free(&run.corpus);
    free(run.ends);
    free(run.copy);
    return code;
}
