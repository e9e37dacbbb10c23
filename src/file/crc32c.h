/* SPDX-License-Identifier: Apache-2.0
 * CRC-32C (Castagnoli), eight bytes a step. */
#ifndef RT_FILE_CRC32C_H
#define RT_FILE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

typedef struct rt_crc32c_table {
    uint32_t of[8][256]; /* of[k][b]: the remainder of the byte b with k zero bytes behind it */
} rt_crc32c_table;
void rt_crc32c_make(rt_crc32c_table *table);
/* Of `crc`, that of what came before (0 at first), and n more bytes. */
uint32_t rt_crc32c(const rt_crc32c_table *table, uint32_t crc, const uint8_t *data, size_t n);

#endif
