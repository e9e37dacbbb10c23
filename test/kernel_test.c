/* SPDX-License-Identifier: Apache-2.0
 * kernel_test          every row of kernel/list.h that this CPU can run, against its reference (TAP)
 * kernel_test --bench  times the same rows [only those whose name contains the next argument]
 * A row of list.h, or of x86/emulated_list.h, is a test; there is nothing to add here for a new kernel. */
#include "base/memory.h"
#include "base/tensor.h"
#include "base/cpu.h"
#include "kernel/integers.h"
#include "kernel/ref/scalar.h"
#include "kernel/x86/emulated_rows.h"
#include "kernel_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const kernel_row rows[] = {
#define ROW(family, row, needs, bound)                                                                       \
    {#family, #row, needs, bound, (any_fn)rt_##row, (any_fn)rt_##family##_ref},
#define KERNEL ROW
#include "kernel/list.h"
#if defined(__x86_64__)
#define KERNEL ROW
#include "kernel/x86/emulated_list.h"
#endif
#undef ROW
};

static const struct {
    const char *family;
    check_fn *check;
} checks[] = {
#define FAMILY_CHECK(family, type) {#family, check_##family},
    RT_KERNEL_FAMILIES(FAMILY_CHECK)
#undef FAMILY_CHECK
};

static int tests, failures;

static void report(bool good, const char *name, const char *why) {
    tests++;
    if (!good) failures++;
    printf("%sok %d - %s%s%s\n", good ? "" : "not ", tests, name, good ? "" : ": ", good ? "" : why);
    fflush(stdout);
}

static bool check_row(const kernel_row *row, char *why, size_t size) {
    random_seed(1);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (strcmp(checks[i].family, row->family) == 0) return checks[i].check(row, why, size);
    }
    snprintf(why, size, "no check for family %s", row->family);
    return false;
}

/* Whether the kernel that a row emulates runs here: emulation takes a hundred times as long. */
static bool runs_here(const kernel_row *row, uint32_t have) {
    static const char suffix[] = "_emulated";
    size_t length = strlen(row->name), own = length - rt_min(length, sizeof suffix - 1);
    if (strcmp(row->name + own, suffix) != 0) return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strlen(rows[i].name) == own && strncmp(rows[i].name, row->name, own) == 0)
            return (rows[i].needs & have) == rows[i].needs;
    }
    return false;
}

static void test_rows(void) {
    uint32_t have = rt_cpu_features() | RT_CPU_FAST_BF16; /* also what this CPU had better not use */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char why[256] = "";
        if ((rows[i].needs & have) != rows[i].needs) {
            printf("ok %d - %s # SKIP this CPU lacks what it needs\n", ++tests, rows[i].name);
        } else if (runs_here(&rows[i], have)) {
            printf("ok %d - %s # SKIP what it emulates runs here\n", ++tests, rows[i].name);
        } else {
            report(check_row(&rows[i], why, sizeof why), rows[i].name, why);
        }
    }
}

/* ---- The checker must notice a wrong kernel ---- */

