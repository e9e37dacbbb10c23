/* SPDX-License-Identifier: Apache-2.0
 * What an Attention has by distance, in the form of the kernels: a bias for every distance that its longest sequence has,
 * and columns of position keys and queries, one for each run of distances with the same row. */
#include "engine/step.h"

/* The tables of the graph, and the distances. */
typedef struct source {
    const int64_t *index;
    int64_t reach;                   /* distances from -reach to reach have a place in index */
    const float *bias, *key, *query; /* NULL: absent */
    int64_t columns;                 /* of bias */
    size_t heads, dim;
    int64_t most; /* tables are for distances from -most to most */
} source;

static int64_t row_of(const source *s, int64_t distance) {
    int64_t inside = distance < -s->reach ? -s->reach : distance > s->reach ? s->reach : distance;
    return s->index[inside + s->reach];
}

static const rt_value *operand(const rt_plan *plan, const rt_step *step, int k) {
    return step->in[k].value >= 0 ? &plan->graph->values[step->in[k].value] : NULL;
}

/* Takes a table's data; false: it is not constant. */
static bool take(const rt_value *table, const float **data) {
    if (table != NULL) *data = table->data;
    return table == NULL || table->data != NULL;
}

static retort_status find(const rt_plan *plan, const rt_step *step, source *s, retort_error *err) {
    const rt_value *index = operand(plan, step, ATTENTION_INDEX), *bias = operand(plan, step, ATTENTION_BIAS),
                   *key = operand(plan, step, ATTENTION_POS_KEY),
                   *query = operand(plan, step, ATTENTION_POS_QUERY);
    int64_t rows = INT64_MAX;
    *s = (source){.index = index->data,
                  .reach = index->dims[0] / 2,
                  .heads = step->as.attention.heads,
                  .dim = step->as.attention.dim,
                  .most = (int64_t)plan->positions - 1 + RT_RELATIVE_BEYOND};
    if (bias != NULL) rows = s->columns = bias->dims[1];
    if (key != NULL && key->dims[0] < rows) rows = key->dims[0];
    if (query != NULL && query->dims[0] < rows) rows = query->dims[0];
    if (s->index == NULL || !take(bias, &s->bias) || !take(key, &s->key) || !take(query, &s->query))
        return rt_fail(err, RETORT_FORMAT, "%s: what it has by distance is not constant", step->node->name);
    for (int64_t i = 0; i < index->dims[0]; i++) {
        if (s->index[i] < 0 || s->index[i] >= rows)
            return rt_fail(err, RETORT_FORMAT, "%s: index %lld of %lld rows", step->node->name,
                           (long long)s->index[i], (long long)rows);
    }
    return RETORT_OK;
}

/* Where the bias of each head will be, in both directions. */
static bool reserve_bias(rt_plan *plan, const source *s, rt_relative *out) {
    size_t most = (size_t)s->most, wide = 2 * most + 1;
    float *bias = rt_arena_calloc(&plan->memory, 2 * s->heads * wide, sizeof *bias);
    for (size_t head = 0; bias != NULL && head < s->heads; head++, bias += 2 * wide) {
        out[head].bias = bias + most;
        out[head].bias_back = bias + wide + most;
    }
    return bias != NULL;
}

/* Numbers of a table that this plan has room for. */
static float *own(const float *numbers) {
    return (float *)(uintptr_t)numbers;
}

static void lay_bias(const source *s, const rt_relative *out) {
    for (size_t head = 0; head < s->heads; head++) {
        const float *from = s->bias + (int64_t)head * s->columns;
        float *bias = own(out[head].bias), *back = own(out[head].bias_back);
        for (int64_t distance = -s->most; distance <= s->most; distance++)
            bias[distance] = back[-distance] = from[row_of(s, distance)];
    }
}

/* The column of each distance; their number, 0: out of memory. */
static size_t number_columns(rt_plan *plan, const source *s, rt_relative *out) {
    size_t wide = 2 * (size_t)s->most + 1, count = 0;
    int32_t *column = rt_arena_calloc(&plan->memory, wide, sizeof *column);
    if (column == NULL) return 0;
    for (size_t i = 0; i < wide; i++) {
        int64_t distance = (int64_t)i - s->most;
        if (i == 0 || row_of(s, distance) != row_of(s, distance - 1)) count++;
        column[i] = (int32_t)count - 1;
    }
    for (size_t head = 0; head < s->heads; head++) out[head].column = column + s->most;
    return count;
}

