/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops.h"

#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>

static void print_shape(rt_buffer *out, const rt_value *value) {
    char text[RT_MAX_RANK * 24];
    rt_buffer_text(out, rt_dims_text(text, sizeof text, value->dims, value->rank));
}

/* Small integer vectors and float scalars are part of the text: shapes, axes, factors. */
static void print_data(rt_buffer *out, const rt_value *value) {
    const int64_t *numbers = value->data;
    size_t count;
    if (!rt_value_is_inline(value) || value->data == NULL) return;
    rt_buffer_text(out, " = {");
    if (value->dtype == RETORT_F32) {
        rt_buffer_format(out, "%.9g", (double)*(const float *)value->data);
    } else if (rt_shape_count(value->dims, value->rank, &count)) {
        for (size_t i = 0; i < count; i++) rt_buffer_format(out, "%s%" PRId64, i > 0 ? ", " : "", numbers[i]);
    }
    rt_buffer_text(out, "}");
}

static void print_source(rt_buffer *out, const rt_value *value) {
    rt_buffer_format(out, "%s %s %s ", value->input ? "input" : "const", value->name,
                     retort_dtype_name(value->dtype));
    if (!value->input) rt_buffer_format(out, "%s ", rt_layout_name(value->layout));
    print_shape(out, value);
    if (!value->input) print_data(out, value);
    rt_buffer_text(out, "\n");
}

static void print_attr(rt_buffer *out, const rt_attr_row *row, const rt_attrs *attrs) {
    const void *at = (const char *)attrs + row->offset;
    rt_buffer_format(out, " %s=", row->text);
    if (row->kind == RT_KIND_INT64) rt_buffer_format(out, "%" PRId64, *(const int64_t *)at);
    if (row->kind == RT_KIND_INT) rt_buffer_format(out, "%d", *(const int *)at);
    if (row->kind == RT_KIND_FLOAT) rt_buffer_format(out, "%.9g", (double)*(const float *)at);
    if (row->kind == RT_KIND_BOOL) rt_buffer_text(out, "1");
    if (row->kind == RT_KIND_NAME) rt_buffer_text(out, row->names[*(const int *)at]);
    if (row->kind != RT_KIND_PERM) return;
    for (int i = 0; i < attrs->perm_count; i++) {
        rt_buffer_format(out, "%s%d", i > 0 ? ", " : "[", attrs->perm[i]);
    }
    rt_buffer_text(out, "]");
}

static void print_node(rt_buffer *out, const rt_graph *graph, const rt_node *node) {
    size_t count;
    const rt_attr_row *rows = rt_attr_rows(&count);
    rt_buffer_format(out, "%s = %s(", node->name, rt_op_info(node->op)->text);
    for (int i = 0; i < node->input_count; i++) {
        const char *name = node->inputs[i] < 0 ? "_" : graph->values[node->inputs[i]].name;
        rt_buffer_format(out, "%s%s", i > 0 ? ", " : "", name);
    }
    rt_buffer_text(out, ")");
    for (size_t i = 0; i < count; i++) {
        if (!rt_attr_is_zero(&rows[i], &node->attrs)) print_attr(out, &rows[i], &node->attrs);
    }
    rt_buffer_text(out, "\n");
}

static void print_graph(rt_buffer *out, const rt_graph *graph) {
    rt_buffer_format(out, "graph level=%d mask_id=%" PRId64 "\n", graph->level, graph->mask_id);
    for (size_t i = 0; i < graph->value_count; i++) {
        if (graph->values[i].input) print_source(out, &graph->values[i]);
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        if (rt_value_is_constant(&graph->values[i])) print_source(out, &graph->values[i]);
    }
    for (size_t i = 0; i < graph->node_count; i++) print_node(out, graph, &graph->nodes[i]);
    if (graph->output >= 0) rt_buffer_format(out, "output %s\n", graph->values[graph->output].name);
}

retort_status rt_graph_text(const rt_graph *graph, rt_buffer *out) {
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0); /* a decimal point in every locale */
    if (plain == (locale_t)0) return RETORT_NOMEM;
    locale_t before = uselocale(plain);
    print_graph(out, graph);
    uselocale(before);
    freelocale(plain);
    return out->failed ? RETORT_NOMEM : RETORT_OK;
}

retort_status rt_graph_print(const rt_graph *graph, retort_write_fn write, void *user) {
    rt_buffer out = {0};
    retort_status status = rt_graph_text(graph, &out);
    if (status == RETORT_OK && write(user, out.data, out.length) != 0) status = RETORT_CANCELLED;
    rt_buffer_free(&out);
    return status;
}
