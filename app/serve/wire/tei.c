/* SPDX-License-Identifier: Apache-2.0
 * The wire form of Text Embeddings Inference: predict, embed, rerank, similarity, tokenize, info. */
#include "serve/wire/tei.h"
#include "cli/utf8.h"
#include "retort.h"
#include "serve/base/options.h"
#include "serve/base/out.h"
#include "serve/queue/engine.h"
#include "serve/queue/queue.h"
#include "serve/wire/ask.h"
#include "serve/wire/cohere.h"
#include "serve/wire/errors.h"
#include "serve/wire/field.h"
#include "serve/wire/fields.h"
#include "serve/wire/forms.h"
#include "serve/wire/rank.h"
#include "serve/wire/read.h"
#include "serve/wire/write.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

/* A string, [text], or [text, pair]. */
static bool read_sequence(srv_call *call, const srv_json *value) {
    if (value->kind == SRV_STRING) return srv_add_string(call, "inputs", value);
    if (value->kind != SRV_ARRAY)
        return srv_call_wrong(call, "inputs", "a string or a pair of strings", value);
    if (value->count < 1 || value->count > 2)
        return srv_call_fail(call, SRV_ERROR_INVALID, "inputs: expected a text or a pair, found a list of %u",
                             value->count);
    const srv_json *text = srv_json_first(value);
    if (!srv_add_string(call, "inputs", text) || value->count == 1) return !call->failed;
    return srv_add_pair(call, "inputs", text + 1);
}

/* A flat list of two strings is a pair; a batch is a list of lists. */
static bool read_inputs(srv_call *call, const srv_json *inputs) {
    if (inputs == NULL) return srv_call_fail(call, SRV_ERROR_INVALID, "inputs is missing");
    bool batch =
        inputs->kind == SRV_ARRAY && (inputs->count == 0 || srv_json_first(inputs)->kind == SRV_ARRAY);
    call->ask.single = !batch;
    if (!batch) return read_sequence(call, inputs);
    const srv_json *at = srv_json_first(inputs);
    for (uint32_t i = 0; i < inputs->count; i++, at = srv_json_next(at)) {
        if (at->kind != SRV_ARRAY) return srv_call_wrong(call, "inputs", "an array in a list of arrays", at);
        if (!read_sequence(call, at)) return false;
    }
    return true;
}

/* A string or a list of strings. */
static bool read_strings(srv_call *call, const char *name, const srv_json *value) {
    if (value == NULL) return srv_call_fail(call, SRV_ERROR_INVALID, "%s is missing", name);
    call->ask.single = value->kind == SRV_STRING;
    if (call->ask.single) return srv_add_string(call, name, value);
    if (value->kind != SRV_ARRAY) return srv_call_wrong(call, name, "a string or a list of strings", value);
    const srv_json *at = srv_json_first(value);
    for (uint32_t i = 0; i < value->count; i++, at = srv_json_next(at)) {
        if (!srv_add_string(call, name, at)) return false;
    }
    return true;
}

/* raw_scores: the logits. */
static void set_function(srv_call *call, srv_function otherwise) {
    call->ask.function = (int)(call->ask.raw ? SRV_PLAIN : otherwise);
}

bool srv_tei_read_predict(srv_call *call, const srv_json *body) {
    set_function(call, SRV_BY_MODEL);
    return read_inputs(call, srv_json_get(body, "inputs"));
}

bool srv_tei_read_embed(srv_call *call, const srv_json *body) {
    call->ask.normalize = call->ask.unit != SRV_NO;
    return read_strings(call, "inputs", srv_json_get(body, "inputs"));
}

bool srv_check_dense(srv_call *call) {
    return !call->engine->info.sparse ||
           srv_call_fail(call, SRV_ERROR_UNSUITED,
                         "the model's vectors are sparse: /embed_sparse gives them");
}

bool srv_tei_read_embed_sparse(srv_call *call, const srv_json *body) {
    return read_strings(call, "inputs", srv_json_get(body, "inputs"));
}

bool srv_tei_check_embed_sparse(srv_call *call) {
    return call->engine->info.sparse ||
           srv_call_fail(call, SRV_ERROR_UNSUITED, "the model's vectors are not sparse: /embed gives them");
}

bool srv_tei_read_embed_all(srv_call *call, const srv_json *body) {
    call->ask.token_vectors = true;
    return read_strings(call, "inputs", srv_json_get(body, "inputs"));
}

