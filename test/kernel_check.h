/* SPDX-License-Identifier: Apache-2.0
 * Checks a kernel against its reference over ragged sizes and extreme values. Each check returns true when
 * every byte agrees (or lies within the row's bound), else false with the first difference described in
 * `why`. */
#ifndef RT_TEST_KERNEL_CHECK_H
#define RT_TEST_KERNEL_CHECK_H

#include "kernel/rows.h"

typedef void (*any_fn)(void);
typedef struct kernel_row {
    const char *family, *name;
    uint32_t needs;
    float bound;
    any_fn fn, ref;
} kernel_row;

typedef bool check_fn(const kernel_row *row, char *why, size_t size);
check_fn check_gemm_f32, check_gemm_bf16, check_attention, check_attention_s8, check_layer_norm, check_embed,
    check_gate, check_rotate, check_pool_mean, check_pool_max, check_normalize, check_to_bf16, check_gemm_s8,
    check_gemm_s4, check_widen_s4, check_quantize, check_peak_f32, check_peak_bf16, check_peak_s8,
    check_peak_s4, check_read_sum, check_adamw, check_squares, check_transpose, check_pack, check_act_back,
    check_gate_back, check_layer_norm_back, check_attention_back;

/* Times one row over real shapes and prints its lines. */
/* peak: the row that measures the peak of this row's products, or NULL */
void bench_row(const kernel_row *row, const kernel_row *peak);

/* ---- Random numbers: the same in every run ---- */
uint32_t random_u32(void);
void random_seed(uint32_t seed);
static inline size_t random_below(size_t n) {
    return random_u32() % n;
}

/* What a buffer is filled with. */
enum { FILL_NORMAL, FILL_ZERO, FILL_HUGE, FILL_TINY, FILL_ANY_BITS, FILL_KINDS };
void fill_f32(float *x, size_t n, int kind);
void fill_bf16(uint16_t *x, size_t n, int kind);

/* ---- Buffers that end at an unmapped page, with canaries before them ---- */
typedef struct guarded {
    void *data;   /* `bytes` of them, then the unmapped page */
    size_t bytes; /* those before `data` that are mapped hold the canary too */
    void *map;
    size_t mapped;
} guarded;
guarded guarded_new(size_t bytes);
void guarded_canary(guarded *g); /* fills everything with the canary */
void guarded_free(guarded *g);
/* Same bits over the whole mapping, canaries included; floats that are both NaN agree. */
bool same_f32(const guarded *want, const guarded *got, size_t *where);
bool same_bf16(const guarded *want, const guarded *got, size_t *where);
bool same_bytes(const guarded *want, const guarded *got);

#endif
