/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer with fewer pieces: those that some languages and texts need. */
#ifndef RT_TEXT_RESTRICT_H
#define RT_TEXT_RESTRICT_H

#include "text/tokenizer.h"

/* What stays: special and added tokens; the pieces that the texts are made of; and of the others, by their characters
 * - those without letters: digits, punctuation, emoji, and the letters of ASCII one by one
 * - of the languages' scripts, single characters, so that no text of theirs becomes unknown
 * - longer pieces of these scripts; where there are texts, they alone decide about scripts that other languages are
 *   written in as well (Latin, Cyrillic, …): nothing else tells an English piece from a German one
 * and what the model needs to make them. */
typedef struct rt_restriction_options {
    const char *languages;    /* "ko,en"; NULL: of any */
    const retort_text *texts; /* [count] */
    size_t count;
    const char *const *prompts; /* [prompt_count] further texts, which are not measured */
    size_t prompt_count;
    int32_t first; /* ids below it stay */
} rt_restriction_options;

typedef struct rt_restriction {
    int32_t *ids; /* [count] that stay, ascending: the new ids are their indices. malloc'ed */
    size_t count, before;
    /* Texts that are tokenized identically, and those that would be if the pieces had been chosen by all others. */
    size_t identical, identical_unseen;
} rt_restriction;

retort_status rt_tokenizer_restrict(rt_tokenizer **out, rt_restriction *restriction,
                                    const rt_tokenizer *tokenizer, const rt_restriction_options *options,
                                    const char *name, retort_error *err);
void rt_restriction_free(rt_restriction *restriction);

#endif
