/* SPDX-License-Identifier: Apache-2.0
 * The Open Inference Protocol v2 with its classification extension: texts as BYTES, or token ids like those
 * of an exported ONNX model. */
#include "serve/wire/v2.h"
#include "retort.h"
#include "serve/base/options.h"
#include "serve/base/out.h"
#include "serve/queue/engine.h"
#include "serve/queue/service.h"
#include "serve/queue/texts.h"
#include "serve/wire/ask.h"
#include "serve/wire/errors.h"
#include "serve/wire/fields.h"
#include "serve/wire/forms.h"
#include "serve/wire/read.h"
#include "serve/wire/write.h"

#include <stdio.h>
#include <string.h>

/* ---- Reading ---- */

typedef struct tensor {
    const srv_json *data; /* a list; NULL: raw */
    const char *raw;      /* bytes after the JSON */
    size_t raw_size, width;
    int64_t rows, columns; /* columns is 1 if there is one dimension */
    bool matrix, given;
    const srv_json *at; /* the next row */
} tensor;

static bool read_shape(srv_call *call, const char *name, const srv_json *shape, tensor *out) {
    if (!srv_json_is(shape, SRV_ARRAY) || shape->count < 1 || shape->count > 2)
        return srv_call_fail(call, SRV_ERROR_INVALID, "input '%s': expected a shape of one or two dimensions",
                             name);
    const srv_json *dimension = srv_json_first(shape);
    for (uint32_t i = 0; i < shape->count; i++) {
        if (dimension[i].kind != SRV_INTEGER || dimension[i].integer < 0 ||
            dimension[i].integer > SRV_JSON_VALUES)
            return srv_call_fail(call, SRV_ERROR_INVALID,
                                 "input '%s': a dimension is not a number from 0 to %d", name,
                                 SRV_JSON_VALUES);
    }
    out->rows = dimension[0].integer;
    out->matrix = shape->count == 2;
    out->columns = out->matrix ? dimension[1].integer : 1;
    if (out->columns == 0)
        return srv_call_fail(call, SRV_ERROR_INVALID, "input '%s': a dimension is 0", name);
    return true;
}

/* An input's parameter binary_data_size; 0: its data is JSON. */
static bool read_binary_size(srv_call *call, const srv_json *input, int64_t *size) {
    *size = 0;
    return srv_read_int(call, srv_json_get(input, "parameters"), "binary_data_size", 0, INT32_MAX, size);
}

/* The bytes of an input follow those of the inputs before it. */
static bool find_bytes(srv_call *call, const srv_json *inputs, const srv_json *input, tensor *out) {
    int64_t size = 0;
    size_t offset = 0;
    for (const srv_json *at = srv_json_first(inputs); at != input; at = srv_json_next(at)) {
        if (!read_binary_size(call, at, &size)) return false;
        offset += (size_t)size;
    }
    if (!read_binary_size(call, input, &size)) return false;
    if (size == 0) return true;
    if (offset + (size_t)size > call->binary_length)
        return srv_call_fail(call, SRV_ERROR_INVALID, "binary_data_size: expected %zu bytes, found %zu",
                             offset + (size_t)size, call->binary_length);
    out->raw = call->binary + offset;
    out->raw_size = (size_t)size;
    return true;
}

/* width: bytes per value of binary data; 0: each value starts with its length. */
static bool read_tensor(srv_call *call, const char *name, const srv_json *inputs, const srv_json *input,
                        size_t width, tensor *out) {
    *out = (tensor){.width = width, .given = true};
    if (!read_shape(call, name, srv_json_get(input, "shape"), out) || !find_bytes(call, inputs, input, out))
        return false;
    uint64_t flat = (uint64_t)out->rows * (uint64_t)out->columns;
    if (out->raw != NULL) {
        if (width == 0 || flat * width == out->raw_size) return true;
        return srv_call_fail(call, SRV_ERROR_INVALID,
                             "input '%s': the data has %zu bytes, but the shape needs %llu", name,
                             out->raw_size, (unsigned long long)(flat * width));
    }
    out->data = srv_json_get(input, "data");
    if (!srv_json_is(out->data, SRV_ARRAY))
        return srv_call_fail(call, SRV_ERROR_INVALID, "input '%s': expected data, a list", name);
    out->at = srv_json_first(out->data);
    uint64_t count = out->data->count;
    bool nested = out->matrix && count > 0 && out->at->kind == SRV_ARRAY;
    if (count == (nested ? (uint64_t)out->rows : flat)) return true;
    return srv_call_fail(call, SRV_ERROR_INVALID,
                         "input '%s': the data has %llu values, but the shape needs %llu", name,
                         (unsigned long long)count, (unsigned long long)flat);
}

