/* SPDX-License-Identifier: Apache-2.0
 * ByteLevel as a post-processor: takes spaces out of offsets, adds nothing. */
#include "text/component.h"

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_template *out,
                               int32_t texts) {
    retort_status status = rt_template_of_texts(in, out, texts);
    return status == RETORT_OK ? rt_template_read_trim(in, part, out) : status;
}

const rt_post_processor_row rt_byte_level_processing_row = {"ByteLevel", read_part, NULL};
