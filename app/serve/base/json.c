/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/base/json.h"
#include "cli/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct parser {
    srv_json_doc *doc;
    char *start, *at, *end; /* *end is NUL */
    int depth;
} parser;

static bool read_value(parser *p);

static bool fail(parser *p, const char *what) {
    size_t line = 1, column = 1;
    if (p->doc->error[0] != '\0') return false;
    for (const char *c = p->start; c < p->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    snprintf(p->doc->error, sizeof p->doc->error, "line %zu column %zu: %s", line, column, what);
    return false;
}

static bool grow(srv_json_doc *doc) {
    size_t capacity = 2 * doc->capacity + 16, added = (capacity - doc->capacity) * sizeof *doc->values;
    bool fits = srv_memory_take(doc->memory, SRV_USE_INPUTS, added);
    srv_json *grown = fits ? realloc(doc->values, capacity * sizeof *grown) : NULL;
    doc->no_memory = grown == NULL;
    doc->over = !fits;
    if (grown == NULL) {
        if (fits) srv_memory_give(doc->memory, SRV_USE_INPUTS, added);
        return false;
    }
    doc->values = grown;
    doc->capacity = capacity;
    return true;
}

/* Index of a new value; SIZE_MAX, with the error recorded, if there is none. */
static size_t push(parser *p, srv_json_kind kind) {
    srv_json_doc *doc = p->doc;
    if (doc->count == SRV_JSON_VALUES) {
        fail(p, "more values than a request may have");
        return SIZE_MAX;
    }
    if (doc->count == doc->capacity) {
        if (!grow(doc)) {
            fail(p, "out of memory");
            return SIZE_MAX;
        }
    }
    doc->values[doc->count] = (srv_json){.kind = kind, .span = 1};
    return doc->count++;
}

static char peek_token(parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r') p->at++;
    return *p->at;
}

static bool accept(parser *p, char token) {
    if (peek_token(p) != token || p->at == p->end) return false;
    p->at++;
    return true;
}

/* ---- Strings ---- */

/* Four hex digits; -1 if malformed. */
static int32_t read_hex(parser *p) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = *p->at, lower = (char)(c | 32);
        if (c >= '0' && c <= '9') {
            value = value * 16 + c - '0';
        } else if (lower >= 'a' && lower <= 'f') {
            value = value * 16 + lower - 'a' + 10;
        } else {
            return -1;
        }
    }
    return value;
}

static char *put_utf8(char *to, uint32_t code) {
    static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6) to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)(lead[length] | code);
    return to + length;
}

/* What follows "\u": a pair of surrogates above U+FFFF. Six bytes become at most three, twelve become
 * four. */
static char *read_unicode(parser *p, char *to) {
    int32_t code = read_hex(p);
    if (code >= 0xD800 && code < 0xDC00 && p->at[0] == '\\' && p->at[1] == 'u') {
        p->at += 2;
        int32_t low = read_hex(p);
        code = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : -1;
    }
    if (code < 0 || (code >= 0xD800 && code < 0xE000)) {
        fail(p, "an escape that is not a character");
        return NULL;
    }
    return put_utf8(to, (uint32_t)code);
}

static char *read_escape(parser *p, char *to) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = *p->at;
    const char *found = c != '\0' ? strchr(names, c) : NULL;
    if (c == 'u') {
        p->at++;
        return read_unicode(p, to);
    }
    if (found == NULL) {
        fail(p, "an unknown escape in a string");
        return NULL;
    }
    p->at++;
    *to = meanings[found - names];
    return to + 1;
}

/* Moves *from to the next quote, backslash or invalid byte, and copies what it passes to `to`. */
static char *copy_plain(parser *p, char *to) {
    char *from = p->at;
    for (;;) {
        unsigned char c = (unsigned char)*p->at;
        size_t length = 1;
        if (c < 0x20 || c == '"' || c == '\\') break;
        if (c >= 0x80) length = utf8_length((unsigned char *)p->at, (size_t)(p->end - p->at));
        if (length == 0) break;
        p->at += length;
    }
    size_t n = (size_t)(p->at - from);
    if (to != from) memmove(to, from, n);
    return to + n;
}

