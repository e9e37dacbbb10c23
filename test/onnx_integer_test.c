/* SPDX-License-Identifier: Apache-2.0
 * Integers of ONNX files: scales and zero points in every shape that operators allow, and shapes that have as
 * many elements but are others. */
#include "model/onnx_own.h"
#include "onnx_files.h"

/* bert-classify: hidden 16, ffn 32; the FFN's first weight is [16, 32]. */
enum { K = 16, N = 32, COUNT = K * N };

typedef struct form {
    int64_t axis, block; /* -9: no attribute; block 0: none */
    int scale_rank, zero_rank;
    int64_t scale_dims[4], zero_dims[4]; /* zero_rank -1: no zero point */
    int64_t rows, columns;               /* elements that share a scale */
    bool n_bits; /* MatMulNBits [N, blocks, block / 2], in place of DequantizeLinear */
    int64_t codes_dims[3];
    const char *words; /* NULL: it is read */
} form;

static const form forms[] = {
    /* one for all */
    {-9, 0, 0, -1, {0}, {0}, K, N, false, {K, N}, NULL},
    {-9, 0, 1, 1, {1}, {1}, K, N, false, {K, N}, NULL},
    {5, 0, 0, 0, {0}, {0}, K, N, false, {K, N}, NULL},
    /* along an axis */
    {-9, 0, 1, 1, {N}, {N}, K, 1, false, {K, N}, NULL},
    {1, 0, 1, -1, {N}, {0}, K, 1, false, {K, N}, NULL},
    {-1, 0, 1, 1, {N}, {1}, K, 1, false, {K, N}, NULL},
    {1, 0, 2, 2, {1, N}, {1, N}, K, 1, false, {K, N}, NULL},
    {0, 0, 1, 1, {K}, {K}, 1, N, false, {K, N}, NULL},
    {-2, 0, 1, 1, {K}, {K}, 1, N, false, {K, N}, NULL},
    /* in blocks */
    {0, 4, 2, 2, {4, N}, {4, N}, 4, 1, false, {K, N}, NULL},
    {0, 5, 2, 2, {4, N}, {4, N}, 5, 1, false, {K, N}, NULL},
    {1, 8, 2, 2, {K, 4}, {K, 4}, 1, 8, false, {K, N}, NULL},
    {0, INT64_MAX, 2, -1, {1, N}, {0}, K, 1, false, {K, N}, NULL},
    {0, 16, 2, 2, {N, 1}, {N, 1}, 16, 1, true, {N, 1, 8}, NULL},
    {0, 16, 1, 1, {N}, {N}, 16, 1, true, {N, 1, 8}, NULL},
    {0, 16, 1, -1, {N}, {0}, 16, 1, true, {N, 1, 8}, NULL},
    /* as many elements, in other dims */
    {0, 1, 2, -1, {1, COUNT}, {0}, 1, 1, false, {K, N}, "tensor 'S' [1, 512]: no scale or zero point"},
    {1, 1, 2, -1, {1, COUNT}, {0}, 1, 1, false, {K, N}, "tensor 'S' [1, 512]: no scale or zero point"},
    {0, 4, 2, -1, {N, 4}, {0}, 4, 1, false, {K, N}, "tensor 'S' [32, 4]: no scale or zero point"},
    {0, 4, 1, -1, {4 * N}, {0}, 4, 1, false, {K, N}, "tensor 'S' [128]: no scale or zero point"},
    {0, 4, 2, 2, {4, N}, {N, 4}, 4, 1, false, {K, N}, "tensor 'Z' [32, 4]: no scale or zero point"},
    {0, 4, 3, -1, {2, 2, N}, {0}, 4, 1, false, {K, N}, "tensor 'S' [2, 2, 32]: no scale or zero point"},
    {1, 0, 2, -1, {N, 1}, {0}, K, 1, false, {K, N}, "tensor 'S' [32, 1]: no scale or zero point"},
    {1, 0, 2, -1, {4, 8}, {0}, K, 1, false, {K, N}, "tensor 'S' [4, 8]: no scale or zero point"},
    {1, 0, 1, 2, {N}, {8, 4}, K, 1, false, {K, N}, "tensor 'Z' [8, 4]: no scale or zero point"},
    {2, 0, 1, -1, {N}, {0}, K, 1, false, {K, N}, "tensor 'S' [32]: no scale or zero point"},
    {-3, 0, 1, -1, {N}, {0}, K, 1, false, {K, N}, "tensor 'S' [32]: no scale or zero point"},
    {0, 16, 2, -1, {1, N}, {0}, 16, 1, true, {N, 1, 8}, "tensor 'S' [1, 32]: no scale or zero point"},
    {0, 16, 2, -1, {8, 4}, {0}, 16, 1, true, {N, 1, 8}, "tensor 'S' [8, 4]: no scale or zero point"},
    {0, 16, 2, 2, {N, 1}, {1, N}, 16, 1, true, {N, 1, 8}, "tensor 'Z' [1, 32]: no scale or zero point"},
    {0,
     16,
     2,
     -1,
     {N, 1},
     {0},
     16,
     1,
     true,
     {1, N, 8},
     "(com.microsoft.MatMulNBits): expected codes of 4 or 8 bits"},
    {0,
     16,
     2,
     -1,
     {N, 1},
     {0},
     16,
     1,
     true,
     {8, 1, N},
     "(com.microsoft.MatMulNBits): expected codes of 4 or 8 bits"},
};

