/* SPDX-License-Identifier: Apache-2.0
 * What the wire forms have in common when they read a body. */
#include "serve/server.h"

#include <stdlib.h>

bool srv_call_wrong(srv_call *call, const char *name, const char *expected, const srv_json *found) {
    return srv_call_fail(call, SRV_ERROR_INVALID, "%s: expected %s, found %s", name, expected,
                         srv_json_kind_name(found));
}

static bool is_given(const srv_json *value) {
    return value != NULL && value->kind != SRV_NULL;
}

bool srv_read_bool(srv_call *call, const srv_json *object, const char *name, bool *out) {
    const srv_json *value = srv_json_get(object, name);
    if (!is_given(value)) return true;
    if (value->kind != SRV_TRUE && value->kind != SRV_FALSE)
        return srv_call_wrong(call, name, "a boolean", value);
    *out = value->kind == SRV_TRUE;
    return true;
}

/* 1.0 is a whole number as well. */
static bool read_whole(const srv_json *value, int64_t *out) {
    if (value->kind == SRV_INTEGER) *out = value->integer;
    if (value->kind == SRV_INTEGER) return true;
    bool whole = value->kind == SRV_REAL && value->real > -1e15 && value->real < 1e15 &&
                 (double)(int64_t)value->real == value->real;
    if (whole) *out = (int64_t)value->real;
    return whole;
}

bool srv_read_int(srv_call *call, const srv_json *object, const char *name, int64_t least, int64_t most,
                  int64_t *out) {
    const srv_json *value = srv_json_get(object, name);
    int64_t whole;
    if (!is_given(value)) return true;
    if (!read_whole(value, &whole)) return srv_call_wrong(call, name, "a whole number", value);
    if (whole < least || whole > most)
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s is %lld: expected %lld to %lld", name,
                             (long long)whole, (long long)least, (long long)most);
    *out = whole;
    return true;
}

bool srv_read_model(srv_call *call, const srv_json *body) {
    const srv_json *value = srv_json_get(body, "model");
    if (!is_given(value)) return true;
    if (value->kind != SRV_STRING) return srv_call_wrong(call, "model", "a string", value);
    if (call->server->options->model_count == 1) return true; /* clients name what they know */
    call->model = (srv_slice){value->text, value->length};
    return true;
}

bool srv_read_cut(srv_call *call, const srv_json *body) {
    bool cut = false, given = is_given(srv_json_get(body, "truncate"));
    if (!srv_read_bool(call, body, "truncate", &cut)) return false;
    call->ask.cut = given && cut;
    call->ask.no_cut = given && !cut;
    const srv_json *side = srv_json_get(body, "truncation_direction");
    if (!is_given(side)) return true;
    call->ask.left = srv_json_equals(side, "left") || srv_json_equals(side, "Left");
    if (call->ask.left || srv_json_equals(side, "right") || srv_json_equals(side, "Right")) return true;
    return srv_call_fail(call, SRV_ERROR_INVALID, "truncation_direction: expected 'left' or 'right'");
}

/* Room for one more input, in an array of `size`-byte items. */
static bool add_input(srv_call *call, void **array, size_t size) {
    srv_ask *ask = &call->ask;
    long most = call->server->options->items;
    if (ask->count == (size_t)most)
        return srv_call_fail(call, SRV_ERROR_INVALID, "more inputs than max_client_batch_size, which is %ld",
                             most);
    if (ask->count == ask->capacity) {
        size_t capacity = 2 * ask->capacity + 4;
        void *grown = realloc(*array, capacity * size);
        if (grown == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
        *array = grown;
        ask->capacity = capacity;
    }
    ask->count++;
    return true;
}

retort_text *srv_add_text(srv_call *call) {
    void *array = call->ask.texts;
    bool added = add_input(call, &array, sizeof *call->ask.texts);
    call->ask.texts = array;
    if (!added) return NULL;
    retort_text *text = &call->ask.texts[call->ask.count - 1];
    *text = (retort_text){0};
    return text;
}

srv_ids *srv_add_ids(srv_call *call) {
    void *array = call->ask.ids;
    bool added = add_input(call, &array, sizeof *call->ask.ids);
    call->ask.ids = array;
    if (!added) return NULL;
    srv_ids *ids = &call->ask.ids[call->ask.count - 1];
    *ids = (srv_ids){0};
    return ids;
}

bool srv_add_string(srv_call *call, const char *name, const srv_json *string) {
    if (!srv_json_is(string, SRV_STRING)) return srv_call_wrong(call, name, "a string", string);
    retort_text *text = srv_add_text(call);
    if (text == NULL) return false;
    text->text = string->text;
    text->length = string->length;
    call->characters += string->length;
    return true;
}
