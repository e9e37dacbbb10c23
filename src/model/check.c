/* SPDX-License-Identifier: Apache-2.0
 * Checks that a graph from a file is safe to run. The executor trusts what is checked here and by the
 * verifier, and itself only checks the batch: ids below the vocabulary, types below their number, sequences
 * no longer than the positions. */
#include "graph/ops.h"
#include "model/file.h"

#include <inttypes.h>
#include <string.h>

typedef struct check {
    const rt_graph *graph;
    const rt_config *config;
    const char *name;
    retort_error *err;
} check;

static const rt_value *input_of(const check *c, const rt_node *node, int index) {
    return rt_operand_value(c->graph, node, index);
}

static bool is_input(const rt_value *value, const char *name) {
    return value != NULL && value->input && strcmp(value->name, name) == 0;
}

static retort_status refuse(const check *c, const rt_node *node, const char *why) {
    return rt_fail(c->err, RETORT_FORMAT, "%.200s: %.120s: %s: %s", c->name, node->name,
                   rt_op_info(node->op)->text, why);
}

/* Ids, types and mask: i64, with the rows of the level. */
static retort_status check_inputs(const check *c) {
    bool ragged = c->graph->level == 3;
    bool has_ids = false;
    for (size_t i = 0; i < c->graph->value_count; i++) {
        const rt_value *v = &c->graph->values[i];
        if (!v->input) continue;
        bool ids = is_input(v, "input_ids");
        bool known = ids || (is_input(v, "token_type_ids") && c->config->types > 0) ||
                     (is_input(v, "attention_mask") && !ragged);
        bool shaped = ragged ? v->rank == 1 && v->dims[0] == RT_DIM_TOKENS
                             : v->rank == 2 && v->dims[0] == RT_DIM_BATCH && v->dims[1] == RT_DIM_SEQ;
        has_ids |= ids;
        if (!known || !shaped || v->dtype != RETORT_I64) {
            return rt_fail(c->err, RETORT_FORMAT, "%.200s: %.200s: not an input of level %d", c->name,
                           v->name, c->graph->level);
        }
    }
    return has_ids ? RETORT_OK : rt_fail(c->err, RETORT_FORMAT, "%.200s: no input_ids", c->name);
}

/* [batch, labels] per text, [batch, seq, labels] or [tokens, labels] per token, [rows, labels] per mask
 * token */
static retort_status check_output(const check *c) {
    const rt_value *out = &c->graph->values[c->graph->output];
    retort_task task = c->config->task;
    bool token = task == RETORT_TASK_TAG || task == RETORT_TASK_ANSWER;
    rt_value want = {.rank = 2, .dims = {RT_DIM_BATCH, c->config->labels}};
    if (task == RETORT_TASK_FILL) want.dims[0] = RT_DIM_MASK_TOKENS;
    if (token && c->graph->level == 3) want.dims[0] = RT_DIM_TOKENS;
    if (token && c->graph->level < 3) {
        want = (rt_value){.rank = 3, .dims = {RT_DIM_BATCH, RT_DIM_SEQ, c->config->labels}};
    }
    char expected[128], found[128];
    if (out->producer >= 0 && out->dtype == RETORT_F32 && out->rank == want.rank &&
        memcmp(out->dims, want.dims, (size_t)want.rank * sizeof *want.dims) == 0)
        return RETORT_OK;
    rt_dims_text(expected, sizeof expected, want.dims, want.rank);
    rt_dims_text(found, sizeof found, out->dims, out->rank);
    return rt_fail(c->err, RETORT_FORMAT, "%.200s: the output is %s %s, expected f32 %s", c->name,
                   retort_dtype_name(out->dtype), found, expected);
}

/* Counts pruned ids: ascending ranges after id 0, within the vocabulary; -1: they are not. */
static int64_t count_pruned(const check *c, const rt_value *pruned) {
    const int32_t *range = pruned == NULL ? NULL : pruned->data;
    int64_t end = 1, all = 0;
    for (int64_t i = 0; range != NULL && i < pruned->dims[0]; i++, range += 2) {
        if (range[0] < end || range[1] < 1 || range[1] > c->config->vocab - range[0]) return -1;
        end = (int64_t)range[0] + range[1];
        all += range[1];
    }
    return all;
}

/* Counts ids with int8 rows: ascending, in the vocabulary and not pruned; -1: they are not. */
static int64_t count_s8_rows(const check *c, const rt_value *s8_ids, const rt_value *pruned) {
    const int32_t *id = s8_ids == NULL ? NULL : s8_ids->data, *range = pruned == NULL ? NULL : pruned->data;
    int64_t count = id != NULL ? s8_ids->dims[0] : 0, pruned_count = range != NULL ? pruned->dims[0] : 0;
    for (int64_t i = 0, g = 0; i < count; i++) {
        if (id[i] < 0 || id[i] >= c->config->vocab || (i > 0 && id[i] <= id[i - 1])) return -1;
        while (g < pruned_count && id[i] >= range[2 * g] + range[2 * g + 1]) g++;
        if (g < pruned_count && id[i] >= range[2 * g]) return -1;
    }
    return count;
}

