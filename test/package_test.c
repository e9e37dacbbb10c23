/* SPDX-License-Identifier: Apache-2.0
 * The golden checkpoints (tools/make_checkpoints.py) as packages: built, rewritten, saved, loaded, spoilt. */
#include "model/model.h"
#include "arch/build.h"
#include "graph/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], saved[96], again[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/retort-package-test-XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(saved, sizeof saved, "%s/saved.retort", folder);
    snprintf(again, sizeof again, "%s/again.retort", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(saved);
    unlink(again);
    return rmdir(folder);
}

static const char *golden(const char *name) {
    static char path[4096];
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    return path;
}

static retort_model *import_golden(const char *name, int level, retort_dtype dtype) {
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    options.dtype = dtype;
    if (rt_model_import(&model, golden(name), &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

static int collect(void *user, const char *text, size_t length) {
    rt_buffer_append(user, text, length);
    return 0;
}

static rt_buffer text_of(const retort_model *model) {
    rt_buffer text = {0};
    assert_int_equal(rt_graph_print(&model->graph, collect, &text), RETORT_OK);
    return text;
}

/* ---- Nodes of each level ---- */

typedef struct golden_nodes {
    const char *name;
    size_t nodes[4]; /* two layers, by level */
} golden_nodes;

static void test_node_counts(void **state) {
    (void)state;
    static const golden_nodes rows[] = {
        /* DistilBERT makes its mask anew in each layer: level 1 merges 4 nodes of the second. */
        {"distilbert-classify", {88, 84, 18, 19}},
        {"distilbert-tag", {86, 82, 16, 16}},
        {"distilbert-answer", {86, 82, 16, 16}},
        {"distilbert-fill", {95, 91, 19, 20}},
        {"distilbert-embed", {93, 89, 16, 16}},
        {"distilbert-multilabel", {94, 90, 18, 19}}, /* gelu_new: 3 nodes more a layer */
        {"distilbert-regression", {80, 76, 18, 19}}, /* relu: 4 fewer */
        {"bert-classify", {87, 87, 18, 19}},
        {"bert-tag", {91, 91, 16, 16}},
        {"bert-answer", {85, 85, 16, 16}},
        {"bert-fill", {94, 94, 19, 20}},
        {"bert-embed", {92, 92, 16, 16}},
        {"electra-classify", {99, 99, 19, 20}}, /* projection, gelu in the head, gelu_new */
        {"electra-square", {91, 91, 18, 19}},
        {"roberta-classify", {92, 92, 18, 19}},  /* no types, positions by ids, gelu_new */
        {"roberta-fill", {85, 85, 19, 20}},      /* no types, relu */
        {"albert-groups", {359, 359, 73, 73}},   /* ten layers, four of them different */
        {"mpnet-tag", {96, 96, 16, 16}},         /* a bias by distance */
        {"package-mean", {97, 97, 17, 17}},      /* mean, unit length */
        {"package-dense", {91, 91, 18, 19}},     /* first row, Linear + tanh, unit length */
        {"package-old-dense", {92, 88, 17, 17}}, /* max, Linear */
        {"package-stack", {117, 117, 26, 26}},   /* three poolings, unit length, LayerNorm, three Linears */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int level = 0; level <= 3; level++) {
            retort_model *model = import_golden(rows[i].name, level, RETORT_F32);
            if (model->graph.node_count != rows[i].nodes[level] || model->graph.level != level) {
                fail_msg("%s: level %d: %zu nodes, expected %zu", rows[i].name, level,
                         model->graph.node_count, rows[i].nodes[level]);
            }
            retort_model_free(model);
        }
    }
}

/* At level 2 no plain operator is left, and the padded mask at level 3 neither. */
static void test_every_checkpoint_is_fused(void **state) {
    (void)state;
    static const char *const names[] = {"distilbert-classify", "distilbert-fill", "bert-embed",   "bert-tag",
                                        "package-mean",        "package-dense",   "bert-classify"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_model *model = import_golden(names[i], 3, RETORT_F32);
        const rt_graph *graph = &model->graph;
        assert_int_equal(rt_value_find(graph, "attention_mask"), -1);
        for (size_t k = 0; k < graph->node_count; k++) {
            if (rt_op_info(graph->nodes[k].op)->level < 2) fail_msg("%s: %s", names[i], graph->nodes[k].name);
        }
        retort_model_free(model);
    }
}

/* ---- Save and load ---- */

static rt_map map_file(const char *path) {
    rt_map map;
    retort_error err = {0};
    if (rt_map_open(&map, path, &err) != RETORT_OK) fail_msg("%s", err.text);
    return map;
}

static void assert_same_file(const char *a, const char *b) {
    rt_map first = map_file(a), second = map_file(b);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    rt_map_close(&first);
    rt_map_close(&second);
}

static void assert_same_constants(const rt_graph *a, const rt_graph *b) {
    assert_int_equal(a->value_count, b->value_count);
    for (size_t i = 0; i < a->value_count; i++) {
        const rt_value *value = &a->values[i];
        size_t bytes;
        if (!rt_value_is_constant(value)) continue;
        int other = rt_value_find(b, value->name);
        assert_true(other >= 0 && rt_value_bytes(value, &bytes));
        assert_int_equal((uintptr_t)b->values[other].data % 64, 0);
        assert_memory_equal(value->data, b->values[other].data, bytes);
    }
}

static void assert_same_config(const rt_config *a, const rt_config *b) {
    rt_config plain = *a, other = *b;
    plain.label_names = other.label_names = NULL;
    assert_ptr_equal(plain.arch, other.arch);
    assert_int_equal(plain.task, other.task);
    assert_int_equal(plain.problem, other.problem);
    assert_int_equal(plain.pooling, other.pooling);
    assert_int_equal(plain.activation, other.activation);
    assert_int_equal(plain.layers, other.layers);
    assert_int_equal(plain.vocab, other.vocab);
    assert_int_equal(plain.max_length, other.max_length);
    assert_int_equal(plain.normalize, other.normalize);
    assert_true(plain.epsilon == other.epsilon);
    assert_int_equal(a->label_names == NULL, b->label_names == NULL);
    for (int64_t i = 0; a->label_names != NULL && i < a->labels; i++) {
        assert_string_equal(a->label_names[i], b->label_names[i]);
    }
}

static void check_round_trip(const char *name, int level, retort_dtype dtype) {
    retort_error err = {0};
    retort_model *model = import_golden(name, level, dtype), *loaded = NULL;
    if (rt_model_save(model, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (rt_model_load(&loaded, saved, 0, &err) != RETORT_OK) fail_msg("%s", err.text);
    rt_buffer before = text_of(model), after = text_of(loaded);
    assert_string_equal(before.data, after.data);
    assert_same_constants(&model->graph, &loaded->graph);
    assert_same_config(&model->config, &loaded->config);
    assert_string_equal(model->source, loaded->source);
    assert_string_equal(loaded->provenance.text, dtype == RETORT_BF16 ? "bf16" : "fp32");
    rt_map map = map_file(saved);
    assert_int_equal(loaded->file_bytes, map.size);
    rt_map_close(&map);
    if (rt_model_save(loaded, again, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_file(saved, again);
    if (rt_model_save(model, again, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_file(saved, again);
    rt_buffer_free(&before);
    rt_buffer_free(&after);
    retort_model_free(loaded);
    retort_model_free(model);
}

static void test_round_trip(void **state) {
    (void)state;
    static const char *const names[] = {"distilbert-classify", "bert-fill",         "bert-tag",
                                        "package-dense",       "distilbert-answer", "bert-wide",
                                        "electra-classify",    "roberta-answer",    "roberta-bytes-embed",
                                        "albert-groups",       "mpnet-classify",    "deberta-classify"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int level = 0; level <= 3; level++) check_round_trip(names[i], level, RETORT_F32);
        check_round_trip(names[i], 3, RETORT_BF16);
    }
}

static void test_tokenizer_is_kept(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = import_golden("distilbert-classify", 3, RETORT_F32), *loaded = NULL;
    assert_int_equal(rt_model_save(model, saved, &err), RETORT_OK);
    assert_int_equal(rt_model_load(&loaded, saved, 0, &err), RETORT_OK);
    rt_tokenizer_info info = rt_tokenizer_describe(model->tokenizer);
    for (int32_t i = 0; i < info.pieces; i++) {
        const char *piece = rt_tokenizer_piece(model->tokenizer, i);
        assert_string_equal(piece, rt_tokenizer_piece(loaded->tokenizer, i));
    }
    retort_model_free(model);
    retort_model_free(loaded);
}

static retort_dtype stored_dtype(const char *path, const char *name) {
    rt_tensors tensors;
    assert_int_equal(rt_tensors_open(&tensors, path, NULL), RETORT_OK);
    const rt_tensor *tensor = rt_tensors_find(&tensors, name);
    assert_non_null(tensor);
    retort_dtype dtype = tensor->dtype;
    rt_tensors_close(&tensors);
    return dtype;
}

/* A vector is halved where no float of it loses a bit, -0 and subnormal ones among them. */
static void test_short_vectors(void **state) {
    static const char gamma[] = "embeddings.norm.gamma", beta[] = "embeddings.norm.beta";
    static const float exact[] = {1, -0.0F, 0x1.FEp-3F, -0x1p-130F, 3e38F};
    (void)state;
    retort_model *model = import_golden("distilbert-classify", 3, RETORT_F32), *loaded = NULL;
    rt_value *short_one = &model->graph.values[rt_value_find(&model->graph, gamma)];
    rt_value *long_one = &model->graph.values[rt_value_find(&model->graph, beta)];
    size_t n = (size_t)short_one->dims[0];
    float *values = rt_graph_alloc(&model->graph, n * sizeof *values);
    float *others = rt_graph_alloc(&model->graph, n * sizeof *others);
    for (size_t i = 0; i < n; i++) {
        values[i] = rt_bf16_to_f32(rt_f32_to_bf16(exact[i % (sizeof exact / sizeof *exact)]));
        others[i] = i + 1 < n ? 1.0F : 0x1.00001p0F;
    }
    short_one->data = values;
    long_one->data = others;
    assert_int_equal(rt_model_save(model, saved, NULL), RETORT_OK);
    assert_int_equal(stored_dtype(saved, gamma), RETORT_BF16);
    assert_int_equal(stored_dtype(saved, beta), RETORT_F32);
    assert_int_equal(rt_model_load(&loaded, saved, 0, NULL), RETORT_OK);
    assert_same_constants(&model->graph, &loaded->graph);
    retort_model_free(loaded);
    retort_model_free(model);
}

/* ---- Import's options ---- */

static void check_error(retort_status status, retort_status wanted, const retort_error *err,
                        const char *fragment) {
    if (status != wanted || err->status != wanted || strstr(err->text, fragment) == NULL ||
        strchr(err->text, '\n') != NULL) {
        fail_msg("expected %d '%s', found %d '%s'", wanted, fragment, status, err->text);
    }
}

static int cancel_at_build(void *user, const char *what, size_t done, size_t total) {
    ++*(int *)user;
    assert_true(done < total);
    return strcmp(what, "build") == 0;
}

static void test_import_options(void **state) {
    (void)state;
    retort_model *model = NULL;
    retort_error err = {0};
    int calls = 0;
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.progress = cancel_at_build;
    options.user = &calls;
    retort_status status = rt_model_import(&model, golden("bert-tag"), &options, &err);
    check_error(status, RETORT_CANCELLED, &err, "cancelled before: build");
    assert_int_equal(calls, 2);
    options = (retort_import_options)RETORT_IMPORT_OPTIONS;
    options.dtype = RETORT_BF16;
    options.level = 2;
    status = rt_model_import(&model, golden("bert-tag"), &options, &err);
    check_error(status, RETORT_ARGUMENT, &err, "bf16 at level 2");
    options = (retort_import_options)RETORT_IMPORT_OPTIONS;
    options.tokenizer = "/no/such/tokenizer.json";
    status = rt_model_import(&model, golden("bert-tag"), &options, &err);
    check_error(status, RETORT_IO, &err, "/no/such/tokenizer.json");
    char vocabulary[4200];
    snprintf(vocabulary, sizeof vocabulary, "%s/vocab.txt", golden("bert-tag"));
    options.tokenizer = vocabulary;
    assert_int_equal(rt_model_import(&model, golden("bert-tag"), &options, &err), RETORT_OK);
    retort_model_free(model);
    assert_int_equal(rt_model_import(&model, "/no/such/folder", NULL, &err), RETORT_IO);
}

/* ---- Optimize ---- */

static void count_levels(void *user, const retort_rewrite_info *info) {
    *(int *)user += info->rewrite == NULL;
}

static void test_optimize_shares_constants(void **state) {
    (void)state;
    retort_error err = {0};
    int levels = 0;
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    retort_model *base = import_golden("bert-classify", 0, RETORT_F32), *next = NULL, *last = NULL;
    retort_model *direct = import_golden("bert-classify", 3, RETORT_F32);
    const void *table = base->graph.values[rt_value_find(&base->graph, "embeddings.word")].data;
    options.level = 1;
    assert_int_equal(rt_model_optimize(&next, base, &options, &err), RETORT_OK);
    options.level = 3;
    options.report = count_levels;
    options.user = &levels;
    assert_int_equal(rt_model_optimize(&last, next, &options, &err), RETORT_OK);
    assert_int_equal(levels, 2);
    assert_int_equal(base->graph.level, 0);
    assert_ptr_equal(last->graph.values[rt_value_find(&last->graph, "embeddings.word")].data, table);
    retort_model_free(base);
    retort_model_free(next);
    assert_same_constants(&direct->graph, &last->graph);
    options.level = 2;
    retort_status status = rt_model_optimize(&next, last, &options, &err);
    check_error(status, RETORT_ARGUMENT, &err, "level 2");
    assert_ptr_equal(retort_model_retain(last), last);
    retort_model_free(last);
    assert_int_equal(last->graph.level, 3);
    retort_model_free(last);
    retort_model_free(direct);
    retort_model_free(NULL);
}

/* ---- Spoilt files ---- */

typedef struct file_copy {
    uint8_t *data;
    size_t size;
} file_copy;

static file_copy copy_of(const char *path) {
    rt_map map = map_file(path);
    file_copy copy = {rt_alloc_aligned(map.size), map.size};
    assert_non_null(copy.data);
    memcpy(copy.data, map.data, map.size);
    rt_map_close(&map);
    return copy;
}

static file_copy save_golden(const char *name, int level) {
    retort_error err = {0};
    retort_model *model = import_golden(name, level, RETORT_F32);
    if (rt_model_save(model, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model_free(model);
    return copy_of(saved);
}

/* Puts `to` over the first `from`, which is as long. */
static void spoil(file_copy *copy, const char *from, const char *to) {
    uint8_t *at = memmem(copy->data, copy->size, from, strlen(from));
    assert_int_equal(strlen(from), strlen(to));
    if (at == NULL) fail_msg("no %s", from);
    memcpy(at, to, strlen(to));
}

typedef struct spoilt {
    const char *from, *to, *fragment;
} spoilt;

static void check_spoilt(const char *name, int level, const spoilt *rows, size_t count) {
    file_copy good = save_golden(name, level);
    for (size_t i = 0; i < count; i++) {
        retort_model *model = NULL;
        retort_error err = {0};
        file_copy copy = {rt_alloc_aligned(good.size), good.size};
        memcpy(copy.data, good.data, good.size);
        spoil(&copy, rows[i].from, rows[i].to);
        retort_status status = rt_model_parse(&model, "spoilt", copy.data, copy.size, &err);
        if (status == RETORT_OK || strstr(err.text, rows[i].fragment) == NULL) {
            fail_msg("%s: expected '%s', found %d '%s'", rows[i].to, rows[i].fragment, status, err.text);
        }
        free(copy.data);
    }
    free(good.data);
}

static void test_spoilt_files(void **state) {
    (void)state;
    static const spoilt rows[] = {
        {"retort.version\":\"1\"", "retort.version\":\"2\"", "retort.version 2, expected 1"},
        {"retort.config", "retort.konfig", "not a .retort file: no retort.config"},
        {"word f32 rows [100, 16]", "word f32 rows [101, 16]", "embeddings.word is smaller"},
        {"word f32 rows [100, 16]", "word f32 rows [ 99, 16]", "expected f32 [99, 16], found f32 [100, 16]"},
        {"output.bias f32 rows [3]", "output.bias f32 rows [4]", "head.output"},
        {"const head.output.bias ", "const head.output.boas ", "head.output.boas"},
        {"\"head.output.bias\":{\"dtype\":\"F32\"", "\"head.output.bias\":{\"dtype\":\"I32\"",
         "head.output.bias"},
        {"qkv:0) heads=4", "qkv:0) heads=3", "3 heads do not divide"},
        {"heads=4 scale=1 parts=2 select=first", "heads=4 scale=1 parts=2 select=mask ", "not the rows"},
        {"input input_ids i64 [tokens]", "input input_ids i64 [batch] ", "spoilt"},
        {"level=3", "level=2", "not an input of level 2"},
        {"(head.dense:0, head.output.weight", "(head.dense:0, head.dense.weight ", "spoilt"},
        {"labels\\\":3", "labels\\\":4", "3 label_names, expected 4"},
        {"vocab\\\":100", "vocab\\\":101", "a table has fewer rows"},
        {"positions\\\":48", "positions\\\":49", "a table has fewer rows"},
        {"max_length\\\":40", "max_length\\\":49", "max_length 49 is over the 48 positions"},
        {"max_length\\\":40", "max_length\\\": 1", "max_length 1 has no room for 2 special tokens"},
        {"vocab\\\":100", "vocab\\\":  9", "pieces, the model embeds 9"},
        {"classify", "classifi", "task: classifi is unknown"},
        {"task\\\":\\\"classify\\\"", "task\\\":\\\"answer\\\"  ", "the output is f32 [batch, 3]"},
        {"\\\"neutral\\\"", "          5", "label 1 is not a string"},
        {"BertNormalizer", "FirtNormalizer", "FirtNormalizer"},
        {"\\\"recipe", "\\\"recipy", "no recipe"},
    };
    check_spoilt("distilbert-classify", 3, rows, sizeof rows / sizeof *rows);
}

static void test_spoilt_padded_files(void **state) {
    (void)state;
    static const spoilt rows[] = {
        {"attention_mask i64 [batch, seq]", "attention_musk i64 [batch, seq]", "spoilt"},
        {"out:0, layer.0", "out:0, layer.9", "spoilt"},
        {"Pool(", "Pols(", "spoilt"},
        {"types\\\":2", "types\\\":0", "token_type_ids: not an input"},
        {"labels\\\":1", "labels\\\":2", "the output is"},
    };
    check_spoilt("package-mean", 2, rows, sizeof rows / sizeof *rows);
}

/* Every beginning of a file is refused. */
static void test_cut_files(void **state) {
    (void)state;
    file_copy good = save_golden("distilbert-classify", 3);
    for (size_t size = 0; size < good.size; size += size < 16 ? 1 : 397) {
        retort_model *model = NULL;
        retort_error err = {0};
        retort_status status = rt_model_parse(&model, "cut", good.data, size, &err);
        assert_int_not_equal(status, RETORT_OK);
        assert_int_equal(err.status, status);
    }
    free(good.data);
}

/* Any changed byte of the header gives an error or a model that is whole. */
static void test_changed_bytes(void **state) {
    (void)state;
    file_copy good = save_golden("bert-fill", 3);
    size_t header = 8 + (size_t)(good.data[0] | good.data[1] << 8);
    uint32_t random = 1;
    for (size_t at = 0; at < header; at += 7) {
        retort_model *model = NULL;
        retort_error err = {0};
        uint8_t kept = good.data[at];
        random = random * 1664525u + 1013904223u;
        good.data[at] ^= (uint8_t)(1u << (random >> 29));
        if (rt_model_parse(&model, "changed", good.data, good.size, &err) == RETORT_OK) {
            assert_int_equal(rt_graph_verify(&model->graph, &err), RETORT_OK);
            retort_model_free(model);
        }
        good.data[at] = kept;
    }
    free(good.data);
}

/* A file whose weights do not start on a cache line is refused: kernels load whole lines. */
static void test_misaligned(void **state) {
    (void)state;
    retort_model *model = NULL;
    retort_error err = {0};
    file_copy good = save_golden("distilbert-classify", 3);
    uint8_t *moved = rt_alloc_aligned(good.size + 64);
    assert_non_null(moved);
    memcpy(moved + 16, good.data, good.size);
    retort_status status = rt_model_parse(&model, "moved", moved + 16, good.size, &err);
    check_error(status, RETORT_FORMAT, &err, "not aligned to 64 bytes");
    free(moved);
    free(good.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_counts),
        cmocka_unit_test(test_every_checkpoint_is_fused),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_tokenizer_is_kept),
        cmocka_unit_test(test_short_vectors),
        cmocka_unit_test(test_import_options),
        cmocka_unit_test(test_optimize_shares_constants),
        cmocka_unit_test(test_spoilt_files),
        cmocka_unit_test(test_spoilt_padded_files),
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_misaligned),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
