/* SPDX-License-Identifier: Apache-2.0 */
#include "file/json.h"
#include "base/map.h"
#include "base/memory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A tokenizer.json nests 8 deep; jansson's own bound (2048) is compiled in and out of our hands. */
enum { MAX_DEPTH = 64 };
/* An integer of fewer digits than this always fits int64_t. */
enum { WIDE_DIGITS = 19 };

/* Where a scan of JSON text stands: inside a string, and after a backslash there. */
typedef struct string_state {
    bool inside, escaped;
} string_state;

/* True while `c` belongs to a string (its quotes included). */
static bool in_string(string_state *state, char c) {
    bool was_inside = state->inside;
    if (!was_inside) {
        state->inside = c == '"';
        return state->inside;
    }
    if (c == '"' && !state->escaped) state->inside = false;
    state->escaped = c == '\\' && !state->escaped;
    return true;
}

static bool too_deep(const char *text, size_t size) {
    string_state state = {0};
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        if (in_string(&state, text[i])) continue;
        if (text[i] == '{' || text[i] == '[') depth++;
        if (text[i] == '}' || text[i] == ']') depth--;
        if (depth > MAX_DEPTH) return true;
    }
    return false;
}

static bool is_number_part(char c) {
    return isdigit((unsigned char)c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* A copy of the text in which every integer of 19 digits or more ends in ".0", so that jansson reads a real.
 */
static void widen_integers(rt_buffer *out, const char *text, size_t size) {
    string_state state = {0};
    for (size_t i = 0; i < size; i++) {
        rt_buffer_append(out, text + i, 1);
        if (in_string(&state, text[i]) || !is_number_part(text[i])) continue;
        size_t digits = isdigit((unsigned char)text[i]) ? 1 : 0;
        bool integer = digits == 1 || text[i] == '-';
        for (; i + 1 < size && is_number_part(text[i + 1]); i++) {
            rt_buffer_append(out, text + i + 1, 1);
            digits++;
            integer = integer && isdigit((unsigned char)text[i + 1]);
        }
        if (integer && digits >= WIDE_DIGITS) rt_buffer_text(out, ".0");
    }
}

static json_t *load_wide(const char *text, size_t size, json_error_t *error) {
    rt_buffer wide = {0};
    widen_integers(&wide, text, size);
    json_t *root = wide.failed ? NULL : json_loadb(wide.data, wide.length, JSON_REJECT_DUPLICATES, error);
    rt_buffer_free(&wide);
    return root;
}

/* jansson quotes the text near a fault as it is, line breaks included. */
static void make_printable(char *text) {
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text)) *text = ' ';
    }
}

retort_status rt_json_parse(json_t **out, const char *name, const void *data, size_t size,
                            retort_error *err) {
    const char *text = data;
    json_error_t error = {.text = ""};
    if (size == 0) return rt_fail(err, RETORT_FORMAT, "%s: empty where JSON was expected", name);
    if (too_deep(text, size)) {
        return rt_fail(err, RETORT_LIMIT, "%s: JSON nested deeper than %d", name, MAX_DEPTH);
    }
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL && error.text[0] != '\0' && json_error_code(&error) == json_error_numeric_overflow) {
        error = (json_error_t){.text = ""};
        root = load_wide(text, size, &error);
    }
    if (root != NULL) {
        *out = root;
        return RETORT_OK;
    }
    if (error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory) {
        return rt_fail(err, RETORT_NOMEM, "%s: out of memory for %zu bytes of JSON", name, size);
    }
    make_printable(error.text);
    return rt_fail(err, RETORT_FORMAT, "%s: line %d column %d: %s", name, error.line, error.column,
                   error.text);
}

retort_status rt_json_load(json_t **out, const char *path, retort_error *err) {
    rt_map map;
    retort_status status = rt_map_open(&map, path, err);
    if (status == RETORT_OK) status = rt_json_parse(out, path, map.data, map.size, err);
    rt_map_close(&map);
    return status;
}
