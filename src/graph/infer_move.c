/* SPDX-License-Identifier: Apache-2.0
 * Shape rules of the operators that move data or compute shapes. Symbols are taken to be at least 1: a batch
 * has a sequence and a sequence has a token. */
#include "graph/infer.h"

#include <string.h>

retort_status rt_infer_same(rt_shapes *s) {
    rt_out_like(s, 0, s->in[0]);
    return RETORT_OK;
}

static bool can_cast(retort_dtype dtype) {
    return dtype == RETORT_F32 || dtype == RETORT_I64 || dtype == RETORT_I32 || dtype == RETORT_BOOL;
}

retort_status rt_infer_cast(rt_shapes *s) {
    if (!can_cast(s->in[0]->dtype) || !can_cast(s->node->attrs.dtype)) {
        return rt_fail(s->err, RETORT_UNSUPPORTED, "to %s: Cast knows f32, i64, i32 and bool",
                       retort_dtype_name(s->node->attrs.dtype));
    }
    rt_out_like(s, 0, s->in[0]);
    s->out[0].dtype = s->node->attrs.dtype;
    if (s->node->attrs.dtype != RETORT_I64) s->out[0].content = (rt_content){0};
    return RETORT_OK;
}

retort_status rt_infer_shape(rt_shapes *s) {
    rt_value *out = &s->out[0];
    rt_out_begin(s, RETORT_I64);
    rt_push_dim(out, s->in[0]->rank);
    out->content = (rt_content){.known = true, .count = s->in[0]->rank};
    for (int i = 0; i < s->in[0]->rank; i++) {
        out->content.at[i] = s->in[0]->dims[i];
        if (s->in[0]->dims[i] < 0) out->content.symbols |= 1u << i;
    }
    return RETORT_OK;
}

/* Appends element `i` of a content to another. */
static void push_content(rt_content *to, const rt_content *from, int i) {
    if (to->count == RT_MAX_RANK) {
        to->known = false;
        return;
    }
    if ((from->symbols >> i & 1u) != 0) to->symbols |= 1u << to->count;
    to->at[to->count++] = from->at[i];
}

/* The elements of an integer vector that known indices pick. */
static void gather_content(rt_shapes *s) {
    const rt_content *data = &s->in[0]->content;
    rt_content picked = {.known = data->known && s->in[0]->rank == 1 && s->in[1]->content.known};
    for (int i = 0; picked.known && i < s->in[1]->content.count; i++) {
        int64_t number;
        int at = 0;
        picked.known = rt_content_number(s->in[1], i, &number) && rt_axis(number, data->count, &at);
        if (picked.known) push_content(&picked, data, at);
    }
    s->out[0].content = picked.known ? picked : (rt_content){0};
}

retort_status rt_infer_gather(rt_shapes *s) {
    const rt_value *data = s->in[0], *indices = s->in[1];
    int axis;
    if (indices->dtype != RETORT_I64) return rt_fail(s->err, RETORT_FORMAT, "indices are not i64");
    if (!rt_axis(s->node->attrs.axis, data->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "axis %lld is not there", (long long)s->node->attrs.axis);
    }
    rt_out_begin(s, data->dtype);
    if (!rt_push_dims(&s->out[0], data->dims, 0, axis) ||
        !rt_push_dims(&s->out[0], indices->dims, 0, indices->rank) ||
        !rt_push_dims(&s->out[0], data->dims, axis + 1, data->rank))
        return rt_fail(s->err, RETORT_LIMIT, "rank over %d", RT_MAX_RANK);
    gather_content(s);
    return RETORT_OK;
}

retort_status rt_infer_unsqueeze(rt_shapes *s) {
    const rt_value *data = s->in[0];
    int rank = data->rank + s->in[1]->content.count, next = 0;
    unsigned axes;
    if (rank > RT_MAX_RANK || !rt_content_axes(s->in[1], rank, &axes)) {
        return rt_fail(s->err, RETORT_FORMAT, "axes are not known, repeated or out of range");
    }
    rt_out_begin(s, data->dtype);
    for (int i = 0; i < rank; i++) rt_push_dim(&s->out[0], (axes >> i & 1u) != 0 ? 1 : data->dims[next++]);
    s->out[0].content = rank <= 1 ? data->content : (rt_content){0};
    return RETORT_OK;
}