/* The values of the next row; NULL if it does not match the shape. */
static const srv_json *next_row(tensor *t) {
    const srv_json *row = t->at;
    if (row == NULL) return NULL;
    if (srv_json_first(t->data)->kind != SRV_ARRAY) {
        for (int64_t k = 0; k < t->columns; k++, t->at++) {
            if (t->at->span != 1) return NULL;
        }
        return row;
    }
    if (row->kind != SRV_ARRAY || row->count != t->columns || row->span != row->count + 1) return NULL;
    t->at = srv_json_next(row);
    return row + 1;
}

static bool read_ints(srv_call *call, const char *name, tensor *t, int64_t i, srv_ints *out) {
    if (t->raw != NULL) {
        *out = (srv_ints){.raw = t->raw + (size_t)(i * t->columns) * t->width, .width = t->width};
        return true;
    }
    out->json = next_row(t);
    return out->json != NULL ||
           srv_call_fail(call, SRV_ERROR_INVALID, "input '%s': row %lld does not match the shape", name,
                         (long long)i);
}

/* Four bytes of length, then the text. */
static bool read_raw_text(srv_call *call, const tensor *t, size_t *at, srv_slice *out) {
    uint32_t length = 0;
    for (size_t k = 4; t->raw_size - *at >= 4 && k-- > 0;)
        length = length << 8 | (unsigned char)t->raw[*at + k];
    if (t->raw_size - *at < 4 || t->raw_size - *at - 4 < length)
        return srv_call_fail(call, SRV_ERROR_INVALID, "the bytes of text %zu are incomplete",
                             call->ask.count);
    *out = (srv_slice){t->raw + *at + 4, length};
    *at += 4 + (size_t)length;
    call->characters += length;
    return true;
}

static bool read_raw_texts(srv_call *call, const tensor *t) {
    size_t at = 0;
    for (int64_t i = 0; i < t->rows; i++) {
        srv_slice first = {0}, second = {0};
        if (!read_raw_text(call, t, &at, &first)) return false;
        if (t->columns == 2 && !read_raw_text(call, t, &at, &second)) return false;
        retort_text *text = srv_add_text(call);
        if (text == NULL) return false;
        *text = (retort_text){first.text, first.length, second.text, second.length};
    }
    return true;
}

static bool read_texts(srv_call *call, const srv_json *inputs, const srv_json *input) {
    tensor t;
    if (!read_tensor(call, "BYTES", inputs, input, 0, &t)) return false;
    if (t.columns > 2)
        return srv_call_fail(call, SRV_ERROR_INVALID,
                             "texts: expected the shape [N], [N, 1] or, for pairs, [N, 2]");
    if (t.raw != NULL) return read_raw_texts(call, &t);
    for (int64_t i = 0; i < t.rows; i++) {
        const srv_json *row = next_row(&t);
        if (row == NULL)
            return srv_call_fail(call, SRV_ERROR_INVALID, "text %lld is not a string", (long long)i);
        if (!srv_add_string(call, "a text", row)) return false;
        if (t.columns == 2 && !srv_add_pair(call, "a text's partner", row + 1)) return false;
    }
    return true;
}

static const srv_json *find_input(const srv_json *inputs, const char *name) {
    const srv_json *at = srv_json_first(inputs);
    for (uint32_t i = 0; i < inputs->count; i++, at = srv_json_next(at)) {
        if (srv_json_equals(srv_json_get(at, "name"), name)) return at;
    }
    return NULL;
}