/* Where the tables of each head will be, panels of so many columns. */
static bool reserve_tables(rt_plan *plan, const source *s, rt_relative *out) {
    size_t count = number_columns(plan, s, out), size = rt_round_up(count, RT_PANEL) * s->dim;
    float *key = NULL, *query = NULL;
    if (count > 0 && s->key != NULL) key = rt_arena_calloc(&plan->memory, s->heads * size, sizeof *key);
    if (count > 0 && s->query != NULL) query = rt_arena_calloc(&plan->memory, s->heads * size, sizeof *query);
    for (size_t head = 0; head < s->heads; head++) {
        if (key != NULL) out[head].key = key + head * size;
        if (query != NULL) out[head].query = query + head * size;
    }
    return count > 0 && (key != NULL || s->key == NULL) && (query != NULL || s->query == NULL);
}

/* The rows of a table of the graph as the columns of panels. */
static void lay_table(const source *s, const float *table, const rt_relative *head, size_t index, float *to) {
    int32_t before = -1;
    for (int64_t distance = -s->most; table != NULL && distance <= s->most; distance++) {
        int32_t c = head->column[distance];
        if (c == before) continue;
        const float *from = table + (size_t)row_of(s, distance) * s->heads * s->dim + index * s->dim;
        float *panel = to + (size_t)c / RT_PANEL * s->dim * RT_PANEL + (size_t)c % RT_PANEL;
        for (size_t d = 0; d < s->dim; d++) panel[d * RT_PANEL] = from[d];
        before = c;
    }
}

/* Everything from the tables of the graph. */
static void lay(const source *s, const rt_relative *out) {
    if (s->bias != NULL) lay_bias(s, out);
    for (size_t head = 0; head < s->heads; head++) {
        lay_table(s, s->key, &out[head], head, own(out[head].key));
        lay_table(s, s->query, &out[head], head, own(out[head].query));
    }
}

/* The tables that an earlier step has made of the same constants. */
static const rt_relative *made_before(const rt_plan *plan, const rt_step *step) {
    for (const rt_step *before = plan->steps; before < step; before++) {
        bool same = before->node->op == RT_OP_ATTENTION && before->as.attention.relative != NULL &&
                    before->as.attention.heads == step->as.attention.heads;
        for (int k = ATTENTION_INDEX; same && k <= ATTENTION_POS_QUERY; k++)
            same = before->in[k].value == step->in[k].value;
        if (same) return before->as.attention.relative;
    }
    return NULL;
}

retort_status rt_lower_relative(rt_plan *plan, rt_step *step, retort_error *err) {
    source s;
    retort_status status = find(plan, step, &s, err);
    if (status != RETORT_OK) return status;
    int tables = (s.key != NULL) + (s.query != NULL);
    if (tables > 0) {
        step->flops_row += 2.0 * tables * (double)(s.heads * s.dim);
        plan->scratch_floats =
            rt_max(plan->scratch_floats, rt_attention_scratch(plan->positions, s.dim) +
                                             rt_attention_relative_scratch(plan->positions));
    }
    step->as.attention.relative = made_before(plan, step);
    if (step->as.attention.relative != NULL) return RETORT_OK;
    rt_relative *out = rt_arena_calloc(&plan->memory, s.heads, sizeof *out);
    if (out == NULL || (s.bias != NULL && !reserve_bias(plan, &s, out)) ||
        (tables > 0 && !reserve_tables(plan, &s, out)))
        return rt_fail_nomem(err, s.heads * s.dim * (size_t)s.most * sizeof(float));
    lay(&s, out);
    step->as.attention.relative = out;
    return RETORT_OK;
}

void rt_step_refresh_relative(const rt_plan *plan, const rt_step *step) {
    source s;
    if (step->as.attention.relative != NULL && find(plan, step, &s, NULL) == RETORT_OK)
        lay(&s, step->as.attention.relative);
}
