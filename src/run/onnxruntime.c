/* SPDX-License-Identifier: Apache-2.0
 * ONNX Runtime through its C API: its own CPU kernels, and its execution providers OpenVINO, CUDA and
 * TensorRT. */
#include "run/foreign.h"
#include "run/ort_api.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct engine {
    rt_foreign foreign;
    const struct kind *kind;
    rt_library library;
    ort_api api;
    ort_env *env;
    ort_session *session;
    ort_memory *memory;
    ort_allocator *allocator; /* ONNX Runtime's default one; not ours to free */
    char *inputs[3], *outputs[RT_FOREIGN_OUTPUTS];
    int feeds[3]; /* rt_foreign_input of each */
    size_t input_count, output_count;
} engine;

/* How the providers of this library differ. */
typedef struct kind {
    const char *execution; /* its execution provider, NULL: the default one */
    retort_status (*append)(engine *e, ort_options *options, retort_error *err);
    rt_library_query query;
} kind;

/* Fails if there is a status, and frees it. */
static retort_status check(const engine *e, const char *what, ort_status *status, retort_error *err) {
    if (status == NULL) return RETORT_OK;
    retort_status failed = rt_foreign_fail(&e->foreign, err, what, e->api.error_message(status));
    e->api.release_status(status);
    return failed;
}

/* ---- The library ---- */

static void read_table(ort_api *api, const rt_function *table) {
#define ORT_READ(name, index, result, arguments) api->name = (result(*) arguments)table[index];
    ORT_FUNCTIONS(ORT_READ)
#undef ORT_READ
}

/* "1.17.0" and later, but no 2. */
static bool is_known(const char *version) {
    int major = 0, minor = 0;
    return version != NULL && sscanf(version, "%d.%d", &major, &minor) == 2 && major == 1 &&
           minor >= ORT_MIN_MINOR;
}

static retort_status check_execution(engine *e, retort_error *err) {
    char **names = NULL, advice[256], what[96];
    int count = 0;
    if (e->kind->execution == NULL) return RETORT_OK;
    retort_status status = check(e, "available providers", e->api.available_providers(&names, &count), err);
    if (status != RETORT_OK) return status;
    bool found = false;
    for (int i = 0; i < count; i++) found = found || strcmp(names[i], e->kind->execution) == 0;
    status = check(e, "available providers", e->api.release_providers(names, count), err);
    if (status != RETORT_OK || found) return status;
    snprintf(what, sizeof what, "ONNX Runtime %s has no %s", e->foreign.version, e->kind->execution);
    return rt_fail(err, RETORT_PROVIDER, "%.180s: %s; %s", e->library.path, what,
                   rt_library_advice(advice, sizeof advice, &e->kind->query));
}

/* Official builds of ONNX Runtime send usage events to Microsoft by default, since 1.32 on Linux as well.
 * This variable, read at start, turns that off. A value set by the user stays. */
static void silence(void) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
}

static retort_status load(engine *e, retort_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, silence);
    retort_status status = rt_library_open(&e->library, &e->kind->query, err);
    if (status != RETORT_OK) return status;
    const ort_base *(*get_base)(void) =
        (const ort_base *(*)(void))rt_library_symbol(&e->library, e->kind->query.symbol);
    const ort_base *base = get_base();
    const char *version = base != NULL ? base->version() : NULL;
    /* The library prints if asked for a version that it does not have, so its version text is checked
     * first. */
    const rt_function *table = is_known(version) ? base->table(ORT_MIN_MINOR) : NULL;
    if (table == NULL) {
        return rt_fail(err, RETORT_PROVIDER, "%s: ONNX Runtime of version %.32s: expected 1.%d or a later 1",
                       e->library.path, version != NULL ? version : "unknown", ORT_MIN_MINOR);
    }
    read_table(&e->api, table);
    snprintf(e->foreign.version, sizeof e->foreign.version, "%s", version);
    return check_execution(e, err);
}

static retort_status create_env(engine *e, retort_error *err) {
    return check(e, "environment", e->api.create_env(ORT_LOG_FATAL, "retort", &e->env), err);
}

/* Whether the execution provider is available: one for a GPU may lack libraries that it needs. */
static retort_status try_execution(engine *e, retort_error *err) {
    ort_options *options = NULL;
    retort_status status = create_env(e, err);
    if (status == RETORT_OK) status = check(e, "options", e->api.create_session_options(&options), err);
    if (status == RETORT_OK) status = e->kind->append(e, options, err);
    if (options != NULL) e->api.release_options(options);
    if (e->env != NULL) e->api.release_env(e->env);
    return status;
}

