/* SPDX-License-Identifier: Apache-2.0
 * Times a row over real shapes: best of many short runs, weights rotated over six layers, so that they come
 * from where they would come from in a model. */
#include "base/memory.h"
#include "kernel_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LAYERS = 6 };
static const double PATIENCE = 0.2; /* seconds a figure */

typedef struct work {
    const kernel_row *row;
    size_t m, n, k;
    void *a, *c, *layer[LAYERS];
    float *bias;
    rt_row_scale *scale; /* of a's rows */
    int32_t *sum;
    int8_t *scratch;
    rt_act act;
    float *residual; /* or NULL */
    bool narrow;     /* c is bf16 */
    size_t turn;
} work;

/* This thread's time: other processes of a busy machine do not count. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Shortest time of LAYERS calls, for one call. */
static double best_time(void (*call)(work *), work *w) {
    double start = now(), best = 1e9;
    do {
        double before = now();
        for (int i = 0; i < LAYERS; i++) call(w);
        double took = (now() - before) / LAYERS;
        if (took < best) best = took;
    } while (now() - start < PATIENCE);
    return best;
}

static void *need(size_t bytes) {
    void *data = rt_alloc_aligned(bytes);
    if (data == NULL) exit(1);
    return data;
}

/* The matrices of a layer of BERT base, then of MiniLM, with what follows them there. */
static const struct {
    size_t n, k;
    bool gelu, residual;
} matrices[] = {{2304, 768, false, false}, {768, 768, false, true},   {3072, 768, true, false},
                {768, 3072, false, true},  {1152, 384, false, false}, {384, 384, false, true},
                {1536, 384, true, false},  {384, 1536, false, true}};
enum { BASE = 4, MOST_ROWS = 1024 };

static void call_gemm(work *w) {
    rt_gemm g = {.m = w->m,
                 .n = w->n,
                 .k = w->k,
                 .a = w->a,
                 .lda = w->k,
                 .b = w->layer[w->turn++ % LAYERS],
                 .bias = w->bias,
                 .residual = w->residual,
                 .ldr = w->n,
                 .act = w->act,
                 .ldc = w->n,
                 .ldc16 = w->n};
    if (w->narrow)
        g.c16 = w->c;
    else
        g.c = w->c;
    ((rt_gemm_fn)w->row->fn)(&g);
}

/* GFLOP/s of one matrix; with the peak, percents of it follow. */
static void bench_gemm_shape(work *w, bool half, double peak) {
    static const size_t ms[] = {1, 8, 16, 32, 64, 128, 430, MOST_ROWS};
    size_t element = half ? sizeof(uint16_t) : sizeof(float), weights = w->n * w->k;
    memset(w->a, 0x3c, MOST_ROWS * w->k * element);
    for (int i = 0; i < LAYERS; i++) memset(w->layer[i] = need(weights * element), 0x3c, weights * element);
    printf("%s%s%s n %zu k %zu, GFLOP/s%s at m", w->row->name, w->act != RT_FN_NONE ? " + gelu" : "",
           w->residual != NULL ? " + residual" : "", w->n, w->k, peak > 0 ? " (% of peak)" : "");
    for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
        w->m = ms[i];
        double rate = 2e-9 * (double)(w->m * weights) / best_time(call_gemm, w);
        printf("  %zu: %.1f", w->m, rate);
        if (peak > 0) printf(" (%.1f)", 100 * rate / peak);
        fflush(stdout);
    }
    printf("\n");
    for (int i = 0; i < LAYERS; i++) free(w->layer[i]);
}

