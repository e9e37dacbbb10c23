/* SPDX-License-Identifier: Apache-2.0
 * ONNX files: our own and plain ones read again, and what is refused. What other engines make of them:
 * test/cli/exchange.py. */
#include "format/path.h"
#include "golden_names.h"
#include "onnx_files.h"

#include <math.h>
#include <sys/stat.h>

static void test_own_files_come_back(void **state) {
    (void)state;
    for (size_t i = 0; i < name_count; i++) {
        for (int level = 0; level <= 3; level++) {
            retort_error err = {0};
            retort_model *model = golden(names[i], level, RETORT_F32), *again = NULL;
            if (retort_model_export(model, graph_path, NULL, NULL, &err) != RETORT_OK)
                fail_msg("%s", err.text);
            if (try_import(&again, level, &err) != RETORT_OK) fail_msg("%s: %s", names[i], err.text);
            assert_same_model(model, again);
            assert_string_equal(model->source, again->source);
            retort_model_free(again);
            retort_model_free(model);
        }
    }
}

static void test_bf16_comes_back(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = golden("distilbert-wide", 3, RETORT_BF16), *again = NULL;
    assert_int_equal(retort_model_export(model, graph_path, NULL, NULL, &err), RETORT_OK);
    if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_model(model, again);
    assert_string_equal(again->provenance.text, "bf16");
    retort_model_free(again);
    retort_model_free(model);
}

/* In each form that integers have, and with ONNX Runtime's operators. */
static void assert_comes_back(const retort_model *model) {
    for (int form = 0; form < 3; form++) {
        retort_error err = {0};
        retort_model *again = NULL;
        retort_export_options options = RETORT_EXPORT_OPTIONS;
        options.fused = form == 1;
        options.standard = form == 2;
        if (retort_model_export(model, graph_path, &options, NULL, &err) != RETORT_OK)
            fail_msg("%s", err.text);
        if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("form %d: %s", form, err.text);
        assert_same_model(model, again);
        assert_string_equal(model->provenance.text, again->provenance.text);
        retort_model_free(again);
    }
}

static void test_integers_come_back(void **state) {
    (void)state;
    for (size_t i = 0; i < name_count; i++) {
        if (!has_matrices(names[i])) continue;
        retort_model *model = golden(names[i], 3, RETORT_F32);
        retort_model *eight = quantized(model, "int8", 0, 0), *four = quantized(model, "int4", 0, 32);
        assert_comes_back(model);
        assert_comes_back(eight);
        assert_comes_back(four);
        retort_model_free(four);
        retort_model_free(eight);
        retort_model_free(model);
    }
}

static void test_fewer_and_mixed_bits_come_back(void **state) {
    (void)state;
    static const char *const models[] = {"bert-wide",      "distilbert-wide",  "bert-tag",
                                         "package-dense",  "electra-classify", "roberta-answer",
                                         "modernbert-tag", "deberta-classify", "mpnet-fill"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        retort_model *model = golden(models[i], 3, RETORT_F32);
        retort_model *mixed = quantized(model, "int4", 8, 32), *three = few_bits(model, 3);
        retort_model *two = few_bits(model, 2);
        assert_comes_back(mixed);
        assert_comes_back(three);
        assert_comes_back(two);
        retort_model_free(two);
        retort_model_free(three);
        retort_model_free(mixed);
        retort_model_free(model);
    }
}

static void test_groups_that_matmulnbits_has_not(void **state) {
    (void)state;
    retort_error err = {0};
    retort_export_options standard = RETORT_EXPORT_OPTIONS;
    standard.standard = true;
    retort_model *model = golden("bert-wide", 3, RETORT_F32), *four = quantized(model, "int4", 0, 96);
    assert_int_equal(retort_model_export(four, graph_path, NULL, NULL, &err), RETORT_UNSUPPORTED);
    assert_non_null(strstr(err.text, "groups of 96"));
    assert_int_equal(retort_model_export(four, graph_path, &standard, NULL, &err), RETORT_OK);
    retort_model_free(four);
    retort_model_free(model);
}

/* Whether the export and the files beside the checkpoint are a model. They are not where the task is to embed: our exports have
 * the vectors, and those of others the tokens' states; nor where the configuration, or what names
 * the labels (SetFit's), is elsewhere. */
static bool is_whole(const char *name, const retort_model *model) {
    char path[4096], file[4200];
    checkpoint_path(path, sizeof path, name);
    snprintf(file, sizeof file, "%s/config.json", path);
    return model->config.task != RETORT_TASK_EMBED && rt_is_file(file) && strncmp(name, "adapter-", 8) != 0 &&
           strncmp(name, "setfit-", 7) != 0;
}

static void test_plain_files_are_the_checkpoint(void **state) {
    (void)state;
    for (size_t i = 0; i < name_count; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32), *plain = golden(names[i], 0, RETORT_F32),
                     *again = NULL;
        retort_error err = {0};
        if (is_whole(names[i], model)) {
            write_plain(plain, NULL);
            link_checkpoint(names[i]);
            if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s: %s", names[i], err.text);
            assert_same_graph(model, again);
        }
        retort_model_free(again);
        retort_model_free(plain);
        retort_model_free(model);
    }
}