/* Starts after the opening quote. */
static bool read_string(parser *p) {
    size_t index = push(p, SRV_STRING);
    if (index == SIZE_MAX) return false;
    char *text = p->at, *to = text;
    for (;;) {
        to = copy_plain(p, to);
        if (p->at == p->end) return fail(p, "an unterminated string");
        if (*p->at == '"') break;
        if (*p->at != '\\') return fail(p, "a string that contains a control character or is not UTF-8");
        p->at++;
        to = read_escape(p, to);
        if (to == NULL) return false;
    }
    p->at++;
    p->doc->values[index].text = text;
    p->doc->values[index].length = (uint32_t)(to - text);
    return true;
}

/* ---- Numbers and words ---- */

static size_t skip_digits(parser *p) {
    const char *from = p->at;
    while (*p->at >= '0' && *p->at <= '9') p->at++;
    return (size_t)(p->at - from);
}

/* Moves past a number; *integer: it has neither fraction nor exponent. */
static bool skip_number(parser *p, bool *integer) {
    if (*p->at == '-') p->at++;
    const char *first = p->at;
    if (skip_digits(p) == 0 || (*first == '0' && p->at - first > 1)) return false;
    *integer = true;
    if (*p->at == '.') {
        *integer = false;
        p->at++;
        if (skip_digits(p) == 0) return false;
    }
    if (*p->at == 'e' || *p->at == 'E') {
        *integer = false;
        p->at++;
        if (*p->at == '+' || *p->at == '-') p->at++;
        if (skip_digits(p) == 0) return false;
    }
    return true;
}

static bool read_number(parser *p) {
    enum {
        DIGITS = 18,
        LONGEST = 400
    }; /* an int64 holds any 18 digits; a double ignores digits beyond 400 */
    const char *from = p->at;
    bool integer = false;
    if (!skip_number(p, &integer) || p->at - from > LONGEST) return fail(p, "not a number");
    integer = integer && p->at - from <= DIGITS;
    size_t index = push(p, integer ? SRV_INTEGER : SRV_REAL);
    if (index == SIZE_MAX) return false;
    srv_json *value = &p->doc->values[index];
    if (integer) {
        value->integer = strtoll(from, NULL, 10);
        return true;
    }
    value->real = strtod(from, NULL);
    return isfinite(value->real) || fail(p, "a number outside the range of a double");
}

static bool read_word(parser *p) {
    static const struct {
        const char *text;
        srv_json_kind kind;
    } words[] = {{"true", SRV_TRUE}, {"false", SRV_FALSE}, {"null", SRV_NULL}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].text);
        if (strncmp(p->at, words[i].text, length) != 0) continue;
        p->at += length;
        return push(p, words[i].kind) != SIZE_MAX;
    }
    return fail(p, p->at == p->end ? "unexpected end: expected a value" : "expected a value");
}

/* ---- Arrays and objects ---- */

static bool read_items(parser *p, size_t index) {
    if (accept(p, ']')) return true;
    do {
        if (!read_value(p)) return false;
        p->doc->values[index].count++;
    } while (accept(p, ','));
    return accept(p, ']') || fail(p, "expected ',' or ']'");
}

/* Whether the last key that was read is a duplicate. */
static bool is_repeated(const parser *p, size_t object, size_t key) {
    const srv_json *values = p->doc->values, *last = values + key;
    const srv_json *at = values + object + 1;
    for (uint32_t i = 0; i < values[object].count; i++) {
        if (at->length == last->length && memcmp(at->text, last->text, at->length) == 0) return true;
        at = srv_json_next(srv_json_next(at));
    }
    return false;
}

