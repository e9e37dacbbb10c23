/* SPDX-License-Identifier: Apache-2.0
 * Reshape. */
#include "graph/evaluate.h"
#include "graph/infer.h"

/* The dims of a shape as a product: the count of each symbol, and the product of the numbers. */
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

/* whole / part: a number or one symbol; false if it does not divide to one. */
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

/* Dim `i` requested of a Reshape: 0 copies the dim of the input; -1, as a number, is the rest. */
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

static retort_status infer_reshape(rt_shapes *s) {
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

const rt_op_row rt_op_reshape = {
    .text = "Reshape",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_reshape,
    .evaluate = rt_op_copy,
    .is_identity = rt_node_keeps_dims,
};