static void assert_near(const char *name, int level, const float *logits, size_t count, retort_model *other) {
    size_t found;
    float *again = run(other, NULL, 1, &found);
    assert_int_equal(count, found);
    for (size_t i = 0; i < count; i++) {
        if (!(fabsf(logits[i] - again[i]) <= 1e-5F))
            fail_msg("%s level %d: %g instead of %g", name, level, (double)again[i], (double)logits[i]);
    }
    free(again);
}

/* Without our metadata they are read as anybody's: the operators that we write, at whatever level that reaches. */
static void test_files_of_every_level_run_as_anybodys(void **state) {
    (void)state;
    for (size_t i = 0; i < name_count; i++) {
        size_t count;
        retort_model *plain = golden(names[i], 0, RETORT_F32);
        float *logits = run(plain, NULL, 1, &count);
        for (int form = 1; form <= 5 && is_whole(names[i], plain);
             form++) { /* levels 1 to 3, then 2 and 3 fused */
            int level = form <= 3 ? form : form - 2;
            retort_model *model = golden(names[i], level, RETORT_F32), *again = NULL;
            retort_error err = {0};
            write_changed(model, form > 3, NULL);
            link_checkpoint(names[i]);
            if (try_import(&again, 3, &err) != RETORT_OK)
                fail_msg("%s level %d: %s", names[i], level, err.text);
            assert_near(names[i], level, logits, count, again);
            retort_model_free(again);
            retort_model_free(model);
        }
        free(logits);
        retort_model_free(plain);
    }
}

/* ---- What torch exports ---- */

/* The file CHECKPOINT.EXPORTER.onnx as model.onnx beside the checkpoint's configuration; its golden's name. */
static void link_export(const char *file, char name[64]) {
    char from[4200], absolute[4096];
    const char *root = getenv("RETORT_ROOT");
    assert_non_null(realpath(root != NULL ? root : ".", absolute));
    snprintf(name, 64, "%.*s", (int)strcspn(file, "."), file);
    link_checkpoint(name);
    snprintf(from, sizeof from, "%s/test/exports/golden/%.80s", absolute, file);
    unlink(graph_path);
    assert_int_equal(symlink(from, graph_path), 0);
}

static void assert_same_operators(const char *file, const retort_model *a, const retort_model *b) {
    if (a->graph.level != b->graph.level || a->graph.node_count != b->graph.node_count) {
        const char *warning = retort_model_warning(b, 0);
        fail_msg("%s: %zu nodes at level %d: %s", file, b->graph.node_count, b->graph.level,
                 warning != NULL ? warning : "");
    }
    for (size_t i = 0; i < a->graph.node_count; i++) {
        const rt_node *n = &a->graph.nodes[i], *m = &b->graph.nodes[i];
        if (n->op != m->op || !rt_attrs_equal(&n->attrs, &m->attrs) || n->input_count != m->input_count)
            fail_msg("%s: '%s' is '%s' of the checkpoint, but differs", file, m->name, n->name);
    }
}

/* They run at level 0, and end as the operators that the checkpoint ends as. */
static void test_exports_are_the_checkpoint(void **state) {
    (void)state;
    char path[4096];
    size_t files = 0;
    snprintf(path, sizeof path, "%s/test/exports/golden",
             getenv("RETORT_ROOT") != NULL ? getenv("RETORT_ROOT") : ".");
    DIR *exports = opendir(path);
    assert_non_null(exports);
    for (struct dirent *entry; (entry = readdir(exports)) != NULL;) {
        char name[64];
        size_t count;
        retort_error err = {0};
        if (entry->d_name[0] == '.') continue;
        link_export(entry->d_name, name);
        retort_model *model = golden(name, 3, RETORT_F32), *plain = NULL, *again = NULL;
        float *logits = run(model, NULL, 1, &count);
        if (try_import(&plain, 0, &err) != RETORT_OK) fail_msg("%s: %s", entry->d_name, err.text);
        if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s: %s", entry->d_name, err.text);
        assert_near(entry->d_name, 0, logits, count, plain);
        assert_same_operators(entry->d_name, model, again);
        assert_near(entry->d_name, 3, logits, count, again);
        free(logits);
        retort_model_free(again);
        retort_model_free(plain);
        retort_model_free(model);
        files++;
    }
    closedir(exports);
    unlink(graph_path);
    assert_true(files >= 10);
}

/* ---- Graphs of other exporters' versions ---- */

/* The nodes go before the first that reads `value`, which reads `made` instead. */
static void insert_before_readers(rt_onnx *onnx, const char *value, const char *made, size_t count,
                                  const rt_onnx_node *nodes) {
    size_t at = 0, k = 0;
    for (bool reads = false; at < onnx->node_count && !reads; at += !reads) {
        for (k = 0; k < onnx->nodes[at].input_count && !reads; k += !reads)
            reads = strcmp(onnx->nodes[at].inputs[k], value) == 0;
    }
    assert_true(at < onnx->node_count);
    onnx->nodes[at].inputs[k] = made;
    for (size_t i = 0; i < count; i++) assert_non_null(rt_onnx_add_node(onnx));
    memmove(&onnx->nodes[at + count], &onnx->nodes[at], (onnx->node_count - count - at) * sizeof *nodes);
    memcpy(&onnx->nodes[at], nodes, count * sizeof *nodes);
}

