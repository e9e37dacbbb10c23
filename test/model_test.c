/* SPDX-License-Identifier: Apache-2.0
 * The golden checkpoints (tools/make_checkpoints.py) as encoders, whole and spoilt. */
#include "base/check_finite.h"
#include "base/map.h"
#include "format/path.h"
#include "arch/encoder.h"
#include "arch/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64]; /* a copy of one golden checkpoint, to be spoilt */

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/retort-model-test-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}
static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *golden(const char *name) {
    static char path[RT_PATH_SIZE];
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    return path;
}

static void check_error(retort_status status, retort_status wanted, const retort_error *err,
                        const char *fragment) {
    if (status != wanted || err->status != wanted || strstr(err->text, fragment) == NULL ||
        strchr(err->text, '\n') != NULL) {
        fail_msg("expected %d '%s', found %d '%s'", wanted, fragment, status, err->text);
    }
}

static rt_encoder open_golden(const char *name) {
    rt_encoder e;
    retort_error err = {0};
    if (rt_encoder_open(&e, golden(name), NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    return e;
}

/* ---- sentence-transformers ---- */

static void write_text(const char *name, const char *text) {
    char path[RT_PATH_SIZE];
    assert_true(rt_path_join(path, sizeof path, folder, name));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* A fresh copy of a golden checkpoint in `folder`. */
static void copy_golden(const char *name) {
    char command[2 * RT_PATH_SIZE];
    snprintf(command, sizeof command, "rm -rf '%s'/* && cp -r '%s'/. '%s'", folder, golden(name), folder);
    assert_int_equal(system(command), 0);
}

static void test_modules_refused(void **state) {
    static const struct {
        const char *json, *fragment;
    } cases[] = {
        {"{}", "not a list of modules"},
        {"[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"../x\"}]",
         "'../x' is not a folder of the package"},
        {"[{\"type\":\"sentence_transformers.models.Transformer\"}]", "is not a folder of the package"},
        {"[{\"type\":\"sentence_transformers.models.WeightedLayerPooling\",\"path\":\"\"}]",
         "WeightedLayerPooling'; known are"},
        {"[{\"type\":\"custom_module.Transformer\",\"path\":\"\"}]",
         "'custom_module.Transformer'; known are"},
        {"[{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"}]",
         "module 0 is Pooling; expected"},
        {"[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"},"
         "{\"type\":\"sentence_transformers.models.Normalize\",\"path\":\"\"},"
         "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"}]",
         "module 1 is Normalize; expected Transformer, Pooling"},
        {"[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"},"
         "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"},"
         "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"}]",
         "module 2 is Pooling"},
        {"[{\"type\":\"sentence_transformers.models.MLMTransformer\",\"path\":\"\"},"
         "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"}]",
         "module 1 is Pooling of the logits"},
    };
    (void)state;
    copy_golden("package-mean");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_encoder e;
        retort_error err = {0};
        write_text("modules.json", cases[i].json);
        retort_status status = rt_encoder_open(&e, folder, NULL, &err);
        check_error(status, err.status, &err, cases[i].fragment);
        assert_int_not_equal(status, RETORT_OK);
    }
}

