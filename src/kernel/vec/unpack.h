/* SPDX-License-Identifier: Apache-2.0
 * Panels of 4-bit weights, and unpacking them to the layout of 8-bit weights. */
#ifndef RT_KERNEL_VEC_UNPACK_H
#define RT_KERNEL_VEC_UNPACK_H

#include "base/memory.h"
#include "kernel/kernel.h"
#include "kernel/vec/vec.h"

#include <string.h>

/* Panels from some column on, `k` rounded up to whole steps of 8 rows. */
typedef struct panels_s4 {
    const uint8_t *codes, *scales;
    size_t group, scales_panel; /* bytes of a panel of scales */
} panels_s4;

RT_VERB panels_s4 panels_at(const rt_gemm_q *q, size_t j) {
    size_t steps = (q->k + 7) / 8, groups = (q->k + q->group - 1) / q->group;
    return (panels_s4){.codes = (const uint8_t *)q->b + j / RT_PANEL * steps * 64,
                       .scales = q->b_group + j * groups,
                       .group = q->group,
                       .scales_panel = groups * RT_PANEL};
}

/* 64 bytes as pairs (gcc and clang compile it for any ISA). */
typedef uint16_t pairs32 __attribute__((vector_size(64)));

/* Two codes at a time. With u = code + 8, the scale s, and e and o the codes of the even and the odd byte:
 *   (256 u_o + u_e) s - 0x808 s = 256 o s + e s
 * As |e s| < 128, adding 128 and then flipping the highest bit of the lower byte undoes the borrow of a
 * negative e s. */
RT_VERB void code_times(pairs32 nibbles[1], const pairs32 scale[1]) {
    pairs32 product = ((*nibbles ^ 0x0808) & 0x0f0f) * *scale;
    *nibbles = (product + (0x80 - 0x808 * *scale)) ^ 0x80;
}

/* Expands codes to code * scale: 4 rows of low nibbles, 4 rows of high nibbles. */
RT_VERB void unpack_line(const uint8_t *codes, const pairs32 *scale, int8_t *out) {
    pairs32 low, high;
    memcpy(&low, codes, sizeof low);
    high = low >> 4;
    code_times(&low, scale);
    code_times(&high, scale);
    memcpy(out, &low, sizeof low);
    memcpy(out + sizeof low, &high, sizeof high);
}

/* Panels [panels][k/4][16][4] of code * scale. */
static inline void unpack_panels(size_t panels, const panels_s4 *b, size_t k, int8_t *out) {
    for (size_t p = 0; p < panels; p++) {
        const uint8_t *scales = b->scales + p * b->scales_panel;
        const uint8_t *codes = b->codes + p * k * 8;
        for (size_t start = 0; start < k; start += b->group, scales += RT_PANEL) {
            pairs32 scale; /* of 16 columns, twice each */
            for (size_t c = 0; c < 32; c++) scale[c] = scales[c / 2];
            for (size_t i = start; i < rt_min(k, start + b->group); i += 8) {
                unpack_line(codes + i * 8, &scale, out + (p * k + i) * RT_PANEL);
            }
        }
    }
}

#endif
