/* SPDX-License-Identifier: Apache-2.0
 * The implementation of the public calls for each task; callers have checked the arguments. */
#ifndef RT_TASK_TASK_H
#define RT_TASK_TASK_H

#include "base/hash.h"
#include "task/feed.h"
#include "task/scores.h"

retort_status rt_classify(retort_session *session, const retort_text *texts, size_t n, float *scores,
                          float *logits, retort_error *err);
retort_status rt_classify_each(retort_session *session, const retort_text *texts, size_t n,
                               retort_classified_fn each, void *user, retort_error *err);
retort_status rt_embed(retort_session *session, const retort_text *texts, size_t n, float *vectors,
                       retort_error *err);

/* The tokenizer of a model with a word cache. rt_tokenizing_free accepts NULL. */
retort_status rt_tokenizing_new(retort_encoder **out, retort_model *model, retort_error *err);
void rt_tokenizing_free(retort_encoder *encoder);
retort_status rt_tokenizing_unpooled(retort_encoder *encoder, const retort_tokenize_options *options,
                                     size_t *count, retort_error *err);
retort_status rt_tokenizing_encode(retort_encoder *encoder, const retort_text *text,
                                   const retort_tokenize_options *options, int32_t *ids, int32_t *types,
                                   size_t capacity, size_t *count, retort_error *err);

/* The encoding options of this tokenizer for its model's task. */
rt_encode_options rt_tokenizing_options(retort_encoder *encoder, bool special_as_text);
const retort_model *rt_tokenizing_model(const retort_encoder *encoder);

/* The meaning of a tagging label: outside of entities, or a position in an entity of a type. */
typedef struct rt_tag_label {
    char mark;    /* 'O', 'B', 'I', … */
    int64_t type; /* index of the first label of this type; < 0: none */
} rt_tag_label;
/* As in transformers' pipelines: 'O', 'B' or 'I'; a name without B- or I- counts as I. [labels], free() */
rt_tag_label *rt_tag_labels_new(const rt_config *config);

retort_status rt_tag(retort_session *session, const retort_text *texts, size_t n,
                     const retort_tag_options *options, retort_spans *out, retort_error *err);
/* The windows of a text, with options from rt_feed_options or rt_tokenizing_options. rt_windows_clear also frees
 * what failed. */
retort_status rt_tag_windows(const rt_tokenizer *tokenizer, rt_encode_options encode, const retort_text *text,
                             const retort_tag_options *options, retort_windows *out, retort_error *err);
/* Turns the logits of a window into entities. rt_tagger_close also accepts one that failed to open. */
typedef struct rt_tagger {
    rt_tag_label *labels; /* [label_count] */
    const char *const *names;
    size_t label_count;
    const rt_tokenizer *tokenizer; /* whether pieces continue a word; NULL if words are not needed */
    int32_t unknown;
    const retort_tag_options *options;
    float *scores; /* scratch [2, label_count] */
    bool *ignored; /* [label_count] labels whose entities are omitted */
} rt_tagger;
typedef struct rt_open_entity {
    retort_span span;
    double sum;
    size_t parts; /* tokens or words; 0: none is open */
} rt_open_entity;
retort_status rt_tagger_open(rt_tagger *tagger, const rt_config *config, const rt_tokenizer *tokenizer,
                             const retort_tag_options *options, retort_error *err);
void rt_tagger_close(rt_tagger *tagger);
/* Appends the entities of one window to *out, with byte offsets of 0. Needs `words` of the encoding; `place`
 * has the text and the index of its first token. */
retort_status rt_tag_aggregate(const rt_tagger *tagger, const rt_encoding *encoding, const float *logits,
                               retort_span place, retort_spans *out, retort_error *err);
/* Of overlapping entities from several windows, keeps the longest, and of equally long ones that with the
 * highest score. */
void rt_tag_merge(retort_span *spans, size_t *count);

/* extractive question answering: defaults of the transformers pipeline */
enum { RT_ANSWER_WINDOW = 384, RT_ANSWER_STRIDE = 128, RT_ANSWER_LONGEST = 15, RT_ANSWER_WINDOWS = 4096 };
/* The answers found so far in the windows of one context. Start with rt_answers_open. */
typedef struct rt_answer {
    retort_span span;
    double score;
    uint64_t hash; /* of its text in lower case */
    size_t index;  /* in the order they were found */
} rt_answer;
typedef struct rt_candidate {
    double score;
    size_t first, last; /* tokens */
} rt_candidate;
typedef struct rt_answers {
    const retort_answer_options *options;
    const char *context;
    size_t length;
    rt_answer *items;
    size_t count, capacity;
    uint32_t *slots; /* [slot_count], a power of two: 1 + the index of an answer by its hash, 0 free */
    size_t slot_count;
    rt_hash_key key;
    rt_candidate *best; /* [most] of a window, best first */
    size_t kept, most;
    double min_null;      /* of the no-answer score */
    uint32_t point, byte; /* start of the last window in the context */
} rt_answers;
retort_status rt_answers_open(rt_answers *answers, const retort_answer_options *options, const char *context,
                              size_t length, retort_error *err);
void rt_answers_close(rt_answers *answers);
/* Adds a window and its [count, 2] start and end logits; windows come in order. */
retort_status rt_answers_add(rt_answers *answers, const rt_encoding *window, const float *logits,
                             retort_error *err);
/* The best answers, at least one; replaces the contents of *out. */
retort_status rt_answers_take(rt_answers *answers, retort_spans *out, retort_error *err);

retort_status rt_answer_text(retort_session *session, const retort_text *text,
                             const retort_answer_options *options, retort_spans *out, retort_error *err);
/* The windows of a question (text) and its context (pair); as rt_tag_windows. */
retort_status rt_answer_windows(const retort_model *model, rt_encode_options encode, const retort_text *text,
                                const retort_answer_options *options, retort_windows *out, retort_error *err);

/* zero-shot classification: default of transformers, and the parts of the call */
#define RT_HYPOTHESIS "This example is {}."
retort_status rt_hypothesis(const retort_text *hypothesis, const retort_text *label, rt_buffer *out,
                            size_t *length, retort_error *err);
retort_status rt_zero_shot_scores(const rt_config *config, const float *logits, size_t n, bool multi_label,
                                  float *scores, retort_error *err);
retort_status rt_zero_shot(retort_session *session, const retort_text *text, const retort_text *labels,
                           size_t n, const retort_zero_shot_options *options, float *scores,
                           retort_error *err);

retort_status rt_fill(retort_session *session, const retort_text *text, size_t k,
                      const retort_fill_options *options, retort_fill_guess *guesses, size_t max_masks,
                      size_t *masks, retort_error *err);
retort_status rt_fill_windows(const rt_tokenizer *tokenizer, rt_encode_options encode,
                              const retort_text *text, retort_windows *out, retort_error *err);
/* The k best of n scores, or of those of n `ids` (NULL: 0 … n), best first. */
void rt_fill_best(const float *scores, const int32_t *ids, size_t n, retort_fill_guess *guesses, size_t k);

/* Fills byte_start and byte_end from start and end. */
void rt_span_bytes(const char *text, size_t length, retort_span *spans, size_t count);

#endif
