/* SPDX-License-Identifier: Apache-2.0
 * Signatures of the kernels. Every family keeps a plain-C reference (ref/); every other row of list.h gives
 * the same bits (EXACT) or is marked as an exception (bf16 matrix units).
 *
 * Float contract: a matrix product sums over k in ascending order with one fused multiply-add each, starting
 * from +0; bias, activation and residual follow. Other reductions use 16 virtual lanes (element i goes to
 * lane i mod 16, in ascending order, with fma where a product is added) and the fixed tree
 * ((0+8)+(4+12))+((2+10)+(6+14)) + … : lane i += lane i+8, then +4, +2, +1. So all tiers, tile shapes and
 * thread counts give the same bits (a NaN is a NaN everywhere, its payload is not defined).
 *
 * Kernels are pure: no allocation, no globals; buffers must not overlap unless stated. Sizes of zero are
 * legal. */
#ifndef RT_KERNEL_KERNEL_H
#define RT_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RT_PANEL = 16,       /* columns of a packed panel */
    RT_MAX_OUTLIERS = 64 /* most outlier rows of a product: one line of an AMX tile */
};

/* Where outputs are rounded to int8 or bf16, RT_FN_GELU_SHORT replaces RT_FN_GELU (constants.h). */
typedef enum rt_act {
    RT_FN_NONE,
    RT_FN_GELU,
    RT_FN_GELU_TANH,
    RT_FN_RELU,
    RT_FN_TANH,
    RT_FN_SILU,
    RT_FN_GELU_SHORT
} rt_act;

/* C[m,n] = act(A[m,k] * B[k,n] + bias[n]) + residual[m,n]
 * B is packed in panels of 16 columns, zero-padded to whole panels ("P16"):
 *   f32  [ceil(n/16)][k][16]
 *   bf16 [ceil(n/16)][ceil(k/2)][16][2]    if k is odd, the second element of the last pair is 0
 * Only columns 0…n-1 of C are written. c and c16 may both be given. residual may be c itself. */
typedef struct rt_gemm {
    size_t m, n, k;
    const void *a;         /* [m, k] float, or bf16 for gemm_bf16 */
    size_t lda;            /* row stride in elements */
    const void *b;         /* 64-byte aligned */
    const float *bias;     /* [n] or NULL */
    const float *residual; /* [m, n] or NULL */
    size_t ldr;
    rt_act act;
    float *c; /* [m, n] or NULL */
    size_t ldc;
    uint16_t *c16; /* the same rounded to bf16, or NULL */
    size_t ldc16;
    float *z; /* [m, n] the sums with bias, before the activation, or NULL */
    size_t ldz;
    /* 0; or C and the residual are panels of 16 columns (P16, if ldc and ldr are 16), this many floats apart. */
    size_t c_panel;
} rt_gemm;
typedef void (*rt_gemm_fn)(const rt_gemm *gemm);

/* What scores get by the distance j - i of key j from query i. Tables begin at distance 0: those of all keys and
 * queries, and RT_RELATIVE_BEYOND more on both sides, may be read. */
enum { RT_RELATIVE_BEYOND = 32 };
typedef struct rt_relative {
    const float *bias, *bias_back; /* bias[j - i] = bias_back[i - j] of this head; both or neither */
    const int32_t *column;    /* [j - i] of the tables below: from one distance to the next by 0 or 1 more */
    const float *key, *query; /* P16 [dim, columns] of this head, or NULL */
    const int32_t *places;    /* [queries] where the queries stand, rising; NULL: 0, 1, … */
    int32_t start;            /* with places: where key 0 stands */
} rt_relative;

/* One head of one sequence: out = softmax(scale * q k^T) v, over all keys (batches are ragged, so there is no
 * mask), or with a window over those from i - window to i + window for query i, whose own key is i (then v is finite,
 * and there is no `relative`).
 *   s   = dot product over d, ascending, with fma
 *   s  += q key[column], then s += query[column] k, each summed like that: relative->key and ->query
 *   s   = s * scale, or fma(s, scale, bias): relative->bias
 *   p   = exp(s - max)
 *   out = (sum over keys, ascending, with fma, of p v) * 1/sum(p), where sum(p) uses 16 virtual lanes, key i in lane
 *         i mod 16
 * Without keys, out is 0. */