static void broken_last_bit(const rt_gemm *g) {
    rt_gemm_f32_ref(g);
    if (g->m > 2 && g->n > 3 && g->c != NULL) g->c[2 * g->ldc + 3] *= 1 + 0x1p-23f;
}
static void broken_column(const rt_gemm *g) { /* writes column n */
    rt_gemm_f32_ref(g);
    if (g->m > 0 && g->c != NULL && g->ldc > g->n && g->m > 1) g->c[g->n] = 0;
}
static void broken_tail(const rt_gemm *g) { /* forgets the last of k */
    rt_gemm short_k = *g;
    uint16_t *a = malloc((g->m * g->lda + 1) * sizeof *a);
    if (a == NULL) abort();
    for (size_t i = 0; i < g->m; i++)
        memcpy(a + i * g->lda, (const uint16_t *)g->a + i * g->lda, g->k * sizeof *a);
    for (size_t i = 0; i < g->m && g->k > 0; i++) a[i * g->lda + g->k - 1] = 0;
    short_k.a = a;
    rt_gemm_bf16_ref(&short_k);
    free(a);
}
static void broken_attention(const rt_attention *at) {
    rt_attention less = *at;
    if (less.keys > 40) less.keys--;
    rt_attention_ref(&less);
}
static void broken_relative(const rt_attention *at) { /* takes the diagonal for a distance of 1 */
    rt_attention other = *at;
    rt_relative moved = at->relative != NULL ? *at->relative : (rt_relative){0};
    if (moved.column != NULL) moved.column++;
    if (at->relative != NULL) other.relative = &moved;
    rt_attention_ref(&other);
}
static void broken_bias(const rt_attention *at) { /* takes keys before a query for those after it */
    rt_attention other = *at;
    rt_relative turned = at->relative != NULL ? *at->relative : (rt_relative){0};
    turned.bias_back = turned.bias;
    if (at->relative != NULL) other.relative = &turned;
    rt_attention_s8_ref(&other);
}
static void broken_window(const rt_attention *at) { /* one key less on each side */
    rt_attention less = *at;
    if (less.window > 1) less.window--;
    rt_attention_ref(&less);
}
static void broken_gate(const rt_gate_args *gate) { /* activates the other half */
    rt_gate_ref(gate);
    if (gate->rows > 0 && gate->n > 40 && gate->y != NULL) gate->y[40] = gate->x[80 - 8] * gate->x[88 - 8];
}
static void broken_rotate(const rt_rotate_args *rotate) { /* turns the last head the other way */
    rt_rotate_ref(rotate);
    if (rotate->rows > 2) rotate->x[2 * rotate->ldx + rotate->n - 1] *= -1;
}
static void broken_norm(const rt_norm_args *norm) {
    rt_norm_args other = *norm;
    other.epsilon = 1e-3f;
    rt_layer_norm_ref(&other);
}
static void broken_to_bf16(size_t n, const float *x, uint16_t *y) { /* truncates */
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        y[i] = (uint16_t)(bits >> 16);
    }
}

static uint64_t broken_peak(size_t rounds, int one, float *sums) { /* counts twice what it did */
    return 2 * rt_peak_f32_ref(rounds, one, sums);
}
static uint64_t broken_read(size_t n, const uint64_t *words) { /* forgets the words behind whole blocks */
    return rt_read_sum_ref(n / 8 * 8, words);
}
static void broken_quantize(size_t m, size_t n, const float *x, size_t ldx, const rt_rows_q *how, int8_t *q,
                            size_t ldq, rt_row_scale *scale) { /* forgets the padding */
    int8_t kept = 0;
    if (m > 0 && n % 64 != 0) kept = q[n];
    rt_quantize_ref(m, n, x, ldx, how, q, ldq, scale);
    if (m > 0 && n % 64 != 0) q[n] = kept;
}
static void broken_shift(const rt_gemm_q *g) { /* -128 in place of 127: as if a sum saturated */
    rt_gemm_q other = *g;
    int8_t *a = malloc(g->m * g->lda + 1);
    if (a == NULL) abort();
    memcpy(a, g->a, g->m * g->lda);
    for (size_t i = 0; i < g->m * g->lda; i++) a[i] = a[i] == 127 ? -128 : a[i];
    other.a = a;
    rt_gemm_s8_ref(&other);
    free(a);
}
static void broken_group(const rt_gemm_q *g) { /* takes the first group's scale for all */
    rt_gemm_q other = *g;
    size_t bytes = 0;
    if (!rt_pack_count_group(g->k, g->n, g->group, &bytes)) return;
    uint8_t *groups = malloc(bytes + 1);
    if (groups == NULL) abort();
    size_t panel = (g->k + g->group - 1) / g->group * RT_PANEL;
    for (size_t i = 0; i < bytes; i++) groups[i] = g->b_group[i / panel * panel + i % RT_PANEL];
    other.b_group = groups;
    rt_gemm_s4_ref(&other);
    free(groups);
}