static void add_constant(rt_onnx *onnx, const char *name, int rank, const int64_t *dims,
                         const int64_t *numbers) {
    rt_onnx_tensor *t = rt_onnx_add_tensor(onnx);
    assert_non_null(t);
    *t = (rt_onnx_tensor){.name = name, .type = RT_ONNX_INT64, .rank = rank, .data = numbers};
    size_t count = 1;
    for (int i = 0; i < rank; i++) count *= (size_t)(t->dims[i] = dims[i]);
    t->bytes = count * sizeof *numbers;
}

/* Token types picked from a buffer by the ids: nothing but zeros, or a one for the last id. */
static void without_types(rt_onnx *onnx, int64_t last) {
    static int64_t zeros[100];
    static const char *picked[] = {"zeros", "input_ids"}, *types[] = {"no_types"};
    zeros[99] = last;
    add_constant(onnx, "zeros", 1, (int64_t[]){100}, zeros);
    rt_onnx_node node = {.op = "Gather",
                         .domain = "",
                         .name = "types",
                         .inputs = picked,
                         .outputs = types,
                         .input_count = 2,
                         .output_count = 1};
    insert_before_readers(onnx, "token_type_ids", "no_types", 1, &node);
    for (size_t i = 0; i < onnx->input_count; i++) {
        if (strcmp(onnx->inputs[i].name, "token_type_ids") == 0)
            onnx->inputs[i] = onnx->inputs[--onnx->input_count];
    }
}
static void types_of_zeros(rt_onnx *onnx) {
    without_types(onnx, 0);
}
static void types_of_others(rt_onnx *onnx) {
    without_types(onnx, 1);
}

/* Opset 11 has no GreaterOrEqual. */
static void less(rt_onnx *onnx, const char *than) {
    static const int64_t one = 1;
    static const char *compared[2], *below[] = {"below"}, *kept[] = {"kept"}, *number[] = {"number"};
    static rt_onnx_attr to = {.name = "to", .kind = RT_ONNX_ATTR_INT, .i = RT_ONNX_INT64};
    compared[0] = "attention_mask";
    compared[1] = than;
    add_constant(onnx, "one", 0, NULL, &one);
    const rt_onnx_node nodes[] = {
        {.op = "Less", .inputs = compared, .outputs = below, .input_count = 2},
        {.op = "Not", .inputs = below, .outputs = kept, .input_count = 1},
        {.op = "Cast", .inputs = kept, .outputs = number, .input_count = 1, .attrs = &to, .attr_count = 1}};
    rt_onnx_node whole[3];
    for (int i = 0; i < 3; i++) {
        whole[i] = nodes[i];
        whole[i].name = whole[i].outputs[0];
        whole[i].domain = "";
        whole[i].output_count = 1;
    }
    insert_before_readers(onnx, "attention_mask", "number", 3, whole);
}
static void less_than_one(rt_onnx *onnx) {
    less(onnx, "one");
}
static void less_than_another(rt_onnx *onnx) {
    less(onnx, "attention_mask");
}

static void test_graphs_of_other_versions(void **state) {
    (void)state;
    static void (*const changes[])(rt_onnx *) = {types_of_zeros, less_than_one};
    retort_model *plain = golden("bert-classify", 0, RETORT_F32),
                 *model = golden("bert-classify", 3, RETORT_F32);
    link_checkpoint("bert-classify");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        retort_error err = {0};
        retort_model *again = NULL;
        write_plain(plain, changes[i]);
        if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("row %zu: %s", i, err.text);
        if (changes[i] == types_of_zeros) {
            assert_int_equal(again->graph.node_count, model->graph.node_count);
            assert_int_equal(again->graph.level, 3);
        } else {
            assert_same_graph(model, again);
        }
        retort_model_free(again);
    }
    retort_model_free(model);
    retort_model_free(plain);
}

/* ---- What is refused ---- */

