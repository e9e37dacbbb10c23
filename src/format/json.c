/* SPDX-License-Identifier: Apache-2.0
 * A parser of RFC 8259 into jansson values. The parser of jansson (2.14, load.c) ignores a failed allocation
 * while saving a token and then reads past its end; a file must not be able to cause that. */
#include "format/json.h"
#include "base/budget.h"
#include "base/map.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A tokenizer.json nests 8 deep. Longer numbers add nothing to the precision of a double. */
enum { MAX_DEPTH = 64, MAX_NUMBER = 400 };

/* Bytes that jansson (2.14) and malloc take for a value with its first table, for a member without its key
 * and value, and for an item of an array. */
enum {
    TEXT_BYTES = 64,
    NUMBER_BYTES = 32,
    ARRAY_BYTES = 160,
    OBJECT_BYTES = 272,
    MEMBER_BYTES = 96,
    ITEM_BYTES = 8
};

typedef struct parser {
    const char *name, *start, *at, *end;
    int depth;
    retort_status status; /* of the first fault */
    retort_error *err;
} parser;

static json_t *read_value(parser *p);

static void fail(parser *p, retort_status status, const char *what) {
    int line = 1, column = 1;
    if (p->status != RETORT_OK) return;
    for (const char *c = p->start; c < p->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    p->status = rt_fail(p->err, status, "%s: line %d column %d: %s", p->name, line, column, what);
}

static void fail_nomem(parser *p) {
    if (p->status == RETORT_OK) p->status = rt_fail(p->err, RETORT_NOMEM, "%s: out of memory", p->name);
}

/* Whether the budget has room for `bytes`; records the fault if not. */
static bool has_room(parser *p, size_t bytes) {
    if (rt_budget_take(bytes)) return true;
    fail_nomem(p);
    return false;
}

/* Peeks at the next character; NUL (not allowed in JSON) at the end. */
static char peek(const parser *p) {
    return p->at < p->end ? *p->at : '\0';
}

static char peek_token(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) p->at++;
    return peek(p);
}

static bool accept(parser *p, char token) {
    if (peek_token(p) != token) return false;
    p->at++;
    return true;
}

/* ---- Strings ---- */

/* Length of the UTF-8 sequence at `text` (RFC 3629: shortest form, no surrogates); 0 when it is none. */
static size_t utf8_length(const unsigned char *text, size_t left) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (text[0] < 0x80) return 1;
    size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4 || length > left) return 0;
    uint32_t code = text[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
}

static void append_utf8(rt_buffer *out, uint32_t code) {
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    uint8_t text[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6) text[i] = (uint8_t)(0x80 | (code & 0x3f));
    text[0] = (uint8_t)(lead[length] | code);
    rt_buffer_append(out, text, length);
}

/* Four hex digits, or -1. */
static int32_t read_hex(parser *p) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = peek(p);
        if (c >= '0' && c <= '9') {
            value = value * 16 + c - '0';
        } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
            value = value * 16 + (c | 32) - 'a' + 10;
        } else {
            return -1;
        }
    }
    return value;
}

/* The code point after "\u"; above U+FFFF, a pair of surrogates. */
static void read_unicode(parser *p, rt_buffer *out) {
    int32_t code = read_hex(p);
    if (code >= 0xd800 && code < 0xdc00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
        p->at += 2;
        int32_t low = read_hex(p);
        code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    if (code <= 0 || (code >= 0xd800 && code < 0xe000)) {
        fail(p, RETORT_FORMAT, "an escape that is no character, or U+0000");
        return;
    }
    append_utf8(out, (uint32_t)code);
}

static void read_escape(parser *p, rt_buffer *out) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = peek(p);
    const char *found = c == '\0' ? NULL : strchr(names, c);
    if (c == 'u') {
        p->at++;
        read_unicode(p, out);
    } else if (found != NULL) {
        p->at++;
        rt_buffer_append(out, &meanings[found - names], 1);
    } else {
        fail(p, RETORT_FORMAT, "an unknown escape in a string");
    }
}

