/* SPDX-License-Identifier: Apache-2.0
 * Files of named tensors. One row a format: name, probe, open. Nothing in a file is executed, every size is
 * checked, and a file is accepted whole or not at all. */
#ifndef RT_FILE_TENSORS_H
#define RT_FILE_TENSORS_H

#include "base/map.h"
#include "base/memory.h"
#include "base/names.h"
#include "base/tensor.h"

/* Whose names and layouts the tensors of a file have: torch's, [out, in]; those of a Keras model or of a
 * TensorFlow checkpoint, [in, out] (rt_weights_rename makes them torch's). */
typedef enum rt_naming { RT_NAMES_TORCH, RT_NAMES_KERAS, RT_NAMES_TENSORFLOW } rt_naming;

/* The tensors of one checkpoint (one file or several shards). Data points into the mappings, or into `arena`
 * where a file's order had to be changed. */
typedef struct rt_tensors {
    rt_tensor *items; /* sorted by name, names unique */
    size_t count, capacity;
    rt_naming naming;
    struct {
        const char *key, *value;
    } * metadata; /* strings of the file, e.g. __metadata__ of safetensors */
    size_t metadata_count, metadata_capacity;
    rt_names metadata_keys; /* to their places */
    rt_map *maps;
    size_t map_count;
    rt_arena arena;
} rt_tensors;

/* Opens a file of any known format (by its bytes, not its name). */
retort_status rt_tensors_open(rt_tensors *out, const char *path, retort_error *err);
/* Opens the weights of a Hugging Face folder: model.safetensors, model.safetensors.index.json (shards, names
 * kept inside the folder), pytorch_model.bin, pytorch_model.bin.index.json, tf_model.h5; or of a folder of
 * TensorFlow's: bert_model.ckpt.index, model.ckpt.index, or the one that the file "checkpoint" names. The
 * first that exists. */
retort_status rt_tensors_open_folder(rt_tensors *out, const char *folder, retort_error *err);
/* The name of the file that rt_tensors_open_folder begins with; NULL when there is none. */
const char *rt_tensors_folder_file(const char *folder);
void rt_tensors_close(rt_tensors *tensors);
/* NULL when there is none. */
const rt_tensor *rt_tensors_find(const rt_tensors *tensors, const char *name);
const char *rt_tensors_metadata(const rt_tensors *tensors, const char *key);

/* The parsers on plain memory, as the fuzzers call them. `data` must outlive *out. */
retort_status rt_safetensors_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                   retort_error *err);
retort_status rt_torch_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                             retort_error *err); /* zip and legacy */
/* A checkpoint of TensorFlow's with one data file, that is *data. */
retort_status rt_bundle_parse(rt_tensors *out, const char *name, const uint8_t *index, size_t size,
                              const rt_map *data, retort_error *err);
retort_status rt_hdf5_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                            retort_error *err);

/* Writes a safetensors file, every tensor's data aligned to 64 bytes from the start of the file (the header
 * is padded with spaces; since the format allows no holes, every tensor but the last must have a size that is
 * a multiple of 64 bytes, else RETORT_ARGUMENT). Tensors are written in the order given. keys/values:
 * __metadata__. The output depends on nothing but the arguments. */
retort_status rt_safetensors_write(const char *path, const rt_tensor *tensors, size_t count,
                                   const char *const *keys, const char *const *values, size_t metadata_count,
                                   retort_error *err);

#endif
