/* SPDX-License-Identifier: Apache-2.0
 * A request's JSON, parsed in place: values form one array in the order of the text, and strings are
 * unescaped where they are. Strictly RFC 8259. */
#ifndef SERVE_JSON_H
#define SERVE_JSON_H

#include "serve/base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than any request needs; they bound the memory that a body can cause. */
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
    uint32_t span;   /* values in the array that belong to this one, itself included */
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
    bool over;          /* because the budget had no room */
    srv_memory *memory; /* budget of the values, as SRV_USE_INPUTS; NULL: not counted */
} srv_json_doc;

/* Start with {0}. Modifies `text` [length + 1], which must end with NUL and outlive the values. False: see
 * `error`. */
bool srv_json_parse(srv_json_doc *doc, char *text, size_t length);
void srv_json_free(srv_json_doc *doc);

/* The member `key` of an object, or NULL, also if `object` is NULL or not an object. */
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
/* A whole number; 1.0 is one, too. */
bool srv_json_whole(const srv_json *value, int64_t *out);

#endif