/* The content of a string, after its opening quote. False: the fault is recorded. */
static bool read_string(parser *p, rt_buffer *out) {
    out->length = 0;
    rt_buffer_append(out, "", 0); /* an empty string also has data */
    while (p->status == RETORT_OK && peek(p) != '"') {
        const char *from = p->at;
        while (p->at < p->end && (unsigned char)*p->at >= 0x20 && *p->at != '"' && *p->at != '\\') {
            size_t length = utf8_length((const unsigned char *)p->at, (size_t)(p->end - p->at));
            if (length == 0) break;
            p->at += length;
        }
        rt_buffer_append(out, from, (size_t)(p->at - from));
        if (p->at == p->end) {
            fail(p, RETORT_FORMAT, "a string has no end");
        } else if (*p->at == '\\') {
            p->at++;
            read_escape(p, out);
        } else if (*p->at != '"') {
            fail(p, RETORT_FORMAT, "a string holds a control character, or is not UTF-8");
        }
    }
    if (out->failed) fail_nomem(p);
    if (p->status == RETORT_OK) p->at++;
    return p->status == RETORT_OK;
}

static json_t *read_text(parser *p) {
    rt_buffer text = {0};
    json_t *value = NULL;
    p->at++;
    if (read_string(p, &text) && has_room(p, TEXT_BYTES + text.length)) {
        value = json_stringn_nocheck(text.data, text.length);
        if (value == NULL) fail_nomem(p);
    }
    rt_buffer_free(&text);
    return value;
}

/* ---- Numbers and words ---- */

static size_t skip_digits(parser *p) {
    const char *from = p->at;
    while (peek(p) >= '0' && peek(p) <= '9') p->at++;
    return (size_t)(p->at - from);
}

/* Skips a number; *integer: it has neither fraction nor exponent. */
static bool skip_number(parser *p, bool *integer) {
    if (peek(p) == '-') p->at++;
    const char *first = p->at;
    if (skip_digits(p) == 0 || (*first == '0' && p->at - first > 1)) return false;
    *integer = true;
    if (peek(p) == '.') {
        *integer = false;
        p->at++;
        if (skip_digits(p) == 0) return false;
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        *integer = false;
        p->at++;
        if (peek(p) == '+' || peek(p) == '-') p->at++;
        if (skip_digits(p) == 0) return false;
    }
    return true;
}

/* strtod independent of the program's locale: this one is built in and allocates nothing. */
static double to_real(const char *text) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double value = plain == (locale_t)0 ? (double)NAN : strtod_l(text, NULL, plain);
    if (plain != (locale_t)0) freelocale(plain);
    return value;
}

static json_t *read_number(parser *p) {
    char text[MAX_NUMBER + 1];
    const char *from = p->at;
    bool integer = false;
    if (!skip_number(p, &integer) || p->at - from > MAX_NUMBER) {
        fail(p, RETORT_FORMAT, "not a number");
        return NULL;
    }
    size_t length = (size_t)(p->at - from);
    memcpy(text, from, length);
    text[length] = '\0';
    errno = 0;
    long long whole = integer ? strtoll(text, NULL, 10) : 0;
    if (errno == ERANGE) integer = false;
    double real = integer ? 0 : to_real(text);
    if (!isfinite(real)) {
        fail(p, RETORT_FORMAT, "a number beyond what a double holds");
        return NULL;
    }
    if (!has_room(p, NUMBER_BYTES)) return NULL;
    json_t *value = integer ? json_integer(whole) : json_real(real);
    if (value == NULL) fail_nomem(p);
    return value;
}

static json_t *read_word(parser *p) {
    static const struct {
        const char *text;
        json_t *(*make)(void);
    } words[] = {{"true", json_true}, {"false", json_false}, {"null", json_null}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].text);
        if ((size_t)(p->end - p->at) < length || memcmp(p->at, words[i].text, length) != 0) continue;
        p->at += length;
        return words[i].make();
    }
    fail(p, RETORT_FORMAT, p->at == p->end ? "cut short: a value was expected" : "a value was expected");
    return NULL;
}

/* ---- Arrays and objects ---- */

