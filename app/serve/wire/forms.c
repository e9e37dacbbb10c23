/* SPDX-License-Identifier: Apache-2.0
 * The members of request bodies, one row each. */
#include "serve/wire/forms.h"
#include "retort.h"
#include "serve/wire/ask.h"

#define AT(member) offsetof(srv_ask, member)
#define END                                                                                                  \
    { .name = NULL }
#define REF(name) "{'$ref':'#/components/schemas/" name "'}"
#define INPUTS(type)                                                                                         \
    { "inputs", SRV_FIELD_OWN, .required = true, .schema = REF(type) }
#define MODEL                                                                                                \
    { "model", SRV_FIELD_TEXT, .at = AT(named), .schema = REF("Model") }
#define CUT                                                                                                  \
    {"truncate", SRV_FIELD_SWITCH, .at = AT(truncate), .schema = REF("Truncate")}, {                         \
        "truncation_direction", SRV_FIELD_CHOICE, .at = AT(direction), .choices = "left|right",              \
                                                  .schema = REF("Direction")                                 \
    }
#define RAW_SCORES                                                                                           \
    { "raw_scores", SRV_FIELD_BOOL, .at = AT(raw), .help = "return logits instead of scores" }
#define NORMALIZE                                                                                            \
    { "normalize", SRV_FIELD_SWITCH, .at = AT(unit), .help = "normalise vectors to length 1" }
#define PROMPT                                                                                               \
    {                                                                                                        \
        "prompt_name", SRV_FIELD_TEXT, .at = AT(prompt),                                                     \
                                       .help = "name of a prompt of the model, put before each text"         \
    }
#define DIMENSIONS                                                                                           \
    {                                                                                                        \
        "dimensions", SRV_FIELD_WHOLE, .at = AT(columns), .min = 1, .max = INT32_MAX,                        \
                                       .schema = REF("Dimensions")                                           \
    }
#define TOP_K(count)                                                                                         \
    { "top_k", SRV_FIELD_WHOLE, .at = AT(top), .min = 1, .max = count, .help = "the number of best results" }
#define PADDING                                                                                              \
    { "padding", SRV_FIELD_UNUSED, .help = "texts of a batch are not padded" }

#define DOCUMENTS(needed)                                                                                    \
    {"documents", SRV_FIELD_OWN, .required = (needed), .schema = REF("Documents")},                          \
        {"top_n",  SRV_FIELD_WHOLE,  .at = AT(top),                                                          \
         .min = 1, .max = INT32_MAX, .help = "the number of best results"},                                  \
    {                                                                                                        \
        "return_documents", SRV_FIELD_SWITCH, .at = AT(with_document), .help = "default: true"               \
    }

/* ---- Text Embeddings Inference ---- */

static const srv_field predict[] = {INPUTS("PredictInputs"), CUT, RAW_SCORES, MODEL, END};
const srv_form srv_predict_form = {"PredictRequest", predict};

static const srv_field embed[] = {INPUTS("Texts"), CUT, NORMALIZE, DIMENSIONS, PROMPT, MODEL, END};
const srv_form srv_embed_form = {"EmbedRequest", embed};

static const srv_field embed_all[] = {INPUTS("Texts"), CUT, PROMPT, MODEL, END};
const srv_form srv_embed_all_form = {"EmbedAllRequest", embed_all};

static const srv_field embed_sparse[] = {INPUTS("Texts"), CUT, PROMPT, MODEL, END};
const srv_form srv_embed_sparse_form = {"EmbedSparseRequest", embed_sparse};

static const srv_field rerank[] = {
    {"query", SRV_FIELD_OWN, .required = true, .schema = REF("Text")},
    {"texts", SRV_FIELD_OWN, .schema = REF("TextList")},
    DOCUMENTS(false),
    CUT,
    RAW_SCORES,
    {"return_text", SRV_FIELD_BOOL, .at = AT(with_text)},
    MODEL,
    END,
};
const srv_form srv_rerank_form = {"RerankRequest", rerank};

static const srv_field rank[] = {
    {"query", SRV_FIELD_OWN, .required = true, .schema = REF("Text")}, DOCUMENTS(true), CUT, MODEL, END,
};
const srv_form srv_rank_form = {"RankRequest", rank};
static const srv_field document[] = {{"text", SRV_FIELD_OWN, .required = true, .schema = REF("Text")}, END};
const srv_form srv_document_form = {"Document", document};

