/* SPDX-License-Identifier: Apache-2.0 */
#include "text/byte_level.h"

#include "text/cut.h"
#include "text/regex.h"
#include "base/utf8.h"

#include <string.h>

static bool is_seen(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

void rt_spelling_make(rt_spelling *spelling) {
    uint32_t other = 0x100;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint8_t text[4];
        size_t length = rt_utf8_put(text, is_seen(byte) ? byte : other++);
        memcpy(spelling->text[byte], text, 2);
        spelling->length[byte] = (uint8_t)length;
    }
}

int rt_byte_of_spelling(uint32_t point) {
    if (point < 0x100) return is_seen(point) ? (int)point : -1;
    uint32_t other = 0x100;
    for (uint32_t byte = 0; byte < 256; byte++) {
        if (!is_seen(byte) && other++ == point) return (int)byte;
    }
    return -1;
}

static size_t match_gpt2(const void *data, const rt_normalized *text, size_t at, size_t to) {
    (void)data;
    return rt_regex_gpt2(text->points, at, to);
}

/* A space, with the source of the character behind it, before each word that does not begin with one. */
static bool add_spaces(rt_cut_text *cut) {
    const rt_normalized *text = &cut->text;
    rt_normalized *out = &cut->spare_text;
    size_t count = 0, bytes = 0;
    if (!rt_normalized_reserve(out, text->count + cut->words.count,
                               text->points[text->count].at + cut->words.count))
        return false;
    for (size_t i = 0; i < cut->words.count; i++) {
        rt_word *word = &cut->words.data[i];
        size_t from = count, begin = text->points[word->from].at, length = text->points[word->to].at - begin;
        if (text->points[word->from].point != ' ') {
            out->points[count++] = (rt_point){' ', text->points[word->from].source, (uint32_t)bytes};
            out->bytes[bytes++] = ' ';
        }
        memcpy(out->bytes + bytes, text->bytes + begin, length);
        for (size_t k = word->from; k < word->to; k++) {
            rt_point point = text->points[k];
            point.at = (uint32_t)(bytes + point.at - begin);
            out->points[count++] = point;
        }
        bytes += length;
        *word = (rt_word){from, count};
    }
    out->points[count] = (rt_point){.at = (uint32_t)bytes};
    out->count = count;
    rt_swap_text(cut);
    return true;
}

static bool cut(const void *data, rt_cut_text *text) {
    const rt_byte_level *part = data;
    if (part->prefix && !add_spaces(text)) return false;
    return !part->regex || rt_cut_at_matches(text, match_gpt2, NULL, RT_CUT_ISOLATED, false);
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out) {
    rt_byte_level *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    bool trim;
    if (data == NULL) return rt_fail_nomem(in->err, sizeof *data);
    out->data = data;
    out->bytes = true;
    retort_status status = rt_component_flag(in, part, "add_prefix_space", true, &data->prefix);
    if (status == RETORT_OK) status = rt_component_flag(in, part, "use_regex", true, &data->regex);
    /* Does something in a post-processor only. */
    return status == RETORT_OK ? rt_component_flag(in, part, "trim_offsets", true, &trim) : status;
}

const rt_pre_tokenizer_row rt_byte_level_row = {.type = "ByteLevel", .read = read_part, .cut = cut};
