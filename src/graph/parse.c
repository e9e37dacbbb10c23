/* SPDX-License-Identifier: Apache-2.0
 * Parses the text of a graph, line by line: the header; "input"; "const"; nodes "name = Op(…)"; and "output",
 * the last. */
#include "base/cursor.h"
#include "base/names.h"
#include "graph/ops.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>

typedef struct word {
    const char *text;
    size_t length;
} word;

typedef struct parser {
    const char *name;
    rt_cursor at;
    size_t line;
    rt_graph *graph;
    rt_names values;
    rt_lookup_fn lookup;
    void *user;
    retort_error *err;
} parser;

/* ---- Words and marks ---- */

/* The next byte after spaces, '\n' at the end; does not consume it. */
static char peek(parser *p) {
    while (rt_cursor_left(&p->at) > 0 && *p->at.at == ' ') p->at.at++;
    return rt_cursor_left(&p->at) > 0 ? (char)*p->at.at : '\n';
}

static retort_status expected(parser *p, const char *what) {
    char found[48] = "the end of the line";
    size_t n = 0;
    peek(p);
    while (n + 1 < sizeof found && n < rt_cursor_left(&p->at) && p->at.at[n] != '\n') {
        found[n] = (char)(p->at.at[n] >= ' ' && p->at.at[n] < 0x7f ? p->at.at[n] : '?');
        n++;
    }
    if (n > 0) found[n] = '\0';
    return rt_fail(p->err, RETORT_FORMAT, "%.200s: line %zu: expected %s, found: %s", p->name, p->line, what,
                   found);
}

static bool take_mark(parser *p, char mark) {
    if (peek(p) != mark) return false;
    if (rt_cursor_left(&p->at) > 0) p->at.at++;
    return true;
}

/* Takes a run of name characters, which may be empty. */
static word take_word(parser *p) {
    peek(p);
    word w = {(const char *)p->at.at, 0};
    while (rt_cursor_left(&p->at) > 0 && rt_name_char(*p->at.at)) {
        p->at.at++;
        w.length++;
    }
    return w;
}

static bool is_word(word w, const char *text) {
    return w.length == strlen(text) && memcmp(w.text, text, w.length) == 0;
}

/* Copies the word as a string; false if it does not fit. */
static bool word_text(word w, char *out, size_t size) {
    if (w.length == 0 || w.length >= size) return false;
    memcpy(out, w.text, w.length);
    out[w.length] = '\0';
    return true;
}

static bool word_number(word w, int64_t *out) {
    char text[32], *end;
    if (!word_text(w, text, sizeof text)) return false;
    errno = 0;
    *out = strtoimax(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool word_float(word w, float *out) {
    char text[48], *end;
    if (!word_text(w, text, sizeof text)) return false;
    *out = strtof(text, &end);
    return *end == '\0';
}

/* Takes a new name. */
static retort_status take_name(parser *p, char out[RT_NAME_MAX + 1]) {
    word w = take_word(p);
    if (!word_text(w, out, RT_NAME_MAX + 1) || !rt_name_valid(out)) {
        p->at.at = (const uint8_t *)w.text;
        return expected(p, "a name of 1 to 512 characters");
    }
    return RETORT_OK;
}

/* ---- Shapes and values ---- */

/* [batch, 384]: integers and symbols */
static retort_status take_shape(parser *p, int *rank, int64_t dims[RT_MAX_RANK]) {
    *rank = 0;
    if (!take_mark(p, '[')) return expected(p, "[");
    while (!take_mark(p, ']')) {
        if (*rank == RT_MAX_RANK) return expected(p, "no more than 8 dims");
        if (*rank > 0 && !take_mark(p, ',')) return expected(p, "a comma or ]");
        word w = take_word(p);
        bool number = word_number(w, &dims[*rank]) && dims[*rank] >= 0;
        if (!number && !rt_dim_find(w.text, w.length, &dims[*rank])) {
            p->at.at = (const uint8_t *)w.text;
            return expected(p, "a dim: a number, batch, seq, tokens or rows");
        }
        ++*rank;
    }
    return RETORT_OK;
}

/* Adds the names of the newest values to the index. */
static retort_status index_values(parser *p, size_t from) {
    for (size_t i = from; i < p->graph->value_count; i++) {
        int known;
        const char *name = p->graph->values[i].name;
        if (!rt_names_add(&p->values, name, (int)i, &known)) return rt_fail_nomem(p->err, p->values.capacity);
        if (known >= 0) {
            return rt_fail(p->err, RETORT_FORMAT, "%.200s: line %zu: a second value %.200s", p->name, p->line,
                           name);
        }
    }
    return RETORT_OK;
}

/* Ends a line: reports the fault of the graph, or indexes the new names. */
static retort_status settle_line(parser *p, int made, size_t values_before) {
    if (made >= 0) return index_values(p, values_before);
    return rt_fail(p->err, p->graph->fault.status, "%.200s: line %zu: %s", p->name, p->line,
                   p->graph->fault.text);
}

static retort_status parse_input(parser *p) {
    char name[RT_NAME_MAX + 1];
    retort_dtype dtype;
    int rank;
    int64_t dims[RT_MAX_RANK];
    size_t before = p->graph->value_count;
    retort_status status = take_name(p, name);
    if (status != RETORT_OK) return status;
    word w = take_word(p);
    if (!rt_dtype_find(w.text, w.length, &dtype)) return expected(p, "a dtype before this");
    status = take_shape(p, &rank, dims);
    if (status != RETORT_OK) return status;
    return settle_line(p, rt_graph_input(p->graph, name, dtype, rank, dims), before);
}

/* {0, -1, 12, 64} or {0.5} */
static retort_status take_data(parser *p, const rt_value *shape, void *data) {
    size_t count;
    if (!rt_shape_count(shape->dims, shape->rank, &count) || !take_mark(p, '{')) return expected(p, "{");
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !take_mark(p, ',')) return expected(p, "a comma and one more number");
        word w = take_word(p);
        bool read = shape->dtype == RETORT_F32 ? word_float(w, (float *)data + i)
                                               : word_number(w, (int64_t *)data + i);
        if (!read) return expected(p, "a number before this");
    }
    return take_mark(p, '}') ? RETORT_OK : expected(p, "}");
}

