/* SPDX-License-Identifier: Apache-2.0
 * The routes. A row is served, counted, described by /openapi.json and fuzzed. */
#include "serve/wire/call.h"

#include <string.h>

#define CLASSIFY RETORT_TASK_CLASSIFY
#define EMBED    RETORT_TASK_EMBED

const srv_route srv_routes[] = {
    {"POST", "/predict", SRV_WIRE_TEI, false, CLASSIFY, &srv_predict_form, srv_tei_read_predict, NULL,
     srv_tei_write_predict, "PredictReply", "labels and their scores"},
    {"POST", "/embed", SRV_WIRE_TEI, false, EMBED, &srv_embed_form, srv_tei_read_embed, NULL,
     srv_tei_write_embed, "EmbedReply", "a vector a text"},
    {"POST", "/embed_all", SRV_WIRE_TEI, false, EMBED, &srv_embed_all_form, srv_tei_read_embed_all,
     srv_tei_check_embed_all, srv_tei_write_embed_all, "EmbedAllReply",
     "the vectors of the tokens of a text"},
    {"POST", "/rerank", SRV_WIRE_TEI, false, CLASSIFY, &srv_rerank_form, srv_tei_read_rerank,
     srv_tei_check_rerank, srv_tei_write_rerank, "RerankReply", "texts by how well they answer a query"},
    {"POST", "/v1/rerank", SRV_WIRE_OPENAI, false, CLASSIFY, &srv_rank_form, srv_cohere_read_documents,
     srv_tei_check_rerank, srv_cohere_write_rank, "RankReply", "Cohere's and Jina's form: documents ranked"},
    {"POST", "/v2/rerank", SRV_WIRE_OPENAI, false, CLASSIFY, &srv_rank_form, srv_cohere_read_documents,
     srv_tei_check_rerank, srv_cohere_write_rank, "RankReply", "as /v1/rerank"},
    {"POST", "/similarity", SRV_WIRE_TEI, false, EMBED, &srv_similarity_form, srv_tei_read_similarity, NULL,
     srv_tei_write_similarity, "SimilarityReply", "cosines of sentences and a source sentence"},
    {"POST", "/tokenize", SRV_WIRE_TEI, false, SRV_ANY_TASK, &srv_tokenize_form, srv_tei_read_tokenize,
     srv_call_tokenize, srv_tei_write_tokenize, "TokenizeReply", "ids, pieces and offsets"},
    {"POST", "/decode", SRV_WIRE_TEI, false, SRV_ANY_TASK, &srv_decode_form, srv_tei_read_decode,
     srv_tei_check_decode, srv_tei_write_decode, "DecodeReply", "the texts that ids stand for"},
    {"GET", "/info", SRV_WIRE_TEI, false, SRV_ANY_TASK, NULL, NULL, NULL, srv_tei_write_info, "Info",
     "the model and the limits"},
    {"POST", "/", SRV_WIRE_TEI, false, SRV_ANY_TASK, &srv_hf_form, srv_hf_read, NULL, srv_hf_write,
     "HuggingFaceReply", "Hugging Face's form: labels, vectors, entities, answers, guesses"},
    {"POST", "/models/{model}", SRV_WIRE_TEI, false, SRV_ANY_TASK, &srv_hf_form, srv_hf_read_model, NULL,
     srv_hf_write, "HuggingFaceReply", "Hugging Face's form, of the model with this name"},
    {"POST", "/models/{model}/pipeline/feature-extraction", SRV_WIRE_TEI, false, EMBED, &srv_hf_form,
     srv_hf_read, NULL, srv_hf_write, "HuggingFaceReply", "Hugging Face's form: a vector a text"},
    {"POST", "/models/{model}/pipeline/sentence-similarity", SRV_WIRE_TEI, false, EMBED, &srv_hf_form,
     srv_hf_read, NULL, srv_hf_write, "HuggingFaceReply",
     "Hugging Face's form: cosines with a source sentence"},
    {"GET", "/models/{model}/info", SRV_WIRE_TEI, false, SRV_ANY_TASK, NULL, NULL, NULL, srv_tei_write_info,
     "Info", "the model and the limits"},
    {"POST", "/embeddings", SRV_WIRE_OPENAI, false, EMBED, &srv_embeddings_form, srv_openai_read_embeddings,
     NULL, srv_openai_write_embeddings, "EmbeddingsReply", "as /v1/embeddings"},
    {"GET", "/models", SRV_WIRE_OPENAI, false, SRV_ANY_TASK, NULL, NULL, NULL, srv_openai_write_models,
     "ModelList", "as /v1/models"},
    {"GET", "/models/{model}", SRV_WIRE_OPENAI, false, SRV_ANY_TASK, NULL, NULL, NULL, srv_openai_write_model,
     "Model", "as /v1/models/{model}"},
    {"POST", "/v1/embeddings", SRV_WIRE_OPENAI, false, EMBED, &srv_embeddings_form,
     srv_openai_read_embeddings, NULL, srv_openai_write_embeddings, "EmbeddingsReply",
     "OpenAI's form: vectors"},
    {"GET", "/v1/models", SRV_WIRE_OPENAI, false, SRV_ANY_TASK, NULL, NULL, NULL, srv_openai_write_models,
     "ModelList", "names of the models"},
    {"GET", "/v1/models/{model}", SRV_WIRE_OPENAI, false, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_openai_write_model, "Model", "one of the models"},
    {"GET", "/v2", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL, srv_v2_write_server, "V2Server",
     "name, version, extensions"},
    {"GET", "/v2/health/live", SRV_WIRE_V2, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_v2_write_live, "V2Live",
     "it runs"},
    {"GET", "/v2/health/ready", SRV_WIRE_V2, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_v2_write_ready,
     "V2Ready", "all models can answer"},
    {"GET", "/v2/models/stats", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_triton_write_statistics, "TritonStatistics", "Triton's form: what the models have computed, in ns"},
    {"GET", "/v2/models/{model}", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL, srv_v2_write_model,
     "V2Model", "inputs and outputs of a model"},
    {"POST", "/v2/models/{model}", SRV_WIRE_TEI, false, SRV_ANY_TASK, &srv_hf_form, srv_hf_read_model, NULL,
     srv_hf_write, "HuggingFaceReply", "Hugging Face's form, of the model with this name"},
    {"GET", "/v2/models/{model}/versions/{version}", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_v2_write_model, "V2Model", "inputs and outputs of a model"},
    {"GET", "/v2/models/{model}/ready", SRV_WIRE_V2, true, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_v2_write_model_ready, "V2ModelReady", "the model can answer"},
    {"GET", "/v2/models/{model}/versions/{version}/ready", SRV_WIRE_V2, true, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_v2_write_model_ready, "V2ModelReady", "the model can answer"},
    {"POST", "/v2/models/{model}/infer", SRV_WIRE_V2, false, SRV_V2_TASKS, &srv_v2_form, srv_v2_read_infer,
     NULL, srv_v2_write_infer, "V2Reply", "logits, probabilities, labels or vectors of texts or token ids"},
    {"POST", "/v2/models/{model}/versions/{version}/infer", SRV_WIRE_V2, false, SRV_V2_TASKS, &srv_v2_form,
     srv_v2_read_infer, NULL, srv_v2_write_infer, "V2Reply",
     "logits, probabilities, labels or vectors of texts or token ids"},
    {"POST", "/v2/repository/index", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_triton_write_index, "TritonIndex", "Triton's form: the models and their states"},
    {"GET", "/v2/models/{model}/config", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_triton_write_config, "TritonConfig", "Triton's form: inputs, outputs and batching of a model"},
    {"GET", "/v2/models/{model}/versions/{version}/config", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL,
     NULL, srv_triton_write_config, "TritonConfig", "Triton's form: inputs, outputs and batching of a model"},
    {"GET", "/v2/models/{model}/stats", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_triton_write_statistics, "TritonStatistics", "Triton's form: what a model has computed, in ns"},
    {"GET", "/v2/models/{model}/versions/{version}/stats", SRV_WIRE_V2, false, SRV_ANY_TASK, NULL, NULL, NULL,
     srv_triton_write_statistics, "TritonStatistics", "Triton's form: what a model has computed, in ns"},
    {"GET", "/", SRV_WIRE_TEI, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_write_page, "Page",
     "a page to try the model"},
    {"GET", "/health", SRV_WIRE_TEI, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_write_ready, "Health",
     "as /health/ready"},
    {"GET", "/health/live", SRV_WIRE_TEI, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_write_live, "Health",
     "it runs"},
    {"GET", "/health/ready", SRV_WIRE_TEI, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_write_ready, "Health",
     "all models are loaded and can answer, and it is not on its way down"},
    {"GET", "/ping", SRV_WIRE_TEI, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_write_ready, "Health",
     "as /health/ready"},
    {"GET", "/metrics", SRV_WIRE_TEI, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_write_metrics, "Metrics",
     "Prometheus' text format"},
    {"GET", "/openapi.json", SRV_WIRE_TEI, true, SRV_ANY_TASK, NULL, NULL, NULL, srv_write_openapi, "OpenApi",
     "this description"},
};
const size_t srv_route_count = sizeof srv_routes / sizeof *srv_routes;

static bool match(const char *pattern, const char *path, srv_slice names[2]) {
    size_t found = 0;
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *path++) return false;
            continue;
        }
        size_t length = strcspn(path, "/");
        if (length == 0) return false;
        names[found++] = (srv_slice){path, length};
        path += length;
        pattern += strcspn(pattern, "}") + 1;
    }
    return *path == '\0';
}

int srv_route_find(const char *method, const char *path, srv_slice *model, srv_slice *version) {
    int known = -1;
    for (size_t i = 0; i < srv_route_count; i++) {
        srv_slice names[2] = {{0}};
        if (!match(srv_routes[i].path, path, names)) continue;
        bool head = strcmp(method, "HEAD") == 0 && strcmp(srv_routes[i].method, "GET") == 0;
        if (!head && strcmp(srv_routes[i].method, method) != 0) {
            known = -2;
            continue;
        }
        *model = names[0];
        *version = names[1];
        return (int)i;
    }
    return known;
}
