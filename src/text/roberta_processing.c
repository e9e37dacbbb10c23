/* SPDX-License-Identifier: Apache-2.0
 * RobertaProcessing: <s> A </s>, and <s> A </s></s> B </s>, all of type 0. It may take spaces out of offsets. */
#include "text/component.h"

/* ["</s>", 2]; without an id the vocabulary's is taken. */
static retort_status add_token(const rt_component_reader *in, rt_template *out, const json_t *token) {
    const json_t *piece = json_array_get(token, 0), *id = json_array_get(token, 1);
    return rt_template_add_special(in, out, &piece, &id, 1, 0);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_template *out,
                               int32_t texts) {
    const json_t *cls = json_object_get(part, "cls"), *sep = json_object_get(part, "sep");
    retort_status status = rt_template_start(in, out, 6);
    if (status == RETORT_OK) status = add_token(in, out, cls);
    for (int32_t text = 0; text < texts && status == RETORT_OK; text++) {
        if (text > 0) status = add_token(in, out, sep);
        rt_template_add_text(out, text, 0);
        if (status == RETORT_OK) status = add_token(in, out, sep);
    }
    return status == RETORT_OK ? rt_template_read_trim(in, part, out) : status;
}

const rt_post_processor_row rt_roberta_processing_row = {"RobertaProcessing", read_part,
                                                         rt_template_renumber_ends};
