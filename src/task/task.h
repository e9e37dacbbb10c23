/* SPDX-License-Identifier: Apache-2.0
 * What the public calls for each task come down to; arguments are checked by the caller. */
#ifndef RT_TASK_TASK_H
#define RT_TASK_TASK_H

#include "run/session.h"
#include "task/metric.h"

retort_status rt_classify(retort_session *session, const retort_text *texts, size_t n, float *scores,
                          float *logits, retort_error *err);
retort_status rt_embed(retort_session *session, const retort_text *texts, size_t n, float *vectors,
                       retort_error *err);

/* A model's tokenizer with a word cache. rt_encoder_free accepts NULL. */
retort_status rt_encoder_new(retort_encoder **out, retort_model *model, retort_error *err);
void rt_encoder_free(retort_encoder *encoder);
retort_status rt_encoder_encode(retort_encoder *encoder, const retort_text *text,
                                const retort_tokenize_options *options, int32_t *ids, int32_t *types,
                                size_t capacity, size_t *count, retort_error *err);

retort_status rt_tag(retort_session *session, const retort_text *texts, size_t n, retort_spans *out,
                     retort_error *err);
/* transformers' "simple" aggregation of one text: neighbours of one type, a B- mark opening anew, scored by
 * the mean of their pieces' scores. `words` of the encoding are filled. Appends to *out; byte offsets are
 * left 0. */
retort_status rt_tag_aggregate(const rt_tag_label *labels, size_t label_count, const rt_encoding *encoding,
                               const float *logits, size_t text, retort_spans *out, retort_error *err);

/* extractive question answering: transformers' pipeline defaults */
enum { RT_ANSWER_WINDOW = 384, RT_ANSWER_STRIDE = 128, RT_ANSWER_LONGEST = 15, RT_ANSWER_WINDOWS = 4096 };
retort_status rt_answer(retort_session *session, const retort_text *text, retort_span *answer,
                        retort_error *err);
/* The windows of a question (text) and its context (pair). *windows and each of them are the caller's. */
retort_status rt_answer_windows(retort_session *session, const retort_text *text, int64_t max_length,
                                rt_encoding **windows, size_t *count, retort_error *err);
/* Best span of one window from its [count, 2] start and end logits, when it beats answer->score. */
void rt_answer_best(const rt_encoding *window, const float *logits, retort_span *answer);

retort_status rt_fill(retort_session *session, const retort_text *text, size_t k, retort_fill_guess *guesses,
                      size_t max_masks, size_t *masks, retort_error *err);
/* The k largest of n scores, best first. */
void rt_fill_best(const float *scores, size_t n, retort_fill_guess *guesses, size_t k);

/* Fills byte_start and byte_end from start and end. */
void rt_span_bytes(const char *text, size_t length, retort_span *spans, size_t count);

retort_status rt_evaluate(retort_session *session, const retort_dataset *data,
                          const retort_eval_options *options, retort_eval_result *result, retort_error *err);

#endif
