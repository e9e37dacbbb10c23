/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/infer.h"

#include <stdio.h>
#include <string.h>

/* ---- Shared by the rules ---- */

void rt_out_like(rt_shapes *s, int index, const rt_value *value) {
    rt_value *out = &s->out[index];
    *out = (rt_value){.dtype = value->dtype, .rank = value->rank, .content = value->content};
    memcpy(out->dims, value->dims, sizeof out->dims);
}

void rt_out_begin(rt_shapes *s, retort_dtype dtype) {
    s->out[0] = (rt_value){.dtype = dtype};
}

bool rt_push_dim(rt_value *value, int64_t dim) {
    if (value->rank == RT_MAX_RANK) return false;
    value->dims[value->rank++] = dim;
    return true;
}

bool rt_push_dims(rt_value *value, const int64_t *dims, int from, int to) {
    bool fits = true;
    for (int i = from; fits && i < to; i++) fits = rt_push_dim(value, dims[i]);
    return fits;
}

bool rt_axis(int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank) return false;
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

bool rt_broadcast_dim(int64_t a, int64_t b, int64_t *out) {
    *out = a == 1 ? b : a;
    return a == b || a == 1 || b == 1;
}

retort_status rt_broadcast_with(rt_shapes *s, const rt_value *value) {
    rt_value *out = &s->out[0];
    rt_value joint = {.rank = out->rank > value->rank ? out->rank : value->rank};
    for (int i = 1; i <= joint.rank; i++) { /* from the last dim */
        int64_t a = i <= out->rank ? out->dims[out->rank - i] : 1;
        int64_t b = i <= value->rank ? value->dims[value->rank - i] : 1;
        if (!rt_broadcast_dim(a, b, &joint.dims[joint.rank - i])) {
            return rt_fail(s->err, RETORT_FORMAT, "shapes do not broadcast");
        }
    }
    out->rank = joint.rank;
    memcpy(out->dims, joint.dims, sizeof out->dims);
    return RETORT_OK;
}

