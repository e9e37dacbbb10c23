/* SPDX-License-Identifier: Apache-2.0
 * The CPU device of OpenVINO through its C API. */
#include "run/foreign.h"
#include "run/ov_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct engine {
    rt_foreign foreign;
    rt_library library;
    ov_api api;
    ov_core *core;
    ov_compiled *compiled;
    ov_request *request;
    int feeds[3]; /* rt_foreign_input of each input */
    size_t input_count, output_count;
} engine;

static const rt_library_query query = {
    "libopenvino_c.so",
    NULL,
    NULL,
    "ov_get_openvino_version",
    "OpenVINO's C library",
    {{"openvino", "openvino/libs"}, {"onnxruntime-openvino", "onnxruntime/capi"}}};

static retort_status check(const engine *e, const char *what, int status, retort_error *err) {
    if (status == 0) return RETORT_OK;
    const char *text = e->api.get_last_err_msg();
    bool own = text != NULL && *text != '\0';
    retort_status failed =
        rt_foreign_fail(&e->foreign, err, what, own ? text : e->api.get_error_info(status));
    if (text != NULL) e->api.free(text);
    return failed;
}

/* ---- The library ---- */

/* The name of a function that is missing, or NULL. */
static const char *read_functions(ov_api *api, const rt_library *library) {
    const char *missing = NULL;
    rt_function function;
#define OV_READ(name, result, arguments)                                                                     \
    function = rt_library_symbol(library, "ov_" #name);                                                      \
    if (function == NULL) missing = "ov_" #name;                                                             \
    api->name = (result(*) arguments)function;
#define OV_READ_STATUS(name, arguments)  OV_READ(name, int, arguments)
#define OV_READ_RELEASE(name, arguments) OV_READ(name, void, arguments)
#define OV_READ_TEXT(name, arguments)    OV_READ(name, const char *, arguments)
    OV_FUNCTIONS(OV_READ_STATUS)
    OV_RELEASES(OV_READ_RELEASE)
    OV_TEXTS(OV_READ_TEXT)
#undef OV_READ
#undef OV_READ_STATUS
#undef OV_READ_RELEASE
#undef OV_READ_TEXT
    return missing;
}

static retort_status load(engine *e, retort_error *err) {
    ov_version version = {0};
    retort_status status = rt_library_open(&e->library, &query, err);
    if (status != RETORT_OK) return status;
    const char *missing = read_functions(&e->api, &e->library);
    if (missing != NULL) {
        return rt_fail(err, RETORT_PROVIDER, "%s: OpenVINO of %d or later was expected: it has no %s",
                       e->library.path, OV_MIN_YEAR, missing);
    }
    status = check(e, "version", e->api.get_openvino_version(&version), err);
    if (status != RETORT_OK) return status;
    size_t length = strcspn(version.build, "-");
    snprintf(e->foreign.version, sizeof e->foreign.version, "%.*s", (int)rt_min(length, 31), version.build);
    e->api.version_free(&version);
    if (strtol(e->foreign.version, NULL, 10) >= OV_MIN_YEAR) return RETORT_OK;
    return rt_fail(err, RETORT_PROVIDER, "%s: OpenVINO of version %s: expected %d or later", e->library.path,
                   e->foreign.version, OV_MIN_YEAR);
}

static retort_status openvino_probe(const rt_provider *provider, retort_provider_info *info,
                                    retort_error *err) {
    engine e = {.foreign.provider = provider->name};
    retort_status status = load(&e, err);
    if (status != RETORT_OK) return status;
    snprintf(info->version, sizeof info->version, "%s", e.foreign.version);
    snprintf(info->path, sizeof info->path, "%s", e.library.path);
    return RETORT_OK;
}

/* ---- A session ---- */

static retort_status compile(engine *e, const ov_model *model, retort_error *err) {
    char threads[16];
    snprintf(threads, sizeof threads, "%d", e->foreign.threads);
    return check(e, "compile",
                 e->api.core_compile_model(e->core, model, "CPU", 8, &e->compiled, "INFERENCE_NUM_THREADS",
                                           threads, "NUM_STREAMS", "1", "PERFORMANCE_HINT", "LATENCY",
                                           "INFERENCE_PRECISION_HINT", e->foreign.bf16 ? "bf16" : "f32"),
                 err);
}

static retort_status read_model(engine *e, const retort_session_options *options, retort_error *err) {
    ov_model *model = NULL;
    int done = options->onnx != NULL
                   ? e->api.core_read_model(e->core, options->onnx, NULL, &model)
                   : e->api.core_read_model_from_memory_buffer(e->core, (const char *)e->foreign.onnx,
                                                               e->foreign.onnx_bytes, NULL, &model);
    retort_status status = check(e, options->onnx != NULL ? options->onnx : "open", done, err);
    if (status == RETORT_OK) status = compile(e, model, err);
    if (model != NULL) e->api.model_free(model);
    return status;
}

static retort_status read_input(engine *e, size_t index, retort_error *err) {
    ov_port *port = NULL;
    char *name = NULL;
    retort_status status =
        check(e, "inputs", e->api.compiled_model_input_by_index(e->compiled, index, &port), err);
    if (status == RETORT_OK) status = check(e, "inputs", e->api.port_get_any_name(port, &name), err);
    if (status == RETORT_OK) {
        e->feeds[index] = rt_foreign_input(name);
        if (e->feeds[index] < 0) status = rt_foreign_fail(&e->foreign, err, "unknown input", name);
    }
    if (name != NULL) e->api.free(name);
    if (port != NULL) e->api.output_const_port_free(port);
    return status;
}

static retort_status read_ports(engine *e, retort_error *err) {
    retort_status status =
        check(e, "inputs", e->api.compiled_model_inputs_size(e->compiled, &e->input_count), err);
    if (status == RETORT_OK)
        status = check(e, "outputs", e->api.compiled_model_outputs_size(e->compiled, &e->output_count), err);
    if (status != RETORT_OK) return status;
    if (e->input_count > 3 || e->output_count < 1 || e->output_count > RT_FOREIGN_OUTPUTS) {
        return rt_fail(err, RETORT_PROVIDER,
                       "provider '%s': %zu inputs and %zu outputs: expected 1 to 3, 1 to %d",
                       e->foreign.provider, e->input_count, e->output_count, RT_FOREIGN_OUTPUTS);
    }
    for (size_t i = 0; status == RETORT_OK && i < e->input_count; i++) status = read_input(e, i, err);
    return status;
}

static void openvino_close(void *state) {
    engine *e = state;
    if (e == NULL) return;
    if (e->request != NULL) e->api.infer_request_free(e->request);
    if (e->compiled != NULL) e->api.compiled_model_free(e->compiled);
    if (e->core != NULL) e->api.core_free(e->core);
    rt_foreign_close(&e->foreign);
    free(e);
}

static retort_status open_parts(engine *e, const rt_provider *provider, const retort_model *model,
                                const retort_session_options *options, retort_error *err) {
    if (options->graph_level != NULL) {
        return rt_fail(err, RETORT_UNSUPPORTED, "provider '%s': OpenVINO has no graph levels",
                       options->provider);
    }
    retort_status status = load(e, err);
    if (status == RETORT_OK) status = rt_foreign_open(&e->foreign, provider, model, options, err);
    if (status == RETORT_OK) status = check(e, "core", e->api.core_create(&e->core), err);
    if (status == RETORT_OK) status = read_model(e, options, err);
    rt_foreign_forget(&e->foreign);
    if (status == RETORT_OK) status = read_ports(e, err);
    if (status != RETORT_OK) return status;
    return check(e, "request", e->api.compiled_model_create_infer_request(e->compiled, &e->request), err);
}

static retort_status openvino_open(const rt_provider *provider, void **state, const retort_model *model,
                                   const retort_session_options *options, retort_error *err) {
    engine *e = rt_calloc(1, sizeof *e);
    if (e == NULL) return rt_fail_nomem(err, sizeof *e);
    e->foreign.provider = provider->name;
    retort_status status = open_parts(e, provider, model, options, err);
    if (status == RETORT_OK) {
        *state = e;
    } else {
        openvino_close(e);
    }
    return status;
}

/* ---- Runs ---- */

/* The data of the tensor, which must have the expected number of bytes, or else is of another type. */
static retort_status tensor_bytes(engine *e, const ov_tensor *tensor, size_t expected, void **data,
                                  retort_error *err) {
    size_t bytes;
    retort_status status = check(e, "tensor", e->api.tensor_get_byte_size(tensor, &bytes), err);
    if (status == RETORT_OK) status = check(e, "tensor", e->api.tensor_data(tensor, data), err);
    if (status != RETORT_OK || bytes == expected) return status;
    return rt_fail(err, RETORT_PROVIDER, "provider '%s': a tensor has %zu bytes: expected %zu",
                   e->foreign.provider, bytes, expected);
}

static retort_status feed(engine *e, size_t index, const rt_chunk *chunk, retort_error *err) {
    int64_t dims[] = {(int64_t)chunk->batch, (int64_t)chunk->seq};
    size_t bytes = chunk->rows * sizeof(int64_t);
    ov_tensor *tensor = NULL;
    void *data;
    retort_status status =
        check(e, "input", e->api.infer_request_get_input_tensor_by_index(e->request, index, &tensor), err);
    if (status == RETORT_OK)
        status = check(e, "input", e->api.tensor_set_shape(tensor, (ov_shape){2, dims}), err);
    if (status == RETORT_OK) status = tensor_bytes(e, tensor, bytes, &data, err);
    if (status == RETORT_OK) memcpy(data, rt_foreign_feed(chunk, e->feeds[index]), bytes);
    if (tensor != NULL) e->api.tensor_free(tensor);
    return status;
}

static retort_status read_output(engine *e, const ov_tensor *tensor, rt_foreign_output *out,
                                 retort_error *err) {
    ov_shape shape = {0};
    void *data = NULL;
    size_t count = 1;
    retort_status status = check(e, "output", e->api.tensor_get_shape(tensor, &shape), err);
    if (status != RETORT_OK) return status;
    bool fits = shape.rank >= 0 && shape.rank <= RT_FOREIGN_RANK;
    for (int64_t i = 0; fits && i < shape.rank; i++) {
        out->dims[i] = shape.dims[i];
        fits = shape.dims[i] >= 0 && rt_mul(count, (size_t)shape.dims[i], &count);
    }
    out->rank = (size_t)shape.rank;
    status = check(e, "output", e->api.shape_free(&shape), err);
    if (status != RETORT_OK) return status;
    if (!fits || !rt_mul(count, sizeof(float), &count))
        return rt_foreign_fail(&e->foreign, err, "output", "expected floats of at most 4 dimensions");
    status = tensor_bytes(e, tensor, count, &data, err);
    out->data = data;
    return status;
}

static retort_status compute(void *state, const rt_chunk *chunk, retort_error *err) {
    engine *e = state;
    ov_tensor *tensors[RT_FOREIGN_OUTPUTS] = {0};
    rt_foreign_output outputs[RT_FOREIGN_OUTPUTS] = {0};
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < e->input_count; i++) status = feed(e, i, chunk, err);
    if (status == RETORT_OK) status = check(e, "run", e->api.infer_request_infer(e->request), err);
    for (size_t i = 0; status == RETORT_OK && i < e->output_count; i++) {
        status = check(e, "output",
                       e->api.infer_request_get_output_tensor_by_index(e->request, i, &tensors[i]), err);
        if (status == RETORT_OK) status = read_output(e, tensors[i], &outputs[i], err);
    }
    if (status == RETORT_OK) status = rt_foreign_take(&e->foreign, outputs, e->output_count, err);
    for (size_t i = 0; i < RT_FOREIGN_OUTPUTS; i++) {
        if (tensors[i] != NULL) e->api.tensor_free(tensors[i]);
    }
    return status;
}

static retort_status openvino_run(void *state, const rt_batch *batch, retort_matrix *out, retort_error *err) {
    engine *e = state;
    return rt_foreign_run(&e->foreign, compute, e, batch, out, err);
}

static void openvino_describe(const void *state, retort_session_info *info) {
    const engine *e = state;
    rt_foreign_describe(&e->foreign, info);
}

const rt_provider rt_provider_openvino = {
    .name = "openvino",
    .help = "OpenVINO's CPU device",
    .probe = openvino_probe,
    .open = openvino_open,
    .run = openvino_run,
    .describe = openvino_describe,
    .step = rt_foreign_step,
    .close = openvino_close,
};
