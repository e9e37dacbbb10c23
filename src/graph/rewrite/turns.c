/* SPDX-License-Identifier: Apache-2.0
 * Level 2, for fuse-attention: turns, as we write them, and as transformers does. */
#include "graph/rewrite/turns.h"

#include <string.h>

bool rt_is_place(const rt_graph *graph, int value, int rank, int axis) {
    const rt_node *wide = rt_made_by(graph, value, RT_OP_UNSQUEEZE);
    const rt_node *cast = wide != NULL ? rt_made_by(graph, wide->inputs[0], RT_OP_CAST) : NULL;
    const rt_value *v = &graph->values[value];
    bool shaped = v->rank == rank;
    for (int i = 0; shaped && i < rank; i++) shaped = v->dims[i] == (i == axis ? RT_DIM_SEQ : 1);
    return shaped && cast != NULL && rt_is_places(graph, cast->inputs[0]);
}

/* Columns from…to-1 of the last of four axes, to the end if `to` is dim, read `uses` times; their source, or -1. */
static int columns_of(const rt_graph *graph, int value, int64_t from, int64_t to, int64_t dim, size_t uses) {
    const rt_node *slice = rt_made_by(graph, value, RT_OP_SLICE);
    int64_t first, end;
    bool found = slice != NULL && rt_value_uses(graph, value) == uses &&
                 rt_slice_part(graph, slice, 3, dim, &first, &end) && first == from && end == to;
    return found ? slice->inputs[SLICE_DATA] : -1;
}

/* The angles if the value is the place of each row times them; else -1. */
static int angles_of(const rt_graph *graph, int value, int rank, int axis, int64_t pairs) {
    const rt_node *turns = rt_made_by(graph, value, RT_OP_MUL);
    for (int k = 0; turns != NULL && k < 2; k++) {
        if (rt_is_bias(graph, turns->inputs[k], pairs) &&
            rt_is_place(graph, turns->inputs[1 - k], rank, axis))
            return turns->inputs[k];
    }
    return -1;
}

/* ---- [a cos - b sin, b cos + a sin] ---- */

/* Whether the value is product(x, y), in any order; *other: the other factor. */
static bool is_product(const rt_graph *graph, int value, int x, int *other) {
    const rt_node *mul = rt_made_by(graph, value, RT_OP_MUL);
    for (int k = 0; mul != NULL && k < 2; k++) {
        *other = mul->inputs[1 - k];
        if (mul->inputs[k] == x) return true;
    }
    return false;
}

/* The angles, if these are the cosine and the sine of the place of a row times them; else -1. */
static int angles_of_both(const rt_graph *graph, int cosine, int sine, int axis, int64_t pairs) {
    const rt_node *c = rt_made_by(graph, cosine, RT_OP_COS), *s = rt_made_by(graph, sine, RT_OP_SIN);
    bool same = c != NULL && s != NULL && c->inputs[0] == s->inputs[0];
    return same ? angles_of(graph, c->inputs[0], 4, axis, pairs) : -1;
}

static int unturned_halves(const rt_graph *graph, int value, int axis, int64_t dim, int *angles) {
    const rt_node *concat = rt_made_by(graph, value, RT_OP_CONCAT);
    const rt_node *left = concat != NULL && concat->input_count == 2
                              ? rt_made_by(graph, concat->inputs[0], RT_OP_SUB)
                              : NULL,
                  *right = left != NULL ? rt_made_by(graph, concat->inputs[1], RT_OP_ADD) : NULL;
    const rt_node *first = left != NULL ? rt_made_by(graph, left->inputs[0], RT_OP_MUL) : NULL;
    if (right == NULL || first == NULL || (concat->attrs.axis != 3 && concat->attrs.axis != -1)) return value;
    for (int k = 0; k < 2; k++) {
        int a = first->inputs[k], cosine = first->inputs[1 - k], b = -1, sine = -1, other = -1;
        int x = columns_of(graph, a, 0, dim / 2, dim, 2);
        const rt_node *second = rt_made_by(graph, left->inputs[1], RT_OP_MUL);
        for (int l = 0; x >= 0 && second != NULL && l < 2 && b < 0; l++) {
            if (columns_of(graph, second->inputs[l], dim / 2, dim, dim, 2) != x) continue;
            b = second->inputs[l];
            sine = second->inputs[1 - l];
        }
        if (b < 0 || rt_value_uses(graph, x) != 2) continue;
        for (int l = 0; l < 2; l++) {
            bool same = is_product(graph, right->inputs[l], b, &other) && other == cosine &&
                        is_product(graph, right->inputs[1 - l], a, &other) && other == sine;
            if (same) *angles = angles_of_both(graph, cosine, sine, axis, dim / 2);
            if (same && *angles >= 0) return x;
        }
    }
    return value;
}

