/* SPDX-License-Identifier: Apache-2.0
 * Cuts words at what matches: the behaviours of Hugging Face's pre-tokenizers. */
#ifndef RT_TEXT_CUT_H
#define RT_TEXT_CUT_H

#include "text/component.h"

typedef enum rt_behavior {
    RT_CUT_REMOVED,              /* matches vanish */
    RT_CUT_ISOLATED,             /* each match is a word */
    RT_CUT_MERGED_WITH_PREVIOUS, /* of adjacent matches the first ends the word before it */
    RT_CUT_MERGED_WITH_NEXT,     /* of adjacent matches the last begins the word after it */
    RT_CUT_CONTIGUOUS            /* adjacent matches are one word */
} rt_behavior;
/* "behavior"; `missing` where there is none. */
retort_status rt_behavior_read(const rt_component_reader *in, const json_t *part, const rt_behavior *missing,
                               rt_behavior *out);

/* The end of the match that begins at text->points[at], or `at` where none does. at < to. */
typedef size_t (*rt_cut_match_fn)(const void *data, const rt_normalized *text, size_t at, size_t to);
/* Cuts each word of the text at its matches, or, inverted, at what lies between them. False when out of memory. */
bool rt_cut_at_matches(rt_cut_text *text, rt_cut_match_fn match, const void *data, rt_behavior behavior,
                       bool invert);

#endif
