/* SPDX-License-Identifier: Apache-2.0
 * The rows that docs/models.md is made of, as lines of JSON, for bench/models.py: architectures, operators, components of
 * tokenizers, and what each checkpoint of a folder computes beside what transformers computed (its golden.json).
 *
 *     model_rows test/golden/checkpoints */
#include "arch/arch.h"
#include "grad/tape.h"
#include "graph/ops.h"
#include "model/model.h"
#include "text/component.h"
#include "train/trainee.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const task_names[] = {"classify", "tag", "answer", "fill", "embed"};

enum { MOST_IDS = 4096, MOST_TEXTS = 64, PATH = 4096 };

static void print(json_t *line) {
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(3));
    if (text != NULL) puts(text);
    free(text);
    json_decref(line);
}

static void print_architectures(void) {
    for (size_t i = 0; rt_archs[i] != NULL; i++) {
        const rt_arch *arch = rt_archs[i];
        json_t *heads = json_array();
        for (int task = 0; task < RETORT_TASK_EMBED; task++) {
            if (arch->heads[task].output != NULL) json_array_append_new(heads, json_string(task_names[task]));
        }
        print(json_pack("{ss ss ss so}", "row", "architecture", "type", arch->type, "class", arch->prefix,
                        "heads", heads));
    }
}

static void print_operators(void) {
    size_t attr_count;
    const rt_attr_row *attrs = rt_attr_rows(&attr_count);
    for (int op = 0; op < RT_OP_COUNT; op++) {
        const rt_op_row *row = rt_op_info((rt_op)op);
        json_t *names = json_array();
        for (size_t i = 0; i < attr_count; i++) {
            if ((row->attrs & attrs[i].bit) != 0) json_array_append_new(names, json_string(attrs[i].text));
        }
        print(json_pack("{ss ss si si si sb so}", "row", "operator", "name", row->text, "level", row->level,
                        "least", row->min_inputs, "most", row->max_inputs, "plain", row->evaluate != NULL,
                        "attributes", names));
    }
}

static void print_components(void) {
    const char *part, *type;
    for (size_t i = 0; (type = rt_component_type(i, &part)) != NULL; i++)
        print(json_pack("{ss ss ss}", "row", "component", "part", part, "type", type));
}

/* ---- Checkpoints ---- */

/* The ids and types of a golden.json, one text after the other. */
typedef struct inputs {
    int32_t ids[MOST_IDS], types[MOST_IDS], offsets[MOST_TEXTS + 1];
    size_t count;
} inputs;

static bool read_inputs(inputs *out, const json_t *golden) {
    const json_t *ids = json_object_get(golden, "ids"), *types = json_object_get(golden, "types");
    size_t i, j;
    json_t *list, *id;
    *out = (inputs){.count = json_array_size(ids)};
    if (out->count == 0 || out->count > MOST_TEXTS) return false;
    json_array_foreach(ids, i, list) {
        out->offsets[i + 1] = out->offsets[i] + (int32_t)json_array_size(list);
        if (out->offsets[i + 1] > MOST_IDS) return false;
        json_array_foreach(list, j, id) {
            size_t at = (size_t)out->offsets[i] + j;
            out->ids[at] = (int32_t)json_integer_value(id);
            out->types[at] = (int32_t)json_integer_value(json_array_get(json_array_get(types, i), j));
        }
    }
    return true;
}

/* The largest difference to the golden outputs; NaN where the model does not run or gives another number of them. */
static double difference(const retort_model *model, const inputs *in, const json_t *outputs) {
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_matrix out = {0};
    retort_batch batch = {.ids = in->ids, .types = in->types, .offsets = in->offsets, .n = in->count};
    double worst = NAN;
    options.threads = 1;
    bool ran = retort_session_open(&session, (retort_model *)(uintptr_t)model, &options, NULL) == RETORT_OK &&
               retort_run(session, &batch, &out, NULL) == RETORT_OK;
    if (ran && out.rows == json_array_size(outputs)) {
        worst = 0;
        for (size_t i = 0; i < out.rows * out.columns; i++) {
            const json_t *wanted = json_array_get(json_array_get(outputs, i / out.columns), i % out.columns);
            double apart = wanted != NULL ? fabs((double)out.data[i] - json_number_value(wanted)) : NAN;
            if (!(apart <= worst)) worst = apart;
        }
    }
    retort_session_close(session);
    return worst;
}

static json_t *operators_of(const rt_graph *graph) {
    json_t *names = json_array();
    for (int op = 0; op < RT_OP_COUNT; op++) {
        bool used = false;
        for (size_t i = 0; i < graph->node_count; i++) used |= graph->nodes[i].op == (rt_op)op;
        if (used) json_array_append_new(names, json_string(rt_op_info((rt_op)op)->text));
    }
    return names;
}

/* Whether `retort train` takes it. */
static bool is_trained(const retort_model *model) {
    rt_trainee trainee;
    rt_tape tape;
    rt_kernels kernels;
    rt_thread_pool *pool = NULL;
    if (rt_trainee_open(&trainee, model, NULL) != RETORT_OK) return false;
    rt_kernels_select(&kernels, 0);
    bool opened = rt_thread_pool_open(&pool, 1, NULL) == RETORT_OK;
    bool trains = opened && rt_tape_open(&tape, &trainee.model->graph, &trainee.parameters, &kernels, pool,
                                         64, 16, NULL) == RETORT_OK;
    if (trains) rt_tape_close(&tape);
    rt_thread_pool_close(pool);
    rt_trainee_close(&trainee);
    return trains;
}

static void print_checkpoint(const char *name, const char *folder, const json_t *golden) {
    static inputs in;
    json_t *line = json_pack("{ss ss}", "row", "checkpoint", "name", name);
    const json_t *outputs = json_object_get(golden, "outputs");
    for (int level = 0; level <= 3 && read_inputs(&in, golden); level += 3) {
        retort_import_options options = RETORT_IMPORT_OPTIONS;
        retort_model *model = NULL;
        options.level = level;
        if (retort_model_import(&model, folder, &options, NULL) != RETORT_OK) break;
        double apart = difference(model, &in, outputs);
        json_object_set_new(line, level == 0 ? "level0" : "level3",
                            isfinite(apart) ? json_real(apart) : json_null());
        json_object_set_new(line, level == 0 ? "operators0" : "operators3", operators_of(&model->graph));
        json_object_set_new(line, "type",
                            json_string(model->config.arch != NULL ? model->config.arch->type : "onnx"));
        json_object_set_new(line, "task", json_string(task_names[model->config.task]));
        if (level == 0) json_object_set_new(line, "trained", json_boolean(is_trained(model)));
        retort_model_free(model);
    }
    print(line);
}

static int print_checkpoints(const char *root) {
    struct dirent **entries;
    int count = scandir(root, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char folder[PATH], file[PATH];
        bool whole = snprintf(folder, sizeof folder, "%s/%s", root, entries[i]->d_name) < PATH &&
                     snprintf(file, sizeof file, "%s/golden.json", folder) < PATH;
        json_t *golden = whole ? json_load_file(file, 0, NULL) : NULL;
        if (golden != NULL) print_checkpoint(entries[i]->d_name, folder, golden);
        json_decref(golden);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return count > 0 ? 0 : 1;
}

int main(int argc, char **args) {
    if (argc != 2) return 2;
    print_architectures();
    print_operators();
    print_components();
    return print_checkpoints(args[1]);
}
