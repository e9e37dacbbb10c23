/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/details.h"
#include "cli/output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXTS = 40, MOST_BYTES = 400, FEW_LABELS = 10, MOST_PAIRS = 12, BINS = 10 };

int tune_details_see(void *user, const retort_eval_text *text) {
    tune_details *d = user;
    if (d->count == d->capacity) {
        size_t capacity = 2 * d->capacity + 256;
        retort_eval_text *grown = realloc(d->texts, capacity * sizeof *grown);
        if (grown == NULL) return (int)cli_no_memory();
        d->texts = grown;
        d->capacity = capacity;
    }
    d->texts[d->count++] = *text;
    return 0;
}

void tune_details_free(tune_details *details) {
    free(details->texts);
    *details = (tune_details){0};
}

static json_t *label_json(const retort_model *model, int64_t label) {
    const char *name = label >= 0 ? retort_model_label(model, label) : NULL;
    return name != NULL ? cli_json_text(name, strlen(name)) : json_null();
}

/* ---- Texts that changed ---- */

/* How much a text has changed; < 0: not at all. */
static double change_of(const retort_eval_text *text) {
    if (text->label >= 0) return text->label != text->reference ? text->probability : -1;
    return text->changed > 0 ? text->kl : -1;
}

static int by_change(const void *left, const void *right) {
    const retort_eval_text *a = left, *b = right;
    double x = change_of(a), y = change_of(b);
    if (x != y) return x > y ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Up to MOST_BYTES, and whole characters. */
static json_t *words_json(const retort_dataset *data, size_t index) {
    retort_text text;
    retort_dataset_text(data, index, &text);
    size_t n = text.length;
    if (n > MOST_BYTES) n = MOST_BYTES;
    while (n > 0 && n < text.length && ((unsigned char)text.text[n] & 0xc0) == 0x80) n--;
    return cli_json_text(text.text, n);
}

static json_t *text_json(const retort_eval_text *text, const retort_model *model,
                         const retort_dataset *data) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "text", words_json(data, text->index),
                     "gold", label_json(model, text->gold), "before", label_json(model, text->reference),
                     "after", label_json(model, text->label), "before_probability",
                     cli_json_real(text->reference_probability), "after_probability",
                     cli_json_real(text->probability), "kl", cli_json_real(text->kl), "rows",
                     (json_int_t)text->rows, "changed_rows", (json_int_t)text->changed);
}

/* Sorts the texts. */
static void set_changed(json_t *json, const tune_details *d, const retort_model *model,
                        const retort_dataset *data) {
    size_t count = 0;
    json_t *list = json_array();
    qsort(d->texts, d->count, sizeof *d->texts, by_change);
    while (count < d->count && change_of(&d->texts[count]) >= 0) count++;
    for (size_t i = 0; i < count && i < MOST_TEXTS; i++)
        json_array_append_new(list, text_json(&d->texts[i], model, data));
    json_object_set_new(json, "changed", json_integer((json_int_t)count));
    json_object_set_new(json, "changed_texts", list);
}

/* ---- Right and wrong ---- */

/* Two-sided mid-p of McNemar's test: the chance that as uneven a split of n is a coin's, the split itself counted half. */
static double mid_p(size_t a, size_t b) {
    size_t least = a < b ? a : b;
    double n = (double)(a + b), sum = 0;
    if (a + b == 0) return 1;
    for (size_t i = 0; i <= least; i++) {
        double k = (double)i, chance = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2));
        sum += i < least ? chance : chance / 2;
    }
    return fmin(2 * sum, 1);
}

static void set_discordant(json_t *json, const tune_details *d) {
    size_t before = 0, after = 0;
    for (size_t i = 0; i < d->count; i++) {
        const retort_eval_text *text = &d->texts[i];
        before += text->reference == text->gold && text->label != text->gold;
        after += text->label == text->gold && text->reference != text->gold;
    }
    json_object_set_new(json, "only_before", json_integer((json_int_t)before));
    json_object_set_new(json, "only_after", json_integer((json_int_t)after));
    json_object_set_new(json, "mcnemar", json_real(mid_p(before, after)));
}

/* ---- Confusion ---- */

static json_t *matrix_of(const tune_details *d, size_t labels, bool after) {
    json_int_t counts[FEW_LABELS][FEW_LABELS] = {{0}};
    json_t *matrix = json_array();
    for (size_t i = 0; i < d->count; i++) {
        const retort_eval_text *text = &d->texts[i];
        counts[text->gold][after ? text->label : text->reference]++;
    }
    for (size_t i = 0; i < labels; i++) {
        json_t *row = json_array();
        for (size_t j = 0; j < labels; j++) json_array_append_new(row, json_integer(counts[i][j]));
        json_array_append_new(matrix, row);
    }
    return matrix;
}

