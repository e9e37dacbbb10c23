/* SPDX-License-Identifier: Apache-2.0
 * Permutation of integer weights [k, n] into panels of 16 columns and back (layouts: kernel.h). */
#include "base/memory.h"
#include "kernel/integers.h"

#include <string.h>

/* Most panels of a register tile, on any tier. */
enum { TOGETHER = 4 };

/* Bytes of the panels of n columns: in each, `line` for every `step` rows of k. */
static bool count_panels(size_t k, size_t n, size_t step, size_t line, size_t *bytes) {
    size_t columns, steps = k / step + (k % step > 0);
    if (!rt_add(n, RT_PANEL - 1, &columns)) return false;
    return rt_mul(columns / RT_PANEL, line, bytes) && rt_mul(*bytes, steps, bytes);
}

bool rt_pack_count_s8(size_t k, size_t n, size_t *bytes) {
    return count_panels(k, n, 4, RT_PANEL * 4, bytes);
}
bool rt_pack_count_s4(size_t k, size_t n, size_t *bytes) {
    return count_panels(k, n, 8, RT_PANEL * 4, bytes);
}
bool rt_pack_count_group(size_t k, size_t n, size_t group, size_t *bytes) {
    return count_panels(k, n, group, RT_PANEL, bytes);
}

size_t rt_gemm_q_scratch(size_t k) {
    return TOGETHER * rt_round_up(k, 8) * RT_PANEL;
}

void rt_pack_s8(size_t k, size_t n, const int8_t *b, size_t stride_k, size_t stride_n, int8_t *packed,
                int32_t *sum) {
    size_t bytes = 0;
    if (rt_pack_count_s8(k, n, &bytes)) memset(packed, 0, bytes);
    for (size_t j = 0; j < n; j++) {
        int32_t total = 0;
        for (size_t i = 0; i < k; i++) {
            int8_t weight = b[i * stride_k + j * stride_n];
            packed[rt_panel_byte(k, 4, i, j)] = weight;
            total += weight;
        }
        sum[j] = 128 * total;
    }
}

void rt_pack_s4(size_t k, size_t n, size_t group, const int8_t *b, size_t stride_k, size_t stride_n,
                const uint8_t *groups, uint8_t *packed, uint8_t *packed_groups, int32_t *sum) {
    size_t bytes = 0;
    if (rt_pack_count_s4(k, n, &bytes)) memset(packed, 0, bytes);
    if (rt_pack_count_group(k, n, group, &bytes)) memset(packed_groups, 0, bytes);
    for (size_t j = 0; j < n; j++) {
        int32_t total = 0;
        for (size_t i = 0; i < k; i++) {
            int8_t code = b[i * stride_k + j * stride_n];
            uint8_t scale = groups[i / group * n + j];
            packed[rt_panel_byte(k, 8, i, j)] |= (uint8_t)((code & 15) << (i % 8 < 4 ? 0 : 4));
            packed_groups[rt_panel_group(k, group, i, j)] = scale;
            total += code * scale;
        }
        sum[j] = 128 * total;
    }
}

/* Four rows of codes become 64 bytes. The stores are written out, so that compilers find the interleaving. */
static void interleave_s8(const int8_t *codes, int8_t *out) {
    for (size_t c = 0; c < RT_PANEL; c++) {
        out[4 * c] = codes[c];
        out[4 * c + 1] = codes[RT_PANEL + c];
        out[4 * c + 2] = codes[2 * RT_PANEL + c];
        out[4 * c + 3] = codes[3 * RT_PANEL + c];
    }
}

static uint8_t two_codes(int8_t low, int8_t high) {
    return (uint8_t)(((unsigned)low & 15u) | ((unsigned)high << 4 & 0xf0u));
}

/* Eight rows of codes become 64 bytes. */
static void interleave_s4(const int8_t *codes, uint8_t *out) {
    const int8_t *high = codes + 4 * RT_PANEL;
    for (size_t c = 0; c < RT_PANEL; c++) {
        out[4 * c] = two_codes(codes[c], high[c]);
        out[4 * c + 1] = two_codes(codes[RT_PANEL + c], high[RT_PANEL + c]);
        out[4 * c + 2] = two_codes(codes[2 * RT_PANEL + c], high[2 * RT_PANEL + c]);
        out[4 * c + 3] = two_codes(codes[3 * RT_PANEL + c], high[3 * RT_PANEL + c]);
    }
}

void rt_pack_panel_s8(size_t k, const int8_t *codes, int8_t *packed) {
    int8_t last[4 * RT_PANEL] = {0};
    size_t whole = k / 4 * 4;
    for (size_t i = 0; i < whole; i += 4) interleave_s8(codes + i * RT_PANEL, packed + i * RT_PANEL);
    if (whole == k) return;
    memcpy(last, codes + whole * RT_PANEL, (k - whole) * RT_PANEL);
    interleave_s8(last, packed + whole * RT_PANEL);
}

