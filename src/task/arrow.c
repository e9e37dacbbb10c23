/* SPDX-License-Identifier: Apache-2.0
 * Every array and schema that is given out owns its buffers and its children, so that a consumer may take a child out, as
 * the interface allows, and release the rest. */
#include "task/arrow.h"
#include "base/memory.h"
#include "base/thread.h"
#include "run/session.h"
#include "task/arrow_texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 1024, BUFFERS = 3, FIRST_BYTES = 8192, PACE_NS = 200000000 };

/* ---- Schemas ---- */

static void release_schema(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release != NULL) schema->children[i]->release(schema->children[i]);
        free(schema->children[i]);
    }
    if (schema->dictionary != NULL) {
        if (schema->dictionary->release != NULL) schema->dictionary->release(schema->dictionary);
        free(schema->dictionary);
    }
    free((void *)schema->children);
    free(schema->private_data);
    schema->release = NULL;
}

/* A schema without children, with room for n. The name is constant; the format is copied. */
static bool make_schema(struct ArrowSchema *out, const char *format, const char *name, size_t n) {
    size_t length = strlen(format) + 1;
    *out = (struct ArrowSchema){.name = name, .flags = ARROW_FLAG_NULLABLE, .release = release_schema};
    out->private_data = rt_calloc(length, 1);
    out->children = n > 0 ? rt_calloc(n, sizeof *out->children) : NULL;
    if (out->private_data != NULL) out->format = memcpy(out->private_data, format, length);
    return out->private_data != NULL && (n == 0 || out->children != NULL);
}

static bool add_schema(struct ArrowSchema *parent, const char *format, const char *name, size_t n) {
    struct ArrowSchema *child = rt_calloc(1, sizeof *child);
    bool made = child != NULL && make_schema(child, format, name, n);
    if (child != NULL) parent->children[parent->n_children++] = child;
    return made;
}

static bool add_label_schema(struct ArrowSchema *parent) {
    if (!add_schema(parent, "i", "label", 0)) return false;
    struct ArrowSchema *label = parent->children[0];
    label->dictionary = rt_calloc(1, sizeof *label->dictionary);
    return label->dictionary != NULL && make_schema(label->dictionary, "u", "", 0);
}

retort_status rt_arrow_schema(const retort_session *session, struct ArrowSchema *out, retort_error *err) {
    const rt_config *config = &rt_session_model(session)->config;
    bool labels = config->task == RETORT_TASK_CLASSIFY;
    char list[32];
    if (!labels && config->task != RETORT_TASK_EMBED)
        return rt_fail(err, RETORT_UNSUPPORTED, "arrow: the model neither classifies nor embeds");
    snprintf(list, sizeof list, "+w:%lld", (long long)config->labels);
    bool made = make_schema(out, "+s", "", 2);
    out->flags = 0;
    if (made && labels) {
        made = add_label_schema(out) && add_schema(out, "f", "score", 0);
    } else if (made) {
        made = add_schema(out, list, "embedding", 1) && add_schema(out->children[0], "f", "item", 0);
        if (made) out->children[0]->children[0]->flags = 0;
    }
    if (made) return RETORT_OK;
    release_schema(out);
    return rt_fail_nomem(err, sizeof *out);
}

/* ---- Arrays ---- */

static void release_array(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release != NULL) array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    if (array->dictionary != NULL) {
        if (array->dictionary->release != NULL) array->dictionary->release(array->dictionary);
        free(array->dictionary);
    }
    for (int64_t i = 0; i < array->n_buffers; i++) free((void *)(uintptr_t)array->buffers[i]);
    free((void *)array->children);
    free((void *)array->buffers);
    array->release = NULL;
}

/* An array of `length` rows with n_buffers zeroed buffers of these sizes in bytes (0: none), and room for n children. */
static bool make_array(struct ArrowArray *out, int64_t length, const size_t sizes[], int64_t n_buffers,
                       size_t n) {
    *out = (struct ArrowArray){.length = length, .release = release_array};
    out->buffers = rt_calloc(BUFFERS, sizeof *out->buffers);
    out->children = n > 0 ? rt_calloc(n, sizeof *out->children) : NULL;
    bool made = out->buffers != NULL && (n == 0 || out->children != NULL);
    for (; made && out->n_buffers < n_buffers; out->n_buffers++) {
        size_t size = sizes[out->n_buffers];
        if (size > 0) out->buffers[out->n_buffers] = rt_alloc_aligned(size);
        made = size == 0 || out->buffers[out->n_buffers] != NULL;
        if (made && size > 0) memset((void *)(uintptr_t)out->buffers[out->n_buffers], 0, size);
    }
    return made;
}