static void reorder(rt_onnx *onnx) {
    rt_onnx_node last = onnx->nodes[onnx->node_count - 1];
    memmove(onnx->nodes + 1, onnx->nodes, (onnx->node_count - 1) * sizeof last);
    onnx->nodes[0] = last;
}
static void unknown_operator(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].op, "Softmax") == 0) onnx->nodes[i].op = "Hardmax";
    }
}
static void old_opset(rt_onnx *onnx) {
    onnx->opsets[0].version = 7;
}
static void future_opset(rt_onnx *onnx) {
    onnx->opsets[0].version = 99;
}
static void no_output(rt_onnx *onnx) {
    onnx->output_count = 0;
}
static void twice(rt_onnx *onnx) {
    onnx->nodes[1].outputs = onnx->nodes[0].outputs;
}
static rt_onnx_tensor *largest(rt_onnx *onnx) {
    rt_onnx_tensor *out = &onnx->tensors[0];
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        if (onnx->tensors[i].bytes > out->bytes) out = &onnx->tensors[i];
    }
    return out;
}
static void huge(rt_onnx *onnx) {
    largest(onnx)->dims[0] = INT64_C(1) << 40;
}
static void overflowing(rt_onnx *onnx) {
    rt_onnx_tensor *t = largest(onnx);
    t->dims[0] = t->dims[1] = INT64_C(1) << 40;
}
static void negative(rt_onnx *onnx) {
    largest(onnx)->dims[0] = -1;
}
static void other_shape(rt_onnx *onnx) {
    rt_onnx_tensor *t = largest(onnx);
    int64_t rows = t->dims[0];
    t->dims[0] = t->dims[1];
    t->dims[1] = rows;
}
static void rename_operator(rt_onnx *onnx, const char *from, const char *to) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].op, from) == 0) onnx->nodes[i].op = to;
    }
}
static void causal(rt_onnx *onnx) {
    rename_operator(onnx, "Sub", "Trilu");
}
static void unknown_activation(rt_onnx *onnx) {
    rename_operator(onnx, "Erf", "Elu");
}
static void other_vocab(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        rt_onnx_tensor *t = &onnx->tensors[i];
        if (t->rank != 2 || t->dims[0] != 100) continue;
        t->bytes -= t->bytes / 100;
        t->dims[0] = 99;
    }
}
static void other_domain(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].op, "Softmax") == 0) onnx->nodes[i].domain = "org.example";
    }
}
static void without_mask(rt_onnx *onnx) {
    static const int64_t ones[] = {1};
    add_constant(onnx, "ones", 2, (int64_t[]){1, 1}, ones);
    for (size_t i = 0; i < onnx->node_count; i++) {
        for (size_t k = 0; k < onnx->nodes[i].input_count; k++) {
            if (strcmp(onnx->nodes[i].inputs[k], "attention_mask") == 0) onnx->nodes[i].inputs[k] = "ones";
        }
    }
}

static void constant_mask(rt_onnx *onnx) {
    static const int64_t ones[] = {1};
    add_constant(onnx, "attention_mask", 2, (int64_t[]){1, 1}, ones);
}

static void test_other_graphs_are_refused(void **state) {
    (void)state;
    static const refused_change rows[] = {
        {reorder, "which no node before it produces"},
        {unknown_operator, "(Hardmax): expected a supported operator"},
        {old_opset, "opset 7"},
        {future_opset, "opset 99"},
        {no_output, "0 outputs"},
        {twice, "a second time"},
        {huge, "its shape needs"},
        {overflowing, "cannot be read"},
        {negative, "cannot be read"},
        {other_shape, "shapes do not broadcast"},
        {causal, "(Trilu): expected a supported operator"},
        {unknown_activation, "(Elu): expected a supported operator"},
        {other_domain, "(org.example.Softmax): expected a supported operator"},
        {without_mask, "no node reads the input attention_mask"},
        {constant_mask, "no node reads the input attention_mask"},
        {other_vocab, "a table of 99 words, config.json says 100"},
    };
    assert_changes_refused("bert-classify", sizeof rows / sizeof *rows, rows);
}

/* An input or an attribute of the first Attention that encoders do not have. */
static rt_onnx_node *first_attention(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].op, "Attention") == 0) return &onnx->nodes[i];
    }
    fail();
    return NULL;
}
static void biased_attention(rt_onnx *onnx) {
    enum { BIAS = 5 };
    static const char *inputs[BIAS + 1];
    static const float zero = 0;
    rt_onnx_node *node = first_attention(onnx);
    rt_onnx_tensor *t = rt_onnx_add_tensor(onnx);
    assert_non_null(t);
    *t = (rt_onnx_tensor){
        .name = "more", .type = RT_ONNX_FLOAT, .rank = 4, .data = &zero, .bytes = sizeof zero};
    for (int i = 0; i < 4; i++) t->dims[i] = 1;
    for (size_t i = 0; i < BIAS; i++) inputs[i] = i < node->input_count ? node->inputs[i] : "";
    inputs[BIAS] = "more";
    node->inputs = inputs;
    node->input_count = BIAS + 1;
}
static void uneven_attention(rt_onnx *onnx) {
    static int64_t sizes[] = {8, 8, 32};
    static rt_onnx_attr attr = {
        .name = "qkv_hidden_sizes", .kind = RT_ONNX_ATTR_INTS, .ints = sizes, .count = 3};
    first_attention(onnx)->attrs = &attr;
    first_attention(onnx)->attr_count = 1;
}

/* A column more than thirds have: nothing would read it. */
static void widen(rt_onnx *onnx, size_t input) {
    static float data[4096];
    const char *name = first_attention(onnx)->inputs[input];
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        rt_onnx_tensor *t = &onnx->tensors[i];
        if (strcmp(t->name, name) != 0) continue;
        t->bytes = t->bytes / (size_t)t->dims[t->rank - 1] * (size_t)(t->dims[t->rank - 1] + 1);
        t->dims[t->rank - 1]++;
        assert_true(t->bytes <= sizeof data);
        t->data = data;
        return;
    }
    fail();
}
static void wide_weight(rt_onnx *onnx) {
    widen(onnx, 1);
}
static void wide_bias(rt_onnx *onnx) {
    widen(onnx, 2);
}

static void test_other_attention_is_refused(void **state) {
    (void)state;
    retort_model *model = golden("bert-classify", 2, RETORT_F32);
    link_checkpoint("bert-classify");
    write_changed(model, true, biased_attention);
    assert_refused("Attention): expected a mask of keys, and no bias besides");
    write_changed(model, true, uneven_attention);
    assert_refused("Attention): expected attention to all tokens");
    write_changed(model, true, wide_weight);
    assert_refused("Attention): expected a weight [hidden, 3 hidden], and a bias to match");
    write_changed(model, true, wide_bias);
    assert_refused("Attention): expected a weight [hidden, 3 hidden], and a bias to match");
    retort_model_free(model);
}

