/* SPDX-License-Identifier: Apache-2.0
 * Folders with an ONNX file, as tests write and import them. */
#ifndef ONNX_FILES_H
#define ONNX_FILES_H

#include "graph/ops.h"
#include "model/onnx_export.h"
#include "quant_models.h"

static char graph_path[128], data_path[160];

static inline int set_up(void **state) {
    make_folder(state);
    snprintf(graph_path, sizeof graph_path, "%s/model.onnx", folder);
    snprintf(data_path, sizeof data_path, "%s/model.onnx.data", folder);
    return 0;
}

static inline void unlink_in_folder(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static const char *const links[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                    "vocab.txt",   "modules.json",   "special_tokens_map.json",
                                    "vocab.json",  "merges.txt"};
enum { LINKS = sizeof links / sizeof *links };

static inline int tear_down(void **state) {
    for (size_t i = 0; i < LINKS; i++) unlink_in_folder(links[i]);
    unlink(graph_path);
    unlink(data_path);
    unlink_in_folder("other");
    return remove_folder(state);
}

/* The checkpoint's configuration and tokenizer beside model.onnx. */
static inline void link_checkpoint(const char *name) {
    char from[4200], to[128], absolute[4096];
    const char *root = getenv("RETORT_ROOT");
    assert_non_null(realpath(root != NULL ? root : ".", absolute));
    for (size_t i = 0; i < LINKS; i++) {
        unlink_in_folder(links[i]);
        snprintf(from, sizeof from, "%s/test/golden/checkpoints/%.64s/%s", absolute, name, links[i]);
        snprintf(to, sizeof to, "%s/%s", folder, links[i]);
        if (rt_is_file(from)) assert_int_equal(symlink(from, to), 0);
    }
}

static inline retort_status try_import(retort_model **out, int level, retort_error *err) {
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    return retort_model_import(out, graph_path, &options, err);
}

/* model.onnx is refused, with these words. */
static inline void assert_refused(const char *words) {
    retort_model *model = NULL;
    retort_error err = {0};
    retort_status status = try_import(&model, 3, &err);
    if (status == RETORT_OK || strstr(err.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, words);
    assert_null(model);
}

static inline void assert_same_model(const retort_model *a, const retort_model *b) {
    assert_int_equal(a->graph.node_count, b->graph.node_count);
    assert_int_equal(a->graph.value_count, b->graph.value_count);
    for (size_t i = 0; i < a->graph.node_count; i++) {
        assert_string_equal(a->graph.nodes[i].name, b->graph.nodes[i].name);
        assert_int_equal(a->graph.nodes[i].op, b->graph.nodes[i].op);
    }
    for (size_t i = 0; i < a->graph.value_count; i++) {
        const rt_value *v = &a->graph.values[i];
        int index = rt_value_find(&b->graph, v->name);
        size_t bytes = 0;
        if (index < 0) fail_msg("%s is missing", v->name);
        const rt_value *w = &b->graph.values[index];
        assert_int_equal(v->layout, w->layout);
        if (!rt_value_is_constant(v)) continue;
        assert_true(rt_value_bytes(v, &bytes));
        if (memcmp(v->data, w->data, bytes) != 0) fail_msg("%s of %s differs", v->name, a->source);
    }
}

/* Whether two values mean the same: constants by their data, inputs by their names, others by the node that makes them. */
static inline void assert_same_value(const rt_graph *a, int i, const rt_graph *b, int k) {
    assert_int_equal(i < 0, k < 0);
    if (i < 0) return;
    const rt_value *v = &a->values[i], *w = &b->values[k];
    size_t bytes = 0;
    assert_int_equal(v->producer, w->producer);
    assert_int_equal(v->dtype, w->dtype);
    assert_int_equal(v->layout, w->layout);
    assert_int_equal(v->rank, w->rank);
    assert_memory_equal(v->dims, w->dims, (size_t)v->rank * sizeof *v->dims);
    if (v->input) assert_string_equal(v->name, w->name);
    if (!rt_value_is_constant(v)) return;
    assert_true(rt_value_bytes(v, &bytes));
    assert_memory_equal(v->data, w->data, bytes);
}

/* The same operators on the same constants, whatever they are called. */
static inline void assert_same_graph(const retort_model *a, const retort_model *b) {
    assert_int_equal(a->graph.level, b->graph.level);
    assert_int_equal(a->graph.node_count, b->graph.node_count);
    for (size_t i = 0; i < a->graph.node_count; i++) {
        const rt_node *n = &a->graph.nodes[i], *m = &b->graph.nodes[i];
        assert_int_equal(n->op, m->op);
        assert_true(rt_attrs_equal(&n->attrs, &m->attrs));
        assert_int_equal(n->input_count, m->input_count);
        for (int k = 0; k < n->input_count; k++)
            assert_same_value(&a->graph, n->inputs[k], &b->graph, m->inputs[k]);
    }
    assert_same_value(&a->graph, a->graph.output, &b->graph, b->graph.output);
}

/* Writes the model without our metadata, as anybody's; with ONNX Runtime's operators if `fused`. */
static inline void write_changed(const retort_model *model, bool fused, void (*change)(rt_onnx *)) {
    rt_onnx onnx;
    retort_error err = {0};
    uint64_t bytes;
    bool external;
    if (rt_onnx_from_model(&onnx, model, &(rt_onnx_options){.fused = fused}, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    if (change != NULL) change(&onnx);
    if (rt_onnx_save(&onnx, graph_path, 0, &bytes, &external, &err) != RETORT_OK) fail_msg("%s", err.text);
    rt_onnx_close(&onnx);
}

static inline void write_plain(const retort_model *model, void (*change)(rt_onnx *)) {
    write_changed(model, false, change);
}

/* A change to a file that is refused, with these words. */
typedef struct refused_change {
    void (*change)(rt_onnx *);
    const char *words;
} refused_change;
static inline void assert_changes_refused(const char *name, size_t count, const refused_change *rows) {
    retort_model *plain = golden(name, 0, RETORT_F32);
    link_checkpoint(name);
    for (size_t i = 0; i < count; i++) {
        write_plain(plain, rows[i].change);
        assert_refused(rows[i].words);
    }
    retort_model_free(plain);
}

#endif
