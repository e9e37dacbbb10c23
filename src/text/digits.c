/* SPDX-License-Identifier: Apache-2.0
 * Digits: numeric characters are words, one by one or as runs. */
#include "text/cut.h"
#include "text/unicode.h"

static size_t match(const void *data, const rt_normalized *text, size_t at, size_t to) {
    (void)data;
    (void)to;
    return at + ((rt_unicode(text->points[at].point)->flags & RT_NUMERIC) != 0);
}

static bool cut(const void *data, rt_cut_text *text) {
    const bool *individual = data;
    return rt_cut_at_matches(text, match, NULL, *individual ? RT_CUT_ISOLATED : RT_CUT_CONTIGUOUS, false);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out) {
    bool *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    if (data == NULL) return rt_fail_nomem(in->err, sizeof *data);
    out->data = data;
    return rt_component_flag(in, part, "individual_digits", false, data);
}

const rt_pre_tokenizer_row rt_digits_row = {.type = "Digits", .read = read_part, .cut = cut};