bool rt_same_dims(const rt_value *a, const rt_value *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

bool rt_node_keeps_dims(const rt_graph *graph, const rt_node *node) {
    return rt_same_dims(&graph->values[node->inputs[0]], &graph->values[node->outputs[0]]);
}

bool rt_content_number(const rt_value *value, int i, int64_t *out) {
    const rt_content *content = &value->content;
    if (!content->known || i >= content->count || (content->symbols >> i & 1u) != 0) return false;
    *out = content->at[i];
    return true;
}

bool rt_content_axes(const rt_value *axes, int rank, unsigned *bits) {
    *bits = 0;
    if (!axes->content.known) return false;
    for (int i = 0; i < axes->content.count; i++) {
        int64_t number;
        int axis;
        if (!rt_content_number(axes, i, &number) || !rt_axis(number, rank, &axis)) return false;
        if ((*bits >> axis & 1u) != 0) return false;
        *bits |= 1u << axis;
    }
    return true;
}

bool rt_is_vector(const rt_value *value, int64_t n, bool absent) {
    if (value == NULL) return absent;
    return value->dtype == RETORT_F32 && value->rank == 1 && value->dims[0] == n;
}

retort_status rt_not_float(rt_shapes *s) {
    return rt_fail(s->err, RETORT_FORMAT, "the inputs are not f32");
}

void rt_push_content(rt_content *to, const rt_content *from, int i) {
    if (to->count == RT_MAX_RANK) {
        to->known = false;
        return;
    }
    if ((from->symbols >> i & 1u) != 0) to->symbols |= 1u << to->count;
    to->at[to->count++] = from->at[i];
}

int rt_content_at(const rt_content *content, int i) {
    return content->count == 1 ? 0 : i;
}

int rt_content_count(const rt_value *out, const rt_content *a, const rt_content *b) {
    if (!a->known || !b->known || out->rank > 1) return -1;
    return out->rank == 0 ? 1 : (int)out->dims[0];
}

retort_status rt_infer_float_same(rt_shapes *s) {
    rt_out_like(s, 0, s->in[0]);
    return s->in[0]->dtype == RETORT_F32 ? RETORT_OK : rt_not_float(s);
}

/* ---- Running a rule ---- */

/* Only weights and outliers of Linear, and the word table of Embed, may have a packed layout. */
static bool layouts_fit(const rt_shapes *s) {
    for (int i = 0; i < s->node->input_count; i++) {
        bool weight = s->node->op == RT_OP_LINEAR  ? i == LINEAR_WEIGHT || i == LINEAR_OUTLIERS
                      : s->node->op == RT_OP_EMBED ? i == EMBED_WORD
                                                   : false;
        if (s->in[i] != NULL && s->in[i]->layout != RT_LAYOUT_ROWS && !weight) return false;
    }
    return true;
}

/* Whether the concrete dims of each output are >= 0 and their bytes fit memory. */
static bool sizes_fit(const rt_shapes *s) {
    for (int k = 0; k < s->node->output_count; k++) {
        size_t bytes = rt_dtype_size(s->out[k].dtype);
        for (int i = 0; i < s->out[k].rank; i++) {
            int64_t dim = s->out[k].dims[i];
            if (dim < RT_DIM_MASK_TOKENS || (dim > 0 && !rt_mul(bytes, (size_t)dim, &bytes))) return false;
        }
        if (bytes > PTRDIFF_MAX - 64) return false;
    }
    return true;
}

/* Prefixes the error with "name: Op([batch, 384], …): ". */
static retort_status blame(const rt_shapes *s, retort_status status) {
    char text[400];
    size_t at =
        (size_t)snprintf(text, sizeof text, "%.120s: %s(", s->node->name, rt_op_info(s->node->op)->text);
    for (int i = 0; i < s->node->input_count && at < sizeof text; i++) {
        char dims[100] = "_";
        if (s->in[i] != NULL) rt_dims_text(dims, sizeof dims, s->in[i]->dims, s->in[i]->rank);
        const char *dtype = s->in[i] != NULL ? retort_dtype_name(s->in[i]->dtype) : "";
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s%s", i > 0 ? ", " : "", dtype, dims);
    }
    if (at < sizeof text) snprintf(text + at, sizeof text - at, ")");
    return rt_fail_in(s->err, status, text);
}

retort_status rt_infer_shapes(rt_shapes *s) {
    const rt_op_row *row = rt_op_info(s->node->op);
    retort_status status = RETORT_OK;
    for (int i = 0; i < row->min_inputs; i++) {
        if (i < s->node->input_count && s->in[i] != NULL) continue;
        return rt_fail(s->err, RETORT_FORMAT, "%.200s: %s without input %d", s->node->name, row->text, i);
    }
    if (!layouts_fit(s)) status = rt_fail(s->err, RETORT_FORMAT, "a packed input");
    if (status == RETORT_OK) status = row->infer(s);
    if (status == RETORT_OK && !sizes_fit(s)) status = rt_fail(s->err, RETORT_LIMIT, "the output is too big");
    return status == RETORT_OK ? status : blame(s, status);
}

/* Copies dtype, shape and content of an inferred output into the graph's value. */
static void settle(rt_value *value, const rt_value *inferred) {
    value->dtype = inferred->dtype;
    value->rank = inferred->rank;
    value->layout = RT_LAYOUT_ROWS;
    value->content = inferred->content;
    memcpy(value->dims, inferred->dims, sizeof value->dims);
}

retort_status rt_infer(rt_graph *graph, size_t node, retort_error *err) {
    rt_shapes s = {.node = &graph->nodes[node], .err = err};
    for (int i = 0; i < s.node->input_count; i++) {
        if (s.node->inputs[i] >= 0) s.in[i] = &graph->values[s.node->inputs[i]];
    }
    retort_status status = rt_infer_shapes(&s);
    if (status != RETORT_OK) return status;
    for (int k = 0; k < s.node->output_count; k++) settle(&graph->values[s.node->outputs[k]], &s.out[k]);
    return RETORT_OK;
}

retort_status rt_graph_infer(rt_graph *graph, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) status = rt_infer(graph, i, err);
    return status;
}
