/* SPDX-License-Identifier: Apache-2.0
 * Products with 4-bit weights without VNNI. A code plus 8 is unsigned and below 16, so vpmaddubsw multiplies
 * it by a signed activation, and 16-bit sums hold 64 rows of k: two instructions for 32 products, where
 * 8-bit weights take four. Every 64 rows, vpmaddwd multiplies by the scale of the group and widens. To undo
 * the 8, each sum starts at minus 8 times the sum of its activations. A column has two such sums, of the
 * even and of the odd pairs of k; each ends within 8 * 127 * 32 = 32512, and may safely wrap around on the
 * way. One core of a Zen 3: 255 GOP/s, against 130 when unpacking for the 8-bit kernel. */
#include "kernel/rows.h"
#include "kernel/vec/tile_s8.h"
#include "kernel/vec/unpack.h"

enum {
    DEPTH = 64,    /* rows of k that 16-bit sums hold */
    TOGETHER = 96, /* rows of A: with k = 3072 they take 295 KB, and their initial sums 18 KB, both in L2 */
    /* Up to this many rows, codes are unpacked for each block of rows; smaller blocks leave registers for
     * that (8 rows: 212 GOP/s, 190 when unpacked in advance). */
    FEW_ROWS = 16,
    PACKED_ROWS = 4
};

_Static_assert(TOGETHER * 4 / 8 + RT_PANEL <= 4 * RT_PANEL,
               "a start for at least 8 of k fits into the scratch");

/* Initial sums for TOGETHER rows: [rows][blocks] pairs of 16 bits. Each group starts a new block of DEPTH. */
typedef struct starts {
    int32_t *pairs;
    size_t blocks;
} starts;

static size_t blocks_of(size_t group) {
    return (group + DEPTH - 1) / DEPTH;
}

/* For n activations, a multiple of 8: four per pair of sums. */
RT_VERB int32_t start_of(const int8_t *a, size_t n) {
    const __m256i one = _mm256_set1_epi8(1);
    __m128i sum = _mm_setzero_si128();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i x = _mm256_maddubs_epi16(one, _mm256_loadu_si256((const __m256i *)(const void *)(a + i)));
        sum = _mm_add_epi16(sum, _mm_add_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
    }
    for (; i < n; i += 8) {
        __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)(a + i));
        sum = _mm_add_epi16(sum, _mm_maddubs_epi16(_mm256_castsi256_si128(one), x));
    }
    sum = _mm_add_epi16(sum, _mm_unpackhi_epi64(sum, sum));
    sum = _mm_add_epi16(sum, _mm_srli_epi64(sum, 32));
    return _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), _mm_slli_epi16(sum, 3)));
}

static void make_starts(const rt_gemm_q *q, size_t k, size_t row, size_t rows, const starts *to) {
    for (size_t r = 0; r < rows; r++) {
        const int8_t *a = q->a + (row + r) * q->lda;
        int32_t *pair = to->pairs + r * to->blocks;
        for (size_t start = 0; start < k; start += q->group) {
            size_t stop = rt_min(k, start + q->group);
            for (size_t i = start; i < stop; i += DEPTH) {
                bool whole = stop - i >= DEPTH;
                *pair++ = whole ? start_of(a + i, DEPTH) : start_of(a + i, stop - i);
            }
        }
    }
}

/* In place, to avoid copying registers; volatile, so that gcc keeps the order in which all sums fit. */
RT_VERB __m256i add16(__m256i sum, __m256i more) {
    __asm__ volatile("vpaddw %1, %0, %0" : "+x"(sum) : "x"(more));
    return sum;
}

/* Rows 0…2 and 3…5 of A, `step` bytes apart: x86 addresses consist of a pointer and a scaled offset. */
typedef struct rows6 {
    const int8_t *upper, *lower;
    size_t step;
} rows6;

/* Four rows of k, from d on, times 16 columns, whose codes plus 8 are `low` and `high`. */
RT_VERB void step4(size_t rows, const rows6 *a, size_t d, __m256i low, __m256i high,
                   __m256i sum[V16_ROWS][2]) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        int32_t four;
        memcpy(&four, (r < 3 ? a->upper : a->lower) + r % 3 * a->step + d, sizeof four);
        __m256i x = _mm256_set1_epi32(four), y = _mm256_maddubs_epi16(low, x);
        x = _mm256_maddubs_epi16(high, x);
        sum[r][0] = add16(sum[r][0], y);
        sum[r][1] = add16(sum[r][1], x);
    }
}

