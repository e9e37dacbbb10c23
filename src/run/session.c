/* SPDX-License-Identifier: Apache-2.0 */
#include "run/session.h"
#include "base/cpu.h"
#include "base/sized.h"
#include "base/thread.h"
#include "base/check_finite.h"
#include "run/provider.h"
#include "run/stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct retort_session {
    retort_model *model;
    const rt_provider *provider;
    void *state;       /* of the provider; of a cascade, that of its full model */
    rt_stages *stages; /* of a cascade, which owns `state`; else NULL */
    rt_word_cache *cache;
    bool special_as_text, token_vectors;
    const char *prompt;    /* the model's; "" for none */
    const char *pools_all; /* why no tokens can be left out of pooling; NULL: they can */
    uint64_t truncated;    /* texts so far */
    int (*cancel)(void *user);
    void *cancel_user;
};

static const rt_provider *const providers[] = {
#define PROVIDER_ROW(name) &rt_provider_##name,
    RT_PROVIDERS(PROVIDER_ROW)
#undef PROVIDER_ROW
};
enum { PROVIDER_COUNT = sizeof providers / sizeof *providers };

static retort_status find_provider(const rt_provider **out, const char *name, retort_error *err) {
    char known[256] = "";
    for (size_t i = 0, n = 0; i < PROVIDER_COUNT; i++) {
        *out = providers[i];
        if (strcmp(providers[i]->name, name) == 0) return RETORT_OK;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", providers[i]->name);
    }
    *out = NULL;
    return rt_fail(err, RETORT_PROVIDER, "provider '%s': not known; there are %s", name, known);
}

retort_status retort_provider(size_t index, retort_provider_info *info) {
    retort_error why;
    retort_provider_info full;
    if (info == NULL || index >= PROVIDER_COUNT ||
        rt_read_provider_info("provider", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    const rt_provider *provider = providers[index];
    full = (retort_provider_info){.name = provider->name, .help = provider->help, .fused = provider->fused};
    full.found = provider->probe(provider, &full, &why) == RETORT_OK;
    if (!full.found) memcpy(full.reason, why.text, sizeof full.reason);
    rt_give_provider_info(info, &full);
    return RETORT_OK;
}

/* Whether the prompt's tokens can be left out of pooling, if they must be. */
static retort_status check_pooling(retort_session *session, const retort_model *model, retort_error *err) {
    size_t count;
    const rt_encode_options options = {.prompt = session->prompt};
    bool native = session->provider == &rt_provider_native;
    session->pools_all = native ? rt_model_pools_all(model) : "only the provider native can leave them out";
    retort_status status = rt_model_unpooled(model, &options, &count, err);
    if (status != RETORT_OK || count == 0 || native) return status;
    return rt_fail(
        err, RETORT_UNSUPPORTED,
        "provider '%s': the model does not pool the tokens of the prompt '%.60s' (include_prompt is "
        "false): %s",
        session->provider->name, session->prompt, session->pools_all);
}

static retort_status open_session(retort_session *session, retort_model *model,
                                  retort_session_options options, retort_error *err) {
    if (options.provider == NULL) options.provider = "native";
    if (options.threads == 0) options.threads = rt_cpu_threads();
    if (options.threads < 1 || options.threads > RT_MAX_THREADS) {
        return rt_fail(err, RETORT_ARGUMENT, "%d threads: expected 1 to %d", options.threads, RT_MAX_THREADS);
    }
    if (options.chunk_tokens < 0 || options.chunk_tokens > 1 << 20) {
        return rt_fail(err, RETORT_ARGUMENT, "chunks of %lld tokens: expected 1 to %d",
                       (long long)options.chunk_tokens, 1 << 20);
    }
    if (options.unpack < RETORT_UNPACK_AUTO || options.unpack > RETORT_UNPACK_NEVER) {
        return rt_fail(err, RETORT_ARGUMENT, "unpack %d: expected RETORT_UNPACK_AUTO, _ALWAYS or _NEVER",
                       (int)options.unpack);
    }
    session->special_as_text = options.special_as_text;
    session->cancel = options.cancel;
    session->cancel_user = options.cancel_user;
    const char *name =
        options.prompt_name != NULL ? options.prompt_name : model->config.sentences.default_prompt;
    retort_status status = rt_config_prompt(&model->config, name, &session->prompt, err);
    if (status == RETORT_OK) status = find_provider(&session->provider, options.provider, err);
    if (status == RETORT_OK) status = check_pooling(session, model, err);
    if (status != RETORT_OK) return status;
    if (options.token_vectors && strcmp(options.provider, "native") != 0)
        return rt_fail(err, RETORT_ARGUMENT, "token vectors: only the provider native gives them");
    session->token_vectors = options.token_vectors;
    if (options.token_vectors) status = rt_model_token_vectors(&session->model, model, err);
    if (!options.token_vectors) session->model = retort_model_retain(model);
    if (status != RETORT_OK) return status;
    if (model->tokenizer != NULL) {
        session->cache = rt_word_cache_new(model->tokenizer, 0);
        if (session->cache == NULL) return rt_fail_nomem(err, sizeof *session);
    }
    if (model->cascade == NULL)
        return session->provider->open(session->provider, &session->state, session->model, &options, err);
    status = rt_stages_open(&session->stages, session->model, session->provider, &options, err);
    if (status == RETORT_OK) session->state = rt_stages_full(session->stages);
    return status;
}

retort_status retort_session_open(retort_session **out, retort_model *model,
                                  const retort_session_options *options, retort_error *err) {
    retort_session_options o;
    if (out == NULL || model == NULL)
        return rt_fail(err, RETORT_ARGUMENT, "session: out and model must be given");
    retort_status status = rt_read_session_options("session", options, &o, err);
    if (status != RETORT_OK) return status;
    retort_session *session = rt_calloc(1, sizeof *session);
    if (session == NULL) return rt_fail_nomem(err, sizeof *session);
    status = open_session(session, model, o, err);
    if (status == RETORT_OK) {
        *out = session;
    } else {
        retort_session_close(session);
    }
    return status;
}

void retort_session_close(retort_session *session) {
    if (session == NULL) return;
    if (session->provider != NULL && session->stages == NULL) session->provider->close(session->state);
    rt_stages_close(session->stages);
    rt_word_cache_free(session->cache);
    retort_model_free(session->model);
    free(session);
}

static retort_status check_finite(const retort_matrix *out, retort_error *err) {
    size_t n = out->rows * out->columns, at = rt_first_nonfinite(out->data, RETORT_F32, n);
    if (at == n) return RETORT_OK;
    return rt_fail(err, RETORT_NONFINITE, "run: row %zu of the answer is not finite: number %zu is %g",
                   at / out->columns, at % out->columns, (double)out->data[at]);
}

/* truncate_dim: the first columns of each row of an embedding model, in memory of the session. */
static void keep_columns(const rt_config *config, retort_matrix *out) {
    size_t keep = (size_t)config->sentences.columns;
    if (keep == 0 || out->columns <= keep) return;
    float *data = (float *)(uintptr_t)out->data;
    for (size_t i = 1; i < out->rows; i++)
        memmove(data + i * keep, data + i * out->columns, keep * sizeof *data);
    out->columns = keep;
}

retort_status retort_run(retort_session *session, const retort_batch *batch, retort_matrix *out,
                         retort_error *err) {
    return retort_run_unpooled(session, batch, NULL, out, err);
}

retort_status retort_run_unpooled(retort_session *session, const retort_batch *batch, const int32_t *unpooled,
                                  retort_matrix *out, retort_error *err) {
    if (session == NULL || batch == NULL || out == NULL ||
        (batch->n > 0 && (batch->ids == NULL || batch->offsets == NULL))) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "run: a session, a batch with ids and offsets, and a result are needed");
    }
    const rt_batch whole = {batch->ids, batch->types, batch->offsets, batch->n, unpooled};
    return rt_session_run(session, &whole, out, err);
}

