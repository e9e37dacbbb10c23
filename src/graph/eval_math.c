/* SPDX-License-Identifier: Apache-2.0
 * Evaluators that compute. Sums are in double, products of matrices in float over ascending k. */
#include "graph/eval.h"
#include "graph/infer.h"

#include <math.h>
#include <string.h>

static float *floats_of(const rt_tensor *out) {
    return (float *)(uintptr_t)out->data; /* the caller lets it be written */
}

/* ---- Element by element ---- */

static float add(float a, float b) {
    return a + b;
}
static float sub(float a, float b) {
    return a - b;
}
static float mul(float a, float b) {
    return a * b;
}
static float divide(float a, float b) {
    return a / b;
}
static float greater(float a, float b) {
    return isnan(a) || a > b ? a : b;
}
/* Integers wrap round. */
static int64_t add_int(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static int64_t sub_int(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static int64_t mul_int(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static int64_t divide_int(int64_t a, int64_t b) { /* b is not 0 */
    return b == -1 ? sub_int(0, a) : a / b;
}
static int64_t greater_int(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* A row an operator of two numbers. */
static const struct {
    float (*real)(float, float);
    int64_t (*integer)(int64_t, int64_t);
} binaries[RT_OP_COUNT] = {
    [RT_OP_ADD] = {add, add_int},       [RT_OP_SUB] = {sub, sub_int}, [RT_OP_MUL] = {mul, mul_int},
    [RT_OP_DIV] = {divide, divide_int}, [RT_OP_POW] = {powf, NULL},   [RT_OP_MAX] = {greater, greater_int},
};

static void binary_row(const rt_row *row) {
    float (*apply)(float, float) = binaries[row->eval->node->op].real;
    float *out = (float *)(void *)row->out;
    for (size_t i = 0; i < row->n; i++) {
        float a, b;
        memcpy(&a, row->in[0] + (int64_t)i * row->step[0], sizeof a);
        memcpy(&b, row->in[1] + (int64_t)i * row->step[1], sizeof b);
        out[i] = apply(a, b);
    }
}

static void binary_int_row(const rt_row *row) {
    int64_t (*apply)(int64_t, int64_t) = binaries[row->eval->node->op].integer;
    int64_t *out = (int64_t *)(void *)row->out;
    for (size_t i = 0; i < row->n; i++) {
        int64_t a, b;
        memcpy(&a, row->in[0] + (int64_t)i * row->step[0], sizeof a);
        memcpy(&b, row->in[1] + (int64_t)i * row->step[1], sizeof b);
        out[i] = apply(a, b);
    }
}

/* Row function over `count` inputs that broadcast to output 0. */
static void each_broadcast(const rt_eval *eval, int count, rt_row_fn fn) {
    rt_view views[3];
    for (int i = 0; i < count; i++) {
        views[i] = rt_view_broadcast(eval->inputs[i], eval->outputs[0].rank);
    }
    rt_each_row(eval, count, views, fn);
}

retort_status rt_eval_binary(rt_eval *eval, retort_error *err) {
    const rt_tensor *b = eval->inputs[1];
    if (b->dtype == RETORT_F32) {
        each_broadcast(eval, 2, binary_row);
        return RETORT_OK;
    }
    for (size_t i = 0; eval->node->op == RT_OP_DIV && i < rt_tensor_count(b); i++) {
        if (((const int64_t *)b->data)[i] != 0) continue;
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: division by zero", eval->node->name);
    }
    each_broadcast(eval, 2, binary_int_row);
    return RETORT_OK;
}

static void equal_row(const rt_row *row) {
    retort_dtype dtype = row->eval->inputs[0]->dtype;
    size_t size = rt_dtype_size(dtype);
    for (size_t i = 0; i < row->n; i++) {
        const char *a = row->in[0] + (int64_t)i * row->step[0], *b = row->in[1] + (int64_t)i * row->step[1];
        float x, y;
        bool same = memcmp(a, b, size) == 0;
        if (dtype == RETORT_F32) {
            memcpy(&x, a, sizeof x);
            memcpy(&y, b, sizeof y);
            same = x == y;
        }
        row->out[i] = same;
    }
}

retort_status rt_eval_equal(rt_eval *eval, retort_error *err) {
    (void)err;
    each_broadcast(eval, 2, equal_row);
    return RETORT_OK;
}

static void where_row(const rt_row *row) {
    size_t size = rt_dtype_size(row->eval->outputs[0].dtype);
    for (size_t i = 0; i < row->n; i++) {
        int from = row->in[0][(int64_t)i * row->step[0]] != 0 ? 1 : 2;
        memcpy(row->out + i * size, row->in[from] + (int64_t)i * row->step[from], size);
    }
}

retort_status rt_eval_where(rt_eval *eval, retort_error *err) {
    (void)err;
    each_broadcast(eval, 3, where_row);
    return RETORT_OK;
}

static float relu(float x) {
    return x < 0 ? 0 : x;
}

/* A row an operator of one number. */
static float (*const unaries[RT_OP_COUNT])(float) = {
    [RT_OP_SQRT] = sqrtf, [RT_OP_ERF] = erff, [RT_OP_TANH] = tanhf, [RT_OP_RELU] = relu};

retort_status rt_eval_unary(rt_eval *eval, retort_error *err) {
    (void)err;
    const float *x = eval->inputs[0]->data;
    float *y = floats_of(&eval->outputs[0]);
    for (size_t i = 0; i < rt_tensor_count(&eval->outputs[0]); i++) y[i] = unaries[eval->node->op](x[i]);
    return RETORT_OK;
}

/* ---- Along an axis ---- */

/* y = exp(x - max) / sum over n elements, `step` apart */
static void softmax(const float *x, float *y, size_t n, size_t step) {
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) max = greater(x[i * step], max);
    for (size_t i = 0; i < n; i++) {
        y[i * step] = expf(x[i * step] - max);
        sum += (double)y[i * step];
    }
    for (size_t i = 0; i < n; i++) y[i * step] = (float)((double)y[i * step] / sum);
}

retort_status rt_eval_softmax(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *x = eval->inputs[0];
    size_t outer, n, inner;
    int axis = 0;
    rt_axis(eval->node->attrs.axis, x->rank, &axis);
    rt_around_axis(x, axis, &outer, &n, &inner);
    for (size_t i = 0; i < outer; i++) {
        for (size_t k = 0; k < inner; k++) {
            size_t at = i * n * inner + k;
            softmax((const float *)x->data + at, floats_of(&eval->outputs[0]) + at, n, inner);
        }
    }
    return RETORT_OK;
}

/* Some axes of a tensor, as an index over them alone. */
typedef struct axes {
    int rank;
    size_t dims[RT_MAX_RANK], strides[RT_MAX_RANK]; /* elements */
    size_t count;
} axes;

static axes pick_axes(const rt_tensor *x, unsigned bits) {
    axes picked = {.count = 1};
    int64_t strides[RT_MAX_RANK];
    rt_tensor_strides(x, strides);
    for (int i = 0; i < x->rank; i++) {
        if ((bits >> i & 1u) == 0) continue;
        picked.dims[picked.rank] = (size_t)x->shape[i];
        picked.strides[picked.rank++] = (size_t)strides[i] / sizeof(float);
        picked.count *= (size_t)x->shape[i];
    }
    return picked;
}

static size_t offset_of(const axes *a, size_t index) {
    size_t offset = 0;
    for (int i = a->rank - 1; i >= 0; i--) {
        offset += index % a->dims[i] * a->strides[i];
        index /= a->dims[i];
    }
    return offset;
}

typedef float (*reduction)(const float *x, const axes *over);

static float reduce_sum(const float *x, const axes *over) {
    double sum = 0;
    for (size_t i = 0; i < over->count; i++) sum += (double)x[offset_of(over, i)];
    return (float)sum;
}

static float reduce_mean(const float *x, const axes *over) {
    double sum = 0;
    for (size_t i = 0; i < over->count; i++) sum += (double)x[offset_of(over, i)];
    return (float)(sum / (double)over->count);
}

static float reduce_max(const float *x, const axes *over) {
    float max = -INFINITY;
    for (size_t i = 0; i < over->count; i++) max = greater(x[offset_of(over, i)], max);
    return max;
}

static const reduction reductions[RT_OP_COUNT] = {
    [RT_OP_REDUCE_SUM] = reduce_sum, [RT_OP_REDUCE_MEAN] = reduce_mean, [RT_OP_REDUCE_MAX] = reduce_max};

retort_status rt_eval_reduce(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *x = eval->inputs[0], *given = eval->node->input_count > 1 ? eval->inputs[1] : NULL;
    unsigned all = (1u << x->rank) - 1, bits = 0;
    int axis = 0;
    size_t named = given != NULL ? rt_tensor_count(given) : 1;
    for (size_t i = 0; i < named; i++) {
        int64_t number = given != NULL ? ((const int64_t *)given->data)[i] : eval->node->attrs.axis;
        if (rt_axis(number, x->rank, &axis)) bits |= 1u << axis;
    }
    if (named == 0) bits = all;
    axes over = pick_axes(x, bits), kept = pick_axes(x, all & ~bits);
    float *y = floats_of(&eval->outputs[0]);
    for (size_t i = 0; i < kept.count; i++) {
        y[i] = reductions[eval->node->op]((const float *)x->data + offset_of(&kept, i), &over);
    }
    return RETORT_OK;
}

retort_status rt_eval_layer_normalization(rt_eval *eval, retort_error *err) {
    (void)err;
    const float *x = eval->inputs[0]->data, *gamma = eval->inputs[1]->data, *beta = eval->inputs[2]->data;
    float *y = floats_of(&eval->outputs[0]);
    size_t n = rt_tensor_count(eval->inputs[1]), total = rt_tensor_count(eval->inputs[0]);
    for (size_t at = 0; at < total; at += n) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; i++) sum += (double)x[at + i];
        double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++) squares += ((double)x[at + i] - mean) * ((double)x[at + i] - mean);
        double scale = 1 / sqrt(squares / (double)n + (double)eval->node->attrs.epsilon);
        for (size_t i = 0; i < n; i++) {
            y[at + i] = (float)(((double)x[at + i] - mean) * scale) * gamma[i] + beta[i];
        }
    }
    return RETORT_OK;
}