/* A panel: packed codes [k/8][16][4] or unpacked, plus 8, one byte each [k/4][16][4]; and its scales. */
typedef struct panel {
    const uint8_t *codes, *scales;
    size_t group;
} panel;

/* Eight rows of k: the low nibbles, then the high ones. */
RT_VERB void step8(size_t rows, const rows6 *a, const uint8_t *codes, __m256i sum[V16_ROWS][2]) {
    const __m256i low = _mm256_set1_epi8(15), flip = _mm256_set1_epi8((char)0x88);
    const __m256i *at = (const __m256i *)(const void *)codes;
    __m256i x = _mm256_xor_si256(_mm256_loadu_si256(at), flip);
    __m256i y = _mm256_xor_si256(_mm256_loadu_si256(at + 1), flip);
    step4(rows, a, 0, _mm256_and_si256(x, low), _mm256_and_si256(y, low), sum);
    x = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
    y = _mm256_and_si256(_mm256_srli_epi16(y, 4), low);
    step4(rows, a, 4, x, y, sum);
}
RT_VERB void step8_unpacked(size_t rows, const rows6 *a, const uint8_t *codes, __m256i sum[V16_ROWS][2]) {
    const __m256i *at = (const __m256i *)(const void *)codes;
    step4(rows, a, 0, _mm256_load_si256(at), _mm256_load_si256(at + 1), sum);
    step4(rows, a, 4, _mm256_load_si256(at + 2), _mm256_load_si256(at + 3), sum);
}

/* total[rows][16] += scale * the sums over `depth` rows of k from i on, a multiple of 8 and at most DEPTH. */
RT_VERB void block(size_t rows, bool unpacked, size_t i, size_t depth, const int8_t *a, size_t lda,
                   const panel *b, const int32_t *start, size_t blocks, const __m256i scale[2],
                   float *total) {
    __m256i sum[V16_ROWS][2];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) sum[r][0] = sum[r][1] = _mm256_set1_epi32(start[r * blocks]);
    const uint8_t *codes = b->codes + i * RT_PANEL / (unpacked ? 1 : 2);
    rows6 at = {a + i, a + i + 3 * lda, lda};
    __asm__("" : "+r"(at.lower)); /* gcc would turn this into six pointers, which do not fit into registers */
    for (size_t d = 0; d < depth; d += 8) {
        if (unpacked)
            step8_unpacked(rows, &at, codes, sum);
        else
            step8(rows, &at, codes, sum);
        at.upper += 8;
        at.lower += 8;
        codes += 8 * RT_PANEL / (unpacked ? 1 : 2);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (size_t p = 0; p < 2; p++) {
            __m256i *to = (__m256i *)(void *)(total + r * RT_PANEL + p * 8);
            *to = _mm256_add_epi32(*to, _mm256_madd_epi16(sum[r][p], scale[p]));
        }
    }
}

/* The scale of each column in both 16-bit halves of its lane. */
RT_VERB __m256i scale_pairs(const uint8_t *scales) {
    __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)scales));
    return _mm256_or_si256(x, _mm256_slli_epi32(x, 16));
}

/* total[rows][16]: int32 in the place of floats; k: a multiple of 8 */
RT_VERB void tile(size_t rows, bool unpacked, const int8_t *a, size_t lda, const panel *b, size_t k,
                  const int32_t *start, size_t blocks, float *total) {
    memset(total, 0, rows * RT_PANEL * sizeof *total);
    const uint8_t *scales = b->scales;
    for (size_t from = 0; from < k; from += b->group, scales += RT_PANEL) {
        const __m256i scale[2] = {scale_pairs(scales), scale_pairs(scales + 8)};
        size_t stop = rt_min(k, from + b->group);
        for (size_t i = from; i < stop; i += DEPTH, start++) {
            /* Otherwise gcc would copy the totals elsewhere on the stack. */
            __asm__ volatile("" ::: "memory");
            if (stop - i >= DEPTH)
                block(rows, unpacked, i, DEPTH, a, lda, b, start, blocks, scale, total);
            else
                block(rows, unpacked, i, stop - i, a, lda, b, start, blocks, scale, total);
        }
    }
}

typedef void tile_fn(const int8_t *a, size_t lda, const panel *b, size_t k, const int32_t *start,
                     size_t blocks, float *total);
#define PACKED_TILES(X) X(packed, false, 1) X(packed, false, 2) X(packed, false, 3) X(packed, false, 4)
#define UNPACKED_TILES(X)                                                                                    \
    X(unpacked, true, 1)                                                                                     \
    X(unpacked, true, 2) X(unpacked, true, 3) X(unpacked, true, 4) X(unpacked, true, 5) X(unpacked, true, 6)
