/* SPDX-License-Identifier: Apache-2.0
 * How a .retort file stores constants: as the kernels read them, or smaller where that is lossless. */
#ifndef RT_MODEL_STORAGE_H
#define RT_MODEL_STORAGE_H

#include "base/tensor.h"
#include "graph/graph.h"

typedef enum rt_storage {
    RT_STORAGE_PLAIN, /* in its own dtype and layout */
    RT_STORAGE_BF16,  /* a vector of floats that bf16 represents exactly */
    RT_STORAGE_S3,    /* 4-bit codes that are all in -4…3, in 3 bits each */
    RT_STORAGE_S2     /* 4-bit codes that are all -3, -1, 1 or 3, except for padding, in 2 bits each */
} rt_storage;

/* The storage for this constant, which has data. */
rt_storage rt_storage_of(const rt_value *value);
/* The storage in a file: `stored` is its tensor there. */
rt_storage rt_storage_found(const rt_value *value, const rt_tensor *stored);
/* Bytes of 4-bit codes in that storage, padded with zeros to a multiple of 64. 0: other values or storages, or
 * no saving. */
size_t rt_storage_narrow_bytes(const rt_value *value, rt_storage storage);
/* The layout's name in that storage: "p16_s4", "p16_s3" or "p16_s2". */
const char *rt_storage_layout_name(const rt_value *value, rt_storage storage);
/* A constant in plain storage: packed matrices in their packed shape; others in their own shape if their
 * bytes are a multiple of 64, else flat and padded with zeros to one. False: the size overflows. */
bool rt_storage_plain(const rt_value *value, rt_tensor *out);
/* The constant as a tensor of the file; converted data is in the arena. False: out of memory. */
bool rt_storage_tensor(const rt_value *value, rt_arena *arena, rt_tensor *out);
/* The reverse: a tensor of the file in plain storage; converted data is in memory of the graph. A tensor
 * that is too small, or of another dtype, is returned unchanged. False: out of memory. */
bool rt_storage_load(const rt_value *value, const rt_tensor *stored, rt_graph *graph, rt_tensor *out);

#endif
