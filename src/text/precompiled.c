/* SPDX-License-Identifier: Apache-2.0
 * Precompiled: sentencepiece's character map, as Hugging Face tokenizers 0.23.3 applies it. The map is a double-array trie
 * (Yata's darts-clone) and the strings that its keys become: how long the trie is in 4 bytes, its units, the strings,
 * each ended by NUL. It is used where it lies; every access is checked.
 *
 * A grapheme cluster of fewer than 6 bytes becomes, as a whole, what the shortest key that it begins with becomes. Of a
 * longer one, or without such a key, each character does on its own. Only for clusters so short are they found here: what
 * Hangul, regional indicators and emoji join is longer. */
#include "text/charsmap.h"
#include "text/steps.h"

#include "text/unicode_forms.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { CLUSTER_BYTES = 6 };

typedef struct precompiled {
    rt_charsmap map;
    /* Characters below U+10000 that may change, or belong to a cluster of several: most texts have few. */
    uint64_t special[RT_CHARSMAP_KEYS];
} precompiled;

/* ---- On a text ---------------------------------------------------------------------------------------- */

/* Replaces `count` characters by a string, as the library counts it: where the string is shorter, the last character so
 * far stands for those that are gone; at the begin of a text there is none, and they are not counted at all. */
static bool put_replaced(rt_normalized *text, const uint8_t *with, size_t length, size_t count) {
    const uint8_t *end = with + length;
    size_t begin = text->count;
    if (!rt_step_room(text, length)) return false;
    for (uint32_t point; with < end;) {
        with += rt_utf8_take(with, end, &point);
        rt_step_put(text, point, 0);
    }
    size_t made = text->count - begin;
    for (size_t i = count; i < made; i++) text->points[begin + i].at = 1;
    if (made < count && text->count > 0) text->points[text->count - 1].at -= (uint32_t)(count - made);
    return true;
}

/* Whether the bytes have a replacement, which is then put. *fine: there was memory. */
static bool replace(const precompiled *data, rt_normalized *text, const uint8_t *bytes, size_t length,
                    size_t count, bool *fine) {
    size_t size;
    const uint8_t *with = rt_charsmap_find(&data->map, bytes, length, &size);
    if (with == NULL) return false;
    *fine = put_replaced(text, with, size, count);
    return true;
}

/* The end of the cluster that begins at `at`; looks no further than it is of use. */
static size_t cluster_end(const rt_point *points, size_t at, size_t count) {
    uint8_t before = rt_form(points[at].point)->flags;
    if (points[at].point == '\r' && at + 1 < count && points[at + 1].point == '\n') return at + 2;
    if (before & RT_FORM_CONTROL) return at + 1;
    size_t end = at + 1;
    for (; end < count; end++) {
        uint8_t flags = rt_form(points[end].point)->flags;
        if ((flags & RT_FORM_CONTROL) || !((flags & RT_FORM_ATTACH) || (before & RT_FORM_PREPEND))) break;
        before = flags;
    }
    return end;
}

/* Puts what a cluster becomes. */
static bool put_cluster(const precompiled *data, rt_normalized *text, const rt_point *in, size_t count) {
    uint8_t bytes[CLUSTER_BYTES + 4];
    size_t length = 0;
    bool fine = true;
    for (size_t i = 0; i < count && length < CLUSTER_BYTES; i++)
        length += rt_utf8_put(bytes + length, in[i].point);
    if (length < CLUSTER_BYTES && replace(data, text, bytes, length, count, &fine)) return fine;
    for (size_t i = 0; i < count && fine; i++) {
        if (count > 1) length = rt_utf8_put(bytes, in[i].point);
        if (count > 1 && replace(data, text, bytes, length, 1, &fine)) continue;
        fine = fine && rt_step_room(text, 1);
        if (fine) rt_step_put(text, in[i].point, 0);
    }
    return fine;
}

static inline bool is_special(const precompiled *data, uint32_t point) {
    return point >= 64 * RT_CHARSMAP_KEYS || (data->special[point / 64] >> (point % 64) & 1);
}

/* The end of the characters from `at` on that stay as they are: a special one may belong to the cluster of the one before
 * it. */
static size_t plain_end(const precompiled *data, const rt_point *points, size_t at, size_t count) {
    size_t end = at;
    while (end < count && !is_special(data, points[end].point)) end++;
    return end == count || end == at ? end : end - 1;
}

static bool step(const void *of, rt_normalized *text) {
    const precompiled *data = of;
    size_t count = text->count, at = plain_end(data, text->points, 0, count);
    if (at == count) return true;
    const rt_point *in = rt_step_begin(text, &count, count);
    if (in == NULL) return false;
    for (at = 0; at < count;) {
        size_t end = plain_end(data, in, at, count);
        if (!rt_step_room(text, end - at)) return false;
        for (; at < end; at++) rt_step_put(text, in[at].point, 0);
        if (at == count) break;
        end = cluster_end(in, at, count);
        if (!put_cluster(data, text, in + at, end - at)) return false;
        at = end;
    }
    rt_step_end(text, in, count, 0);
    return true;
}

/* ---- Reading ------------------------------------------------------------------------------------------ */

static retort_status take(const char *name, json_t *part, rt_buffer *map, retort_error *err) {
    const json_t *stated = json_object_get(part, "precompiled_charsmap");
    const char *text = json_string_value(stated);
    if (map->length > 0)
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: normalizer: more than one Precompiled is not supported",
                       name);
    if (text == NULL || !rt_base64_decode(map, text, json_string_length(stated))) {
        if (map->failed) return rt_fail_nomem(err, map->length);
        return rt_fail(err, RETORT_FORMAT, "%s: normalizer: precompiled_charsmap is not base64", name);
    }
    retort_status status = rt_charsmap_check(name, (const uint8_t *)map->data, map->length, err);
    if (status == RETORT_OK) json_object_del(part, "precompiled_charsmap");
    return status;
}

/* Characters that a cluster may have before or behind them. Most rows of the first table are the same second one. */
static void add_joining(uint64_t *special) {
    enum { ROW = 128 };
    const unsigned joins = RT_FORM_ATTACH | RT_FORM_PREPEND | RT_FORM_CONTROL;
    uint64_t found[ROW / 64] = {0};
    for (uint32_t row = 0; row < RT_CHARSMAP_KEYS * 64 / ROW; row++) {
        bool again = row > 0 && rt_form_first[row] == rt_form_first[row - 1];
        if (!again) memset(found, 0, sizeof found);
        for (uint32_t i = 0; !again && i < ROW; i++) {
            bool joining = rt_form(ROW * row + i)->flags & joins;
            found[i / 64] |= (uint64_t)joining << (i % 64);
        }
        special[2 * row] |= found[0];
        special[2 * row + 1] |= found[1];
    }
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    precompiled *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    (void)part;
    if (data == NULL) return rt_fail_nomem(in->err, sizeof *data);
    if (!rt_charsmap_open(&data->map, in->map, in->map_size))
        return rt_fail(in->err, RETORT_FORMAT, "%s: normalizer: the character map is damaged", in->name);
    rt_charsmap_keys(&data->map, data->special);
    add_joining(data->special);
    out->data = data;
    return RETORT_OK;
}

const rt_normalizer_row rt_precompiled_row = {
    .type = "Precompiled", .take = take, .read = read_part, .step = step};
