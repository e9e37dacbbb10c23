/* SPDX-License-Identifier: Apache-2.0
 * TensorFlow's names and layouts as torch's. Keras (transformers' modeling_tf_*) names a variable by its
 * layers, bert/tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0 and google-research/bert by
 * its scopes, bert/encoder/layer_0/attention/self/query/kernel where torch has
 * bert.encoder.layer.0.attention.self.query.weight, transposed. */
#include "format/format.h"
#include "arch/weights.h"

#include <string.h>

/* Whole names: heads of google-research/bert's run_classifier.py and run_squad.py. */
static const char *const whole[][2] = {
    {"output_weights", "classifier.weight"},
    {"output_bias", "classifier.bias"},
    {"cls/squad/output_weights", "qa_outputs.weight"},
    {"cls/squad/output_bias", "qa_outputs.bias"},
};

/* How names end. Kernels are [in, out]. */
static const struct {
    const char *tensorflow, *torch;
    bool transposed;
} ends[] = {
    {"kernel", "weight", true},
    {"gamma", "weight", false},
    {"beta", "bias", false},
    {"embeddings", "weight", false},
    {"output_weights", "weight", false},
    {"output_bias", "bias", false},
    {"word_embeddings", "word_embeddings.weight", false},
    {"position_embeddings", "position_embeddings.weight", false},
    {"token_type_embeddings", "token_type_embeddings.weight", false},
};
enum { ENDS = sizeof ends / sizeof *ends };

/* What a training run stores with its weights: the moments of the optimizer and the step count. */
static const char *const training[] = {
    "adam_m", "adam_v", "AdamWeightDecayOptimizer", "AdamWeightDecayOptimizer_1", "global_step",
    "LAMB",   "LAMB_1"};

/* The name between two slashes. */
typedef struct piece {
    const char *text;
    size_t length;
} piece;

static bool next_piece(const char **at, piece *out) {
    *at += strspn(*at, "/");
    *out = (piece){*at, strcspn(*at, "/")};
    *at += out->length;
    return out->length > 0;
}

static bool is_piece(piece p, const char *text) {
    return strlen(text) == p.length && memcmp(p.text, text, p.length) == 0;
}

static bool is_training(const char *name) {
    piece p;
    while (next_piece(&name, &p)) {
        for (size_t i = 0; i < sizeof training / sizeof *training; i++) {
            if (is_piece(p, training[i])) return true;
        }
    }
    return false;
}

/* Keras puts the layer's group and the model's name before the variable's own, which begins with the layer's
 * name again: bert / tf_bert_model / bert / … */
static const char *without_model(const char *name) {
    piece first, p;
    const char *at = name;
    if (!next_piece(&at, &first)) return name;
    while (next_piece(&at, &p)) {
        if (p.length == first.length && memcmp(p.text, first.text, p.length) == 0) return p.text;
    }
    return name;
}

/* A name that stands within another is "outer___own"; layer_._0 and layer_0 are an item of a list. */
static void put_piece(rt_buffer *out, piece p) {
    static const char list[] = "layer_";
    for (size_t i = 0; i + 3 < p.length; i++) {
        if (memcmp(p.text + i, "___", 3) == 0) p = (piece){p.text + i + 3, p.length - i - 3};
    }
    if (out->length > 0) rt_buffer_text(out, ".");
    if (p.length < sizeof list || memcmp(p.text, list, sizeof list - 1) != 0) {
        rt_buffer_append(out, p.text, p.length);
        return;
    }
    piece index = {p.text + sizeof list - 1, p.length - (sizeof list - 1)};
    if (index.length > 2 && memcmp(index.text, "._", 2) == 0)
        index = (piece){index.text + 2, index.length - 2};
    bool numbered = index.text[0] >= '0' && index.text[0] <= '9';
    if (numbered) rt_buffer_text(out, "layer.");
    if (!numbered) index = p;
    rt_buffer_append(out, index.text, index.length);
}

