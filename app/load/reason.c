/* SPDX-License-Identifier: Apache-2.0
 * What the errors of a server say. */
#include "load/reason.h"

#include <ctype.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static void copy_text(load_reason *out, const char *text, size_t length) {
    if (length >= sizeof out->text) length = sizeof out->text - 1;
    for (size_t i = 0; i < length; i++) out->text[i] = iscntrl((unsigned char)text[i]) ? ' ' : text[i];
    out->text[length] = '\0';
}

/* {"error": "…", "error_type": "…"}, {"error": {"message": "…", "type": "…"}} and the like. */
static void read_error(load_reason *out, const load_answer *answer, bool words) {
    json_t *root = json_loadb(answer->body, answer->body_length, 0, NULL);
    const json_t *error = json_object_get(root, "error"), *inner = json_is_object(error) ? error : root;
    const char *type = json_string_value(json_object_get(inner, "error_type"));
    const char *message = json_string_value(error);
    if (type == NULL) type = json_string_value(json_object_get(inner, "type"));
    if (message == NULL) message = json_string_value(json_object_get(inner, "message"));
    if (type == NULL || (words && message != NULL)) type = message;
    out->status = answer->status;
    if (type != NULL) {
        copy_text(out, type, strlen(type));
    } else {
        copy_text(out, answer->body, answer->body_length);
    }
    json_decref(root);
}

void load_read_reason(load_reason *out, const load_answer *answer) {
    read_error(out, answer, false);
}

void load_read_message(load_reason *out, const load_answer *answer) {
    read_error(out, answer, true);
}

void load_note_reason(load_result *result, const load_answer *answer) {
    load_reason reason;
    load_read_reason(&reason, answer);
    for (size_t i = 0; i < LOAD_REASONS; i++) {
        load_reason *known = &result->reasons[i];
        bool empty = known->count == 0;
        if (empty) *known = (load_reason){.status = reason.status};
        if (empty) memcpy(known->text, reason.text, sizeof known->text);
        if (known->status != reason.status || strcmp(known->text, reason.text) != 0) continue;
        known->count++;
        return;
    }
}