static retort_status check_embed(const check *c, const rt_node *node) {
    const rt_value *word = input_of(c, node, EMBED_WORD), *position = input_of(c, node, EMBED_POSITION),
                   *type = input_of(c, node, EMBED_TYPE);
    if (!is_input(input_of(c, node, EMBED_IDS), "input_ids") ||
        (type != NULL && !is_input(input_of(c, node, EMBED_TYPES), "token_type_ids")))
        return refuse(c, node, "ids or types are not the inputs");
    int64_t pruned = count_pruned(c, input_of(c, node, EMBED_PRUNED));
    if (pruned < 0) return refuse(c, node, "gaps are not ascending ranges of ids");
    int64_t s8_rows = count_s8_rows(c, input_of(c, node, EMBED_S8_IDS), input_of(c, node, EMBED_PRUNED));
    if (s8_rows < 0) return refuse(c, node, "s8 rows are not of ascending ids with rows");
    if (word->dims[0] < 1 || word->dims[0] < c->config->vocab - pruned - s8_rows ||
        (position != NULL && position->dims[0] < c->config->positions + c->config->after_pad) ||
        (type != NULL && type->dims[0] < c->config->types))
        return refuse(c, node, "a table has fewer rows than retort.config says");
    for (int k = 7; k < node->input_count; k++) {
        const rt_value *in = input_of(c, node, k);
        if (in != NULL && !rt_value_is_constant(in)) return refuse(c, node, "its scales are not constants");
    }
    return RETORT_OK;
}

/* Keys are the rows of all tokens, and queries the rows that `select` names. */
static retort_status check_attention(const check *c, const rt_node *node) {
    static const int64_t rows[] = {[RT_SELECT_ALL] = RT_DIM_TOKENS,
                                   [RT_SELECT_FIRST] = RT_DIM_BATCH,
                                   [RT_SELECT_MASK_TOKENS] = RT_DIM_MASK_TOKENS,
                                   [RT_SELECT_LAST] = RT_DIM_BATCH};
    const rt_value *q = input_of(c, node, ATTENTION_Q), *out = &c->graph->values[node->outputs[0]];
    for (int i = 1; i < node->attrs.parts; i++) {
        const rt_value *part = input_of(c, node, i);
        if (c->graph->level == 3 ? part->dims[0] != RT_DIM_TOKENS
                                 : part->dims[0] != RT_DIM_BATCH || part->dims[1] != RT_DIM_SEQ)
            return refuse(c, node, "keys or values are not of all tokens");
    }
    for (int k = ATTENTION_CONSTANTS; k < node->input_count; k++) {
        const rt_value *in = input_of(c, node, k);
        if (in != NULL && !rt_value_is_constant(in))
            return refuse(c, node, "what it has by distance is not constant");
    }
    rt_select select = node->attrs.select;
    if (c->graph->level < 3) {
        bool all = select == RT_SELECT_ALL && out->rank == 3 && q->dims[1] == RT_DIM_SEQ &&
                   q->dims[0] == RT_DIM_BATCH &&
                   is_input(input_of(c, node, node->attrs.parts), "attention_mask");
        return all ? RETORT_OK : refuse(c, node, "not of all tokens under attention_mask");
    }
    bool alone = node->attrs.parts == 1 && select != RT_SELECT_ALL;
    bool fits = !alone && q->rank == 2 && q->dims[0] == rows[select];
    return fits ? RETORT_OK : refuse(c, node, "queries are not the rows that select names");
}

/* Select and Pool read the rows of all tokens; mask tokens are looked for in the ids. */
static retort_status check_rows(const check *c, const rt_node *node) {
    const rt_value *x = input_of(c, node, 0), *other = input_of(c, node, 1);
    bool all = c->graph->level == 3 ? x->rank == 2 && x->dims[0] == RT_DIM_TOKENS
                                    : x->rank == 3 && x->dims[0] == RT_DIM_BATCH && x->dims[1] == RT_DIM_SEQ;
    if (!all) return refuse(c, node, "its rows are not all tokens");
    bool mask = node->op == RT_OP_POOL || node->attrs.select == RT_SELECT_LAST;
    const char *name = mask ? "attention_mask" : "input_ids";
    if (other != NULL && !is_input(other, name)) return refuse(c, node, "its second input is another one");
    return RETORT_OK;
}