static bool is_type(const srv_json *input, const char *type) {
    return srv_json_equals(srv_json_get(input, "datatype"), type);
}

static const char *const id_names[] = {"input_ids", "attention_mask", "token_type_ids"};
enum { ID_TENSORS = 3 };

/* Reads one of them, if it is given. */
static bool read_id_tensor(srv_call *call, const srv_json *inputs, int k, tensor *t) {
    const srv_json *input = find_input(inputs, id_names[k]);
    if (input == NULL) return true;
    bool wide = is_type(input, "INT64");
    if (!wide && !is_type(input, "INT32"))
        return srv_call_fail(call, SRV_ERROR_INVALID, "input '%s': expected the datatype INT64", id_names[k]);
    if (!read_tensor(call, id_names[k], inputs, input, wide ? 8 : 4, &t[k])) return false;
    if (t[k].matrix && t[k].rows == t[0].rows && t[k].columns == t[0].columns) return true;
    return srv_call_fail(call, SRV_ERROR_INVALID, "input '%s': expected the shape [N, tokens] of input_ids",
                         id_names[k]);
}

static bool read_id_tensors(srv_call *call, const srv_json *inputs) {
    tensor t[ID_TENSORS] = {{0}};
    for (int k = 0; k < ID_TENSORS; k++) {
        if (!read_id_tensor(call, inputs, k, t)) return false;
    }
    for (int64_t i = 0; i < t[0].rows; i++) {
        srv_ints rows[ID_TENSORS] = {{0}};
        for (int k = 0; k < ID_TENSORS; k++) {
            if (t[k].given && !read_ints(call, id_names[k], &t[k], i, &rows[k])) return false;
        }
        srv_ids *ids = srv_add_ids(call);
        if (ids == NULL) return false;
        *ids = (srv_ids){rows[0], rows[1], rows[2], (size_t)t[0].columns};
    }
    return true;
}

static bool read_outputs(srv_call *call, const srv_json *outputs) {
    if (outputs == NULL) return true;
    if (outputs->kind != SRV_ARRAY) return srv_call_wrong(call, "outputs", "a list", outputs);
    if (outputs->count > SRV_OUTPUTS)
        return srv_call_fail(call, SRV_ERROR_INVALID, "outputs: at most %d can be requested", SRV_OUTPUTS);
    const srv_json *at = srv_json_first(outputs);
    for (uint32_t i = 0; i < outputs->count; i++, at = srv_json_next(at)) {
        const srv_json *parameters = srv_json_get(at, "parameters");
        if (!srv_fields_read(call, &srv_v2_output_form, at, "outputs.") ||
            !srv_fields_read(call, &srv_v2_output_parameters_form, parameters, "outputs.parameters."))
            return false;
        srv_output *output = &call->ask.outputs[call->ask.output_count++];
        output->name = srv_json_get(at, "name");
        if (!srv_json_is(output->name, SRV_STRING))
            return srv_call_wrong(call, "outputs: name", "a string", output->name);
        if (!srv_read_int(call, parameters, "classification", 0, INT32_MAX, &output->classes)) return false;
    }
    return true;
}

static bool read_input_fields(srv_call *call, const srv_json *inputs) {
    const srv_json *input = srv_json_first(inputs);
    for (uint32_t i = 0; i < inputs->count; i++, input = srv_json_next(input)) {
        if (!srv_fields_read(call, &srv_v2_input_form, input, "inputs.") ||
            !srv_fields_read(call, &srv_v2_input_parameters_form, srv_json_get(input, "parameters"),
                             "inputs.parameters."))
            return false;
        if (!srv_json_is(srv_json_get(input, "name"), SRV_STRING))
            return srv_call_fail(call, SRV_ERROR_INVALID, "input %u has no name", i);
    }
    return true;
}