retort_status rt_session_run(retort_session *session, const rt_batch *batch, retort_matrix *out,
                             retort_error *err) {
    for (size_t i = 0; session->pools_all != NULL && batch->unpooled != NULL && i < batch->n; i++) {
        if (batch->unpooled[i] != 0)
            return rt_fail(err, RETORT_UNSUPPORTED, "sequence %zu has %d tokens not to be pooled, but %s", i,
                           batch->unpooled[i], session->pools_all);
    }
    retort_status status = session->stages != NULL ? rt_stages_run(session->stages, batch, out, err)
                                                   : session->provider->run(session->state, batch, out, err);
    if (status == RETORT_OK) keep_columns(&session->model->config, out);
    return status == RETORT_OK ? check_finite(out, err) : status;
}

retort_status retort_session_step(const retort_session *session, size_t index, retort_step_info *info) {
    retort_step_info full;
    if (session == NULL || info == NULL || rt_read_step_info("step", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    retort_status status = session->provider->step(session->state, index, &full);
    if (status == RETORT_OK) rt_give_step_info(info, &full);
    return status;
}

retort_status retort_session_describe(const retort_session *session, retort_session_info *info) {
    retort_session_info full;
    if (session == NULL || info == NULL || rt_read_session_info("session", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    full.provider = session->provider->name;
    full.truncated = session->truncated;
    session->provider->describe(session->state, &full);
    if (session->stages != NULL) rt_stages_describe(session->stages, &full);
    rt_give_session_info(info, &full);
    return RETORT_OK;
}

const uint8_t *retort_session_answered_by(const retort_session *session) {
    return session != NULL && session->stages != NULL ? rt_stages_answered_by(session->stages) : NULL;
}

const retort_model *rt_session_model(const retort_session *session) {
    return session->model;
}
bool rt_session_special_as_text(const retort_session *session) {
    return session->special_as_text;
}
bool rt_session_token_vectors(const retort_session *session) {
    return session->token_vectors;
}
const char *rt_session_prompt(const retort_session *session) {
    return session->prompt;
}
uint64_t *rt_session_truncated(retort_session *session) {
    return &session->truncated;
}
rt_word_cache *rt_session_cache(retort_session *session) {
    return session->cache;
}

bool rt_session_may_cancel(const retort_session *session) {
    return session->cancel != NULL;
}

retort_status rt_session_cancel(const retort_session *session, retort_error *err) {
    if (session->cancel == NULL || session->cancel(session->cancel_user) == 0) return RETORT_OK;
    return rt_fail(err, RETORT_CANCELLED, "cancelled");
}