/* The activation again and again: a file of a few bytes for each node. */
static void very_long(rt_onnx *onnx) {
    enum { COUNT = 40000, TEXT = 16 };
    static char texts[COUNT][TEXT];
    static const char *values[COUNT + 1];
    values[0] = onnx->outputs[0].name;
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], TEXT, "relu%d", i);
        values[i + 1] = texts[i];
        rt_onnx_node *node = rt_onnx_add_node(onnx);
        assert_non_null(node);
        *node = (rt_onnx_node){.op = "Relu",
                               .domain = "",
                               .name = texts[i],
                               .inputs = &values[i],
                               .outputs = &values[i + 1],
                               .input_count = 1,
                               .output_count = 1};
    }
    onnx->outputs[0].name = texts[COUNT - 1];
}

/* A limit on memory that a node exceeds is called that. */
static void test_limit_on_nodes(void **state) {
    (void)state;
    retort_model *plain = golden("bert-classify", 0, RETORT_F32), *model = NULL;
    retort_error err = {0};
    link_checkpoint("bert-classify");
    write_plain(plain, very_long);
    retort_status status = RETORT_LIMIT;
    for (uint64_t memory = 4 << 20; status != RETORT_OK && memory < 128 << 20; memory += memory / 16) {
        retort_import_options options = RETORT_IMPORT_OPTIONS;
        options.level = 0;
        options.memory = memory;
        status = retort_model_import(&model, graph_path, &options, &err);
        if (status != RETORT_OK && (status != RETORT_LIMIT || strstr(err.text, "the limit is") == NULL))
            fail_msg("%llu bytes: %s", (unsigned long long)memory, err.text);
    }
    assert_int_equal(status, RETORT_OK);
    retort_model_free(model);
    retort_model_free(plain);
}

/* ---- What no fusion knows ---- */

enum { LABELS = 8 };

/* The logits of two texts of different length in one batch, at this level or at the last one that the graph reaches. */
static void logits_at(int level, float out[2 * LABELS], int *reached, char warning[256]) {
    static const char *const texts[] = {"the cat", "a film that is not very good"};
    retort_text batch[2];
    float scores[2 * LABELS];
    retort_model *model = NULL;
    retort_session *session = NULL;
    retort_error err = {0};
    if (try_import(&model, level, &err) != RETORT_OK) fail_msg("level %d: %s", level, err.text);
    const char *said = retort_model_warning(model, 0);
    snprintf(warning, 256, "%s", said != NULL ? said : "");
    *reached = model->graph.level;
    for (int i = 0; i < 2; i++) batch[i] = (retort_text){.text = texts[i], .length = strlen(texts[i])};
    if (retort_session_open(&session, model, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_classify(session, batch, 2, scores, out, 2 * LABELS, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    retort_session_close(session);
    retort_model_free(model);
}

static void other_scale(rt_onnx *onnx) {
    static const float four = 4;
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        if (strstr(onnx->tensors[i].name, "attention.scale.value") != NULL) onnx->tensors[i].data = &four;
    }
}
static void other_activation(rt_onnx *onnx) {
    rename_operator(onnx, "Erf", "Tanh");
}
static void no_padding(rt_onnx *onnx) { /* 1 - mask becomes 1 - 1 for every token: nothing is masked */
    less_than_another(onnx);
}
/* Scores of all keys but the first ones are masked: mask[:, end - 1:] = 0. */
static void window_to(rt_onnx *onnx, const int64_t *end) {
    static const char *in[] = {"attention_mask", "axis"}, *ends[] = {"places", "end"};
    static const char *places[] = {"places"}, *first[] = {"first"};
    static const int64_t axis = 1;
    static rt_onnx_attr to = {.name = "to", .kind = RT_ONNX_ATTR_INT, .i = RT_ONNX_INT64};
    static const char *cast_in[] = {"first"}, *kept[] = {"kept"}, *both[] = {"kept", "attention_mask"},
                      *mask[] = {"window"};
    add_constant(onnx, "axis", 0, NULL, &axis);
    add_constant(onnx, "end", 0, NULL, end);
    const rt_onnx_node nodes[] = {
        {"CumSum", "", "places", in, places, 2, 1, NULL, 0},
        {"Less", "", "first", ends, first, 2, 1, NULL, 0},
        {"Cast", "", "kept", cast_in, kept, 1, 1, &to, 1},
        {"Mul", "", "window", both, mask, 2, 1, NULL, 0},
    };
    insert_before_readers(onnx, "attention_mask", "window", 4, nodes);
}
static void window(rt_onnx *onnx) {
    static const int64_t end = 6;
    window_to(onnx, &end);
}
static void types_behind_first(rt_onnx *onnx) { /* 1, but for [CLS] and what stands before it */
    static const int64_t cls = 2, axis = 1;
    static rt_onnx_attr to = {.name = "to", .kind = RT_ONNX_ATTR_INT, .i = RT_ONNX_INT64};
    static const char *pair[] = {"input_ids", "cls"}, *begins[] = {"begins"}, *number[] = {"number"},
                      *summed[] = {"number", "axis"}, *sums[] = {"sums"}, *less[] = {"one", "number"},
                      *words[] = {"words"}, *both[] = {"sums", "words"}, *types[] = {"types"};
    add_constant(onnx, "cls", 0, NULL, &cls);
    add_constant(onnx, "one", 0, NULL, &axis);
    add_constant(onnx, "axis", 0, NULL, &axis);
    const rt_onnx_node nodes[] = {
        {"Equal", "", "begins", pair, begins, 2, 1, NULL, 0},
        {"Cast", "", "number", begins, number, 1, 1, &to, 1},
        {"CumSum", "", "sums", summed, sums, 2, 1, NULL, 0},
        {"Sub", "", "words", less, words, 2, 1, NULL, 0},
        {"Mul", "", "types", both, types, 2, 1, NULL, 0},
    };
    insert_before_readers(onnx, "token_type_ids", "types", 5, nodes);
}

static void last_row(rt_onnx *onnx) { /* in place of the first: padding, but for the longest text */
    static const int64_t last = -1;
    add_constant(onnx, "last", 0, NULL, &last);
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].name, "head.first") == 0) onnx->nodes[i].inputs[1] = "last";
    }
}

