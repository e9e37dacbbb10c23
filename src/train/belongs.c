/* SPDX-License-Identifier: Apache-2.0 */
#include "train/belongs.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A hash of several pieces; the key is always the same, since nobody gains by a collision with his own checkpoint. */
typedef struct digest {
    uint64_t value;
} digest;

static void add(digest *d, const void *data, size_t bytes) {
    rt_hash_key key = {{d->value, bytes}};
    d->value = rt_hash(key, data, bytes);
}

static void add_word(digest *d, uint64_t word) {
    add(d, &word, sizeof word);
}

static void add_number(digest *d, double number) {
    add(d, &number, sizeof number);
}

static void add_text(digest *d, const char *text) {
    add(d, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

static uint64_t digest_examples(const rt_examples *e) {
    digest d = {0};
    add_word(&d, (uint64_t)e->kind);
    for (size_t i = 0; i < e->count; i++) {
        const rt_example *x = &e->items[i];
        const uint64_t words[] = {x->first, x->length, x->other_first, x->other_length, (uint64_t)x->label};
        add(&d, words, sizeof words);
        add_number(&d, (double)x->score);
    }
    if (e->targets != NULL) add(&d, e->targets, e->count * e->columns * sizeof *e->targets);
    if (e->tags != NULL) add(&d, e->tags, e->tokens * sizeof *e->tags);
    add(&d, e->ids, e->tokens * sizeof *e->ids);
    add(&d, e->types, e->tokens * sizeof *e->types);
    return d.value;
}

static uint64_t digest_dev(const retort_dataset *data) {
    digest d = {0};
    for (size_t i = 0; data != NULL && i < data->count; i++) {
        const rt_sample *s = &data->samples[i];
        add(&d, s->text.text, s->text.length);
        if (s->text.pair != NULL) add(&d, s->text.pair, s->text.pair_length);
        add_word(&d, (uint64_t)s->label);
        add_word(&d, s->first);
        add_word(&d, s->count);
        add_number(&d, s->score);
    }
    for (size_t i = 0; data != NULL && i < data->part_count; i++)
        add(&d, data->parts[i].text, data->parts[i].length);
    if (data != NULL && data->tags != NULL) add(&d, data->tags, data->tag_count * sizeof *data->tags);
    return d.value;
}

static void add_constants(digest *d, const rt_graph *graph) {
    for (size_t i = 0; i < graph->value_count; i++) {
        const rt_value *v = &graph->values[i];
        size_t bytes;
        if (v->data != NULL && rt_value_bytes(v, &bytes)) add(d, v->data, bytes);
    }
}

/* Of other answers or, where it is live, other weights: another teacher. */
static uint64_t digest_teacher(const rt_teacher *teacher, const rt_examples *e) {
    digest d = {0};
    if (teacher->live) add_constants(&d, &teacher->model->graph);
    if (teacher->logits == NULL) return d.value;
    size_t sequences = e->kind == RT_TARGET_PAIR ? 2 * e->count : e->count;
    size_t rows = teacher->rows == RT_ROW_SET_TOKENS ? e->tokens : sequences;
    add(&d, teacher->logits, rows * teacher->columns * sizeof *teacher->logits);
    return d.value;
}

static retort_status digest_model(const rt_trainee *t, uint64_t *out, retort_error *err) {
    digest d = {0};
    rt_buffer text = {0};
    retort_status status = rt_graph_text(&t->model->graph, &text);
    if (status == RETORT_OK) add(&d, text.data, text.length);
    rt_buffer_free(&text);
    for (size_t i = 0; i < t->parameters.count; i++)
        add(&d, t->parameters.items[i].data, t->parameters.items[i].count * sizeof(float));
    *out = d.value;
    return status == RETORT_OK ? RETORT_OK : rt_fail_nomem(err, text.capacity);
}

static uint64_t digest_options(const retort_train_options *o, const rt_optimizer_options *optimizer,
                               size_t rows) {
    digest d = {0};
    const rt_rate_plan *plan = &optimizer->plan;
    const uint64_t words[] = {o->batch,
                              o->class_weights,
                              (uint64_t)o->max_length,
                              o->seed,
                              (uint64_t)o->arithmetic,
                              (uint64_t)o->bits,
                              (uint64_t)o->embeddings,
                              (uint64_t)o->group,
                              rows,
                              plan->steps,
                              (uint64_t)plan->decay,
                              o->teacher != NULL};
    const double numbers[] = {plan->rate,
                              plan->warmup,
                              optimizer->beta1,
                              optimizer->beta2,
                              optimizer->epsilon,
                              optimizer->weight_decay,
                              optimizer->clip,
                              o->layer_decay,
                              o->label_smoothing,
                              o->temperature,
                              o->soft,
                              o->hidden,
                              o->mix};
    add(&d, words, sizeof words);
    add(&d, numbers, sizeof numbers);
    add_text(&d, o->recipe);
    return d.value;
}

retort_status rt_belongs(char out[RT_BELONGS_SIZE], const retort_train_options *options,
                         const rt_examples *examples, const rt_trainee *trainee, const rt_teacher *teacher,
                         const rt_optimizer_options *optimizer, size_t rows, retort_error *err) {
    uint64_t model;
    retort_status status = digest_model(trainee, &model, err);
    if (status != RETORT_OK) return status;
    snprintf(out, RT_BELONGS_SIZE,
             "data=%016" PRIx64 " dev-data=%016" PRIx64 " model=%016" PRIx64 " teacher=%016" PRIx64
             " options=%016" PRIx64,
             digest_examples(examples), digest_dev(options->dev), model, digest_teacher(teacher, examples),
             digest_options(options, optimizer, rows));
    return RETORT_OK;
}

/* Whether the words of `text` have this one, of `length` characters. */
static bool has_word(const char *text, const char *word, size_t length) {
    for (;;) {
        size_t n = strcspn(text, " ");
        if (n == length && memcmp(text, word, n) == 0) return true;
        if (text[n] == 0) return false;
        text += n + 1;
    }
}

retort_status rt_belongs_check(const char *path, const char *found, const char *belongs, retort_error *err) {
    char differ[128] = "";
    if (found == NULL)
        return rt_fail(err, RETORT_FORMAT, "%.200s: it does not say which training it belongs to", path);
    if (strcmp(found, belongs) == 0) return RETORT_OK;
    for (size_t n; *belongs != 0; belongs += n + (belongs[n] != 0)) {
        n = strcspn(belongs, " ");
        size_t at = strlen(differ), name = strcspn(belongs, "=");
        if (!has_word(found, belongs, n))
            snprintf(differ + at, sizeof differ - at, "%s%.*s", at > 0 ? ", " : "", (int)name, belongs);
    }
    return rt_fail(err, RETORT_ARGUMENT, "%.200s: it belongs to a training with other %s", path,
                   *differ != 0 ? differ : "settings");
}
