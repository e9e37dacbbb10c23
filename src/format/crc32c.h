/* SPDX-License-Identifier: Apache-2.0
 * CRC-32C (Castagnoli), eight bytes per step. */
#ifndef RT_FORMAT_CRC32C_H
#define RT_FORMAT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

typedef struct rt_crc32c_table {
    uint32_t of[8][256]; /* of[k][b]: the remainder of byte b followed by k zero bytes */
} rt_crc32c_table;
void rt_crc32c_make(rt_crc32c_table *table);
/* Extends `crc`, that of the preceding bytes (0 at first), by n bytes. */
uint32_t rt_crc32c(const rt_crc32c_table *table, uint32_t crc, const uint8_t *data, size_t n);

#endif
