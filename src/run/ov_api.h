/* SPDX-License-Identifier: Apache-2.0
 * The functions of OpenVINO's C API that are used. A row: name in the library without "ov_", arguments. Each
 * returns 0 for success. Element types are never named, since their numbers differ between versions. */
#ifndef RT_RUN_OV_API_H
#define RT_RUN_OV_API_H

#include "run/library.h"

typedef struct ov_core ov_core;
typedef struct ov_model ov_model;
typedef struct ov_compiled ov_compiled;
typedef struct ov_request ov_request;
typedef struct ov_port ov_port;
typedef struct ov_tensor ov_tensor;
typedef struct ov_shape {
    int64_t rank;
    int64_t *dims;
} ov_shape;
typedef struct ov_version {
    const char *build, *description; /* "2026.4.1-22390-…" */
} ov_version;

/* 2023.1 is the first that has all of them. */
enum { OV_MIN_YEAR = 2023 };

#define OV_FUNCTIONS(X)                                                                                      \
    X(get_openvino_version, (ov_version *))                                                                  \
    X(core_create, (ov_core **))                                                                             \
    X(core_read_model, (const ov_core *, const char *path, const char *weights, ov_model **))                \
    X(core_read_model_from_memory_buffer,                                                                    \
      (const ov_core *, const char *bytes, size_t length, const ov_tensor *, ov_model **))                   \
    X(core_compile_model,                                                                                    \
      (const ov_core *, const ov_model *, const char *device, size_t strings, ov_compiled **, ...))          \
    X(compiled_model_create_infer_request, (const ov_compiled *, ov_request **))                             \
    X(compiled_model_inputs_size, (const ov_compiled *, size_t *))                                           \
    X(compiled_model_outputs_size, (const ov_compiled *, size_t *))                                          \
    X(compiled_model_input_by_index, (const ov_compiled *, size_t, ov_port **))                              \
    X(port_get_any_name, (const ov_port *, char **))                                                         \
    X(infer_request_get_input_tensor_by_index, (const ov_request *, size_t, ov_tensor **))                   \
    X(infer_request_get_output_tensor_by_index, (const ov_request *, size_t, ov_tensor **))                  \
    X(infer_request_infer, (ov_request *))                                                                   \
    X(tensor_set_shape, (ov_tensor *, ov_shape))                                                             \
    X(tensor_get_shape, (const ov_tensor *, ov_shape *))                                                     \
    X(tensor_get_byte_size, (const ov_tensor *, size_t *))                                                   \
    X(tensor_data, (const ov_tensor *, void **))                                                             \
    X(shape_free, (ov_shape *))

/* Functions that return nothing. */
#define OV_RELEASES(X)                                                                                       \
    X(version_free, (ov_version *))                                                                          \
    X(core_free, (ov_core *))                                                                                \
    X(model_free, (ov_model *))                                                                              \
    X(compiled_model_free, (ov_compiled *))                                                                  \
    X(infer_request_free, (ov_request *))                                                                    \
    X(output_const_port_free, (ov_port *))                                                                   \
    X(tensor_free, (ov_tensor *))                                                                            \
    X(free, (const char *))

/* Functions that return a text. */
#define OV_TEXTS(X)                                                                                          \
    X(get_error_info, (int status)) /* not to be freed */                                                    \
    X(get_last_err_msg, (void))     /* to be freed */

typedef struct ov_api {
#define OV_STATUS_FIELD(name, arguments)  int(*name) arguments;
#define OV_RELEASE_FIELD(name, arguments) void(*name) arguments;
#define OV_TEXT_FIELD(name, arguments)    const char *(*name)arguments;
    OV_FUNCTIONS(OV_STATUS_FIELD)
    OV_RELEASES(OV_RELEASE_FIELD)
    OV_TEXTS(OV_TEXT_FIELD)
#undef OV_STATUS_FIELD
#undef OV_RELEASE_FIELD
#undef OV_TEXT_FIELD
} ov_api;

#endif
