/* SPDX-License-Identifier: Apache-2.0 */
#include "run/foreign.h"
#include "model/onnx_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Padded rows per call of an engine: 32 texts of 512. Its attention scores then take 400 MB. */
enum { CHUNK_ROWS = 1 << 14 };
/* Logits over a vocabulary are one row per token: at most this many floats per call. */
enum { CHUNK_FLOATS = 1 << 26 };

static retort_status check_options(const retort_session_options *options, retort_error *err) {
    const char *only = options->isa != NULL                    ? "--isa (in C: options.isa)"
                       : options->profile                      ? "--profile (in C: options.profile)"
                       : options->unpack != RETORT_UNPACK_AUTO ? "--unpack (in C: options.unpack)"
                       : options->tap != NULL                  ? "--per-layer (in C: options.tap)"
                                                               : NULL;
    if (only == NULL) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "provider '%s': %s is for native only", options->provider, only);
}

static retort_status set_limits(rt_foreign *f, const retort_model *model,
                                const retort_session_options *options, retort_error *err) {
    const rt_value *output = &model->graph.values[model->graph.output];
    rt_row_set kind;
    if (!rt_value_row_set(output, &kind) || output->dims[output->rank - 1] < 1)
        return rt_fail(err, RETORT_FORMAT, "output '%s': expected float rows of a batch", output->name);
    f->columns = (size_t)output->dims[output->rank - 1];
    size_t positions = (size_t)model->config.positions;
    size_t wanted = options->chunk_tokens > 0 ? (size_t)options->chunk_tokens : CHUNK_ROWS;
    if (kind == RT_ROW_SET_MASK_TOKENS) wanted = rt_min(wanted, CHUNK_FLOATS / f->columns);
    f->limits = (rt_limits){
        .vocab = model->config.vocab,
        .types = model->config.types,
        .positions = model->config.positions,
        .position_offset = model->config.position_offset,
        .after_pad = model->config.after_pad != 0,
        .mask_id = model->graph.mask_id,
        .capacity = rt_max(wanted, positions),
        .max_rows = wanted,
        .workers = 1,
        .padded = true,
        .keep_duplicates = true,
        .output = kind,
    };
    return RETORT_OK;
}

retort_status rt_foreign_open(rt_foreign *f, const rt_provider *provider, const retort_model *model,
                              const retort_session_options *options, retort_error *err) {
    f->provider = provider->name;
    f->threads = options->threads;
    f->bf16 = model->provenance.weights == RETORT_BF16;
    retort_status status = check_options(options, err);
    if (status == RETORT_OK) status = set_limits(f, model, options, err);
    if (status != RETORT_OK || options->onnx != NULL) return status;
    const rt_onnx_options form = {.fused = provider->fused};
    return rt_onnx_write(model, &form, &f->onnx, &f->onnx_bytes, err);
}

void rt_foreign_forget(rt_foreign *f) {
    free(f->onnx);
    f->onnx = NULL;
}

void rt_foreign_close(rt_foreign *f) {
    rt_prepared_free(&f->batch);
    rt_foreign_forget(f);
    free(f->out);
}

retort_status rt_foreign_run(rt_foreign *f, rt_compute_fn compute, void *engine, const rt_batch *batch,
                             retort_matrix *out, retort_error *err) {
    retort_status status = rt_prepare(&f->batch, batch, &f->limits, err);
    if (status != RETORT_OK) return status;
    size_t rows = (size_t)f->batch.places[batch->n], count;
    if (!rt_mul(rows, f->columns, &count) ||
        !rt_grow((void **)&f->out, &f->out_capacity, rt_max(count, 1), sizeof *f->out)) {
        return rt_fail_nomem(err, rows * f->columns * sizeof *f->out);
    }
    for (f->index = 0; status == RETORT_OK && f->index < f->batch.chunk_count; f->index++) {
        status = compute(engine, &f->batch.chunks[f->index], err);
    }
    if (status == RETORT_OK) *out = (retort_matrix){.data = f->out, .rows = rows, .columns = f->columns};
    return status;
}

static const char *const inputs[] = {"input_ids", "token_type_ids", "attention_mask"};

int rt_foreign_input(const char *name) {
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, inputs[i]) == 0) return i;
    }
    return -1;
}

const int64_t *rt_foreign_feed(const rt_chunk *chunk, int input) {
    const int64_t *const feeds[] = {chunk->wide_ids, chunk->wide_types, chunk->wide_mask};
    return feeds[input];
}

