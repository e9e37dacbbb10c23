/* SPDX-License-Identifier: Apache-2.0
 * Level-0 graph: inputs, embeddings, layers, head. */
#include "arch/builder.h"

#include <stdlib.h>

static void emit_inputs(rt_builder *b) {
    static const int64_t dims[] = {RT_DIM_BATCH, RT_DIM_SEQ};
    b->ids = rt_graph_input(b->graph, "input_ids", RETORT_I64, 2, dims);
    b->mask = rt_graph_input(b->graph, "attention_mask", RETORT_I64, 2, dims);
    bool types = rt_config_has_types(&b->encoder->config);
    b->types = types ? rt_graph_input(b->graph, "token_type_ids", RETORT_I64, 2, dims) : -1;
}

/* 0 for padding, and for others how many up to it are not padding, as transformers' create_position_ids_from_input_ids
 * counts, less the id of padding: rows of the table from that of padding on. [batch, seq] */
static int counted_ids(rt_builder *b) {
    int pad = rt_emit_index(b, "embeddings", "pad.id", rt_config_pad_id(&b->encoder->config));
    int equal = rt_emit2(b, RT_OP_EQUAL, "embeddings", "pad", b->ids, pad);
    int whole = rt_emit(b, RT_OP_CAST, "embeddings", "pad.cast", 1, &equal, &(rt_attrs){.dtype = RETORT_I64});
    int counts =
        rt_emit2(b, RT_OP_SUB, "embeddings", "counts", rt_emit_index(b, "embeddings", "one", 1), whole);
    int sums = rt_emit(b, RT_OP_CUM_SUM, "embeddings", "count", 1, &counts, &(rt_attrs){.axis = 1});
    return rt_emit2(b, RT_OP_MUL, "embeddings", "places", sums, counts);
}

/* Token types of one row are the same for all tokens: it is added to the positions, or else to the words. */
static const rt_tensor *type_row(const rt_builder *b) {
    return b->types < 0 ? b->encoder->parts[RT_ROLE_TYPE].weight : NULL;
}

/* A table of the embeddings: the rows from `first` on, [rows, width], with `row` added to each. */
static int table_of(rt_builder *b, const char *leaf, rt_role role, int64_t first, const rt_tensor *row) {
    const rt_weight *parts = b->encoder->parts;
    const rt_tensor *table = parts[role].weight;
    if (parts[RT_ROLE_TABLE_PROJECTION].weight != NULL)
        return rt_emit_projected(b, "embeddings", leaf, table, row, parts[RT_ROLE_TABLE_PROJECTION].weight);
    return rt_emit_rows(b, "embeddings", leaf, table, first, row);
}

/* All that a static embedding has. */
static int rows_of_words(rt_builder *b) {
    int table = rt_emit_tensor(b, "embeddings", "word", b->encoder->parts[RT_ROLE_WORD].weight);
    return rt_emit2(b, RT_OP_GATHER, "embeddings.word", "gather", table, b->ids);
}

/* -> [batch, seq, hidden] */
static int embeddings(rt_builder *b) {
    const rt_weight *parts = b->encoder->parts;
    const rt_config *config = &b->encoder->config;
    bool placed = parts[RT_ROLE_POSITION].weight != NULL;
    int words = table_of(b, "word", RT_ROLE_WORD, 0, placed ? NULL : type_row(b));
    int x = rt_emit2(b, RT_OP_GATHER, "embeddings.word", "gather", words, b->ids);
    if (b->types >= 0) {
        int type = rt_emit2(b, RT_OP_GATHER, "embeddings.type", "gather",
                            table_of(b, "type", RT_ROLE_TYPE, 0, NULL), b->types);
        x = rt_emit2(b, RT_OP_ADD, "embeddings.type", "add", x, type);
    }
    if (placed) {
        int table = table_of(b, "position", RT_ROLE_POSITION, config->position_offset - config->after_pad,
                             type_row(b));
        int places = config->after_pad != 0 ? counted_ids(b) : rt_emit_places(b);
        int position = rt_emit2(b, RT_OP_GATHER, "embeddings.position", "gather", table, places);
        x = rt_emit2(b, RT_OP_ADD, "embeddings.position", "add", x, position);
    }
    if (parts[RT_ROLE_EMBEDDING_NORM].weight != NULL)
        x = rt_emit_norm(b, "embeddings.norm", &parts[RT_ROLE_EMBEDDING_NORM], x);
    if (parts[RT_ROLE_PROJECTION].weight == NULL) return x;
    return rt_emit_linear(b, "embeddings.projection", &parts[RT_ROLE_PROJECTION], x);
}

static void build_encoder(rt_builder *b) {
    const rt_config *config = &b->encoder->config;
    emit_inputs(b);
    int hidden = config->arch == &rt_arch_static ? rows_of_words(b) : embeddings(b);
    if (config->arch->mask != NULL) b->key_mask = config->arch->mask(b);
    int (*layer)(rt_builder *, int64_t, int) =
        config->arch->layer_of != NULL ? config->arch->layer_of : rt_build_post_norm;
    for (int64_t i = 0; i < config->layers; i++) hidden = layer(b, i, hidden);
    const rt_weight *norm = &b->encoder->parts[RT_ROLE_FINAL_NORM];
    if (norm->weight != NULL) hidden = rt_emit_norm(b, "final.norm", norm, hidden);
    b->graph->output = rt_build_head(b, hidden);
}

retort_status rt_graph_build(rt_graph *out, const rt_encoder *encoder, int64_t mask_id, retort_error *err) {
    bool fill = encoder->config.task == RETORT_TASK_FILL;
    if (fill && mask_id < 0) {
        return rt_fail(err, RETORT_UNSUPPORTED, "fill: the tokenizer has no mask token");
    }
    rt_graph graph = {.output = -1, .mask_id = fill ? mask_id : -1};
    rt_builder b = {.graph = &graph,
                    .encoder = encoder,
                    .key_mask = -1,
                    .places = -1,
                    .distances = -1,
                    .bias = -1,
                    .cosine = {-1, -1},
                    .sine = {-1, -1},
                    .far = -1};
    retort_status status = RETORT_OK;
    if (encoder->graph_file != NULL) {
        status = rt_build_onnx(&b, err);
    } else {
        build_encoder(&b);
    }
    free(b.emitted);
    if (status == RETORT_OK) status = rt_graph_verify(&graph, err);
    if (status != RETORT_OK) {
        rt_graph_free(&graph);
        return status;
    }
    *out = graph;
    return RETORT_OK;
}