bool srv_tei_check_embed_all(srv_call *call) {
    return call->engine->info.token_vectors ||
           srv_call_fail(call, SRV_ERROR_UNSUITED,
                         "the model pools only the first token, and does not compute all of the others: "
                         "import it with --without prune-rows");
}

bool srv_tei_read_rerank(srv_call *call, const srv_json *body) {
    if (srv_json_get(body, "documents") != NULL) return srv_cohere_read_documents(call, body);
    if (call->ask.top != 0)
        return srv_call_fail(call, SRV_ERROR_INVALID, "top_n: allowed only with documents");
    if (call->ask.with_document != SRV_UNSAID)
        return srv_call_fail(call, SRV_ERROR_INVALID, "return_documents: allowed only with documents");
    return srv_read_ranked(call, body, "texts", srv_add_string);
}

/* A reranker has one logit, or two labels of which the second means "relevant". What one states of its scores is for one. */
bool srv_tei_check_rerank(srv_call *call) {
    const retort_info *info = &call->engine->info;
    long long labels = (long long)info->labels;
    set_function(call, labels > 1 ? SRV_SOFTMAX : info->activation != NULL ? SRV_BY_MODEL : SRV_SIGMOID);
    if (labels <= 2) return true;
    return srv_call_fail(call, SRV_ERROR_UNSUITED,
                         "the model is not a reranker: it has %lld labels, expected 1 or 2; /predict gives "
                         "the score of each label of a pair",
                         labels);
}

bool srv_tei_read_similarity(srv_call *call, const srv_json *body) {
    const srv_json *inputs = srv_json_get(body, "inputs"), *parameters = srv_json_get(body, "parameters");
    if (!srv_json_is(inputs, SRV_OBJECT)) return srv_call_wrong(call, "inputs", "an object", inputs);
    if (!srv_fields_read(call, &srv_similarity_inputs_form, inputs, "inputs.") ||
        !srv_fields_read(call, &srv_similarity_parameters_form, parameters, "parameters."))
        return false;
    const srv_json *sentences = srv_json_get(inputs, "sentences");
    if (!srv_json_is(sentences, SRV_ARRAY))
        return srv_call_wrong(call, "inputs.sentences", "a list of strings", sentences);
    if (sentences->count == 0) return srv_call_fail(call, SRV_ERROR_EMPTY, "the list of sentences is empty");
    return srv_add_string(call, "inputs.source_sentence", srv_json_get(inputs, "source_sentence")) &&
           read_strings(call, "inputs.sentences", sentences);
}

bool srv_tei_read_tokenize(srv_call *call, const srv_json *body) {
    call->ask.no_special = call->ask.special == SRV_NO;
    call->ask.no_job = true;
    return read_strings(call, "inputs", srv_json_get(body, "inputs"));
}

/* ---- Writing ---- */

static void write_label(srv_call *call, size_t index, float score) {
    char scratch[32];
    const char *label = srv_label(call, index, scratch, sizeof scratch);
    srv_out_text(&call->answer, "{\"score\":");
    srv_out_real(&call->answer, (double)score);
    srv_out_text(&call->answer, ",\"label\":");
    srv_out_string(&call->answer, label, strlen(label));
    srv_out_text(&call->answer, "}");
}

static void write_labels(srv_call *call, size_t item) {
    float *scores = call->writing.scores;
    uint32_t *order = call->writing.order;
    size_t n = (size_t)call->engine->info.labels, shown = n;
    if (call->ask.top > 0 && (size_t)call->ask.top < n) shown = (size_t)call->ask.top;
    srv_scores(call, srv_values(call, item), scores);
    retort_best(scores, n, order, shown);
    srv_out_text(&call->answer, "[");
    for (size_t i = 0; i < shown; i++) {
        if (i > 0) srv_out_text(&call->answer, ",");
        write_label(call, order[i], scores[order[i]]);
    }
    srv_out_text(&call->answer, "]");
}

/* Begins the next part of a list with one item per text; false: there was no more text. */
static bool begin_item(srv_call *call, bool list) {
    size_t part = call->writing.part;
    if (part == 0 && list) srv_out_text(&call->answer, "[");
    if (part > 0 && part < call->ask.count) srv_out_text(&call->answer, ",");
    if (part == call->ask.count && list) srv_out_text(&call->answer, "]");
    return part < call->ask.count;
}

/* One text per part. */
void srv_tei_write_predict(srv_call *call) {
    if (!srv_ranking_open(call, (size_t)call->engine->info.labels)) return;
    if (!begin_item(call, !call->ask.single || call->ask.nested)) return;
    write_labels(call, call->writing.part);
    srv_more(call);
}

