/* SPDX-License-Identifier: Apache-2.0 */
#include "train/loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Probabilities ---- */

/* ln Σ exp(x[i] / t) */
static double log_sum(const float *x, size_t n, double t) {
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i] > most) most = x[i];
    for (size_t i = 0; i < n; i++) sum += exp(((double)x[i] - most) / t);
    return most / t + log(sum);
}

static double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* ln(1 + exp(x)), without overflow: -ln of the sigmoid of -x */
static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double weight_of(const rt_loss_options *options, size_t label) {
    return options->class_weights != NULL ? (double)options->class_weights[label] : 1;
}

/* ---- What a mean is divided by ---- */

static double tag_weight(const rt_examples *examples, const rt_loss_options *options,
                         const rt_example *example) {
    const int32_t *tags = examples->tags + example->first;
    double sum = 0;
    for (size_t i = 0; i < example->length; i++)
        if (tags[i] >= 0) sum += weight_of(options, (size_t)tags[i]);
    return sum;
}

double rt_loss_weight(const rt_examples *examples, const rt_loss_options *options, const size_t *which,
                      size_t n) {
    bool label = examples->kind == RT_TARGET_LABEL, tags = examples->kind == RT_TARGET_TAGS;
    if (!label && !tags) return (double)n;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const rt_example *example = &examples->items[which[i]];
        sum += label ? weight_of(options, (size_t)example->label) : tag_weight(examples, options, example);
    }
    return sum;
}

/* ---- Rows with labels ---- */

/* Of one row; `scale` is that of the loss, `share` that of its gradient. */
typedef struct row_loss {
    const rt_loss_options *options;
    size_t columns;
    double scale, share;
} row_loss;

/* The target is (1 - s) at the label plus s / n at each; each class counts by its weight. */
static double cross_entropy(const row_loss *l, const float *row, size_t label, float *grad) {
    size_t n = l->columns;
    double total = log_sum(row, n, 1), s = (double)l->options->smoothing, mass = 0, loss = 0;
    for (size_t j = 0; j < n; j++) {
        double target = ((j == label ? 1 - s : 0) + s / (double)n) * weight_of(l->options, j);
        mass += target;
        loss += target * (total - (double)row[j]);
    }
    for (size_t j = 0; j < n; j++) {
        double target = ((j == label ? 1 - s : 0) + s / (double)n) * weight_of(l->options, j);
        grad[j] += (float)(l->scale * l->share * (mass * exp((double)row[j] - total) - target));
    }
    return loss * l->scale;
}

static double binary_cross_entropy(const row_loss *l, const float *row, const float *targets, float *grad) {
    double s = (double)l->options->smoothing, loss = 0, scale = l->scale / (double)l->columns;
    for (size_t j = 0; j < l->columns; j++) {
        double x = (double)row[j], target = (double)targets[j] * (1 - s) + s / 2;
        double weight = weight_of(l->options, j);
        loss += weight * (softplus(x) - target * x);
        grad[j] += (float)(scale * l->share * weight * (sigmoid(x) - target));
    }
    return loss * scale;
}

static double squared_error(const row_loss *l, const float *row, const float *targets, float *grad) {
    double loss = 0, scale = l->scale / (double)l->columns;
    for (size_t j = 0; j < l->columns; j++) {
        double difference = (double)row[j] - (double)targets[j];
        loss += difference * difference;
        grad[j] += (float)(scale * l->share * 2 * difference);
    }
    return loss * scale;
}

/* Rows of one example's tokens. */
static double tag_rows(const row_loss *l, const rt_example *example, const int32_t *tags, const float *rows,
                       float *grad) {
    double loss = 0;
    for (size_t t = 0; t < example->length; t++) {
        int32_t tag = tags[example->first + t];
        size_t at = t * l->columns;
        if (tag >= 0) loss += cross_entropy(l, rows + at, (size_t)tag, grad + at);
    }
    return loss;
}

