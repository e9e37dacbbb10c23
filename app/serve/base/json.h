/* SPDX-License-Identifier: Apache-2.0
 * A request's JSON, read in place: values stand in one array in the order of the text, strings are unescaped
 * where they are. RFC 8259, and nothing beyond it. */
#ifndef SERVE_JSON_H
#define SERVE_JSON_H

#include "serve/base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deeper and more numerous than any request needs; what a body can make of memory stays bounded. */
enum { SRV_JSON_DEPTH = 16, SRV_JSON_VALUES = 1 << 19, SRV_JSON_MEMBERS = 64 };

typedef enum srv_json_kind {
    SRV_NULL,
    SRV_FALSE,
    SRV_TRUE,
    SRV_INTEGER,
    SRV_REAL,
    SRV_STRING,
    SRV_ARRAY,
    SRV_OBJECT
} srv_json_kind;

/* An array is followed by its values, an object by a key (a string) and a value for each member. */
typedef struct srv_json {
    srv_json_kind kind;
    uint32_t count;  /* values of an array, members of an object */
    uint32_t span;   /* values that this one takes in the array, itself included */
    uint32_t length; /* bytes of a string */
    union {
        const char *text;
        int64_t integer;
        double real;
    };
} srv_json;

typedef struct srv_json_doc {
    srv_json *values; /* [0] is the whole */
    size_t count, capacity;
    char error[128];    /* "line 1 column 7: …" */
    bool no_memory;     /* that was it */
    bool over;          /* and that for want of room in the budget */
    srv_memory *memory; /* that the values are taken from, as SRV_USE_INPUTS; NULL: they are not counted */
} srv_json_doc;

/* Start with {0}. `text` [length + 1] is changed, must end with NUL and outlive the values. False: see
 * `error`. */
bool srv_json_parse(srv_json_doc *doc, char *text, size_t length);
void srv_json_free(srv_json_doc *doc);

/* The member `key` of an object, or NULL; also when `object` is NULL or none. */
const srv_json *srv_json_get(const srv_json *object, const char *key);
static inline const srv_json *srv_json_first(const srv_json *value) {
    return value + 1;
}
static inline const srv_json *srv_json_next(const srv_json *value) {
    return value + value->span;
}
static inline bool srv_json_is(const srv_json *value, srv_json_kind kind) {
    return value != NULL && value->kind == kind;
}
/* "a string", "an array", …: what a value is. */
const char *srv_json_kind_name(const srv_json *value);
bool srv_json_equals(const srv_json *value, const char *text);
/* A whole number, which 1.0 is as well. */
bool srv_json_whole(const srv_json *value, int64_t *out);

#endif