/* The number of values requested of each vector, at most all. */
static size_t vector_size(const srv_call *call) {
    size_t n = (size_t)call->engine->info.labels;
    return call->ask.columns > 0 && (size_t)call->ask.columns < n ? (size_t)call->ask.columns : n;
}

static void write_vector(srv_call *call, const float *values, size_t n) {
    srv_out_text(&call->answer, "[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) srv_out_text(&call->answer, ",");
        srv_out_real(&call->answer, (double)values[i]);
    }
    srv_out_text(&call->answer, "]");
}

void srv_tei_write_embed(srv_call *call) {
    size_t n = vector_size(call);
    if (!srv_ranking_open(call, n) || !begin_item(call, true)) return;
    write_vector(call, srv_vector(call, call->writing.part, call->writing.scores, n), n);
    srv_more(call);
}

/* One text per part. */
void srv_tei_write_embed_sparse(srv_call *call) {
    srv_out *out = &call->answer;
    size_t n = (size_t)call->engine->info.labels;
    if (!begin_item(call, true)) return;
    const float *values = srv_values(call, call->writing.part);
    const char *before = "[";
    for (size_t i = 0; i < n; i++) {
        if (values[i] == 0) continue;
        srv_out_format(out, "%s{\"index\":%zu,\"value\":", before, i);
        srv_out_real(out, (double)values[i]);
        srv_out_text(out, "}");
        before = ",";
    }
    srv_out_text(out, *before == '[' ? "[]" : "]");
    srv_more(call);
}

/* One token vector per part. */
void srv_tei_write_embed_all(srv_call *call) {
    srv_writing *writing = &call->writing;
    size_t text = writing->at, hidden = (size_t)call->engine->info.hidden;
    if (text == call->ask.count) {
        srv_out_text(&call->answer, "]");
        return;
    }
    const srv_entry *entry = call->job.items[text].entry;
    if (writing->token == 0) srv_out_text(&call->answer, text > 0 ? ",[" : "[[");
    if (writing->token > 0) srv_out_text(&call->answer, ",");
    write_vector(call, (const float *)entry->answer + writing->token * hidden, hidden);
    if (++writing->token == entry->tokens) {
        srv_out_text(&call->answer, "]");
        writing->token = 0;
        writing->at++;
    }
    srv_more(call);
}

void srv_tei_write_rerank(srv_call *call) {
    srv_out *out = &call->answer;
    if (call->ask.documents) {
        srv_cohere_write_rank(call);
        return;
    }
    if (!srv_rank(call) || !begin_item(call, true)) return;
    uint32_t index = call->writing.order[call->writing.part];
    const retort_text *text = &call->ask.texts[index];
    srv_out_format(out, "{\"index\":%u,\"score\":", index);
    srv_out_real(out, (double)call->writing.scores[index]);
    if (call->ask.with_text) {
        srv_out_text(out, ",\"text\":");
        srv_out_string(out, text->pair, text->pair_length);
    }
    srv_out_text(out, "}");
    srv_more(call);
}

void srv_tei_write_similarity(srv_call *call) {
    size_t item = call->writing.part + 1;
    if (item == 1) srv_out_text(&call->answer, "[");
    if (item < call->ask.count) {
        if (item > 1) srv_out_text(&call->answer, ",");
        srv_out_real(&call->answer,
                     retort_similarity(call->engine->model, srv_values(call, 0), srv_values(call, item),
                                       (size_t)call->engine->info.labels));
        srv_more(call);
    } else {
        srv_out_text(&call->answer, "]");
    }
}

/* ---- tokenize ---- */

/* Advances from `at`, which is at code point *from, to code point `point`. A malformed byte counts as one. */
static const char *advance(const retort_text *text, const char *at, uint32_t *from, uint32_t point) {
    const char *end = text->text + text->length;
    for (; *from < point && at < end; ++*from) {
        size_t length = utf8_length((const unsigned char *)at, (size_t)(end - at));
        at += length > 0 ? length : 1;
    }
    return at;
}