/* ---- Matrix products ---- */

/* c[m, n] += a[m, k] b[k, n]; k ascending for each element, rows of b contiguous for the compiler */
static void multiply(size_t m, size_t n, size_t k, const float *restrict a, const float *restrict b,
                     float *restrict c) {
    for (size_t i = 0; i < m; i++) {
        for (size_t l = 0; l < k; l++) {
            float x = a[i * k + l];
            for (size_t j = 0; j < n; j++) c[i * n + j] += x * b[l * n + j];
        }
    }
}

retort_status rt_eval_matmul(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *a = eval->inputs[0], *b = eval->inputs[1], *out = &eval->outputs[0];
    size_t m = (size_t)a->shape[a->rank - 2], k = (size_t)a->shape[a->rank - 1];
    size_t n = (size_t)b->shape[b->rank - 1], total = rt_tensor_count(out);
    rt_view view_a = rt_view_broadcast(a, out->rank), view_b = rt_view_broadcast(b, out->rank);
    float *c = floats_of(out);
    memset(c, 0, total * sizeof *c);
    for (size_t at = 0; at < total; at += m * n) {
        size_t left = at / (m * n);
        const char *from_a = view_a.data, *from_b = view_b.data;
        for (int i = out->rank - 3; i >= 0; i--) {
            int64_t index = (int64_t)(left % (size_t)out->shape[i]);
            from_a += index * view_a.stride[i];
            from_b += index * view_b.stride[i];
            left /= (size_t)out->shape[i];
        }
        multiply(m, n, k, (const float *)(const void *)from_a, (const float *)(const void *)from_b, c + at);
    }
    return RETORT_OK;
}

