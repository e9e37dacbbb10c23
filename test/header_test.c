/* SPDX-License-Identifier: Apache-2.0
 * retort.h alone: compiled as C11, C17 and C++17 by ./check, linked with the installed shared library there.
 * Pins what programs were compiled against: values, sizes and places of members (64-bit). */
#include "retort.h"

#include <assert.h>
#include <stdio.h>

#ifdef __cplusplus
#define CALLABLE(function) reinterpret_cast<void (*)()>(function)
#else
#define CALLABLE(function) (void (*)(void))(function)
#endif

static_assert(RETORT_OK == 0 && RETORT_NOMEM == -1 && RETORT_CANCELLED == -8 && RETORT_NONFINITE == -9,
              "status values");
static_assert(RETORT_TASK_CLASSIFY == 0 && RETORT_TASK_EMBED == 4, "task values");
static_assert(RETORT_F32 == 0 && RETORT_BF16 == 2 && RETORT_BOOL == 7, "dtype values");
static_assert(sizeof(retort_error) == 512, "retort_error");
static_assert(offsetof(retort_import_options, tokenizer) == 24, "retort_import_options");
static_assert(offsetof(retort_optimize_options, report) == 32, "retort_optimize_options");
static_assert(offsetof(retort_info, layers) == 48, "retort_info");
static_assert(offsetof(retort_session_options, chunk_tokens) == 32 &&
                  offsetof(retort_session_options, tap) == 48,
              "retort_session_options");
static_assert(offsetof(retort_provider_info, version) == 26, "retort_provider_info");
static_assert(offsetof(retort_classified, label) == 56 && sizeof(retort_text) == 32, "texts");
static_assert(offsetof(retort_tokens, capacity) == 32, "retort_tokens");
static_assert(offsetof(retort_span, label) == 24, "retort_span");
static_assert(offsetof(retort_peaks, read) == 144 && RETORT_DRAM == 3, "retort_peaks");
static_assert(sizeof(retort_batch) == 32 && sizeof(retort_matrix) == 24, "run");

/* Every public function: one that the library does not export fails to link. */
static void (*const functions[])(void) = {
    CALLABLE(retort_status_text),
    CALLABLE(retort_version),
    CALLABLE(retort_dtype_name),
    CALLABLE(retort_model_import),
    CALLABLE(retort_model_load),
    CALLABLE(retort_model_save),
    CALLABLE(retort_model_retain),
    CALLABLE(retort_model_free),
    CALLABLE(retort_model_optimize),
    CALLABLE(retort_rewrite),
    CALLABLE(retort_model_info),
    CALLABLE(retort_model_label),
    CALLABLE(retort_model_tensor),
    CALLABLE(retort_model_print),
    CALLABLE(retort_tokenize),
    CALLABLE(retort_tokens_free),
    CALLABLE(retort_model_piece),
    CALLABLE(retort_provider),
    CALLABLE(retort_session_open),
    CALLABLE(retort_session_close),
    CALLABLE(retort_run),
    CALLABLE(retort_classify),
    CALLABLE(retort_classify_each),
    CALLABLE(retort_scores),
    CALLABLE(retort_model_scores),
    CALLABLE(retort_best),
    CALLABLE(retort_similarity),
    CALLABLE(retort_embed),
    CALLABLE(retort_tag),
    CALLABLE(retort_tag_windows),
    CALLABLE(retort_answer_windows),
    CALLABLE(retort_fill_windows),
    CALLABLE(retort_windows_describe),
    CALLABLE(retort_windows_free),
    CALLABLE(retort_hypothesis),
    CALLABLE(retort_zero_shot),
    CALLABLE(retort_zero_shot_scores),
    CALLABLE(retort_decode),
    CALLABLE(retort_spans_free),
    CALLABLE(retort_answer),
    CALLABLE(retort_fill),
    CALLABLE(retort_session_step),
    CALLABLE(retort_session_describe),
    CALLABLE(retort_dataset_open),
    CALLABLE(retort_dataset_count),
    CALLABLE(retort_dataset_text),
    CALLABLE(retort_dataset_describe),
    CALLABLE(retort_dataset_label),
    CALLABLE(retort_dataset_free),
    CALLABLE(retort_eval),
    CALLABLE(retort_machine_describe),
    CALLABLE(retort_machine_measure),
    CALLABLE(retort_head_init),
    CALLABLE(retort_import_options_init),
    CALLABLE(retort_load_options_init),
    CALLABLE(retort_export_options_init),
    CALLABLE(retort_export_info_init),
    CALLABLE(retort_optimize_options_init),
    CALLABLE(retort_quantize_options_init),
    CALLABLE(retort_info_init),
    CALLABLE(retort_restriction_init),
    CALLABLE(retort_tensor_info_init),
    CALLABLE(retort_draw_options_init),
    CALLABLE(retort_tokenize_options_init),
    CALLABLE(retort_provider_info_init),
    CALLABLE(retort_session_options_init),
    CALLABLE(retort_zero_shot_options_init),
    CALLABLE(retort_windows_info_init),
    CALLABLE(retort_tag_options_init),
    CALLABLE(retort_answer_options_init),
    CALLABLE(retort_fill_options_init),
    CALLABLE(retort_step_info_init),
    CALLABLE(retort_session_info_init),
    CALLABLE(retort_dataset_options_init),
    CALLABLE(retort_dataset_info_init),
    CALLABLE(retort_eval_options_init),
    CALLABLE(retort_eval_result_init),
    CALLABLE(retort_cascade_options_init),
    CALLABLE(retort_cascade_info_init),
    CALLABLE(retort_stage_info_init),
    CALLABLE(retort_train_options_init),
    CALLABLE(retort_train_result_init),
    CALLABLE(retort_prune_options_init),
    CALLABLE(retort_prune_result_init),
    CALLABLE(retort_layer_info_init),
    CALLABLE(retort_machine_init),
    CALLABLE(retort_peaks_init),
};

int main(void) {
    retort_import_options import_options = RETORT_IMPORT_OPTIONS;
    retort_optimize_options optimize_options = RETORT_OPTIMIZE_OPTIONS;
    retort_tokenize_options tokenize_options = RETORT_TOKENIZE_OPTIONS;
    retort_session_options session_options = RETORT_SESSION_OPTIONS;
    size_t count = sizeof functions / sizeof *functions;
    uint32_t version = RETORT_VERSION_MAJOR << 16 | RETORT_VERSION_MINOR << 8 | RETORT_VERSION_PATCH;
    int right = import_options.size == sizeof import_options && import_options.level == 3 &&
                optimize_options.size == sizeof optimize_options && optimize_options.level == 3 &&
                tokenize_options.size == sizeof tokenize_options && tokenize_options.max_length == -1 &&
                session_options.size == sizeof session_options && retort_version() == version;
    printf("%s 1 - %d functions, library %u.%u.%u\n1..1\n", right ? "ok" : "not ok", (int)count,
           retort_version() >> 16, retort_version() >> 8 & 255, retort_version() & 255);
    return right ? 0 : 1;
}
