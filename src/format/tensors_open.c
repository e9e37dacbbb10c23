/* SPDX-License-Identifier: Apache-2.0
 * Opens a file of any format of the table. */
#include "format/format.h"

#include <string.h>

static bool starts_with(const uint8_t *data, size_t size, const char *magic, size_t length) {
    return size >= length && memcmp(data, magic, length) == 0;
}
static bool lfs_probe(const uint8_t *data, size_t size) {
    return starts_with(data, size, "version https://git-lfs", 23);
}
static bool tar_probe(const uint8_t *data, size_t size) {
    return size >= 512 && memcmp(data + 257, "ustar", 5) == 0;
}
/* One row per format, tried from the top. Rows without a reader only name a format in the error. */
static const rt_format formats[] = {
    {"torch zip", rt_torch_zip_probe, rt_torch_zip_read, NULL},
    {"torch legacy", rt_torch_legacy_probe, rt_torch_legacy_read, NULL},
    {"tar", tar_probe, NULL,
     "a tar archive (torch before 0.1.10) is not supported; load and save it with torch"},
    {"hdf5", rt_hdf5_probe, rt_hdf5_read, NULL},
    {"git lfs", lfs_probe, NULL, "a Git LFS pointer, not the weights; fetch them with 'git lfs pull'"},
    {"safetensors", rt_safetensors_probe, rt_safetensors_read, NULL},
};

retort_status rt_tensors_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                              retort_error *err) {
    if (size == 0) return rt_fail(err, RETORT_FORMAT, "%s: the file is empty", name);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!formats[i].probe(data, size)) continue;
        if (formats[i].read != NULL) return formats[i].read(out, name, data, size, err);
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s", name, formats[i].refusal);
    }
    return rt_fail(err, RETORT_FORMAT,
                   "%s: %zu bytes that are neither safetensors, a torch checkpoint nor HDF5", name, size);
}

retort_status rt_tensors_open(rt_tensors *out, const char *path, retort_error *err) {
    *out = (rt_tensors){.maps = rt_calloc(1, sizeof *out->maps)};
    if (out->maps == NULL) return rt_fail_nomem(err, sizeof *out->maps);
    out->map_count = 1;
    retort_status status = rt_map_open(&out->maps[0], path, err);
    if (status == RETORT_OK) status = rt_tensors_read(out, path, out->maps[0].data, out->maps[0].size, err);
    if (status == RETORT_OK) status = rt_tensors_seal(out, path, err);
    if (status != RETORT_OK) rt_tensors_close(out);
    return status;
}
