/* SPDX-License-Identifier: Apache-2.0
 * Punctuation: cuts at the characters that BertPreTokenizer calls punctuation. */
#include "text/cut.h"
#include "text/unicode.h"

static size_t match(const void *data, const rt_normalized *text, size_t at, size_t to) {
    (void)data;
    (void)to;
    return at + ((rt_unicode(text->points[at].point)->flags & RT_PUNCTUATION) != 0);
}

static bool cut(const void *data, rt_cut_text *text) {
    const rt_behavior *behavior = data;
    return rt_cut_at_matches(text, match, NULL, *behavior, false);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out) {
    static const rt_behavior missing = RT_CUT_ISOLATED;
    rt_behavior *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    if (data == NULL) return rt_fail_nomem(in->err, sizeof *data);
    out->data = data;
    return rt_behavior_read(in, part, &missing, data);
}

const rt_pre_tokenizer_row rt_punctuation_row = {.type = "Punctuation", .read = read_part, .cut = cut};