static void read_items(parser *p, json_t *array) {
    if (accept(p, ']')) return;
    do {
        json_t *value = has_room(p, ITEM_BYTES) ? read_value(p) : NULL;
        if (value == NULL) return;
        if (json_array_append_new(array, value) != 0) fail_nomem(p);
    } while (p->status == RETORT_OK && accept(p, ','));
    if (!accept(p, ']')) fail(p, RETORT_FORMAT, "',' or ']' was expected");
}

/* "key": value; `key` is reusable memory. */
static void read_member(parser *p, json_t *object, rt_buffer *key) {
    if (!accept(p, '"')) {
        fail(p, RETORT_FORMAT, "a key in quotes was expected");
        return;
    }
    if (!read_string(p, key)) return;
    if (json_object_get(object, key->data) != NULL) {
        fail(p, RETORT_FORMAT, "a key that the object has already");
    } else if (!accept(p, ':')) {
        fail(p, RETORT_FORMAT, "':' was expected");
    }
    bool room = p->status == RETORT_OK && has_room(p, MEMBER_BYTES + key->length);
    json_t *value = room ? read_value(p) : NULL;
    if (value != NULL && json_object_set_new_nocheck(object, key->data, value) != 0) fail_nomem(p);
}

static void read_members(parser *p, json_t *object) {
    rt_buffer key = {0};
    if (accept(p, '}')) return;
    do {
        read_member(p, object, &key);
    } while (p->status == RETORT_OK && accept(p, ','));
    if (!accept(p, '}')) fail(p, RETORT_FORMAT, "',' or '}' was expected");
    rt_buffer_free(&key);
}

/* An array or object; recursion ends at MAX_DEPTH. */
static json_t *read_container(parser *p, bool array) {
    if (!has_room(p, array ? ARRAY_BYTES : OBJECT_BYTES)) return NULL;
    json_t *value = array ? json_array() : json_object();
    if (value == NULL) fail_nomem(p);
    if (++p->depth > MAX_DEPTH) fail(p, RETORT_LIMIT, "nested too deep");
    p->at++;
    if (p->status == RETORT_OK && array) read_items(p, value);
    if (p->status == RETORT_OK && !array) read_members(p, value);
    p->depth--;
    if (p->status == RETORT_OK) return value;
    json_decref(value);
    return NULL;
}

static json_t *read_value(parser *p) {
    char c = peek_token(p);
    if (c == '{' || c == '[') return read_container(p, c == '[');
    if (c == '"') return read_text(p);
    if (c == '-' || (c >= '0' && c <= '9')) return read_number(p);
    return read_word(p);
}

retort_status rt_json_parse(json_t **out, const char *name, const void *data, size_t size,
                            retort_error *err) {
    if (size == 0) return rt_fail(err, RETORT_FORMAT, "%s: empty where JSON was expected", name);
    rt_budget_about(name, "");
    parser p = {.name = name, .start = data, .at = data, .end = (const char *)data + size, .err = err};
    json_t *root = read_value(&p);
    peek_token(&p);
    if (p.at < p.end) fail(&p, RETORT_FORMAT, "something follows the value");
    if (p.status == RETORT_OK) {
        *out = root;
    } else {
        json_decref(root);
    }
    return p.status;
}

retort_status rt_json_load(json_t **out, const char *path, retort_error *err) {
    rt_map map;
    retort_status status = rt_map_open(&map, path, err);
    if (status == RETORT_OK) status = rt_json_parse(out, path, map.data, map.size, err);
    rt_map_close(&map);
    return status;
}

bool rt_json_append(rt_buffer *out, const char *text) {
    size_t left = strlen(text);
    rt_buffer_text(out, "\"");
    while (left > 0) {
        size_t length = utf8_length((const unsigned char *)text, left);
        if (length == 0) return false;
        if (*text == '"' || *text == '\\') {
            rt_buffer_format(out, "\\%c", *text);
        } else if ((unsigned char)*text < 0x20) {
            rt_buffer_format(out, "\\u%04x", (unsigned)*text);
        } else {
            rt_buffer_append(out, text, length);
        }
        text += length;
        left -= length;
    }
    rt_buffer_text(out, "\"");
    return true;
}