static void test_packages(void **state) {
    static const struct {
        const char *name;
        rt_pooling pooling;
        bool normalize;
        int64_t labels, max_length;
        const char *modules; /* their first letters */
        int activation;      /* of the first Dense; -1: it has none */
    } cases[] = {
        {"package-mean", RT_POOL_MEAN, true, 16, 48, "N", -1},
        {"package-old", RT_POOL_MEAN, true, 16, 32, "N", -1},
        {"package-dense", RT_POOL_CLS, true, 24, 48, "DN", RT_MODULE_TANH},
        {"package-old-dense", RT_POOL_MAX, false, 8, 32, "D", RT_MODULE_IDENTITY},
        {"package-stack", RT_POOL_SEVERAL, false, 12, 48, "NDLDD", RT_MODULE_SIGMOID},
    };
    static const char letters[] = {
        [RT_MODULE_DENSE] = 'D', [RT_MODULE_NORMALIZE] = 'N', [RT_MODULE_LAYER_NORM] = 'L'};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_encoder e = open_golden(cases[i].name);
        assert_int_equal(e.config.task, RETORT_TASK_EMBED);
        assert_int_equal(e.config.pooling, cases[i].pooling);
        assert_int_equal(e.config.normalize, cases[i].normalize);
        assert_int_equal(e.config.labels, cases[i].labels);
        assert_int_equal(e.config.max_length, cases[i].max_length);
        assert_int_equal(e.module_count, strlen(cases[i].modules));
        const rt_module *dense = NULL;
        for (size_t k = 0; k < e.module_count; k++) {
            const rt_module *m = &e.modules[k];
            assert_int_equal(letters[m->kind], cases[i].modules[k]);
            assert_int_equal(m->weights.weight != NULL, m->kind != RT_MODULE_NORMALIZE);
            if (m->kind == RT_MODULE_DENSE && dense == NULL) dense = m;
        }
        assert_int_equal(dense != NULL ? (int)dense->activation : -1, cases[i].activation);
        const char *inner = rt_encoder_folder(&e);
        bool nested = strcmp(inner + strlen(inner) - 13, "0_Transformer") == 0;
        assert_int_equal(nested, strncmp(cases[i].name, "package-old", 11) == 0);
        rt_encoder_close(&e);
    }
}

/* A decoder that config.json does not tie to the word embedding must be in the file. */
static void test_untied(void **state) {
    char command[2 * RT_PATH_SIZE];
    rt_encoder e;
    retort_error err = {0};
    (void)state;
    copy_golden("bert-fill");
    assert_int_equal(rt_encoder_open(&e, folder, NULL, &err), RETORT_OK);
    rt_encoder_close(&e);
    snprintf(command, sizeof command,
             "sed -i 's/\"tie_word_embeddings\": true/\"tie_word_embeddings\": false/' '%s/config.json'",
             folder);
    assert_int_equal(system(command), 0);
    check_error(rt_encoder_open(&e, folder, NULL, &err), RETORT_FORMAT, &err,
                "tensor 'cls.predictions.decoder.weight' is missing");
}

/* ---- Roles ---- */

static void check_role(const rt_tensor *t, int64_t rows, int64_t columns) {
    assert_non_null(t);
    assert_int_equal(t->rank, columns == 0 ? 1 : 2);
    assert_int_equal(t->shape[0], rows);
    if (columns > 0) assert_int_equal(t->shape[1], columns);
}
static void check_linear(const rt_weight *l, int64_t out, int64_t in) {
    check_role(l->weight, out, in);
    check_role(l->bias, out, 0);
}
static void check_norm(const rt_weight *n, int64_t size) {
    check_role(n->weight, size, 0);
    check_role(n->bias, size, 0);
    assert_ptr_not_equal(n->weight, n->bias);
}

static void check_body(const rt_encoder *e, int64_t h, int64_t f) {
    check_role(e->parts[RT_ROLE_WORD].weight, 100, h);
    check_role(e->parts[RT_ROLE_POSITION].weight, 48 + e->config.position_offset, h);
    const rt_tensor *type = e->parts[RT_ROLE_TYPE].weight;
    if (e->config.arch == &rt_arch_bert) check_role(type, 2, h);
    if (e->config.arch == &rt_arch_distilbert) assert_null(type);
    if (e->config.arch->keys[RT_KEY_PAD] != NULL) check_role(type, 1, h);
    check_norm(&e->parts[RT_ROLE_EMBEDDING_NORM], h);
    assert_int_equal(e->config.layers, 2);
    for (int i = 0; i < 2; i++) {
        const rt_weight *l = e->layers[i];
        const rt_weight *square[] = {&l[RT_ROLE_Q], &l[RT_ROLE_K], &l[RT_ROLE_V], &l[RT_ROLE_OUT]};
        for (int j = 0; j < 4; j++) {
            check_linear(square[j], h, h);
            if (j > 0) assert_ptr_not_equal(square[j]->weight, square[j - 1]->weight);
        }
        check_linear(&l[RT_ROLE_LIN1], f, h);
        check_linear(&l[RT_ROLE_LIN2], h, f);
        check_norm(&l[RT_ROLE_ATTENTION_NORM], h);
        check_norm(&l[RT_ROLE_OUTPUT_NORM], h);
    }
}

