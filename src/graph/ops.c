/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OP_DECLARE(name, row) extern const rt_op_row rt_op_##row;
RT_OPS(OP_DECLARE)
#undef OP_DECLARE

static const rt_op_row *const ops[RT_OP_COUNT] = {
#define OP_ROW(name, row) [RT_OP_##name] = &rt_op_##row,
    RT_OPS(OP_ROW)
#undef OP_ROW
};

static const char *const dtype_names[] = {"f32", "f16", "bf16", "i64", "i32", "s8", "u8", "bool", NULL};
static const char *const act_names[] = {
    [RT_FN_NONE] = "none", [RT_FN_GELU] = "gelu", [RT_FN_GELU_TANH] = "gelu_tanh", [RT_FN_RELU] = "relu",
    [RT_FN_TANH] = "tanh", [RT_FN_SILU] = "silu", [RT_FN_GELU_SHORT] = NULL};
static const char *const select_names[] = {"all", "first", "mask", "last", NULL};
static const char *const pool_names[] = {"none", "mean", "max", "mean_sqrt", "weighted_mean", "sum", NULL};
static const char *const layout_names[] = {"rows", "p16", "p16_bf16", "p16_s8", "p16_s4", "rows_s4", NULL};
static const char *const dim_names[] = {"", "batch", "seq", "tokens", "rows", NULL}; /* by minus the dim */

static_assert(sizeof(rt_act) == sizeof(int) && sizeof(retort_dtype) == sizeof(int) &&
                  sizeof(rt_select) == sizeof(int) && sizeof(rt_pool_kind) == sizeof(int),
              "RT_KIND_NAME reads enums as int");

static const rt_attr_row attr_rows[] = {
    {RT_ATTR_AXIS, "axis", RT_KIND_INT64, offsetof(rt_attrs, axis), NULL},
    {RT_ATTR_DTYPE, "dtype", RT_KIND_NAME, offsetof(rt_attrs, dtype), dtype_names},
    {RT_ATTR_PERM, "perm", RT_KIND_PERM, offsetof(rt_attrs, perm), NULL},
    {RT_ATTR_EPSILON, "epsilon", RT_KIND_FLOAT, offsetof(rt_attrs, epsilon), NULL},
    {RT_ATTR_ACT, "act", RT_KIND_NAME, offsetof(rt_attrs, act), act_names},
    {RT_ATTR_HEADS, "heads", RT_KIND_INT64, offsetof(rt_attrs, heads), NULL},
    {RT_ATTR_SCALE, "scale", RT_KIND_FLOAT, offsetof(rt_attrs, scale), NULL},
    {RT_ATTR_PARTS, "parts", RT_KIND_INT, offsetof(rt_attrs, parts), NULL},
    {RT_ATTR_SELECT, "select", RT_KIND_NAME, offsetof(rt_attrs, select), select_names},
    {RT_ATTR_POOL, "pool", RT_KIND_NAME, offsetof(rt_attrs, pool), pool_names},
    {RT_ATTR_KEEPDIMS, "keepdims", RT_KIND_BOOL, offsetof(rt_attrs, keepdims), NULL},
    {RT_ATTR_TRANS_B, "trans_b", RT_KIND_BOOL, offsetof(rt_attrs, trans_b), NULL},
    {RT_ATTR_OUT_DTYPE, "narrow", RT_KIND_NAME, offsetof(rt_attrs, out_dtype), dtype_names},
    {RT_ATTR_GROUP, "group", RT_KIND_INT64, offsetof(rt_attrs, group), NULL},
    {RT_ATTR_INTEGERS, "int16", RT_KIND_BOOL, offsetof(rt_attrs, integers), NULL},
    {RT_ATTR_SHARED, "shared", RT_KIND_BOOL, offsetof(rt_attrs, shared), NULL},
    {RT_ATTR_AFTER_PAD, "after_pad", RT_KIND_INT64, offsetof(rt_attrs, after_pad), NULL},
    {RT_ATTR_GATE, "gate", RT_KIND_BOOL, offsetof(rt_attrs, gate), NULL},
    {RT_ATTR_ROTATE, "rotate", RT_KIND_INT64, offsetof(rt_attrs, rotate), NULL},
    {RT_ATTR_WINDOW, "window", RT_KIND_INT64, offsetof(rt_attrs, window), NULL},
    {RT_ATTR_KEY_HEADS, "key_heads", RT_KIND_INT64, offsetof(rt_attrs, key_heads), NULL},
    {RT_ATTR_RMS, "rms", RT_KIND_BOOL, offsetof(rt_attrs, rms), NULL},
    {RT_ATTR_RANGE, "least", RT_KIND_FLOAT, offsetof(rt_attrs, range_min), NULL},
    {RT_ATTR_RANGE, "largest", RT_KIND_FLOAT, offsetof(rt_attrs, range_max), NULL},
};

static_assert((int)EMBED_OPERANDS == (int)RT_MAX_INPUTS && (int)LINEAR_OPERANDS <= (int)RT_MAX_INPUTS,
              "every operand has a place");

const rt_op_row *rt_op_info(rt_op op) {
    return ops[op];
}

const rt_attr_row *rt_attr_rows(size_t *count) {
    *count = sizeof attr_rows / sizeof *attr_rows;
    return attr_rows;
}

