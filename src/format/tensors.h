/* SPDX-License-Identifier: Apache-2.0
 * Files of named tensors. One row per format: name, probe, open. Nothing in a file is executed, every size is
 * checked, and a file is accepted as a whole or not at all. */
#ifndef RT_FORMAT_TENSORS_H
#define RT_FORMAT_TENSORS_H

#include "base/map.h"
#include "base/memory.h"
#include "base/names.h"
#include "base/tensor.h"

/* The names and layouts of the tensors in a file: torch, [out, in]; Keras or TensorFlow checkpoint, [in, out]
 * (rt_weights_rename converts them to torch). */
typedef enum rt_naming { RT_NAMES_TORCH, RT_NAMES_KERAS, RT_NAMES_TENSORFLOW } rt_naming;

/* The tensors of one checkpoint (one file or several shards). Data points into the mappings, or into `arena`
 * if elements had to be reordered. */
typedef struct rt_tensors {
    rt_tensor *items; /* sorted by name, names unique */
    size_t count, capacity;
    rt_naming naming;
    struct {
        const char *key, *value;
    } * metadata; /* strings of the file, e.g. __metadata__ of safetensors */
    size_t metadata_count, metadata_capacity;
    rt_names metadata_keys; /* to their indices */
    rt_map *maps;
    size_t map_count;
    rt_arena arena;
} rt_tensors;

/* Opens a file of any known format (by its bytes, not its name). */
retort_status rt_tensors_open(rt_tensors *out, const char *path, retort_error *err);
/* Opens the weights of a folder, from the first file that exists. Hugging Face: model.safetensors,
 * model.safetensors.index.json (shards must be inside the folder), pytorch_model.bin,
 * pytorch_model.bin.index.json, tf_model.h5. TensorFlow: bert_model.ckpt.index, model.ckpt.index, or the one
 * named in the file "checkpoint". */
retort_status rt_tensors_open_folder(rt_tensors *out, const char *folder, retort_error *err);
/* The name of the file that rt_tensors_open_folder opens first, or NULL. */
const char *rt_tensors_folder_file(const char *folder);
void rt_tensors_close(rt_tensors *tensors);
/* Or NULL. */
const rt_tensor *rt_tensors_find(const rt_tensors *tensors, const char *name);
const char *rt_tensors_metadata(const rt_tensors *tensors, const char *key);

/* The parsers, on memory, as the fuzzers call them. `data` must outlive *out. */
retort_status rt_safetensors_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                   retort_error *err);
retort_status rt_torch_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                             retort_error *err); /* zip and legacy */
/* A TensorFlow checkpoint whose one data file is *data. */
retort_status rt_bundle_parse(rt_tensors *out, const char *name, const uint8_t *index, size_t size,
                              const rt_map *data, retort_error *err);
retort_status rt_hdf5_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                            retort_error *err);

/* Writes a safetensors file with the data of every tensor aligned to 64 bytes from the start of the file.
 * The header is padded with spaces; since the format allows no gaps, the size of every tensor but the last
 * must be a multiple of 64 bytes, else RETORT_ARGUMENT. Tensors are written in the given order. keys/values:
 * __metadata__. The output depends only on the arguments. */
retort_status rt_safetensors_write(const char *path, const rt_tensor *tensors, size_t count,
                                   const char *const *keys, const char *const *values, size_t metadata_count,
                                   retort_error *err);

#endif