typedef struct rt_attention {
    size_t queries, keys, dim; /* dim: of the head */
    const float *q, *k, *v;    /* [queries, dim], [keys, dim], [keys, dim] */
    size_t ldq, ldk, ldv;
    size_t window; /* 0: none */
    float scale;
    const rt_relative *relative; /* or NULL */
    float *out;                  /* [queries, dim] or NULL */
    size_t ldo;
    uint16_t *out16; /* the same rounded to bf16, or NULL */
    size_t ldo16;
    /* rt_attention_scratch(keys, dim) floats, 64-byte aligned; rt_attention_relative_scratch(keys) more with
     * relative->key or ->query. */
    float *scratch;
} rt_attention;
/* The keys that queries from…to-1 read between them. */
static inline void rt_attention_keys(const rt_attention *at, size_t from, size_t to, size_t *first,
                                     size_t *end) {
    *first = 0;
    *end = at->keys;
    if (at->window == 0) return;
    if (from > at->window) *first = from - at->window;
    if (to + at->window < at->keys) *end = to + at->window;
    if (*first > *end) *first = *end;
}
typedef void (*rt_attention_fn)(const rt_attention *attention);
size_t rt_attention_scratch(size_t keys, size_t dim);
size_t rt_attention_relative_scratch(size_t keys);

/* The same in 8-bit integers (attention_s8), about three times as fast as with floats. Each row of q * scale and of k,
 * and each column of v less its mean, is rounded to 127 levels on each side of 0, with a scale of its own: max |x| / 127
 * (all 0 if that max is below 2^-100). Sums of products are exact int32:
 *   mean = (sum over keys, ascending, of v) * (1 / keys)
 *   s    = (float)sum * k's scale
 *   e    = 2^((s - max) * (q's scale * log2 e) + log2 255), a polynomial with an error of 7e-5;
 *          with a bias, which is all that it takes of relative, s = fma(s, q's scale, bias) and
 *          e = 2^((s - max) * log2 e + log2 255)
 *   p    = e rounded to 0…255
 *   out  = fma((float)sum * 1/sum(e), v's scale, mean), where sum(e) adds unrounded values, keys ascending
 * What rounding takes from p is thus given to the mean of v, which is what many small probabilities add up to. With dim <= RT_ATTENTION_S8_DIM and keys <= RT_ATTENTION_S8_KEYS no sum overflows int32. */
enum { RT_ATTENTION_S8_DIM = 512, RT_ATTENTION_S8_KEYS = 65536 };
#define RT_ATTENTION_LEVELS 127.0f
size_t rt_attention_s8_scratch(size_t keys, size_t dim);

/* Scale and shift of an int8 row: x = scale * q + shift (see Integers). */
typedef struct rt_row_scale {
    float scale, shift;
} rt_row_scale;

/* How rows are rounded to int8. With factor and add (both or neither), fma(x, factor[j], add[j]) is rounded
 * instead of x: channel scaling, which the weights undo. */
typedef struct rt_rows_q {
    const float *range;        /* {min, max} of all rows; NULL: found per row */
    const float *factor, *add; /* [n] or NULL */
} rt_rows_q;

/* y = (x - mean) / sqrt(var + epsilon) * gamma + beta, per row. Two passes (mean, then mean of squared
 * differences), each over 16 virtual lanes. y may be x. With rms, mean and beta are 0, and var is the mean of squares. */
typedef struct rt_norm_args {
    size_t rows, n;
    const float *x;
    size_t ldx;
    bool rms;
    const float *gamma, *beta; /* [n]; with rms there is no beta */
    float epsilon;
    float *y; /* or NULL */
    size_t ldy;
    uint16_t *y16; /* or NULL */
    size_t ldy16;
    int8_t *y8; /* or NULL: y rounded as by rt_quantize_fn, rows rt_row_q(n) apart, in the same pass */
    rt_row_scale *scale8; /* [rows] */
    rt_rows_q how8;
} rt_norm_args;
typedef void (*rt_norm_fn)(const rt_norm_args *norm);

/* x[row] = word[ids[row]] (+ position[positions[row]]) (+ type[types[row]]), then LayerNorm as above, or, without gamma,
 * nothing: y alone is written. */