bool srv_v2_read_infer(srv_call *call, const srv_json *body) {
    const srv_json *inputs = srv_json_get(body, "inputs");
    call->ask.id = srv_json_get(body, "id");
    call->ask.spans = true; /* for models that tag */
    call->ask.aggregation = SRV_NONE;
    if (call->ask.id != NULL && call->ask.id->kind != SRV_STRING)
        return srv_call_wrong(call, "id", "a string", call->ask.id);
    if (!srv_json_is(inputs, SRV_ARRAY)) return srv_call_wrong(call, "inputs", "a list", inputs);
    if (!srv_fields_read(call, &srv_v2_parameters_form, srv_json_get(body, "parameters"), "parameters.") ||
        !read_outputs(call, srv_json_get(body, "outputs")))
        return false;
    if (!read_input_fields(call, inputs)) return false;
    if (find_input(inputs, "input_ids") != NULL) return read_id_tensors(call, inputs);
    if (inputs->count == 1 && is_type(srv_json_first(inputs), "BYTES"))
        return read_texts(call, inputs, srv_json_first(inputs));
    return srv_call_fail(call, SRV_ERROR_INVALID,
                         "inputs: expected an input of datatype BYTES, or input_ids");
}

/* ---- Writing ---- */

static void write_reals(srv_out *out, const float *values, size_t n, bool *first) {
    for (size_t i = 0; i < n; i++) {
        if (!*first) srv_out_text(out, ",");
        *first = false;
        srv_out_real(out, (double)values[i]);
    }
}

/* One row per output: its name, datatype, task and shape. */
typedef enum output_kind {
    LOGITS,
    PROBABILITIES,
    LABEL,
    EMBEDDING,
    LABEL_IDS, /* from here on: one value per token, padded to the longest text */
    LABELS,
    SCORES,
    OFFSETS,
    OUTPUT_COUNT
} output_kind;
static const struct {
    const char *name, *type;
    int task;
    const char *shape; /* after the number of texts; NULL: the model's labels */
} output_rows[OUTPUT_COUNT] = {[LOGITS] = {"logits", "FP32", RETORT_TASK_CLASSIFY, NULL},
                               [PROBABILITIES] = {"probabilities", "FP32", RETORT_TASK_CLASSIFY, NULL},
                               [LABEL] = {"label", "BYTES", RETORT_TASK_CLASSIFY, ""},
                               [EMBEDDING] = {"embedding", "FP32", RETORT_TASK_EMBED, NULL},
                               [LABEL_IDS] = {"label_ids", "INT64", RETORT_TASK_TAG, ",-1"},
                               [LABELS] = {"labels", "BYTES", RETORT_TASK_TAG, ",-1"},
                               [SCORES] = {"scores", "FP32", RETORT_TASK_TAG, ",-1"},
                               [OFFSETS] = {"offsets", "INT64", RETORT_TASK_TAG, ",-1,2"}};