/* Whether the outputs are [rows…, columns], or one [rows…] per column. Those of a fill head are for all
 * tokens, or for the mask tokens only: *masks tells which. */
static bool shapes_fit(const rt_foreign *f, const rt_chunk *chunk, const rt_foreign_output *outputs,
                       size_t count, bool *masks) {
    const rt_foreign_output *first = &outputs[0];
    bool split = count > 1; /* a column each */
    size_t rank = first->rank + split;
    bool flat = rank == 2; /* one row per sequence, or per mask token */
    int64_t rows =
        (int64_t)(f->limits.output == RT_ROW_SET_MASK_TOKENS && flat ? chunk->mask_tokens : chunk->batch);
    *masks = flat;
    if (f->limits.output == (flat ? RT_ROW_SET_TOKENS : RT_ROW_SET_SEQUENCES)) return false;
    for (size_t i = 0; i < count; i++) {
        const int64_t *dims = outputs[i].dims;
        if (outputs[i].rank != first->rank || (rank != 2 && rank != 3) || dims[0] != rows) return false;
        if (rank == 3 && dims[1] != (int64_t)chunk->seq) return false;
    }
    return count == (split ? f->columns : 1) && (split || first->dims[rank - 1] == (int64_t)f->columns);
}

static retort_status fail_shapes(const rt_foreign *f, const rt_chunk *chunk, const rt_foreign_output *first,
                                 size_t count, retort_error *err) {
    char found[96], what[256];
    rt_dims_text(found, sizeof found, first->dims, (int)first->rank);
    snprintf(what, sizeof what, "%zu outputs, the first of %s: expected one of [%zu, %s%zu]", count, found,
             chunk->batch, f->limits.output == RT_ROW_SET_SEQUENCES ? "" : "seq, ", f->columns);
    return rt_foreign_fail(f, err, "run", what);
}

retort_status rt_foreign_take(rt_foreign *f, const rt_foreign_output *outputs, size_t count,
                              retort_error *err) {
    const rt_chunk *chunk = &f->batch.chunks[f->index];
    bool masks;
    if (count == 0 || !shapes_fit(f, chunk, outputs, count, &masks))
        return fail_shapes(f, chunk, outputs, count, err);
    size_t first = f->batch.first_sequence[f->index]; /* all sequences are computed, in order */
    for (size_t b = 0; b < chunk->batch; b++) {
        size_t place = (size_t)f->batch.places[first + b];
        size_t rows = (size_t)f->batch.places[first + b + 1] - place;
        for (size_t i = 0; i < rows; i++) {
            size_t mask = (size_t)chunk->mask_token_starts[b] + i;
            size_t row = f->limits.output == RT_ROW_SET_SEQUENCES ? b
                         : f->limits.output == RT_ROW_SET_TOKENS  ? (size_t)chunk->starts[b] + i
                         : masks                                  ? mask
                                                                  : (size_t)chunk->mask_token_rows[mask];
            float *to = f->out + (place + i) * f->columns;
            for (size_t c = 0; c < f->columns; c++) {
                to[c] = count > 1 ? outputs[c].data[row] : outputs[0].data[row * f->columns + c];
            }
        }
    }
    return RETORT_OK;
}

retort_status rt_foreign_fail(const rt_foreign *f, retort_error *err, const char *what, const char *text) {
    char line[384];
    size_t n = 0;
    for (; *text != '\0' && n + 1 < sizeof line; text++) {
        bool space = *text == '\n' || *text == '\r' || *text == '\t' || *text == ' ';
        if (space && (n == 0 || line[n - 1] == ' ')) continue;
        line[n++] = space ? ' ' : *text;
    }
    while (n > 0 && line[n - 1] == ' ') n--;
    line[n] = '\0';
    return rt_fail(err, RETORT_PROVIDER, "provider '%s': %s: %s", f->provider, what, line);
}

void rt_foreign_describe(const rt_foreign *f, retort_session_info *info) {
    info->isa = "own";
    info->threads = f->threads;
    info->arena_bytes = 0;
    info->steps = 0;
    info->int8_bytes = info->unpacked_bytes = 0;
    info->unpack_reason = NULL;
    info->version = f->version;
}

retort_status rt_foreign_step(const void *state, size_t index, retort_step_info *info) {
    (void)state;
    (void)index;
    (void)info;
    return RETORT_ARGUMENT;
}