/* The form at hand, and the tensors that it is written with. */
static const form *now;
static int8_t codes[COUNT];
static uint8_t packed[COUNT / 2], zeros[COUNT];
static float scales[COUNT], floats[COUNT];

static rt_onnx_node *first_of_ffn(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        rt_onnx_node *node = &onnx->nodes[i];
        for (size_t k = 0; strcmp(node->op, "MatMul") == 0 && k < onnx->tensor_count; k++) {
            const rt_onnx_tensor *t = &onnx->tensors[k];
            if (strcmp(t->name, node->inputs[1]) == 0 && t->dims[0] == K && t->dims[1] == N) return node;
        }
    }
    fail_msg("no such node");
    return NULL;
}

/* Codes, scales and zero points that all differ, and the floats that they mean. */
static void make_codes(void) {
    int64_t side = N / now->columns + (N % now->columns != 0);
    bool one_zero = now->zero_rank == 0 || (now->zero_rank == 1 && now->zero_dims[0] == 1);
    memset(packed, 0, sizeof packed);
    for (int64_t i = 0; i < COUNT; i++) {
        codes[i] = (int8_t)(now->n_bits ? i * 5 % 16 : i * 37 % 251 - 125);
        scales[i] = 0.001F * (float)(i % 113 + 1);
        zeros[i] = (uint8_t)(now->n_bits ? i * 3 % 16 : i * 7 % 100);
    }
    for (int64_t i = 0; i < K; i++) {
        for (int64_t j = 0; j < N; j++) {
            int64_t at = i * N + j, of = i / now->rows * side + j / now->columns;
            int zero = now->zero_rank < 0 ? (now->n_bits ? 8 : 0) : zeros[one_zero ? 0 : of];
            floats[at] = (float)(codes[at] - zero) * scales[of];
            packed[j * (K / 2) + i / 2] |= (uint8_t)((codes[at] & 15) << i % 2 * 4);
        }
    }
}

static void add_tensor(rt_onnx *onnx, const char *name, rt_onnx_type type, int rank, const int64_t *dims,
                       const void *data) {
    rt_onnx_tensor *t = rt_onnx_add_tensor(onnx);
    size_t count = 0;
    assert_non_null(t);
    *t = (rt_onnx_tensor){.name = name, .type = type, .rank = rank, .data = data};
    if (rank > 0) memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    assert_true(rt_shape_count(dims, rank, &count) && rt_onnx_bytes(type, count, &t->bytes));
}