/* c[m, n] += a[m, k] bᵀ, b [n, k] */
static void multiply_trans(size_t m, size_t n, size_t k, const float *a, const float *b, float *c) {
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            float sum = 0;
            for (size_t l = 0; l < k; l++) sum += a[i * k + l] * b[j * k + l];
            c[i * n + j] += sum;
        }
    }
}

retort_status rt_eval_gemm(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *a = eval->inputs[0], *b = eval->inputs[1], *out = &eval->outputs[0];
    const rt_tensor *bias = eval->node->input_count > 2 ? eval->inputs[2] : NULL;
    size_t m = (size_t)out->shape[0], n = (size_t)out->shape[1], k = (size_t)a->shape[1];
    float *c = floats_of(out);
    memset(c, 0, m * n * sizeof *c);
    (eval->node->attrs.trans_b ? multiply_trans : multiply)(m, n, k, a->data, b->data, c);
    if (bias == NULL) return RETORT_OK;
    rt_view view = rt_view_broadcast(bias, 2);
    for (size_t i = 0; i < m; i++) {
        const char *row = view.data + (int64_t)i * view.stride[0];
        for (size_t j = 0; j < n; j++) {
            float more;
            memcpy(&more, row + (int64_t)j * view.stride[1], sizeof more);
            c[i * n + j] += more;
        }
    }
    return RETORT_OK;
}
