/* SPDX-License-Identifier: Apache-2.0
 * Metaspace: spaces become marks, a mark is put in front, and words begin at marks. */
#include "text/metaspace.h"

#include "text/steps.h"
#include "base/utf8.h"

#include <string.h>

static retort_status read_prepend(const rt_component_reader *in, const json_t *part, const char *what,
                                  rt_prepend *out) {
    static const char *const names[] = {"always", "first", "never"};
    const json_t *stated = json_object_get(part, "prepend_scheme"),
                 *old = json_object_get(part, "add_prefix_space");
    const char *scheme = stated == NULL ? names[RT_PREPEND_ALWAYS] : json_string_value(stated);
    bool adds = true, found = false;
    retort_status status = rt_component_flag(in, part, "add_prefix_space", true, &adds);
    if (status != RETORT_OK) return status;
    for (int i = 0; scheme != NULL && i < 3; i++) {
        if (strcmp(scheme, names[i]) != 0) continue;
        *out = (rt_prepend)i;
        found = true;
    }
    if (!found) {
        return rt_fail(in->err, RETORT_UNSUPPORTED, "%s: %s: prepend_scheme \"%.64s\" is not supported",
                       in->name, what, scheme != NULL ? scheme : "none");
    }
    if (old == NULL || adds) return RETORT_OK;
    if (stated != NULL && *out != RT_PREPEND_NEVER) {
        return rt_fail(in->err, RETORT_FORMAT, "%s: %s: add_prefix_space false against prepend_scheme %s",
                       in->name, what, scheme);
    }
    *out = RT_PREPEND_NEVER;
    return RETORT_OK;
}

static retort_status read_mark(const rt_component_reader *in, const json_t *part, const char *what,
                               uint32_t *out) {
    const json_t *stated = json_object_get(part, "replacement");
    const char *text = stated == NULL ? "\xE2\x96\x81" : json_string_value(stated);
    const uint8_t *at = (const uint8_t *)text, *end = at != NULL ? at + strlen(text) : NULL;
    if (at != end && rt_utf8_take(at, end, out) == (size_t)(end - at)) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT, "%s: %s: the replacement is not one character", in->name, what);
}

const rt_metaspace *rt_metaspace_read(const rt_component_reader *in, const json_t *part, const char *what,
                                      retort_status *status) {
    rt_metaspace *out = rt_arena_calloc(in->arena, 1, sizeof *out);
    *status = out != NULL ? RETORT_OK : rt_fail_nomem(in->err, sizeof *out);
    if (*status == RETORT_OK) *status = read_mark(in, part, what, &out->mark);
    if (*status == RETORT_OK) *status = read_prepend(in, part, what, &out->prepend);
    if (*status == RETORT_OK) *status = rt_component_flag(in, part, "split", true, &out->split);
    return *status == RETORT_OK ? out : NULL;
}

bool rt_metaspace_prepends(const rt_metaspace *metaspace, const rt_point *first) {
    if (first->point == ' ' || first->point == metaspace->mark) return false;
    return metaspace->prepend == RT_PREPEND_ALWAYS ||
           (metaspace->prepend == RT_PREPEND_FIRST && first->source == 0);
}

static bool cut_word(const rt_metaspace *metaspace, const rt_point *points, size_t count, rt_normalized *out,
                     rt_words *words) {
    if (count == 0) return true;
    if (!rt_step_room(out, count + 1)) return false;
    size_t from = out->count;
    if (rt_metaspace_prepends(metaspace, points)) rt_step_keep(out, metaspace->mark, points[0].source);
    for (size_t i = 0; i < count; i++) {
        uint32_t point = points[i].point == ' ' ? metaspace->mark : points[i].point;
        if (point == metaspace->mark && metaspace->split && out->count > from) {
            if (!rt_words_push(words, from, out->count)) return false;
            from = out->count;
        }
        rt_step_keep(out, point, points[i].source);
    }
    return rt_words_push(words, from, out->count);
}

static bool cut(const void *data, rt_cut_text *text) {
    text->spare_text.count = text->spare_words.count = 0;
    for (size_t i = 0; i < text->words.count; i++) {
        rt_word word = text->words.data[i];
        if (!cut_word(data, text->text.points + word.from, word.to - word.from, &text->spare_text,
                      &text->spare_words)) {
            return false;
        }
    }
    rt_swap_text(text);
    rt_swap_words(text);
    return rt_normalized_write(&text->text, 0);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out) {
    retort_status status;
    out->data = rt_metaspace_read(in, part, "pre_tokenizer", &status);
    return status;
}

const rt_pre_tokenizer_row rt_metaspace_row = {.type = "Metaspace", .read = read_part, .cut = cut};