static void test_heads(void **state) {
    static const struct {
        const char *name;
        retort_task task;
        retort_problem problem;
        int64_t labels, hidden, ffn;
        rt_act activation, dense;
    } cases[] = {
        {"distilbert-classify", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, 3, 16, 32, RT_FN_GELU,
         RT_FN_RELU},
        {"distilbert-multilabel", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_MULTI_LABEL, 3, 16, 32,
         RT_FN_GELU_TANH, RT_FN_RELU},
        {"distilbert-regression", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_REGRESSION, 1, 16, 32, RT_FN_RELU,
         RT_FN_RELU},
        {"distilbert-wide", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, 3, 48, 96, RT_FN_GELU,
         RT_FN_RELU},
        {"distilbert-tag", RETORT_TASK_TAG, RETORT_PROBLEM_SINGLE_LABEL, 5, 16, 32, RT_FN_GELU, RT_FN_NONE},
        {"distilbert-answer", RETORT_TASK_ANSWER, RETORT_PROBLEM_SINGLE_LABEL, 2, 16, 32, RT_FN_GELU,
         RT_FN_NONE},
        {"distilbert-fill", RETORT_TASK_FILL, RETORT_PROBLEM_SINGLE_LABEL, 100, 16, 32, RT_FN_GELU,
         RT_FN_GELU},
        {"distilbert-embed", RETORT_TASK_EMBED, RETORT_PROBLEM_SINGLE_LABEL, 16, 16, 32, RT_FN_GELU,
         RT_FN_NONE},
        {"bert-classify", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, 3, 16, 32, RT_FN_GELU,
         RT_FN_TANH},
        {"bert-classify-bare", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, 3, 16, 32, RT_FN_GELU,
         RT_FN_TANH},
        {"bert-multilabel", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_MULTI_LABEL, 3, 16, 32, RT_FN_RELU,
         RT_FN_TANH},
        {"bert-regression", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_MULTI_LABEL, 1, 16, 32, RT_FN_GELU,
         RT_FN_TANH},
        {"bert-wide", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, 3, 48, 96, RT_FN_GELU, RT_FN_TANH},
        {"bert-tag", RETORT_TASK_TAG, RETORT_PROBLEM_SINGLE_LABEL, 5, 16, 32, RT_FN_GELU_TANH, RT_FN_NONE},
        {"bert-answer", RETORT_TASK_ANSWER, RETORT_PROBLEM_SINGLE_LABEL, 2, 16, 32, RT_FN_GELU, RT_FN_NONE},
        {"bert-fill", RETORT_TASK_FILL, RETORT_PROBLEM_SINGLE_LABEL, 100, 16, 32, RT_FN_GELU, RT_FN_GELU},
        {"bert-pretrain", RETORT_TASK_FILL, RETORT_PROBLEM_SINGLE_LABEL, 100, 16, 32, RT_FN_GELU, RT_FN_GELU},
        {"bert-embed", RETORT_TASK_EMBED, RETORT_PROBLEM_SINGLE_LABEL, 16, 16, 32, RT_FN_GELU, RT_FN_NONE},
        {"roberta-classify", RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, 3, 16, 32, RT_FN_GELU_TANH,
         RT_FN_TANH},
        {"roberta-tag", RETORT_TASK_TAG, RETORT_PROBLEM_SINGLE_LABEL, 5, 16, 32, RT_FN_GELU, RT_FN_NONE},
        {"roberta-answer", RETORT_TASK_ANSWER, RETORT_PROBLEM_SINGLE_LABEL, 2, 16, 32, RT_FN_GELU,
         RT_FN_NONE},
        {"roberta-fill", RETORT_TASK_FILL, RETORT_PROBLEM_SINGLE_LABEL, 100, 16, 32, RT_FN_RELU, RT_FN_GELU},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_encoder e = open_golden(cases[i].name);
        const rt_config *c = &e.config;
        int64_t h = cases[i].hidden;
        assert_int_equal(c->task, cases[i].task);
        assert_int_equal(c->problem, cases[i].problem);
        assert_int_equal(c->labels, cases[i].labels);
        assert_int_equal(c->activation, cases[i].activation);
        assert_int_equal(e.dense_activation, cases[i].dense);
        assert_int_equal(c->max_length, 48);
        check_body(&e, h, cases[i].ffn);
        if (c->task != RETORT_TASK_EMBED) check_linear(&e.parts[RT_ROLE_OUTPUT], c->labels, h);
        if (cases[i].dense != RT_FN_NONE) check_linear(&e.parts[RT_ROLE_DENSE], h, h);
        if (c->task == RETORT_TASK_FILL) check_norm(&e.parts[RT_ROLE_HEAD_NORM], h);
        rt_encoder_close(&e);
    }
}

