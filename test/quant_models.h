/* SPDX-License-Identifier: Apache-2.0
 * Small models for tests of integer ones, and what every one of them must stand: the same bits everywhere,
 * through files, and no spoilt file accepted. */
#ifndef QUANT_MODELS_H
#define QUANT_MODELS_H

#include "base/cpu.h"
#include "model/model.h"
#include "eval/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], saved[96];

static inline int make_folder(void **unused) {
    (void)unused;
    strcpy(folder, "/tmp/retort-quant-test-XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(saved, sizeof saved, "%s/saved.retort", folder);
    return 0;
}
static inline int remove_folder(void **unused) {
    (void)unused;
    unlink(saved);
    return rmdir(folder);
}

static inline retort_model *import(const char *path, int level, retort_dtype dtype) {
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    options.dtype = dtype;
    if (retort_model_import(&model, path, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

static inline retort_model *golden(const char *name, int level, retort_dtype dtype) {
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%.64s", root != NULL ? root : ".", name);
    return import(path, level, dtype);
}

static inline retort_model *quantized(const retort_model *model, const char *recipe, int embeddings,
                                      int64_t group) {
    retort_model *integer = NULL;
    retort_error err = {0};
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = recipe;
    options.embeddings = embeddings;
    options.group = group;
    if (retort_model_quantize(&integer, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return integer;
}

/* int4 with 3 or 2 bits, in groups of 32. */
static inline retort_model *few_bits(const retort_model *model, int bits) {
    retort_model *integer = NULL;
    retort_error err = {0};
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = "int4";
    options.bits = bits;
    options.group = 32;
    if (retort_model_quantize(&integer, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return integer;
}

static inline retort_model *dequantized(const retort_model *integer) {
    retort_model *floats = NULL;
    retort_error err = {0};
    if (retort_model_dequantize(&floats, integer, &err) != RETORT_OK) fail_msg("%s", err.text);
    return floats;
}

/* Five sequences of 1 to 40 tokens, the last two with a mask token (4). */
enum { SEQUENCES = 5, TOKENS = 1 + 40 + 17 + 16 + 9 };
typedef struct sample {
    int32_t ids[TOKENS], types[TOKENS], offsets[SEQUENCES + 1];
    retort_batch batch;
} sample;

static inline void make_sample(sample *s) {
    static const int32_t offsets[] = {0, 1, 41, 58, 74, 83};
    memcpy(s->offsets, offsets, sizeof offsets);
    for (int32_t i = 0; i < TOKENS; i++) {
        s->ids[i] = 5 + i * 37 % 90;
        s->types[i] = 0;
    }
    s->ids[60] = s->ids[66] = s->ids[80] = 4;
    s->batch = (retort_batch){.ids = s->ids, .types = s->types, .offsets = s->offsets, .n = SEQUENCES};
}

/* The logits, in the caller's hands. */
static inline float *run(retort_model *model, const char *isa, int threads, size_t *count) {
    sample s;
    retort_session *session = NULL;
    retort_matrix out;
    retort_error err = {0};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.isa = isa;
    options.threads = threads;
    make_sample(&s);
    int32_t mask = rt_tokenizer_describe(model->tokenizer).mask;
    if (mask >= 0) s.ids[60] = s.ids[66] = s.ids[80] = mask;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_run(session, &s.batch, &out, &err) != RETORT_OK) fail_msg("%s", err.text);
    *count = out.rows * out.columns;
    float *copy = malloc(*count * sizeof *copy);
    assert_true(copy != NULL && *count > 0);
    memcpy(copy, out.data, *count * sizeof *copy);
    retort_session_close(session);
    return copy;
}

static const char calibration_lines[] =
    "a good film\nthe film\na film\na very good film\nof the film , a good one\n";

static inline retort_dataset *open_lines(const retort_model *model) {
    retort_dataset *data = NULL;
    retort_error err = {0};
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    if (rt_dataset_parse(&data, "lines", calibration_lines, sizeof calibration_lines - 1, &model->config,
                         &options, &err) != RETORT_OK) {
        fail_msg("%s", err.text);
    }
    return data;
}

static inline retort_model *learned_bits(const retort_model *model, const char *recipe, int bits,
                                         size_t samples) {
    retort_model *integer = NULL;
    retort_error err = {0};
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    retort_dataset *data = open_lines(model);
    options.recipe = recipe;
    options.bits = bits;
    options.group = 32;
    options.data = data;
    options.samples = samples;
    if (retort_model_quantize(&integer, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_dataset_free(data);
    return integer;
}

static inline retort_model *learned(const retort_model *model, const char *recipe, size_t samples) {
    return learned_bits(model, recipe, 0, samples);
}

/* The logits of the float model that the integers stand for. */
static inline float *run_floats(const retort_model *integer, size_t *count) {
    retort_model *floats = dequantized(integer);
    float *logits = run(floats, NULL, 1, count);
    retort_model_free(floats);
    return logits;
}

/* Whether all of the n values of two arrays differ by less. */
static inline bool are_near(const float *a, const float *b, size_t n, float less) {
    for (size_t i = 0; i < n; i++) {
        if (!(a[i] - b[i] < less && b[i] - a[i] < less)) return false;
    }
    return true;
}

static inline void check_bits(retort_model *model, const char *name) {
    size_t count, same, tiers;
    const rt_isa *isa = rt_isa_list(&tiers);
    float *wanted = run(model, "ref", 1, &count);
    for (size_t t = 0; t < tiers; t++) {
        if (rt_isa_select(isa[t].name, &(uint32_t){0}, NULL, NULL) != RETORT_OK) continue;
        for (int threads = 1; threads <= 3; threads++) {
            float *found = run(model, isa[t].name, threads, &same);
            assert_int_equal(count, same);
            if (memcmp(wanted, found, count * sizeof *found) != 0) {
                fail_msg("%s: other bits on %s with %d threads", name, isa[t].name, threads);
            }
            free(found);
        }
    }
    free(wanted);
}

static inline int collect(void *user, const char *text, size_t length) {
    rt_buffer_append(user, text, length);
    return 0;
}

static inline void check_round_trip(retort_model *model) {
    retort_model *loaded = NULL;
    retort_error err = {0};
    rt_buffer before = {0}, after = {0};
    size_t count, same;
    if (retort_model_save(model, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_model_load(&loaded, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(retort_model_print(model, collect, &before), RETORT_OK);
    assert_int_equal(retort_model_print(loaded, collect, &after), RETORT_OK);
    assert_string_equal(before.data, after.data);
    assert_string_equal(model->provenance.text, loaded->provenance.text);
    float *wanted = run(model, NULL, 1, &count), *found = run(loaded, NULL, 2, &same);
    assert_int_equal(count, same);
    assert_memory_equal(wanted, found, count * sizeof *found);
    free(wanted);
    free(found);
    rt_buffer_free(&before);
    rt_buffer_free(&after);
    retort_model_free(loaded);
}

/* Puts `to` over the first `from`, which is as long, in the saved file; the file must then be refused. */
static inline void check_spoilt(const char *from, const char *to, const char *words) {
    rt_map map;
    retort_model *model = NULL;
    retort_error err = {0};
    assert_int_equal(strlen(from), strlen(to));
    assert_int_equal(rt_map_open(&map, saved, &err), RETORT_OK);
    uint8_t *copy = rt_alloc_aligned(map.size);
    assert_non_null(copy);
    memcpy(copy, map.data, map.size);
    uint8_t *at = memmem(copy, map.size, from, strlen(from));
    if (at == NULL) fail_msg("no '%s'", from);
    memcpy(at, to, strlen(to));
    retort_status status = rt_model_parse(&model, "spoilt", copy, map.size, &err);
    if (status == RETORT_OK || strstr(err.text, words) == NULL) {
        fail_msg("'%s': expected '%s', found %d '%s'", to, words, status, err.text);
    }
    free(copy);
    rt_map_close(&map);
}

#endif