/* They run as far as they are understood, with the logits of level 0; the model says which node stopped them. */
static void test_unknown_graphs_run(void **state) {
    (void)state;
    static const struct {
        void (*change)(rt_onnx *);
        int level;
        const char *warning;
    } rows[] = {
        {other_scale, 3, ""},
        {other_activation, 3, ""},
        {no_padding, 2, "needs padded batches, so this graph stays at level 2"},
        {types_of_others, 2, "needs padded batches, so this graph stays at level 2"},
        {types_behind_first, 2, "needs padded batches, so this graph stays at level 2"},
        {window, 2, "needs padded batches, so this graph stays at level 2"},
        {last_row, 2, "needs padded batches, so this graph stays at level 2"},
    };
    retort_model *plain = golden("bert-classify", 0, RETORT_F32);
    link_checkpoint("bert-classify");
    float before[2 * LABELS] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float want[2 * LABELS] = {0}, found[2 * LABELS] = {0};
        char warning[256];
        int reached;
        write_plain(plain, rows[i].change);
        logits_at(0, want, &reached, warning);
        assert_int_equal(reached, 0);
        logits_at(3, found, &reached, warning);
        assert_int_equal(reached, rows[i].level);
        if (strstr(warning, rows[i].warning) == NULL || (rows[i].warning[0] == '\0' && warning[0] != '\0'))
            fail_msg("row %zu: '%s'", i, warning);
        for (size_t k = 0; k < 2 * LABELS; k++) assert_true(fabsf(want[k] - found[k]) <= 1e-5F);
        assert_memory_not_equal(before, found, sizeof found);
        memcpy(before, found, sizeof found);
    }
    retort_model_free(plain);
}

/* ---- Texts of 400 tokens ---- */

enum { LONG = 400, SHORT = 48, HIDDEN = 16 };

static void lengthen(rt_onnx *onnx) {
    static float table[LONG * HIDDEN];
    static int64_t places[LONG];
    for (int i = 0; i < LONG; i++) places[i] = i;
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        rt_onnx_tensor *t = &onnx->tensors[i];
        bool rows = t->rank == 2 && t->dims[0] == SHORT && t->type == RT_ONNX_FLOAT;
        if (!rows && (t->rank != 2 || t->dims[1] != SHORT || t->type != RT_ONNX_INT64)) continue;
        t->dims[rows ? 0 : 1] = LONG;
        t->data = rows ? (const void *)table : places;
        t->bytes = rows ? sizeof table : sizeof places;
    }
}
static void wide_window(rt_onnx *onnx) {
    static const int64_t end = LONG - 20;
    lengthen(onnx);
    window_to(onnx, &end);
}

static void lengthen_config(void) {
    char path[160], from[] = "\"max_position_embeddings\": 48", to[] = "\"max_position_embeddings\": 400";
    retort_error err = {0};
    snprintf(path, sizeof path, "%s/config.json", folder);
    rt_map map;
    assert_int_equal(rt_map_open(&map, path, &err), RETORT_OK);
    const char *data = (const char *)map.data, *at = memmem(data, map.size, from, strlen(from));
    assert_non_null(at);
    size_t before = (size_t)(at - data), behind = before + strlen(from);
    unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(data, 1, before, file);
    fputs(to, file);
    fwrite(data + behind, 1, map.size - behind, file);
    fclose(file);
    rt_map_close(&map);
}

/* A mask that differs from one of keys in the longest texts alone is none. */
static void test_masks_of_long_texts(void **state) {
    (void)state;
    static const struct {
        void (*change)(rt_onnx *);
        int level;
    } rows[] = {{lengthen, 3}, {wide_window, 2}};
    retort_model *plain = golden("bert-classify", 0, RETORT_F32);
    link_checkpoint("bert-classify");
    lengthen_config();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        retort_model *model = NULL;
        retort_error err = {0};
        write_plain(plain, rows[i].change);
        if (try_import(&model, 3, &err) != RETORT_OK) fail_msg("row %zu: %s", i, err.text);
        assert_int_equal(model->graph.level, rows[i].level);
        retort_model_free(model);
    }
    retort_model_free(plain);
}