/* After the matrices of a layer, the gradient of one, where k is tokens. With bf16 weights, the outputs of GELU are bf16. */
static void bench_gemm(const kernel_row *row, bool half, double peak) {
    enum { MOST = 3072, SHAPES = sizeof matrices / sizeof *matrices };
    work w = {.row = row, .a = need(MOST_ROWS * MOST * sizeof(float))};
    float *residual = rt_calloc((size_t)MOST_ROWS * MOST, sizeof(float));
    w.c = need(MOST_ROWS * MOST * sizeof(float));
    w.bias = rt_calloc(MOST, sizeof(float));
    if (w.bias == NULL || residual == NULL) exit(1);
    for (size_t s = 0; s <= SHAPES; s++) {
        bool gradient = s == SHAPES;
        w.n = gradient ? 1536 : matrices[s].n;
        w.k = gradient ? 430 : matrices[s].k;
        w.act = gradient || !matrices[s].gelu ? RT_FN_NONE : half ? RT_FN_GELU_SHORT : RT_FN_GELU;
        w.narrow = w.act == RT_FN_GELU_SHORT;
        w.residual = gradient || matrices[s].residual ? residual : NULL;
        bench_gemm_shape(&w, half, peak);
    }
    void *all[] = {w.a, w.c, w.bias, residual};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* One integer product over weights that start at b; all weights and activations are 1, groups of 128. */
static void multiply_q(const work *w, size_t n, size_t k, const int8_t *b) {
    rt_gemm_q g = {.m = w->m,
                   .n = n,
                   .k = k,
                   .a = w->a,
                   .lda = k,
                   .a_scale = w->scale,
                   .b = b,
                   .b_group = (const uint8_t *)b,
                   .group = 128,
                   .b_scale = w->bias,
                   .b_sum = w->sum,
                   .bias = w->bias,
                   .residual = w->residual,
                   .ldr = n,
                   .act = w->act,
                   .c = w->c,
                   .ldc = n,
                   .scratch = w->scratch};
    ((rt_gemm_q_fn)w->row->fn)(&g);
}
static void call_gemm_q(work *w) {
    multiply_q(w, w->n, w->k, w->layer[w->turn++ % LAYERS]);
}
/* All matrices of a layer of BERT base: with six layers, 42 MB of 8-bit weights pass between two uses of one. */
static void call_layer_q(work *w) {
    const int8_t *b = w->layer[w->turn++ % LAYERS];
    for (size_t i = 0; i < BASE; i++) {
        multiply_q(w, matrices[i].n, matrices[i].k, b);
        b += matrices[i].n * matrices[i].k;
    }
}

static void call_peak(work *w) {
    ((rt_peak_fn)w->row->fn)(w->n, 1, w->c);
}

/* GOP/s of a row of the families peak_*; NULL: 0 */
static double peak_rate(const kernel_row *row) {
    float sums[16];
    work w = {.row = row, .n = 10000, .c = sums};
    if (row == NULL) return 0;
    return 1e-9 * (double)((rt_peak_fn)row->fn)(w.n, 1, sums) / best_time(call_peak, &w);
}

/* With the peak, percents of it follow. */
static void bench_gemm_q_shape(work *w, const char *shape, size_t weights, void (*call)(work *),
                               double peak) {
    static const size_t ms[] = {1, 2, 4, 8, 16, 32, 64, 128, 384, MOST_ROWS};
    for (int i = 0; i < LAYERS; i++) memset(w->layer[i] = need(weights), 1, weights);
    printf("%s%s%s %s, GOP/s%s at m", w->row->name, w->act == RT_FN_GELU ? " + gelu" : "",
           w->residual != NULL ? " + residual" : "", shape, peak > 0 ? " (% of peak)" : "");
    for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
        w->m = ms[i];
        double rate = 2e-9 * (double)(w->m * weights) / best_time(call, w);
        printf("  %zu: %.1f", w->m, rate);
        if (peak > 0) printf(" (%.1f)", 100 * rate / peak);
        fflush(stdout);
    }
    printf("\n");
    for (int i = 0; i < LAYERS; i++) free(w->layer[i]);
}

