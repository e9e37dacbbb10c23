/* SPDX-License-Identifier: Apache-2.0
 * What post-processors make: special tokens and the places of the texts, in the order of the model's input. */
#ifndef RT_TEXT_TEMPLATE_H
#define RT_TEXT_TEMPLATE_H

#include "text/tokenizer.h"

#include <jansson.h>

/* One item of a template: special tokens, or the place of a text. */
typedef struct rt_template_part {
    int32_t sequence; /* 0 first text, 1 second, -1 special tokens */
    int32_t type;
    int32_t *ids; /* [count] */
    size_t count;
} rt_template_part;
typedef struct rt_template {
    rt_template_part *parts;
    size_t count;
    size_t special;   /* special tokens in all */
    bool bare;        /* the texts alone */
    bool trim;        /* white space at both ends of a token is not in its offsets */
    bool keep_prefix; /* but a single space before the first one is, as it has been put there */
} rt_template;

/* Building one: start it, then add at most `parts` items. */
struct rt_component_reader;
retort_status rt_template_start(const struct rt_component_reader *in, rt_template *out, size_t parts);
/* The texts alone, the second of type 1. */
retort_status rt_template_of_texts(const struct rt_component_reader *in, rt_template *out, int32_t texts);
/* "trim_offsets" and "add_prefix_space" of a post-processor. */
retort_status rt_template_read_trim(const struct rt_component_reader *in, const json_t *part,
                                    rt_template *out);
void rt_template_add_text(rt_template *out, int32_t sequence, int32_t type);
/* `count` special tokens: ids[i] is stated for the piece tokens[i], or NULL; it must be the vocabulary's. */
retort_status rt_template_add_special(const struct rt_component_reader *in, rt_template *out,
                                      const json_t *const *tokens, const json_t *const *ids, size_t count,
                                      int32_t type);
/* ["</s>", 2] under the key: changes the id. False when out of memory. */
struct rt_selection;
bool rt_template_renumber(json_t *part, const char *key, const struct rt_selection *selection);
/* The same under "cls" and "sep". */
bool rt_template_renumber_ends(json_t *part, const struct rt_selection *selection);

#endif
