/* SPDX-License-Identifier: Apache-2.0
 * An input is a byte, 16 bits of length, that many bytes of an index, and the data file. Checksums would keep
 * changed bytes from getting far: with a first byte of 1 the index's bytes are its block of entries, and the
 * rest of a file, with the right checksums, is put around it. */
#include "touch.h"

#include "format/bundle.h"
#include "arch/weights.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put32(rt_buffer *out, uint32_t n) {
    rt_buffer_append(out, (uint8_t[]){(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)},
                     4);
}

static void put_varint(rt_buffer *out, size_t n) {
    for (; n > 127; n >>= 7) rt_buffer_append(out, (uint8_t[]){(uint8_t)(n | 128)}, 1);
    rt_buffer_append(out, (uint8_t[]){(uint8_t)n}, 1);
}

/* What follows a block that began at `from`. */
static void end_block(rt_buffer *out, const rt_crc32c_table *crc, size_t from) {
    rt_buffer_append(out, "", 1);
    put32(out, rt_bundle_mask(rt_crc32c(crc, 0, (const uint8_t *)out->data + from, out->length - from)));
}

static rt_buffer frame(const uint8_t *block, size_t size) {
    static rt_crc32c_table crc;
    rt_buffer out = {0};
    rt_crc32c_make(&crc);
    rt_buffer_append(&out, block, size);
    end_block(&out, &crc, 0);
    size_t list = out.length;
    rt_buffer_append(&out, "\0\0\4", 3); /* no shared bytes, an empty key, a handle of 4 bytes */
    rt_buffer_append(&out, "\0", 1);
    rt_buffer_append(
        &out, (uint8_t[]){(uint8_t)(size | 128), (uint8_t)(size >> 7 | 128), (uint8_t)(size >> 14)}, 3);
    put32(&out, 0);
    put32(&out, 1);
    size_t length = out.length - list;
    end_block(&out, &crc, list);
    size_t footer = out.length;
    put_varint(&out, 0);
    put_varint(&out, 0);
    put_varint(&out, list);
    put_varint(&out, length);
    while (out.length < footer + 40) rt_buffer_append(&out, "", 1);
    put32(&out, 0x8b80fb57u);
    put32(&out, 0xdb477524u);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rt_tensors tensors;
    retort_error err;
    if (size < 3) return 0;
    size_t length = rt_min(data[1] | (size_t)data[2] << 8, size - 3);
    const rt_map file = {.data = data + 3 + length, .size = size - 3 - length};
    rt_buffer framed = data[0] == 1 ? frame(data + 3, length) : (rt_buffer){0};
    const uint8_t *index = framed.data != NULL ? (const uint8_t *)framed.data : data + 3;
    if (framed.data != NULL) length = framed.length;
    if (rt_bundle_parse(&tensors, "fuzz", index, length, &file, &err) == RETORT_OK) {
        volatile uint8_t sink = touch(&tensors);
        if (rt_weights_rename(&tensors, "fuzz", &err) == RETORT_OK) sink = touch(&tensors);
        (void)sink;
        rt_tensors_close(&tensors);
    }
    rt_buffer_free(&framed);
    return 0;
}