static void bench_gemm_q(const kernel_row *row, double peak) {
    enum { MOST = 3072 };
    work w = {.row = row, .a = need(MOST_ROWS * MOST), .c = need(MOST_ROWS * MOST * sizeof(float))};
    float *residual = rt_calloc((size_t)MOST_ROWS * MOST, sizeof(float));
    size_t layer = 0;
    w.bias = rt_calloc(MOST, sizeof(float));
    w.scale = rt_calloc(MOST_ROWS, sizeof *w.scale);
    w.sum = rt_calloc(MOST, sizeof(int32_t));
    w.scratch = need(rt_gemm_q_scratch(MOST));
    if (w.bias == NULL || w.scale == NULL || w.sum == NULL || residual == NULL) exit(1);
    memset(w.a, 1, (size_t)MOST_ROWS * MOST);
    for (size_t s = 0; s < sizeof matrices / sizeof *matrices; s++) {
        char shape[40];
        w.n = matrices[s].n;
        w.k = matrices[s].k;
        w.act = matrices[s].gelu ? RT_FN_GELU : RT_FN_NONE;
        w.residual = matrices[s].residual ? residual : NULL;
        layer += s < BASE ? w.n * w.k : 0;
        snprintf(shape, sizeof shape, "n %zu k %zu", w.n, w.k);
        bench_gemm_q_shape(&w, shape, w.n * w.k, call_gemm_q, peak);
    }
    w.act = RT_FN_NONE;
    w.residual = NULL;
    bench_gemm_q_shape(&w, "layers of BERT base", layer, call_layer_q, peak);
    void *all[] = {w.a, w.c, w.bias, w.scale, w.sum, w.scratch, residual};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void call_attention(work *w) {
    size_t heads = 768 / w->k, head = w->turn++ % heads * w->k;
    const float *q = (float *)w->a + head;
    rt_attention at = {.queries = w->m,
                       .keys = w->n,
                       .dim = w->k,
                       .q = q,
                       .k = q + 768,
                       .v = q + 1536,
                       .ldq = 2304,
                       .ldk = 2304,
                       .ldv = 2304,
                       .scale = 0.125f,
                       .out = (float *)w->c + head,
                       .ldo = 768};
    at.scratch = w->layer[0];
    ((rt_attention_fn)w->row->fn)(&at);
}

static void bench_attention(const kernel_row *row) {
    static const size_t shapes[][3] = {{16, 16, 64},   {25, 25, 64},   {64, 64, 64}, {128, 128, 64},
                                       {384, 384, 64}, {16, 16, 32},   {25, 25, 32}, {64, 64, 32},
                                       {128, 128, 32}, {384, 384, 32}, {1, 128, 64}, {1, 384, 64}};
    printf("%s, GFLOP/s at queries x keys x dim", row->name);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        work w = {.row = row, .m = shapes[s][0], .n = shapes[s][1], .k = shapes[s][2]};
        w.a = need(512 * 2304 * sizeof(float));
        w.c = need(512 * 768 * sizeof(float));
        size_t scratch = rt_attention_scratch(w.n, w.k) + rt_attention_s8_scratch(w.n, w.k);
        w.layer[0] = need(scratch * sizeof(float));
        fill_f32(w.a, 512 * 2304, FILL_NORMAL);
        double flops = 4.0 * (double)(w.m * w.n * w.k);
        printf("  %zux%zux%zu: %.1f", w.m, w.n, w.k, 1e-9 * flops / best_time(call_attention, &w));
        fflush(stdout);
        free(w.a);
        free(w.c);
        free(w.layer[0]);
    }
    printf("\n");
}

