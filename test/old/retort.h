/* SPDX-License-Identifier: Apache-2.0
 * A header that programs were once built with, kept as it was: old_program.c must run with today's library. Its structs
 * end where the oldest rows of src/base/sized.h say. Never change a declaration here. */
#ifndef RETORT_H
#define RETORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum retort_status {
    RETORT_OK = 0,
    RETORT_ARGUMENT = -5,
    RETORT_LIMIT = -6,
} retort_status;

typedef struct retort_error {
    retort_status status;
    char text[508];
} retort_error;

typedef struct retort_model retort_model;
typedef struct retort_session retort_session;
typedef struct retort_dataset retort_dataset;
typedef enum retort_task { RETORT_TASK_CLASSIFY } retort_task;
typedef enum retort_dtype { RETORT_F32 } retort_dtype;
typedef int (*retort_write_fn)(void *user, const char *text, size_t length);
typedef int (*retort_progress_fn)(void *user, const char *what, size_t done, size_t total);

typedef struct retort_import_options {
    size_t size;
    int level;
    retort_dtype dtype;
    retort_task task;
    bool force_task;
    const char *tokenizer;
    retort_progress_fn progress;
    void *user;
} retort_import_options;
#define RETORT_IMPORT_OPTIONS                                                                                \
    { sizeof(retort_import_options), 3, RETORT_F32, RETORT_TASK_CLASSIFY, false, NULL, NULL, NULL }
void retort_import_options_init(retort_import_options *options, size_t size);
retort_status retort_model_import(retort_model **out, const char *source,
                                  const retort_import_options *options, retort_error *err);
void retort_model_free(retort_model *model);

typedef struct retort_text {
    const char *text;
    size_t length;
    const char *pair;
    size_t pair_length;
} retort_text;

typedef enum retort_side { RETORT_SIDE_MODEL } retort_side;
typedef struct retort_tokenize_options {
    size_t size;
    int64_t max_length;
    bool special_as_text;
    retort_side side;
} retort_tokenize_options;
typedef struct retort_tokens {
    size_t count;
    int32_t *ids;
    int32_t *types;
    uint32_t *offsets;
    size_t capacity;
} retort_tokens;
retort_status retort_tokenize(const retort_model *model, const retort_text *text,
                              const retort_tokenize_options *options, retort_tokens *out, retort_error *err);
void retort_tokens_free(retort_tokens *tokens);

typedef struct retort_session_options {
    size_t size;
    const char *provider;
    const char *isa;
    int threads;
    int64_t chunk_tokens;
    bool special_as_text;
    bool profile;
    bool keep_duplicates;
} retort_session_options;
#define RETORT_SESSION_OPTIONS                                                                               \
    { sizeof(retort_session_options), NULL, NULL, 0, 0, false, false, false }
void retort_session_options_init(retort_session_options *options, size_t size);
retort_status retort_session_open(retort_session **out, retort_model *model,
                                  const retort_session_options *options, retort_error *err);
void retort_session_close(retort_session *session);
retort_status retort_classify(retort_session *session, const retort_text *texts, size_t n, float *scores,
                              float *logits, size_t capacity, retort_error *err);

typedef struct retort_session_info {
    size_t size;
    const char *provider, *isa;
    int threads;
    uint64_t arena_bytes;
    size_t steps;
} retort_session_info;
void retort_session_info_init(retort_session_info *info, size_t size);
retort_status retort_session_describe(const retort_session *session, retort_session_info *info);

typedef struct retort_dataset_options {
    size_t size;
    const char *text_column, *pair_column, *label_column;
    bool texts_only, collect;
    retort_task task;
} retort_dataset_options;
retort_status retort_dataset_open(retort_dataset **out, const char *path, const retort_model *model,
                                  const retort_dataset_options *options, retort_error *err);
void retort_dataset_free(retort_dataset *data);

typedef struct retort_eval_options {
    size_t size;
    retort_session *reference;
    int64_t max_length;
    retort_write_fn logits;
    void *logits_user;
    retort_progress_fn progress;
    void *progress_user;
} retort_eval_options;
#define RETORT_EVAL_OPTIONS                                                                                  \
    { sizeof(retort_eval_options), NULL, -1, NULL, NULL, NULL, NULL }
typedef struct retort_eval_result {
    size_t size;
    const char *metric;
    double value;
    size_t n;
    const char *second_metric;
    double second_value;
    double kl, agreement, max_abs_logit_error;
    uint64_t truncated;
    uint64_t tokens, unknown;
    double low, high;
    double difference, difference_low, difference_high;
} retort_eval_result;
retort_status retort_eval(retort_session *session, const retort_dataset *data,
                          const retort_eval_options *options, retort_eval_result *result, retort_error *err);

#endif
