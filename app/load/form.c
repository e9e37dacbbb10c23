/* SPDX-License-Identifier: Apache-2.0
 * The wire forms, one row each, and their requests. */
#include "load/form.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *text_json(const retort_text *text) {
    return cli_json_text(text->text, text->length);
}

/* "a", or ["a", "b"] for a pair. */
static json_t *one_json(const retort_text *text) {
    if (text->pair == NULL) return text_json(text);
    return json_pack("[o, o]", text_json(text), cli_json_text(text->pair, text->pair_length));
}

static json_t *list_json(const retort_text *texts, size_t n, json_t *(*make)(const retort_text *)) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, make(&texts[i]));
    return list;
}

/* Each of several texts is a list, since a flat list of two would be a pair. */
static json_t *nested_json(const retort_text *text) {
    return text->pair != NULL ? one_json(text) : json_pack("[o]", text_json(text));
}

static json_t *inputs_json(const retort_text *texts, size_t n) {
    return n == 1 ? one_json(texts) : list_json(texts, n, nested_json);
}

static json_t *tei_body(const load_wire *wire, const retort_text *texts) {
    return json_pack("{s:o, s:s*}", "inputs", inputs_json(texts, wire->texts), "model", wire->model);
}

static json_t *hf_body(const load_wire *wire, const retort_text *texts) {
    json_t *inputs = wire->texts == 1 ? one_json(texts) : list_json(texts, wire->texts, one_json);
    return json_pack("{s:o, s:{}, s:s*}", "inputs", inputs, "parameters", "model", wire->model);
}

static json_t *openai_body(const load_wire *wire, const retort_text *texts) {
    json_t *input = wire->texts == 1 ? text_json(texts) : list_json(texts, wire->texts, text_json);
    return json_pack("{s:o, s:s*}", "input", input, "model", wire->model);
}

static json_t *oip_body(const load_wire *wire, const retort_text *texts) {
    return json_pack("{s:[{s:s, s:[I], s:s, s:o}]}", "inputs", "name", "text", "shape",
                     (json_int_t)wire->texts, "datatype", "BYTES", "data",
                     list_json(texts, wire->texts, text_json));
}

static const struct form {
    const char *name;
    const char *before, *after; /* its path; the model's name goes before `after` unless that is NULL */
    bool pairs;
    json_t *(*body)(const load_wire *wire, const retort_text *texts);
} forms[] = {
    {"tei", "/predict", NULL, true, tei_body},
    {"hf", "/", NULL, true, hf_body},
    {"openai", "/v1/embeddings", NULL, false, openai_body},
    {"oip", "/v2/models/", "/infer", false, oip_body},
};

static const struct form *find_form(const char *name) {
    size_t i = 0;
    while (i + 1 < sizeof forms / sizeof *forms && strcmp(forms[i].name, name) != 0) i++;
    return &forms[i];
}

static cli_code set_path(load_target *target, const struct form *form, const load_wire *wire) {
    bool named = form->after != NULL;
    if (*target->path != '\0' && (!named || wire->model == NULL)) return CLI_DONE;
    if (*target->path != '\0') {
        cli_error(
            "--served-model-name has no effect with --form %s and a path in the URL, which names the model",
            form->name);
        return CLI_USAGE;
    }
    if (named && wire->model == NULL) {
        cli_error("--form %s needs --served-model-name, or a path in the URL", form->name);
        return CLI_USAGE;
    }
    int n = snprintf(target->path, sizeof target->path, "%s%s%s", form->before, named ? wire->model : "",
                     named ? form->after : "");
    bool fits = n > 0 && (size_t)n < sizeof target->path && strcspn(target->path, " ?#\r\n") == (size_t)n;
    if (fits) return CLI_DONE;
    cli_error("--served-model-name: '%s' does not fit into a path", wire->model);
    return CLI_USAGE;
}

static bool add_request(load_requests *out, size_t *capacity, const char *head, const char *body) {
    size_t used = out->starts[out->count], need = strlen(head) + strlen(body) + 64;
    if (used + need > *capacity) {
        size_t grown_capacity = 2 * (used + need);
        char *grown = realloc(out->bytes, grown_capacity);
        if (grown == NULL) return false;
        out->bytes = grown;
        *capacity = grown_capacity;
    }
    int n = snprintf(out->bytes + used, need, "%sContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
    out->starts[++out->count] = used + (size_t)n;
    return true;
}

/* Everything before Content-Length. */
static cli_code make_head(char *out, size_t size, const load_target *target, const load_wire *wire) {
    const char *header = wire->header != NULL ? wire->header : "", *end = *header != '\0' ? "\r\n" : "";
    if (*header != '\0' && (strchr(header, ':') == NULL || strpbrk(header, "\r\n") != NULL)) {
        cli_error("--header: expected 'NAME: VALUE', found '%s'", header);
        return CLI_USAGE;
    }
    bool usual = strcmp(target->port, "80") == 0;
    int n = snprintf(out, size, "POST %s HTTP/1.1\r\nHost: %s%s%s\r\nContent-Type: application/json\r\n%s%s",
                     target->path, target->host, usual ? "" : ":", usual ? "" : target->port, header, end);
    if (n > 0 && (size_t)n < size) return CLI_DONE;
    cli_error("--header: longer than %zu bytes", size);
    return CLI_USAGE;
}

static cli_code make_all(load_requests *out, const char *head, const struct form *form, const load_wire *wire,
                         const load_texts *texts) {
    size_t capacity = 0, next = 0, size = wire->texts > 1 ? wire->texts : 1;
    size_t count = texts->count >= size ? texts->count / size : 1;
    retort_text *group = calloc(size, sizeof *group);
    out->starts = calloc(count + 1, sizeof *out->starts);
    bool fits = group != NULL && out->starts != NULL;
    for (size_t i = 0; fits && i < count; i++) {
        for (size_t k = 0; k < size; k++) {
            group[k] = texts->items[next++];
            if (next == texts->count) next = 0; /* repeats texts if there are fewer than a request takes */
        }
        json_t *json = form->body(wire, group);
        char *body = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
        fits = body != NULL && add_request(out, &capacity, head, body);
        free(body);
        json_decref(json);
    }
    free(group);
    return fits ? CLI_DONE : cli_no_memory();
}

cli_code load_requests_make(load_requests *out, load_target *target, const load_wire *wire,
                            const load_texts *texts) {
    char head[2048];
    const struct form *form = find_form(wire->form);
    *out = (load_requests){.texts = wire->texts};
    for (size_t i = 0; i < texts->count && !form->pairs; i++) {
        if (texts->items[i].pair == NULL) continue;
        cli_error("--form %s takes no pairs of texts", form->name);
        return CLI_USAGE;
    }
    cli_code code = set_path(target, form, wire);
    if (code == CLI_DONE) code = make_head(head, sizeof head, target, wire);
    return code == CLI_DONE ? make_all(out, head, form, wire, texts) : code;
}

void load_requests_free(load_requests *requests) {
    free(requests->bytes);
    free(requests->starts);
    *requests = (load_requests){0};
}
