/* SPDX-License-Identifier: Apache-2.0
 * ONNX files as plain structs, for reading and writing. src/graph knows what the operators mean. */
#ifndef RT_ONNX_ONNX_H
#define RT_ONNX_ONNX_H

#include "base/map.h"
#include "base/memory.h"
#include "base/names.h"
#include "base/tensor.h"

/* TensorProto.DataType, those that encoders use. */
typedef enum rt_onnx_type {
    RT_ONNX_FLOAT = 1,
    RT_ONNX_UINT8 = 2,
    RT_ONNX_INT8 = 3,
    RT_ONNX_INT32 = 6,
    RT_ONNX_INT64 = 7,
    RT_ONNX_BOOL = 9,
    RT_ONNX_FLOAT16 = 10,
    RT_ONNX_DOUBLE = 11,
    RT_ONNX_BFLOAT16 = 16,
    RT_ONNX_UINT4 = 21, /* two elements per byte, the first in the low half */
    RT_ONNX_INT4 = 22
} rt_onnx_type;
/* The data type of a dtype, and back; false for one that rt_tensor does not have (double, 4 bits). */
rt_onnx_type rt_onnx_type_of(retort_dtype dtype);
bool rt_onnx_dtype(rt_onnx_type type, retort_dtype *dtype);

typedef struct rt_onnx_tensor {
    const char *name;
    rt_onnx_type type;
    int rank;
    int64_t dims[RT_MAX_RANK];
    const void *data; /* row-major, `bytes` long; may be unaligned if read from a file */
    size_t bytes;
} rt_onnx_tensor;

/* AttributeProto.AttributeType */
typedef enum rt_onnx_kind {
    RT_ONNX_ATTR_FLOAT = 1,
    RT_ONNX_ATTR_INT = 2,
    RT_ONNX_ATTR_TEXT = 3,
    RT_ONNX_ATTR_TENSOR = 4,
    RT_ONNX_ATTR_FLOATS = 6,
    RT_ONNX_ATTR_INTS = 7
} rt_onnx_kind;
typedef struct rt_onnx_attr {
    const char *name;
    rt_onnx_kind kind;
    int64_t i;
    float f;
    const char *text;
    const rt_onnx_tensor *tensor;
    const int64_t *ints; /* [count] */
    const float *floats; /* [count] */
    size_t count;
} rt_onnx_attr;

typedef struct rt_onnx_node {
    const char *op, *domain, *name; /* domain: "" is ONNX's own */
    const char **inputs, **outputs; /* "": absent */
    size_t input_count, output_count;
    rt_onnx_attr *attrs;
    size_t attr_count;
} rt_onnx_node;

/* An input or output of the graph. */
typedef struct rt_onnx_value {
    const char *name;
    rt_onnx_type type;
    int rank;
    int64_t dims[RT_MAX_RANK];       /* -1: unknown until there is a batch, */
    const char *params[RT_MAX_RANK]; /* and then its name, or NULL */
} rt_onnx_value;

/* Keys with values: metadata, or domains with their versions as numbers. */
typedef struct rt_onnx_pair {
    const char *key, *value;
    int64_t version;
} rt_onnx_pair;

/* Zero-initialise to write one. Texts and arrays that were read live in `arena` or in `message`. */
typedef struct rt_onnx {
    int64_t ir_version;
    const char *producer, *graph_name;
    rt_onnx_pair *opsets, *metadata;
    size_t opset_count, metadata_count;
    rt_onnx_node *nodes;
    size_t node_count;
    rt_onnx_tensor *tensors; /* the initializers */
    size_t tensor_count;
    rt_onnx_value *inputs, *outputs;
    size_t input_count, output_count;
    rt_arena arena;
    size_t opset_capacity, metadata_capacity, node_capacity, tensor_capacity, input_capacity, output_capacity;
    struct RtOnnx__Model *message; /* what was read, */
    size_t message_bytes;          /* and the memory that it takes */
    rt_map *files;                 /* of external data, */
    rt_names locations;            /* by what the file calls them */
    size_t file_count, file_capacity;
} rt_onnx;

/* The largest file without external data: Google's protobuf reads no more. */
#define RT_ONNX_MAX_BYTES INT64_C(0x7fffffff)

/* The whole model as bytes, which the caller frees. RETORT_LIMIT when they would be more than
 * RT_ONNX_MAX_BYTES. */
retort_status rt_onnx_pack(const rt_onnx *onnx, uint8_t **bytes, size_t *length, retort_error *err);
/* Writes `path`. When it would have more than external_over bytes (0: RT_ONNX_MAX_BYTES), tensors of 1 KiB
 * and more go to "path.data" beside it, each at a multiple of 4096 bytes; *external says so, and *bytes is
 * what all files have. Both are written under other names and renamed, the data first. */
retort_status rt_onnx_save(const rt_onnx *onnx, const char *path, uint64_t external_over, uint64_t *bytes,
                           bool *external, retort_error *err);

/* Appends; NULL when out of memory. The item is zeroed; texts and arrays that it points to must outlive
 * *onnx (its arena is a good place). */
rt_onnx_node *rt_onnx_add_node(rt_onnx *onnx);
rt_onnx_tensor *rt_onnx_add_tensor(rt_onnx *onnx);
rt_onnx_value *rt_onnx_add_input(rt_onnx *onnx);
rt_onnx_value *rt_onnx_add_output(rt_onnx *onnx);
bool rt_onnx_add_opset(rt_onnx *onnx, const char *domain, int64_t version);
bool rt_onnx_add_metadata(rt_onnx *onnx, const char *key, const char *value);
void rt_onnx_close(rt_onnx *onnx);

/* Opens an ONNX file and maps the files of its external data, which must be regular files below the folder
 * that it lies in, reached without any link but those of Hugging Face's cache. */
retort_status rt_onnx_open(rt_onnx *out, const char *path, retort_error *err);
/* The ONNX file of a folder into path[RT_PATH_SIZE]: model.onnx, else onnx/model.onnx, else the only one that
 * the folder and its folder onnx have; "" where there is none. Of several, none is chosen: they are named. */
retort_status rt_onnx_in_folder(char *path, const char *folder, retort_error *err);
/* The parser on plain memory, as the fuzzer calls it: all is copied. `folder` is where external data lies;
 * NULL: it is refused. */
retort_status rt_onnx_parse(rt_onnx *out, const char *name, const char *folder, const uint8_t *data,
                            size_t size, retort_error *err);
/* Bytes of `count` elements; false for a type that is not in the list above, or on overflow. */
bool rt_onnx_bytes(rt_onnx_type type, size_t count, size_t *bytes);
/* Whether a tensor (NULL is none) has this type and exactly these dims. */
bool rt_onnx_is_shaped(const rt_onnx_tensor *tensor, rt_onnx_type type, int rank, const int64_t *dims);
/* The node's attribute; NULL when it has none of that name. */
const rt_onnx_attr *rt_onnx_attribute(const rt_onnx_node *node, const char *name);

#endif
