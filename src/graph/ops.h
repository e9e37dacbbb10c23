/* SPDX-License-Identifier: Apache-2.0
 * Tables of operators and attributes, and all names in the text of a graph. */
#ifndef RT_GRAPH_OPS_H
#define RT_GRAPH_OPS_H

#include "graph/graph.h"

/* The type of an attribute in rt_attrs, and how it is written. */
typedef enum rt_attr_kind {
    RT_KIND_INT64, /* int64_t */
    RT_KIND_INT,   /* int */
    RT_KIND_FLOAT, /* float */
    RT_KIND_BOOL,  /* bool: 1 */
    RT_KIND_NAME,  /* an enum of int's size, by its name */
    RT_KIND_PERM   /* perm and perm_count: [0, 2, 1, 3] */
} rt_attr_kind;

typedef struct rt_attr_row {
    unsigned bit;
    const char *text;
    rt_attr_kind kind;
    size_t offset;            /* of the member in rt_attrs */
    const char *const *names; /* RT_KIND_NAME: NULL-terminated, by value */
} rt_attr_row;

/* All attributes, in the order of printing; *count of them. */
const rt_attr_row *rt_attr_rows(size_t *count);
/* Whether the attribute has its default, zero, and is not printed. */
bool rt_attr_is_zero(const rt_attr_row *row, const rt_attrs *attrs);
/* Size of an attribute of that kind in rt_attrs. */
size_t rt_attr_size(rt_attr_kind kind);
/* Whether all attributes are equal, bit by bit. */
bool rt_attrs_equal(const rt_attrs *a, const rt_attrs *b);

/* Whether the text contains the data of the constant: i64 scalars and vectors of at most 16, float
 * scalars. */
bool rt_value_is_inline(const rt_value *value);

/* "none", "gelu", …, of an activation that graphs have: any but RT_FN_GELU_SHORT. */
const char *rt_act_name(rt_act act);
/* Reverse of retort_dtype_name, rt_layout_name, and of the names of symbolic dims ("batch", …). */
bool rt_dtype_find(const char *text, size_t length, retort_dtype *out);
bool rt_layout_find(const char *text, size_t length, rt_layout *out);
bool rt_dim_find(const char *text, size_t length, int64_t *out);

/* Whether the text can contain the name: 1…512 printable ASCII characters, none of ",()=[]{}", not "_". */
enum { RT_NAME_MAX = 512, RT_GRAPH_MAX = 100000 /* values, and nodes, of a graph */ };
bool rt_name_char(unsigned char c);
bool rt_name_valid(const char *name);

#endif
