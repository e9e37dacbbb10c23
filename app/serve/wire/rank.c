/* SPDX-License-Identifier: Apache-2.0
 * Ranks texts by how well they answer a query. */
#include "serve/wire/rank.h"
#include "retort.h"
#include "serve/wire/errors.h"
#include "serve/wire/read.h"
#include "serve/wire/write.h"

#include <stdlib.h>

bool srv_read_ranked(srv_call *call, const srv_json *body, const char *name,
                     bool (*add)(srv_call *call, const char *name, const srv_json *value)) {
    const srv_json *query = srv_json_get(body, "query"), *texts = srv_json_get(body, name);
    if (!srv_json_is(query, SRV_STRING)) return srv_call_wrong(call, "query", "a string", query);
    if (!srv_json_is(texts, SRV_ARRAY)) return srv_call_wrong(call, name, "a list of strings", texts);
    const srv_json *at = srv_json_first(texts);
    for (uint32_t i = 0; i < texts->count; i++, at = srv_json_next(at)) {
        if (!add(call, name, at)) return false;
        retort_text *text = &call->ask.texts[i];
        *text = (retort_text){query->text, query->length, text->text, text->length};
        call->characters += query->length;
    }
    return true;
}

bool srv_rank(srv_call *call) {
    size_t n = call->ask.count, labels = (size_t)call->engine->info.labels;
    if (!srv_ranking_open(call, n)) return false;
    if (call->writing.part > 0) return true;
    float *row = malloc(labels * sizeof *row + 1);
    if (row == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        srv_scores(call, srv_values(call, i), row);
        call->writing.scores[i] = row[labels - 1];
    }
    free(row);
    retort_best(call->writing.scores, n, call->writing.order, n);
    return true;
}
