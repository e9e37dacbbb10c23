/* SPDX-License-Identifier: Apache-2.0 */
#include "format/crc32c.h"

/* The bit-reversed polynomial. */
static const uint32_t POLYNOMIAL = 0x82f63b78u;

void rt_crc32c_make(rt_crc32c_table *table) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (POLYNOMIAL & (0u - (crc & 1u)));
        table->of[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = table->of[k - 1][byte];
            table->of[k][byte] = before >> 8 ^ table->of[0][before & 255u];
        }
    }
}

uint32_t rt_crc32c(const rt_crc32c_table *table, uint32_t crc, const uint8_t *data, size_t n) {
    const uint32_t(*of)[256] = table->of;
    crc = ~crc;
    for (; n >= 8; n -= 8, data += 8) {
        uint32_t low =
            crc ^ (data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
        crc = of[7][low & 255u] ^ of[6][low >> 8 & 255u] ^ of[5][low >> 16 & 255u] ^ of[4][low >> 24] ^
              of[3][data[4]] ^ of[2][data[5]] ^ of[1][data[6]] ^ of[0][data[7]];
    }
    for (; n > 0; n--, data++) crc = crc >> 8 ^ of[0][(crc ^ *data) & 255u];
    return ~crc;
}