/* Looks up the data of a constant, of which there must be enough. */
static retort_status look_up(parser *p, const rt_value *value, const void **data) {
    size_t bytes, count;
    rt_tensor tensor;
    if (p->lookup == NULL) return RETORT_OK;
    retort_status status = p->lookup(p->user, p->graph, value, &tensor);
    if (status == RETORT_NOMEM) return rt_fail_nomem(p->err, 0);
    if (status != RETORT_OK) {
        return rt_fail(p->err, status, "%.200s: line %zu: no tensor %.200s", p->name, p->line, value->name);
    }
    if (tensor.dtype != value->dtype || !rt_value_bytes(value, &bytes) ||
        !rt_shape_count(tensor.shape, tensor.rank, &count) ||
        !rt_mul(count, rt_dtype_size(tensor.dtype), &count) || count < bytes)
        return rt_fail(p->err, RETORT_FORMAT, "%.200s: line %zu: the tensor %.200s is smaller, or not %s",
                       p->name, p->line, value->name, retort_dtype_name(value->dtype));
    *data = tensor.data;
    return RETORT_OK;
}

static retort_status parse_constant(parser *p) {
    char name[RT_NAME_MAX + 1];
    rt_value shape = {.name = name, .producer = -1};
    const void *data = NULL;
    size_t before = p->graph->value_count, bytes;
    retort_status status = take_name(p, name);
    if (status != RETORT_OK) return status;
    word w = take_word(p);
    if (!rt_dtype_find(w.text, w.length, &shape.dtype)) return expected(p, "a dtype before this");
    w = take_word(p);
    if (!rt_layout_find(w.text, w.length, &shape.layout)) return expected(p, "a layout before this");
    status = take_shape(p, &shape.rank, shape.dims);
    if (status != RETORT_OK) return status;
    if (take_mark(p, '=')) {
        if (!rt_value_is_inline(&shape) || !rt_value_bytes(&shape, &bytes)) {
            return expected(p, "the end of the line: this constant is too big for the text");
        }
        void *own = rt_graph_alloc(p->graph, bytes);
        if (own == NULL) return rt_fail_nomem(p->err, bytes);
        status = take_data(p, &shape, own);
        data = own;
    } else {
        status = look_up(p, &shape, &data);
    }
    if (status != RETORT_OK) return status;
    int made = rt_graph_constant(p->graph, name, shape.dtype, shape.layout, shape.rank, shape.dims, data);
    return settle_line(p, made, before);
}

/* ---- Nodes ---- */

static bool take_perm(parser *p, rt_attrs *attrs) {
    int64_t axis;
    if (!take_mark(p, '[')) return false;
    for (int i = 0; i < 4; i++) {
        if (i > 0 && !take_mark(p, ',')) break;
        if (!word_number(take_word(p), &axis) || axis < 0 || axis >= 4) return false;
        attrs->perm[i] = (int)axis;
        attrs->perm_count = i + 1;
    }
    return take_mark(p, ']');
}

/* Takes the value of an attribute. */
static bool take_attr(parser *p, const rt_attr_row *row, rt_attrs *attrs) {
    void *at = (char *)attrs + row->offset;
    int64_t number;
    if (row->kind == RT_KIND_PERM) return take_perm(p, attrs);
    word w = take_word(p);
    if (row->kind == RT_KIND_FLOAT) return word_float(w, at);
    if (row->kind == RT_KIND_NAME) {
        for (int i = 0; row->names[i] != NULL; i++) {
            if (is_word(w, row->names[i])) return memcpy(at, &i, sizeof i) != NULL;
        }
        return false;
    }
    if (!word_number(w, &number)) return false;
    if (row->kind == RT_KIND_BOOL) {
        *(bool *)at = number != 0;
        return number == 0 || number == 1;
    }
    if (row->kind == RT_KIND_INT) {
        *(int *)at = (int)number;
        return number >= INT32_MIN && number <= INT32_MAX;
    }
    *(int64_t *)at = number;
    return true;
}

