/* SPDX-License-Identifier: Apache-2.0
 * Products on AMX tiles of 16 rows: 2 x 2 tiles of sums for more than 16 rows of A, 1 x 4 for fewer, so that
 * four sums are always in flight (a dot issues every 16 cycles, its latency is 52). The packed layout of B is
 * the tile layout: 16 times 4 bytes of k of one panel are 16 rows of 64 bytes. Shared by bf16 and int8: sizes
 * are in bytes, and the includer defines tile_dot, which multiplies tiles. */
#ifndef RT_KERNEL_X86_GEMM_AMX_H
#define RT_KERNEL_X86_GEMM_AMX_H

#include "kernel/rows.h"
#include "kernel/vec/finish.h"
#include "kernel/vec/gemm_q.h"

#include <string.h>

enum {
    ROWS = 16, /* of a tile */
    LINE = 64, /* bytes of its rows; A advances this much of k per step */
    WIDE = 4,  /* panels of the 1 x 4 block; the 2 x 2 block has two */
    TILE = LINE * ROWS,
    OUT = WIDE * RT_PANEL /* sums from row to row */
};

/* One block of A times `panels` panels of B. */
typedef struct block {
    const char *a, *b;
    size_t lda, depth;    /* row stride of A in bytes, bytes of a row */
    size_t panels, panel; /* panels of B, bytes of a panel */
    size_t rows;          /* 1…32 */
    float *sums;          /* [32][OUT], or int32 in the place of floats */
} block;

/* The last, partial LINE of A and its part of B, padded with zeros. */
typedef struct tail {
    _Alignas(64) char a[2 * TILE], b[WIDE * TILE];
} tail;