typedef struct rt_embed_args {
    const int32_t *ids, *positions, *types; /* [rows]; types may be NULL when `type` is */
    const float *word, *position, *type;    /* [·, n] rows; type may be NULL */
    /* Instead of word (then NULL): int8 rows [·, n], or 4-bit rows [·, ceil(n/32) * 16 bytes]: of each 32
     * elements, the low nibbles are 0…15 and the high nibbles 16…31. x = (code * group scale) *
     * word_scale[id]; int8 has no groups. */
    const void *word_q;
    int word_bits;             /* 8 or 4 */
    const float *word_scale;   /* [·] per row */
    const uint8_t *word_group; /* 4 bits: [·, ceil(n/word_group_size)] */
    size_t word_group_size;    /* a multiple of 32 */
    /* Instead of position (then NULL): int8 rows [·, n] and a scale per column [n]. Both NULL: no positions. */
    const int8_t *position_q;
    const float *position_scale;
    rt_norm_args norm; /* rows, n, gamma, beta, epsilon, y, y16; x is not used, y must be given */
} rt_embed_args;
typedef void (*rt_embed_fn)(const rt_embed_args *embed);

/* y[j] = mean (or max) over the rows of x[:, j]: ascending sum, then times 1/rows. Without rows: 0 (or
 * -infinity). A mean in which row r counts first_weight + r times, unless that is 0. */
typedef struct rt_pool_args {
    size_t rows, n, first_weight;
    const float *x;
    size_t ldx;
    float *y; /* [n] */
} rt_pool_args;
/* What the sum of a mean is multiplied by: 1 over the sum of the weights. */
static inline float rt_pool_inverse(const rt_pool_args *pool) {
    size_t rows = pool->rows, first = pool->first_weight;
    size_t weights = first > 0 ? rows * first + rows * (rows - 1) / 2 : rows;
    return rows > 0 ? 1.0f / (float)weights : 0.0f;
}
typedef void (*rt_pool_fn)(const rt_pool_args *pool);
/* Pairs of columns. Columns 0…n-1 of one matrix and those of another stand in one, in turns of RT_PANEL: a0…a15 b0…b15
 * a16…a31 b16…b31 …, and where fewer than 16 are left, all of them in one turn. So a pair lies in one unit of columns
 * that a worker computes, whatever n is.
 * gate: y = act(a) b, [rows, n] of x [rows, 2 n]. */
typedef struct rt_gate_args {
    size_t rows, n;
    const float *x;
    size_t ldx;
    rt_act act;
    float *y; /* or NULL */
    size_t ldy;
    uint16_t *y16; /* the same rounded to bf16, or NULL */
    size_t ldy16;
} rt_gate_args;
typedef void (*rt_gate_fn)(const rt_gate_args *gate);
/* rotate: heads of `dim` columns in place, each of dim/2 pairs:
 *   a, b = fma(-b, sin, a cos), fma(a, sin, b cos)
 * where cos and sin are row positions[row] of the table, [·, dim]: dim/2 cosines, then dim/2 sines. x may begin within a
 * head, where a turn does. back: by -sin, which turns gradients. */
typedef struct rt_rotate_args {
    size_t rows, n, dim;
    size_t first; /* column of the first head that x begins with */
    float *x;     /* [rows, n] */
    size_t ldx;
    const int32_t *positions; /* [rows] */
    const float *table;
    bool back;
} rt_rotate_args;
typedef void (*rt_rotate_fn)(const rt_rotate_args *rotate);
/* y = x / max(|x|, 1e-12) per row, where |x| sums squares over 16 virtual lanes. y may be x. */
typedef void (*rt_normalize_fn)(size_t rows, size_t n, const float *x, size_t ldx, float *y, size_t ldy);
/* Rounds to nearest even. */
typedef void (*rt_to_bf16_fn)(size_t n, const float *x, uint16_t *y);

