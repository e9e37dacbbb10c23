/* SPDX-License-Identifier: Apache-2.0
 * Replace: each match of a pattern by a string, whose characters all belong to the last one of the match. A pattern is a
 * string, or one of the regular expressions below, which have a function each: there is no general engine. */
#include "text/steps.h"

#include "text/unicode.h"
#include "base/utf8.h"

#include <string.h>

typedef struct replace replace;
/* Characters of the match that begins at points[0]; 0: none does. */
typedef size_t (*match_fn)(const replace *data, const rt_point *points, size_t count);

struct replace {
    match_fn match;
    uint32_t *pattern, *content;
    size_t pattern_count, content_count;
};

static bool is_blank(uint32_t point) {
    return rt_unicode(point)->flags & RT_SPACE;
}

static size_t match_string(const replace *data, const rt_point *points, size_t count) {
    if (count < data->pattern_count || points->point != data->pattern[0]) return 0;
    for (size_t i = 1; i < data->pattern_count; i++) {
        if (points[i].point != data->pattern[i]) return 0;
    }
    return data->pattern_count;
}

/* " {2,}" */
static size_t match_spaces(const replace *data, const rt_point *points, size_t count) {
    size_t length = 0;
    (void)data;
    if (points->point != ' ') return 0;
    while (length < count && points[length].point == ' ') length++;
    return length >= 2 ? length : 0;
}

/* "\s{2,}|[\n\r\t]" */
static size_t match_blanks(const replace *data, const rt_point *points, size_t count) {
    uint32_t first = points->point;
    size_t length = 0;
    (void)data;
    while (length < count && is_blank(points[length].point)) length++;
    return length >= 2 || (length == 1 && (first == '\n' || first == '\r' || first == '\t')) ? length : 0;
}

static const struct {
    const char *regex;
    match_fn match;
} regexes[] = {{" {2,}", match_spaces}, {"\\s{2,}|[\\n\\r\\t]", match_blanks}};

static bool step(const void *data, rt_normalized *text) {
    const replace *to = data;
    size_t count = text->count, first = 0;
    while (first < count && to->match(to, text->points + first, count - first) == 0) first++;
    if (first == count) return true;
    const rt_point *in = rt_step_begin(text, &count, count);
    if (in == NULL) return false;
    memcpy(text->points, in, first * sizeof *in);
    text->count = first;
    for (size_t i = first; i < count;) {
        size_t length = to->match(to, in + i, count - i);
        if (length == 0) {
            rt_step_keep(text, in[i].point, in[i].source);
            i++;
            continue;
        }
        i += length;
        /* and for the rest of the text */
        if (!rt_step_room(text, to->content_count + (count - i))) return false;
        for (size_t k = 0; k < to->content_count; k++) rt_step_keep(text, to->content[k], in[i - 1].source);
    }
    return true;
}

static retort_status read_points(const rt_component_reader *in, const char *text, uint32_t **out,
                                 size_t *count) {
    const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);
    *count = 0;
    *out = rt_arena_calloc(in->arena, strlen(text), sizeof **out);
    if (*out == NULL) return rt_fail_nomem(in->err, strlen(text));
    while (at < end) at += rt_utf8_take(at, end, &(*out)[(*count)++]);
    return RETORT_OK;
}

static retort_status read_regex(const rt_component_reader *in, const char *regex, replace *out) {
    for (size_t i = 0; i < sizeof regexes / sizeof *regexes; i++) {
        if (strcmp(regexes[i].regex, regex) == 0) out->match = regexes[i].match;
    }
    if (out->match != NULL) return RETORT_OK;
    return rt_fail(in->err, RETORT_UNSUPPORTED,
                   "%s: normalizer: Replace with the regular expression \"%.64s\" is not supported", in->name,
                   regex);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    const json_t *pattern = json_object_get(part, "pattern");
    const char *string = json_string_value(json_object_get(pattern, "String"));
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *content = json_string_value(json_object_get(part, "content"));
    if (content == NULL || strlen(content) > RT_PIECE_MAX || (string == NULL) == (regex == NULL) ||
        (string != NULL && (*string == '\0' || strlen(string) > RT_PIECE_MAX))) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: normalizer: Replace needs a pattern with a String or a Regex, and content, of at "
                       "most %d bytes",
                       in->name, RT_PIECE_MAX);
    }
    replace *to = rt_arena_calloc(in->arena, 1, sizeof *to);
    if (to == NULL) return rt_fail_nomem(in->err, sizeof *to);
    out->data = to;
    retort_status status = read_points(in, content, &to->content, &to->content_count);
    if (status != RETORT_OK || regex != NULL) return status == RETORT_OK ? read_regex(in, regex, to) : status;
    to->match = match_string;
    return read_points(in, string, &to->pattern, &to->pattern_count);
}

const rt_normalizer_row rt_replace_row = {.type = "Replace", .read = read_part, .step = step};
