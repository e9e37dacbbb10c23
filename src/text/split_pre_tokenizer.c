/* SPDX-License-Identifier: Apache-2.0
 * Split: cuts at a string, or at one of the known regular expressions. */
#include "text/cut.h"
#include "text/regex.h"

#include <string.h>

typedef struct split {
    const char *string; /* or NULL */
    size_t length;
    rt_match_fn match; /* where there is no string */
    rt_behavior behavior;
    bool invert;
} split;

static size_t match_string(const void *data, const rt_normalized *text, size_t at, size_t to) {
    const split *part = data;
    const rt_point *points = text->points;
    size_t begin = points[at].at, end = begin + part->length;
    if (points[to].at < end || memcmp(text->bytes + begin, part->string, part->length) != 0) return at;
    while (points[at].at < end) at++;
    return at;
}

static size_t match_expression(const void *data, const rt_normalized *text, size_t at, size_t to) {
    const split *part = data;
    return part->match(text->points, at, to);
}

static bool cut(const void *data, rt_cut_text *text) {
    const split *part = data;
    return rt_cut_at_matches(text, part->string != NULL ? match_string : match_expression, part,
                             part->behavior, part->invert);
}

static retort_status read_pattern(const rt_component_reader *in, const json_t *pattern, split *out) {
    const char *string = json_string_value(json_object_get(pattern, "String"));
    const char *expression = json_string_value(json_object_get(pattern, "Regex"));
    if (string != NULL && *string != '\0' && strlen(string) <= RT_PIECE_MAX) {
        out->length = strlen(string);
        out->string = rt_arena_text(in->arena, string, out->length);
        return out->string != NULL ? RETORT_OK : rt_fail_nomem(in->err, out->length);
    }
    if (string != NULL || expression == NULL) {
        return rt_fail(
            in->err, RETORT_FORMAT,
            "%s: pre_tokenizer: the pattern of Split is neither a String of 1 to %d bytes nor a Regex",
            in->name, RT_PIECE_MAX);
    }
    out->match = rt_regex_find(expression);
    if (out->match != NULL) return RETORT_OK;
    return rt_fail(
        in->err, RETORT_UNSUPPORTED,
        "%s: pre_tokenizer: the regular expression \"%.200s\" is not supported, only those of GPT-2, "
        "Llama 3 and Qwen 2, and \\s, \\s+, \\p{N}, \\p{N}+, \\p{N}{1,3}",
        in->name, expression);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out) {
    split *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    if (data == NULL) return rt_fail_nomem(in->err, sizeof *data);
    out->data = data;
    retort_status status = read_pattern(in, json_object_get(part, "pattern"), data);
    if (status == RETORT_OK) status = rt_behavior_read(in, part, NULL, &data->behavior);
    return status == RETORT_OK ? rt_component_flag(in, part, "invert", false, &data->invert) : status;
}

const rt_pre_tokenizer_row rt_split_row = {.type = "Split", .read = read_part, .cut = cut};
