/* SPDX-License-Identifier: Apache-2.0
 * A graph's text by its words: each is replaced by one of its kind, so that most texts still parse. */
#include "mutate.h"

#include "graph/ops.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct span {
    const char *text;
    size_t length;
} span;
typedef struct spans {
    span *items;
    size_t count, capacity;
} spans;

static void add_span(spans *list, const char *text, size_t length) {
    if (!rt_grow((void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items)) abort();
    list->items[list->count++] = (span){text, length};
}

static spans lines_of(const char *text) {
    spans lines = {0};
    for (const char *end; *text != '\0'; text = *end == '\0' ? end : end + 1) {
        end = strchrnul(text, '\n');
        add_span(&lines, text, (size_t)(end - text));
    }
    return lines;
}

static bool in_word(char c) {
    return c != '\0' && strchr(" \n,=()[]{}", c) == NULL;
}

static spans words_of(const char *text, size_t length) {
    spans words = {0};
    for (size_t at = 0, from; at < length; at++) {
        for (from = at; at < length && in_word(text[at]); at++) continue;
        if (at > from) add_span(&words, text + from, at - from);
    }
    return words;
}

static bool is_text(span s, const char *text) {
    return strlen(text) == s.length && memcmp(s.text, text, s.length) == 0;
}

static const char *const dims[] = {"batch", "seq", "tokens", "rows"};
static const char *const dtypes[] = {"f32", "f16", "bf16", "i64", "i32", "s8", "u8", "bool"};
static const char *const layouts[] = {"rows", "p16", "p16_bf16", "p16_s8", "p16_s4", "rows_s4"};
static const char *const choices[] = {"first", "mask", "all", "gelu", "relu",     "tanh",
                                      "none",  "mean", "max", "cls",  "gelu_tanh"};
static const struct {
    const char *const *words;
    size_t count;
} kinds[] = {
    {dtypes, sizeof dtypes / sizeof *dtypes},
    {layouts, sizeof layouts / sizeof *layouts},
    {dims, sizeof dims / sizeof *dims},
    {choices, sizeof choices / sizeof *choices},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool is_number(span s) {
    return isdigit((unsigned char)s.text[0]) || (s.length > 1 && s.text[0] == '-');
}

static void put_number(dice *d, rt_buffer *out, span old) {
    static const char *const floats[] = {"nan", "inf", "1e38", "-0", "1e-45", "0.5"};
    long long value = strtoll(old.text, NULL, 10);
    if (once_in(d, 8)) {
        rt_buffer_text(out, PICK(d, floats));
    } else if (once_in(d, 8)) {
        rt_buffer_text(out, PICK(d, dims));
    } else if (once_in(d, 3) && value < INT32_MAX && value > INT32_MIN) {
        rt_buffer_format(out, "%lld", once_in(d, 2) ? value * 2 : value + (long long)roll(d, 3) - 1);
    } else {
        rt_buffer_format(out, "%lld", (long long)odd_number(d));
    }
}

/* Another word of the kind that `old` has; a name becomes one that stands elsewhere. */
static void put_other(dice *d, rt_buffer *out, span old, const spans *words) {
    rt_op op;
    size_t count;
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t i = 0; i < kinds[k].count; i++) {
            if (!is_text(old, kinds[k].words[i]) || (k == 1 && i == 0 && once_in(d, 2))) continue;
            rt_buffer_text(out, kinds[k].words[roll(d, kinds[k].count)]);
            return;
        }
    }
    const rt_attr_row *rows = rt_attr_rows(&count);
    for (size_t i = 0; i < count; i++) {
        if (!is_text(old, rows[i].text)) continue;
        rt_buffer_text(out, rows[roll(d, count)].text);
        return;
    }
    if (is_number(old)) {
        put_number(d, out, old);
    } else if (rt_op_find(old.text, old.length, &op)) {
        rt_buffer_text(out, rt_op_info((rt_op)roll(d, RT_OP_COUNT))->text);
    } else if (once_in(d, 6)) {
        rt_buffer_text(out, "_");
    } else {
        span name = words->items[roll(d, words->count)];
        rt_buffer_append(out, name.text, name.length);
    }
}

/* The line with one word replaced, taken out or doubled, or with an attribute more. */
static void put_changed(dice *d, rt_buffer *out, span line, const spans *all) {
    spans words = words_of(line.text, line.length);
    size_t count, kind = roll(d, 10);
    const rt_attr_row *rows = rt_attr_rows(&count);
    if (words.count == 0 || kind == 0) {
        rt_buffer_append(out, line.text, line.length);
        rt_buffer_format(out, " %s=%lld", rows[roll(d, count)].text, (long long)odd_number(d));
        free(words.items);
        return;
    }
    span old = words.items[roll(d, words.count)], other = words.items[roll(d, words.count)];
    const char *after = old.text + old.length, *end = line.text + line.length;
    bool listed = (after < end && *after == ',') || (old.text > line.text && old.text[-1] == ' ');
    rt_buffer_append(out, line.text, (size_t)(old.text - line.text));
    if (kind == 1 && listed) { /* out of its list */
        after += after < end && *after == ',' ? 2 : 0;
    } else if (kind == 2) {
        rt_buffer_append(out, old.text, old.length);
        rt_buffer_format(out, ", %.*s", (int)other.length, other.text);
    } else if (kind == 3) {
        rt_buffer_append(out, other.text, other.length);
    } else {
        put_other(d, out, old, all);
    }
    if (after < end) rt_buffer_append(out, after, (size_t)(end - after));
    free(words.items);
}

char *change_graph(dice *d, const char *text) {
    rt_buffer out = {0};
    spans lines = lines_of(text), words = words_of(text, strlen(text));
    size_t at = roll(d, lines.count), with = roll(d, lines.count), kind = roll(d, 12);
    for (size_t i = 0; i < lines.count && words.count > 0; i++) {
        span line = lines.items[kind == 0 && i == at ? with : kind == 0 && i == with ? at : i];
        if (kind == 1 && i == at) continue;
        bool changed = kind > 2 && i == at;
        if (changed) {
            put_changed(d, &out, line, &words);
        } else {
            rt_buffer_append(&out, line.text, line.length);
        }
        rt_buffer_text(&out, "\n");
        if (kind == 2 && i == at) { /* once more, under another name */
            bool named = line.length > 6 && memcmp(line.text, "const ", 6) == 0;
            rt_buffer_format(&out, "%s%zu%.*s\n", named ? "const x" : "x", roll(d, 100),
                             (int)(line.length - (named ? 6 : 0)), line.text + (named ? 6 : 0));
        }
    }
    free(lines.items);
    free(words.items);
    if (out.failed) abort();
    return out.data != NULL ? out.data : take_text(text, strlen(text));
}
