/* SPDX-License-Identifier: Apache-2.0
 * StaticEmbedding of sentence-transformers, and model2vec: a tokenizer and one table. The vector of a text is the mean of its
 * tokens' rows; there is no network, so no configuration either. */
#include "arch/static_embedding.h"
#include "base/check_finite.h"

#include <inttypes.h>
#include <string.h>

const rt_arch rt_arch_static = {
    .type = "static",
    .prefix = "StaticEmbedding",
    .names = {[RT_ROLE_WORD] = "embedding"},
    .pretraining = RETORT_TASK_EMBED,
};

/* The row of each piece in a smaller table, and what it is multiplied by: model2vec's quantised vocabularies. */
typedef struct folding {
    const char *file;
    const rt_tensor *rows, *mapping, *weights;
    retort_error *err;
} folding;

static retort_status check_table(const folding *f) {
    const rt_tensor *t = f->rows;
    if (t->rank != 2 || t->shape[0] < 1 || t->shape[0] > 1 << 24 || t->shape[1] < 1 || t->shape[1] > 1 << 16)
        return rt_fail(f->err, RETORT_FORMAT, "%s: tensor '%s': expected a row for each piece", f->file,
                       t->name);
    if (!rt_tensor_is_float(t))
        return rt_fail(f->err, RETORT_UNSUPPORTED, "%s: tensor '%s': expected f32, f16 or bf16, found %s",
                       f->file, t->name, retort_dtype_name(t->dtype));
    size_t count = (size_t)t->shape[0] * (size_t)t->shape[1];
    if (rt_first_nonfinite(t->data, t->dtype, count) < count)
        return rt_fail(f->err, RETORT_FORMAT, "%s: tensor '%s': expected finite numbers", f->file, t->name);
    return RETORT_OK;
}

static int64_t row_of(const folding *f, int64_t piece) {
    if (f->mapping == NULL) return piece;
    if (f->mapping->dtype == RETORT_I64) {
        int64_t row;
        memcpy(&row, (const char *)f->mapping->data + (size_t)piece * sizeof row, sizeof row);
        return row;
    }
    int32_t row;
    memcpy(&row, (const char *)f->mapping->data + (size_t)piece * sizeof row, sizeof row);
    return row;
}

/* One row per piece, in f32. */
static retort_status fold(const folding *f, rt_arena *arena, rt_tensor *out) {
    const rt_tensor *by = f->mapping != NULL ? f->mapping : f->weights;
    int64_t pieces = by->shape[0], columns = f->rows->shape[1];
    size_t bytes = (size_t)columns * rt_dtype_size(f->rows->dtype), n;
    bool fits = by->rank == 1 && pieces >= 1 && pieces <= 1 << 24 &&
                (f->mapping == NULL || f->mapping->dtype == RETORT_I64 || f->mapping->dtype == RETORT_I32) &&
                (f->weights == NULL || (f->weights->rank == 1 && f->weights->shape[0] == pieces &&
                                        rt_tensor_is_float(f->weights))) &&
                rt_mul((size_t)pieces, (size_t)columns, &n);
    if (!fits)
        return rt_fail(f->err, RETORT_FORMAT, "%s: 'mapping' and 'weights' do not fit the embeddings",
                       f->file);
    float *data = rt_arena_calloc(arena, n, sizeof *data);
    if (data == NULL) return rt_fail_nomem(f->err, n * sizeof *data);
    for (int64_t i = 0; i < pieces; i++) {
        int64_t row = row_of(f, i);
        float weight = 1, *to = data + i * columns;
        if (row < 0 || row >= f->rows->shape[0])
            return rt_fail(f->err, RETORT_FORMAT,
                           "%s: mapping of piece %" PRId64 " is %" PRId64 ", of %" PRId64 " rows", f->file, i,
                           row, f->rows->shape[0]);
        rt_to_f32(to, (const char *)f->rows->data + (size_t)row * bytes, f->rows->dtype, (size_t)columns);
        if (f->weights != NULL)
            rt_to_f32(&weight, (const char *)f->weights->data + (size_t)i * rt_dtype_size(f->weights->dtype),
                      f->weights->dtype, 1);
        for (int64_t j = 0; j < columns; j++) to[j] *= weight;
    }
    *out = (rt_tensor){
        .name = f->rows->name, .dtype = RETORT_F32, .rank = 2, .shape = {pieces, columns}, .data = data};
    return RETORT_OK;
}

retort_status rt_static_open(rt_encoder *e, retort_error *err) {
    rt_tensor *table = rt_arena_calloc(&e->arena, 1, sizeof *table);
    if (table == NULL) return rt_fail_nomem(err, sizeof *table);
    retort_status status = rt_tensors_open_folder(&e->tensors, e->folder, err);
    if (status != RETORT_OK) return status;
    folding f = {.file = e->folder, .rows = rt_tensors_find(&e->tensors, "embedding.weight"), .err = err};
    if (f.rows == NULL) {
        f.rows = rt_tensors_find(&e->tensors, "embeddings");
        f.mapping = rt_tensors_find(&e->tensors, "mapping");
        f.weights = rt_tensors_find(&e->tensors, "weights");
    }
    if (f.rows == NULL)
        return rt_fail(err, RETORT_FORMAT, "%s: tensor 'embedding.weight' is missing, and so is 'embeddings'",
                       e->folder);
    status = check_table(&f);
    if (status != RETORT_OK) return status;
    *table = *f.rows;
    if (f.mapping != NULL || f.weights != NULL) status = fold(&f, &e->arena, table);
    e->parts[RT_ROLE_WORD].weight = table;
    int64_t columns = table->shape[1];
    e->config = (rt_config){.arch = &rt_arch_static,
                            .task = RETORT_TASK_EMBED,
                            .pooling = RT_POOL_MEAN,
                            .hidden = columns,
                            .embedding = columns,
                            .labels = columns,
                            .heads = 1,
                            .ffn = 1,
                            .vocab = table->shape[0],
                            .positions = RT_STATIC_TOKENS,
                            .max_length = RT_STATIC_TOKENS,
                            .epsilon = 1e-12f};
    return status;
}