static retort_status ort_probe(const rt_provider *provider, retort_provider_info *info, retort_error *err) {
    engine e = {.kind = provider->kind, .foreign = {.provider = provider->name, .threads = 1}};
    retort_status status = load(&e, err);
    if (status == RETORT_OK) status = try_execution(&e, err);
    if (status != RETORT_OK) return status;
    snprintf(info->version, sizeof info->version, "%s", e.foreign.version);
    snprintf(info->path, sizeof info->path, "%s", e.library.path);
    return RETORT_OK;
}

/* ---- Execution providers ---- */

static retort_status append_nothing(engine *e, ort_options *options, retort_error *err) {
    (void)e;
    (void)options;
    (void)err;
    return RETORT_OK;
}

/* The whole graph must run there: a fallback to ONNX Runtime's own kernels would go unnoticed. */
static retort_status append_openvino(engine *e, ort_options *options, retort_error *err) {
    char threads[16];
    const char *const keys[] = {"device_type", "precision", "num_of_threads", "num_streams"};
    const char *const values[] = {"CPU", "FP32", threads, "1"};
    snprintf(threads, sizeof threads, "%d", e->foreign.threads);
    retort_status status =
        check(e, "OpenVINO", e->api.append_openvino(options, keys, values, sizeof keys / sizeof *keys), err);
    if (status != RETORT_OK) return status;
    return check(e, "OpenVINO", e->api.add_config(options, "session.disable_cpu_ep_fallback", "1"), err);
}

static retort_status append_cuda(engine *e, ort_options *options, retort_error *err) {
    ort_gpu_options *cuda = NULL;
    retort_status status = check(e, "CUDA", e->api.create_cuda(&cuda), err);
    if (status == RETORT_OK) status = check(e, "CUDA", e->api.append_cuda(options, cuda), err);
    if (cuda != NULL) e->api.release_cuda(cuda);
    return status;
}

/* CUDA runs what TensorRT does not support. */
static retort_status append_tensorrt(engine *e, ort_options *options, retort_error *err) {
    ort_gpu_options *tensorrt = NULL;
    retort_status status = check(e, "TensorRT", e->api.create_tensorrt(&tensorrt), err);
    if (status == RETORT_OK) status = check(e, "TensorRT", e->api.append_tensorrt(options, tensorrt), err);
    if (tensorrt != NULL) e->api.release_tensorrt(tensorrt);
    return status == RETORT_OK ? append_cuda(e, options, err) : status;
}

/* ---- A session ---- */

static const struct {
    const char *name;
    int value;
} graph_levels[] = {{"none", 0}, {"basic", 1}, {"extended", 2}, {"all", 99}};

static retort_status find_level(const char *name, int *value, retort_error *err) {
    for (size_t i = 0; i < sizeof graph_levels / sizeof *graph_levels; i++) {
        if (name != NULL && strcmp(graph_levels[i].name, name) != 0) continue;
        *value = graph_levels[i].value;
        if (name != NULL) return RETORT_OK;
    }
    if (name == NULL) return RETORT_OK; /* the last one */
    return rt_fail(err, RETORT_ARGUMENT, "graph level '%s': expected none, basic, extended or all", name);
}

static retort_status set_options(engine *e, ort_options *options, const char *level_name, retort_error *err) {
    int level;
    retort_status status = find_level(level_name, &level, err);
    if (status == RETORT_OK) status = check(e, "log", e->api.set_log_severity(options, ORT_LOG_FATAL), err);
    if (status == RETORT_OK) status = check(e, "graph level", e->api.set_graph_level(options, level), err);
    if (status == RETORT_OK)
        status = check(e, "threads", e->api.set_intra_threads(options, e->foreign.threads), err);
    if (status == RETORT_OK) status = check(e, "threads", e->api.set_inter_threads(options, 1), err);
    return status == RETORT_OK ? e->kind->append(e, options, err) : status;
}

static retort_status create_session(engine *e, const retort_session_options *options, retort_error *err) {
    ort_options *own = NULL;
    retort_status status = check(e, "options", e->api.create_session_options(&own), err);
    if (status == RETORT_OK) status = set_options(e, own, options->graph_level, err);
    if (status == RETORT_OK && options->onnx != NULL) {
        status = check(e, options->onnx, e->api.create_session(e->env, options->onnx, own, &e->session), err);
    } else if (status == RETORT_OK) {
        status = check(e, "open",
                       e->api.create_session_from_array(e->env, e->foreign.onnx, e->foreign.onnx_bytes, own,
                                                        &e->session),
                       err);
    }
    if (own != NULL) e->api.release_options(own);
    return status;
}

