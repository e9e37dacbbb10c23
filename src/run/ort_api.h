/* SPDX-License-Identifier: Apache-2.0
 * The functions of ONNX Runtime's C API that are used. Its table is append-only: the index of a function is
 * the same in every version that has it (the project asserts this for its OrtApi struct). A row: name here,
 * index, result, arguments. A status is NULL for success. */
#ifndef RT_RUN_ORT_API_H
#define RT_RUN_ORT_API_H

#include "run/library.h"

typedef struct ort_status ort_status;
typedef struct ort_env ort_env;
typedef struct ort_session ort_session;
typedef struct ort_options ort_options;
typedef struct ort_value ort_value;
typedef struct ort_memory ort_memory;
typedef struct ort_shape ort_shape;
typedef struct ort_allocator ort_allocator;
typedef struct ort_gpu_options ort_gpu_options; /* of CUDA or TensorRT */

/* Versions of the library: 1.17 is the first that has all rows. */
enum { ORT_MIN_MINOR = 17 };
/* Values of its enums. */
enum { ORT_LOG_FATAL = 4, ORT_FLOAT = 1, ORT_INT64 = 7, ORT_ARENA_ALLOCATOR = 1, ORT_MEMORY_DEFAULT = 0 };

#define ORT_FUNCTIONS(X)                                                                                     \
    X(error_message, 2, const char *, (const ort_status *))                                                  \
    X(create_env, 3, ort_status *, (int log_level, const char *id, ort_env **out))                           \
    X(create_session, 7, ort_status *,                                                                       \
      (const ort_env *, const char *path, const ort_options *, ort_session **))                              \
    X(create_session_from_array, 8, ort_status *,                                                            \
      (const ort_env *, const void *bytes, size_t, const ort_options *, ort_session **))                     \
    X(run, 9, ort_status *,                                                                                  \
      (ort_session *, const void *run_options, const char *const *inputs, const ort_value *const *,          \
       size_t count, const char *const *outputs, size_t output_count, ort_value **))                         \
    X(create_session_options, 10, ort_status *, (ort_options **))                                            \
    X(set_log_severity, 22, ort_status *, (ort_options *, int log_level))                                    \
    X(set_graph_level, 23, ort_status *, (ort_options *, int level))                                         \
    X(set_intra_threads, 24, ort_status *, (ort_options *, int))                                             \
    X(set_inter_threads, 25, ort_status *, (ort_options *, int))                                             \
    X(input_count, 30, ort_status *, (const ort_session *, size_t *))                                        \
    X(output_count, 31, ort_status *, (const ort_session *, size_t *))                                       \
    X(input_name, 36, ort_status *, (const ort_session *, size_t, ort_allocator *, char **))                 \
    X(output_name, 37, ort_status *, (const ort_session *, size_t, ort_allocator *, char **))                \
    X(create_tensor, 49, ort_status *,                                                                       \
      (const ort_memory *, void *data, size_t bytes, const int64_t *dims, size_t rank, int type,             \
       ort_value **))                                                                                        \
    X(tensor_data, 51, ort_status *, (ort_value *, void **))                                                 \
    X(shape_type, 60, ort_status *, (const ort_shape *, int *))                                              \
    X(shape_rank, 61, ort_status *, (const ort_shape *, size_t *))                                           \
    X(shape_dims, 62, ort_status *, (const ort_shape *, int64_t *, size_t))                                  \
    X(tensor_shape, 65, ort_status *, (const ort_value *, ort_shape **))                                     \
    X(create_cpu_memory, 69, ort_status *, (int allocator, int kind, ort_memory **))                         \
    X(allocator_free, 76, ort_status *, (ort_allocator *, void *))                                           \
    X(default_allocator, 78, ort_status *, (ort_allocator **))                                               \
    X(release_env, 92, void, (ort_env *))                                                                    \
    X(release_status, 93, void, (ort_status *))                                                              \
    X(release_memory, 94, void, (ort_memory *))                                                              \
    X(release_session, 95, void, (ort_session *))                                                            \
    X(release_value, 96, void, (ort_value *))                                                                \
    X(release_shape, 99, void, (ort_shape *))                                                                \
    X(release_options, 100, void, (ort_options *))                                                           \
    X(available_providers, 125, ort_status *, (char ***, int *))                                             \
    X(release_providers, 126, ort_status *, (char **, int))                                                  \
    X(add_config, 130, ort_status *, (ort_options *, const char *key, const char *value))                    \
    X(append_tensorrt, 170, ort_status *, (ort_options *, const ort_gpu_options *))                          \
    X(create_tensorrt, 171, ort_status *, (ort_gpu_options **))                                              \
    X(release_tensorrt, 174, void, (ort_gpu_options *))                                                      \
    X(append_cuda, 204, ort_status *, (ort_options *, const ort_gpu_options *))                              \
    X(create_cuda, 205, ort_status *, (ort_gpu_options **))                                                  \
    X(release_cuda, 208, void, (ort_gpu_options *))                                                          \
    X(append_openvino, 275, ort_status *,                                                                    \
      (ort_options *, const char *const *keys, const char *const *values, size_t))

typedef struct ort_api {
#define ORT_FIELD(name, index, result, arguments) result(*name) arguments;
    ORT_FUNCTIONS(ORT_FIELD)
#undef ORT_FIELD
} ort_api;

/* What OrtGetApiBase returns; NULL for a version that the library does not have. */
typedef struct ort_base {
    const rt_function *(*table)(uint32_t version);
    const char *(*version)(void);
} ort_base;

#endif
