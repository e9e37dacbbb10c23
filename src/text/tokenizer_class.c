/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer classes of transformers, where they differ from what tokenizer.json says. */
#include "text/checkpoint.h"

#include "text/byte_level.h"
#include "text/state.h"

#include <string.h>

/* Tokenizer classes of transformers, without "Fast" at the end. */
typedef enum class_kind {
    CLASS_BERT,      /* BertTokenizer by another name: tokenizer_config.json sets its normalizer */
    CLASS_ROBERTA,   /* does what tokenizer.json says, or what is usual for RoBERTa */
    CLASS_FILE,      /* does what tokenizer.json says */
    CLASS_DIFFERENT, /* splits texts differently, whatever the files say */
    CLASS_UNKNOWN
} class_kind;
static const struct {
    const char *name;
    class_kind kind;
} classes[] = {
    {"BertTokenizer", CLASS_BERT},
    {"DistilBertTokenizer", CLASS_BERT},
    {"ElectraTokenizer", CLASS_BERT},
    {"MobileBertTokenizer", CLASS_BERT},
    {"ConvBertTokenizer", CLASS_BERT},
    {"SqueezeBertTokenizer", CLASS_BERT},
    {"RetriBertTokenizer", CLASS_BERT},
    {"LxmertTokenizer", CLASS_BERT},
    {"LayoutLMTokenizer", CLASS_BERT},
    {"DPRContextEncoderTokenizer", CLASS_BERT},
    {"DPRQuestionEncoderTokenizer", CLASS_BERT},
    {"DPRReaderTokenizer", CLASS_BERT},
    {"XLMRobertaTokenizer", CLASS_FILE},
    {"CamembertTokenizer", CLASS_FILE},
    {"AlbertTokenizer", CLASS_FILE},
    {"DebertaV2Tokenizer", CLASS_FILE},
    {"T5Tokenizer", CLASS_FILE},
    {"PreTrainedTokenizer", CLASS_FILE},
    {"TokenizersBackend", CLASS_FILE},
    {"BertJapaneseTokenizer", CLASS_DIFFERENT},
    {"RobertaTokenizer", CLASS_ROBERTA},
    {"LongformerTokenizer", CLASS_ROBERTA},
    {"BartTokenizer", CLASS_ROBERTA},
    {"GPT2Tokenizer", CLASS_FILE},
};
enum { CLASSES = sizeof classes / sizeof *classes };

/* The class that transformers would take; NULL: BertTokenizer, by the model's type. */
static const char *class_of(const json_t *config) {
    const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
    if (class != NULL) return class;
    if (json_object_get(config, "word_tokenizer_type") != NULL) return "BertJapaneseTokenizer";
    const json_t *own = json_object_get(json_object_get(config, "auto_map"), "AutoTokenizer");
    if (json_is_array(own)) own = json_array_get(own, 0);
    class = json_string_value(own);
    const char *dot = class != NULL ? strrchr(class, '.') : NULL;
    return dot != NULL ? dot + 1 : class;
}

/* The row of a class; CLASSES: none. */
static size_t find_class(const char *class) {
    size_t length = strlen(class), i = 0;
    if (length > 4 && strcmp(class + length - 4, "Fast") == 0) length -= 4;
    while (i < CLASSES && (strlen(classes[i].name) != length || memcmp(classes[i].name, class, length) != 0))
        i++;
    return i;
}

static bool is_bert(const json_t *normalizer) {
    const char *type = json_string_value(json_object_get(normalizer, "type"));
    return type != NULL && strcmp(type, "BertNormalizer") == 0;
}

static bool has_bert_class(const json_t *config) {
    const char *class = class_of(config);
    size_t row = class != NULL ? find_class(class) : 0;
    return row < CLASSES && classes[row].kind == CLASS_BERT;
}

