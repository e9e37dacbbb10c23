/* SPDX-License-Identifier: Apache-2.0
 * BertProcessing: [CLS] A [SEP], and [CLS] A [SEP] B [SEP] with type 1 from B on. */
#include "text/component.h"

/* ["[CLS]", 101]; without an id the vocabulary's is taken. */
static retort_status add_token(const rt_component_reader *in, rt_template *out, const json_t *token,
                               int32_t type) {
    const json_t *piece = json_array_get(token, 0), *id = json_array_get(token, 1);
    return rt_template_add_special(in, out, &piece, &id, 1, type);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_template *out,
                               int32_t texts) {
    const json_t *cls = json_object_get(part, "cls"), *sep = json_object_get(part, "sep");
    retort_status status = rt_template_start(in, out, 5);
    if (status == RETORT_OK) status = add_token(in, out, cls, 0);
    for (int32_t text = 0; text < texts && status == RETORT_OK; text++) {
        rt_template_add_text(out, text, text);
        status = add_token(in, out, sep, text);
    }
    return status;
}

const rt_post_processor_row rt_bert_processing_row = {"BertProcessing", read_part, rt_template_renumber_ends};