static void fill_tail(const block *bl, tail *out) {
    size_t done = bl->depth / LINE * LINE, left = bl->depth - done, lines = (left + 3) / 4;
    memset(out, 0, sizeof *out);
    for (size_t r = 0; r < bl->rows; r++) memcpy(out->a + r * LINE, bl->a + r * bl->lda + done, left);
    for (size_t p = 0; p < bl->panels; p++) {
        memcpy(out->b + p * TILE, bl->b + p * bl->panel + done * ROWS, lines * LINE);
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
RT_VERB void step_tall(const char *a, size_t a_stride, const char *b, size_t panel) {
    tile_load(6, b, LINE);
    tile_load(4, a, a_stride);
    tile_dot(0, 4, 6);
    tile_load(7, b + panel, LINE);
    tile_dot(1, 4, 7);
    tile_load(5, a + ROWS * a_stride, a_stride);
    tile_dot(2, 5, 6);
    tile_dot(3, 5, 7);
}

static void run_tall(const block *bl, const tail *rest) {
    size_t i = 0;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    size_t second =
        bl->panels > 1 ? bl->panel : 0; /* a single panel is used twice; its second sums are ignored */
    for (; i + LINE <= bl->depth; i += LINE) step_tall(bl->a + i, bl->lda, bl->b + i * ROWS, second);
    if (i < bl->depth) step_tall(rest->a, LINE, rest->b, TILE);
    tile_store(0, bl->sums, OUT * sizeof(float));
    tile_store(1, bl->sums + RT_PANEL, OUT * sizeof(float));
    tile_store(2, bl->sums + ROWS * OUT, OUT * sizeof(float));
    tile_store(3, bl->sums + ROWS * OUT + RT_PANEL, OUT * sizeof(float));
}

/* Sums 0…3 of one tile of A and up to four of B. */
RT_VERB void step_flat(size_t panels, const char *a, size_t a_stride, const char *b, size_t panel) {
    tile_load(4, a, a_stride);
    tile_load(5, b, LINE);
    tile_dot(0, 4, 5);
    if (panels < 2) return;
    tile_load(6, b + panel, LINE);
    tile_dot(1, 4, 6);
    if (panels < 3) return;
    tile_load(7, b + 2 * panel, LINE);
    tile_dot(2, 4, 7);
    if (panels < 4) return;
    tile_load(5, b + 3 * panel, LINE);
    tile_dot(3, 4, 5);
}

static void run_flat(const block *bl, const tail *rest) {
    size_t i = 0;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (; i + LINE <= bl->depth; i += LINE) {
        step_flat(bl->panels, bl->a + i, bl->lda, bl->b + i * ROWS, bl->panel);
    }
    if (i < bl->depth) step_flat(bl->panels, rest->a, LINE, rest->b, TILE);
    tile_store(0, bl->sums, OUT * sizeof(float));
    tile_store(1, bl->sums + RT_PANEL, OUT * sizeof(float));
    tile_store(2, bl->sums + 2 * RT_PANEL, OUT * sizeof(float));
    tile_store(3, bl->sums + 3 * RT_PANEL, OUT * sizeof(float));
}

static void run_block(const block *bl, tail *rest) {
    if (bl->depth % LINE != 0) fill_tail(bl, rest);
    if (bl->rows > ROWS)
        run_tall(bl, rest);
    else
        run_flat(bl, rest);
}

/* Adds the products of A's outlier columns to the sums of bl, rows from i on, columns from j on. */
static void add_outlier_tiles(const rt_gemm_q *q, const block *bl, size_t i, size_t j, tail *rest) {
    _Alignas(64) float more[2 * ROWS * OUT];
    block outliers = *bl;
    outliers.a = (const char *)q->a_outliers + i * q->outliers;
    outliers.b = (const char *)q->b_outliers + j * q->outliers;
    outliers.lda = outliers.depth = q->outliers;
    outliers.panel = q->outliers * RT_PANEL;
    outliers.sums = more;
    run_block(&outliers, rest);
    add_integers(bl->rows, bl->panels, more, bl->sums, OUT);
}

/* All rows times the panels of bl, columns from j on; q: not NULL for integer sums. *configured: the rows
 * that the tiles are configured for. */
static void tile_rows(const rt_gemm *g, block *bl, size_t j, size_t columns, const rt_gemm_q *q,
                      size_t *configured) {
    tail rest;
    size_t blocks = (g->m + 2 * ROWS - 1) / (2 * ROWS);
    for (size_t n = 0, i = 0; n < blocks; n++) {
        bl->rows = g->m / blocks + (n < g->m % blocks);
        bl->a = (const char *)g->a + i * bl->lda;
        size_t first = rt_min(ROWS, bl->rows), second = bl->rows - first;
        if (*configured != bl->rows) configure(first, second);
        *configured = bl->rows;
        run_block(bl, &rest);
        if (q != NULL && q->outliers > 0) add_outlier_tiles(q, bl, i, j, &rest);
        if (q != NULL)
            finish_sums(q, i, j, bl->rows, columns, bl->sums, OUT);
        else
            finish(g, i, j, bl->rows, columns, bl->sums, OUT);
        i += bl->rows;
    }
}

/* Returns `panels` panels from column j on. */
typedef const char *panels_fn(const rt_gemm *g, const rt_gemm_q *q, size_t j, size_t panels, size_t panel);

/* panel: bytes of a panel as returned by `at`. */
RT_VERB void gemm_tiles(const rt_gemm *g, size_t a_size, size_t panel, panels_fn *at, const rt_gemm_q *q) {
    _Alignas(64) float sums[2 * ROWS * OUT];
    block bl = {.lda = g->lda * a_size, .depth = g->k * a_size, .panel = panel, .sums = sums};
    if (g->m == 0 || g->n == 0) return;
    size_t wide = (g->m <= ROWS ? WIDE : 2) * RT_PANEL, configured = 0;
    for (size_t j = 0; j < g->n; j += wide) {
        size_t columns = rt_min(wide, g->n - j);
        bl.panels = (columns + RT_PANEL - 1) / RT_PANEL;
        bl.b = at(g, q, j, bl.panels, panel);
        tile_rows(g, &bl, j, columns, q, &configured);
    }
    tile_release();
}

static const char *packed_panels(const rt_gemm *g, const rt_gemm_q *q, size_t j, size_t panels,
                                 size_t panel) {
    (void)q, (void)panels;
    return (const char *)g->b + j / RT_PANEL * panel;
}

#endif
