/* SPDX-License-Identifier: Apache-2.0
 * Lowercase: character by character, whatever stands around it. */
#include "text/steps.h"

#include "text/unicode.h"

enum { DOTTED_CAPITAL_I = 0x130, COMBINING_DOT = 0x307 }; /* the one character whose lower case is two */

static bool step(const void *data, rt_normalized *text) {
    size_t count;
    const rt_point *in = rt_step_begin(text, &count, 2 * text->count);
    (void)data;
    if (in == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        uint32_t point = in[i].point;
        rt_step_keep(text, (uint32_t)((int32_t)point + rt_unicode(point)->lower), in[i].source);
        if (point == DOTTED_CAPITAL_I) rt_step_keep(text, COMBINING_DOT, in[i].source);
    }
    return true;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    (void)in, (void)part;
    out->lower = true;
    return RETORT_OK;
}

const rt_normalizer_row rt_lowercase_row = {.type = "Lowercase", .read = read_part, .step = step};