#define TILE(name, unpacked, rows)                                                                           \
    static void name##_##rows(const int8_t *a, size_t lda, const panel *b, size_t k, const int32_t *start,   \
                              size_t blocks, float *total) {                                                 \
        tile(rows, unpacked, a, lda, b, k, start, blocks, total);                                            \
    }
PACKED_TILES(TILE)
UNPACKED_TILES(TILE)
#undef TILE

#define ENTRY(name, unpacked, rows) name##_##rows,
static tile_fn *const tiles_packed[PACKED_ROWS] = {PACKED_TILES(ENTRY)};
static tile_fn *const tiles_unpacked[V16_ROWS] = {UNPACKED_TILES(ENTRY)};
#undef ENTRY

/* Unpacks codes plus 8 of a whole panel, one byte each, once for all rows of A. */
static void unpack_codes(const uint8_t *codes, size_t k, uint8_t *out) {
    const __m256i low = _mm256_set1_epi8(15), flip = _mm256_set1_epi8((char)0x88);
    for (size_t i = 0; i < k; i += 8) {
        for (size_t p = 0; p < 64; p += 32) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(codes + i * 8 + p));
            x = _mm256_xor_si256(x, flip);
            __m256i *to = (__m256i *)(void *)(out + i * RT_PANEL + p);
            _mm256_store_si256(to, _mm256_and_si256(x, low));
            _mm256_store_si256(to + 2, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
        }
    }
}

/* sums[rows][16 panels] += products of A's outlier columns, int32 bits in the place of floats. */
typedef void outliers_fn(const rt_gemm_q *q, size_t i, size_t j, float *sums);
#define OUTLIERS(rows)                                                                                       \
    static void outliers_##rows(const rt_gemm_q *q, size_t i, size_t j, float *sums) {                       \
        tile_sums sum;                                                                                       \
        for (size_t r = 0; r < rows; r++) sum[r][0] = s16_load(sums + r * RT_PANEL);                         \
        add_outliers(rows, 1, q, i, j, sum);                                                                 \
        store_sums(rows, 1, sums, sum);                                                                      \
    }
OUTLIERS(1)
OUTLIERS(2)
OUTLIERS(3)
OUTLIERS(4)
OUTLIERS(5)
OUTLIERS(6)
#undef OUTLIERS
static outliers_fn *const outliers_added[V16_ROWS] = {outliers_1, outliers_2, outliers_3,
                                                      outliers_4, outliers_5, outliers_6};

/* `rows` rows of A from `row` on times the panel at column j, up to `most` at a time. */
static void panel_rows(const rt_gemm_q *q, size_t k, size_t row, size_t rows, size_t j, const panel *b,
                       const starts *from, bool unpacked) {
    _Alignas(64) float sums[V16_ROWS * RT_PANEL];
    size_t most = unpacked ? V16_ROWS : PACKED_ROWS, blocks = (rows + most - 1) / most;
    for (size_t block = 0, r = 0; block < blocks; block++) {
        size_t count = block_rows(rows, blocks, block), i = row + r, n = rt_min(RT_PANEL, q->n - j);
        const int32_t *start = from->pairs + r * from->blocks;
        tile_fn *run = unpacked ? tiles_unpacked[count - 1] : tiles_packed[count - 1];
        run(q->a + i * q->lda, q->lda, b, k, start, from->blocks, sums);
        if (q->outliers > 0) outliers_added[count - 1](q, i, j, sums);
        finish_sums(q, i, j, count, n, sums, RT_PANEL);
        r += count;
    }
}

/* The scratch holds the codes of a panel [k][16], then the initial sums. */
void rt_gemm_s4_avx2(const rt_gemm_q *q) {
    size_t k = rt_round_up(q->k, 8);
    bool unpacked = q->m > FEW_ROWS;
    uint8_t *codes = (uint8_t *)q->scratch;
    size_t groups = k / q->group, rest = k % q->group;
    starts from = {(int32_t *)(void *)(codes + k * RT_PANEL), groups * blocks_of(q->group) + blocks_of(rest)};
    for (size_t row = 0; row < q->m; row += TOGETHER) {
        size_t rows = rt_min(TOGETHER, q->m - row);
        make_starts(q, k, row, rows, &from);
        for (size_t j = 0; j < q->n; j += RT_PANEL) {
            panels_s4 packed = panels_at(q, j);
            panel b = {unpacked ? codes : packed.codes, packed.scales, q->group};
            if (unpacked) unpack_codes(packed.codes, k, codes);
            panel_rows(q, k, row, rows, j, &b, &from, unpacked);
        }
    }
}