static void call_layer_norm(work *w) {
    rt_norm_args args = {.rows = w->m,
                         .n = w->n,
                         .x = w->a,
                         .ldx = w->n,
                         .gamma = w->bias,
                         .beta = w->bias,
                         .epsilon = 1e-12f,
                         .y = w->c,
                         .ldy = w->n};
    ((rt_norm_fn)w->row->fn)(&args);
}
static void call_embed(work *w) {
    rt_embed_args args = {.ids = w->layer[0],
                          .positions = w->layer[0],
                          .word = w->a,
                          .position = w->a,
                          .norm = {.rows = w->m,
                                   .n = w->n,
                                   .gamma = w->bias,
                                   .beta = w->bias,
                                   .epsilon = 1e-12f,
                                   .y = w->c,
                                   .ldy = w->n}};
    ((rt_embed_fn)w->row->fn)(&args);
}
static void call_pool(work *w) {
    ((rt_pool_fn)w->row->fn)(&(rt_pool_args){.rows = w->m, .n = w->n, .x = w->a, .ldx = w->n, .y = w->c});
}
static void call_normalize(work *w) {
    ((rt_normalize_fn)w->row->fn)(w->m, w->n, w->a, w->n, w->c, w->n);
}
static void call_quantize(work *w) {
    ((rt_quantize_fn)w->row->fn)(w->m, w->n, w->a, w->n, &(rt_rows_q){0}, w->c, w->n, w->scale);
}
static void call_to_bf16(work *w) {
    ((rt_to_bf16_fn)w->row->fn)(w->m * w->n, w->a, w->c);
}

/* Bytes read a second, of 128 rows of 768 floats. */
static void bench_stream(const kernel_row *row, void (*call)(work *)) {
    work w = {.row = row, .m = 128, .n = 768};
    w.a = need(w.m * w.n * sizeof(float));
    w.c = need(w.m * w.n * sizeof(float));
    w.bias = rt_calloc(w.n, sizeof(float));
    w.layer[0] = rt_calloc(w.m, sizeof(int32_t));
    w.scale = rt_calloc(w.m, sizeof *w.scale);
    if (w.bias == NULL || w.scale == NULL || w.layer[0] == NULL) exit(1);
    fill_f32(w.a, w.m * w.n, FILL_NORMAL);
    printf("%s 128 x 768: %.1f GB/s\n", row->name, 4e-9 * (double)(w.m * w.n) / best_time(call, &w));
    free(w.a);
    free(w.c);
    free(w.bias);
    free(w.scale);
    free(w.layer[0]);
}

static void call_adamw(work *w) {
    float *all = w->a;
    rt_adamw step = {w->n,   all,    all + w->n, all + 2 * w->n, all + 3 * w->n, 1.0f, 0.1f,
                     0.001f, 0.999f, 1.0f,       1e-9f,          1.0f,           1e-8f};
    ((rt_adamw_fn)w->row->fn)(&step);
}
static void call_squares(work *w) {
    volatile float sum = ((rt_squares_fn)w->row->fn)(w->n, w->a);
    (void)sum;
}

/* Bytes read and written a second, of as many numbers as fit into L2, and of many. */
static void bench_parameters(const kernel_row *row, void (*call)(work *), size_t bytes_each) {
    static const size_t counts[] = {32768, 8388608};
    printf("%s, GB/s at numbers", row->name);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        work w = {.row = row, .n = counts[i]};
        w.a = need(4 * w.n * sizeof(float));
        fill_f32(w.a, 4 * w.n, FILL_ZERO);
        printf("  %zu: %.1f", w.n, 1e-9 * (double)(bytes_each * w.n) / best_time(call, &w));
        fflush(stdout);
        free(w.a);
    }
    printf("\n");
}

static void call_read(work *w) {
    ((rt_read_fn)w->row->fn)(w->n, w->a);
}

static void bench_read(const kernel_row *row) {
    static const size_t kilobytes[] = {16, 512, 16384, 131072};
    printf("%s, GB/s at kB", row->name);
    for (size_t i = 0; i < sizeof kilobytes / sizeof *kilobytes; i++) {
        size_t bytes = kilobytes[i] * 1024;
        work w = {.row = row, .n = bytes / sizeof(uint64_t)};
        memset(w.a = need(bytes), 1, bytes);
        printf("  %zu: %.1f", kilobytes[i], 1e-9 * (double)bytes / best_time(call_read, &w));
        fflush(stdout);
        free(w.a);
    }
    printf("\n");
}

static void call_widen(work *w) {
    rt_widen widen = {
        .k = w->k, .n = w->n, .b = w->a, .b_group = (uint8_t *)w->scratch, .group = 64, .out = w->c};
    ((rt_widen_fn)w->row->fn)(&widen);
}