static const srv_field similarity[] = {
    INPUTS("SimilarityInputs"),
    {"parameters", SRV_FIELD_OWN, .schema = REF("SimilarityParameters")},
    CUT,
    PROMPT,
    MODEL,
    END,
};
const srv_form srv_similarity_form = {"SimilarityRequest", similarity};
static const srv_field similarity_inputs[] = {
    {"source_sentence", SRV_FIELD_OWN, .required = true, .schema = REF("Text")},
    {"sentences", SRV_FIELD_OWN, .required = true, .schema = REF("Sentences")},
    END,
};
const srv_form srv_similarity_inputs_form = {"SimilarityInputs", similarity_inputs};
static const srv_field similarity_parameters[] = {CUT, PROMPT, END};
const srv_form srv_similarity_parameters_form = {"SimilarityParameters", similarity_parameters};

static const srv_field tokenize[] = {
    INPUTS("Texts"),
    {"add_special_tokens", SRV_FIELD_SWITCH, .at = AT(special), .help = "default: true"},
    MODEL,
    END,
};
const srv_form srv_tokenize_form = {"TokenizeRequest", tokenize};

static const srv_field decode[] = {
    {"ids", SRV_FIELD_OWN, .required = true, .schema = REF("TokenIds")},
    {"skip_special_tokens", SRV_FIELD_SWITCH, .at = AT(special), .help = "default: true"},
    MODEL,
    END,
};
const srv_form srv_decode_form = {"DecodeRequest", decode};

/* ---- OpenAI ---- */

static const srv_field embeddings[] = {
    {"input", SRV_FIELD_OWN, .required = true, .schema = REF("Texts")},
    MODEL,
    {"encoding_format", SRV_FIELD_CHOICE, .at = AT(encoding), .choices = "float|base64"},
    DIMENSIONS,
    PROMPT,
    {"user", SRV_FIELD_UNUSED, .help = "the end user; does not affect answers"},
    END,
};
const srv_form srv_embeddings_form = {"EmbeddingsRequest", embeddings};

/* ---- Open Inference Protocol v2 ---- */

static const srv_field v2[] = {
    {"id", SRV_FIELD_OWN, .schema = "{'type':'string'}"},
    {"parameters", SRV_FIELD_OWN, .schema = REF("V2Parameters")},
    {"inputs", SRV_FIELD_OWN, .required = true, .schema = REF("V2Inputs")},
    {"outputs", SRV_FIELD_OWN, .schema = REF("V2Outputs")},
    END,
};
const srv_form srv_v2_form = {"V2Request", v2};

#define JSON_ANSWERS                                                                                         \
    "whether to answer in binary; answers are always JSON, which clients of that extension accept"
static const srv_field v2_parameters[] = {
    {"binary_data_output", SRV_FIELD_UNUSED, .help = JSON_ANSWERS},
    END,
};
const srv_form srv_v2_parameters_form = {"V2Parameters", v2_parameters};

static const srv_field v2_input[] = {
    {"name", SRV_FIELD_OWN, .required = true, .schema = "{'const':'text'}"},
    {"shape", SRV_FIELD_OWN, .required = true, .schema = "{'const':[1]}"},
    {"datatype", SRV_FIELD_OWN, .required = true, .schema = "{'const':'BYTES'}"},
    {"parameters", SRV_FIELD_OWN, .schema = REF("V2InputParameters")},
    {"data", SRV_FIELD_OWN, .required = true,
     .schema = "{'type':'array','minItems':1,'maxItems':1,'items':{'$ref':'#/components/schemas/Text'}}"},
    END,
};
const srv_form srv_v2_input_form = {"V2Input", v2_input};

static const srv_field v2_input_parameters[] = {
    {"binary_data_size", SRV_FIELD_OWN, .schema = "{'type':'integer','const':0}"},
    {"content_type", SRV_FIELD_CHOICE, .at = AT(content_type), .choices = "str",
     .help = "encoding of BYTES: UTF-8, the default"},
    END,
};
const srv_form srv_v2_input_parameters_form = {"V2InputParameters", v2_input_parameters};

static const srv_field v2_output[] = {
    {"name", SRV_FIELD_OWN, .required = true, .schema = "{'type':'string'}"},
    {"parameters", SRV_FIELD_OWN, .schema = REF("V2OutputParameters")},
    END,
};
const srv_form srv_v2_output_form = {"V2Output", v2_output};