/* A file of ours whose graph somebody has changed is read as anybody's. */
static void test_changed_files_are_not_ours(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = golden("bert-classify", 0, RETORT_F32);
    assert_int_equal(retort_model_export(model, graph_path, NULL, NULL, &err), RETORT_OK);
    rt_onnx onnx;
    uint64_t bytes;
    bool external;
    assert_int_equal(rt_onnx_open(&onnx, graph_path, &err), RETORT_OK);
    for (size_t i = 0; i < onnx.node_count; i++) {
        if (strcmp(onnx.nodes[i].op, "Erf") == 0) onnx.nodes[i].op = "Elu";
    }
    assert_int_equal(rt_onnx_save(&onnx, graph_path, 0, &bytes, &external, &err), RETORT_OK);
    rt_onnx_close(&onnx);
    link_checkpoint("bert-classify");
    assert_refused("(Elu): expected a supported operator");
    retort_model_free(model);
}

static void test_truncated_files(void **state) {
    (void)state;
    uint8_t *bytes = NULL;
    size_t length = 0;
    retort_error err = {0};
    retort_model *model = golden("distilbert-classify", 3, RETORT_F32);
    assert_int_equal(rt_onnx_write(model, NULL, &bytes, &length, &err), RETORT_OK);
    for (size_t cut = 0; cut < length; cut += 61) {
        rt_onnx onnx;
        uint8_t *copy = malloc(cut + 1); /* a block of its own, so that a sanitizer sees a read beyond it */
        memcpy(copy, bytes, cut);
        if (rt_onnx_parse(&onnx, "cut", NULL, copy, cut, &err) == RETORT_OK) rt_onnx_close(&onnx);
        free(copy);
    }
    free(bytes);
    retort_model_free(model);
}

/* ---- External data ---- */

