/* SPDX-License-Identifier: Apache-2.0
 * Configurations of transformers and of sentence-transformers' modules, and those that must be refused. */
#include "format/json.h"
#include "arch/encoder.h"
#include "arch/modules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_error(retort_status status, retort_status wanted, const retort_error *err,
                        const char *fragment) {
    if (status != wanted || err->status != wanted || strstr(err->text, fragment) == NULL ||
        strchr(err->text, '\n') != NULL) {
        fail_msg("expected %d '%s', found %d '%s'", wanted, fragment, status, err->text);
    }
}

/* ---- config.json ---- */

#define DISTIL_SIZES                                                                                         \
    "\"n_layers\":2,\"dim\":16,\"n_heads\":4,\"hidden_dim\":32,\"vocab_size\":100,"                          \
    "\"max_position_embeddings\":48,\"activation\":\"gelu\""
#define BERT_SIZES                                                                                           \
    "\"num_hidden_layers\":2,\"hidden_size\":16,\"num_attention_heads\":4,\"intermediate_size\":32,"         \
    "\"vocab_size\":100,\"max_position_embeddings\":48,\"type_vocab_size\":2,\"hidden_act\":\"relu\""
#define DISTIL  "\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForSequenceClassification\"],"
#define ALBERT  "\"model_type\":\"albert\",\"architectures\":[\"AlbertForSequenceClassification\"],"
#define DEBERTA "\"model_type\":\"deberta-v2\",\"architectures\":[\"DebertaV2ForSequenceClassification\"],"
#define MPNET   "\"model_type\":\"mpnet\",\"architectures\":[\"MPNetForSequenceClassification\"],"
#define ROBERTA "\"model_type\":\"roberta\",\"architectures\":[\"RobertaForSequenceClassification\"],"
#define MODERN  "\"model_type\":\"modernbert\",\"architectures\":[\"ModernBertForSequenceClassification\"],"
#define NOMIC   "\"model_type\":\"nomic_bert\",\"architectures\":[\"NomicBertForSequenceClassification\"],"
#define EURO    "\"model_type\":\"eurobert\",\"architectures\":[\"EuroBertForSequenceClassification\"],"
#define GTE     "\"model_type\":\"new\",\"architectures\":[\"NewForSequenceClassification\"],"
#define BERT    "\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],"