/* ---- x cos + [-b, a] sin, where cos and sin have each angle twice ---- */

/* [-b, a]; x = [a, b], or -1 */
static int rotated_half(const rt_graph *graph, int value, int64_t dim) {
    const rt_node *concat = rt_made_by(graph, value, RT_OP_CONCAT);
    double minus;
    int second;
    if (concat == NULL || concat->input_count != 2 || rt_value_uses(graph, value) != 1 ||
        (concat->attrs.axis != 3 && concat->attrs.axis != -1) ||
        !rt_with_scalar(graph, concat->inputs[0], RT_OP_MUL, &second, &minus) || minus != -1)
        return -1;
    int x = columns_of(graph, second, dim / 2, dim, dim, 1);
    return x == columns_of(graph, concat->inputs[1], 0, dim / 2, dim, 1) ? x : -1;
}

/* The angles, if op(turns) has them twice: [1, seq, dim], made [1, 1, seq, dim] or so; else -1. */
static int angles_twice(const rt_graph *graph, int value, rt_op op, int axis, int64_t pairs) {
    const rt_node *wide = rt_made_by(graph, value, RT_OP_UNSQUEEZE);
    const rt_node *wave = wide != NULL ? rt_made_by(graph, wide->inputs[0], op) : NULL;
    const rt_node *twice = wave != NULL ? rt_made_by(graph, wave->inputs[0], RT_OP_CONCAT) : NULL;
    const rt_value *v = &graph->values[value];
    bool fits = twice != NULL && twice->input_count == 2 && twice->inputs[0] == twice->inputs[1] &&
                (twice->attrs.axis == -1 || twice->attrs.axis == 2) && v->rank == 4 &&
                v->dims[axis] == RT_DIM_SEQ && v->dims[3] == 2 * pairs;
    return fits ? angles_of(graph, twice->inputs[0], 3, 1, pairs) : -1;
}

static int unturned_sum(const rt_graph *graph, int value, int axis, int64_t dim, int *angles) {
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD);
    for (int k = 0; add != NULL && k < 2; k++) {
        const rt_node *along = rt_made_by(graph, add->inputs[k], RT_OP_MUL),
                      *across = rt_made_by(graph, add->inputs[1 - k], RT_OP_MUL);
        for (int l = 0; along != NULL && across != NULL && l < 4; l++) {
            int x = along->inputs[l & 1], cosine = along->inputs[1 - (l & 1)];
            int half = across->inputs[l >> 1], sine = across->inputs[1 - (l >> 1)];
            if (rotated_half(graph, half, dim) != x || rt_value_uses(graph, x) != 3) continue;
            *angles = angles_twice(graph, cosine, RT_OP_COS, axis, dim / 2);
            if (*angles >= 0 && angles_twice(graph, sine, RT_OP_SIN, axis, dim / 2) == *angles) return x;
        }
    }
    *angles = -1;
    return value;
}

int rt_unturned(const rt_graph *graph, int value, int axis, int *angles) {
    *angles = -1;
    if (value < 0 || graph->values[value].rank != 4) return value;
    int64_t dim = graph->values[value].dims[3];
    if (dim < 2 || dim % 2 != 0) return value;
    int x = unturned_halves(graph, value, axis, dim, angles);
    return *angles >= 0 ? x : unturned_sum(graph, value, axis, dim, angles);
}
