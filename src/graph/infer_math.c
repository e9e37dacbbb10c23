/* SPDX-License-Identifier: Apache-2.0
 * Shape rules of the plain operators that compute. */
#include "graph/infer.h"

#include <string.h>

static retort_status not_float(rt_shapes *s) {
    return rt_fail(s->err, RETORT_FORMAT, "the inputs are not f32");
}

/* Whether two known elements are equal: 1, 0, or -1 when that cannot be told (a symbol is at least 1). */
static int content_equal(const rt_content *a, int i, const rt_content *b, int j) {
    bool a_symbol = (a->symbols >> i & 1u) != 0, b_symbol = (b->symbols >> j & 1u) != 0;
    if (a_symbol == b_symbol) return a->at[i] == b->at[j] ? 1 : a_symbol ? -1 : 0;
    return (a_symbol ? b->at[j] : a->at[i]) <= 0 ? 0 : -1;
}

/* Where element `i` of `count` is in a content that broadcasts. */
static int broadcast_at(const rt_content *content, int i) {
    return content->count == 1 ? 0 : i;
}

/* Elements of a known result of broadcasting, -1 when it is none. */
static int content_count(const rt_value *out, const rt_content *a, const rt_content *b) {
    if (!a->known || !b->known || out->rank > 1) return -1;
    return out->rank == 0 ? 1 : (int)out->dims[0];
}

retort_status rt_infer_equal(rt_shapes *s) {
    const rt_content *a = &s->in[0]->content, *b = &s->in[1]->content;
    if (s->in[0]->dtype != s->in[1]->dtype) return rt_fail(s->err, RETORT_FORMAT, "dtypes differ");
    rt_out_like(s, 0, s->in[0]);
    s->out[0].dtype = RETORT_BOOL;
    s->out[0].content = (rt_content){0};
    retort_status status = rt_broadcast_with(s, s->in[1]);
    int count = status == RETORT_OK ? content_count(&s->out[0], a, b) : -1;
    rt_content equal = {.known = count >= 0, .count = count};
    for (int i = 0; i < count; i++) {
        int verdict = content_equal(a, broadcast_at(a, i), b, broadcast_at(b, i));
        equal.at[i] = verdict;
        if (verdict < 0) equal.known = false;
    }
    if (equal.known) s->out[0].content = equal;
    return status;
}

/* The elements that a known condition picks from known vectors. */
static void where_content(rt_shapes *s) {
    const rt_content *condition = &s->in[0]->content, *x = &s->in[1]->content, *y = &s->in[2]->content;
    int count = content_count(&s->out[0], x, y);
    if (count < 0 || !condition->known) return;
    rt_content picked = {.known = true, .count = count};
    for (int i = 0; i < count; i++) {
        const rt_content *from = condition->at[broadcast_at(condition, i)] != 0 ? x : y;
        int at = broadcast_at(from, i);
        picked.at[i] = from->at[at];
        picked.symbols |= (from->symbols >> at & 1u) << i;
    }
    s->out[0].content = picked;
}

retort_status rt_infer_where(rt_shapes *s) {
    if (s->in[0]->dtype != RETORT_BOOL || s->in[1]->dtype != s->in[2]->dtype) {
        return rt_fail(s->err, RETORT_FORMAT, "expected bool and two of one dtype");
    }
    rt_out_like(s, 0, s->in[1]);
    s->out[0].content = (rt_content){0};
    retort_status status = rt_broadcast_with(s, s->in[2]);
    if (status == RETORT_OK) status = rt_broadcast_with(s, s->in[0]);
    if (status == RETORT_OK) where_content(s);
    return status;
}

retort_status rt_infer_arithmetic(rt_shapes *s) {
    retort_dtype dtype = s->in[0]->dtype;
    if (dtype != s->in[1]->dtype || (dtype != RETORT_F32 && dtype != RETORT_I64)) {
        return rt_fail(s->err, RETORT_FORMAT, "expected two f32 or two i64");
    }
    rt_out_like(s, 0, s->in[0]);
    s->out[0].content = (rt_content){0};
    return rt_broadcast_with(s, s->in[1]);
}

retort_status rt_infer_pow(rt_shapes *s) {
    return s->in[0]->dtype == RETORT_F32 ? rt_infer_arithmetic(s) : not_float(s);
}

retort_status rt_infer_float_same(rt_shapes *s) {
    rt_out_like(s, 0, s->in[0]);
    return s->in[0]->dtype == RETORT_F32 ? RETORT_OK : not_float(s);
}