static retort_status check_linear(const check *c, const rt_node *node) {
    const rt_value *weight = input_of(c, node, LINEAR_WEIGHT);
    bool packed = weight->layout != RT_LAYOUT_ROWS;
    if (!rt_value_is_constant(weight) || packed != (c->graph->level == 3)) {
        return refuse(c, node, "its weight is not a constant of the level's layout");
    }
    for (int k = 4; k < node->input_count; k++) {
        const rt_value *in = input_of(c, node, k);
        if (in != NULL && !rt_value_is_constant(in)) return refuse(c, node, "its scales are not constants");
    }
    const rt_value *columns = input_of(c, node, LINEAR_OUTLIER_COLUMNS);
    const int32_t *column = columns == NULL ? NULL : columns->data;
    for (int64_t i = 0; column != NULL && i < columns->dims[0]; i++) {
        if (column[i] < 0 || column[i] >= weight->dims[0])
            return refuse(c, node, "an outlier column is not of x");
    }
    return RETORT_OK;
}

/* Only these operators store scales with int8 rows, and only Linear reads them. */
static retort_status check_s8(const check *c, const rt_node *node) {
    for (int k = 0; k < node->input_count; k++) {
        const rt_value *in = input_of(c, node, k);
        if (in == NULL || in->dtype != RETORT_S8) continue;
        bool row = !rt_value_is_constant(in), x = node->op == RT_OP_LINEAR && k == 0;
        if (!row && !x) continue;
        rt_op maker = row ? c->graph->nodes[in->producer].op : RT_OP_COUNT;
        bool scaled = maker == RT_OP_CONVERT || maker == RT_OP_LAYER_NORM || maker == RT_OP_EMBED;
        if (!x || !scaled) return refuse(c, node, "reads int8 rows without their scales");
    }
    return RETORT_OK;
}

/* Only Linear and Embed read packed constants. */
static retort_status check_layouts(const check *c, const rt_node *node) {
    for (int k = 0; k < node->input_count; k++) {
        const rt_value *in = input_of(c, node, k);
        bool linear = node->op == RT_OP_LINEAR;
        bool weight = (k == 1 && (linear || node->op == RT_OP_EMBED)) || (k == 7 && linear);
        if (in != NULL && in->layout != RT_LAYOUT_ROWS && !weight) {
            return refuse(c, node, "reads a packed matrix");
        }
    }
    return RETORT_OK;
}

static retort_status check_node(const check *c, const rt_node *node) {
    retort_status status = check_layouts(c, node);
    if (status == RETORT_OK) status = check_s8(c, node);
    if (status != RETORT_OK) return status;
    if (node->op == RT_OP_EMBED) return check_embed(c, node);
    if (node->op == RT_OP_LINEAR) return check_linear(c, node);
    if (node->op == RT_OP_ATTENTION) return check_attention(c, node);
    return node->op == RT_OP_SELECT || node->op == RT_OP_POOL ? check_rows(c, node) : RETORT_OK;
}

/* Whether the shortest text that the task reads fits: the special tokens around nothing. */
static retort_status check_template(const check *c, const rt_tokenizer *tokenizer) {
    bool pair = c->config->task == RETORT_TASK_ANSWER;
    const retort_text shortest = {.text = "", .pair = pair ? "" : NULL};
    const rt_encode_options options = {.max_length = (size_t)c->config->max_length};
    rt_encoding encoding = {0};
    retort_error why = {0};
    retort_status status = rt_encode(tokenizer, &shortest, &options, &encoding, &why);
    rt_encoding_free(&encoding);
    if (status == RETORT_OK) return status;
    return rt_fail(c->err, status == RETORT_NOMEM ? status : RETORT_FORMAT, "%.200s: %.200s", c->name,
                   why.text);
}

static retort_status check_config(const check *c, int32_t pieces) {
    const rt_config *config = c->config;
    if (config->max_length < 1 || config->labels < 1) {
        return rt_fail(c->err, RETORT_FORMAT,
                       "%.200s: max_length %" PRId64 " and %" PRId64 " labels: expected 1 or more of both",
                       c->name, config->max_length, config->labels);
    }
    if (config->max_length > config->positions) {
        return rt_fail(c->err, RETORT_FORMAT,
                       "%.200s: max_length %" PRId64 " is over the %" PRId64 " positions", c->name,
                       config->max_length, config->positions);
    }
    if (pieces > config->vocab) {
        return rt_fail(c->err, RETORT_FORMAT,
                       "%.200s: the tokenizer has %" PRId32 " pieces, the model embeds %" PRId64, c->name,
                       pieces, config->vocab);
    }
    return RETORT_OK;
}

retort_status rt_model_check(const retort_model *model, const char *name, retort_error *err) {
    check c = {&model->graph, &model->config, name, err};
    retort_status status = check_config(&c, rt_tokenizer_describe(model->tokenizer).pieces);
    if (status == RETORT_OK) status = check_template(&c, model->tokenizer);
    if (status == RETORT_OK) status = check_inputs(&c);
    if (status == RETORT_OK) status = check_output(&c);
    for (size_t i = 0; status == RETORT_OK && i < c.graph->node_count; i++) {
        status = check_node(&c, &c.graph->nodes[i]);
    }
    return status == RETORT_OK ? rt_model_check_memory(model, err) : status;
}
