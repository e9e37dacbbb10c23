/* SPDX-License-Identifier: Apache-2.0
 * config_sentence_transformers.json: prompts, how long vectors are, and how they are compared. */
#include "base/map.h"
#include "format/path.h"
#include "arch/sentences.h"

#include <stdio.h>
#include <string.h>

static const char *const similarities[] = {
    [RT_COSINE] = "cosine", [RT_DOT] = "dot", [RT_EUCLIDEAN] = "euclidean", [RT_MANHATTAN] = "manhattan"};

const char *rt_similarity_name(rt_similarity similarity) {
    return similarities[similarity];
}

static retort_status read_similarity(rt_sentences *out, const char *name, const json_t *value,
                                     retort_error *err) {
    const char *text = json_string_value(value);
    if (value == NULL || json_is_null(value)) return RETORT_OK;
    for (size_t i = 0; text != NULL && i < sizeof similarities / sizeof *similarities; i++) {
        if (strcmp(text, similarities[i]) != 0) continue;
        out->similarity = (rt_similarity)i;
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: similarity_fn_name '%.60s'; known are cosine, dot, euclidean and manhattan", name,
                   text != NULL ? text : "(not a string)");
}

static retort_status read_columns(rt_sentences *out, const char *name, const json_t *value,
                                  retort_error *err) {
    if (value == NULL || json_is_null(value)) return RETORT_OK;
    out->columns = json_integer_value(value);
    if (json_is_integer(value) && out->columns > 0) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: truncate_dim is not a positive integer", name);
}

static retort_status read_prompts(rt_sentences *out, rt_arena *arena, const char *name, const json_t *prompts,
                                  retort_error *err) {
    const char *key;
    json_t *value;
    size_t count = json_object_size(prompts);
    if (prompts != NULL && !json_is_null(prompts) && !json_is_object(prompts)) {
        return rt_fail(err, RETORT_FORMAT, "%s: prompts is not an object", name);
    }
    out->prompt_names = rt_arena_calloc(arena, count + 1, sizeof *out->prompt_names);
    out->prompts = rt_arena_calloc(arena, count + 1, sizeof *out->prompts);
    out->prompt_count = 0;
    bool fine = out->prompt_names != NULL && out->prompts != NULL;
    json_object_foreach((json_t *)prompts, key, value) {
        const char *text = json_string_value(value);
        if (text == NULL) return rt_fail(err, RETORT_FORMAT, "%s: prompt '%.60s' is not a string", name, key);
        int64_t at = out->prompt_count++;
        if (!fine) break;
        out->prompt_names[at] = rt_arena_text(arena, key, strlen(key));
        out->prompts[at] = rt_arena_text(arena, text, strlen(text));
        fine = out->prompt_names[at] != NULL && out->prompts[at] != NULL;
    }
    return fine ? RETORT_OK : rt_fail_nomem(err, (count + 1) * sizeof *out->prompts);
}

retort_status rt_sentences_read(rt_sentences *out, rt_arena *arena, const char *name, const json_t *root,
                                retort_error *err) {
    if (!json_is_object(root)) return rt_fail(err, RETORT_FORMAT, "%s: not a JSON object", name);
    retort_status status = read_similarity(out, name, json_object_get(root, "similarity_fn_name"), err);
    if (status == RETORT_OK) status = read_columns(out, name, json_object_get(root, "truncate_dim"), err);
    if (status == RETORT_OK) status = read_prompts(out, arena, name, json_object_get(root, "prompts"), err);
    const json_t *named = json_object_get(root, "default_prompt_name");
    const char *chosen = json_string_value(named);
    if (status == RETORT_OK && named != NULL && chosen == NULL && !json_is_null(named))
        return rt_fail(err, RETORT_FORMAT, "%s: default_prompt_name is not a string", name);
    for (int64_t i = 0; status == RETORT_OK && chosen != NULL && i < out->prompt_count; i++) {
        if (strcmp(chosen, out->prompt_names[i]) == 0) out->default_prompt = out->prompt_names[i];
    }
    if (status != RETORT_OK || chosen == NULL || out->default_prompt != NULL) return status;
    return rt_fail(err, RETORT_FORMAT, "%s: default_prompt_name '%.60s' is not one of the prompts", name,
                   chosen);
}

json_t *rt_sentences_write(const rt_sentences *s) {
    json_t *prompts = json_object();
    bool fine = prompts != NULL;
    for (int64_t i = 0; i < s->prompt_count && fine; i++) {
        fine = json_object_set_new(prompts, s->prompt_names[i], json_string(s->prompts[i])) == 0;
    }
    json_t *root =
        json_pack("{s:s, s:o}", "similarity_fn_name", similarities[s->similarity], "prompts", prompts);
    fine = fine && root != NULL;
    if (fine && s->columns > 0)
        fine = json_object_set_new(root, "truncate_dim", json_integer(s->columns)) == 0;
    if (fine && s->skips_prompt) fine = json_object_set_new(root, "include_prompt", json_false()) == 0;
    if (fine && s->default_prompt != NULL)
        fine = json_object_set_new(root, "default_prompt_name", json_string(s->default_prompt)) == 0;
    if (fine) return root;
    json_decref(root);
    return NULL;
}

static retort_status refuse_prompt(const rt_sentences *s, const char *name, retort_error *err) {
    char known[256];
    if (s->prompt_count == 0)
        return rt_fail(err, RETORT_ARGUMENT, "the model has no prompts, so no '%.60s'", name);
    for (size_t i = 0, n = 0; i < (size_t)s->prompt_count && n < sizeof known; i++) {
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", s->prompt_names[i]);
    }
    return rt_fail(err, RETORT_ARGUMENT, "the model has no prompt '%.60s'; known are: %s", name, known);
}

retort_status rt_config_prompt(const rt_config *config, const char *name, const char **text,
                               retort_error *err) {
    const rt_sentences *s = &config->sentences;
    *text = "";
    if (name == NULL || *name == '\0') return RETORT_OK;
    int64_t i = 0;
    while (i < s->prompt_count && strcmp(s->prompt_names[i], name) != 0) i++;
    if (i == s->prompt_count) return refuse_prompt(s, name, err);
    *text = s->prompts[i];
    return RETORT_OK;
}