static bool read_member(parser *p, size_t object) {
    if (p->doc->values[object].count == SRV_JSON_MEMBERS)
        return fail(p, "more members than an object may have");
    if (!accept(p, '"')) return fail(p, "expected a quoted key");
    size_t key = p->doc->count;
    if (!read_string(p)) return false;
    if (is_repeated(p, object, key)) return fail(p, "a duplicate key");
    if (!accept(p, ':')) return fail(p, "expected ':'");
    if (!read_value(p)) return false;
    p->doc->values[object].count++;
    return true;
}

static bool read_members(parser *p, size_t index) {
    if (accept(p, '}')) return true;
    do {
        if (!read_member(p, index)) return false;
    } while (accept(p, ','));
    return accept(p, '}') || fail(p, "expected ',' or '}'");
}

/* An array or object; recursion ends at SRV_JSON_DEPTH. */
static bool read_container(parser *p, bool array) {
    size_t index = push(p, array ? SRV_ARRAY : SRV_OBJECT);
    if (index == SIZE_MAX) return false;
    if (++p->depth > SRV_JSON_DEPTH) return fail(p, "nested too deeply");
    p->at++;
    if (!(array ? read_items(p, index) : read_members(p, index))) return false;
    p->depth--;
    p->doc->values[index].span = (uint32_t)(p->doc->count - index);
    return true;
}

static bool read_value(parser *p) {
    char c = peek_token(p);
    if (c == '{' || c == '[') return read_container(p, c == '[');
    if (c == '"') {
        p->at++;
        return read_string(p);
    }
    if (c == '-' || (c >= '0' && c <= '9')) return read_number(p);
    return read_word(p);
}

bool srv_json_parse(srv_json_doc *doc, char *text, size_t length) {
    parser p = {.doc = doc, .start = text, .at = text, .end = text + length};
    doc->count = 0;
    doc->error[0] = '\0';
    doc->no_memory = doc->over = false;
    if (length > INT32_MAX) return fail(&p, "too long");
    if (!read_value(&p)) return false;
    peek_token(&p);
    return p.at == p.end || fail(&p, "unexpected text after the value");
}

void srv_json_free(srv_json_doc *doc) {
    free(doc->values);
    srv_memory_give(doc->memory, SRV_USE_INPUTS, doc->capacity * sizeof *doc->values);
    doc->values = NULL;
    doc->count = doc->capacity = 0;
}

bool srv_json_equals(const srv_json *value, const char *text) {
    return srv_json_is(value, SRV_STRING) && value->length == strlen(text) &&
           memcmp(value->text, text, value->length) == 0;
}

bool srv_json_whole(const srv_json *value, int64_t *out) {
    if (value->kind == SRV_INTEGER) *out = value->integer;
    if (value->kind == SRV_INTEGER) return true;
    bool whole = value->kind == SRV_REAL && value->real > -1e15 && value->real < 1e15 &&
                 (double)(int64_t)value->real == value->real;
    if (whole) *out = (int64_t)value->real;
    return whole;
}

const srv_json *srv_json_get(const srv_json *object, const char *key) {
    if (!srv_json_is(object, SRV_OBJECT)) return NULL;
    const srv_json *at = srv_json_first(object);
    for (uint32_t i = 0; i < object->count; i++) {
        if (srv_json_equals(at, key)) return at + 1;
        at = srv_json_next(at + 1);
    }
    return NULL;
}

const char *srv_json_kind_name(const srv_json *value) {
    static const char *const names[] = {
        [SRV_NULL] = "null",        [SRV_FALSE] = "a boolean", [SRV_TRUE] = "a boolean",
        [SRV_INTEGER] = "a number", [SRV_REAL] = "a number",   [SRV_STRING] = "a string",
        [SRV_ARRAY] = "an array",   [SRV_OBJECT] = "an object"};
    return value == NULL ? "nothing" : names[value->kind];
}