/* ---- Integers ----
 * Activations are int8 in ±127 about the midpoint of their row. With the min and max of x over the row
 * (0 counts as one of its elements):
 *   shift = (min + max) / 2
 *   most  = (max - min) / 2
 *   scale = most / 127
 *   q     = round_to_even((x - shift) * (127 / most)), clamped to ±127
 * If most is below 2^-100, then q, scale and shift are 0, as 127 / most might overflow. The shift costs one
 * fma per sum and halves the step for the outputs of GELU, which begin at -0.17. A static range gives
 * min and max in advance; values outside it are clamped. Rows are rt_row_q(n) bytes apart, padded
 * with zeros, so that every tile may read whole steps of k.
 *
 * Weights are zero-padded panels of 16 columns, the same on all tiers:
 *   P16_S8  int8 in ±127  [ceil(n/16)][ceil(k/4)][16][4]; 16 consecutive rows of 64 bytes are one AMX tile
 *   P16_S4  4-bit codes   [ceil(n/16)][ceil(k/8)][16][4] bytes: two's complement, -8…7; the low nibbles are
 *                         rows 8 i + 0…3 of k, the high nibbles rows 8 i + 4…7
 *           group scales  uint8 [ceil(n/16)][ceil(k/group)][16], one per column for `group` rows of k
 * A P16_S4 weight is code * group scale: within ±127, exactly. So scales are at most 15, or 42 where all codes
 * are within ±3 (2 bits: -3, -1, 1, 3). It may have a few additional rows of int8
 * weights: the outlier rows (OWQ, arXiv 2306.02272), inputs that 4 bits cannot represent well. They are part of
 * the same sums.
 *
 * Sums are exact int32 on every tier. They become floats with these roundings, so that all tiers give the
 * same bits:
 *   t = fma(shift[row], sum of the column's weights, (float)sum * scale[row])
 *   y = act(fma(t, b_scale[column], bias[column])) + residual
 * GELU is the short form: its error, 8e-5, is far below one step of the 8 bits that follow. */
static inline size_t rt_row_q(size_t n) {
    return (n + 63) / 64 * 64;
}

typedef struct rt_gemm_q {
    size_t m, n, k;
    const int8_t *a;             /* [m, k], rows lda bytes apart */
    size_t lda;                  /* rt_row_q(k) */
    const rt_row_scale *a_scale; /* [m] */
    const void *b;               /* P16_S8 or P16_S4, 64-byte aligned */
    const uint8_t *b_group;      /* P16_S4: group scales */
    size_t group;                /* P16_S4: rows of k per group scale, a multiple of 8 */
    size_t outliers;             /* P16_S4: additional rows of k, a multiple of 8, at most RT_MAX_OUTLIERS */
    const int8_t *a_outliers;    /* [m, outliers] */
    const int8_t *b_outliers;    /* [outliers, n] as P16_S8 */
    const float *b_scale;        /* [n] */
    const int32_t *b_sum;        /* [n] 128 * sum of the column's weights: the effect of adding 128 to a */
    const float *bias;           /* [n] or NULL */
    const float *residual;       /* [m, n] or NULL */
    size_t ldr;
    rt_act act;
    float *c; /* [m, n] */
    size_t ldc;
    int8_t *scratch; /* P16_S4: rt_gemm_q_scratch(k) bytes of workspace, 64-byte aligned */
} rt_gemm_q;
typedef void (*rt_gemm_q_fn)(const rt_gemm_q *gemm);
size_t rt_gemm_q_scratch(size_t k);

/* Widens whole panels of P16_S4 to P16_S8: out [ceil(n/16)][ceil(k/8) * 2][16][4] = code * group scale, a matrix of
 * k rounded up to a multiple of 8. */
typedef struct rt_widen {
    size_t k, n;
    const void *b;          /* P16_S4 */
    const uint8_t *b_group; /* as in rt_gemm_q */
    size_t group;
    int8_t *out; /* 64-byte aligned */
} rt_widen;
typedef void (*rt_widen_fn)(const rt_widen *widen);

/* Rounds rows of floats to int8 as above, with a scale per row, and pads them. */
typedef void (*rt_quantize_fn)(size_t rows, size_t n, const float *x, size_t ldx, const rt_rows_q *how,
                               int8_t *q, size_t ldq, rt_row_scale *scale);

/* ---- Machine peaks ---- Multiply-adds of one dtype in registers: `rounds` rounds of enough independent
 * sums to keep the units busy, with the instruction that the tier uses for this dtype. A tier without a bf16
 * instruction widens to floats and multiplies those. peak_s8 is for 8-bit weights, peak_s4 for 4-bit
 * weights, whose products may be small enough for a cheaper instruction. Returns the number of operations; a
 * multiply-add is two. `one` is 1, but unknown to the compiler: every multiply-add adds one, and the 16
 * stored sums add up to half of the operations as long as they fit into the dtype. */