static const srv_field v2_output_parameters[] = {
    {"classification", SRV_FIELD_OWN, .schema = "{'type':'integer','minimum':0}"},
    {"binary_data", SRV_FIELD_UNUSED, .help = JSON_ANSWERS},
    END,
};
const srv_form srv_v2_output_parameters_form = {"V2OutputParameters", v2_output_parameters};

/* ---- Hugging Face: POST / ---- */

#define OPTIONS                                                                                              \
    {                                                                                                        \
        "options", SRV_FIELD_UNUSED,                                                                         \
            .help = "wait_for_model, use_cache, use_gpu: models are loaded before they are served"           \
    }
#define HF(parameters)                                                                                       \
    INPUTS("HuggingFaceInputs"), {"parameters", SRV_FIELD_OWN, .schema = REF(parameters)}, MODEL, OPTIONS
#define FLOATS_ONLY                                                                                          \
    {                                                                                                        \
        "encoding_format", SRV_FIELD_CHOICE, .at = AT(encoding), .choices = "float",                         \
                                             .help = "base64 is for /v1/embeddings"                          \
    }

static const srv_field hf[] = {
    HF("HuggingFaceParameters"), CUT, RAW_SCORES, NORMALIZE, DIMENSIONS, PROMPT, FLOATS_ONLY, END};
const srv_form srv_hf_form = {"HuggingFaceRequest", hf};

static const srv_field hf_classify[] = {HF("ClassifyParameters"), CUT, RAW_SCORES, END};
static const srv_field hf_tag[] = {HF("TagParameters"), END};
static const srv_field hf_answer[] = {HF("AnswerParameters"), END};
static const srv_field hf_fill[] = {HF("FillParameters"), END};
static const srv_field hf_embed[] = {HF("EmbedParameters"), CUT, NORMALIZE, DIMENSIONS, PROMPT,
                                     FLOATS_ONLY,           END};
static const srv_field hf_similarity[] = {HF("SimilarityParameters"), CUT, END};
const srv_form srv_hf_similarity_form = {"HuggingFaceSimilarityRequest", hf_similarity};
const srv_form srv_hf_forms[] = {
    [RETORT_TASK_CLASSIFY] = {"ClassifyRequest", hf_classify}, [RETORT_TASK_TAG] = {"TagRequest", hf_tag},
    [RETORT_TASK_ANSWER] = {"AnswerRequest", hf_answer},       [RETORT_TASK_FILL] = {"FillRequest", hf_fill},
    [RETORT_TASK_EMBED] = {"FeaturesRequest", hf_embed},
};

#define TRUNCATE                                                                                             \
    { "truncate", SRV_FIELD_SWITCH, .at = AT(truncate), .schema = REF("Truncate") }
#define TRUNCATION                                                                                           \
    { "truncation", SRV_FIELD_SWITCH, .at = AT(truncate), .help = "the pipelines' name for truncate" }
#define CANDIDATES                                                                                           \
    {                                                                                                        \
        "candidate_labels", SRV_FIELD_STRINGS,                                                               \
            .at = AT(candidates),                                                                            \
            .help = "zero-shot classification into these labels: a list, or a comma-separated string"        \
    }
#define STRIDE(key, text)                                                                                    \
    { key, SRV_FIELD_WHOLE, .at = AT(stride), .min = 0, .max = 65536, .help = text }
#define LENGTH(key, member, text)                                                                            \
    { key, SRV_FIELD_WHOLE, .at = AT(member), .min = 1, .max = 65536, .help = text }