static retort_status parse_attrs(parser *p, rt_attrs *attrs) {
    size_t count;
    const rt_attr_row *rows = rt_attr_rows(&count);
    for (word w = take_word(p); w.length > 0; w = take_word(p)) {
        const rt_attr_row *row = NULL;
        for (size_t i = 0; i < count; i++) {
            if (is_word(w, rows[i].text)) row = &rows[i];
        }
        if (row == NULL || !take_mark(p, '=') || !take_attr(p, row, attrs)) {
            return expected(p, "attribute=value before this");
        }
    }
    return RETORT_OK;
}

/* (a, _, b:0) into value indices */
static retort_status parse_inputs(parser *p, int *count, int inputs[RT_MAX_INPUTS]) {
    *count = 0;
    if (!take_mark(p, '(')) return expected(p, "(");
    while (!take_mark(p, ')')) {
        if (*count == RT_MAX_INPUTS) return expected(p, "no more than 13 inputs");
        if (*count > 0 && !take_mark(p, ',')) return expected(p, "a comma or )");
        word w = take_word(p);
        inputs[*count] = is_word(w, "_") ? -1 : rt_names_find(&p->values, w.text, w.length);
        if (inputs[*count] < 0 && !is_word(w, "_")) {
            p->at.at = (const uint8_t *)w.text;
            return expected(p, "a value of a line above");
        }
        ++*count;
    }
    return RETORT_OK;
}

static retort_status parse_node(parser *p, word first) {
    char name[RT_NAME_MAX + 1];
    rt_op op;
    int count, inputs[RT_MAX_INPUTS];
    rt_attrs attrs = {0};
    size_t before = p->graph->value_count;
    if (!word_text(first, name, sizeof name) || !take_mark(p, '=')) {
        return expected(p, "a name of 1 to 512 characters and = before this");
    }
    word w = take_word(p);
    if (!rt_op_find(w.text, w.length, &op)) {
        p->at.at = (const uint8_t *)w.text;
        return expected(p, "an operator");
    }
    retort_status status = parse_inputs(p, &count, inputs);
    if (status == RETORT_OK) status = parse_attrs(p, &attrs);
    if (status != RETORT_OK) return status;
    return settle_line(p, rt_graph_node(p->graph, op, name, count, inputs, &attrs), before);
}

/* ---- Lines ---- */

static retort_status parse_header(parser *p) {
    int64_t level = -1;
    bool read = is_word(take_word(p), "graph") && is_word(take_word(p), "level") && take_mark(p, '=') &&
                word_number(take_word(p), &level) && is_word(take_word(p), "mask_id") && take_mark(p, '=') &&
                word_number(take_word(p), &p->graph->mask_id);
    if (!read || level < 0 || level > 3) return expected(p, "graph level=0…3 mask_id=N around this");
    p->graph->level = (int)level;
    return RETORT_OK;
}

static retort_status parse_output(parser *p) {
    word w = take_word(p);
    p->graph->output = rt_names_find(&p->values, w.text, w.length);
    if (p->graph->output >= 0) return RETORT_OK;
    p->at.at = (const uint8_t *)w.text;
    return expected(p, "a value of a line above");
}

static retort_status parse_line(parser *p) {
    if (p->line == 1) return parse_header(p);
    word w = take_word(p);
    if (peek(p) == '=') return parse_node(p, w); /* a node may be named like a keyword */
    if (is_word(w, "input")) return parse_input(p);
    if (is_word(w, "const")) return parse_constant(p);
    if (is_word(w, "output")) return parse_output(p);
    return expected(p, "input, const, output or name = before this");
}

static retort_status parse_lines(parser *p) {
    retort_status status = RETORT_OK;
    do {
        p->line++;
        status = parse_line(p);
        if (status == RETORT_OK && !take_mark(p, '\n')) status = expected(p, "the end of the line");
    } while (status == RETORT_OK && p->graph->output < 0 && rt_cursor_left(&p->at) > 0);
    if (status == RETORT_OK && rt_cursor_left(&p->at) > 0) status = expected(p, "nothing after the output");
    return status;
}

retort_status rt_graph_parse(rt_graph *out, const char *name, const char *text, size_t length,
                             rt_lookup_fn lookup, void *user, retort_error *err) {
    rt_graph graph = {.output = -1};
    parser p = {.name = name,
                .at = rt_cursor_make(text, length),
                .graph = &graph,
                .lookup = lookup,
                .user = user,
                .err = err};
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0); /* a decimal point in every locale */
    if (plain == (locale_t)0) return rt_fail_nomem(err, 0);
    locale_t before = uselocale(plain);
    retort_status status = parse_lines(&p);
    uselocale(before);
    freelocale(plain);
    rt_names_free(&p.values);
    if (status == RETORT_OK) {
        status = rt_graph_verify(&graph, err);
        if (status != RETORT_OK) rt_fail_in(err, status, name);
    }
    if (status == RETORT_OK) {
        *out = graph;
    } else {
        rt_graph_free(&graph);
    }
    return status;
}
