/* SPDX-License-Identifier: Apache-2.0
 * Shared by the file formats: rows {name, probe, read or refusal}, and how a reader returns its tensors. */
#ifndef RT_FORMAT_FORMAT_H
#define RT_FORMAT_FORMAT_H

#include "format/tensors.h"

/* More than any encoder has; a file that declares more is refused before anything is allocated. */
enum { RT_MAX_TENSORS = 100000, RT_MAX_TENSOR_NAME = 512 };

/* Appends the tensors of one file; `name` starts error texts. On failure, the caller closes *out with what
 * was added so far. */
typedef retort_status (*rt_format_read)(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                        retort_error *err);
typedef struct rt_format {
    const char *name;
    bool (*probe)(const uint8_t *data, size_t size);
    rt_format_read read; /* NULL: the format is recognised */
    const char *refusal; /* and refused with this text */
} rt_format;

bool rt_safetensors_probe(const uint8_t *data, size_t size);
retort_status rt_safetensors_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                  retort_error *err);
bool rt_torch_zip_probe(const uint8_t *data, size_t size);
retort_status rt_torch_zip_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                retort_error *err);
bool rt_torch_legacy_probe(const uint8_t *data, size_t size);
retort_status rt_torch_legacy_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                   retort_error *err);
bool rt_hdf5_probe(const uint8_t *data, size_t size);
retort_status rt_hdf5_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                           retort_error *err);

/* Appends a copy of *tensor (its name is copied too, its data is not). */
retort_status rt_tensors_add(rt_tensors *out, const char *file, const rt_tensor *tensor, retort_error *err);
/* Sorts by name and refuses duplicates. The last step of every caller of a reader. */
retort_status rt_tensors_seal(rt_tensors *out, const char *file, retort_error *err);
/* Runs one reader on memory. *out is complete, or closed and empty. */
retort_status rt_tensors_parse(rt_tensors *out, const rt_format *format, const char *name,
                               const uint8_t *data, size_t size, retort_error *err);
/* Finds the format by the first bytes and appends the tensors of the file, without sealing. */
retort_status rt_tensors_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                              retort_error *err);

#endif