typedef uint64_t (*rt_peak_fn)(size_t rounds, int one, float *sums);
/* Sum of n words modulo 2^64 with the widest loads: as fast as memory can be read. Four streams read a
 * quarter of the words each: on Zen 4, one stream reads 26 GB/s from DRAM, two read 20, four 31. */
typedef uint64_t (*rt_read_fn)(size_t n, const uint64_t *words);

/* ---- Training ----
 * AdamW on n numbers, element by element, as PyTorch does it (decoupled decay, epsilon beside the corrected root):
 *   g' = g scale
 *   m += (1 - beta1) (g' - m)              with fma
 *   v  = beta2 v + ((1 - beta2) g') g'     with fma
 *   w  = w keep - rate m / (sqrt(v) root + epsilon)   both sums with fma */
typedef struct rt_adamw {
    size_t n;
    float *w, *m, *v;
    const float *g;
    float scale;          /* of gradients */
    float fresh1, fresh2; /* 1 - beta1, 1 - beta2 */
    float beta2;
    float keep; /* 1 - learning rate * weight decay */
    float rate; /* learning rate / (1 - beta1^t) */
    float root; /* 1 / sqrt(1 - beta2^t) */
    float epsilon;
} rt_adamw;
typedef void (*rt_adamw_fn)(const rt_adamw *step);
/* The sum of squares of n numbers, over 16 virtual lanes. */
typedef float (*rt_squares_fn)(size_t n, const float *x);

/* Of a matrix x [m, n]: y[j][i] = x[i][j]. One of x and x16 is given, and one of y and y16 (rounded to bf16). */
typedef struct rt_transpose_args {
    size_t m, n;
    const float *x;
    const uint16_t *x16;
    size_t ldx; /* of x or x16 */
    float *y;
    uint16_t *y16;
    size_t ldy;     /* of y or y16 */
    size_t y_panel; /* 0; or y [n, m] is packed as by rt_pack_fn instead, its panels so many elements apart */
} rt_transpose_args;
typedef void (*rt_transpose_fn)(const rt_transpose_args *transpose);
/* Packs rows [k, n] in panels of 16 columns, as rt_pack_f32 and rt_pack_bf16 do; columns beyond n are 0. */
typedef struct rt_pack_args {
    size_t k, n;
    const float *x;
    size_t ldx;
    float *y;       /* or NULL: panels y_panel floats apart */
    uint16_t *y16;  /* instead: pairs of rows as bf16 */
    size_t y_panel; /* elements between panels of y or y16 */
} rt_pack_args;
typedef void (*rt_pack_fn)(const rt_pack_args *pack);
/* d *= act'(z), n elements. RT_FN_GELU_SHORT has the slope of RT_FN_GELU. */
typedef void (*rt_act_back_fn)(rt_act act, size_t n, const float *z, float *d);
/* Backward pass of rt_gate_fn: da = (dy b) act'(a), db = dy act(a). */
typedef struct rt_gate_back {
    size_t rows, n;
    const float *x; /* [rows, 2 n] pairs */
    size_t ldx;
    rt_act act;
    const float *dy; /* [rows, n] */
    size_t lddy;
    float *dx; /* [rows, 2 n] pairs */
    size_t lddx;
} rt_gate_back;
typedef void (*rt_gate_back_fn)(const rt_gate_back *gate);
/* Backward pass of LayerNorm, with xn = (x - mean) * inverse as in rt_norm_args and g = dy gamma:
 *   dx      = inverse (g - mean(g) - xn mean(g xn)), both means over 16 virtual lanes; mean(g) is 0 with rms
 *   dbeta  += dy, dgamma += dy xn, rows ascending */
typedef struct rt_norm_back {
    size_t rows, n;
    const float *x;
    size_t ldx;
    const float *gamma; /* [n] */
    float epsilon;
    const float *dy;
    size_t lddy;
    float *dx;
    size_t lddx;
    bool rms;              /* mean is 0, as in rt_norm_args */
    bool add;              /* adds to dx */
    float *dgamma, *dbeta; /* [n] or both NULL */
} rt_norm_back;
typedef void (*rt_norm_back_fn)(const rt_norm_back *norm);
/* What the tables by distance are in the graph, where their gradients go: those of distance j - i are at
 * index[clamp(j - i, -reach, reach) + reach]. */