static retort_status read_names(engine *e, retort_error *err) {
    retort_status status = check(e, "inputs", e->api.input_count(e->session, &e->input_count), err);
    if (status == RETORT_OK)
        status = check(e, "outputs", e->api.output_count(e->session, &e->output_count), err);
    if (status != RETORT_OK) return status;
    if (e->input_count > 3 || e->output_count < 1 || e->output_count > RT_FOREIGN_OUTPUTS) {
        return rt_fail(err, RETORT_PROVIDER,
                       "provider '%s': %zu inputs and %zu outputs: expected 1 to 3, 1 to %d",
                       e->foreign.provider, e->input_count, e->output_count, RT_FOREIGN_OUTPUTS);
    }
    for (size_t i = 0; status == RETORT_OK && i < e->input_count; i++) {
        status = check(e, "inputs", e->api.input_name(e->session, i, e->allocator, &e->inputs[i]), err);
        if (status != RETORT_OK) return status;
        e->feeds[i] = rt_foreign_input(e->inputs[i]);
        if (e->feeds[i] < 0) return rt_foreign_fail(&e->foreign, err, "unknown input", e->inputs[i]);
    }
    for (size_t i = 0; status == RETORT_OK && i < e->output_count; i++) {
        status = check(e, "outputs", e->api.output_name(e->session, i, e->allocator, &e->outputs[i]), err);
    }
    return status;
}

static void ort_close(void *state) {
    engine *e = state;
    if (e == NULL) return;
    for (int i = 0; i < 3; i++) {
        if (e->inputs[i] != NULL) (void)check(e, "", e->api.allocator_free(e->allocator, e->inputs[i]), NULL);
    }
    for (int i = 0; i < RT_FOREIGN_OUTPUTS; i++) {
        if (e->outputs[i] != NULL)
            (void)check(e, "", e->api.allocator_free(e->allocator, e->outputs[i]), NULL);
    }
    if (e->memory != NULL) e->api.release_memory(e->memory);
    if (e->session != NULL) e->api.release_session(e->session);
    if (e->env != NULL) e->api.release_env(e->env);
    rt_foreign_close(&e->foreign);
    free(e);
}

static retort_status open_parts(engine *e, const rt_provider *provider, const retort_model *model,
                                const retort_session_options *options, retort_error *err) {
    retort_status status = load(e, err);
    if (status == RETORT_OK) status = rt_foreign_open(&e->foreign, provider, model, options, err);
    if (status == RETORT_OK) status = create_env(e, err);
    if (status == RETORT_OK) status = create_session(e, options, err);
    rt_foreign_forget(&e->foreign);
    if (status == RETORT_OK) status = check(e, "allocator", e->api.default_allocator(&e->allocator), err);
    if (status == RETORT_OK)
        status = check(e, "memory",
                       e->api.create_cpu_memory(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &e->memory), err);
    return status == RETORT_OK ? read_names(e, err) : status;
}

static retort_status ort_open(const rt_provider *provider, void **state, const retort_model *model,
                              const retort_session_options *options, retort_error *err) {
    engine *e = rt_calloc(1, sizeof *e);
    if (e == NULL) return rt_fail_nomem(err, sizeof *e);
    e->kind = provider->kind;
    e->foreign.provider = provider->name;
    retort_status status = open_parts(e, provider, model, options, err);
    if (status == RETORT_OK) {
        *state = e;
    } else {
        ort_close(e);
    }
    return status;
}

/* ---- Runs ---- */

static retort_status read_output(engine *e, ort_value *value, rt_foreign_output *out, retort_error *err) {
    ort_shape *shape = NULL;
    void *data = NULL;
    int type = 0;
    retort_status status = check(e, "output", e->api.tensor_shape(value, &shape), err);
    if (status != RETORT_OK) return status;
    status = check(e, "output", e->api.shape_type(shape, &type), err);
    if (status == RETORT_OK) status = check(e, "output", e->api.shape_rank(shape, &out->rank), err);
    if (status == RETORT_OK && (type != ORT_FLOAT || out->rank > RT_FOREIGN_RANK))
        status = rt_foreign_fail(&e->foreign, err, "output", "expected floats of at most 4 dimensions");
    if (status == RETORT_OK) status = check(e, "output", e->api.shape_dims(shape, out->dims, out->rank), err);
    e->api.release_shape(shape);
    if (status == RETORT_OK) status = check(e, "output", e->api.tensor_data(value, &data), err);
    out->data = data;
    return status;
}

