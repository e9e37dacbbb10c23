/* SPDX-License-Identifier: Apache-2.0
 * Reads HTTP answers. A line longer than the buffer is truncated: the relevant fields are short. */
#include "load/answer.h"

#include <string.h>
#include <strings.h>

/* Adds bytes to the current line; true at its end. */
static bool take_line(load_answer *a, const char *bytes, size_t n, size_t *taken) {
    const char *end = memchr(bytes, '\n', n);
    size_t length = end != NULL ? (size_t)(end - bytes) : n, room = sizeof a->line - 1 - a->line_length;
    size_t kept = length < room ? length : room;
    memcpy(a->line + a->line_length, bytes, kept);
    a->line_length += kept;
    *taken = length + (end != NULL);
    if (end == NULL) return false;
    if (a->line_length > 0 && a->line[a->line_length - 1] == '\r') a->line_length--;
    a->line[a->line_length] = '\0';
    a->line_length = 0;
    return true;
}

/* Digits in this base, followed directly by one of `ends`. */
static bool read_number(const char *text, unsigned base, const char *ends, uint64_t *out) {
    static const char digits[] = "0123456789abcdef";
    const char *at = text;
    *out = 0;
    for (; *at != '\0' && strchr(ends, *at) == NULL; at++) {
        const char *digit = strchr(digits, *at >= 'A' && *at <= 'F' ? *at - 'A' + 'a' : *at);
        if (digit == NULL || (unsigned)(digit - digits) >= base || *out >> 55 != 0) return false;
        *out = *out * base + (uint64_t)(digit - digits);
    }
    return at > text;
}

/* "HTTP/1.1 200 OK" */
static bool read_status(load_answer *a) {
    uint64_t status;
    const char *line = a->line;
    bool known = strncmp(line, "HTTP/1.", 7) == 0 && (line[7] == '0' || line[7] == '1') && line[8] == ' ';
    if (!known || !read_number(line + 9, 10, " ", &status) || status < 100 || status > 599) return false;
    a->status = (int)status;
    a->keep = line[7] == '1';
    a->stage = LOAD_FIELDS;
    return true;
}

/* The value of the line's field, if it has this name. */
static const char *field(const load_answer *a, const char *name) {
    size_t length = strlen(name);
    if (strncasecmp(a->line, name, length) != 0 || a->line[length] != ':') return NULL;
    const char *value = a->line + length + 1;
    return value + strspn(value, " \t");
}

static bool read_field(load_answer *a) {
    const char *value;
    if ((value = field(a, "content-length")) != NULL) {
        uint64_t left;
        if (!read_number(value, 10, " \t", &left) || (a->sized && left != a->left)) return false;
        a->sized = true;
        a->left = left;
    } else if ((value = field(a, "transfer-encoding")) != NULL) {
        a->chunked = strcasecmp(value, "chunked") == 0;
        return a->chunked;
    } else if ((value = field(a, "connection")) != NULL) {
        if (strcasecmp(value, "close") == 0) a->keep = false;
        if (strcasecmp(value, "keep-alive") == 0) a->keep = true;
    } else if (field(a, "retry-after") != NULL) {
        a->retry_after = true;
    }
    return true;
}

/* The empty line after the fields. */
static void begin_body(load_answer *a) {
    if (a->status < 200) { /* an interim answer: the real one follows */
        *a = (load_answer){.touched = true};
    } else if (a->status == 204 || a->status == 304) {
        a->stage = LOAD_COMPLETE;
    } else if (a->chunked) {
        a->stage = LOAD_CHUNK_SIZE;
    } else if (a->sized) {
        a->stage = a->left > 0 ? LOAD_BODY : LOAD_COMPLETE;
    } else {
        a->stage = LOAD_TO_THE_END;
        a->keep = false;
    }
}

static bool read_line(load_answer *a) {
    switch (a->stage) {
    case LOAD_STATUS_LINE:
        return read_status(a);
    case LOAD_FIELDS:
        if (*a->line != '\0') return read_field(a);
        begin_body(a);
        return true;
    case LOAD_CHUNK_SIZE:
        a->stage = LOAD_CHUNK;
        if (!read_number(a->line, 16, "; \t", &a->left)) return false;
        if (a->left == 0) a->stage = LOAD_TRAILERS;
        return true;
    case LOAD_CHUNK_END:
        a->stage = LOAD_CHUNK_SIZE;
        return *a->line == '\0';
    default: /* LOAD_TRAILERS */
        if (*a->line == '\0') a->stage = LOAD_COMPLETE;
        return true;
    }
}

static void take_body(load_answer *a, const char *bytes, size_t n) {
    size_t room = sizeof a->body - a->body_length, kept = n < room ? n : room;
    uint64_t hash = a->hash != 0 ? a->hash : UINT64_C(0xcbf29ce484222325);
    memcpy(a->body + a->body_length, bytes, kept);
    a->body_length += kept;
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    a->hash = hash;
}

bool load_answer_take(load_answer *a, const char *bytes, size_t n, size_t *taken) {
    size_t used = 0;
    for (size_t step; used < n && a->stage != LOAD_COMPLETE; used += step) {
        a->touched = true;
        if (a->stage == LOAD_TO_THE_END) {
            step = n - used;
            take_body(a, bytes + used, step);
        } else if (a->stage == LOAD_BODY || a->stage == LOAD_CHUNK) {
            step = n - used < a->left ? n - used : (size_t)a->left;
            take_body(a, bytes + used, step);
            a->left -= step;
            if (a->left == 0) a->stage = a->stage == LOAD_BODY ? LOAD_COMPLETE : LOAD_CHUNK_END;
        } else if (take_line(a, bytes + used, n - used, &step) && !read_line(a)) {
            return false;
        }
    }
    *taken = used;
    return true;
}

bool load_answer_end(load_answer *a) {
    if (a->stage == LOAD_TO_THE_END) a->stage = LOAD_COMPLETE;
    return a->stage == LOAD_COMPLETE;
}