static void test_config_problems(void **state) {
    static const struct {
        const char *json;
        int64_t labels;
        retort_problem problem;
        const char *last;
    } cases[] = {
        {"{" DISTIL DISTIL_SIZES "}", 2, RETORT_PROBLEM_SINGLE_LABEL, "LABEL_1"},
        {"{" DISTIL DISTIL_SIZES ",\"num_labels\":3}", 3, RETORT_PROBLEM_SINGLE_LABEL, "LABEL_2"},
        {"{" BERT BERT_SIZES ",\"num_labels\":1}", 1, RETORT_PROBLEM_MULTI_LABEL, "LABEL_0"},
        {"{" BERT BERT_SIZES ",\"num_labels\":1,\"problem_type\":\"single_label_classification\"}", 1,
         RETORT_PROBLEM_MULTI_LABEL, "LABEL_0"},
        {"{" BERT BERT_SIZES ",\"id2label\":{\"1\":\"b\",\"0\":\"a\"},\"problem_type\":null}", 2,
         RETORT_PROBLEM_SINGLE_LABEL, "b"},
        {"{" BERT BERT_SIZES ",\"label2id\":{\"x\":1,\"y\":0}}", 2, RETORT_PROBLEM_SINGLE_LABEL, "x"},
        {"{" BERT BERT_SIZES ",\"id2label\":{\"0\":0},\"problem_type\":\"regression\"}", 1,
         RETORT_PROBLEM_REGRESSION, "0"},
        {"{" BERT BERT_SIZES ",\"problem_type\":\"multi_label_classification\"}", 2,
         RETORT_PROBLEM_MULTI_LABEL, "LABEL_1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_arena arena = {0};
        rt_config c;
        retort_error err = {0};
        if (rt_config_parse(&c, &arena, "config.json", cases[i].json, strlen(cases[i].json), NULL, &err) !=
            RETORT_OK) {
            fail_msg("case %zu: %s", i, err.text);
        }
        assert_int_equal(c.labels, cases[i].labels);
        assert_int_equal(c.problem, cases[i].problem);
        assert_string_equal(c.label_names[c.labels - 1], cases[i].last);
        assert_int_equal(c.pooler, c.arch == &rt_arch_bert);
        assert_true(c.epsilon == 1e-12f);
        rt_arena_free(&arena);
    }
}

/* RoBERTa's positions start after the padding id; without one that is 1. */
static void test_config_positions(void **state) {
    static const struct {
        const char *json;
        int64_t positions, offset;
    } cases[] = {
        {"{" BERT BERT_SIZES ",\"pad_token_id\":1}", 48, 0},
        {"{" ROBERTA BERT_SIZES "}", 46, 2},
        {"{" MPNET BERT_SIZES ",\"pad_token_id\":7}", 46, 2}, /* the literal 1 */
        {"{" ROBERTA BERT_SIZES ",\"pad_token_id\":0}", 47, 1},
        {"{" ROBERTA BERT_SIZES ",\"pad_token_id\":46}", 1, 47},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_arena arena = {0};
        rt_config c;
        const char *json = cases[i].json;
        assert_int_equal(rt_config_parse(&c, &arena, "config.json", json, strlen(json), NULL, NULL),
                         RETORT_OK);
        assert_int_equal(c.positions, cases[i].positions);
        assert_int_equal(c.max_length, cases[i].positions);
        assert_int_equal(c.position_offset, cases[i].offset);
        assert_int_equal(rt_config_pad_id(&c), cases[i].offset - 1);
        rt_arena_free(&arena);
    }
}

static void test_config_refused(void **state) {
    static const struct {
        const char *json;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {"", RETORT_FORMAT, "config.json: empty"},
        {"[]", RETORT_FORMAT, "'architectures' is missing"},
        {"{}", RETORT_FORMAT, "'architectures' is missing"},
        {"{\"architectures\":[\"XLMRobertaXLForMaskedLM\"]}", RETORT_UNSUPPORTED,
         "'XLMRobertaXLForMaskedLM'"},
        {"{\"architectures\":[\"RobertaForCausalLM\"]}", RETORT_UNSUPPORTED, "'RobertaForCausalLM'"},
        {"{\"architectures\":[\"BertForMultipleChoice\"]}", RETORT_UNSUPPORTED, "'BertForMultipleChoice'"},
        {"{\"model_type\":\"xlm-roberta-xl\",\"architectures\":[\"BertModel\"]}", RETORT_UNSUPPORTED,
         "model_type 'xlm-roberta-xl'; expected distilbert, bert, electra, roberta, xlm-roberta, "
         "camembert, "},
        {"{\"model_type\":\"camembert\",\"architectures\":[\"BertModel\"]}", RETORT_FORMAT, "contradicts"},
        {"{\"model_type\":\"roberta\",\"architectures\":[\"BertModel\"]}", RETORT_FORMAT, "contradicts"},
        {"{" ROBERTA BERT_SIZES ",\"pad_token_id\":null}", RETORT_FORMAT, "'pad_token_id' is not an integer"},
        {"{" ROBERTA BERT_SIZES ",\"pad_token_id\":-1}", RETORT_FORMAT,
         "'pad_token_id' is -1; expected 0 to"},
        {"{" ROBERTA BERT_SIZES ",\"pad_token_id\":47}", RETORT_FORMAT,
         "'max_position_embeddings' is 48: positions start after 'pad_token_id', which is 47"},
        {"{\"model_type\":\"distilbert\",\"architectures\":[\"BertModel\"]}", RETORT_FORMAT, "contradicts"},
        {"{" BERT "\"hidden_size\":16}", RETORT_FORMAT, "'num_hidden_layers' is missing"},
        {"{" DISTIL "\"n_layers\":0}", RETORT_FORMAT, "'n_layers' is 0; expected 1 to 1024"},
        {"{" DISTIL "\"n_layers\":-3}", RETORT_FORMAT, "'n_layers' is -3"},
        {"{" DISTIL "\"n_layers\":4611686018427387904}", RETORT_FORMAT, "'n_layers' is 4611686018427387904"},
        {"{" DISTIL "\"n_layers\":\"2\"}", RETORT_FORMAT, "'n_layers' is not an integer"},
        {"{" DISTIL "\"n_layers\":2,\"dim\":16,\"n_heads\":5,\"hidden_dim\":32,\"vocab_size\":9,\"max_"
         "position_embeddings\":8}",
         RETORT_FORMAT, "hidden size of 16 cannot be divided by 5 heads"},
        {"{" DISTIL "\"n_layers\":2,\"dim\":16,\"n_heads\":4,\"hidden_dim\":32,\"vocab_size\":9,\"max_"
         "position_embeddings\":8}",
         RETORT_FORMAT, "'activation' is missing"},
        {"{" DISTIL "\"n_layers\":2,\"dim\":16,\"n_heads\":4,\"hidden_dim\":32,\"vocab_size\":9,\"max_"
         "position_embeddings\":8,"
         "\"activation\":\"mish\"}",
         RETORT_UNSUPPORTED, "activation 'mish'"},
        {"{" BERT BERT_SIZES ",\"position_embedding_type\":\"relative_key\"}", RETORT_UNSUPPORTED,
         "'relative_key'"},
        {"{" BERT BERT_SIZES ",\"is_decoder\":true}", RETORT_UNSUPPORTED, "'is_decoder' is true"},
        {"{" BERT BERT_SIZES ",\"add_cross_attention\":true}", RETORT_UNSUPPORTED,
         "'add_cross_attention' is true"},
        {"{" BERT BERT_SIZES ",\"pruned_heads\":{\"99\":[1]}}", RETORT_FORMAT, "names layer '99'"},
        {"{" BERT BERT_SIZES ",\"pruned_heads\":{\"-1\":[1]}}", RETORT_FORMAT, "names layer '-1'"},
        {"{" BERT BERT_SIZES ",\"pruned_heads\":{\"0\":[1,1]}}", RETORT_FORMAT, "each once"},
        {"{" BERT BERT_SIZES ",\"pruned_heads\":{\"0\":[99]}}", RETORT_FORMAT, "each once"},
        {"{" BERT BERT_SIZES ",\"pruned_heads\":{\"0\":1}}", RETORT_FORMAT, "not a list"},
        {"{" BERT BERT_SIZES ",\"pruned_heads\":[1]}", RETORT_FORMAT, "not an object"},
        {"{" BERT BERT_SIZES ",\"quantization_config\":{}}", RETORT_UNSUPPORTED, "quantization_config"},
        {"{" BERT BERT_SIZES ",\"layer_norm_eps\":0}", RETORT_FORMAT, "'layer_norm_eps' is 0"},
        {"{" BERT BERT_SIZES ",\"layer_norm_eps\":\"x\"}", RETORT_FORMAT, "'layer_norm_eps'"},
        {"{" BERT BERT_SIZES ",\"num_labels\":0}", RETORT_FORMAT, "0 labels; expected 1 to"},
        {"{" BERT BERT_SIZES ",\"num_labels\":9999999999}", RETORT_FORMAT, "9999999999 labels"},
        {"{" BERT BERT_SIZES ",\"id2label\":{\"0\":\"a\",\"2\":\"b\"}}", RETORT_FORMAT,
         "label 2 'b' of 2 labels"},
        {"{" BERT BERT_SIZES ",\"id2label\":{\"0\":\"a\",\"00\":\"b\"}}", RETORT_FORMAT, "twice"},
        {"{" BERT BERT_SIZES ",\"id2label\":{\"x\":\"a\"}}", RETORT_FORMAT, "id2label 'x'"},
        {"{" BERT BERT_SIZES ",\"label2id\":{\"x\":7}}", RETORT_FORMAT, "label 7 'x' of 1"},
        {"{" BERT BERT_SIZES ",\"problem_type\":\"ranking\"}", RETORT_UNSUPPORTED, "'ranking'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_arena arena = {0};
        rt_config c;
        retort_error err = {0};
        retort_status status =
            rt_config_parse(&c, &arena, "config.json", cases[i].json, strlen(cases[i].json), NULL, &err);
        check_error(status, cases[i].status, &err, cases[i].fragment);
        rt_arena_free(&arena);
    }
}

static void test_families_refused(void **state) {
    static const struct {
        const char *json;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {"{" DEBERTA BERT_SIZES ",\"conv_kernel_size\":3}", RETORT_UNSUPPORTED, "'conv_kernel_size' is 3"},
        {"{" DEBERTA BERT_SIZES ",\"attention_head_size\":9}", RETORT_UNSUPPORTED,
         "'attention_head_size' is 9"},
        {"{" DEBERTA BERT_SIZES ",\"position_buckets\":96,\"max_relative_positions\":48}", RETORT_FORMAT,
         "96 position_buckets for distances up to 48"},
        {"{" DEBERTA BERT_SIZES ",\"pooler_hidden_act\":\"mish\"}", RETORT_UNSUPPORTED,
         "pooler_hidden_act 'mish'"},
        {"{" MODERN BERT_SIZES ",\"local_attention\":1}", RETORT_FORMAT,
         "'local_attention': expected an integer from 2"},
        {"{" MODERN BERT_SIZES ",\"layer_types\":[\"full_attention\"]}", RETORT_FORMAT,
         "'layer_types' does not name 2 layers"},
        {"{" MODERN BERT_SIZES ",\"layer_types\":[\"full_attention\",\"chunked\"]}", RETORT_UNSUPPORTED,
         "'layer_types': 'chunked'"},
        {"{" MODERN BERT_SIZES ",\"rope_parameters\":{\"sliding_attention\":{\"rope_theta\":0}}}",
         RETORT_FORMAT, "'rope_theta': expected a number from 1"},
        {"{" MODERN BERT_SIZES ",\"rope_parameters\":{\"full_attention\":[]}}", RETORT_FORMAT,
         "'full_attention' is not an object"},
        {"{" MODERN BERT_SIZES ",\"rope_scaling\":\"yarn\"}", RETORT_FORMAT,
         "'rope_scaling' is not an object"},
        {"{" MODERN BERT_SIZES ",\"global_rope_theta\":-1}", RETORT_FORMAT, "'global_rope_theta': expected"},
        {"{" MODERN BERT_SIZES ",\"global_attn_every_n_layers\":0}", RETORT_FORMAT,
         "'global_attn_every_n_layers': expected"},
        {"{" MODERN BERT_SIZES ",\"norm_bias\":1}", RETORT_FORMAT, "'norm_bias' is neither true nor false"},
        {"{" MODERN BERT_SIZES ",\"classifier_pooling\":\"max\"}", RETORT_UNSUPPORTED,
         "classifier_pooling 'max'"},
        {"{" NOMIC BERT_SIZES ",\"rope_parameters\":{\"rope_type\":\"yarn\"}}", RETORT_UNSUPPORTED,
         "rope_type 'yarn' of rotary positions"},
        {"{" NOMIC BERT_SIZES ",\"rope_parameters\":7}", RETORT_FORMAT, "'rope_parameters' is not an object"},
        {"{" NOMIC BERT_SIZES ",\"rope_parameters\":{\"rope_type\":\"linear\"}}", RETORT_FORMAT,
         "linear rotary positions without a 'factor'"},
        {"{" NOMIC BERT_SIZES ",\"rotary_emb_interleaved\":true}", RETORT_UNSUPPORTED,
         "'rotary_emb_interleaved' is true"},
        {"{" NOMIC BERT_SIZES ",\"rotary_emb_fraction\":0.5}", RETORT_FORMAT, "'rotary_emb_fraction'"},
        {"{" NOMIC BERT_SIZES ",\"rotary_emb_scale_base\":512}", RETORT_UNSUPPORTED,
         "'rotary_emb_scale_base' is not null"},
        {"{" NOMIC BERT_SIZES ",\"rotary_scaling_factor\":2}", RETORT_UNSUPPORTED,
         "'rotary_scaling_factor' is not null"},
        {"{" NOMIC BERT_SIZES ",\"causal\":true}", RETORT_UNSUPPORTED, "'causal' is true"},
        {"{" NOMIC BERT_SIZES ",\"num_experts\":8}", RETORT_FORMAT, "'num_experts'"},
        {"{" GTE BERT_SIZES ",\"logn_attention_scale\":true}", RETORT_UNSUPPORTED,
         "'logn_attention_scale' is true"},
        {"{" GTE BERT_SIZES ",\"rope_scaling\":[8]}", RETORT_FORMAT, "'rope_scaling' is not an object"},
        {"{" GTE BERT_SIZES ",\"rope_scaling\":{\"type\":\"dynamic\"}}", RETORT_UNSUPPORTED,
         "type 'dynamic' of rotary positions"},
        {"{" GTE BERT_SIZES ",\"rope_theta\":\"x\"}", RETORT_FORMAT, "'rope_theta': expected a number"},
        {"{" GTE BERT_SIZES ",\"position_embedding_type\":\"absolute\"}", RETORT_UNSUPPORTED,
         "position_embedding_type 'absolute'; known is rope"},
        {"{" GTE BERT_SIZES ",\"layer_norm_type\":\"rms_norm\"}", RETORT_UNSUPPORTED,
         "layer_norm_type 'rms_norm'; known is layer_norm"},
        {"{" EURO BERT_SIZES ",\"num_key_value_heads\":3}", RETORT_FORMAT,
         "4 heads cannot be divided by 3 of keys"},
        {"{" EURO BERT_SIZES ",\"num_key_value_heads\":8}", RETORT_FORMAT,
         "'num_key_value_heads': expected an integer from 1 to 4"},
        {"{" EURO BERT_SIZES ",\"head_dim\":5}", RETORT_FORMAT, "heads of 5 columns have no pairs"},
        {"{" EURO BERT_SIZES ",\"head_dim\":\"4\"}", RETORT_FORMAT, "'head_dim': expected an integer"},
        {"{" EURO BERT_SIZES ",\"clf_pooling\":\"max\"}", RETORT_UNSUPPORTED,
         "clf_pooling 'max'; known are bos, mean, late"},
        {"{" EURO BERT_SIZES ",\"classifier_pooling\":7}", RETORT_UNSUPPORTED, "classifier_pooling ''"},
        {"{" EURO BERT_SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", RETORT_UNSUPPORTED,
         "rope_type 'llama3' of rotary positions"},
        {"{" EURO BERT_SIZES ",\"mlp_bias\":0}", RETORT_FORMAT, "'mlp_bias' is neither true nor false"},
        {"{" EURO BERT_SIZES ",\"rms_norm_eps\":0}", RETORT_FORMAT, "'rms_norm_eps' is 0"},
        {"{" DEBERTA BERT_SIZES ",\"relative_attention\":\"true\"}", RETORT_FORMAT,
         "'relative_attention' is neither true nor false"},
        {"{" DEBERTA BERT_SIZES ",\"position_biased_input\":1}", RETORT_FORMAT,
         "'position_biased_input' is neither"},
        {"{" DEBERTA BERT_SIZES ",\"share_att_key\":\"no\"}", RETORT_FORMAT, "'share_att_key' is neither"},
        {"{" NOMIC "\"n_layer\":2}", RETORT_FORMAT, "'hidden_size' is missing"},
        {"{\"model_type\":\"modernbert\",\"architectures\":[\"ModernBertModel\"],\"num_hidden_layers\":2,"
         "\"hidden_size\":16,"
         "\"num_attention_heads\":16,\"intermediate_size\":32,\"vocab_size\":100,\"max_position_embeddings\":"
         "48}",
         RETORT_FORMAT, "heads of 1 columns have no pairs"},
        {"{" ALBERT BERT_SIZES ",\"num_hidden_groups\":3}", RETORT_FORMAT, "3 groups of 2 layers"},
        {"{" MPNET BERT_SIZES ",\"relative_attention_num_buckets\":31}", RETORT_FORMAT,
         "'relative_attention_num_buckets' is 31; expected 32 or more"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_arena arena = {0};
        rt_config c;
        retort_error err = {0};
        retort_status status =
            rt_config_parse(&c, &arena, "config.json", cases[i].json, strlen(cases[i].json), NULL, &err);
        check_error(status, cases[i].status, &err, cases[i].fragment);
        rt_arena_free(&arena);
    }
}

/* ---- sentence-transformers ---- */

static void test_pooling_and_dense(void **state) {
    static const struct {
        retort_status (*parse)(rt_modules *, const char *, const json_t *, retort_error *);
        const char *json;
        retort_status status;
        const char *fragment;
    } cases[] = {
        {rt_modules_pooling, "{\"pooling_mode\":\"mean\"}", RETORT_OK, ""},
        {rt_modules_pooling, "{\"pooling_mode\":[\"cls\"]}", RETORT_OK, ""},
        {rt_modules_pooling, "{\"pooling_mode_max_tokens\":true,\"pooling_mode_cls_token\":false}", RETORT_OK,
         ""},
        {rt_modules_pooling, "{\"pooling_mode\":\"median\"}", RETORT_UNSUPPORTED, "'median'"},
        {rt_modules_pooling, "{\"pooling_mode\":[\"cls\",\"mean\"]}", RETORT_OK, ""},
        {rt_modules_pooling, "{\"pooling_mode\":[\"cls\",\"cls\"]}", RETORT_UNSUPPORTED,
         "'cls' is there twice"},
        {rt_modules_pooling, "{\"pooling_mode\":[]}", RETORT_FORMAT, "empty"},
        {rt_modules_pooling, "{\"pooling_mode\":[7]}", RETORT_UNSUPPORTED, "not a string"},
        {rt_modules_pooling, "{\"pooling_mode_median_tokens\":true}", RETORT_UNSUPPORTED,
         "pooling_mode_median_tokens is not supported"},
        {rt_modules_pooling, "{\"pooling_mode_mean_tokens\":true,\"pooling_mode_max_tokens\":true}",
         RETORT_OK, ""},
        {rt_modules_pooling, "[]", RETORT_FORMAT, "not a JSON object"},
        {rt_modules_dense, "{\"in_features\":16,\"out_features\":4}", RETORT_OK, ""},
        {rt_modules_dense, "{\"in_features\":16}", RETORT_FORMAT, "out_features 0"},
        {rt_modules_dense, "{\"in_features\":16,\"out_features\":4,\"activation_function\":\"os.system\"}",
         RETORT_UNSUPPORTED, "'os.system'"},
        {rt_modules_dense,
         "{\"in_features\":16,\"out_features\":4,\"activation_function\":\"torch.nn.modules.activation."
         "Softmax\"}",
         RETORT_UNSUPPORTED, "known are those of torch.nn: Identity, Tanh"},
        {rt_modules_dense,
         "{\"in_features\":16,\"out_features\":4,\"activation_function\":\"torch.nn.modules.activation."
         "SiLU\"}",
         RETORT_OK, ""},
        {rt_modules_dense, "{\"in_features\":16,\"out_features\":4,\"use_residual\":true}", RETORT_OK, ""},
        {rt_modules_normalize, "{}", RETORT_OK, ""},
        {rt_modules_normalize, "{\"module_input_name\":\"token_embeddings\"}", RETORT_UNSUPPORTED,
         "sentence to sentence"},
        {rt_modules_layer_norm, "{\"dimension\":16}", RETORT_OK, ""},
        {rt_modules_layer_norm, "{\"dimension\":-1}", RETORT_FORMAT, "dimension is -1"},
        {rt_modules_dense,
         "{\"in_features\":16,\"out_features\":4,\"module_input_name\":\"token_embeddings\"}",
         RETORT_UNSUPPORTED, "sentence to sentence"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_modules package = {0};
        retort_error err = {0};
        json_t *root;
        assert_int_equal(rt_json_parse(&root, "x", cases[i].json, strlen(cases[i].json), NULL), RETORT_OK);
        check_error(cases[i].parse(&package, "x", root, &err), cases[i].status, &err, cases[i].fragment);
        json_decref(root);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_problems),   cmocka_unit_test(test_config_positions),
        cmocka_unit_test(test_config_refused),    cmocka_unit_test(test_families_refused),
        cmocka_unit_test(test_pooling_and_dense),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