retort_status rt_infer_squeeze(rt_shapes *s) {
    const rt_value *data = s->in[0];
    unsigned axes;
    if (!rt_content_axes(s->in[1], data->rank, &axes)) {
        return rt_fail(s->err, RETORT_FORMAT, "axes are not known, repeated or out of range");
    }
    rt_out_begin(s, data->dtype);
    for (int i = 0; i < data->rank; i++) {
        bool drop = (axes >> i & 1u) != 0;
        if (drop && data->dims[i] != 1) return rt_fail(s->err, RETORT_FORMAT, "dim %d is not 1", i);
        if (!drop) rt_push_dim(&s->out[0], data->dims[i]);
    }
    s->out[0].content = data->content;
    return RETORT_OK;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

int64_t rt_slice_count(int64_t dim, int64_t *start, int64_t end, int64_t step) {
    bool forward = step > 0;
    if (dim == 0) return 0;
    *start = clamp(*start < 0 ? *start + dim : *start, 0, forward ? dim : dim - 1);
    end = clamp(end < 0 ? end + dim : end, forward ? 0 : -1, forward ? dim : dim - 1);
    int64_t span = forward ? end - *start : *start - end;
    return span > 0 ? (span - 1) / (forward ? step : -step) + 1 : 0;
}

/* One axis of Slice. Two rules for symbols: a slice that ends at a symbol has that symbol's length (positions
 * [1, 512] to [1, seq]), and of a symbolic dim a slice is the whole of it, or its first or last element. */
static bool slice_dim(const rt_shapes *s, int i, int64_t *dim) {
    int64_t start, end, step = 1;
    const rt_content *ends = &s->in[2]->content;
    if (!rt_content_number(s->in[1], i, &start)) return false;
    if (s->node->input_count > 4 && s->in[4] != NULL && !rt_content_number(s->in[4], i, &step)) return false;
    if (step == 0 || step == INT64_MIN || !ends->known) return false;
    if ((ends->symbols >> i & 1u) != 0) {
        bool prefix = start == 0 && step == 1;
        *dim = ends->at[i];
        return prefix;
    }
    end = ends->at[i];
    if (*dim >= 0) {
        *dim = rt_slice_count(*dim, &start, end, step);
        return true;
    }
    if (step != 1) return false;
    bool first = start == 0 && end == 1, last = start == -1 && end == INT64_MAX;
    if (first || last) *dim = 1;
    return first || last || (start == 0 && end == INT64_MAX);
}

/* A slice by step 1 of a known vector. */
static void slice_content(rt_shapes *s, const int64_t *dims) {
    const rt_content *data = &s->in[0]->content;
    int64_t start;
    if (!data->known || s->in[0]->rank != 1 || dims[0] < 0 || !rt_content_number(s->in[1], 0, &start)) return;
    if (s->node->input_count > 4 && s->in[4] != NULL) {
        int64_t step;
        if (!rt_content_number(s->in[4], 0, &step) || step != 1) return;
    }
    rt_content cut = {.known = true};
    if (start < 0) start += data->count;
    if (start < 0) start = 0;
    for (int64_t i = 0; i < dims[0]; i++) push_content(&cut, data, (int)(start + i));
    s->out[0].content = cut;
}

retort_status rt_infer_slice(rt_shapes *s) {
    const rt_value *data = s->in[0], *starts = s->in[1], *ends = s->in[2];
    const rt_value *axes = s->node->input_count > 3 ? s->in[3] : NULL;
    int count = starts->content.known ? starts->content.count : -1;
    unsigned seen = 0;
    rt_out_like(s, 0, data);
    s->out[0].content = (rt_content){0};
    if (count < 0 || count > data->rank || (ends->content.known && ends->content.count != count)) {
        return rt_fail(s->err, RETORT_FORMAT, "starts are not known, or not as many as ends");
    }
    for (int i = 0; i < count; i++) {
        int64_t number = i;
        int axis = 0;
        if ((axes != NULL && !rt_content_number(axes, i, &number)) || !rt_axis(number, data->rank, &axis) ||
            (seen >> axis & 1u) != 0)
            return rt_fail(s->err, RETORT_FORMAT, "axes are not known, repeated or out of range");
        seen |= 1u << axis;
        if (!slice_dim(s, i, &s->out[0].dims[axis])) {
            return rt_fail(s->err, RETORT_FORMAT, "the slice of dim %d has no length that can be told", axis);
        }
    }
    if (count == 1) slice_content(s, s->out[0].dims);
    return RETORT_OK;
}

/* The vectors' elements one after the other. */
static void concat_content(rt_shapes *s) {
    rt_content joint = {.known = s->out[0].rank == 1};
    for (int i = 0; joint.known && i < s->node->input_count; i++) {
        const rt_content *part = &s->in[i]->content;
        joint.known = part->known;
        for (int k = 0; joint.known && k < part->count; k++) push_content(&joint, part, k);
    }
    s->out[0].content = joint.known ? joint : (rt_content){0};
}

retort_status rt_infer_concat(rt_shapes *s) {
    const rt_value *first = s->in[0];
    int axis;
    rt_out_like(s, 0, first);
    if (!rt_axis(s->node->attrs.axis, first->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "axis %lld is not there", (long long)s->node->attrs.axis);
    }
    int64_t *sum = &s->out[0].dims[axis];
    for (int i = 1; i < s->node->input_count; i++) {
        rt_value part;
        if (s->in[i] == NULL) return rt_fail(s->err, RETORT_FORMAT, "input %d is missing", i);
        part = *s->in[i];
        int64_t more = part.rank == first->rank ? part.dims[axis] : -1;
        part.dims[axis] = first->dims[axis];
        if (!rt_same_dims(&part, first) || part.dtype != first->dtype || more < 0 || *sum < 0 ||
            __builtin_add_overflow(*sum, more, sum))
            return rt_fail(s->err, RETORT_FORMAT, "input %d does not continue the ones before", i);
    }
    concat_content(s);
    return RETORT_OK;
}

retort_status rt_infer_split(rt_shapes *s) {
    const rt_value *data = s->in[0], *sizes = s->node->input_count > 1 ? s->in[1] : NULL;
    int axis, parts = s->node->output_count;
    int64_t left, size;
    if (!rt_axis(s->node->attrs.axis, data->rank, &axis) || data->dims[axis] < 0) {
        return rt_fail(s->err, RETORT_FORMAT, "axis %lld is not there, or symbolic",
                       (long long)s->node->attrs.axis);
    }
    left = data->dims[axis];
    size = left / parts;
    for (int k = 0; k < parts; k++) {
        bool known = sizes == NULL ? left >= size : rt_content_number(sizes, k, &size);
        if (!known || size < 0 || size > left)
            return rt_fail(s->err, RETORT_FORMAT, "part %d has no size", k);
        rt_out_like(s, k, data);
        s->out[k].content = (rt_content){0};
        s->out[k].dims[axis] = size;
        left -= size;
    }
    if (left != 0) return rt_fail(s->err, RETORT_FORMAT, "%d parts do not fill dim %d", parts, axis);
    return RETORT_OK;
}

/* The dims of a shape as a product: how often each symbol stands in it, and the numbers multiplied. */
typedef struct product {
    int symbols[4]; /* by -1 - dim */
    int64_t number;
} product;

static bool multiply(product *p, int64_t dim) {
    if (dim < 0) {
        p->symbols[-1 - dim]++;
        return true;
    }
    return !__builtin_mul_overflow(p->number, dim, &p->number);
}

/* What of `whole` is left after `part`: a number or one symbol; false when it does not divide so. */
static bool divide(const product *whole, const product *part, int64_t *left) {
    int64_t symbol = 0;
    for (int i = 0; i < 4; i++) {
        int more = whole->symbols[i] - part->symbols[i];
        if (more < 0 || more > 1 || (more == 1 && symbol != 0)) return false;
        if (more == 1) symbol = -1 - i;
    }
    if (part->number == 0) return false;
    *left = symbol != 0 ? symbol : whole->number / part->number;
    return symbol != 0 ? whole->number == part->number : whole->number % part->number == 0;
}

/* Dim `i` that a Reshape asks for: 0 copies the input's dim. -1, as a number, asks for what is left. */
static bool reshape_dim(const rt_shapes *s, int i, int64_t *dim, bool *rest) {
    const rt_content *target = &s->in[1]->content;
    bool symbol = (target->symbols >> i & 1u) != 0;
    *dim = target->at[i];
    *rest = !symbol && *dim == -1;
    if (symbol || *rest || *dim > 0) return true;
    if (*dim < 0 || i >= s->in[0]->rank) return false;
    *dim = s->in[0]->dims[i];
    return true;
}

retort_status rt_infer_reshape(rt_shapes *s) {
    const rt_value *data = s->in[0];
    product whole = {.number = 1}, part = {.number = 1};
    int rest_at = -1;
    bool fits = s->in[1]->content.known && s->in[1]->rank == 1;
    rt_out_begin(s, data->dtype);
    for (int i = 0; fits && i < data->rank; i++) fits = multiply(&whole, data->dims[i]);
    for (int i = 0; fits && i < s->in[1]->content.count; i++) {
        int64_t dim;
        bool rest;
        fits = reshape_dim(s, i, &dim, &rest) && !(rest && rest_at >= 0) && rt_push_dim(&s->out[0], dim) &&
               (rest || multiply(&part, dim));
        if (rest) rest_at = i;
    }
    int64_t left = 1;
    bool empty = whole.number == 0 && part.number == 0 && rest_at < 0;
    if (!fits || (!empty && !divide(&whole, &part, &left)) || (rest_at < 0 && left != 1)) {
        return rt_fail(s->err, RETORT_FORMAT,
                       "the new shape is not known, or has another number of elements");
    }
    if (rest_at >= 0) s->out[0].dims[rest_at] = left;
    if (s->out[0].rank <= 1) s->out[0].content = data->content;
    return RETORT_OK;
}

retort_status rt_infer_transpose(rt_shapes *s) {
    const rt_value *data = s->in[0];
    const rt_attrs *attrs = &s->node->attrs;
    unsigned seen = 0;
    rt_out_begin(s, data->dtype);
    if (attrs->perm_count != data->rank) {
        return rt_fail(s->err, RETORT_FORMAT, "perm has %d axes, the input %d", attrs->perm_count,
                       data->rank);
    }
    for (int i = 0; i < data->rank; i++) {
        int axis = attrs->perm[i];
        if (axis < 0 || axis >= data->rank || (seen >> axis & 1u) != 0) {
            return rt_fail(s->err, RETORT_FORMAT, "perm is not a permutation");
        }
        seen |= 1u << axis;
        rt_push_dim(&s->out[0], data->dims[axis]);
    }
    return RETORT_OK;
}

retort_status rt_infer_expand(rt_shapes *s) {
    const rt_content *target = &s->in[1]->content;
    rt_value wanted = {.rank = target->count};
    if (!target->known || s->in[1]->rank != 1)
        return rt_fail(s->err, RETORT_FORMAT, "the new shape is not known");
    for (int i = 0; i < target->count; i++) {
        wanted.dims[i] = target->at[i];
        if ((target->symbols >> i & 1u) == 0 && target->at[i] < 0) {
            return rt_fail(s->err, RETORT_FORMAT, "the new shape has a negative dim");
        }
    }
    rt_out_like(s, 0, s->in[0]);
    s->out[0].content = (rt_content){0};
    return rt_broadcast_with(s, &wanted);
}

retort_status rt_infer_mask_rows(rt_shapes *s) {
    const rt_value *x = s->in[0], *ids = s->in[1];
    rt_out_begin(s, RETORT_F32);
    if (x->dtype != RETORT_F32 || x->rank != 3 || ids->dtype != RETORT_I64 || ids->rank != 2 ||
        ids->dims[0] != x->dims[0] || ids->dims[1] != x->dims[1])
        return rt_fail(s->err, RETORT_FORMAT, "expected f32 [batch, seq, n] and i64 [batch, seq]");
    rt_push_dim(&s->out[0], RT_DIM_ROWS);
    rt_push_dim(&s->out[0], x->dims[2]);
    return RETORT_OK;
}
