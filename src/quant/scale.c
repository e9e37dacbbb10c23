/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/scale.h"
#include "quant/panel.h"
#include "quant/range.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rows ---- */

retort_status rt_row_sample_begin(rt_row_sample *out, size_t k, retort_error *err) {
    *out = (rt_row_sample){.k = k, .random = 1};
    out->x = rt_alloc_aligned(rt_round_up(RT_SAMPLE_ROWS * k * sizeof *out->x, 64));
    out->weight = rt_calloc(RT_SAMPLE_ROWS, sizeof *out->weight);
    out->min = rt_calloc(k, sizeof *out->min);
    out->max = rt_calloc(k, sizeof *out->max);
    bool made = out->x != NULL && out->weight != NULL && out->min != NULL && out->max != NULL;
    return made ? RETORT_OK : rt_fail_nomem(err, RT_SAMPLE_ROWS * k * sizeof *out->x);
}

void rt_row_sample_free(rt_row_sample *s) {
    free(s->x);
    free(s->weight);
    free(s->min);
    free(s->max);
    *s = (rt_row_sample){0};
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* 1 / variance */
static float weight_of(size_t n, const float *y) {
    double sum = 0, squares = 0;
    for (size_t j = 0; j < n; j++) sum += (double)y[j];
    for (size_t j = 0; j < n; j++) {
        double d = (double)y[j] - sum / (double)n;
        squares += d * d;
    }
    return squares > 0 ? (float)((double)n / squares) : 1.0F;
}

bool rt_row_sample_add(rt_row_sample *s, size_t rows, const float *x, size_t n, const float *y) {
    for (size_t i = 0; i < rows; i++, x += s->k) {
        size_t at =
            s->count < RT_SAMPLE_ROWS ? s->count++ : (size_t)(next_random(&s->random) % (s->seen + 1));
        if (at < RT_SAMPLE_ROWS) {
            memcpy(s->x + at * s->k, x, s->k * sizeof *x);
            s->weight[at] = y != NULL ? weight_of(n, y + i * n) : 1.0F;
        }
        for (size_t j = 0; j < s->k; j++) {
            if (!isfinite(x[j])) return false;
            s->min[j] = s->seen == 0 || x[j] < s->min[j] ? x[j] : s->min[j];
            s->max[j] = s->seen == 0 || x[j] > s->max[j] ? x[j] : s->max[j];
        }
        s->seen++;
    }
    return true;
}

/* ---- What a channel scaling loses ---- */

enum {
    PANELS = 24, /* of columns to evaluate: enough to judge a matrix */
    GRID = 20    /* steps of the exponent in AWQ, 0…19/20; SmoothQuant uses every second one */
};

typedef struct chooser {
    const rt_scale_search *search;
    const rt_scaled *linear;
    size_t k, n, rows;
    const float *w; /* panels */
    const rt_row_sample *sample;
    size_t panels[PANELS], panel_count;
    float *shift, *size; /* [k] per column of x: its mean, and the magnitude around it */
    float *weight;       /* [k] largest |W_j|; not used by AWQ */
    float *wanted;       /* [panels, rows, 16] act(x W + bias) */
    float *x;            /* [rows, k] scaled and rounded */
    int8_t *codes;
    rt_row_scale *scales;
    float *panel, *found, *reals; /* [k, 16] scaled, [rows, 16], [groups, 16] */
    rt_rounded rounded;
    rt_histogram *histogram;
} chooser;

static void chooser_free(chooser *c) {
    void *all[] = {c->shift,         c->size,           c->weight,   c->wanted, c->x,
                   c->codes,         c->scales,         c->panel,    c->found,  c->reals,
                   c->rounded.codes, c->rounded.groups, c->histogram};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static float *floats(size_t count) {
    return rt_alloc_aligned(rt_round_up(count * sizeof(float), 64));
}

static bool chooser_open(chooser *c) {
    size_t groups = c->search->bits < 8 ? (c->k + c->search->group - 1) / c->search->group : 1;
    size_t panels = (c->n + RT_PANEL - 1) / RT_PANEL;
    c->panel_count = rt_min(panels, PANELS);
    for (size_t i = 0; i < c->panel_count; i++) c->panels[i] = i * panels / c->panel_count;
    c->shift = rt_calloc(c->k, sizeof *c->shift);
    c->size = rt_calloc(c->k, sizeof *c->size);
    c->weight = rt_calloc(c->k, sizeof *c->weight);
    c->wanted = floats(c->panel_count * c->rows * RT_PANEL);
    c->x = floats(c->rows * c->k);
    c->codes = rt_alloc_aligned(c->rows * rt_row_q(c->k));
    c->scales = rt_calloc(c->rows, sizeof *c->scales);
    c->panel = floats(c->k * RT_PANEL);
    c->found = floats(c->rows * RT_PANEL);
    c->reals = floats(groups * RT_PANEL);
    c->rounded.codes = rt_calloc(c->k, RT_PANEL);
    c->rounded.groups = rt_calloc(groups, RT_PANEL);
    c->histogram = rt_calloc(1, sizeof *c->histogram);
    return c->shift != NULL && c->size != NULL && c->weight != NULL && c->wanted != NULL && c->x != NULL &&
           c->codes != NULL && c->scales != NULL && c->panel != NULL && c->found != NULL &&
           c->reals != NULL && c->rounded.codes != NULL && c->rounded.groups != NULL && c->histogram != NULL;
}

static float activate(rt_act act, float x) {
    switch (act) {
    case RT_FN_RELU:
        return x > 0 ? x : 0;
    case RT_FN_TANH:
        return tanhf(x);
    case RT_FN_SILU:
        return x / (1 + expf(-x));
    case RT_FN_NONE:
        return x;
    default: /* the forms of GELU are practically equal here */
        return 0.5F * x * (1 + erff(x * 0.70710678F));
    }
}

/* out [rows, 16] = the outputs of a panel */
static void multiply(const chooser *c, const float *x, size_t panel, const float *w, float *out) {
    float bias[RT_PANEL] = {0};
    size_t from = panel * RT_PANEL, columns = rt_min(RT_PANEL, c->n - from);
    if (c->linear->bias != NULL) memcpy(bias, c->linear->bias + from, columns * sizeof *bias);
    rt_gemm gemm = {.m = c->rows, .n = RT_PANEL, .k = c->k, .a = x, .lda = c->k, .b = w, .bias = bias};
    gemm.c = out;
    gemm.ldc = RT_PANEL;
    c->search->kernels->gemm_f32(&gemm);
    for (size_t i = 0; i < c->rows * RT_PANEL; i++) out[i] = activate(c->linear->act, out[i]);
}

/* c->x = the scaled rows, rounded to int8 and back */
static void round_x(chooser *c, const rt_channel_scale *scaling) {
    float range[2];
    size_t stride = rt_row_q(c->k);
    rt_rows_q how = {.factor = scaling->factor, .add = scaling->add};
    if (c->search->fixed) {
        memset(c->histogram, 0, sizeof *c->histogram);
        for (size_t i = 0; i < c->rows * c->k; i++) {
            c->x[i] = fmaf(c->sample->x[i], scaling->factor[i % c->k], scaling->add[i % c->k]);
        }
        rt_histogram_add(c->histogram, c->rows, c->k, c->x);
        rt_histogram_range(c->histogram, range);
        if (range[0] < range[1]) how.range = range;
    }
    c->search->kernels->quantize(c->rows, c->k, c->sample->x, c->k, &how, c->codes, stride, c->scales);
    for (size_t i = 0; i < c->rows; i++) {
        for (size_t j = 0; j < c->k; j++) {
            float x = (float)c->codes[i * stride + j] * c->scales[i].scale + c->scales[i].shift;
            c->x[i * c->k + j] = x - scaling->add[j]; /* so that the bias need not be adjusted here */
        }
    }
}

/* c->panel = the scaled weights, rounded to integers and back; false: not finite. */
static bool round_w(chooser *c, size_t panel, const rt_channel_scale *scaling) {
    const float *w = c->w + panel * c->k * RT_PANEL;
    for (size_t i = 0; i < c->k * RT_PANEL; i++) c->panel[i] = w[i] / scaling->factor[i / RT_PANEL];
    bool four = c->search->bits < 8;
    c->rounded.grid = rt_grid_of(c->search->bits);
    bool finite = four ? rt_round_grouped(c->k, c->search->group, c->panel, c->reals, &c->rounded)
                       : rt_round_s8(c->k, c->panel, &c->rounded);
    for (size_t i = 0; i < c->k * RT_PANEL; i++) {
        size_t column = i % RT_PANEL, group = four ? i / RT_PANEL / c->search->group : 0;
        float scale = c->rounded.scale[column];
        if (four) scale *= (float)c->rounded.groups[group * RT_PANEL + column];
        c->panel[i] = (float)c->rounded.codes[i] * scale;
    }
    return finite;
}

/* The error of the outputs of one panel. */
static double panel_loss(const chooser *c, size_t p) {
    const float *wanted = c->wanted + p * c->rows * RT_PANEL, *gamma = c->linear->gamma;
    size_t from = c->panels[p] * RT_PANEL, columns = rt_min(RT_PANEL, c->n - from);
    double loss = 0;
    for (size_t i = 0; i < c->rows; i++) {
        double row = 0;
        for (size_t j = 0; j < columns; j++) {
            double lost = (double)c->found[i * RT_PANEL + j] - (double)wanted[i * RT_PANEL + j];
            if (gamma != NULL) lost *= (double)gamma[from + j];
            row += lost * lost;
        }
        loss += row * (double)c->sample->weight[i];
    }
    return loss;
}

static double loss_of(chooser *c, const rt_channel_scale *scaling) {
    double loss = 0;
    round_x(c, scaling);
    for (size_t p = 0; p < c->panel_count; p++) {
        if (!round_w(c, c->panels[p], scaling)) return INFINITY;
        multiply(c, c->x, c->panels[p], c->panel, c->found);
        loss += panel_loss(c, p);
    }
    return loss;
}

/* ---- Candidates ---- */

/* The shift of a column is its mean; its magnitude is the largest, or the mean, distance from it. */
static void measure_x(chooser *c) {
    const rt_row_sample *s = c->sample;
    for (size_t j = 0; j < c->k; j++) {
        double sum = 0, sizes = 0;
        for (size_t i = 0; i < c->rows; i++) sum += (double)s->x[i * c->k + j];
        c->shift[j] = (float)(sum / (double)c->rows);
        for (size_t i = 0; i < c->rows; i++) sizes += fabs((double)(s->x[i * c->k + j] - c->shift[j]));
        bool smooth = c->search->scaling == RT_SCALE_SMOOTH;
        c->size[j] = smooth ? fmaxf(s->max[j] - c->shift[j], c->shift[j] - s->min[j])
                            : (float)(sizes / (double)c->rows);
    }
}

static void measure_w(chooser *c) {
    size_t panels = (c->n + RT_PANEL - 1) / RT_PANEL;
    for (size_t i = 0; i < panels * c->k * RT_PANEL; i++) {
        size_t row = i / RT_PANEL % c->k;
        float size = fabsf(c->w[i]);
        if (size > c->weight[row]) c->weight[row] = size;
    }
}

/* s = size^power / weight^(1-power), or size^power, with sqrt(max s min s) = 1. */
static void set_factors(const chooser *c, double power, rt_channel_scale *scaling) {
    double min = INFINITY, max = 0;
    for (size_t j = 0; j < c->k; j++) {
        double s = pow(fmax((double)c->size[j], 1e-5), power);
        if (c->search->scaling == RT_SCALE_SMOOTH) s /= pow(fmax((double)c->weight[j], 1e-5), 1 - power);
        s = fmax(s, 1e-4);
        min = fmin(min, s);
        max = fmax(max, s);
        scaling->factor[j] = (float)s;
    }
    double unit = sqrt(min * max);
    for (size_t j = 0; j < c->k; j++) {
        scaling->factor[j] = (float)(unit / (double)scaling->factor[j]);
        scaling->add[j] = -c->shift[j] * scaling->factor[j];
    }
}

static retort_status choose(chooser *c, rt_channel_scale *out, double loss[2], retort_error *err) {
    int step = c->search->scaling == RT_SCALE_SMOOTH ? 2 : 1;
    double best_power = -1;
    rt_channel_scale trial = {rt_calloc(c->k, sizeof *trial.factor), rt_calloc(c->k, sizeof *trial.add)};
    bool made = trial.factor != NULL && trial.add != NULL && chooser_open(c);
    if (made) {
        measure_x(c);
        measure_w(c);
        for (size_t p = 0; p < c->panel_count; p++) {
            multiply(c, c->sample->x, c->panels[p], c->w + c->panels[p] * c->k * RT_PANEL,
                     c->wanted + p * c->rows * RT_PANEL);
        }
        for (size_t j = 0; j < c->k; j++) trial.factor[j] = 1;
        loss[0] = loss[1] = loss_of(c, &trial);
        for (int i = 0; i < GRID; i += step) {
            set_factors(c, (double)i / GRID, &trial);
            double now = loss_of(c, &trial);
            if (!(now < loss[1])) continue;
            loss[1] = now;
            best_power = (double)i / GRID;
        }
    }
    if (made && best_power >= 0) {
        set_factors(c, best_power, &trial);
        *out = trial;
        return RETORT_OK;
    }
    rt_channel_scale_free(&trial);
    return made ? RETORT_OK : rt_fail_nomem(err, c->rows * c->k * sizeof *c->x);
}

retort_status rt_scale_choose(const rt_scale_search *search, const rt_scaled *linear,
                              const rt_row_sample *sample, rt_channel_scale *out, double loss[2],
                              retort_error *err) {
    chooser c = {.search = search, .linear = linear, .rows = sample->count, .sample = sample};
    c.k = linear->k;
    c.n = linear->n;
    c.w = linear->w;
    *out = (rt_channel_scale){0};
    loss[0] = loss[1] = 0;
    if (sample->count == 0) return RETORT_OK;
    retort_status status = choose(&c, out, loss, err);
    chooser_free(&c);
    return status;
}
