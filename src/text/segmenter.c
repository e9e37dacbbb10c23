/* SPDX-License-Identifier: Apache-2.0 */
#include "text/segmenter.h"

#include "text/unicode.h"
#include "base/utf8.h"

#include <stdlib.h>

static bool may_lead(uint32_t byte) {
    /* First bytes of U+3400…9FFF, U+F900…FAFF and U+20000…2FA1F. */
    return (byte >= 0xE3 && byte <= 0xE9) || byte == 0xEF || byte == 0xF0;
}

/* The pieces that are one of U+4E00 … U+9FFF. */
static bool make_ideographs(rt_segmenter *segmenter, const rt_token_model *model) {
    size_t count = RT_IDEOGRAPH_LAST - RT_IDEOGRAPH_FIRST + 1;
    segmenter->ideographs = rt_calloc(count, sizeof *segmenter->ideographs);
    if (segmenter->ideographs == NULL) return false;
    for (size_t i = 0; i < count; i++) segmenter->ideographs[i] = model->unknown;
    for (size_t id = 0; id < model->count; id++) {
        size_t length;
        const uint8_t *piece = (const uint8_t *)rt_token_model_piece(model, id, &length);
        uint32_t point;
        if (length != 3 || rt_utf8_take(piece, piece + 3, &point) != 3) continue;
        if (point >= RT_IDEOGRAPH_FIRST && point <= RT_IDEOGRAPH_LAST) {
            segmenter->ideographs[point - RT_IDEOGRAPH_FIRST] = (int32_t)id;
        }
    }
    return true;
}

bool rt_segmenter_open(rt_segmenter *segmenter, const rt_normalizer *normalizer,
                       const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model) {
    *segmenter =
        (rt_segmenter){.local = normalizer->row->local && pre_tokenizer->row->local && model->row->local};
    if (!segmenter->local) return true;
    for (uint32_t byte = 0; byte < 256; byte++) {
        bool ascii = byte < 128, blank = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
        if (ascii && (rt_unicode(byte)->flags & RT_PUNCTUATION)) {
            int32_t id = rt_token_model_find(model, (char[]){(char)byte}, 1);
            segmenter->classes[byte] = RT_BYTE_PUNCTUATION;
            segmenter->punctuation[byte] = id >= 0 ? id : model->unknown;
        } else if (blank) {
            segmenter->classes[byte] = RT_BYTE_BLANK;
        } else if (normalizer->ideographs && may_lead(byte)) {
            segmenter->classes[byte] = RT_BYTE_LEAD;
        }
    }
    return !normalizer->ideographs || make_ideographs(segmenter, model);
}

void rt_segmenter_close(rt_segmenter *segmenter) {
    free(segmenter->ideographs);
    segmenter->ideographs = NULL;
}