static void write_token(srv_call *call, const srv_token *token, const char *from, const char *to) {
    const char *piece = retort_model_piece(call->engine->model, token->id);
    bool special = token->start == token->stop;
    if (piece == NULL) piece = "";
    srv_out_format(&call->answer, "{\"id\":%d,\"text\":", token->id);
    srv_out_string(&call->answer, special ? piece : from, special ? strlen(piece) : (size_t)(to - from));
    if (special) {
        srv_out_text(&call->answer, ",\"special\":true,\"start\":null,\"stop\":null}");
    } else {
        srv_out_format(&call->answer, ",\"special\":false,\"start\":%u,\"stop\":%u}", token->start,
                       token->stop);
    }
}
/* Writes the next tokens of a text, up to `end` or the size of a part. Starts never decrease, so one walk
 * over the text is enough; pieces of one character share its position. */
static void write_tokens(srv_call *call, const retort_text *text, size_t begin, size_t end) {
    enum { PART = 256 };
    srv_writing *writing = &call->writing;
    size_t first = writing->token, stop = end - first > PART ? first + PART : end;
    for (; writing->token < stop; writing->token++) {
        const srv_token *token = &writing->tokens[writing->token];
        const char *from = text->text + writing->at, *to = from;
        if (token->start < token->stop) {
            from = advance(text, from, &writing->point, token->start);
            writing->at = (size_t)(from - text->text);
            uint32_t point = writing->point; /* stays at the start of the token */
            to = advance(text, from, &point, token->stop);
        }
        if (writing->token > begin) srv_out_text(&call->answer, ",");
        write_token(call, token, from, to);
    }
    atomic_fetch_sub(&call->engine->tokenized, stop - first);
    writing->admitted -= stop - first;
}

/* A part belongs to one text; a long text has several. */
void srv_tei_write_tokenize(srv_call *call) {
    srv_writing *writing = &call->writing;
    size_t text = writing->part;
    if (text == call->ask.count) {
        srv_out_text(&call->answer, "]");
        return;
    }
    size_t begin = text > 0 ? writing->ends[text - 1] : 0, end = writing->ends[text];
    if (writing->token == begin) srv_out_text(&call->answer, text > 0 ? ",[" : "[[");
    write_tokens(call, &call->ask.texts[text], begin, end);
    writing->whole = false;
    if (writing->token < end) return;
    srv_out_text(&call->answer, "]");
    writing->at = writing->point = 0;
    writing->part++;
}

/* ---- decode ---- */

bool srv_tei_read_decode(srv_call *call, const srv_json *body) {
    const srv_json *ids = srv_json_get(body, "ids");
    if (!srv_json_is(ids, SRV_ARRAY)) return srv_call_wrong(call, "ids", "a list", ids);
    call->ask.no_job = true;
    if (ids->count == 0) return true;
    const srv_json *at = srv_json_first(ids);
    if (at->kind != SRV_ARRAY) return srv_add_id_list(call, "ids", ids);
    for (uint32_t i = 0; i < ids->count; i++, at = srv_json_next(at)) {
        if (!srv_json_is(at, SRV_ARRAY)) return srv_call_wrong(call, "ids", "lists of token ids", at);
        if (!srv_add_id_list(call, "ids", at)) return false;
    }
    return true;
}

static bool check_ids(srv_call *call, size_t index) {
    const srv_ids *ids = &call->ask.ids[index];
    for (size_t i = 0; i < ids->n; i++) {
        int64_t id = ids->ids.json[i].integer;
        if (id < 0 || id > INT32_MAX || retort_model_piece(call->engine->model, (int32_t)id) == NULL)
            return srv_call_fail(call, SRV_ERROR_TOKENIZER,
                                 "ids: list %zu contains %lld, which is not an id of the vocabulary", index,
                                 (long long)id);
    }
    return true;
}

/* Few enough that writing the answer blocks nobody, and all in the vocabulary. */
bool srv_tei_check_decode(srv_call *call) {
    long max = call->service->options->queue_tokens;
    for (size_t i = 0; i < call->ask.count; i++) call->tokens += call->ask.ids[i].n;
    if (call->tokens > (size_t)max)
        return srv_call_fail(call, SRV_ERROR_TOO_LARGE,
                             "the request has %zu token ids: max_queue_tokens is %ld", call->tokens, max);
    for (size_t i = 0; i < call->ask.count; i++) {
        if (!check_ids(call, i)) return false;
    }
    return true;
}

/* One text per part. */
void srv_tei_write_decode(srv_call *call) {
    srv_out text = {0};
    if (!begin_item(call, true)) return;
    const srv_ids *asked = &call->ask.ids[call->writing.part];
    int32_t *ids = malloc(asked->n * sizeof *ids + 1);
    bool fine = ids != NULL;
    for (size_t i = 0; fine && i < asked->n; i++) ids[i] = (int32_t)asked->ids.json[i].integer;
    fine = fine && retort_decode(call->engine->model, ids, asked->n, call->ask.special != SRV_NO,
                                 srv_out_write, &text, NULL) == RETORT_OK;
    free(ids);
    if (fine && !text.failed) {
        srv_out_string(&call->answer, text.data, text.length);
        srv_more(call);
    } else {
        srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    }
    srv_out_free(&text);
}

