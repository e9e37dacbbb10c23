/* SPDX-License-Identifier: Apache-2.0
 * bf16 on AMX tiles of 16 rows: 2 x 2 tiles of sums for more than 16 rows of A, 1 x 4 for fewer, so that four
 * sums are always in flight (a dot takes 16 cycles, its result 52). The packed layout of B is the tile
 * layout: 16 pairs of rows of one panel are 16 rows of 64 bytes. */
#include "kernel/rows.h"
#include "kernel/vec/gemm.h"
#include RT_TILE_HEADER

#include <string.h>

enum {
    ROWS = 16,           /* of a tile */
    DEPTH = 32,          /* of k in a tile: 16 pairs */
    WIDE = 4,            /* panels of the 1 x 4 block; the 2 x 2 block has two */
    TILE = DEPTH * ROWS, /* bf16 numbers of a tile of A or B */
    LINE = DEPTH * sizeof(uint16_t),
    OUT = WIDE * RT_PANEL /* floats from row to row of the sums */
};

/* One block of A against `panels` panels of B. */
typedef struct block {
    const uint16_t *a, *b;
    size_t lda, k, panels;
    size_t panel; /* bf16 numbers of a panel of B */
    size_t rows;  /* 1…32 */
    float *sums;  /* [32][OUT] */
} block;

/* The last, partial DEPTH of k, filled up with zeros. */
typedef struct tail {
    _Alignas(64) uint16_t a[2 * TILE], b[WIDE * TILE];
} tail;

static void fill_tail(const block *bl, tail *out) {
    size_t done = bl->k / DEPTH * DEPTH, left = bl->k - done, pairs = (left + 1) / 2;
    memset(out, 0, sizeof *out);
    for (size_t r = 0; r < bl->rows; r++) memcpy(out->a + r * DEPTH, bl->a + r * bl->lda + done, left * 2);
    for (size_t p = 0; p < bl->panels; p++) {
        memcpy(out->b + p * TILE, bl->b + p * bl->panel + done * RT_PANEL, pairs * LINE);
    }
    tile_publish(out);
}

/* Tiles 0…3 hold sums, 4 and 5 A, 6 and 7 B (1 x 4: 4 A, 5…7 B). */
static void configure(size_t first, size_t second) {
    tile_config config = {.palette = 1};
    bool tall = second > 0;
    for (int t = 0; t < 8; t++) {
        bool lower = tall && (t == 2 || t == 3 || t == 5), b = tall ? t >= 6 : t >= 5;
        config.row_bytes[t] = 64;
        config.rows[t] = (uint8_t)(b ? ROWS : lower ? second : first);
    }
    tile_publish(&config);
    tile_configure(&config);
}

/* Sums 0 1 / 2 3 of two tiles of A, `a_stride` bytes from row to row, and two of B. */
RT_VERB void step_tall(const uint16_t *a, size_t a_stride, const uint16_t *b, size_t panel) {
    tile_load(6, b, LINE);
    tile_load(4, a, a_stride);
    tile_dot_bf16(0, 4, 6);
    tile_load(7, b + panel, LINE);
    tile_dot_bf16(1, 4, 7);
    tile_load(5, a + ROWS * (a_stride / sizeof *a), a_stride);
    tile_dot_bf16(2, 5, 6);
    tile_dot_bf16(3, 5, 7);
}

static void run_tall(const block *bl, const tail *rest) {
    size_t i = 0;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    size_t second =
        bl->panels > 1 ? bl->panel : 0; /* a single panel is taken twice, its second sums ignored */
    for (; i + DEPTH <= bl->k; i += DEPTH) {
        step_tall(bl->a + i, bl->lda * sizeof *bl->a, bl->b + i * RT_PANEL, second);
    }
    if (i < bl->k) step_tall(rest->a, LINE, rest->b, TILE);
    tile_store(0, bl->sums, OUT * sizeof(float));
    tile_store(1, bl->sums + RT_PANEL, OUT * sizeof(float));
    tile_store(2, bl->sums + ROWS * OUT, OUT * sizeof(float));
    tile_store(3, bl->sums + ROWS * OUT + RT_PANEL, OUT * sizeof(float));
}

/* Sums 0…3 of one tile of A and up to four of B. */
RT_VERB void step_flat(size_t panels, const uint16_t *a, size_t a_stride, const uint16_t *b, size_t panel) {
    tile_load(4, a, a_stride);
    tile_load(5, b, LINE);
    tile_dot_bf16(0, 4, 5);
    if (panels < 2) return;
    tile_load(6, b + panel, LINE);
    tile_dot_bf16(1, 4, 6);
    if (panels < 3) return;
    tile_load(7, b + 2 * panel, LINE);
    tile_dot_bf16(2, 4, 7);
    if (panels < 4) return;
    tile_load(5, b + 3 * panel, LINE);
    tile_dot_bf16(3, 4, 5);
}

static void run_flat(const block *bl, const tail *rest) {
    size_t i = 0;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (; i + DEPTH <= bl->k; i += DEPTH) {
        step_flat(bl->panels, bl->a + i, bl->lda * sizeof *bl->a, bl->b + i * RT_PANEL, bl->panel);
    }
    if (i < bl->k) step_flat(bl->panels, rest->a, LINE, rest->b, TILE);
    tile_store(0, bl->sums, OUT * sizeof(float));
    tile_store(1, bl->sums + RT_PANEL, OUT * sizeof(float));
    tile_store(2, bl->sums + 2 * RT_PANEL, OUT * sizeof(float));
    tile_store(3, bl->sums + 3 * RT_PANEL, OUT * sizeof(float));
}

/* All rows against the panels of bl, whose rows and a are set here. */
static void run_rows(const rt_gemm *g, block *bl, size_t j, size_t columns, size_t *configured) {
    tail rest;
    size_t blocks = (g->m + 2 * ROWS - 1) / (2 * ROWS);
    for (size_t n = 0, i = 0; n < blocks; n++) {
        bl->rows = g->m / blocks + (n < g->m % blocks);
        bl->a = (const uint16_t *)g->a + i * g->lda;
        size_t first = rt_min(ROWS, bl->rows), second = bl->rows - first;
        if (*configured != bl->rows) configure(first, second);
        *configured = bl->rows;
        if (g->k % DEPTH != 0) fill_tail(bl, &rest);
        if (second > 0)
            run_tall(bl, &rest);
        else
            run_flat(bl, &rest);
        finish(g, i, j, bl->rows, columns, bl->sums, OUT);
        i += bl->rows;
    }
}

void RT_TILE(gemm_bf16)(const rt_gemm *g) {
    _Alignas(64) float sums[2 * ROWS * OUT];
    block bl = {.lda = g->lda, .k = g->k, .panel = (g->k + (g->k & 1)) * RT_PANEL, .sums = sums};
    if (g->m == 0 || g->n == 0) return;
    size_t wide = (g->m <= ROWS ? WIDE : 2) * RT_PANEL, configured = 0;
    for (size_t j = 0; j < g->n; j += wide) {
        size_t columns = rt_min(wide, g->n - j);
        bl.panels = (columns + RT_PANEL - 1) / RT_PANEL;
        bl.b = (const uint16_t *)g->b + j / RT_PANEL * bl.panel;
        run_rows(g, &bl, j, columns, &configured);
    }
    tile_release();
}