/* "<value>:<index>:<label>" of the k best. */
static void write_classes(srv_call *call, output_kind kind, size_t item, size_t k, bool *first) {
    size_t n = (size_t)call->engine->info.labels;
    float *scores = call->writing.scores;
    uint32_t *order = call->writing.order;
    char scratch[32], text[256];
    const float *values = srv_values(call, item);
    if (kind == PROBABILITIES) srv_scores(call, values, scores);
    if (kind != PROBABILITIES) memcpy(scores, values, n * sizeof *scores);
    retort_best(scores, n, order, k);
    for (size_t i = 0; i < k; i++) {
        int length = snprintf(text, sizeof text, "%.9g:%u:%s", (double)scores[order[i]], order[i],
                              srv_label(call, order[i], scratch, sizeof scratch));
        if (!*first) srv_out_text(&call->answer, ",");
        *first = false;
        srv_out_string(&call->answer, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
    }
}

static void write_best_label(srv_call *call, size_t item, bool *first) {
    const float *values = srv_values(call, item);
    size_t best = 0;
    char scratch[32];
    for (size_t i = 1; i < (size_t)call->engine->info.labels; i++) {
        if (values[i] > values[best]) best = i;
    }
    const char *label = srv_label(call, best, scratch, sizeof scratch);
    if (!*first) srv_out_text(&call->answer, ",");
    *first = false;
    srv_out_string(&call->answer, label, strlen(label));
}

static void write_values(srv_call *call, output_kind kind, size_t item, size_t classes) {
    size_t n = (size_t)call->engine->info.labels;
    const float *values = srv_values(call, item);
    bool first = item == 0;
    if (classes > 0) {
        write_classes(call, kind, item, classes, &first);
    } else if (kind == LABEL) {
        write_best_label(call, item, &first);
    } else {
        if (kind == PROBABILITIES) srv_scores(call, values, call->writing.scores);
        write_reals(&call->answer, kind == PROBABILITIES ? call->writing.scores : values, n, &first);
    }
}

/* ---- Tokens of models that tag ---- */

static const srv_spans *spans_of(const srv_call *call, size_t item) {
    return call->job.items[item].entry->answer;
}

static void write_token(srv_out *out, output_kind kind, const retort_span *span) {
    if (kind == LABEL_IDS) { /* -100: padding, which losses ignore */
        srv_out_format(out, "%lld", span != NULL ? (long long)span->label : -100);
    } else if (kind == LABELS) {
        srv_out_string(out, span != NULL ? span->name : "", span != NULL ? strlen(span->name) : 0);
    } else if (kind == SCORES) {
        srv_out_real(out, span != NULL ? (double)span->score : 0);
    } else {
        srv_out_format(out, "%u,%u", span != NULL ? span->start : 0, span != NULL ? span->end : 0);
    }
}

/* Tokens of the longest text. */
static size_t longest_of(const srv_call *call) {
    size_t longest = 0;
    for (size_t i = 0; i < call->ask.count; i++) {
        size_t count = spans_of(call, i)->count;
        if (count > longest) longest = count;
    }
    return longest;
}

static void write_tokens(srv_call *call, output_kind kind, size_t item) {
    const srv_spans *spans = spans_of(call, item);
    size_t longest = longest_of(call);
    for (size_t k = 0; k < longest; k++) {
        if (item + k > 0) srv_out_text(&call->answer, ",");
        write_token(&call->answer, kind, k < spans->count ? &spans->items[k] : NULL);
    }
}

/* A text that could not be tagged fails the request. */
static bool all_read(srv_call *call) {
    for (size_t i = 0; call->engine->info.task == RETORT_TASK_TAG && i < call->ask.count; i++) {
        const char *answer = call->job.items[i].entry->answer;
        if (*answer == '!') return srv_call_fail(call, SRV_ERROR_INVALID, "text %zu: %s", i, answer + 1);
    }
    return true;
}

/* ---- Outputs ---- */

static bool is_of_model(const srv_call *call, int kind) {
    return output_rows[kind].task == (int)call->engine->info.task;
}

/* Output `index` of those requested, or of all, and its classes; OUTPUT_COUNT: no more, or the model does
 * not have it. */
static output_kind output_at(const srv_call *call, size_t index, size_t *classes) {
    const srv_ask *ask = &call->ask;
    int64_t labels = call->engine->info.labels;
    size_t place = 0;
    *classes = 0;
    if (ask->output_count > 0 && index >= ask->output_count) return OUTPUT_COUNT;
    for (int kind = 0; kind < OUTPUT_COUNT; kind++) {
        if (!is_of_model(call, kind)) continue;
        if (ask->output_count == 0 && place++ == index) return (output_kind)kind;
        if (ask->output_count == 0 || !srv_json_equals(ask->outputs[index].name, output_rows[kind].name))
            continue;
        int64_t asked = ask->outputs[index].classes;
        *classes = (size_t)(asked > labels ? labels : asked);
        return (output_kind)kind;
    }
    return OUTPUT_COUNT;
}

static bool refuse_output(srv_call *call, const srv_json *name) {
    char known[128] = "";
    for (int kind = 0, n = 0; kind < OUTPUT_COUNT; kind++) {
        if (!is_of_model(call, kind)) continue;
        n += snprintf(known + n, sizeof known - (size_t)n, "%s%s", n > 0 ? ", " : "", output_rows[kind].name);
    }
    return srv_call_fail(call, SRV_ERROR_INVALID, "outputs: the model has no '%.*s'; it has %s",
                         (int)(name->length < 100 ? name->length : 100), name->text, known);
}

static bool has_outputs(srv_call *call) {
    size_t classes;
    for (size_t i = 0; i < call->ask.output_count; i++) {
        const srv_json *name = call->ask.outputs[i].name;
        if (call->ask.outputs[i].classes > 0 && call->engine->info.task != RETORT_TASK_CLASSIFY)
            return srv_call_fail(call, SRV_ERROR_INVALID,
                                 "outputs.parameters.classification: the model does not classify");
        if (output_at(call, i, &classes) != OUTPUT_COUNT) continue;
        return refuse_output(call, name);
    }
    return true;
}

static void write_begin(srv_call *call) {
    srv_out *out = &call->answer;
    srv_out_text(out, "{\"model_name\":");
    srv_out_string(out, call->engine->name, strlen(call->engine->name));
    srv_out_text(out, ",\"model_version\":\"1\"");
    if (call->ask.id != NULL) {
        srv_out_text(out, ",\"id\":");
        srv_out_string(out, call->ask.id->text, call->ask.id->length);
    }
    if (call->truncated > 0) srv_out_format(out, ",\"parameters\":{\"truncated\":%zu}", call->truncated);
    srv_out_text(out, ",\"outputs\":[");
}

static void begin_output(srv_call *call, output_kind kind, size_t classes, bool first) {
    srv_out *out = &call->answer;
    size_t columns = classes > 0 ? classes : (size_t)call->engine->info.labels;
    srv_out_format(out, "%s{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%zu", first ? "" : ",",
                   output_rows[kind].name, classes > 0 ? "BYTES" : output_rows[kind].type, call->ask.count);
    if (kind >= LABEL_IDS) columns = longest_of(call);
    if (kind != LABEL || classes > 0) srv_out_format(out, ",%zu", columns);
    srv_out_text(out, kind == OFFSETS ? ",2],\"data\":[" : "],\"data\":[");
}

/* One text of one output per part. */
void srv_v2_write_infer(srv_call *call) {
    size_t part = call->writing.part, n = call->ask.count, index = part / n, item = part % n, classes;
    if (!srv_ranking_open(call, (size_t)call->engine->info.labels)) return;
    if (part == 0 && (!all_read(call) || !has_outputs(call))) return;
    if (part == 0) write_begin(call);
    output_kind kind = output_at(call, index, &classes);
    if (kind == OUTPUT_COUNT) {
        srv_out_text(&call->answer, "]}");
        return;
    }
    if (item == 0) begin_output(call, kind, classes, index == 0);
    if (kind >= LABEL_IDS) {
        write_tokens(call, kind, item);
    } else {
        write_values(call, kind, item, classes);
    }
    if (item + 1 == n) srv_out_text(&call->answer, "]}");
    srv_more(call);
}

/* ---- Metadata and health ---- */

void srv_v2_write_server(srv_call *call) {
    srv_out_format(&call->answer,
                   "{\"name\":\"retort\",\"version\":\"%d.%d.%d\",\"extensions\":[\"classification\","
                   "\"binary_tensor_data\",\"statistics\"]}",
                   RETORT_VERSION_MAJOR, RETORT_VERSION_MINOR, RETORT_VERSION_PATCH);
}

void srv_v2_write_live(srv_call *call) {
    srv_out_text(&call->answer, "{\"live\":true}");
}

void srv_v2_write_ready(srv_call *call) {
    bool ready = srv_service_ready(call->service);
    srv_out_format(&call->answer, "{\"ready\":%s}", ready ? "true" : "false");
    if (!ready) call->status = 503;
}

void srv_v2_write_model(srv_call *call) {
    srv_out *out = &call->answer;
    if (!srv_call_find_model(call)) return;
    srv_out_text(out, "{\"name\":");
    srv_out_string(out, call->engine->name, strlen(call->engine->name));
    srv_out_text(out, ",\"versions\":[\"1\"],\"platform\":\"retort\",\"inputs\":[");
    if (srv_engine_infers(call->engine))
        srv_out_text(out, "{\"name\":\"text\",\"datatype\":\"BYTES\",\"shape\":[-1]}");
    for (int k = 0; srv_engine_has_rows(call->engine) && k < ID_TENSORS; k++)
        srv_out_format(out, ",{\"name\":\"%s\",\"datatype\":\"INT64\",\"shape\":[-1,-1]}", id_names[k]);
    srv_out_text(out, "],\"outputs\":[");
    for (int kind = 0, first = 1; kind < OUTPUT_COUNT; kind++) {
        if (!is_of_model(call, kind)) continue;
        srv_out_format(out, "%s{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[-1", first ? "" : ",",
                       output_rows[kind].name, output_rows[kind].type);
        if (output_rows[kind].shape == NULL) {
            srv_out_format(out, ",%lld", (long long)call->engine->info.labels);
        } else {
            srv_out_text(out, output_rows[kind].shape);
        }
        srv_out_text(out, "]}");
        first = 0;
    }
    srv_out_text(out, "]}");
}

/* ---- Triton's configuration of a model (common/protobuf/model_config.proto): dims without the batch ---- */

static void write_config_tensor(srv_out *out, const char *name, const char *type, const char *dims) {
    srv_out_format(out, "{\"name\":\"%s\",\"data_type\":\"TYPE_%s\",\"dims\":[%s]}", name,
                   strcmp(type, "BYTES") == 0 ? "STRING" : type, dims);
}

static void write_config_inputs(const srv_call *call, srv_out *out) {
    if (srv_engine_infers(call->engine)) write_config_tensor(out, "text", "BYTES", "1");
    for (int k = 0; srv_engine_has_rows(call->engine) && k < ID_TENSORS; k++) {
        srv_out_text(out, ",");
        write_config_tensor(out, id_names[k], "INT64", "-1");
    }
}

static void write_config_outputs(const srv_call *call, srv_out *out) {
    for (int kind = 0, first = 1; kind < OUTPUT_COUNT; kind++) {
        const char *shape = output_rows[kind].shape;
        char dims[24];
        if (!is_of_model(call, kind)) continue;
        if (!first) srv_out_text(out, ",");
        snprintf(dims, sizeof dims, "%lld", (long long)call->engine->info.labels);
        if (shape != NULL) snprintf(dims, sizeof dims, "%s", *shape == ',' ? shape + 1 : "1");
        write_config_tensor(out, output_rows[kind].name, output_rows[kind].type, dims);
        first = 0;
    }
}

void srv_triton_write_config(srv_call *call) {
    srv_out *out = &call->answer;
    const srv_options *options = call->service->options;
    if (!srv_call_find_model(call)) return;
    srv_out_text(out, "{\"name\":");
    srv_out_string(out, call->engine->name, strlen(call->engine->name));
    srv_out_format(out,
                   ",\"platform\":\"retort\",\"backend\":\"retort\",\"version_policy\":{\"latest\":"
                   "{\"num_versions\":1}},\"max_batch_size\":%ld,\"input\":[",
                   options->items);
    write_config_inputs(call, out);
    srv_out_text(out, "],\"output\":[");
    write_config_outputs(call, out);
    srv_out_format(out,
                   "],\"instance_group\":[{\"kind\":\"KIND_CPU\",\"count\":%ld}],\"dynamic_batching\":"
                   "{\"max_queue_delay_microseconds\":%ld}}",
                   options->streams, options->wait_us);
}

void srv_v2_write_model_ready(srv_call *call) {
    if (!srv_call_find_model(call)) return;
    bool ready = srv_engine_well(call->engine) && !srv_service_leaving(call->service);
    srv_out_text(&call->answer, "{\"name\":");
    srv_out_string(&call->answer, call->engine->name, strlen(call->engine->name));
    srv_out_format(&call->answer, ",\"ready\":%s}", ready ? "true" : "false");
    if (!ready) call->status = 503;
}