/* int8 panels written, of a matrix whose panels fit into L2. */
static void bench_widen(const kernel_row *row) {
    work w = {.row = row, .n = 768, .k = 768};
    w.a = need(w.n * w.k / 2);
    w.c = need(w.n * w.k);
    w.scratch = need(w.n * w.k / 64);
    memset(w.a, 1, w.n * w.k / 2);
    memset(w.scratch, 1, w.n * w.k / 64);
    printf("%s n 768 k 768: %.1f GB/s\n", row->name, 1e-9 * (double)(w.n * w.k) / best_time(call_widen, &w));
    free(w.a);
    free(w.c);
    free(w.scratch);
}

static void call_attention_back(work *w) {
    float *x = w->a, *d = w->c;
    size_t ld = 3 * w->n, part = w->n * w->m;
    rt_attention_back at = {
        .queries = w->m, .keys = w->m, .dim = w->n, .ldq = ld, .ldk = ld, .ldv = ld, .ldy = w->n};
    at.q = x;
    at.k = x + w->n;
    at.v = x + 2 * w->n;
    at.dy = x + 3 * part;
    at.scale = 0.1f;
    at.dq = d;
    at.dk = d + w->n;
    at.dv = d + 2 * w->n;
    at.scratch = (float *)(void *)w->scratch;
    ((rt_attention_back_fn)w->row->fn)(&at);
}

/* One head of 32 columns. Five products of the length squared. */
static void bench_attention_back(const kernel_row *row) {
    static const size_t lengths[] = {8, 13, 25, 64, 128, 384};
    enum { DIM = 32, MOST = 384 };
    work w = {.row = row, .n = DIM};
    w.a = need(4 * DIM * MOST * sizeof(float));
    w.c = need(4 * DIM * MOST * sizeof(float));
    w.scratch = need(rt_attention_back_scratch(MOST, DIM) * sizeof(float));
    memset(w.a, 0x3c, 4 * DIM * MOST * sizeof(float));
    printf("%s dim %d, GFLOP/s at length", row->name, DIM);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        w.m = lengths[i];
        memset(w.c, 0, 4 * DIM * MOST * sizeof(float));
        printf("  %zu: %.1f", w.m, 10e-9 * DIM * (double)(w.m * w.m) / best_time(call_attention_back, &w));
    }
    printf("\n");
    free(w.a);
    free(w.c);
    free(w.scratch);
}

void bench_row(const kernel_row *row, const kernel_row *peak) {
    static const struct {
        const char *family;
        void (*call)(work *);
    } streams[] = {{"layer_norm", call_layer_norm}, {"embed", call_embed},         {"pool_mean", call_pool},
                   {"pool_max", call_pool},         {"normalize", call_normalize}, {"to_bf16", call_to_bf16},
                   {"quantize", call_quantize}};
    bool half = strcmp(row->family, "gemm_bf16") == 0;
    if (half || strcmp(row->family, "gemm_f32") == 0) {
        bench_gemm(row, half, peak_rate(peak));
    } else if (strcmp(row->family, "attention_back") == 0) {
        bench_attention_back(row);
    } else if (strncmp(row->family, "attention", 9) == 0) {
        bench_attention(row);
    } else if (strncmp(row->family, "gemm_s", 6) == 0) {
        bench_gemm_q(row, peak_rate(peak));
    } else if (strncmp(row->family, "widen_", 6) == 0) {
        bench_widen(row);
    } else if (strncmp(row->family, "peak_", 5) == 0) {
        printf("%s: %.1f GOP/s\n", row->name, peak_rate(row));
    } else if (strcmp(row->family, "read_sum") == 0) {
        bench_read(row);
    } else if (strcmp(row->family, "adamw") == 0) {
        bench_parameters(row, call_adamw, 28);
    } else if (strcmp(row->family, "squares") == 0) {
        bench_parameters(row, call_squares, 4);
    }
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        if (strcmp(streams[i].family, row->family) == 0) bench_stream(row, streams[i].call);
    }
}
