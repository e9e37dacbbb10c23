/* SPDX-License-Identifier: Apache-2.0
 * POST /: Hugging Face's inference form when the body has "parameters", else that of Text Embeddings
 * Inference. huggingface_hub's text_classification takes the first of a list of lists. */
#include "serve/server.h"

static bool read_function(srv_call *call, const srv_json *parameters) {
    static const struct {
        const char *name;
        srv_function function;
    } functions[] = {{"softmax", SRV_SOFTMAX}, {"sigmoid", SRV_SIGMOID}, {"none", SRV_PLAIN}};
    const srv_json *value = srv_json_get(parameters, "function_to_apply");
    if (value == NULL || value->kind == SRV_NULL) return true;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!srv_json_equals(value, functions[i].name)) continue;
        call->ask.function = functions[i].function;
        return true;
    }
    return srv_call_fail(call, SRV_ERROR_INVALID,
                         "parameters.function_to_apply: expected 'softmax', 'sigmoid' or 'none'");
}

/* A string, or {"text": …, "text_pair": …}. */
static bool read_text(srv_call *call, const srv_json *value) {
    const srv_json *pair = srv_json_get(value, "text_pair");
    if (value->kind != SRV_OBJECT) return srv_add_string(call, "inputs", value);
    if (!srv_add_string(call, "inputs.text", srv_json_get(value, "text"))) return false;
    if (pair == NULL) return true;
    if (pair->kind != SRV_STRING) return srv_call_wrong(call, "inputs.text_pair", "a string", pair);
    call->ask.texts[call->ask.count - 1].pair = pair->text;
    call->ask.texts[call->ask.count - 1].pair_length = pair->length;
    call->characters += pair->length;
    return true;
}

bool srv_hf_read(srv_call *call, const srv_json *body) {
    const srv_json *inputs = srv_json_get(body, "inputs"), *parameters = srv_json_get(body, "parameters");
    bool embeds = false, known;
    if (!srv_read_model(call, body)) return false;
    srv_engine *engine = srv_server_engine(call->server, -1, &call->model, &known);
    if (engine != NULL) {
        embeds = engine->info.task == RETORT_TASK_EMBED;
        srv_engine_leave(engine);
    }
    if (parameters == NULL) return embeds ? srv_tei_read_embed(call, body) : srv_tei_read_predict(call, body);
    if (parameters->kind != SRV_OBJECT && parameters->kind != SRV_NULL)
        return srv_call_wrong(call, "parameters", "an object", parameters);
    if (inputs == NULL) return srv_call_fail(call, SRV_ERROR_INVALID, "inputs is missing");
    call->ask.nested = true;
    call->ask.single = inputs->kind != SRV_ARRAY;
    if (!read_function(call, parameters) ||
        !srv_read_int(call, parameters, "top_k", 1, INT32_MAX, &call->ask.top) ||
        !srv_read_cut(call, parameters) ||
        !srv_read_bool(call, parameters, "normalize", &call->ask.normalize))
        return false;
    if (call->ask.single) return read_text(call, inputs);
    const srv_json *at = srv_json_first(inputs);
    for (uint32_t i = 0; i < inputs->count; i++, at = srv_json_next(at)) {
        if (!read_text(call, at)) return false;
    }
    return true;
}

void srv_hf_write(srv_call *call) {
    if (call->engine->info.task == RETORT_TASK_EMBED) {
        srv_tei_write_embed(call);
    } else {
        srv_tei_write_predict(call);
    }
}
