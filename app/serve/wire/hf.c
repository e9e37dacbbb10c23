/* SPDX-License-Identifier: Apache-2.0
 * POST /: Hugging Face's inference form if the body has "parameters", otherwise that of Text Embeddings
 * Inference. huggingface_hub's text_classification takes the first of a list of lists. */
#include "serve/wire/hf.h"
#include "retort.h"
#include "serve/base/out.h"
#include "serve/queue/engine.h"
#include "serve/queue/service.h"
#include "serve/queue/texts.h"
#include "serve/wire/ask.h"
#include "serve/wire/errors.h"
#include "serve/wire/field.h"
#include "serve/wire/fields.h"
#include "serve/wire/forms.h"
#include "serve/wire/read.h"
#include "serve/wire/tei.h"
#include "serve/wire/zero.h"

#include <string.h>

/* A string, or an object with a text and its pair. */
static bool read_text(srv_call *call, const srv_json *value, bool questions) {
    const char *first = questions ? "question" : "text", *second = questions ? "context" : "text_pair";
    const srv_json *pair = srv_json_get(value, second);
    if (value->kind != SRV_OBJECT) return srv_add_string(call, "inputs", value);
    if (!srv_fields_read(call, questions ? &srv_hf_question_form : &srv_hf_pair_form, value, "inputs."))
        return false;
    if (!srv_add_string(call, first, srv_json_get(value, first))) return false;
    return pair == NULL || srv_add_pair(call, second, pair);
}

/* Inputs as the pipelines take them: one, or a list. */
static bool read_inputs(srv_call *call, const srv_json *inputs, bool questions) {
    if (inputs == NULL) return srv_call_fail(call, SRV_ERROR_INVALID, "inputs is missing");
    call->ask.single = inputs->kind != SRV_ARRAY;
    if (call->ask.single) return read_text(call, inputs, questions);
    const srv_json *at = srv_json_first(inputs);
    for (uint32_t i = 0; i < inputs->count; i++, at = srv_json_next(at)) {
        if (!read_text(call, at, questions)) return false;
    }
    return true;
}

static bool all_paired(srv_call *call) {
    for (size_t i = 0; i < call->ask.count; i++) {
        if (call->ask.texts[i].pair == NULL)
            return srv_call_fail(call, SRV_ERROR_INVALID, "inputs: expected {\"question\", \"context\"}");
    }
    return true;
}

/* The task that the shape of the body implies. */
static int task_like(const srv_json *inputs, const srv_json *parameters) {
    if (srv_json_get(inputs, "source_sentence") != NULL) return RETORT_TASK_EMBED;
    if (srv_json_get(inputs, "question") != NULL) return RETORT_TASK_ANSWER;
    return srv_json_get(parameters, "candidate_labels") != NULL ? (int)RETORT_TASK_CLASSIFY : SRV_ANY_TASK;
}

/* The task of the model that will answer: the first model for the implied task, or any; -1: none. */
static int task_of(srv_call *call, const srv_json *inputs, const srv_json *parameters) {
    bool known;
    int like = task_like(inputs, parameters);
    srv_engine *engine = srv_service_engine(call->service, like, &call->model, &known);
    if (engine == NULL) engine = srv_service_engine(call->service, SRV_ANY_TASK, &call->model, &known);
    if (engine == NULL) return -1;
    int task = (int)engine->info.task;
    srv_engine_leave(engine);
    if (task == like) call->ask.like = 1 + task;
    return task;
}

/* What huggingface_hub's sentence_similarity sends: as for /similarity. */
static bool read_similarity(srv_call *call, const srv_json *body) {
    call->ask.similarity = true;
    return srv_fields_read(call, &srv_hf_similarity_form, body, "") && srv_tei_read_similarity(call, body);
}

