/* SPDX-License-Identifier: Apache-2.0
 * Turns the messages of a dataset (sections IV.A.2.b, d and i of the specification) into a tensor. */
#include "format/hdf5.h"

#include <inttypes.h>

/* One row per supported number: bytes, position and width of exponent and mantissa, bias of the exponent. The
 * sign is the highest bit. */
static const struct {
    retort_dtype dtype;
    uint32_t size;
    uint8_t exponent, exponent_width, mantissa_width;
    uint32_t bias;
} floats[] = {
    {RETORT_F32, 4, 23, 8, 23, 127},
    {RETORT_F16, 2, 10, 5, 10, 15},
    {RETORT_BF16, 2, 7, 8, 7, 127},
};

/* By class. */
static const char *const type_names[] = {
    "an integer", "a float",     "a time",         "a string",          "a bit field", "an opaque type",
    "a compound", "a reference", "an enumeration", "a variable length", "an array",
};
enum { INTEGER, FLOAT, TYPES = sizeof type_names / sizeof *type_names };
/* Also by class. */
static const char *const layout_names[] = {"compact", "contiguous", "chunked", "virtual"};
enum { COMPACT, CONTIGUOUS, LAYOUTS = sizeof layout_names / sizeof *layout_names };

static retort_status cut_short(const rt_h5 *h, const rt_h5_object *in, const char *message) {
    return rt_h5_fail(h, RETORT_FORMAT, in->path, "its %s is cut short", message);
}

/* Version 1: version, rank, flags, five bytes, sizes; version 2: version, rank, flags, kind, sizes. */
static retort_status read_space(const rt_h5 *h, const rt_h5_object *in, rt_tensor *out) {
    rt_cursor c = in->body[RT_H5_SPACE];
    const uint8_t *fields = rt_take(&c, 4);
    if (fields == NULL || (fields[0] == 1 && rt_take(&c, 4) == NULL)) return cut_short(h, in, "space");
    if (fields[0] != 1 && fields[0] != 2) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, in->path, "its space: expected version 1 or 2, found %d",
                          fields[0]);
    }
    if (fields[0] == 2 && fields[3] > 1) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, in->path, "its space is empty (null)");
    }
    if (fields[1] > RT_MAX_RANK) {
        return rt_h5_fail(h, RETORT_LIMIT, in->path, "expected at most %d dimensions, found %d", RT_MAX_RANK,
                          fields[1]);
    }
    out->rank = fields[1];
    for (int i = 0; i < out->rank; i++) {
        uint64_t n;
        if (!rt_h5_take(&c, h->length_size, &n)) return cut_short(h, in, "space");
        if (n > INT64_MAX) {
            return rt_h5_fail(h, RETORT_FORMAT, in->path, "dimension %d of %" PRIu64, i, n);
        }
        out->shape[i] = (int64_t)n;
    }
    return RETORT_OK;
}

/* Class and version, 24 bits, size; of a float: offset, precision, where the parts lie, the
 * exponent's bias. */
static retort_status read_type(const rt_h5 *h, const rt_h5_object *in, rt_tensor *out) {
    rt_cursor c = in->body[RT_H5_TYPE];
    uint32_t size = 0, bias = 0;
    const uint8_t *bits = rt_take(&c, 4);
    if (bits == NULL || !rt_take_u32(&c, &size)) return cut_short(h, in, "type");
    unsigned class = bits[0] & 15u;
    bool big = (bits[1] & 0x41) != 0;
    if (class == FLOAT) {
        const uint8_t *p = rt_take(&c, 8);
        if (p == NULL || !rt_take_u32(&c, &bias)) return cut_short(h, in, "type");
        bool plain = !big && (bits[1] >> 4 & 3) == 2 && bits[2] == 8 * size - 1 && p[0] == 0 && p[1] == 0 &&
                     p[2] == 8 * size && p[3] == 0 && p[6] == 0;
        for (size_t i = 0; plain && i < sizeof floats / sizeof *floats; i++) {
            if (size != floats[i].size || p[4] != floats[i].exponent || p[5] != floats[i].exponent_width ||
                p[7] != floats[i].mantissa_width || bias != floats[i].bias)
                continue;
            out->dtype = floats[i].dtype;
            return RETORT_OK;
        }
    }
    return rt_h5_fail(h, RETORT_UNSUPPORTED, in->path,
                      "expected a little-endian f32, f16 or bf16, found %s of %" PRIu32 " bytes%s",
                      class < TYPES ? type_names[class] : "an unknown type", size,
                      class <= FLOAT && big ? ", big-endian" : "");
}

static retort_status refuse_layout(const rt_h5 *h, const rt_h5_object *in, unsigned class) {
    return rt_h5_fail(h, RETORT_UNSUPPORTED, in->path, "expected contiguous storage, found %s%s",
                      class < LAYOUTS ? layout_names[class] : "an unknown kind",
                      in->has[RT_H5_FILTERS] ? " with filters" : "");
}

/* Versions 3 and 4: version, class, and of contiguous data address and size. */
static retort_status read_layout(rt_h5 *h, const rt_h5_object *in, rt_tensor *out) {
    uint64_t address, length;
    size_t count, bytes;
    char shape[128];
    rt_cursor c = in->body[RT_H5_LAYOUT], data;
    const uint8_t *fields = rt_take(&c, 2);
    if (fields == NULL) return cut_short(h, in, "layout");
    if (fields[0] != 3 && fields[0] != 4) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, in->path, "its layout: expected version 3 or 4, found %d",
                          fields[0]);
    }
    if (fields[1] != CONTIGUOUS) return refuse_layout(h, in, fields[1]);
    if (!rt_h5_take(&c, h->offset_size, &address) || !rt_h5_take(&c, h->length_size, &length)) {
        return cut_short(h, in, "layout");
    }
    rt_shape_text(shape, sizeof shape, out->shape, out->rank);
    if (!rt_shape_count(out->shape, out->rank, &count) || !rt_mul(count, rt_dtype_size(out->dtype), &bytes)) {
        return rt_h5_fail(h, RETORT_FORMAT, in->path, "shape %s is too big for any memory", shape);
    }
    if (bytes != length) {
        return rt_h5_fail(h, RETORT_FORMAT, in->path, "%s %s needs %zu bytes, found %" PRIu64,
                          retort_dtype_name(out->dtype), shape, bytes, length);
    }
    if (bytes > 0 && rt_h5_undefined(h, address)) {
        return rt_h5_fail(h, RETORT_FORMAT, in->path, "%s was never written", shape);
    }
    retort_status status = rt_h5_view(h, in->path, "data", bytes > 0 ? address : 0, bytes, &data);
    out->data = data.at;
    return status;
}

retort_status rt_h5_read_dataset(rt_h5 *h, const rt_h5_object *in) {
    rt_tensor tensor = {.name = in->path};
    if (!in->has[RT_H5_SPACE] || !in->has[RT_H5_TYPE] || !in->has[RT_H5_LAYOUT]) {
        return rt_h5_fail(h, RETORT_FORMAT, in->path, "a dataset without its %s",
                          !in->has[RT_H5_SPACE]  ? "space"
                          : !in->has[RT_H5_TYPE] ? "type"
                                                 : "layout");
    }
    if (in->has[RT_H5_EXTERNAL]) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, in->path, "its data is in another file (external storage)");
    }
    retort_status status = read_type(h, in, &tensor);
    if (status == RETORT_OK) status = read_space(h, in, &tensor);
    if (status == RETORT_OK) status = read_layout(h, in, &tensor);
    return status == RETORT_OK ? rt_tensors_add(h->out, h->name, &tensor, h->err) : status;
}
