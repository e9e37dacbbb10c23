/* SPDX-License-Identifier: Apache-2.0
 * TensorFlow's names, and its checkpoints (tools/make_checkpoints.py) as models. */
#include "format/format.h"
#include "arch/weights.h"
#include "tensorflow_files.h"
#include "text/tokenizer.h"

/* ---- Names ---- */

static void test_names(void **state) {
    static const struct {
        rt_naming naming;
        const char *name, *torch;
    } cases[] = {
        {RT_NAMES_KERAS, "bert/tf_bert_model_3/bert/encoder/layer_._11/attention/self/query/kernel:0",
         "bert.encoder.layer.11.attention.self.query.weight"},
        {RT_NAMES_KERAS, "bert/bert/embeddings/LayerNorm/gamma:0", "bert.embeddings.LayerNorm.weight"},
        {RT_NAMES_KERAS, "bert/embeddings/word_embeddings/weight:0",
         "bert.embeddings.word_embeddings.weight"},
        {RT_NAMES_KERAS, "distilbert/x/distilbert/embeddings/position_embeddings/embeddings:0",
         "distilbert.embeddings.position_embeddings.weight"},
        {RT_NAMES_KERAS, "distilbert/x/distilbert/transformer/layer_._0/sa_layer_norm/beta:0",
         "distilbert.transformer.layer.0.sa_layer_norm.bias"},
        {RT_NAMES_KERAS, "mlm___cls/tf_bert_for_masked_lm/mlm___cls/predictions/bias:0",
         "cls.predictions.bias"},
        {RT_NAMES_KERAS, "classifier/x/classifier/bias:0", "classifier.bias"},
        {RT_NAMES_TENSORFLOW, "bert/encoder/layer_7/intermediate/dense/bias",
         "bert.encoder.layer.7.intermediate.dense.bias"},
        {RT_NAMES_TENSORFLOW, "bert/embeddings/token_type_embeddings",
         "bert.embeddings.token_type_embeddings.weight"},
        {RT_NAMES_TENSORFLOW, "output_weights", "classifier.weight"},
        {RT_NAMES_TENSORFLOW, "cls/squad/output_bias", "qa_outputs.bias"},
        {RT_NAMES_TENSORFLOW, "cls/seq_relationship/output_weights", "cls.seq_relationship.weight"},
        {RT_NAMES_TENSORFLOW, "bert/layer_norm/beta", "bert.layer_norm.bias"},
        {RT_NAMES_TENSORFLOW, "bert/pooler/dense/kernel/adam_v", NULL},
        {RT_NAMES_TENSORFLOW, "global_step", NULL},
        {RT_NAMES_TENSORFLOW, "//", "//"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors = {.naming = cases[i].naming};
        retort_error err = {0};
        rt_tensor t = {.name = cases[i].name, .data = numbers, .rank = 1, .shape = {4}};
        assert_int_equal(rt_tensors_add(&tensors, "x", &t, &err), RETORT_OK);
        assert_int_equal(rt_weights_rename(&tensors, "x", &err), RETORT_OK);
        assert_int_equal(tensors.count, cases[i].torch != NULL);
        if (cases[i].torch != NULL) assert_string_equal(tensors.items[0].name, cases[i].torch);
        rt_tensors_close(&tensors);
    }
}

/* safetensors that transformers' TensorFlow classes wrote say so. */
static void test_safetensors_of_tensorflow(void **state) {
    static const char header[] = "{\"__metadata__\":{\"format\":\"tf\"},\"bert/pooler/dense/kernel:0\":"
                                 "{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
    uint8_t file[8 + sizeof header - 1 + sizeof numbers] = {sizeof header - 1};
    rt_tensors tensors;
    retort_error err = {0};
    (void)state;
    memcpy(file + 8, header, sizeof header - 1);
    memcpy(file + 8 + sizeof header - 1, numbers, sizeof numbers);
    if (rt_safetensors_parse(&tensors, "x", file, sizeof file, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (rt_weights_rename(&tensors, "x", &err) != RETORT_OK) fail_msg("%s", err.text);
    const rt_tensor *t = rt_tensors_find(&tensors, "bert.pooler.dense.weight");
    assert_non_null(t);
    assert_memory_equal(t->data, ((float[]){1, 3, -2, 0.5f}), sizeof numbers);
    rt_tensors_close(&tensors);
}

/* Kernels of some versions have a dimension for the heads. */
static void test_heads_apart(void **state) {
    static const struct {
        const char *name;
        int rank;
        int64_t shape[3], torch[2];
        float first[3];
    } cases[] = {
        {"bert/x/bert/self/query/kernel:0", 3, {2, 3, 2}, {6, 2}, {0, 6, 1}},
        {"bert/x/bert/output/dense/kernel:0", 3, {2, 3, 2}, {2, 6}, {0, 2, 4}},
        {"bert/x/bert/self/query/bias:0", 2, {3, 4}, {12}, {0, 1, 2}},
        {"bert/x/bert/pooler/dense/kernel:0", 2, {INT64_MAX, 0}, {0, INT64_MAX}, {0}},
        {"bert/x/bert/pooler/dense/kernel:0", 2, {3, 4}, {4, 3}, {0, 4, 8}},
        {"bert/x/bert/word_embeddings/weight:0", 2, {3, 4}, {3, 4}, {0, 1, 2}},
    };
    float counted[12];
    (void)state;
    for (size_t i = 0; i < 12; i++) counted[i] = (float)i;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tensors tensors = {.naming = RT_NAMES_KERAS};
        retort_error err = {0};
        rt_tensor t = {.name = cases[i].name, .data = counted, .rank = cases[i].rank};
        memcpy(t.shape, cases[i].shape, sizeof cases[i].shape);
        assert_int_equal(rt_tensors_add(&tensors, "x", &t, &err), RETORT_OK);
        assert_int_equal(rt_weights_rename(&tensors, "x", &err), RETORT_OK);
        t = tensors.items[0];
        assert_int_equal(t.rank, cases[i].torch[1] != 0 ? 2 : 1);
        assert_memory_equal(t.shape, cases[i].torch, (size_t)t.rank * sizeof *t.shape);
        if (t.shape[0] > 0) assert_memory_equal(t.data, cases[i].first, sizeof cases[i].first);
        rt_tensors_close(&tensors);
    }
}

/* ---- Models ---- */

static void save_import(const char *checkpoint, int level, const char *path) {
    char source[256];
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    snprintf(source, sizeof source, "test/golden/checkpoints/%s", checkpoint);
    if (retort_model_import(&model, at_root(source), &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_model_save(model, path, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model_free(model);
}

/* Whatever the file's format, the same weights give the same model file, byte for byte. */
static void test_same_bytes(void **state) {
    static const char *const pairs[][2] = {
        {"distilbert-classify", "distilbert-classify-keras"},
        {"bert-classify", "bert-classify-keras"},
        {"bert-classify", "bert-classify-tensorflow"},
        {"bert-answer", "bert-answer-trained"},
    };
    char first[128], second[128];
    (void)state;
    snprintf(first, sizeof first, "%s/first.retort", folder);
    snprintf(second, sizeof second, "%s/second.retort", folder);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (int level = 0; level <= 3; level += 3) {
            rt_tensors a, b;
            retort_error err = {0};
            save_import(pairs[i][0], level, first);
            save_import(pairs[i][1], level, second);
            assert_int_equal(rt_tensors_open(&a, first, &err), RETORT_OK);
            assert_int_equal(rt_tensors_open(&b, second, &err), RETORT_OK);
            assert_int_equal(a.count, b.count);
            for (size_t k = 0; k < a.count; k++) {
                const rt_tensor *x = &a.items[k], *y = &b.items[k];
                size_t count;
                assert_string_equal(x->name, y->name);
                assert_int_equal(x->dtype, y->dtype);
                assert_int_equal(x->rank, y->rank);
                assert_memory_equal(x->shape, y->shape, sizeof x->shape);
                assert_true(rt_shape_count(x->shape, x->rank, &count));
                assert_memory_equal(x->data, y->data, count * rt_dtype_size(x->dtype));
            }
            rt_tensors_close(&a);
            rt_tensors_close(&b);
        }
    }
}

/* Google's folders have no labels and no task in their configuration: the weights tell. */
static void test_google_config(void **state) {
    rt_encoder e;
    retort_error err = {0};
    const retort_task embed = RETORT_TASK_EMBED;
    const char *classify = "test/golden/checkpoints/bert-classify-tensorflow";
    (void)state;
    if (rt_encoder_open(&e, at_root(classify), NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(e.config.task, RETORT_TASK_CLASSIFY);
    assert_true(e.config.pooler);
    assert_int_equal(e.config.labels, 3);
    assert_string_equal(e.config.label_names[2], "LABEL_2");
    rt_encoder_close(&e);
    if (rt_encoder_open(&e, at_root(classify), &(rt_encoder_options){.task = &embed}, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_null(e.parts[RT_ROLE_OUTPUT].weight);
    rt_encoder_close(&e);
    if (rt_encoder_open(&e, at_root("test/golden/checkpoints/bert-answer-trained"), NULL, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(e.config.task, RETORT_TASK_ANSWER);
    rt_encoder_close(&e);
}

/* Their vocabulary tells whether texts are lower-cased. */
static void test_google_case(void **state) {
    static const struct {
        const char *vocab, *config;
        bool lower;
    } cases[] = {
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n", "bert_config.json", true},
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##The\n", "bert_config.json", false},
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nThe\n", "config.json", true}, /* transformers' default */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tokenizer *tokenizer = NULL;
        retort_error err = {0};
        write_text("vocab.txt", cases[i].vocab);
        write_text(cases[i].config, "{}");
        if (rt_tokenizer_from_folder(&tokenizer, folder, &err) != RETORT_OK) fail_msg("%s", err.text);
        assert_int_equal(rt_tokenizer_describe(tokenizer).lowercase, cases[i].lower);
        rt_tokenizer_free(tokenizer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_safetensors_of_tensorflow),
        cmocka_unit_test(test_heads_apart),   cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_google_config), cmocka_unit_test(test_google_case),
    };
    return cmocka_run_group_tests_name("tensorflow", tests, make_folder, remove_folder);
}