static void with_integers(rt_onnx *onnx) {
    static const char *inputs[4], *outputs[] = {"dequantized"};
    static rt_onnx_attr attrs[4];
    rt_onnx_node *product = first_of_ffn(onnx);
    size_t count = 0;
    add_tensor(onnx, "W", now->n_bits ? RT_ONNX_UINT8 : RT_ONNX_INT8, now->n_bits ? 3 : 2, now->codes_dims,
               now->n_bits ? (const void *)packed : codes);
    add_tensor(onnx, "S", RT_ONNX_FLOAT, now->scale_rank, now->scale_dims, scales);
    bool zero = now->zero_rank >= 0;
    if (zero) add_tensor(onnx, "Z", RT_ONNX_UINT8, now->zero_rank, now->zero_dims, zeros);
    inputs[0] = now->n_bits ? product->inputs[0] : "W";
    inputs[1] = now->n_bits ? "W" : "S";
    inputs[2] = now->n_bits ? "S" : "Z";
    inputs[3] = "Z";
    const int64_t values[] = {now->axis, now->block, K, N};
    static const char *const keys[] = {"axis", "block_size", "K", "N"};
    for (int i = now->axis == -9 || now->n_bits ? 1 : 0; i < (now->n_bits ? 4 : 2); i++) {
        if (i == 1 && now->block == 0) continue;
        attrs[count++] = (rt_onnx_attr){.name = keys[i], .kind = RT_ONNX_ATTR_INT, .i = values[i]};
    }
    rt_onnx_node node = {.op = now->n_bits ? "MatMulNBits" : "DequantizeLinear",
                         .domain = now->n_bits ? "com.microsoft" : "",
                         .name = "integers",
                         .inputs = inputs,
                         .outputs = now->n_bits ? product->outputs : outputs,
                         .input_count = (now->n_bits ? 3 : 2) + (size_t)zero,
                         .output_count = 1,
                         .attrs = attrs,
                         .attr_count = count};
    if (now->n_bits) {
        *product = node;
        return;
    }
    size_t at = (size_t)(product - onnx->nodes);
    product->inputs[1] = outputs[0];
    assert_non_null(rt_onnx_add_node(onnx));
    memmove(&onnx->nodes[at + 1], &onnx->nodes[at], (onnx->node_count - 1 - at) * sizeof node);
    onnx->nodes[at] = node;
}

static void with_floats(rt_onnx *onnx) {
    add_tensor(onnx, "F", RT_ONNX_FLOAT, 2, (int64_t[]){K, N}, floats);
    first_of_ffn(onnx)->inputs[1] = "F";
}

static void test_scales_and_zero_points(void **state) {
    (void)state;
    retort_model *plain = golden("bert-classify", 0, RETORT_F32);
    link_checkpoint("bert-classify");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        retort_model *expected = NULL, *found = NULL;
        retort_error err = {0};
        now = &forms[i];
        make_codes();
        write_plain(plain, with_integers);
        if (now->words != NULL) {
            assert_refused(now->words);
            continue;
        }
        if (try_import(&found, 3, &err) != RETORT_OK) fail_msg("form %zu: %s", i, err.text);
        write_plain(plain, with_floats);
        if (try_import(&expected, 3, &err) != RETORT_OK) fail_msg("form %zu: %s", i, err.text);
        assert_same_graph(expected, found);
        retort_model_free(found);
        retort_model_free(expected);
    }
    retort_model_free(plain);
}

/* The FFN's first product on codes of x and of the weight, as QOperator files have it. */
static void with_codes(rt_onnx *onnx) {
    static const char *quantize[] = {"", "step", "middle", "x codes"},
                      *product[] = {"x codes", "step", "middle", "W", "S", "", "step", "middle", "y codes"},
                      *dequantize[] = {"y codes", "step", "middle", ""};
    static const float step = 0.05F;
    static const uint8_t middle = 128;
    rt_onnx_node *at = first_of_ffn(onnx);
    size_t index = (size_t)(at - onnx->nodes);
    add_tensor(onnx, "W", RT_ONNX_INT8, 2, now->codes_dims, codes);
    add_tensor(onnx, "S", RT_ONNX_FLOAT, now->scale_rank, now->scale_dims, scales);
    add_tensor(onnx, "step", RT_ONNX_FLOAT, 0, NULL, &step);
    add_tensor(onnx, "middle", RT_ONNX_UINT8, 0, NULL, &middle);
    quantize[0] = at->inputs[0];
    dequantize[3] = at->outputs[0];
    for (int i = 0; i < 2; i++) assert_non_null(rt_onnx_add_node(onnx));
    at = &onnx->nodes[index];
    memmove(at + 3, at + 1, (onnx->node_count - index - 3) * sizeof *at);
    at[0] = (rt_onnx_node){"QuantizeLinear", "", "q", quantize, &quantize[3], 3, 1, NULL, 0};
    at[1] = (rt_onnx_node){"QLinearMatMul", "", "qm", product, &product[8], 8, 1, NULL, 0};
    at[2] = (rt_onnx_node){"DequantizeLinear", "", "dq", dequantize, &dequantize[3], 3, 1, NULL, 0};
}