void rt_loss_rows(const rt_examples *examples, const rt_loss_options *options, const size_t *which, size_t n,
                  double weight, double share, const float *rows, size_t columns, float *grad, double *loss) {
    if (!(weight > 0)) return; /* nothing is scored */
    const row_loss l = {options, columns, 1 / weight, share};
    size_t row = 0;
    for (size_t i = 0; i < n; i++) {
        const rt_example *example = &examples->items[which[i]];
        const float *x = rows + row * columns, *targets = examples->targets + which[i] * examples->columns;
        float *g = grad + row * columns;
        if (examples->kind == RT_TARGET_TAGS) {
            *loss += tag_rows(&l, example, examples->tags, x, g);
        } else if (examples->kind == RT_TARGET_LABEL) {
            *loss += cross_entropy(&l, x, (size_t)example->label, g);
        } else if (examples->kind == RT_TARGET_LABELS) {
            *loss += binary_cross_entropy(&l, x, targets, g);
        } else {
            *loss += squared_error(&l, x, targets, g);
        }
        row += examples->kind == RT_TARGET_TAGS ? example->length : 1;
    }
}

/* ---- Pairs ---- */

/* Vectors of length 1 and what they were divided by, and gradients with respect to them. */
typedef struct pairs {
    size_t n, columns;
    double *unit;     /* [2, n, columns] */
    double *length;   /* [2, n] */
    double *gradient; /* [2, n, columns] */
    double *cosines;  /* [n] of a first vector and all second ones */
} pairs;

static bool open_pairs(pairs *out, size_t n, size_t columns, double **memory) {
    size_t vectors = 2 * n * columns;
    *memory = rt_calloc(2 * vectors + 3 * n, sizeof **memory);
    *out = (pairs){n, columns, *memory, NULL, NULL, NULL};
    if (*memory == NULL) return false;
    out->gradient = out->unit + vectors;
    out->length = out->gradient + vectors;
    out->cosines = out->length + 2 * n;
    return true;
}

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* As PyTorch's normalize: a vector of zeros stays one. */
static void normalize(pairs *p, const float *rows) {
    for (size_t i = 0; i < 2 * p->n; i++) {
        double *unit = p->unit + i * p->columns;
        for (size_t j = 0; j < p->columns; j++) unit[j] = (double)rows[i * p->columns + j];
        p->length[i] = fmax(sqrt(dot(unit, unit, p->columns)), 1e-12);
        for (size_t j = 0; j < p->columns; j++) unit[j] /= p->length[i];
    }
}

/* Adds `slope` times the gradient of the cosine of first i and second j, before it goes through the lengths. */
static void add_slope(pairs *p, size_t i, size_t j, double slope) {
    const double *a = p->unit + i * p->columns, *b = p->unit + (p->n + j) * p->columns;
    double *da = p->gradient + i * p->columns, *db = p->gradient + (p->n + j) * p->columns;
    for (size_t k = 0; k < p->columns; k++) {
        da[k] += slope * b[k];
        db[k] += slope * a[k];
    }
}

static bool same_text(const rt_examples *e, size_t a, size_t a_length, size_t b, size_t b_length) {
    return a_length == b_length && memcmp(e->ids + a, e->ids + b, a_length * sizeof *e->ids) == 0;
}

/* Whether second j is no wrong answer to first i: one of the texts is the same in both pairs. */
static bool is_right(const rt_examples *e, const rt_example *i, const rt_example *j) {
    return same_text(e, i->first, i->length, j->first, j->length) ||
           same_text(e, i->other_first, i->other_length, j->other_first, j->other_length);
}

/* Cross entropy of first i against second i and all second ones that are wrong. */
static double rank(pairs *p, const rt_examples *examples, const size_t *which, size_t i, double scale) {
    const rt_example *own = &examples->items[which[i]];
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < p->n; j++) {
        bool left_out = j != i && is_right(examples, own, &examples->items[which[j]]);
        p->cosines[j] = -INFINITY;
        if (!left_out)
            p->cosines[j] =
                scale * dot(p->unit + i * p->columns, p->unit + (p->n + j) * p->columns, p->columns);
        if (p->cosines[j] > most) most = p->cosines[j];
    }
    for (size_t j = 0; j < p->n; j++) sum += exp(p->cosines[j] - most);
    double total = most + log(sum), mean = 1 / (double)p->n;
    for (size_t j = 0; j < p->n; j++)
        add_slope(p, i, j, mean * scale * (exp(p->cosines[j] - total) - (i == j)));
    return mean * (total - p->cosines[i]);
}