/* ---- info ---- */

static void write_classes(srv_call *call, srv_out *out) {
    char scratch[32];
    size_t n = (size_t)call->engine->info.labels;
    srv_out_text(out, "{\"classifier\":{\"id2label\":{");
    for (size_t i = 0; i < n; i++) {
        const char *label = srv_label(call, i, scratch, sizeof scratch);
        srv_out_format(out, "%s\"%zu\":", i > 0 ? "," : "", i);
        srv_out_string(out, label, strlen(label));
    }
    srv_out_text(out, "},\"label2id\":{");
    for (size_t i = 0; i < n; i++) {
        const char *label = srv_label(call, i, scratch, sizeof scratch);
        if (i > 0) srv_out_text(out, ",");
        srv_out_string(out, label, strlen(label));
        srv_out_format(out, ":%zu", i);
    }
    srv_out_text(out, "}}}");
}

static void write_model_facts(srv_call *call, srv_out *out) {
    static const char *const tasks[] = {[RETORT_TASK_CLASSIFY] = "classify",
                                        [RETORT_TASK_TAG] = "tag",
                                        [RETORT_TASK_ANSWER] = "answer",
                                        [RETORT_TASK_FILL] = "fill",
                                        [RETORT_TASK_EMBED] = "embed"};
    const srv_engine *engine = call->engine;
    srv_out_text(out, "{\"model_id\":");
    srv_out_string(out, engine->name, strlen(engine->name));
    srv_out_text(out, ",\"model_sha\":null,\"model_dtype\":");
    srv_out_string(out, engine->info.dtype, strlen(engine->info.dtype));
    srv_out_text(out, ",\"recipe\":");
    srv_out_string(out, engine->info.recipe, strlen(engine->info.recipe));
    srv_out_text(out, ",\"model_type\":");
    if (engine->info.task == RETORT_TASK_CLASSIFY || engine->info.task == RETORT_TASK_TAG) {
        write_classes(call, out);
    } else if (engine->info.task != RETORT_TASK_EMBED) {
        srv_out_text(out, "null");
    } else {
        srv_out_format(out, "{\"embedding\":{\"dimensions\":%lld}}", (long long)engine->info.labels);
    }
    srv_out_format(out, ",\"task\":\"%s\"", tasks[engine->info.task]);
    const char *mask = retort_model_piece(engine->model, engine->info.mask);
    if (engine->info.task == RETORT_TASK_FILL && mask != NULL) {
        srv_out_text(out, ",\"mask_token\":");
        srv_out_string(out, mask, strlen(mask));
    }
    srv_out_format(out, ",\"max_input_length\":%lld,\"provider\":\"%s\",\"isa\":\"%s\",\"threads\":%d",
                   (long long)engine->info.max_length, engine->session.provider, engine->session.isa,
                   engine->session.threads);
}

void srv_tei_write_info(srv_call *call) {
    const srv_options *options = call->service->options;
    srv_out *out = &call->answer;
    if (!srv_call_find_model(call)) return;
    write_model_facts(call, out);
    srv_out_format(out,
                   ",\"max_concurrent_requests\":%ld,\"max_batch_tokens\":%ld,\"max_batch_requests\":%ld,"
                   "\"max_client_batch_size\":%ld,\"max_queue_tokens\":%ld,\"payload_limit\":%ld,"
                   "\"auto_truncate\":%s,\"tokenization_workers\":%ld,\"streams\":%ld,\"models\":[",
                   options->jobs, options->batch_tokens, options->batch_texts, options->items,
                   options->queue_tokens, options->body, options->refuse_long ? "false" : "true",
                   options->http_threads, options->streams);
    for (size_t i = 0; i < options->model_count; i++) {
        if (i > 0) srv_out_text(out, ",");
        srv_out_string(out, options->models[i].name, strlen(options->models[i].name));
    }
    srv_out_format(out, "],\"version\":\"%d.%d.%d\",\"sha\":null,\"docker_label\":null}",
                   RETORT_VERSION_MAJOR, RETORT_VERSION_MINOR, RETORT_VERSION_PATCH);
}