void rt_pack_panel_s4(size_t k, const int8_t *codes, uint8_t *packed) {
    int8_t last[8 * RT_PANEL] = {0};
    size_t whole = k / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) interleave_s4(codes + i * RT_PANEL, packed + i / 2 * RT_PANEL);
    if (whole == k) return;
    memcpy(last, codes + whole * RT_PANEL, (k - whole) * RT_PANEL);
    interleave_s4(last, packed + whole / 2 * RT_PANEL);
}

/* Bytes of a block of 4-bit codes, and of its 3-bit and 2-bit forms. */
enum { LANE = 16, FOUR = 4 * LANE, THREE = 3 * LANE, TWO = 2 * LANE };

/* Ends at the first block that does not: of 4-bit codes that is nearly always the first one, and the pages of
 * a mapped file behind it are not read. */
bool rt_fits_s3(size_t blocks, const uint8_t *s4) {
    unsigned other = 0; /* the two highest bits of a code within -4…3 are equal */
    for (size_t b = 0; b < blocks && other == 0; b++, s4 += FOUR) {
        for (size_t i = 0; i < FOUR; i++) other |= (unsigned)(s4[i] ^ s4[i] << 1) & 0x88u;
    }
    return other == 0;
}

void rt_pack_s3(size_t blocks, const uint8_t *s4, uint8_t *packed) {
    for (size_t b = 0; b < blocks; b++, s4 += FOUR, packed += THREE) {
        for (size_t i = 0; i < LANE; i++) {
            unsigned last = s4[THREE + i];
            packed[i] = (uint8_t)((s4[i] & 0x77u) | (last & 0x11u) << 3);
            packed[LANE + i] = (uint8_t)((s4[LANE + i] & 0x77u) | (last & 0x22u) << 2);
            packed[2 * LANE + i] = (uint8_t)((s4[2 * LANE + i] & 0x77u) | (last & 0x44u) << 1);
        }
    }
}

/* Two 3-bit codes, sign-extended. */
static uint8_t widen(unsigned codes) {
    return (uint8_t)(codes | (codes & 0x44u) << 1);
}

void rt_unpack_s3(size_t blocks, const uint8_t *packed, uint8_t *s4) {
    for (size_t b = 0; b < blocks; b++, packed += THREE, s4 += FOUR) {
        for (size_t i = 0; i < LANE; i++) {
            unsigned x = packed[i], y = packed[LANE + i], z = packed[2 * LANE + i];
            s4[i] = widen(x & 0x77u);
            s4[LANE + i] = widen(y & 0x77u);
            s4[2 * LANE + i] = widen(z & 0x77u);
            s4[THREE + i] = widen((x >> 3 & 0x11u) | (y >> 2 & 0x22u) | (z >> 1 & 0x44u));
        }
    }
}

bool rt_fits_s2(const uint8_t s4[FOUR]) {
    unsigned other = 0; /* odd, and the two highest bits are equal */
    for (size_t i = 0; i < FOUR; i++)
        other |= (~(unsigned)s4[i] & 0x11u) | ((unsigned)(s4[i] ^ s4[i] << 1) & 0x88u);
    return other == 0;
}

/* Bits 1 and 3 of each half, in bits 0 and 1 of it. */
static unsigned narrow(unsigned codes) {
    return (codes >> 1 & 0x11u) | (codes >> 2 & 0x22u);
}

void rt_pack_s2(size_t blocks, const uint8_t *s4, uint8_t *packed) {
    for (size_t b = 0; b < blocks; b++, s4 += FOUR, packed += TWO) {
        for (size_t i = 0; i < TWO; i++) packed[i] = (uint8_t)(narrow(s4[i]) | narrow(s4[TWO + i]) << 2);
    }
}

/* Two codes 2 v + 1 from v in two's complement, in bits 0, 1 and 4, 5. */
static uint8_t widen_s2(unsigned v) {
    return (uint8_t)((v & 0x11u) << 1 | (v & 0x22u) << 1 | (v & 0x22u) << 2 | 0x11u);
}

void rt_unpack_s2(size_t blocks, const uint8_t *packed, uint8_t *s4) {
    for (size_t b = 0; b < blocks; b++, packed += TWO, s4 += FOUR) {
        for (size_t i = 0; i < TWO; i++) {
            s4[i] = widen_s2(packed[i]);
            s4[TWO + i] = widen_s2(packed[i] >> 2u);
        }
    }
}

void rt_unpack_s8(size_t k, size_t n, const int8_t *packed, int8_t *b) {
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < n; j++) b[i * n + j] = packed[rt_panel_byte(k, 4, i, j)];
    }
}

void rt_unpack_s4(size_t k, size_t n, size_t group, const uint8_t *packed, const uint8_t *packed_groups,
                  int8_t *b) {
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < n; j++) {
            int scale = packed_groups[rt_panel_group(k, group, i, j)];
            b[i * n + j] = (int8_t)(rt_panel_code(packed, k, i, j) * scale);
        }
    }
}