typedef struct rt_relative_back {
    const int64_t *index;
    int64_t reach;
    const float *key, *query; /* [·, dim] of this head, rows `ld` apart; NULL where rt_relative has none */
    size_t ld;
    float *dbias;         /* of this head, or NULL */
    float *dkey, *dquery; /* like key and query, or NULL */
} rt_relative_back;
/* Backward pass of rt_attention. With p as there, times 1/sum(p), for RT_ATTENTION_BACK_QUERIES queries after another:
 *   dp  = dy v^T
 *   ds  = p ((dp - sum over the keys, in 16 virtual lanes, of p dp) scale)
 *   dq += ds k, dv += p^T dy, dk += ds^T q; sums of products start from +0, ascending, and are then added
 * then, with tables, query by query and key by key:
 *   dbias += ds / scale; dq += ds key, dkey += ds q; dk += ds query, dquery += ds k, with fma
 * With a window, keys are those that the queries of a block read between them, and lanes count from the first of these.
 * Gradients have the strides of what they belong to; dk may be dv. */
enum { RT_ATTENTION_BACK_QUERIES = 32 };
typedef struct rt_attention_back {
    size_t queries, keys, dim;
    const float *q, *k, *v, *dy;
    size_t ldq, ldk, ldv, ldy;
    size_t window; /* 0: none */
    float scale;
    const rt_relative *relative;    /* or NULL */
    const rt_relative_back *tables; /* of `relative` */
    float *dq, *dk, *dv;
    float *
        scratch; /* rt_attention_back_scratch(keys, dim) floats, and more with tables as for rt_attention; 64-byte aligned */
} rt_attention_back;
typedef void (*rt_attention_back_fn)(const rt_attention_back *attention);
size_t rt_attention_back_scratch(size_t keys, size_t dim);

/* One row per family: member name, function type. */
#define RT_KERNEL_FAMILIES(X)                                                                                \
    X(gemm_f32, rt_gemm_fn)                                                                                  \
    X(gemm_bf16, rt_gemm_fn)                                                                                 \
    X(attention, rt_attention_fn)                                                                            \
    X(attention_s8, rt_attention_fn)                                                                         \
    X(layer_norm, rt_norm_fn)                                                                                \
    X(embed, rt_embed_fn)                                                                                    \
    X(pool_mean, rt_pool_fn)                                                                                 \
    X(gate, rt_gate_fn)                                                                                      \
    X(rotate, rt_rotate_fn)                                                                                  \
    X(pool_max, rt_pool_fn)                                                                                  \
    X(normalize, rt_normalize_fn)                                                                            \
    X(to_bf16, rt_to_bf16_fn)                                                                                \
    X(gemm_s8, rt_gemm_q_fn)                                                                                 \
    X(gemm_s4, rt_gemm_q_fn)                                                                                 \
    X(widen_s4, rt_widen_fn)                                                                                 \
    X(quantize, rt_quantize_fn)                                                                              \
    X(peak_f32, rt_peak_fn)                                                                                  \
    X(peak_bf16, rt_peak_fn)                                                                                 \
    X(peak_s8, rt_peak_fn)                                                                                   \
    X(peak_s4, rt_peak_fn)                                                                                   \
    X(read_sum, rt_read_fn)                                                                                  \
    X(adamw, rt_adamw_fn)                                                                                    \
    X(squares, rt_squares_fn)                                                                                \
    X(transpose, rt_transpose_fn)                                                                            \
    X(pack, rt_pack_fn)                                                                                      \
    X(act_back, rt_act_back_fn)                                                                              \
    X(gate_back, rt_gate_back_fn)                                                                            \
    X(layer_norm_back, rt_norm_back_fn)                                                                      \
    X(attention_back, rt_attention_back_fn)