static void set_matrices(json_t *json, const tune_details *d, const retort_model *model, size_t labels) {
    json_t *names = json_array();
    for (size_t i = 0; i < labels; i++) json_array_append_new(names, label_json(model, (int64_t)i));
    json_object_set_new(json, "labels", names);
    json_object_set_new(
        json, "confusion",
        json_pack("{s:o, s:o}", "before", matrix_of(d, labels, false), "after", matrix_of(d, labels, true)));
}

typedef struct mistake {
    int64_t gold, given;
    size_t before, after;
} mistake;

static int by_labels(const void *left, const void *right) {
    const mistake *a = left, *b = right;
    if (a->gold != b->gold) return a->gold < b->gold ? -1 : 1;
    return a->given < b->given ? -1 : a->given > b->given;
}

static int by_count(const void *left, const void *right) {
    const mistake *a = left, *b = right;
    size_t x = a->before + a->after, y = b->before + b->after;
    return x != y ? (x > y ? -1 : 1) : by_labels(left, right);
}

/* Every mistake of both models, then those of the same labels together; their number. */
static size_t collect(mistake *all, const tune_details *d) {
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        const retort_eval_text *text = &d->texts[i];
        if (text->reference != text->gold) all[n++] = (mistake){text->gold, text->reference, 1, 0};
        if (text->label != text->gold) all[n++] = (mistake){text->gold, text->label, 0, 1};
    }
    qsort(all, n, sizeof *all, by_labels);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && by_labels(&all[kept - 1], &all[i]) == 0) {
            all[kept - 1].before += all[i].before;
            all[kept - 1].after += all[i].after;
        } else {
            all[kept++] = all[i];
        }
    }
    return kept;
}

static void set_pairs(json_t *json, const tune_details *d, const retort_model *model) {
    mistake *all = calloc(2 * d->count + 1, sizeof *all);
    json_t *list = json_array();
    size_t n = all != NULL ? collect(all, d) : 0;
    if (n > 0) qsort(all, n, sizeof *all, by_count);
    for (size_t i = 0; i < n && i < MOST_PAIRS; i++) {
        json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:I}", "gold", label_json(model, all[i].gold),
                                              "given", label_json(model, all[i].given), "before",
                                              (json_int_t)all[i].before, "after", (json_int_t)all[i].after));
    }
    free(all);
    json_object_set_new(json, "confused", list);
}

/* ---- Reliability ---- */

typedef struct bin {
    size_t count, right;
    double probability; /* sum */
} bin;

static void fill_bins(bin bins[BINS], const tune_details *d, bool after) {
    for (size_t i = 0; i < d->count; i++) {
        const retort_eval_text *text = &d->texts[i];
        double probability = after ? text->probability : text->reference_probability;
        int at = (int)(probability * BINS);
        bin *it = &bins[at < BINS ? at : BINS - 1];
        it->count++;
        it->right += (after ? text->label : text->reference) == text->gold;
        it->probability += probability;
    }
}

/* The mean distance between how sure answers are and how often they are right (Guo et al., 1706.04599). */
static double calibration_error(const bin bins[BINS], size_t n) {
    double sum = 0;
    for (int i = 0; i < BINS; i++) sum += fabs((double)bins[i].right - bins[i].probability);
    return sum / (double)n;
}

static json_t *bins_json(const bin bins[BINS]) {
    json_t *list = json_array();
    for (int i = 0; i < BINS; i++) {
        double n = (double)bins[i].count;
        json_array_append_new(list, json_pack("{s:I, s:o, s:o}", "n", (json_int_t)bins[i].count,
                                              "probability", cli_json_real(bins[i].probability / n), "right",
                                              cli_json_real((double)bins[i].right / n)));
    }
    return list;
}

static void set_reliability(json_t *json, const tune_details *d) {
    bin before[BINS] = {{0}}, after[BINS] = {{0}};
    fill_bins(before, d, false);
    fill_bins(after, d, true);
    json_object_set_new(json, "bins",
                        json_pack("{s:o, s:o}", "before", bins_json(before), "after", bins_json(after)));
    json_object_set_new(json, "ece",
                        json_pack("{s:f, s:f}", "before", calibration_error(before, d->count), "after",
                                  calibration_error(after, d->count)));
}

json_t *tune_details_json(const tune_details *d, const retort_model *model, const retort_dataset *data) {
    json_t *json = json_object();
    if (d->count == 0) return json;
    bool one = d->texts[0].label >= 0, labelled = one && d->texts[0].gold >= 0;
    if (one || isfinite(d->texts[0].kl)) set_changed(json, d, model, data);
    if (!labelled) return json;
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    set_discordant(json, d);
    set_reliability(json, d);
    if (info.labels <= FEW_LABELS) {
        set_matrices(json, d, model, (size_t)info.labels);
    } else {
        set_pairs(json, d, model);
    }
    return json;
}