/* It is the model of the floats that the weight's codes mean: activations are rounded anew. */
static void test_products_of_codes(void **state) {
    static const form per_channel = {-9, 0, 1, -1, {N}, {0}, K, 1, false, {K, N}, NULL};
    (void)state;
    retort_model *plain = golden("bert-classify", 0, RETORT_F32), *expected = NULL, *found = NULL;
    retort_error err = {0};
    link_checkpoint("bert-classify");
    now = &per_channel;
    make_codes();
    write_plain(plain, with_codes);
    if (try_import(&found, 3, &err) != RETORT_OK) fail_msg("%s", err.text);
    write_plain(plain, with_floats);
    if (try_import(&expected, 3, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_graph(expected, found);
    retort_model_free(found);
    retort_model_free(expected);
    retort_model_free(plain);
}

/* ---- Codes between operators ---- */

static bool is_rounded(const rt_onnx_node *node) {
    static const char *const ops[] = {"Add",     "Mul", "Div", "MatMul", "LayerNormalization",
                                      "Softmax", "Erf", "Tanh"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(node->op, ops[i]) == 0) return true;
    }
    return false;
}

/* A node of the graph, with its texts in its arena. */
static const char *add_rounding(rt_onnx *onnx, rt_onnx_node *out, const char *op, const char *x,
                                size_t number) {
    char name[64];
    const char **inputs = rt_arena_calloc(&onnx->arena, 4, sizeof *inputs);
    snprintf(name, sizeof name, "%s.%zu", op, number);
    assert_non_null(inputs);
    inputs[0] = x;
    inputs[1] = "step";
    inputs[2] = "middle"; /* without one, codes begin at zero, and what is below it is cut */
    inputs[3] = rt_arena_text(&onnx->arena, name, strlen(name));
    *out = (rt_onnx_node){.op = op,
                          .domain = "",
                          .name = inputs[3],
                          .inputs = inputs,
                          .outputs = inputs + 3,
                          .input_count = 3,
                          .output_count = 1};
    return inputs[3];
}

/* QuantizeLinear and DequantizeLinear before every input, constants as well, of operators that compute. */
static void round_inputs(rt_onnx *onnx) {
    static const float step = 0.1F;
    static const uint8_t middle = 128;
    size_t count = onnx->node_count, made = 0;
    rt_onnx_node *before = rt_arena_calloc(&onnx->arena, count, sizeof *before);
    memcpy(before, onnx->nodes, count * sizeof *before);
    add_tensor(onnx, "step", RT_ONNX_FLOAT, 0, NULL, &step);
    add_tensor(onnx, "middle", RT_ONNX_UINT8, 0, NULL, &middle);
    onnx->node_count = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; is_rounded(&before[i]) && k < before[i].input_count; k++) {
            rt_onnx_node *node = rt_onnx_add_node(onnx);
            const char *codes_of = add_rounding(onnx, node, "QuantizeLinear", before[i].inputs[k], made);
            node = rt_onnx_add_node(onnx);
            before[i].inputs[k] = add_rounding(onnx, node, "DequantizeLinear", codes_of, made++);
        }
        *rt_onnx_add_node(onnx) = before[i];
    }
    assert_true(made > 50);
}

static void test_codes_between_operators(void **state) {
    (void)state;
    static const char *const models[] = {"bert-classify", "distilbert-classify", "bert-answer"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        retort_model *plain = golden(models[i], 0, RETORT_F32), *model = golden(models[i], 3, RETORT_F32),
                     *again = NULL;
        retort_error err = {0};
        link_checkpoint(models[i]);
        write_plain(plain, round_inputs);
        if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s: %s", models[i], err.text);
        assert_same_graph(model, again);
        retort_model_free(again);
        retort_model_free(model);
        retort_model_free(plain);
    }
}

/* Signed codes without a zero point: nothing is cut. */
static void round_to_signed(rt_onnx *onnx) {
    static rt_onnx_attr type = {.name = "output_dtype", .kind = RT_ONNX_ATTR_INT, .i = RT_ONNX_INT8};
    round_inputs(onnx);
    for (size_t i = 0; i < onnx->node_count; i++) {
        rt_onnx_node *node = &onnx->nodes[i];
        bool rounds = strcmp(node->op, "QuantizeLinear") == 0;
        if (!rounds && strcmp(node->op, "DequantizeLinear") != 0) continue;
        node->input_count = 2;
        if (rounds) node->attrs = &type, node->attr_count = 1;
    }
}

static void test_signed_codes(void **state) {
    (void)state;
    retort_model *plain = golden("bert-classify", 0, RETORT_F32),
                 *model = golden("bert-classify", 3, RETORT_F32), *again = NULL;
    retort_error err = {0};
    link_checkpoint("bert-classify");
    write_plain(plain, round_to_signed);
    if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_graph(model, again);
    retort_model_free(again);
    retort_model_free(model);
    retort_model_free(plain);
}