static void export_external(const retort_model *model) {
    retort_error err = {0};
    retort_export_options options = RETORT_EXPORT_OPTIONS;
    retort_export_info info = {.size = sizeof info};
    options.external_over = 10000;
    unlink(data_path);
    if (retort_model_export(model, graph_path, &options, &info, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_true(info.external);
}

static void test_external_data_comes_back(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = golden("bert-wide", 3, RETORT_F32), *again = NULL;
    export_external(model);
    if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_model(model, again);
    retort_model_free(again);
    retort_model_free(model);
}

/* The bytes of "model.onnx.data" in the graph's file, as another location of that length. */
static void relocate(const char *location) {
    rt_map map;
    retort_error err = {0};
    assert_int_equal(strlen(location), 15);
    assert_int_equal(rt_map_open(&map, graph_path, &err), RETORT_OK);
    char *copy = malloc(map.size);
    size_t size = map.size;
    memcpy(copy, map.data, size);
    rt_map_close(&map);
    for (size_t i = 0; i + 15 <= size; i++) {
        if (memcmp(copy + i, "model.onnx.data", 15) == 0) memcpy(copy + i, location, 15);
    }
    FILE *file = fopen(graph_path, "wb");
    assert_int_equal(fwrite(copy, 1, size, file), size);
    fclose(file);
    free(copy);
}

static void test_external_data_stays_in_the_folder(void **state) {
    (void)state;
    static const char *const outside[] = {"../../etc/hosts", "/etc/nsswitch.c", "./../model.dat1",
                                          "././././././abc", "..\\..\\..\\..\\abc"};
    char other[128];
    retort_model *model = golden("bert-wide", 3, RETORT_F32);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        export_external(model);
        relocate(outside[i]);
        assert_refused("below the model's folder");
    }
    export_external(model);
    snprintf(other, sizeof other, "%s/other", folder);
    assert_int_equal(link(data_path, other), 0); /* a second name may be a file of anywhere */
    assert_refused("not a regular file with one name");
    unlink(data_path);
    assert_int_equal(symlink(other, data_path), 0);
    assert_refused("below the model's folder");
    unlink(data_path);
    assert_refused("No such file");
    assert_int_equal(rename(other, data_path), 0);
    assert_int_equal(truncate(data_path, 5000), 0);
    assert_refused("which has 5000");
    retort_model_free(model);
}

/* ---- Folders as hubs have them ---- */

static void assert_imports(const char *path, const retort_model *expected) {
    retort_model *again = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    if (retort_model_import(&again, path, &options, &err) != RETORT_OK) fail_msg("%s: %s", path, err.text);
    assert_same_graph(expected, again);
    retort_model_free(again);
}

static void assert_not_imported(const char *path, const char *words) {
    retort_model *again = NULL;
    retort_error err = {0};
    assert_int_not_equal(retort_model_import(&again, path, NULL, &err), RETORT_OK);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void test_which_file_of_a_folder(void **state) {
    (void)state;
    char inner[128], paths[3][160], here[4096];
    retort_model *plain = golden("bert-classify", 0, RETORT_F32),
                 *model = golden("bert-classify", 3, RETORT_F32);
    link_checkpoint("bert-classify");
    unlink(graph_path);
    unlink(data_path);
    snprintf(inner, sizeof inner, "%s/onnx", folder);
    assert_int_equal(mkdir(inner, 0700), 0);
    snprintf(paths[0], sizeof *paths, "%s/model.onnx", inner);
    snprintf(paths[1], sizeof *paths, "%s/model_quantized.onnx", inner);
    snprintf(paths[2], sizeof *paths, "%s/model_O2.onnx", folder);
    assert_not_imported(folder, "found none; supported are model.safetensors");
    write_plain(plain, NULL);
    assert_int_equal(rename(graph_path, paths[0]), 0);
    assert_imports(folder, model);
    assert_imports(paths[0], model);
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    assert_imports("onnx/model.onnx", model);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(rename(paths[0], paths[1]), 0);
    assert_imports(folder, model);
    write_plain(plain, NULL);
    assert_int_equal(rename(graph_path, paths[2]), 0);
    assert_not_imported(folder, "2 ONNX files and none called model.onnx: give the path of one: "
                                "model_O2.onnx, onnx/model_quantized.onnx");
    assert_imports(paths[2], model);
    unlink(paths[1]);
    assert_imports(folder, model);
    unlink(paths[2]);
    assert_int_equal(rmdir(inner), 0);
    retort_model_free(model);
    retort_model_free(plain);
}

/* folder/models--a--b/{blobs,snapshots/r/onnx}, where the model's files are links to blobs. */
static void test_links_of_a_cache(void **state) {
    (void)state;
    static const char *const folders[] = {"models--a--b", "models--a--b/blobs", "models--a--b/snapshots",
                                          "models--a--b/snapshots/r", "models--a--b/snapshots/r/onnx"};
    static const char *const wrong[] = {"../../../blobs/../other",
                                        "../../../../other",
                                        "../../blobs/1234",
                                        "../../../blobs/",
                                        "../../../blobs/link",
                                        "/etc/hosts",
                                        "../../../../models--a--b/blobs/1234",
                                        "blobs/1234",
                                        "model.onnx"};
    char path[128], blob[128], snapshot[128], link_path[160], other[128];
    retort_model *plain = golden("bert-classify", 0, RETORT_F32),
                 *model = golden("bert-classify", 3, RETORT_F32);
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    link_checkpoint("bert-classify");
    snprintf(snapshot, sizeof snapshot, "%s/models--a--b/snapshots/r", folder);
    for (size_t i = 0; i < LINKS; i++) {
        char from[160], to[200];
        snprintf(from, sizeof from, "../../../%s", links[i]);
        snprintf(to, sizeof to, "%s/%s", snapshot, links[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    export_external(plain);
    snprintf(blob, sizeof blob, "%s/models--a--b/blobs/1234", folder);
    assert_int_equal(rename(data_path, blob), 0);
    snprintf(blob, sizeof blob, "%s/models--a--b/blobs/5678", folder);
    assert_int_equal(rename(graph_path, blob), 0);
    snprintf(link_path, sizeof link_path, "%s/onnx/model.onnx", snapshot);
    assert_int_equal(symlink("../../../blobs/5678", link_path), 0);
    snprintf(link_path, sizeof link_path, "%s/onnx/model.onnx.data", snapshot);
    assert_int_equal(symlink("../../../blobs/1234", link_path), 0);
    assert_imports(snapshot, model);
    snprintf(other, sizeof other, "%s/other", folder); /* outside, and by a link that a blob is */
    snprintf(blob, sizeof blob, "%s/models--a--b/blobs/1234", folder);
    assert_int_equal(rename(blob, other), 0);
    snprintf(blob, sizeof blob, "%s/models--a--b/blobs/link", folder);
    assert_int_equal(symlink("../../other", blob), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        unlink(link_path);
        assert_int_equal(symlink(wrong[i], link_path), 0);
        assert_not_imported(snapshot, "below the model's folder");
    }
    retort_model_free(model);
    retort_model_free(plain);
    snprintf(path, sizeof path, "rm -r %s/models--a--b", folder);
    assert_int_equal(system(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_files_come_back),
        cmocka_unit_test(test_bf16_comes_back),
        cmocka_unit_test(test_integers_come_back),
        cmocka_unit_test(test_fewer_and_mixed_bits_come_back),
        cmocka_unit_test(test_groups_that_matmulnbits_has_not),
        cmocka_unit_test(test_plain_files_are_the_checkpoint),
        cmocka_unit_test(test_files_of_every_level_run_as_anybodys),
        cmocka_unit_test(test_exports_are_the_checkpoint),
        cmocka_unit_test(test_graphs_of_other_versions),
        cmocka_unit_test(test_other_graphs_are_refused),
        cmocka_unit_test(test_other_attention_is_refused),
        cmocka_unit_test(test_limit_on_nodes),
        cmocka_unit_test(test_unknown_graphs_run),
        cmocka_unit_test(test_masks_of_long_texts),
        cmocka_unit_test(test_changed_files_are_not_ours),
        cmocka_unit_test(test_truncated_files),
        cmocka_unit_test(test_external_data_comes_back),
        cmocka_unit_test(test_external_data_stays_in_the_folder),
        cmocka_unit_test(test_which_file_of_a_folder),
        cmocka_unit_test(test_links_of_a_cache),
    };
    return find_checkpoints(NULL) == 0 ? cmocka_run_group_tests(tests, set_up, tear_down) : 1;
}