static struct ArrowArray *add_array(struct ArrowArray *parent, int64_t length, const size_t sizes[],
                                    int64_t n_buffers, size_t n) {
    struct ArrowArray *child = rt_calloc(1, sizeof *child);
    bool made = child != NULL && make_array(child, length, sizes, n_buffers, n);
    if (child != NULL) parent->children[parent->n_children++] = child;
    return made ? child : NULL;
}

static void *buffer_of(const struct ArrowArray *array, int64_t index) {
    return (void *)(uintptr_t)array->buffers[index];
}

static size_t bitmap_bytes(int64_t length) {
    return (size_t)length / 8 + 1;
}

static const char *label_of(const rt_config *config, size_t index, char scratch[32]) {
    if (config->label_names != NULL) return config->label_names[index];
    snprintf(scratch, 32, "LABEL_%zu", index);
    return scratch;
}

static bool add_dictionary(struct ArrowArray *array, const rt_config *config) {
    char scratch[32];
    size_t labels = (size_t)config->labels, bytes = 1, at = 0;
    for (size_t i = 0; i < labels; i++) bytes += strlen(label_of(config, i, scratch));
    array->dictionary = rt_calloc(1, sizeof *array->dictionary);
    size_t sizes[] = {0, (labels + 1) * sizeof(int32_t), bytes};
    if (array->dictionary == NULL || bytes > INT32_MAX ||
        !make_array(array->dictionary, (int64_t)labels, sizes, 3, 0))
        return false;
    int32_t *offsets = buffer_of(array->dictionary, 1);
    for (size_t i = 0; i < labels; i++) {
        const char *name = label_of(config, i, scratch);
        size_t length = strlen(name);
        memcpy((char *)buffer_of(array->dictionary, 2) + at, name, length);
        at += length;
        offsets[i + 1] = (int32_t)at;
    }
    return true;
}

/* ---- Answers ---- */

retort_status rt_arrow_run(retort_session *session, const retort_text *texts, size_t n, rt_arrow_pace *pace,
                           float *scores, retort_error *err) {
    const rt_config *config = &rt_session_model(session)->config;
    bool paced = rt_session_may_cancel(session);
    retort_status status = RETORT_OK;
    for (size_t first = 0; status == RETORT_OK && first < n;) {
        size_t count = 0, bytes = 0;
        int64_t begun = paced ? rt_now_ns() : 0;
        if (pace->bytes == 0) pace->bytes = FIRST_BYTES;
        if (paced && (status = rt_session_cancel(session, err)) != RETORT_OK) break;
        while (first + count < n && (!paced || bytes < pace->bytes)) bytes += texts[first + count++].length;
        float *rows = scores + first * (size_t)config->labels;
        status = config->task == RETORT_TASK_CLASSIFY
                     ? rt_classify(session, texts + first, count, rows, NULL, err)
                     : rt_embed(session, texts + first, count, rows, err);
        first += count;
        if (!paced || first == n) continue;
        int64_t took = rt_now_ns() - begun;
        if (took < PACE_NS / 2) pace->bytes *= 2;
        if (took > PACE_NS && pace->bytes > 1) pace->bytes /= 2; /* one text, in the end */
    }
    return status;
}

typedef struct answers {
    retort_session *session;
    size_t labels;
    bool classify;
    rt_arrow_pace pace;
    struct ArrowArray *first, *values; /* labels and scores; or lists and their items */
    float *scores;                     /* [ROWS, labels] */
    int64_t nulls;
} answers;

static void put_row(const answers *a, int64_t row, const float *scores) {
    ((uint8_t *)buffer_of(a->first, 0))[row / 8] |= (uint8_t)(1 << row % 8);
    if (!a->classify) {
        memcpy((float *)buffer_of(a->values, 1) + (size_t)row * a->labels, scores,
               a->labels * sizeof *scores);
        return;
    }
    size_t best = rt_score_best(scores, a->labels);
    ((uint8_t *)buffer_of(a->values, 0))[row / 8] |= (uint8_t)(1 << row % 8);
    ((int32_t *)buffer_of(a->first, 1))[row] = (int32_t)best;
    ((float *)buffer_of(a->values, 1))[row] = scores[best];
}

