/* SPDX-License-Identifier: Apache-2.0
 * The added tokens of a tokenizer that comes without a tokenizer.json. */
#include "text/checkpoint.h"

#include "base/names.h"

#include <stdlib.h>
#include <string.h>

/* Added tokens, each content once. */
typedef struct added_list {
    json_t *tokens;
    rt_names known;
} added_list;

/* Adds `token`, or a special token with the content where it is no object. False: out of memory. */
static bool add_token(added_list *list, const char *content, json_t *token, bool lstrip) {
    int known = 0;
    if (content == NULL) return true;
    if (!rt_names_add(&list->known, content, 0, &known)) return false;
    if (known >= 0) return true;
    if (json_is_object(token)) return json_array_append(list->tokens, token) == 0;
    token = json_pack("{s:s,s:b,s:b}", "content", content, "special", 1, "lstrip", lstrip);
    return json_array_append_new(list->tokens, token) == 0;
}

static int compare_ids(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    long i = strtol(*x, NULL, 10), k = strtol(*y, NULL, 10);
    return i < k ? -1 : i > k;
}

/* "added_tokens_decoder": {"id": token, …} in the order of the ids. */
static bool add_decoder_tokens(added_list *list, json_t *decoder) {
    size_t count = json_object_size(decoder), n = 0;
    const char **ids = rt_calloc(count, sizeof *ids), *id;
    json_t *token;
    bool fine = ids != NULL;
    json_object_foreach(decoder, id, token) {
        if (fine) ids[n++] = id;
    }
    if (fine) qsort(ids, n, sizeof *ids, compare_ids);
    for (size_t i = 0; i < n && fine; i++) {
        token = json_object_get(decoder, ids[i]);
        fine = add_token(list, rt_token_text(token), token, false);
    }
    free(ids);
    return fine;
}

/* A special token as the files have it, which may be an object with its flags. */
static bool add_special(added_list *list, json_t *config, const rt_token_model_row *row, rt_special special) {
    json_t *stated = json_object_get(config, rt_special_keys[special]), *token = NULL;
    if (json_is_object(stated)) {
        token = json_copy(stated);
        if (token == NULL || json_object_set_new(token, "special", json_true()) != 0) return false;
        json_object_del(token, "__type");
    }
    bool lstrip = row->mask_lstrip && special == RT_MASK;
    bool fine =
        add_token(list, rt_special_text(config, row, special), row->mask_lstrip ? token : NULL, lstrip);
    json_decref(token);
    return fine;
}

json_t *rt_added_list(json_t *config, const rt_token_model_row *row, rt_has_piece_fn has, const void *vocab) {
    static const char *const more_keys[] = {"additional_special_tokens", "extra_special_tokens"};
    added_list list = {.tokens = json_array()};
    bool fine =
        list.tokens != NULL && add_decoder_tokens(&list, json_object_get(config, "added_tokens_decoder"));
    for (size_t i = 0; i < RT_SPECIALS && fine; i++) {
        if (has(vocab, rt_special_text(config, row, (rt_special)i)))
            fine = add_special(&list, config, row, (rt_special)i);
    }
    for (size_t i = 0; i < 2 && fine; i++) {
        const json_t *more = json_object_get(config, more_keys[i]);
        for (size_t k = 0; k < json_array_size(more) && fine; k++) {
            fine = add_token(&list, rt_token_text(json_array_get(more, k)), NULL, false);
        }
    }
    rt_names_free(&list.known);
    if (fine) return list.tokens;
    json_decref(list.tokens);
    return NULL;
}