/* The last node that makes floats of codes. */
static rt_onnx_node *last_dequantize(rt_onnx *onnx) {
    round_inputs(onnx);
    for (size_t i = onnx->node_count; i > 0; i--) {
        if (strcmp(onnx->nodes[i - 1].op, "DequantizeLinear") == 0) return &onnx->nodes[i - 1];
    }
    fail();
    return NULL;
}
static void another_step(rt_onnx *onnx) {
    static const float step = 0.2F;
    add_tensor(onnx, "another", RT_ONNX_FLOAT, 0, NULL, &step);
    last_dequantize(onnx)->inputs[1] = "another";
}
static void another_middle(rt_onnx *onnx) {
    static const uint8_t middle = 127;
    add_tensor(onnx, "another", RT_ONNX_UINT8, 0, NULL, &middle);
    last_dequantize(onnx)->inputs[2] = "another";
}
static void no_middle(rt_onnx *onnx) {
    last_dequantize(onnx)->input_count = 2;
}
static void codes_as_numbers(rt_onnx *onnx) {
    static rt_onnx_attr to = {.name = "to", .kind = RT_ONNX_ATTR_INT, .i = RT_ONNX_FLOAT};
    rt_onnx_node *node = last_dequantize(onnx);
    node->op = "Cast";
    node->input_count = 1;
    node->attrs = &to;
    node->attr_count = 1;
}

/* Codes mean what they were made with, and nothing else. */
static void test_codes_of_other_scales(void **state) {
    (void)state;
    static const refused_change rows[] = {
        {another_step, "(DequantizeLinear): expected the scale and the zero point that activations were"},
        {another_middle, "(DequantizeLinear): expected the scale and the zero point that activations were"},
        {no_middle, "(DequantizeLinear): expected the scale and the zero point that activations were"},
        {codes_as_numbers, "(Cast): expected plain floats or integers"},
    };
    assert_changes_refused("bert-classify", sizeof rows / sizeof *rows, rows);
}

/* ---- Our own files, whose metadata says one shape and whose tensors have another ---- */

static rt_onnx_tensor *tensor_with(rt_onnx *onnx, rt_onnx_type type, int rank) {
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        rt_onnx_tensor *t = &onnx->tensors[i];
        if (t->type == type && t->rank == rank && t->dims[0] != t->dims[1]) return t;
    }
    fail_msg("no such tensor");
    return NULL;
}

static void test_own_codes_of_another_shape(void **state) {
    (void)state;
    static const struct {
        const char *recipe;
        int embeddings;
        bool standard;
        rt_onnx_type type;
        int rank;
    } rows[] = {{"int8", 0, false, RT_ONNX_INT8, 2},
                {"int4", 0, false, RT_ONNX_UINT8, 3},
                {"int4", 0, true, RT_ONNX_INT4, 2},
                {"int4", 4, false, RT_ONNX_INT8, 2}};
    retort_model *model = golden("bert-wide", 3, RETORT_F32);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        retort_error err = {0};
        retort_export_options options = RETORT_EXPORT_OPTIONS;
        retort_model *integer = quantized(model, rows[i].recipe, rows[i].embeddings, 32), *again = NULL;
        rt_onnx onnx;
        uint64_t bytes;
        bool external, own = true;
        options.standard = rows[i].standard;
        assert_int_equal(retort_model_export(integer, graph_path, &options, NULL, &err), RETORT_OK);
        assert_int_equal(rt_onnx_open(&onnx, graph_path, &err), RETORT_OK);
        rt_onnx_tensor *t = tensor_with(&onnx, rows[i].type, rows[i].rank);
        int64_t first = t->dims[0];
        t->dims[0] = t->dims[1];
        t->dims[1] = first;
        assert_int_equal(rt_onnx_save(&onnx, graph_path, 0, &bytes, &external, &err), RETORT_OK);
        rt_onnx_close(&onnx);
        assert_int_equal(rt_onnx_open(&onnx, graph_path, &err), RETORT_OK);
        again = rt_model_new();
        assert_int_equal(rt_onnx_own(again, "changed", &onnx, &own, &err), RETORT_OK);
        assert_false(own);
        retort_model_free(again);
        rt_onnx_close(&onnx);
        retort_model_free(integer);
    }
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scales_and_zero_points),  cmocka_unit_test(test_products_of_codes),
        cmocka_unit_test(test_codes_between_operators), cmocka_unit_test(test_signed_codes),
        cmocka_unit_test(test_codes_of_other_scales),   cmocka_unit_test(test_own_codes_of_another_shape),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
