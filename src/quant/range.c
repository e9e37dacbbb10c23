/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/range.h"

#include <math.h>
#include <stdlib.h>

enum {
    HALF = RT_HISTOGRAM_BINS / 2,
    TRIES = 40, /* clips to try per side, down to a fifth of it */
    MIN_EXPONENT = -40,
    WORSE = 6 /* times the error with a range per row */
};

/* Doubles the width of the bins: each gets the counts of two. */
static void widen(rt_histogram *s) {
    for (int i = 0; i < HALF / 2; i++) {
        int up = HALF + 2 * i, down = HALF - 1 - 2 * i;
        uint64_t above = s->bins[up] + s->bins[up + 1], below = s->bins[down] + s->bins[down - 1];
        s->bins[HALF + i] = above;
        s->bins[HALF - 1 - i] = below;
    }
    for (int i = HALF / 2; i < HALF; i++) s->bins[HALF + i] = s->bins[HALF - 1 - i] = 0;
    s->exponent++;
}

/* The mean squared error of a uniform step is a twelfth of its square; int8 has 254 steps. */
static double step_loss(double min, double max) {
    double step = (max - min) / 254;
    return step * step / 12;
}

static bool add_row(rt_histogram *s, size_t n, const float *x) {
    float bound = ldexpf(1, s->exponent), bins = HALF / bound; /* a unit */
    float min = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return false;
        while (fabsf(x[i]) >= bound) {
            widen(s);
            bound *= 2;
            bins /= 2;
        }
        s->bins[HALF + (int)floorf(x[i] * bins)]++;
        min = fminf(min, x[i]);
        max = fmaxf(max, x[i]);
    }
    s->own += (double)n * step_loss((double)min, (double)max);
    s->min = fminf(s->min, min);
    s->max = fmaxf(s->max, max);
    return true;
}

bool rt_histogram_add(rt_histogram *s, size_t rows, size_t n, const float *x) {
    if (s->min == 0 && s->max == 0) s->exponent = MIN_EXPONENT;
    for (size_t i = 0; i < rows; i++) {
        if (!add_row(s, n, x + i * n)) return false;
    }
    return true;
}

/* Cumulative from one end: number of values, their sum and the sum of their squares. */
typedef struct tail {
    double count, sum, squares;
} tail;

/* Below (above): tails of bins 0…i-1 (i…last) at i. */
static void add_up(const rt_histogram *s, tail *below, tail *above) {
    double width = ldexp(1, s->exponent) / HALF;
    below[0] = above[RT_HISTOGRAM_BINS] = (tail){0};
    for (int i = 0; i < RT_HISTOGRAM_BINS; i++) {
        int down = RT_HISTOGRAM_BINS - 1 - i;
        double x = (i - HALF + 0.5) * width, count = (double)s->bins[i];
        double y = (down - HALF + 0.5) * width, other = (double)s->bins[down];
        below[i + 1] =
            (tail){below[i].count + count, below[i].sum + count * x, below[i].squares + count * x * x};
        above[down] = (tail){above[down + 1].count + other, above[down + 1].sum + other * y,
                             above[down + 1].squares + other * y * y};
    }
}

/* The sum of squared distances of a tail from an edge. */
static double beyond(const tail *t, double edge) {
    return t->count * edge * edge - 2 * edge * t->sum + t->squares;
}

static double loss_of(const rt_histogram *s, const tail *below, const tail *above, double min, double max) {
    double bins = HALF / ldexp(1, s->exponent); /* a unit; a bin belongs to the side of its midpoint */
    int from = HALF + (int)ceil(min * bins - 0.5), to = HALF + (int)ceil(max * bins - 0.5);
    from = from > 0 ? from : 0;
    to = to < RT_HISTOGRAM_BINS ? to : RT_HISTOGRAM_BINS;
    return beyond(&below[from], min) + beyond(&above[to], max) + above[0].count * step_loss(min, max);
}

void rt_histogram_range(const rt_histogram *s, float range[2]) {
    tail below[RT_HISTOGRAM_BINS + 1], above[RT_HISTOGRAM_BINS + 1];
    double best = INFINITY;
    range[0] = s->min;
    range[1] = s->max;
    add_up(s, below, above);
    for (int i = 0; i < TRIES; i++) {
        for (int j = 0; j < TRIES; j++) {
            double min = (double)s->min * (1 - 0.02 * i), max = (double)s->max * (1 - 0.02 * j);
            double loss = loss_of(s, below, above, min, max);
            if (!(loss < best)) continue;
            best = loss;
            range[0] = (float)min;
            range[1] = (float)max;
        }
    }
    if (best > WORSE * s->own) range[0] = range[1] = 0;
}

/* ---- A graph's ---- */

typedef struct watcher {
    const char **names; /* of nodes that make int8 */
    int *nodes;
    rt_histogram *histograms;
    size_t count;
} watcher;

static retort_status see(void *user, size_t index, size_t rows, size_t n, const float *x, const float *y,
                         retort_error *err) {
    watcher *w = user;
    (void)y;
    if (rt_histogram_add(&w->histograms[index], rows, n, x)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: activations are not finite", w->names[index]);
}

static bool watcher_open(watcher *w, const rt_graph *graph) {
    w->names = rt_calloc(graph->node_count, sizeof *w->names);
    w->nodes = rt_calloc(graph->node_count, sizeof *w->nodes);
    if (w->names == NULL || w->nodes == NULL) return false;
    for (size_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].attrs.out_dtype != RETORT_S8) continue;
        w->names[w->count] = graph->nodes[i].name;
        w->nodes[w->count++] = (int)i;
    }
    w->histograms = rt_calloc(w->count, sizeof *w->histograms);
    return w->histograms != NULL;
}

retort_status rt_fix_ranges(rt_calibration *calibration, rt_graph *graph, retort_error *err) {
    watcher w = {0};
    retort_status status = watcher_open(&w, graph) ? RETORT_OK : rt_fail_nomem(err, graph->node_count);
    if (status == RETORT_OK && w.count > 0)
        status = rt_calibrate_rows(calibration, graph, w.names, w.count, RT_WATCH_Q, see, &w, err);
    for (size_t i = 0; status == RETORT_OK && i < w.count; i++) {
        float range[2];
        rt_attrs *attrs = &graph->nodes[w.nodes[i]].attrs;
        rt_histogram_range(&w.histograms[i], range);
        attrs->range_min = range[0];
        attrs->range_max = range[1];
    }
    free(w.names);
    free(w.nodes);
    free(w.histograms);
    return status;
}