static const srv_field classify_parameters[] = {
    {"function_to_apply", SRV_FIELD_CHOICE, .at = AT(function), .choices = "softmax|sigmoid|none"},
    TOP_K(INT32_MAX),
    {"return_all_scores", SRV_FIELD_SWITCH, .at = AT(all), .help = "false: top_k 1"},
    CANDIDATES,
    CUT,
    TRUNCATION,
    PADDING,
    END,
};
static const srv_field zero_parameters[] = {
    CANDIDATES,
    {"hypothesis_template", SRV_FIELD_TEXT, .at = AT(hypothesis),
     .help = "the hypothesis, with {} for the label; default: This example is {}."},
    {"multi_label", SRV_FIELD_BOOL, .at = AT(multi_label), .help = "score each label independently"},
    {"multi_class", SRV_FIELD_BOOL, .at = AT(multi_label), .help = "the older name of multi_label"},
    CUT,
    TRUNCATION,
    PADDING,
    END,
};
const srv_form srv_zero_parameters_form = {"ZeroShotParameters", zero_parameters};
static const srv_field tag_parameters[] = {
    {"aggregation_strategy", SRV_FIELD_CHOICE, .at = AT(aggregation),
     .choices = "none|simple|first|average|max",
     .help = "how tokens are merged into entities; default: simple"},
    {"ignore_labels", SRV_FIELD_STRINGS, .at = AT(ignore), .help = "default: [O]"},
    STRIDE("stride", "tokens shared by neighbouring windows of a long text"),
    {"grouped_entities", SRV_FIELD_SWITCH, .at = AT(grouped), .help = "older: simple or none"},
    {"ignore_subwords", SRV_FIELD_SWITCH, .at = AT(subwords), .help = "older, with grouped_entities: first"},
    TRUNCATE,
    TRUNCATION,
    END,
};
static const srv_field answer_parameters[] = {
    TOP_K(1000),
    {"topk", SRV_FIELD_WHOLE, .at = AT(old_top), .min = 1, .max = 1000, .help = "the older name of top_k"},
    LENGTH("max_answer_len", longest, "longest answer in tokens; default: 15"),
    LENGTH("max_seq_len", window, "tokens per window; default: 384, or the model's maximum"),
    LENGTH("max_question_len", question, "truncate the question to this many tokens; default: no limit"),
    STRIDE("doc_stride", "tokens shared by neighbouring windows; default: 128, or half a window"),
    {"handle_impossible_answer", SRV_FIELD_BOOL, .at = AT(impossible), .help = "allow the empty answer"},
    {"align_to_words", SRV_FIELD_SWITCH, .at = AT(align), .help = "default: true"},
    PADDING,
    END,
};
static const srv_field fill_parameters[] = {
    TOP_K(1000),
    {"targets", SRV_FIELD_STRINGS, .at = AT(targets),
     .help = "choose among these words; default: all pieces"},
    TRUNCATE,
    END,
};
static const srv_field embed_parameters[] = {NORMALIZE, CUT,         TRUNCATION, DIMENSIONS,
                                             PROMPT,    FLOATS_ONLY, PADDING,    END};
const srv_form srv_hf_parameter_forms[] = {
    [RETORT_TASK_CLASSIFY] = {"ClassifyParameters", classify_parameters},
    [RETORT_TASK_TAG] = {"TagParameters", tag_parameters},
    [RETORT_TASK_ANSWER] = {"AnswerParameters", answer_parameters},
    [RETORT_TASK_FILL] = {"FillParameters", fill_parameters},
    [RETORT_TASK_EMBED] = {"EmbedParameters", embed_parameters},
};

static const srv_field question[] = {
    {"question", SRV_FIELD_OWN, .required = true, .schema = REF("Text")},
    {"context", SRV_FIELD_OWN, .required = true, .schema = REF("Text")},
    END,
};
const srv_form srv_hf_question_form = {"Question", question};
static const srv_field pair[] = {
    {"text", SRV_FIELD_OWN, .required = true, .schema = REF("Text")},
    {"text_pair", SRV_FIELD_OWN, .schema = REF("Text")},
    END,
};
const srv_form srv_hf_pair_form = {"Pair", pair};

const srv_form *const srv_forms[] = {
    &srv_predict_form,
    &srv_embed_form,
    &srv_embed_all_form,
    &srv_embed_sparse_form,
    &srv_rerank_form,
    &srv_rank_form,
    &srv_document_form,
    &srv_similarity_form,
    &srv_similarity_inputs_form,
    &srv_similarity_parameters_form,
    &srv_tokenize_form,
    &srv_decode_form,
    &srv_embeddings_form,
    &srv_v2_form,
    &srv_v2_parameters_form,
    &srv_v2_input_form,
    &srv_v2_input_parameters_form,
    &srv_v2_output_form,
    &srv_v2_output_parameters_form,
    &srv_hf_form,
    &srv_hf_parameter_forms[RETORT_TASK_CLASSIFY],
    &srv_zero_parameters_form,
    &srv_hf_parameter_forms[RETORT_TASK_TAG],
    &srv_hf_parameter_forms[RETORT_TASK_ANSWER],
    &srv_hf_parameter_forms[RETORT_TASK_FILL],
    &srv_hf_parameter_forms[RETORT_TASK_EMBED],
    &srv_hf_question_form,
    &srv_hf_pair_form,
    NULL,
};
