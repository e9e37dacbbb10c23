/* SPDX-License-Identifier: Apache-2.0
 * What the wire forms share for writing an answer. */
#include "serve/wire/write.h"
#include "retort.h"
#include "serve/base/out.h"
#include "serve/wire/ask.h"
#include "serve/wire/errors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *srv_label(const srv_call *call, size_t index, char *scratch, size_t size) {
    const char *label = retort_model_label(call->engine->model, (int64_t)index);
    if (label != NULL) return label;
    snprintf(scratch, size, "LABEL_%zu", index);
    return scratch;
}

void srv_scores(const srv_call *call, const float *logits, float *scores) {
    static const retort_problem problems[] = {[SRV_SOFTMAX] = RETORT_PROBLEM_SINGLE_LABEL,
                                              [SRV_SIGMOID] = RETORT_PROBLEM_MULTI_LABEL,
                                              [SRV_PLAIN] = RETORT_PROBLEM_REGRESSION};
    const retort_info *info = &call->engine->info;
    int function = call->ask.function;
    if (function == SRV_BY_MODEL) {
        retort_model_scores(call->engine->model, logits, (size_t)info->labels, scores, NULL);
    } else {
        retort_scores(problems[function], logits, (size_t)info->labels, scores);
    }
}

const float *srv_vector(const srv_call *call, size_t i, float *scratch, size_t n) {
    const float *values = srv_values(call, i);
    double sum = 0;
    if (!call->ask.normalize) return values;
    for (size_t k = 0; k < n; k++) sum += (double)values[k] * values[k];
    double scale = sum > 0 ? 1 / sqrt(sum) : 1;
    for (size_t k = 0; k < n; k++) scratch[k] = (float)(values[k] * scale);
    return scratch;
}

bool srv_ranking_open(srv_call *call, size_t n) {
    srv_writing *writing = &call->writing;
    if (writing->scores != NULL) return true;
    if (!srv_call_charge(call, n * (sizeof *writing->scores + sizeof *writing->order))) return false;
    writing->scores = calloc(n + 1, sizeof *writing->scores);
    writing->order = calloc(n + 1, sizeof *writing->order);
    if (writing->scores != NULL && writing->order != NULL) return true;
    return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
}

void srv_write_usage(srv_call *call) {
    srv_out *out = &call->answer;
    srv_out_format(out, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu", call->tokens, call->tokens);
    if (call->truncated > 0) srv_out_format(out, ",\"truncated\":%zu", call->truncated);
    srv_out_text(out, "}}");
}