retort_status rt_tokenizer_class_check(const char *name, const json_t *config, rt_tokenizer_source source,
                                       retort_error *err) {
    static const class_kind made[] = {
        [RT_TOKENIZER_JSON] = CLASS_FILE, [RT_VOCAB_TXT] = CLASS_BERT, [RT_MERGES_TXT] = CLASS_ROBERTA};
    const char *class = class_of(config);
    size_t row = class != NULL ? find_class(class) : CLASSES;
    class_kind kind = row < CLASSES ? classes[row].kind : class != NULL ? CLASS_UNKNOWN : made[source];
    if (source == RT_TOKENIZER_JSON ? kind != CLASS_DIFFERENT : kind == made[source]) return RETORT_OK;
    return rt_fail(
        err, RETORT_UNSUPPORTED,
        "%s: tokenizer_class '%.80s' of this folder is not supported: it tokenizes differently from "
        "%s; --tokenizer PATH takes other files",
        name, class, source == RT_MERGES_TXT ? "RobertaTokenizer" : "BertTokenizer");
}

/* Where tokenizer_config.json is silent, BertTokenizer of transformers takes its own defaults, not what
 * tokenizer.json says. */
static void warn_of_silence(rt_tokenizer *tokenizer, const char *name, const json_t *config) {
    const rt_normalizer *ours = &tokenizer->normalizer;
    const json_t *lower = json_object_get(config, "do_lower_case"),
                 *strip = json_object_get(config, "strip_accents"),
                 *ideographs = json_object_get(config, "tokenize_chinese_chars");
    bool theirs_lower = lower == NULL || json_is_true(lower);
    bool theirs_strip = strip == NULL || json_is_null(strip) ? ours->lower : json_is_true(strip);
    const struct {
        const char *key;
        bool theirs, ours;
    } rows[] = {{"do_lower_case", theirs_lower, ours->lower},
                {"strip_accents", theirs_strip, ours->strip},
                {"tokenize_chinese_chars", ideographs == NULL || json_is_true(ideographs), ours->ideographs}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].theirs == rows[i].ours) continue;
        rt_tokenizer_warn(
            tokenizer,
            "%s: %s is %s, as the file has it; tokenizer_config.json does not say so, and transformers "
            "takes %s: write it there",
            name, rows[i].key, rows[i].ours ? "true" : "false", rows[i].theirs ? "true" : "false");
    }
}

/* RobertaTokenizer of transformers takes add_prefix_space from tokenizer_config.json, or false. */
static void warn_of_prefix(rt_tokenizer *tokenizer, const char *name, const json_t *config) {
    const rt_byte_level *ours = tokenizer->pre_tokenizer.data;
    bool theirs = json_is_true(json_object_get(config, "add_prefix_space"));
    if (tokenizer->pre_tokenizer.row != &rt_byte_level_row || ours->prefix == theirs) return;
    rt_tokenizer_warn(tokenizer,
                      "%s: add_prefix_space is %s, as the file has it; transformers takes %s from "
                      "tokenizer_config.json",
                      name, ours->prefix ? "true" : "false", theirs ? "true" : "false");
}

void rt_tokenizer_class_warn(rt_tokenizer *tokenizer, const char *name, const json_t *normalizer,
                             const json_t *config) {
    const char *class = class_of(config);
    if (class != NULL && find_class(class) == CLASSES) {
        rt_tokenizer_warn(tokenizer, "%s: tokenizer_class '%.80s' is unknown: tokenizing as this file says",
                          name, class);
    }
    if (is_bert(normalizer) && has_bert_class(config)) warn_of_silence(tokenizer, name, config);
    size_t row = class != NULL ? find_class(class) : CLASSES;
    if (row < CLASSES && classes[row].kind == CLASS_ROBERTA) warn_of_prefix(tokenizer, name, config);
}

/* A BertTokenizer of transformers 4 and 5 does what tokenizer_config.json says, also against
 * tokenizer.json. */
bool rt_tokenizer_class_override(json_t *normalizer, const json_t *config) {
    static const char *const keys[][2] = {{"do_lower_case", "lowercase"},
                                          {"strip_accents", "strip_accents"},
                                          {"tokenize_chinese_chars", "handle_chinese_chars"}};
    bool fine = true;
    if (!is_bert(normalizer) || !has_bert_class(config)) return true;
    for (size_t i = 0; i < 3 && fine; i++) {
        json_t *value = json_object_get(config, keys[i][0]);
        if (value != NULL) fine = json_object_set(normalizer, keys[i][1], value) == 0;
    }
    return fine;
}
