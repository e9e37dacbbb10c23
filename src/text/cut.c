/* SPDX-License-Identifier: Apache-2.0 */
#include "text/cut.h"

#include <string.h>

retort_status rt_behavior_read(const rt_component_reader *in, const json_t *part, const rt_behavior *missing,
                               rt_behavior *out) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    const json_t *value = json_object_get(part, "behavior");
    const char *name = json_string_value(value);
    if (value == NULL && missing != NULL) {
        *out = *missing;
        return RETORT_OK;
    }
    for (size_t i = 0; name != NULL && i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *out = (rt_behavior)i;
        return RETORT_OK;
    }
    return rt_fail(in->err, RETORT_UNSUPPORTED, "%s: pre_tokenizer: behavior \"%.64s\" is not known",
                   in->name, name != NULL ? name : "none");
}

/* The words that one word becomes, so far. */
typedef struct cut_words {
    rt_words *words;
    size_t first; /* of them */
    rt_behavior behavior;
    bool last_matched;
} cut_words;

static bool add_stretch(cut_words *state, size_t from, size_t to, bool matched) {
    rt_words *words = state->words;
    bool before = words->count > state->first, last = state->last_matched, join = false;
    state->last_matched = matched;
    switch (state->behavior) {
    case RT_CUT_REMOVED:
        if (matched) return true;
        break;
    case RT_CUT_ISOLATED:
        break;
    case RT_CUT_MERGED_WITH_PREVIOUS:
        join = before && matched && !last;
        break;
    case RT_CUT_MERGED_WITH_NEXT:
        join = before && !matched && last;
        break;
    case RT_CUT_CONTIGUOUS:
        join = before && matched == last;
        break;
    }
    if (!join) return rt_words_push(words, from, to);
    words->data[words->count - 1].to = to;
    return true;
}

bool rt_cut_at_matches(rt_cut_text *text, rt_cut_match_fn match, const void *data, rt_behavior behavior,
                       bool invert) {
    text->spare_words.count = 0;
    for (size_t i = 0; i < text->words.count; i++) {
        const rt_word word = text->words.data[i];
        cut_words state = {
            .words = &text->spare_words, .first = text->spare_words.count, .behavior = behavior};
        size_t done = word.from;
        for (size_t at = word.from; at < word.to;) {
            size_t end = match(data, &text->text, at, word.to);
            if (end > at) {
                if (at > done && !add_stretch(&state, done, at, invert)) return false;
                if (!add_stretch(&state, at, end, !invert)) return false;
                done = end;
            }
            at = rt_max(end, at + 1);
        }
        if (word.to > done && !add_stretch(&state, done, word.to, invert)) return false;
    }
    rt_swap_words(text);
    return true;
}