static retort_status take_outputs(engine *e, ort_value *const *values, retort_error *err) {
    rt_foreign_output outputs[RT_FOREIGN_OUTPUTS] = {0};
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < e->output_count; i++) {
        status = read_output(e, values[i], &outputs[i], err);
    }
    return status == RETORT_OK ? rt_foreign_take(&e->foreign, outputs, e->output_count, err) : status;
}

static retort_status compute(void *state, const rt_chunk *chunk, retort_error *err) {
    engine *e = state;
    ort_value *in[3] = {0}, *out[RT_FOREIGN_OUTPUTS] = {0};
    const int64_t dims[] = {(int64_t)chunk->batch, (int64_t)chunk->seq};
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < e->input_count; i++) {
        /* The API has no const here; an input is not written to. */
        void *data = (void *)(uintptr_t)rt_foreign_feed(chunk, e->feeds[i]);
        status = check(
            e, "input",
            e->api.create_tensor(e->memory, data, chunk->rows * sizeof(int64_t), dims, 2, ORT_INT64, &in[i]),
            err);
    }
    if (status == RETORT_OK) {
        status =
            check(e, "run",
                  e->api.run(e->session, NULL, (const char *const *)e->inputs, (const ort_value *const *)in,
                             e->input_count, (const char *const *)e->outputs, e->output_count, out),
                  err);
    }
    if (status == RETORT_OK) status = take_outputs(e, out, err);
    for (size_t i = 0; i < 3; i++) {
        if (in[i] != NULL) e->api.release_value(in[i]);
    }
    for (size_t i = 0; i < RT_FOREIGN_OUTPUTS; i++) {
        if (out[i] != NULL) e->api.release_value(out[i]);
    }
    return status;
}

static retort_status ort_run(void *state, const rt_batch *batch, retort_matrix *out, retort_error *err) {
    engine *e = state;
    return rt_foreign_run(&e->foreign, compute, e, batch, out, err);
}

static void ort_describe(const void *state, retort_session_info *info) {
    const engine *e = state;
    rt_foreign_describe(&e->foreign, info);
}

/* ---- The providers ---- */

/* The wheels of a provider on PyPI: `first` is the one to install. */
#define ORT_QUERY(words, other_library, first, second)                                                       \
    {                                                                                                        \
        .name = "libonnxruntime.so", .soname = "libonnxruntime.so.1", .beside = other_library,               \
        .symbol = "OrtGetApiBase", .what = words, .wheels = {                                                \
            {first, "onnxruntime/capi"},                                                                     \
            {second, "onnxruntime/capi"}                                                                     \
        }                                                                                                    \
    }
static const kind cpu = {.append = append_nothing,
                         .query = ORT_QUERY("ONNX Runtime", NULL, "onnxruntime", "onnxruntime-openvino")};
static const kind openvino = {.execution = "OpenVINOExecutionProvider",
                              .append = append_openvino,
                              .query = ORT_QUERY("ONNX Runtime with OpenVINO",
                                                 "libonnxruntime_providers_openvino.so",
                                                 "onnxruntime-openvino", NULL)};
static const kind cuda = {.execution = "CUDAExecutionProvider",
                          .append = append_cuda,
                          .query = ORT_QUERY("ONNX Runtime with CUDA", "libonnxruntime_providers_cuda.so",
                                             "onnxruntime-gpu", NULL)};
static const kind tensorrt = {.execution = "TensorrtExecutionProvider",
                              .append = append_tensorrt,
                              .query =
                                  ORT_QUERY("ONNX Runtime with TensorRT",
                                            "libonnxruntime_providers_tensorrt.so", "onnxruntime-gpu", NULL)};

#define ORT_PROVIDER(id, spelling, words, row, own)                                                          \
    const rt_provider rt_provider_##id = {.name = spelling,                                                  \
                                          .help = words,                                                     \
                                          .fused = own,                                                      \
                                          .kind = &row,                                                      \
                                          .probe = ort_probe,                                                \
                                          .open = ort_open,                                                  \
                                          .run = ort_run,                                                    \
                                          .describe = ort_describe,                                          \
                                          .step = rt_foreign_step,                                           \
                                          .close = ort_close};
ORT_PROVIDER(onnxruntime, "onnxruntime", "ONNX Runtime, its own CPU kernels", cpu, true)
ORT_PROVIDER(onnxruntime_openvino, "onnxruntime:openvino", "OpenVINO inside ONNX Runtime", openvino, false)
ORT_PROVIDER(onnxruntime_cuda, "onnxruntime:cuda", "CUDA inside ONNX Runtime", cuda, true)
ORT_PROVIDER(onnxruntime_tensorrt, "onnxruntime:tensorrt", "TensorRT inside ONNX Runtime", tensorrt, true)
