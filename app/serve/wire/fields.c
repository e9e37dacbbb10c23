/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/wire/fields.h"
#include "serve/queue/service.h"
#include "serve/wire/errors.h"
#include "serve/wire/read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* "parameters.top_k" */
typedef struct field_name {
    char text[96];
} field_name;

static field_name name_of(const char *where, const char *name, size_t length) {
    field_name out;
    snprintf(out.text, sizeof out.text, "%s%.*s", where, (int)(length < 60 ? length : 60), name);
    return out;
}

static bool refuse(srv_call *call, const srv_form *form, const srv_json *key, const char *where) {
    char known[sizeof call->what] = "none";
    size_t length = 0;
    for (const srv_field *field = form->fields; field->name != NULL && length < sizeof known; field++)
        length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", length > 0 ? ", " : "",
                                   field->name);
    return srv_call_fail(call, SRV_ERROR_INVALID, "unknown field '%s': expected one of %s",
                         name_of(where, key->text, key->length).text, known);
}

/* The index of a word in "a|b|c", from 1; 0: none. */
static int choice_of(const char *choices, const srv_json *value) {
    int place = 1;
    for (const char *at = choices;; place++) {
        size_t length = strcspn(at, "|");
        if (value->length == length && strncasecmp(at, value->text, length) == 0) return place;
        if (at[length] == '\0') return 0;
        at += length + 1;
    }
}

static bool are_strings(const srv_json *list) {
    const srv_json *at = srv_json_first(list);
    for (uint32_t i = 0; i < list->count; i++, at = srv_json_next(at)) {
        if (at->kind != SRV_STRING) return false;
    }
    return true;
}

static bool read_choice(srv_call *call, const srv_field *field, const srv_json *value, const char *name,
                        void *to) {
    if (value->kind != SRV_STRING) return srv_call_wrong(call, name, "a string", value);
    int place = choice_of(field->choices, value);
    if (place == 0)
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s: '%.*s' is not one of %s", name,
                             (int)(value->length < 60 ? value->length : 60), value->text, field->choices);
    memcpy(to, &place, sizeof place);
    return true;
}

static bool read_whole(srv_call *call, const srv_field *field, const srv_json *value, const char *name,
                       void *to) {
    int64_t whole;
    if (!srv_json_whole(value, &whole)) return srv_call_wrong(call, name, "a whole number", value);
    if (whole < field->min || whole > field->max)
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s is %lld: expected %lld to %lld", name,
                             (long long)whole, (long long)field->min, (long long)field->max);
    memcpy(to, &whole, sizeof whole);
    return true;
}

static bool read_text(srv_call *call, const srv_json *value, const char *name, void *to) {
    if (value->kind != SRV_STRING) return srv_call_wrong(call, name, "a string", value);
    const srv_slice text = {value->text, value->length};
    memcpy(to, &text, sizeof text);
    return true;
}

static bool read_field(srv_call *call, const srv_field *field, const srv_json *value, const char *name) {
    void *to = (char *)&call->ask + field->at;
    bool yes = value->kind == SRV_TRUE;
    srv_switch said = yes ? SRV_YES : SRV_NO;
    switch (field->kind) {
    case SRV_FIELD_OWN:
    case SRV_FIELD_UNUSED:
        return true;
    case SRV_FIELD_BOOL:
        if (!yes && value->kind != SRV_FALSE) return srv_call_wrong(call, name, "a boolean", value);
        memcpy(to, &yes, sizeof yes);
        return true;
    case SRV_FIELD_SWITCH:
        if (!yes && value->kind != SRV_FALSE) return srv_call_wrong(call, name, "a boolean", value);
        memcpy(to, &said, sizeof said);
        return true;
    case SRV_FIELD_WHOLE:
        return read_whole(call, field, value, name, to);
    case SRV_FIELD_CHOICE:
        return read_choice(call, field, value, name, to);
    case SRV_FIELD_TEXT:
        return read_text(call, value, name, to);
    case SRV_FIELD_STRINGS:
        if (value->kind != SRV_STRING && (value->kind != SRV_ARRAY || !are_strings(value)))
            return srv_call_wrong(call, name, "a string or a list of strings", value);
        memcpy(to, &value, sizeof(const srv_json *));
        return true;
    }
    return true;
}

bool srv_fields_read(srv_call *call, const srv_form *form, const srv_json *object, const char *where) {
    field_name own;
    if (object == NULL || object->kind == SRV_NULL) return true;
    if (object->kind != SRV_OBJECT) {
        int length = (int)strlen(where);
        snprintf(own.text, sizeof own.text, "%.*s", length > 0 ? length - 1 : 0, where);
        return srv_call_wrong(call, own.text, "an object", object);
    }
    const srv_json *key = srv_json_first(object);
    for (uint32_t i = 0; i < object->count; i++) {
        const srv_json *value = key + 1;
        const srv_field *field = form->fields;
        while (field->name != NULL && !srv_json_equals(key, field->name)) field++;
        if (field->name == NULL) return refuse(call, form, key, where);
        bool skipped =
            field->kind == SRV_FIELD_OWN || field->kind == SRV_FIELD_UNUSED || value->kind == SRV_NULL;
        if (!skipped && !read_field(call, field, value, name_of(where, key->text, key->length).text))
            return false;
        key = srv_json_next(value);
    }
    return true;
}
