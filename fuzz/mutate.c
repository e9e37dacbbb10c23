/* SPDX-License-Identifier: Apache-2.0 */
#include "mutate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Chance ---- */

size_t roll(dice *d, size_t sides) {
    uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return sides == 0 ? 0 : (size_t)((x ^ x >> 31) % sides);
}

bool once_in(dice *d, size_t times) {
    return roll(d, times) == 0;
}

int64_t odd_number(dice *d) {
    static const int64_t far[] = {-1,
                                  -2,
                                  1 << 20,
                                  INT32_MAX,
                                  INT64_C(1) << 31,
                                  UINT32_MAX,
                                  INT64_C(1) << 40,
                                  INT64_C(1) << 62,
                                  INT64_MAX,
                                  INT64_MIN};
    static const int64_t near[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 48, 64, 100, 128, 256};
    return once_in(d, 3) ? PICK(d, far) : PICK(d, near);
}

float odd_float(dice *d) {
    static const float values[] = {0, -0.0F, 1, -1, 0.5F, 1e-12F, 1e-45F, 1e38F, -3e38F, NAN, INFINITY, 127};
    return PICK(d, values);
}

/* ---- Memory ---- */

void *take(size_t count, size_t size) {
    void *memory = rt_calloc(count, size);
    if (memory == NULL) abort();
    return memory;
}

char *take_text(const char *text, size_t length) {
    char *copy = take(length + 1, 1);
    if (length > 0) memcpy(copy, text, length);
    return copy;
}

/* ---- Bytes ---- */

void change_bytes(dice *d, uint8_t *data, size_t size) {
    static const uint8_t fills[] = {0, 1, 0x7f, 0x80, 0xff};
    if (size == 0) return;
    size_t kind = roll(d, 4);
    if (kind == 0) data[roll(d, size)] = (uint8_t)roll(d, 256);
    if (kind == 1) memset(data, PICK(d, fills), size);
    for (size_t at = 0; kind == 2 && at + 4 <= size; at += 4) {
        float value = odd_float(d);
        memcpy(data + at, &value, sizeof value);
    }
    if (kind == 3 && size >= 4) {
        uint32_t value = (uint32_t)odd_number(d);
        memcpy(data + roll(d, size / 4) * 4, &value, sizeof value);
    }
}

/* ---- JSON ---- */

static size_t count_values(const json_t *value) {
    size_t count = 1, index;
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)value, key, item) count += count_values(item);
    json_array_foreach((json_t *)value, index, item) count += count_values(item);
    return count;
}

static json_t *other_value(dice *d, const json_t *value) {
    static const char *const texts[] = {
        "classify", "tag",  "answer", "fill", "embed", "distilbert", "bert", "cls",           "mean", "max",
        "none",     "gelu", "relu",   "tanh", "[UNK]", "##",         "",     "a\xe1\xb8\x80", "\n"};
    size_t kind = roll(d, 8);
    if (kind < 5 && json_is_integer(value)) return json_integer(odd_number(d));
    if (kind < 5 && json_is_boolean(value)) return json_boolean(!json_is_true(value));
    if (kind < 5 && json_is_string(value)) return json_string(PICK(d, texts));
    if (kind == 5) return json_integer(odd_number(d));
    if (kind == 6) return json_string(PICK(d, texts));
    return kind == 7 ? json_null() : json_real(0.5);
}

/* Value number *at of the tree below `root`, which is counted down. */
static bool change_value(dice *d, json_t *root, size_t *at) {
    size_t index;
    const char *key;
    json_t *item;
    void *next;
    json_object_foreach_safe(root, next, key, item) {
        if ((*at)-- == 0) {
            bool gone = once_in(d, 8);
            return gone ? json_object_del(root, key) == 0
                        : json_object_set_new(root, key, other_value(d, item)) == 0;
        }
        if (change_value(d, item, at)) return true;
    }
    json_array_foreach(root, index, item) {
        if ((*at)-- == 0) return json_array_set_new(root, index, other_value(d, item)) == 0;
        if (change_value(d, item, at)) return true;
    }
    return false;
}

char *change_json(dice *d, const char *text) {
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL) return take_text(text, strlen(text));
    size_t at = roll(d, count_values(root));
    change_value(d, root, &at);
    char *changed = json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(root);
    return changed != NULL ? changed : take_text(text, strlen(text));
}

/* ---- Metadata ---- */

static char *change_text(dice *d, const char *text) {
    size_t length = strlen(text);
    char *copy = take_text(text, length);
    if (length > 0) copy[roll(d, length)] = (char)(32 + roll(d, 95));
    if (length > 0 && once_in(d, 4)) copy[roll(d, length)] = '\0';
    return copy;
}

char *change_metadata(dice *d, const char *key, const char *value) {
    if (strcmp(key, "retort.graph") == 0) return change_graph(d, value);
    return value[0] == '{' ? change_json(d, value) : change_text(d, value);
}
