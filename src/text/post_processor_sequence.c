/* SPDX-License-Identifier: Apache-2.0
 * Sequence of post-processors: at most one of them adds special tokens, at most one takes spaces out of offsets. In the
 * library a second template goes around the first. */
#include "text/component.h"

enum { MAX_PARTS = 16 };

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_template *out,
                               int32_t texts) {
    const json_t *list = json_object_get(part, "processors"), *item;
    size_t i;
    rt_template made;
    retort_status status = rt_template_of_texts(in, out, texts);
    if (!json_is_array(list) || json_array_size(list) > MAX_PARTS) {
        return rt_fail(in->err, RETORT_FORMAT, "%s: post_processor: a Sequence must list 0 to %d processors",
                       in->name, MAX_PARTS);
    }
    json_array_foreach(list, i, item) {
        if (status == RETORT_OK) status = rt_post_processor_read(in, item, &made, texts);
        if (status != RETORT_OK) return status;
        if ((!out->bare && !made.bare) || (out->trim && made.trim)) {
            return rt_fail(
                in->err, RETORT_UNSUPPORTED,
                "%s: post_processor: a Sequence with two templates, or with trim_offsets twice, is not "
                "supported",
                in->name);
        }
        if (made.trim) {
            out->trim = true;
            out->keep_prefix = made.keep_prefix;
        }
        if (made.bare) continue;
        made.trim = out->trim;
        made.keep_prefix = out->keep_prefix;
        *out = made;
    }
    return status;
}

static bool renumber(json_t *part, const rt_selection *selection) {
    json_t *list = json_object_get(part, "processors"), *item;
    bool fine = true;
    size_t i;
    json_array_foreach(list, i, item) fine = fine && rt_post_processor_renumber(item, selection);
    return fine;
}

const rt_post_processor_row rt_post_processor_sequence_row = {"Sequence", read_part, renumber};