/* Whether two roles hold the same numbers; `half`: one of them is rounded to 16 bits. */
static void same_values(const rt_tensor *a, const rt_tensor *b, float tolerance) {
    float left[2000], right[2000];
    size_t n, m;
    assert_true(rt_shape_count(a->shape, a->rank, &n) && rt_shape_count(b->shape, b->rank, &m) && n == m);
    assert_true(n <= 2000 && rt_to_f32(left, a->data, a->dtype, n) && rt_to_f32(right, b->data, b->dtype, n));
    for (size_t i = 0; i < n; i++) {
        if (fabsf(left[i] - right[i]) > tolerance)
            fail_msg("%s[%zu]: %g and %g", a->name, i, (double)left[i], (double)right[i]);
    }
}

/* The same checkpoint in every form gives the same roles. */
static void test_forms_agree(void **state) {
    static const struct {
        const char *first, *second;
        float tolerance;
    } cases[] = {
        {"distilbert-classify", "distilbert-classify-zip", 0},
        {"distilbert-classify", "distilbert-classify-legacy", 0},
        {"distilbert-classify", "distilbert-classify-sharded", 0},
        {"distilbert-classify", "distilbert-classify-nested", 0},
        {"distilbert-classify", "distilbert-classify-transposed", 0},
        {"distilbert-classify", "distilbert-classify-keras", 0},
        {"distilbert-classify", "distilbert-classify-f16", 2e-3f},
        {"distilbert-classify", "distilbert-classify-bf16", 1e-2f},
        {"bert-classify", "bert-classify-parameters", 0},
        {"bert-classify", "bert-classify-bare", 2e-3f},
        {"bert-classify", "bert-classify-keras", 0},
        {"bert-classify", "bert-classify-tensorflow", 0},
        {"roberta-fill", "roberta-fill-zip", 0},
        {"bert-answer", "bert-answer-trained", 0},
        {"bert-fill", "bert-fill-old", 0},
        {"package-mean", "package-old", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_encoder a = open_golden(cases[i].first), b = open_golden(cases[i].second);
        for (int role = 0; role < RT_ROLES; role++) {
            bool layer = role >= RT_ROLE_LAYER && role < RT_ROLE_HEAD;
            for (int64_t k = 0; k < (layer ? a.config.layers : 1); k++) {
                const rt_weight *left = layer ? &a.layers[k][role] : &a.parts[role];
                const rt_weight *right = layer ? &b.layers[k][role] : &b.parts[role];
                if (left->weight != NULL) same_values(left->weight, right->weight, cases[i].tolerance);
                if (left->bias != NULL) same_values(left->bias, right->bias, cases[i].tolerance);
            }
        }
        rt_encoder_close(&a);
        rt_encoder_close(&b);
    }
}

/* The task from the weights where config.json names no architecture, and by force. */
static void test_task_choice(void **state) {
    static const struct {
        const char *name;
        retort_task task;
    } cases[] = {
        {"distilbert-classify", RETORT_TASK_CLASSIFY},
        {"distilbert-tag", RETORT_TASK_TAG},
        {"distilbert-answer", RETORT_TASK_ANSWER},
        {"distilbert-fill", RETORT_TASK_FILL},
        {"distilbert-embed", RETORT_TASK_EMBED},
        {"bert-classify", RETORT_TASK_CLASSIFY},
        {"bert-tag", RETORT_TASK_TAG},
        {"bert-fill", RETORT_TASK_FILL},
        {"electra-classify", RETORT_TASK_CLASSIFY},
        {"electra-tag", RETORT_TASK_TAG},
        {"electra-fill", RETORT_TASK_FILL},
        {"roberta-classify", RETORT_TASK_CLASSIFY},
        {"roberta-tag", RETORT_TASK_TAG},
        {"roberta-answer", RETORT_TASK_ANSWER},
        {"roberta-fill", RETORT_TASK_FILL},
        {"roberta-embed", RETORT_TASK_EMBED},
        {"xlm-roberta-fill", RETORT_TASK_FILL},
        {"camembert-tag", RETORT_TASK_TAG},
    };
    const retort_task embed = RETORT_TASK_EMBED, tag = RETORT_TASK_TAG;
    rt_encoder e;
    retort_error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[128];
        copy_golden(cases[i].name);
        snprintf(command, sizeof command, "sed -i s/architectures/previously/ %s/config.json", folder);
        assert_int_equal(system(command), 0);
        if (rt_encoder_open(&e, folder, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
        assert_int_equal(e.config.task, cases[i].task);
        rt_encoder_close(&e);
    }
    assert_int_equal(
        rt_encoder_open(&e, golden("bert-classify"), &(rt_encoder_options){.task = &embed}, &err), RETORT_OK);
    assert_int_equal(e.config.pooling, RT_POOL_MEAN);
    assert_null(e.parts[RT_ROLE_OUTPUT].weight);
    rt_encoder_close(&e);
    check_error(rt_encoder_open(&e, golden("bert-answer"), &(rt_encoder_options){.task = &tag}, &err),
                RETORT_FORMAT, &err, "'classifier.weight' is missing");
}

/* ---- Spoilt checkpoints ---- */

/* Runs a sed script over config.json of a copy of distilbert-classify. */
static void spoil_config(const char *script) {
    char command[512];
    copy_golden("distilbert-classify");
    snprintf(command, sizeof command, "sed -i '%s' %s/config.json", script, folder);
    assert_int_equal(system(command), 0);
}

static void test_contradictions(void **state) {
    static const struct {
        const char *script, *fragment;
    } cases[] = {
        {"s/\"vocab_size\": 100/\"vocab_size\": 101/",
         "model.safetensors: tensor 'distilbert.embeddings.word_embeddings.weight': expected [101, 16] from "
         "config.json, found [100, 16]"},
        {"s/\"max_position_embeddings\": 48/\"max_position_embeddings\": 47/",
         "expected [47, 16] from config.json, found [48, 16]"},
        {"s/\"n_layers\": 2/\"n_layers\": 3/",
         "tensor 'distilbert.transformer.layer.2.attention.q_lin.weight' is missing"},
        {"s/\"n_layers\": 2/\"n_layers\": 1/", "config.json says 1 layers, the file has more"},
        {"s/\"hidden_dim\": 32/\"hidden_dim\": 31/", "ffn.lin1.weight': expected [31, 16]"},
        {"s/\"2\": \"positive\"/\"2\": \"positive\", \"3\": \"more\"/",
         "'classifier.weight': expected [4, 16] from config.json, found [3, 16]"},
        {"s/ForSequenceClassification/ForTokenClassificatio/",
         "architecture 'DistilBertForTokenClassificatio'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_encoder e;
        retort_error err = {0};
        spoil_config(cases[i].script);
        retort_status status = rt_encoder_open(&e, folder, NULL, &err);
        check_error(status, err.status, &err, cases[i].fragment);
        assert_int_not_equal(status, RETORT_OK);
        assert_null(e.tensors.items);
    }
}

static void poke(const char *name, size_t index, float value) {
    char path[RT_PATH_SIZE];
    rt_tensors tensors;
    assert_true(rt_path_join(path, sizeof path, folder, "model.safetensors"));
    assert_int_equal(rt_tensors_open(&tensors, path, NULL), RETORT_OK);
    const rt_tensor *t = rt_tensors_find(&tensors, name);
    assert_non_null(t);
    long at = (const uint8_t *)t->data - tensors.maps[0].data + (long)(index * sizeof value);
    rt_tensors_close(&tensors);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(&value, sizeof value, 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

static void test_not_finite(void **state) {
    rt_encoder e;
    retort_error err = {0};
    (void)state;
    copy_golden("distilbert-classify");
    poke("distilbert.transformer.layer.1.ffn.lin2.weight", 37, NAN);
    check_error(rt_encoder_open(&e, folder, NULL, &err), RETORT_FORMAT, &err,
                "tensor 'distilbert.transformer.layer.1.ffn.lin2.weight': element [1, 5] is NaN");
    copy_golden("distilbert-classify");
    poke("classifier.bias", 2, -INFINITY);
    check_error(rt_encoder_open(&e, folder, NULL, &err), RETORT_FORMAT, &err,
                "'classifier.bias': element [2] is infinite");
}

static void test_first_nonfinite(void **state) {
    static float wide[9000];
    static uint16_t half[9000];
    static const size_t places[] = {0, 1, 4095, 4096, 8191, 8999};
    (void)state;
    for (size_t i = 0; i < 9000; i++) {
        wide[i] = i % 2 != 0 ? 3.4e38f : -1e-40f;
        half[i] = i % 2 != 0 ? 0x7bff : 0x8001; /* the largest and the smallest F16 */
    }
    assert_int_equal(rt_first_nonfinite(wide, RETORT_F32, 9000), 9000);
    assert_int_equal(rt_first_nonfinite(half, RETORT_F16, 9000), 9000);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        float saved = wide[places[i]];
        uint16_t saved_half = half[places[i]];
        wide[places[i]] = i % 2 != 0 ? -INFINITY : NAN;
        half[places[i]] = i % 2 != 0 ? 0xfc00 : 0x7c01;
        assert_int_equal(rt_first_nonfinite(wide, RETORT_F32, 9000), places[i]);
        assert_int_equal(rt_first_nonfinite(half, RETORT_F16, 9000), places[i]);
        wide[places[i]] = saved;
        half[places[i]] = saved_half;
    }
    half[5] = 0x7f7f; /* the largest BF16 */
    half[1] = 0x3f80;
    for (size_t i = 0; i < 9000; i++) half[i] = i == 77 ? 0x7f80 : half[5];
    assert_int_equal(rt_first_nonfinite(half, RETORT_BF16, 9000), 77);
}

static void test_broken_folders(void **state) {
    static const struct {
        const char *command, *fragment;
    } cases[] = {
        {"rm config.json", "config.json: cannot open"},
        {": > config.json", "config.json: empty"},
        {": > model.safetensors", "model.safetensors: the file is empty"},
        {"truncate -s -1 model.safetensors", "data at"},
        {"truncate -s 100 model.safetensors", "cut short: a header of"},
        {"printf x >> model.safetensors", "bytes of tensors, found"},
        {"sed -i 's/\"F32\",\"shape\":\\[3\\]/\"I32\",\"shape\":[3]/' model.safetensors",
         "'classifier.bias': expected f32, f16 or bf16, found i32"},
        {"sed -i 's/classifier.bias/classifier.bia_/' model.safetensors",
         "tensor 'classifier.bias' is missing"},
        {"rm model.safetensors", "no weights that retort can read"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[512];
        rt_encoder e;
        retort_error err = {0};
        copy_golden("distilbert-classify");
        snprintf(command, sizeof command, "cd %s && %s", folder, cases[i].command);
        assert_int_equal(system(command), 0);
        retort_status status = rt_encoder_open(&e, folder, NULL, &err);
        check_error(status, err.status, &err, cases[i].fragment);
        assert_int_not_equal(status, RETORT_OK);
    }
}

/* Weights are views of the mapping: opening takes no memory of their size. */
static void test_views(void **state) {
    (void)state;
    rt_encoder e = open_golden("distilbert-classify");
    const rt_map *map = &e.tensors.maps[0];
    const uint8_t *data = e.layers[1][RT_ROLE_LIN2].weight->data;
    assert_true(data > map->data && data < map->data + map->size);
    rt_encoder_close(&e);
    rt_encoder_close(&e);
    rt_encoder_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untied),          cmocka_unit_test(test_modules_refused),
        cmocka_unit_test(test_packages),        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_forms_agree),     cmocka_unit_test(test_task_choice),
        cmocka_unit_test(test_contradictions),  cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_first_nonfinite), cmocka_unit_test(test_broken_folders),
        cmocka_unit_test(test_views),
    };
    return cmocka_run_group_tests_name("model", tests, make_folder, remove_folder);
}