/* Older names of parameters, which the pipelines still accept. */
static void read_old_names(srv_call *call) {
    srv_ask *ask = &call->ask;
    bool old = ask->grouped != SRV_UNSAID || ask->subwords != SRV_UNSAID;
    if (ask->all == SRV_NO && ask->top == 0) ask->top = 1;
    if (!old || ask->aggregation != 0) return;
    bool grouped = ask->grouped == SRV_YES, words = ask->subwords == SRV_YES;
    ask->aggregation = (int)(grouped && words ? SRV_FIRST : grouped ? SRV_SIMPLE : SRV_NONE);
}

bool srv_hf_read(srv_call *call, const srv_json *body) {
    const srv_json *inputs = srv_json_get(body, "inputs"), *parameters = srv_json_get(body, "parameters");
    int task = task_of(call, inputs, parameters);
    if (task < 0) return srv_call_no_model(call);
    bool embeds = task == RETORT_TASK_EMBED, questions = task == RETORT_TASK_ANSWER;
    bool rows = embeds || task == RETORT_TASK_CLASSIFY;
    if (embeds && srv_json_get(inputs, "source_sentence") != NULL) return read_similarity(call, body);
    bool zero = task == RETORT_TASK_CLASSIFY && srv_json_get(parameters, "candidate_labels") != NULL;
    const srv_form *form = zero ? &srv_zero_parameters_form : &srv_hf_parameter_forms[task];
    if (!srv_fields_read(call, &srv_hf_forms[task], body, "") ||
        !srv_fields_read(call, form, parameters, "parameters."))
        return false;
    if (parameters == NULL && rows)
        return embeds ? srv_tei_read_embed(call, body) : srv_tei_read_predict(call, body);
    call->ask.nested = true;
    call->ask.normalize = call->ask.unit == SRV_YES;
    if (call->ask.raw) call->ask.function = SRV_PLAIN;
    read_old_names(call);
    if (!read_inputs(call, inputs, questions) || (questions && !all_paired(call))) return false;
    return call->ask.candidates == NULL || srv_zero_read(call);
}

static bool all_answered(srv_call *call) {
    for (size_t i = 0; i < call->ask.count; i++) {
        const char *part = call->job.items[i].entry->answer;
        if (*part == '!') return srv_call_fail(call, SRV_ERROR_INVALID, "text %zu: %s", i, part + 1);
    }
    return true;
}

/* Copies the JSON that the workers have written, piece by piece. */
static void write_parts(srv_call *call) {
    enum { PIECE = 16 << 10 };
    srv_writing *writing = &call->writing;
    bool begins = writing->part == 0 && writing->offset == 0;
    if (begins && !all_answered(call)) return;
    if (begins && !call->ask.single) srv_out_text(&call->answer, "[");
    if (writing->part == call->ask.count) {
        if (!call->ask.single) srv_out_text(&call->answer, "]");
        return;
    }
    const char *part = (const char *)call->job.items[writing->part].entry->answer + writing->offset;
    size_t length = strnlen(part, PIECE);
    if (writing->offset == 0 && writing->part > 0) srv_out_text(&call->answer, ",");
    srv_out_bytes(&call->answer, part, length);
    writing->offset += length;
    writing->whole = false;
    if (part[length] != '\0') return;
    writing->offset = 0;
    writing->part++;
}

/* Hugging Face's inference API answers like the pipelines, except for zero-shot classification. */
bool srv_hf_read_model(srv_call *call, const srv_json *body) {
    call->ask.listed = true;
    return srv_hf_read(call, body);
}

void srv_hf_write(srv_call *call) {
    if (call->ask.label_count > 0) {
        srv_zero_write(call);
    } else if (!srv_engine_has_rows(call->engine)) {
        write_parts(call);
    } else if (call->ask.similarity) {
        srv_tei_write_similarity(call);
    } else if (call->engine->info.task == RETORT_TASK_EMBED) {
        srv_tei_write_embed(call);
    } else {
        srv_tei_write_predict(call);
    }
}
