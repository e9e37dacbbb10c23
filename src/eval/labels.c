/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Sets ---- */

/* Adds a name that the index does not have. */
static bool add_name(rt_label_set *labels, rt_arena *arena, size_t line, const retort_text *value,
                     int *known) {
    const char *name = rt_arena_text(arena, value->text, value->length);
    size_t count = labels->count + 1;
    bool made = name != NULL && count <= INT32_MAX &&
                rt_grow((void **)&labels->names, &labels->name_capacity, count, sizeof *labels->names) &&
                rt_grow((void **)&labels->lines, &labels->line_capacity, count, sizeof *labels->lines) &&
                rt_names_add(&labels->index, name, (int)labels->count, known);
    if (!made || *known >= 0) return made; /* a name with a NUL ends there, and may be known */
    labels->names[labels->count] = name;
    labels->lines[labels->count] = line;
    *known = (int)labels->count++;
    return true;
}

retort_status rt_labels_add(rt_label_set *labels, rt_arena *arena, size_t line, const retort_text *value,
                            int64_t *label, retort_error *err) {
    int known = rt_names_find(&labels->index, value->text, value->length);
    if (known < 0 && !add_name(labels, arena, line, value, &known))
        return rt_fail_nomem(err, (labels->count + 1) * sizeof *labels->names);
    *label = known;
    return RETORT_OK;
}

void rt_labels_free(rt_label_set *labels) {
    free((void *)labels->names);
    free(labels->lines);
    rt_names_free(&labels->index);
    *labels = (rt_label_set){0};
}

/* ---- Numbers ---- */

bool rt_is_whole(const char *name) {
    const char *from = name + (name[0] == '-' || name[0] == '+');
    size_t length = strspn(from, "0123456789");
    const char *rest = from + length;
    if (rest[0] == '.') rest += 1 + strspn(rest + 1, "0");
    return length > 0 && rest[0] == '\0';
}

static size_t digits(const char *text, size_t length, size_t at, double *value) {
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) *value = *value * 10 + (text[at] - '0');
    return at;
}

bool rt_parse_number(const retort_text *field, double *out) {
    const char *text = field->text;
    size_t length = field->length, at = length > 0 && (text[0] == '-' || text[0] == '+'), from = at;
    double value = 0, exponent = 0;
    at = digits(text, length, at, &value);
    size_t seen = at - from, fraction = 0;
    if (at < length && text[at] == '.') {
        size_t end = digits(text, length, at + 1, &value);
        fraction = end - at - 1;
        at = end;
    }
    if (seen + fraction == 0) return false;
    if (at + 1 < length && (text[at] == 'e' || text[at] == 'E')) {
        bool minus = text[at + 1] == '-';
        from = at + 1 + (minus || text[at + 1] == '+');
        at = digits(text, length, from, &exponent);
        if (at == from) return false;
        if (minus) exponent = -exponent;
    }
    exponent -= (double)fraction;
    value = exponent < 0 ? value / pow(10, -exponent) : value * pow(10, exponent);
    *out = text[0] == '-' ? -value : value;
    return at == length && isfinite(*out);
}