/* Answers all rows, in groups of up to ROWS texts. */
static retort_status answer(answers *a, const rt_arrow_texts *c, retort_error *err) {
    retort_text texts[ROWS];
    int64_t rows[ROWS];
    for (int64_t row = 0; row < c->length;) {
        size_t n = 0;
        for (; n < ROWS && row < c->length; row++) {
            rows[n] = row;
            if (rt_arrow_text_at(c, row, &texts[n]))
                n++;
            else
                a->nulls++;
        }
        retort_status status = rt_arrow_run(a->session, texts, n, &a->pace, a->scores, err);
        if (status != RETORT_OK) {
            char group[64];
            snprintf(group, sizeof group, "arrow: texts %lld to %lld", (long long)rows[0],
                     (long long)rows[n - 1]);
            return rt_fail_in(err, status, group);
        }
        for (size_t i = 0; i < n; i++) put_row(a, rows[i], a->scores + i * a->labels);
    }
    return RETORT_OK;
}

/* Arrays for the answers of n rows. */
static bool make_answers(answers *a, struct ArrowArray *out, int64_t n) {
    size_t none[] = {0}, bits = bitmap_bytes(n), count = (size_t)n,
           cells[] = {bits, (count + 1) * sizeof(float)};
    if (!make_array(out, n, none, 1, 2)) return false;
    if (a->classify) {
        a->first = add_array(out, n, cells, 2, 0); /* int32_t and float have one size */
        if (a->first == NULL || !add_dictionary(a->first, &rt_session_model(a->session)->config))
            return false;
        a->values = add_array(out, n, cells, 2, 0);
    } else {
        if (count > SIZE_MAX / sizeof(float) / (a->labels + 1) - 1) return false;
        size_t items[] = {0, (count * a->labels + 1) * sizeof(float)};
        a->first = add_array(out, n, cells, 1, 1);
        if (a->first != NULL) a->values = add_array(a->first, n * (int64_t)a->labels, items, 2, 0);
    }
    return a->values != NULL;
}

static void count_nulls(const answers *a) {
    a->first->null_count = a->nulls;
    if (a->classify) a->values->null_count = a->nulls;
}

retort_status rt_arrow_array(retort_session *session, const struct ArrowSchema *schema,
                             const struct ArrowArray *texts, const char *name, struct ArrowArray *out,
                             retort_error *err) {
    const rt_config *config = &rt_session_model(session)->config;
    answers a = {.session = session, .labels = (size_t)config->labels};
    rt_arrow_texts c;
    a.classify = config->task == RETORT_TASK_CLASSIFY;
    if (!a.classify && config->task != RETORT_TASK_EMBED)
        return rt_fail(err, RETORT_UNSUPPORTED, "arrow: the model neither classifies nor embeds");
    if (rt_session_token_vectors(session))
        return rt_fail(err, RETORT_ARGUMENT, "arrow: the session gives only token vectors");
    retort_status status = rt_arrow_texts_open(&c, schema, texts, name, err);
    if (status != RETORT_OK) return status;
    a.scores = rt_calloc(ROWS * a.labels, sizeof *a.scores);
    bool made = make_answers(&a, out, c.length) && a.scores != NULL;
    status = made ? answer(&a, &c, err) : rt_fail_nomem(err, (size_t)c.length * a.labels * sizeof(float));
    free(a.scores);
    if (status != RETORT_OK) {
        release_array(out);
        return status;
    }
    count_nulls(&a);
    return RETORT_OK;
}

retort_status rt_arrow_known(retort_session *session, const bool *nulls, size_t n, const float *scores,
                             struct ArrowArray *out, retort_error *err) {
    const rt_config *config = &rt_session_model(session)->config;
    answers a = {.session = session, .labels = (size_t)config->labels};
    a.classify = config->task == RETORT_TASK_CLASSIFY;
    if (!make_answers(&a, out, (int64_t)n)) {
        release_array(out);
        return rt_fail_nomem(err, n * a.labels * sizeof(float));
    }
    for (size_t row = 0; row < n; row++) {
        a.nulls += nulls[row];
        if (nulls[row]) continue;
        put_row(&a, (int64_t)row, scores);
        scores += a.labels;
    }
    count_nulls(&a);
    return RETORT_OK;
}