size_t rt_attr_size(rt_attr_kind kind) {
    static const size_t sizes[] = {
        [RT_KIND_INT64] = sizeof(int64_t), [RT_KIND_INT] = sizeof(int),
        [RT_KIND_FLOAT] = sizeof(float),   [RT_KIND_BOOL] = sizeof(bool),
        [RT_KIND_NAME] = sizeof(int),      [RT_KIND_PERM] = sizeof((rt_attrs){0}.perm),
    };
    return sizes[kind];
}

static bool same_attr(const rt_attr_row *row, const rt_attrs *a, const rt_attrs *b) {
    return memcmp((const char *)a + row->offset, (const char *)b + row->offset, rt_attr_size(row->kind)) == 0;
}

bool rt_attr_is_zero(const rt_attr_row *row, const rt_attrs *attrs) {
    static const rt_attrs zero;
    return row->kind == RT_KIND_PERM ? attrs->perm_count == 0 : same_attr(row, attrs, &zero);
}

bool rt_attrs_equal(const rt_attrs *a, const rt_attrs *b) {
    bool same = a->perm_count == b->perm_count;
    for (size_t i = 0; same && i < sizeof attr_rows / sizeof *attr_rows; i++) {
        same = same_attr(&attr_rows[i], a, b);
    }
    return same;
}

static bool text_is(const char *text, size_t length, const char *name) {
    return strlen(name) == length && memcmp(text, name, length) == 0;
}

/* Index of the text in a NULL-terminated list, or -1. */
static int find_name(const char *const *names, const char *text, size_t length) {
    for (int i = 0; names[i] != NULL; i++) {
        if (text_is(text, length, names[i])) return i;
    }
    return -1;
}

bool rt_op_find(const char *text, size_t length, rt_op *out) {
    for (int i = 0; i < RT_OP_COUNT; i++) {
        if (!text_is(text, length, ops[i]->text)) continue;
        *out = (rt_op)i;
        return true;
    }
    return false;
}

bool rt_dtype_find(const char *text, size_t length, retort_dtype *out) {
    int i = find_name(dtype_names, text, length);
    if (i >= 0) *out = (retort_dtype)i;
    return i >= 0;
}

const char *rt_act_name(rt_act act) {
    return act_names[act];
}

const char *rt_layout_name(rt_layout layout) {
    return layout_names[layout];
}

bool rt_layout_find(const char *text, size_t length, rt_layout *out) {
    int i = find_name(layout_names, text, length);
    if (i >= 0) *out = (rt_layout)i;
    return i >= 0;
}

bool rt_dim_find(const char *text, size_t length, int64_t *out) {
    int i = length == 0 ? -1 : find_name(dim_names, text, length);
    if (i > 0) *out = -i;
    return i > 0;
}

const char *rt_dims_text(char *out, size_t size, const int64_t *dims, int rank) {
    size_t at = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && at < size; i++) {
        const char *comma = i > 0 ? ", " : "";
        bool symbol = dims[i] < 0 && dims[i] >= RT_DIM_MASK_TOKENS;
        at += (size_t)(symbol ? snprintf(out + at, size - at, "%s%s", comma, dim_names[-dims[i]])
                              : snprintf(out + at, size - at, "%s%" PRId64, comma, dims[i]));
    }
    if (at < size) snprintf(out + at, size - at, "]");
    return out;
}

/* The part that an operand belongs to, by operator and input. */
static const struct operand_row {
    rt_op op;
    int input;
    rt_part part;
    bool scale;
} operand_rows[] = {
#define OPERAND_ROW(op, name, part, scale) {RT_OP_##op, op##_##name, RT_PART_##part, scale},
    RT_OPERANDS(OPERAND_ROW)
#undef OPERAND_ROW
};

void rt_graph_uses(const rt_graph *graph, rt_use *uses) {
    for (size_t i = 0; i < graph->value_count; i++) uses[i] = (rt_use){RT_PART_OTHER, false};
    for (size_t i = graph->node_count; i-- > 0;) { /* backwards, so that the first reader decides */
        const rt_node *node = &graph->nodes[i];
        for (size_t r = sizeof operand_rows / sizeof *operand_rows; r-- > 0;) {
            const struct operand_row *row = &operand_rows[r];
            if (row->part == RT_PART_OTHER || node->op != row->op || row->input >= node->input_count)
                continue;
            int value = node->inputs[row->input];
            if (value >= 0) uses[value] = (rt_use){row->part, row->scale};
        }
    }
}

bool rt_value_is_inline(const rt_value *value) {
    if (value->layout != RT_LAYOUT_ROWS || value->rank > 1) return false;
    if (value->dtype == RETORT_F32) return value->rank == 0;
    return value->dtype == RETORT_I64 && (value->rank == 0 || value->dims[0] <= 16);
}

bool rt_name_char(unsigned char c) {
    return c > ' ' && c < 0x7f && strchr(",()=[]{}", c) == NULL;
}

bool rt_name_valid(const char *name) {
    size_t length = 0;
    while (length <= RT_NAME_MAX && rt_name_char((unsigned char)name[length])) length++;
    return length > 0 && length <= RT_NAME_MAX && name[length] == '\0' && strcmp(name, "_") != 0;
}