/* The kernels of one session, and the name of each row ("gemm_f32_avx512"). */
typedef struct rt_kernels {
#define RT_KERNEL_MEMBER(family, type)                                                                       \
    type family;                                                                                             \
    const char *family##_name;
    RT_KERNEL_FAMILIES(RT_KERNEL_MEMBER)
#undef RT_KERNEL_MEMBER
    /* Up to this many rows of A, gemm_s4 reads codes faster than gemm_s8 reads the int8 panels made of them, if those
     * exceed the caches. */
    size_t gemm_s4_few;
} rt_kernels;
/* Picks the best row of each family that `features` (rt_isa_select) allow; ref always exists. */
void rt_kernels_select(rt_kernels *out, uint32_t features);

/* ---- Packing: exact permutations, the same for every tier ---- */
/* Floats (or bf16 values) in a packed [k, n] matrix. False on overflow. */
bool rt_pack_count_f32(size_t k, size_t n, size_t *count);
bool rt_pack_count_bf16(size_t k, size_t n, size_t *count);
/* Source element (i, j) of the [k, n] matrix is b[i * stride_k + j * stride_n]: an nn.Linear weight [n, k]
 * has stride_k 1, stride_n k; an ONNX MatMul weight [k, n] has stride_k n, stride_n 1. */
void rt_pack_f32(size_t k, size_t n, const float *b, size_t stride_k, size_t stride_n, float *packed);
void rt_pack_bf16(size_t k, size_t n, const float *b, size_t stride_k, size_t stride_n, uint16_t *packed);
/* Packs integer weights [k, n], row-major codes with the given strides, and computes their b_sum [n]. */
bool rt_pack_count_s8(size_t k, size_t n, size_t *bytes);
bool rt_pack_count_s4(size_t k, size_t n, size_t *bytes);
bool rt_pack_count_group(size_t k, size_t n, size_t group, size_t *bytes);
void rt_pack_s8(size_t k, size_t n, const int8_t *b, size_t stride_k, size_t stride_n, int8_t *packed,
                int32_t *sum);
/* groups: row-major [ceil(k/group), n]. */
void rt_pack_s4(size_t k, size_t n, size_t group, const int8_t *b, size_t stride_k, size_t stride_n,
                const uint8_t *groups, uint8_t *packed, uint8_t *packed_groups, int32_t *sum);
/* The codes of one panel, [k, 16], packed as above; 4 bits within -8…7. */
void rt_pack_panel_s8(size_t k, const int8_t *codes, int8_t *packed);
void rt_pack_panel_s4(size_t k, const int8_t *codes, uint8_t *packed);
/* Unpacks to row-major [k, n] integers (4 bits: code * group scale). */
void rt_unpack_s8(size_t k, size_t n, const int8_t *packed, int8_t *b);
void rt_unpack_s4(size_t k, size_t n, size_t group, const uint8_t *packed, const uint8_t *packed_groups,
                  int8_t *b);
/* 3-bit storage of 4-bit codes within -4…3: `blocks` blocks of 64 bytes, two codes per byte, in 48 bytes
 * each. Byte i < 48 has the codes of byte i in bits 0…2 and 4…6. Byte 48 + i, i < 16, has its bits 0, 1 and
 * 2 in bit 3 of bytes i, 16 + i and 32 + i, and its bits 4, 5 and 6 in bit 7. */
bool rt_fits_s3(size_t blocks, const uint8_t *s4); /* whether all codes fit */
void rt_pack_s3(size_t blocks, const uint8_t *s4, uint8_t *packed);
void rt_unpack_s3(size_t blocks, const uint8_t *packed, uint8_t *s4);
/* 2-bit storage of 4-bit codes that are -3, -1, 1 or 3: blocks of 64 bytes in 32 bytes each, floor(code / 2) in
 * two's complement. Byte i has the codes of byte i in bits 0, 1 and 4, 5, and those of byte 32 + i in bits 2, 3
 * and 6, 7. A code of 0 is padding, and comes back as 1. */
bool rt_fits_s2(const uint8_t s4[64]); /* whether all codes of a block are such ones */
void rt_pack_s2(size_t blocks, const uint8_t *s4, uint8_t *packed);
void rt_unpack_s2(size_t blocks, const uint8_t *packed, uint8_t *s4);
/* Unpacks to row-major [k, n]. */
void rt_unpack_f32(size_t k, size_t n, const float *packed, float *b);
void rt_unpack_bf16(size_t k, size_t n, const uint16_t *packed, float *b);

#endif
