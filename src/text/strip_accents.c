/* SPDX-License-Identifier: Apache-2.0
 * StripAccents: without marks. It decomposes nothing: a normal form before it does. */
#include "text/steps.h"

#include "text/unicode_forms.h"

static bool step(const void *data, rt_normalized *text) {
    size_t kept = 0;
    (void)data;
    for (size_t i = 0; i < text->count; i++) {
        if (!(rt_form(text->points[i].point)->flags & RT_FORM_MARK)) text->points[kept++] = text->points[i];
    }
    text->count = kept;
    return true;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    (void)in, (void)part;
    out->strip = true;
    return RETORT_OK;
}

const rt_normalizer_row rt_strip_accents_row = {.type = "StripAccents", .read = read_part, .step = step};