static void broken_outliers(const rt_gemm_q *g) { /* forgets the outlier rows */
    rt_gemm_q other = *g;
    other.outliers = 0;
    rt_gemm_s4_ref(&other);
}

static void broken_widen(const rt_widen *w) { /* the first group's scale in place of the second's */
    rt_widen_s4_ref(w);
    if (w->k <= w->group || w->n == 0) return;
    for (size_t i = 0; i < 4; i++)
        w->out[w->group * RT_PANEL + i] =
            (int8_t)(rt_panel_code(w->b, w->k, w->group + i, 0) * w->b_group[0]);
}

static void broken_adamw(const rt_adamw *step) { /* decay in the gradient, as Adam has it */
    rt_adamw other = *step;
    other.keep = 1;
    rt_adamw_ref(&other);
}
static float broken_squares(size_t n, const float *x) { /* sums one after the other */
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static void broken_transpose(const rt_transpose_args *t) { /* forgets the last row */
    rt_transpose_args other = *t;
    if (other.m > 20) other.m--;
    rt_transpose_ref(&other);
}
static void broken_pack(const rt_pack_args *pack) { /* forgets the last row of an odd number */
    rt_pack_args other = *pack;
    if (other.y16 != NULL) other.k &= ~(size_t)1;
    rt_pack_ref(&other);
}
static void broken_act_back(rt_act act, size_t n, const float *z,
                            float *d) { /* one GELU's slope for the other */
    rt_act_back_ref(act == RT_FN_GELU_TANH ? RT_FN_GELU : act, n, z, d);
}
static void broken_gate_back(const rt_gate_back *gate) { /* leaves out the slope */
    rt_gate_back_ref(gate);
    if (gate->rows > 0 && gate->n > 0)
        gate->dx[0] = gate->dy[0] * gate->x[gate->n < RT_PANEL ? gate->n : RT_PANEL];
}
static void broken_back_window(const rt_attention_back *at) { /* one key less on each side */
    rt_attention_back less = *at;
    if (less.window > 1) less.window--;
    rt_attention_back_ref(&less);
}
static void broken_back_tables(const rt_attention_back *at) { /* no gradient of position queries */
    rt_attention_back other = *at;
    rt_relative_back tables = at->tables != NULL ? *at->tables : (rt_relative_back){0};
    tables.dquery = NULL;
    if (at->tables != NULL) other.tables = &tables;
    rt_attention_back_ref(&other);
}
static void broken_norm_back(const rt_norm_back *norm) { /* sets what it should add to */
    rt_norm_back other = *norm;
    other.add = false;
    rt_layer_norm_back_ref(&other);
}
static void broken_rms_back(const rt_norm_back *norm) { /* takes the mean away */
    rt_norm_back other = *norm;
    other.rms = false;
    rt_layer_norm_back_ref(&other);
}
static void
broken_attention_back(const rt_attention_back *at) { /* forgets the last query of a second block */
    rt_attention_back other = *at;
    if (other.queries > RT_ATTENTION_BACK_QUERIES) other.queries--;
    rt_attention_back_ref(&other);
}

static void test_checker(void) {
    const kernel_row broken[] = {
        {"gemm_f32", "one last bit", 0, 0.0f, (any_fn)broken_last_bit, (any_fn)rt_gemm_f32_ref},
        {"gemm_f32", "a write beyond the last column", 0, 0.0f, (any_fn)broken_column,
         (any_fn)rt_gemm_f32_ref},
        {"gemm_bf16", "a product missing under a bound", 0, 0x1p-21f, (any_fn)broken_tail,
         (any_fn)rt_gemm_bf16_ref},
        {"attention", "a column too far", 0, 0.0f, (any_fn)broken_relative, (any_fn)rt_attention_ref},
        {"attention_s8", "a bias the wrong way round", 0, 0.0f, (any_fn)broken_bias,
         (any_fn)rt_attention_s8_ref},
        {"attention", "a key missing", 0, 0.0f, (any_fn)broken_attention, (any_fn)rt_attention_ref},
        {"attention", "a narrower window", 0, 0.0f, (any_fn)broken_window, (any_fn)rt_attention_ref},
        {"gate", "another pair", 0, 0.0f, (any_fn)broken_gate, (any_fn)rt_gate_ref},
        {"rotate", "another direction", 0, 0.0f, (any_fn)broken_rotate, (any_fn)rt_rotate_ref},
        {"layer_norm", "another epsilon", 0, 0.0f, (any_fn)broken_norm, (any_fn)rt_layer_norm_ref},
        {"to_bf16", "truncation", 0, 0.0f, (any_fn)broken_to_bf16, (any_fn)rt_to_bf16_ref},
        {"peak_f32", "operations that were not done", 0, 0.0f, (any_fn)broken_peak, (any_fn)rt_peak_f32_ref},
        {"read_sum", "words left out", 0, 0.0f, (any_fn)broken_read, (any_fn)rt_read_sum_ref},
        {"quantize", "rows without padding", 0, 0.0f, (any_fn)broken_quantize, (any_fn)rt_quantize_ref},
        {"gemm_s8", "an extreme taken wrong", 0, 0.0f, (any_fn)broken_shift, (any_fn)rt_gemm_s8_ref},
        {"gemm_s4", "outlier rows left out", 0, 0.0f, (any_fn)broken_outliers, (any_fn)rt_gemm_s4_ref},
        {"widen_s4", "a row of another group", 0, 0.0f, (any_fn)broken_widen, (any_fn)rt_widen_s4_ref},
        {"adamw", "decay left out", 0, 0.0f, (any_fn)broken_adamw, (any_fn)rt_adamw_ref},
        {"transpose", "a row left out", 0, 0.0f, (any_fn)broken_transpose, (any_fn)rt_transpose_ref},
        {"pack", "an odd row left out", 0, 0.0f, (any_fn)broken_pack, (any_fn)rt_pack_ref},
        {"act_back", "the other GELU", 0, 0.0f, (any_fn)broken_act_back, (any_fn)rt_act_back_ref},
        {"gate_back", "no slope", 0, 0.0f, (any_fn)broken_gate_back, (any_fn)rt_gate_back_ref},
        {"attention_back", "a narrower window", 0, 0.0f, (any_fn)broken_back_window,
         (any_fn)rt_attention_back_ref},
        {"attention_back", "a table without a gradient", 0, 0.0f, (any_fn)broken_back_tables,
         (any_fn)rt_attention_back_ref},
        {"layer_norm_back", "not added", 0, 0.0f, (any_fn)broken_norm_back, (any_fn)rt_layer_norm_back_ref},
        {"layer_norm_back", "no mean", 0, 0.0f, (any_fn)broken_rms_back, (any_fn)rt_layer_norm_back_ref},
        {"attention_back", "a query left out", 0, 0.0f, (any_fn)broken_attention_back,
         (any_fn)rt_attention_back_ref},
        {"squares", "another order of sums", 0, 0.0f, (any_fn)broken_squares, (any_fn)rt_squares_ref},
        {"gemm_s4", "another group's scale", 0, 0.0f, (any_fn)broken_group, (any_fn)rt_gemm_s4_ref},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char why[256] = "", name[80];
        snprintf(name, sizeof name, "the checker notices %s", broken[i].name);
        report(!check_row(&broken[i], why, sizeof why), name, "it did not");
    }
}

/* A read behind a buffer must kill the reader. */
static void test_guard(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        close(STDERR_FILENO); /* an emulator would report the signal there */
        guarded g = guarded_new(40);
        volatile char *end = (char *)g.data + g.bytes;
        _exit(end[0] * 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    bool died = WIFSIGNALED(status) || WEXITSTATUS(status) != 0; /* a sanitizer exits instead */
    report(child > 0 && died, "the page behind a buffer cannot be read", "it can");
}

/* ---- Accuracy of the approximations against libm's double functions ---- */

static double exact_gelu(double x) {
    return 0.5 * x * erfc(-x * 0x1.6a09e667f3bcdp-1);
} /* 1 / sqrt 2 */
static double exact_gelu_tanh(double x) {
    return x / (1 + exp(-2 * 0x1.9884533d43651p-1 * (x + 0.044715 * x * x * x))); /* sqrt(2 / pi) */
}

static double exact_silu(double x) {
    return x / (1 + exp(-x));
}

/* Largest error over [from, to]: in units of the last place of the result, or of `least` where the result is
 * smaller than that. */
static double worst_ulp(float (*fn)(float), double (*exact)(double), double from, double to, double least) {
    enum { STEPS = 400000 };
    double worst = 0;
    for (int i = 0; i <= STEPS; i++) {
        float x = (float)(from + (to - from) * i / STEPS);
        double want = exact(x), size = fmax(fmax(fabs(want), least), 0x1p-126);
        double ulp = ldexp(1.0, ilogb(size) - 23), error = fabs(fn(x) - want) / ulp;
        if (error > worst) worst = error;
    }
    return worst;
}

static void test_accuracy(void) {
    const struct {
        const char *name;
        float (*fn)(float);
        double (*exact)(double);
        double from, to, least, limit;
    } cases[] = {
        {"exp", ref_exp, exp, -87, 88, 0, 1.0},
        {"exp near 0", ref_exp, exp, -1, 1, 0, 1.0},
        {"gelu above 0", ref_gelu, exact_gelu, 0, 20, 0, 2.0},
        {"gelu from -1 to 0", ref_gelu, exact_gelu, -1, 0, 0, 4.0},
        {"gelu below 0", ref_gelu, exact_gelu, -20, 0, 0x1p-2, 1.5},
        {"silu above 0", ref_silu, exact_silu, 0, 20, 0, 2.0},
        {"silu below 0", ref_silu, exact_silu, -20, 0, 0x1p-2, 1.5},
        {"tanh gelu above 0", ref_gelu_tanh, exact_gelu_tanh, 0, 20, 0, 2.0},
        {"tanh gelu below 0", ref_gelu_tanh, exact_gelu_tanh, -20, 0, 0x1p-2, 1.5},
        {"short gelu, absolute", ref_gelu_short, exact_gelu, -20, 20, 0x1p+5, 8.2e-5 / 0x1p-18},
        {"tanh", ref_tanh, tanh, -10, 10, 0, 2.0},
        {"tanh near 0", ref_tanh, tanh, -0.01, 0.01, 0, 1.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double worst = worst_ulp(cases[i].fn, cases[i].exact, cases[i].from, cases[i].to, cases[i].least);
        char name[80], why[80];
        snprintf(name, sizeof name, "%s: %.2f ulp", cases[i].name, worst);
        snprintf(why, sizeof why, "more than %.2f", cases[i].limit);
        report(worst <= cases[i].limit, name, why);
    }
}

/* ---- Packing ---- */

static bool pack_one(size_t k, size_t n) {
    size_t count = 0, count16 = 0, where;
    if (!rt_pack_count_f32(k, n, &count) || !rt_pack_count_bf16(k, n, &count16)) return false;
    guarded b = guarded_new(k * n * 4), turned = guarded_new(k * n * 4), back = guarded_new(k * n * 4);
    guarded packed = guarded_new(count * 4), again = guarded_new(count * 4), half = guarded_new(count16 * 2);
    float *rows_of_n = b.data, *rows_of_k = turned.data;
    for (size_t i = 0; i < k * n; i++)
        rows_of_n[i] = rt_bf16_to_f32(rt_f32_to_bf16((float)(random_u32() % 1000)));
    for (size_t i = 0; i < k * n; i++) rows_of_k[i % n * k + i / n] = rows_of_n[i];
    rt_pack_f32(k, n, rows_of_n, n, 1, packed.data);
    rt_pack_f32(k, n, rows_of_k, 1, k, again.data);
    rt_unpack_f32(k, n, packed.data, back.data);
    bool good = same_f32(&packed, &again, &where) && same_f32(&b, &back, &where);
    guarded_canary(&back);
    rt_pack_bf16(k, n, rows_of_k, 1, k, half.data);
    rt_unpack_bf16(k, n, half.data, back.data);
    good = good && same_f32(&b, &back, &where);
    const float *panels = packed.data; /* the layout itself: [n/16][k][16], zero beyond n */
    const uint16_t *pairs = half.data; /* [n/16][k/2][16][2] */
    for (size_t j = 0; j < rt_round_up(n, 16); j++) {
        for (size_t i = 0; i < k + (k & 1); i++) {
            float want = i < k && j < n ? rows_of_n[i * n + j] : 0.0f;
            size_t pair = ((j / 16 * ((k + 1) / 2) + i / 2) * 16 + j % 16) * 2 + i % 2;
            if (i < k) good = good && panels[(j / 16 * k + i) * 16 + j % 16] == want;
            good = good && pairs[pair] == rt_f32_to_bf16(want);
        }
    }
    guarded *all[] = {&b, &turned, &back, &packed, &again, &half};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good;
}

/* Integer panels: back to what they were, sums as stated. */
static bool pack_integers(size_t k, size_t n) {
    size_t bytes = 0, bytes4 = 0, groups = 0, group = 8 * (1 + random_below(4)), where;
    if (!rt_pack_count_s8(k, n, &bytes) || !rt_pack_count_s4(k, n, &bytes4)) return false;
    if (!rt_pack_count_group(k, n, group, &groups)) return false;
    guarded plain = guarded_new(k * n), codes = guarded_new(k * n), back = guarded_new(k * n);
    guarded scales = guarded_new((k + group - 1) / group * n), packed = guarded_new(bytes);
    guarded packed4 = guarded_new(bytes4), packed_groups = guarded_new(groups), sum[2];
    sum[0] = guarded_new(n * 4);
    sum[1] = guarded_new(n * 4);
    int8_t *weight = plain.data, *code = codes.data;
    uint8_t *scale = scales.data;
    for (size_t i = 0; i < scales.bytes; i++) scale[i] = (uint8_t)random_below(16);
    for (size_t i = 0; i < k * n; i++) {
        code[i] = (int8_t)((int)random_below(16) - 8);
        weight[i] = (int8_t)(code[i] * scale[i / n / group * n + i % n]);
    }
    rt_pack_s8(k, n, weight, n, 1, packed.data, sum[0].data);
    rt_pack_s4(k, n, group, code, n, 1, scale, packed4.data, packed_groups.data, sum[1].data);
    rt_unpack_s8(k, n, packed.data, back.data);
    bool good = same_bytes(&plain, &back) && same_f32(&sum[0], &sum[1], &where);
    guarded_canary(&back);
    rt_unpack_s4(k, n, group, packed4.data, packed_groups.data, back.data);
    good = good && same_bytes(&plain, &back);
    const int32_t *sums = sum[0].data;
    for (size_t j = 0; j < n; j++) {
        int32_t want = 0;
        for (size_t i = 0; i < k; i++) want += 128 * weight[i * n + j];
        good = good && sums[j] == want;
    }
    guarded *all[] = {&plain, &codes, &back, &scales, &packed, &packed4, &packed_groups, &sum[0], &sum[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good;
}

/* One panel at a time: the same bytes. */
static bool pack_panel(size_t k) {
    size_t bytes = 0, bytes4 = 0;
    if (!rt_pack_count_s8(k, RT_PANEL, &bytes) || !rt_pack_count_s4(k, RT_PANEL, &bytes4)) return false;
    guarded codes = guarded_new(k * RT_PANEL), packed[2], packed4[2];
    for (size_t i = 0; i < 2; i++) {
        packed[i] = guarded_new(bytes);
        packed4[i] = guarded_new(bytes4);
    }
    int8_t *code = codes.data;
    uint8_t scales[RT_PANEL], packed_scales[RT_PANEL];
    int32_t sums[RT_PANEL];
    memset(scales, 1, sizeof scales);
    for (size_t i = 0; i < k * RT_PANEL; i++) code[i] = (int8_t)((int)random_below(255) - 127);
    rt_pack_s8(k, RT_PANEL, code, RT_PANEL, 1, packed[0].data, sums);
    rt_pack_panel_s8(k, code, packed[1].data);
    for (size_t i = 0; i < k * RT_PANEL; i++) code[i] = (int8_t)((int)random_below(16) - 8);
    rt_pack_s4(k, RT_PANEL, k, code, RT_PANEL, 1, scales, packed4[0].data, packed_scales, sums);
    rt_pack_panel_s4(k, code, packed4[1].data);
    bool good = same_bytes(&packed[0], &packed[1]) && same_bytes(&packed4[0], &packed4[1]);
    guarded *all[] = {&codes, &packed[0], &packed[1], &packed4[0], &packed4[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good;
}

/* A code of 3 bits in the nibble at `half`, by hand: byte 48 + i of 64 is spread over bytes i, 16 + i and
 * 32 + i. */
static int three_at(const uint8_t *packed, size_t byte, size_t half) {
    const uint8_t *block = packed + byte / 64 * 48;
    size_t at = byte % 64, shift = half * 4;
    int code = block[at % 48] >> shift & 7;
    if (at >= 48) {
        code = 0;
        for (size_t bit = 0; bit < 3; bit++) code |= (block[16 * bit + at - 48] >> (half * 4 + 3) & 1) << bit;
    }
    return code >= 4 ? code - 8 : code;
}

static bool pack_three(size_t blocks) {
    guarded four = guarded_new(blocks * 64), three = guarded_new(blocks * 48),
            back = guarded_new(blocks * 64);
    uint8_t *codes = four.data;
    for (size_t i = 0; i < blocks * 64; i++) {
        int low = (int)random_below(8) - 4, high = (int)random_below(8) - 4;
        codes[i] = (uint8_t)((low & 15) | (high & 15) << 4);
    }
    bool good = rt_fits_s3(blocks, codes);
    rt_pack_s3(blocks, codes, three.data);
    rt_unpack_s3(blocks, three.data, back.data);
    good = good && same_bytes(&four, &back);
    for (size_t i = 0; i < blocks * 128; i++) {
        int code = ((codes[i / 2] >> i % 2 * 4 & 15) ^ 8) - 8;
        good = good && three_at(three.data, i / 2, i % 2) == code;
    }
    for (int code = 4; code < 12; code++) { /* 4…7 and -8…-5 */
        size_t at = random_below((uint32_t)(blocks * 64));
        uint8_t before = codes[at];
        codes[at] = (uint8_t)(code % 2 == 0 ? (before & 0xf0) | code : (before & 15) | code << 4);
        good = good && !rt_fits_s3(blocks, codes);
        codes[at] = before;
    }
    guarded_free(&four);
    guarded_free(&three);
    guarded_free(&back);
    return good;
}

/* The code of 2 bits in the nibble at `half`, by hand: byte i of 32 holds bytes i and 32 + i of 64. */
static int two_at(const uint8_t *packed, size_t byte, size_t half) {
    int v = packed[byte / 64 * 32 + byte % 32] >> (half * 4 + byte % 64 / 32 * 2) & 3;
    return 2 * (v >= 2 ? v - 4 : v) + 1;
}

static bool pack_two(size_t blocks) {
    guarded four = guarded_new(blocks * 64), two = guarded_new(blocks * 32), back = guarded_new(blocks * 64);
    uint8_t *codes = four.data, *again = back.data;
    for (size_t i = 0; i < blocks * 64; i++) {
        int low = 2 * (int)random_below(4) - 3, high = 2 * (int)random_below(4) - 3;
        codes[i] = (uint8_t)((low & 15) | (high & 15) << 4);
    }
    bool good = true;
    for (size_t b = 0; b < blocks; b++) good = good && rt_fits_s2(codes + b * 64);
    rt_pack_s2(blocks, codes, two.data);
    rt_unpack_s2(blocks, two.data, again);
    good = good && same_bytes(&four, &back);
    for (size_t i = 0; i < blocks * 128; i++) {
        int code = ((codes[i / 2] >> i % 2 * 4 & 15) ^ 8) - 8;
        good = good && two_at(two.data, i / 2, i % 2) == code;
    }
    for (int code = 0; code < 16; code++) {
        size_t at = random_below(64);
        uint8_t before = codes[at];
        bool one = code == 1 || code == 3 || code == 13 || code == 15;
        codes[at] = (uint8_t)(code % 3 == 0 ? (before & 0xf0) | code : (before & 15) | code << 4);
        good = good && rt_fits_s2(codes) == one;
        codes[at] = before;
    }
    guarded_free(&four);
    guarded_free(&two);
    guarded_free(&back);
    return good;
}

static void test_packing(void) {
    bool good = true;
    size_t count;
    random_seed(2);
    for (size_t i = 0; i < 200; i++) good = good && pack_one(1 + random_below(140), 1 + random_below(70));
    for (size_t i = 0; i < 200; i++)
        good = good && pack_integers(1 + random_below(140), 1 + random_below(70));
    for (size_t i = 1; i < 40; i++) good = good && pack_panel(i) && pack_three(i) && pack_two(i);
    report(good, "packing and back", "a layout is wrong");
    report(!rt_pack_count_f32(SIZE_MAX / 8, 17, &count) && !rt_pack_count_f32(2, SIZE_MAX, &count) &&
               !rt_pack_count_bf16(SIZE_MAX, 1, &count) && rt_pack_count_bf16(3, 17, &count) &&
               count == 4 * 32 && !rt_pack_count_s8(SIZE_MAX, 17, &count) &&
               !rt_pack_count_s4(16, SIZE_MAX, &count) && !rt_pack_count_group(SIZE_MAX, 32, 1, &count) &&
               rt_pack_count_s4(9, 17, &count) && count == 2 * 2 * 64,
           "packed sizes are checked for overflow", "one is not");
}

static void test_select(void) {
    rt_kernels ref, best;
    rt_kernels_select(&ref, 0);
    rt_kernels_select(&best, rt_cpu_features());
    bool good = true;
#define FAMILY_SELECT(family, type)                                                                          \
    good = good && ref.family == rt_##family##_ref && strcmp(ref.family##_name, #family "_ref") == 0;        \
    good = good && best.family != NULL && (rt_cpu_features() == 0 || best.family != rt_##family##_ref);
    RT_KERNEL_FAMILIES(FAMILY_SELECT)
#undef FAMILY_SELECT
    report(good, "select: ref without features, better with them", "a family is wrong");
}

/* The row of the peak that products of this row approach: the same CPU features, the same weights. */
static const kernel_row *peak_of(const kernel_row *row) {
    char family[16];
    if (strncmp(row->family, "gemm_", 5) != 0) return NULL;
    snprintf(family, sizeof family, "peak_%s", row->family + 5);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].family, family) == 0 && rows[i].needs == row->needs) return &rows[i];
    }
    return NULL;
}

static int bench(const char *filter) {
    uint32_t have = rt_cpu_features() | RT_CPU_FAST_BF16; /* also what this CPU had better not use */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool able = (rows[i].needs & have) == rows[i].needs, named = strstr(rows[i].name, filter) != NULL;
        bool emulated = strstr(rows[i].name, "_emulated") != NULL;
        if (able && named && !emulated) bench_row(&rows[i], peak_of(&rows[i]));
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) return bench(argc > 2 ? argv[2] : "");
    test_guard();
    test_select();
    test_packing();
    test_accuracy();
    test_checker();
    test_rows();
    printf("1..%d\n", tests);
    return failures > 0;
}