retort_status rt_infer_softmax(rt_shapes *s) {
    int axis;
    if (!rt_axis(s->node->attrs.axis, s->in[0]->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "axis %lld is not there", (long long)s->node->attrs.axis);
    }
    return rt_infer_float_same(s);
}

/* Reduced axes as bits: the second input's, or all when it is empty, or the attribute's one. */
static bool reduced_axes(const rt_shapes *s, unsigned *axes) {
    const rt_value *given = s->node->input_count > 1 ? s->in[1] : NULL;
    int rank = s->in[0]->rank, axis;
    if (given == NULL) {
        if (!rt_axis(s->node->attrs.axis, rank, &axis)) return false;
        *axes = 1u << axis;
        return true;
    }
    if (!rt_content_axes(given, rank, axes)) return false;
    if (given->content.count == 0) *axes = (1u << rank) - 1;
    return true;
}

retort_status rt_infer_reduce(rt_shapes *s) {
    const rt_value *x = s->in[0];
    unsigned axes;
    if (x->dtype != RETORT_F32) return not_float(s);
    if (!reduced_axes(s, &axes)) return rt_fail(s->err, RETORT_FORMAT, "axes are not known or out of range");
    rt_out_begin(s, x->dtype);
    for (int i = 0; i < x->rank; i++) {
        bool reduced = (axes >> i & 1u) != 0;
        if (!reduced || s->node->attrs.keepdims) rt_push_dim(&s->out[0], reduced ? 1 : x->dims[i]);
    }
    return RETORT_OK;
}

retort_status rt_infer_matmul(rt_shapes *s) {
    const rt_value *a = s->in[0], *b = s->in[1];
    rt_value heads = {.rank = b->rank - 2};
    if (a->dtype != RETORT_F32 || b->dtype != RETORT_F32) return not_float(s);
    if (a->rank < 2 || b->rank < 2) return rt_fail(s->err, RETORT_FORMAT, "expected matrices");
    if (a->dims[a->rank - 1] != b->dims[b->rank - 2]) {
        return rt_fail(s->err, RETORT_FORMAT, "the inner dims differ");
    }
    memcpy(heads.dims, b->dims, (size_t)heads.rank * sizeof *b->dims);
    rt_out_begin(s, RETORT_F32);
    rt_push_dims(&s->out[0], a->dims, 0, a->rank - 2);
    retort_status status = rt_broadcast_with(s, &heads);
    rt_push_dim(&s->out[0], a->dims[a->rank - 2]);
    rt_push_dim(&s->out[0], b->dims[b->rank - 1]);
    return status;
}

retort_status rt_infer_gemm(rt_shapes *s) {
    const rt_value *a = s->in[0], *b = s->in[1], *c = s->node->input_count > 2 ? s->in[2] : NULL;
    bool trans = s->node->attrs.trans_b;
    if (a->dtype != RETORT_F32 || b->dtype != RETORT_F32 || (c != NULL && c->dtype != RETORT_F32))
        return not_float(s);
    if (a->rank != 2 || b->rank != 2 || a->dims[1] != b->dims[trans ? 1 : 0]) {
        return rt_fail(s->err, RETORT_FORMAT, "expected [m, k] and %s", trans ? "[n, k]" : "[k, n]");
    }
    rt_out_begin(s, RETORT_F32);
    rt_push_dim(&s->out[0], a->dims[0]);
    rt_push_dim(&s->out[0], b->dims[trans ? 0 : 1]);
    rt_value wanted = s->out[0];
    if (c == NULL) return RETORT_OK;
    retort_status status = rt_broadcast_with(s, c);
    if (status == RETORT_OK && !rt_same_dims(&wanted, &s->out[0])) {
        status = rt_fail(s->err, RETORT_FORMAT, "the third input does not broadcast to the product");
    }
    return status;
}

retort_status rt_infer_layer_normalization(rt_shapes *s) {
    const rt_value *x = s->in[0];
    if (x->dtype != RETORT_F32 || x->rank < 1) return not_float(s);
    int64_t n = x->dims[x->rank - 1];
    if (!rt_is_vector(s->in[1], n, false) || !rt_is_vector(s->in[2], n, false)) {
        return rt_fail(s->err, RETORT_FORMAT, "expected f32 […, n] and two f32 [n]");
    }
    rt_out_like(s, 0, x);
    return RETORT_OK;
}
