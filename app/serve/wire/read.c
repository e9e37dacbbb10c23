/* SPDX-License-Identifier: Apache-2.0
 * What the wire forms share for reading a body. */
#include "serve/wire/read.h"
#include "serve/wire/errors.h"

#include <stdlib.h>

bool srv_call_wrong(srv_call *call, const char *name, const char *expected, const srv_json *found) {
    return srv_call_fail(call, SRV_ERROR_INVALID, "%s: expected %s, found %s", name, expected,
                         srv_json_kind_name(found));
}

static bool is_given(const srv_json *value) {
    return value != NULL && value->kind != SRV_NULL;
}

bool srv_read_int(srv_call *call, const srv_json *object, const char *name, int64_t min, int64_t max,
                  int64_t *out) {
    const srv_json *value = srv_json_get(object, name);
    int64_t whole;
    if (!is_given(value)) return true;
    if (!srv_json_whole(value, &whole)) return srv_call_wrong(call, name, "a whole number", value);
    if (whole < min || whole > max)
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s is %lld: expected %lld to %lld", name,
                             (long long)whole, (long long)min, (long long)max);
    *out = whole;
    return true;
}

/* Makes room for one more input, in an array of `size`-byte items. */
static bool add_input(srv_call *call, void **array, size_t size) {
    srv_ask *ask = &call->ask;
    long max = call->service->options->items;
    if (ask->count == (size_t)max)
        return srv_call_fail(call, SRV_ERROR_INVALID, "more inputs than max_client_batch_size, which is %ld",
                             max);
    if (ask->count == ask->capacity) {
        size_t capacity = 2 * ask->capacity + 4;
        if (!srv_call_charge(call, (capacity - ask->capacity) * size)) return false;
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

bool srv_add_pair(srv_call *call, const char *name, const srv_json *string) {
    if (!srv_json_is(string, SRV_STRING)) return srv_call_wrong(call, name, "a string", string);
    retort_text *text = &call->ask.texts[call->ask.count - 1];
    text->pair = string->text;
    text->pair_length = string->length;
    call->characters += string->length;
    return true;
}

bool srv_add_id_list(srv_call *call, const char *name, const srv_json *list) {
    srv_ids *ids = srv_add_ids(call);
    if (ids == NULL) return false;
    *ids = (srv_ids){.ids = {.json = srv_json_first(list)}, .n = list->count};
    for (uint32_t i = 0; i < list->count; i++) { /* integers have consecutive values */
        const srv_json *id = &ids->ids.json[i];
        if (id->kind != SRV_INTEGER) return srv_call_wrong(call, name, "token ids", id);
    }
    return true;
}