static double similarity_error(pairs *p, size_t i, double score) {
    double cosine = dot(p->unit + i * p->columns, p->unit + (p->n + i) * p->columns, p->columns);
    double difference = cosine - score, mean = 1 / (double)p->n;
    add_slope(p, i, i, mean * 2 * difference);
    return mean * difference * difference;
}

/* d(x / |x|): what points along x is taken away, the rest divided by |x|. */
static void leave_units(const pairs *p, double share, float *grad) {
    for (size_t i = 0; i < 2 * p->n; i++) {
        const double *unit = p->unit + i * p->columns, *d = p->gradient + i * p->columns;
        double along = dot(unit, d, p->columns), factor = share / p->length[i];
        for (size_t j = 0; j < p->columns; j++)
            grad[i * p->columns + j] += (float)(factor * (d[j] - along * unit[j]));
    }
}

retort_status rt_loss_pairs(const rt_examples *examples, const rt_loss_options *options, const size_t *which,
                            size_t n, double share, const float *rows, size_t columns, float *grad,
                            double *loss, retort_error *err) {
    pairs p;
    double *memory;
    if (!open_pairs(&p, n, columns, &memory)) return rt_fail_nomem(err, 4 * n * columns * sizeof *memory);
    normalize(&p, rows);
    for (size_t i = 0; i < n; i++) {
        double score = (double)examples->items[which[i]].score;
        *loss += examples->scored ? similarity_error(&p, i, score)
                                  : rank(&p, examples, which, i, (double)options->similarity_scale);
    }
    leave_units(&p, share, grad);
    free(memory);
    return RETORT_OK;
}

/* ---- A teacher ---- */

/* t² KL(softmax(teacher / t) || softmax(student / t)); its gradient is t (q - p). */
static double softmax_divergence(size_t n, const float *student, const float *teacher, double t, double scale,
                                 float *grad) {
    double p_total = log_sum(teacher, n, t), q_total = log_sum(student, n, t), kl = 0;
    for (size_t j = 0; j < n; j++) {
        double log_p = (double)teacher[j] / t - p_total, log_q = (double)student[j] / t - q_total;
        kl += exp(log_p) * (log_p - log_q);
        grad[j] += (float)(scale * t * (exp(log_q) - exp(log_p)));
    }
    return t * t * kl;
}

/* The same of each column's yes and no, the mean over columns. */
static double sigmoid_divergence(size_t n, const float *student, const float *teacher, double t, double scale,
                                 float *grad) {
    double kl = 0;
    for (size_t j = 0; j < n; j++) {
        double x = (double)student[j] / t, y = (double)teacher[j] / t, p = sigmoid(y);
        kl += p * (softplus(-x) - softplus(-y)) + (1 - p) * (softplus(x) - softplus(y));
        grad[j] += (float)(scale * t * (sigmoid(x) - p) / (double)n);
    }
    return t * t * kl / (double)n;
}

void rt_loss_hidden(size_t rows, size_t n, const float *student, const float *teacher, double weight,
                    double share, float *grad, double *loss) {
    double scale = 1 / (weight * (double)n);
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        for (size_t j = i * n; j < (i + 1) * n; j++) {
            double difference = (double)student[j] - (double)teacher[j];
            sum += difference * difference;
            grad[j] += (float)(share * scale * 2 * difference);
        }
        *loss += sum * scale;
    }
}

void rt_loss_teacher(rt_target_kind kind, size_t rows, size_t columns, const float *student,
                     const float *teacher, double temperature, double weight, double share, float *grad,
                     double *loss) {
    bool softmax = kind == RT_TARGET_LABEL || kind == RT_TARGET_TAGS;
    if (!softmax && kind != RT_TARGET_LABELS) {
        rt_loss_hidden(rows, columns, student, teacher, weight, share, grad, loss);
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        size_t at = i * columns;
        double scale = share / weight;
        double kl =
            softmax ? softmax_divergence(columns, student + at, teacher + at, temperature, scale, grad + at)
                    : sigmoid_divergence(columns, student + at, teacher + at, temperature, scale, grad + at);
        *loss += kl / weight;
    }
}