/* The torch name into `out`; whether the matrix is transposed. */
static bool put_name(rt_buffer *out, const char *name, rt_naming naming) {
    piece p, next;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        if (strcmp(name, whole[i][0]) == 0) {
            rt_buffer_text(out, whole[i][1]);
            return false;
        }
    }
    const char *at = naming == RT_NAMES_KERAS ? without_model(name) : name;
    if (!next_piece(&at, &p)) { /* slashes alone */
        rt_buffer_text(out, name);
        return false;
    }
    for (; next_piece(&at, &next); p = next) put_piece(out, p);
    if (p.length > 2 && memcmp(p.text + p.length - 2, ":0", 2) == 0) p.length -= 2;
    for (size_t i = 0; i < ENDS; i++) {
        if (!is_piece(p, ends[i].tensorflow)) continue;
        rt_buffer_format(out, "%s%s", out->length > 0 ? "." : "", ends[i].torch);
        return ends[i].transposed;
    }
    put_piece(out, p);
    return false;
}

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Some versions of transformers kept attention's heads apart: Q, K, V are [in, heads, size] with biases
 * [heads, size], the output is [heads, size, out]. */
static void join_heads(rt_tensor *t, bool kernel) {
    int64_t joined;
    if (t->rank != (kernel ? 3 : 2)) return;
    int at = ends_with(t->name, ".dense.weight") ? 0 : t->rank - 2;
    if (__builtin_mul_overflow(t->shape[at], t->shape[at + 1], &joined)) return;
    t->shape[at] = joined;
    if (at + 2 < t->rank) t->shape[at + 1] = t->shape[at + 2];
    t->rank--;
}

/* [rows, columns] to [columns, rows], in blocks that fit the cache; elements may be unaligned. */
static inline void transpose(uint8_t *out, const uint8_t *in, size_t rows, size_t columns, size_t unit) {
    enum { SQUARE = 16 };
    for (size_t r = 0; r < rows; r += SQUARE) {
        for (size_t c = 0; c < columns; c += SQUARE) {
            for (size_t j = c; j < rt_min(c + SQUARE, columns); j++) {
                for (size_t i = r; i < rt_min(r + SQUARE, rows); i++) {
                    memcpy(out + (j * rows + i) * unit, in + (i * columns + j) * unit, unit);
                }
            }
        }
    }
}

static retort_status transpose_tensor(rt_tensors *tensors, rt_tensor *t, retort_error *err) {
    size_t rows = (size_t)t->shape[0], columns = (size_t)t->shape[1], unit = rt_dtype_size(t->dtype), count;
    rt_shape_count(t->shape, t->rank, &count); /* fits: the reader found its bytes in the file */
    uint8_t *out = rt_arena_calloc(&tensors->arena, count, unit);
    if (out == NULL) return rt_fail_nomem(err, count * unit);
    const size_t filled = count > 0 ? rows : 0; /* [2^62, 0] has no elements, but many rows */
    if (unit == 4) transpose(out, t->data, filled, columns, 4);
    if (unit == 2) transpose(out, t->data, filled, columns, 2);
    t->data = out;
    t->shape[0] = (int64_t)columns;
    t->shape[1] = (int64_t)rows;
    return RETORT_OK;
}

static retort_status rename_tensor(rt_tensors *tensors, rt_tensor *t, retort_error *err) {
    rt_buffer name = {0};
    bool kernel = put_name(&name, t->name, tensors->naming);
    char *kept = name.failed ? NULL : rt_arena_text(&tensors->arena, name.data, name.length);
    rt_buffer_free(&name);
    if (kept == NULL) return rt_fail_nomem(err, strlen(t->name));
    t->name = kept;
    if (kernel || ends_with(kept, ".bias")) join_heads(t, kernel);
    return kernel && t->rank == 2 && rt_tensor_is_float(t) ? transpose_tensor(tensors, t, err) : RETORT_OK;
}

retort_status rt_weights_rename(rt_tensors *tensors, const char *file, retort_error *err) {
    size_t kept = 0;
    if (tensors->naming == RT_NAMES_TORCH) return RETORT_OK;
    for (size_t i = 0; i < tensors->count; i++) {
        if (is_training(tensors->items[i].name)) continue;
        tensors->items[kept] = tensors->items[i];
        retort_status status = rename_tensor(tensors, &tensors->items[kept++], err);
        if (status != RETORT_OK) return status;
    }
    tensors->count = kept;
    tensors->naming = RT_NAMES_TORCH;
    return rt_tensors_seal(tensors, file, err);
}
