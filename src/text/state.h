/* SPDX-License-Identifier: Apache-2.0
 * The fields of a tokenizer and of a text on its way, for the files of this folder. */
#ifndef RT_TEXT_STATE_H
#define RT_TEXT_STATE_H

#include "text/added.h"
#include "text/segmenter.h"

#include <string.h>

struct rt_tokenizer {
    rt_normalizer normalizer;
    rt_pre_tokenizer pre_tokenizer;
    rt_token_model model;
    rt_split_fn split;        /* pre-tokenizer and model in one */
    rt_template single, pair; /* what the post-processor makes of one text and of two */
    rt_decoder decoder;
    rt_added added;
    rt_segmenter segmenter;
    rt_tokenizer_info info;
    char *settings;    /* see rt_tokenizer_pack */
    const void *block; /* tables of model and normalizer, as rt_packed_tokenizer has them */
    size_t block_size;
    void *own_block; /* the same, where it was made and not mapped */
    const char *warnings[RT_TOKENIZER_WARNINGS];
    size_t warning_count;
    rt_arena arena;
};

/* From the JSON of a tokenizer.json (or packed settings) without the vocabulary. */
retort_status rt_tokenizer_build(rt_tokenizer **out, const char *name, json_t *settings,
                                 const rt_vocabulary *vocabulary, retort_error *err);

/* One block of the tables of a model and a normalizer, each at a multiple of 64 bytes. Empty when both are. */
void rt_vocabulary_join(rt_buffer *block, const rt_buffer *table, const rt_buffer *map);
/* Finds them in it. */
retort_status rt_vocabulary_open(rt_vocabulary *vocabulary, const char *name, const void *block, size_t size,
                                 retort_error *err);

/* Adds a warning; what does not fit, or finds no memory, is left out. */
void rt_tokenizer_warn(rt_tokenizer *tokenizer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Memory that a call needs, kept by a cache from call to call. `first` stays as long as pairs begin with the
 * same text: one question asked of many texts is tokenised once. */
typedef struct rt_scratch {
    rt_normalized normalized;
    rt_tokens first, second;
    char *joined; /* a prompt and a text */
    size_t joined_capacity;
    char *known; /* the text that `first` was made from, when is_known */
    size_t known_length, known_capacity;
    bool is_known, known_special_as_text, known_measured;
} rt_scratch;
void rt_scratch_free(rt_scratch *scratch);

/* A remembered segment: 128 bytes, two cache lines. */
enum { RT_SEGMENT_MAX = 48, RT_SEGMENT_TOKENS = 10 };
typedef struct rt_segment {
    uint8_t length; /* bytes; 0: a free slot */
    uint8_t points; /* code points of the original text */
    uint8_t words, count;
    uint8_t key[RT_SEGMENT_MAX];
    uint8_t start[RT_SEGMENT_TOKENS], end[RT_SEGMENT_TOKENS],
        word[RT_SEGMENT_TOKENS]; /* from the segment's begin */
    int32_t ids[RT_SEGMENT_TOKENS];
} rt_segment;
struct rt_word_cache {
    const rt_tokenizer *tokenizer;
    void *memory;      /* of the slots */
    rt_segment *slots; /* [mask + 1], each on its own two cache lines */
    size_t mask;
    rt_scratch scratch;
};
/* The slot where these bytes (1 … RT_SEGMENT_MAX) are, or are to be: one of two. With one only, texts of twelve languages
 * took 1.10 times as long. */
rt_segment *rt_word_cache_slot(const rt_word_cache *cache, const uint8_t *bytes, size_t length);
static inline bool rt_segment_holds(const rt_segment *segment, const uint8_t *bytes, size_t length) {
    return segment->length == length && memcmp(segment->key, bytes, length) == 0;
}

/* Where segments are not local, words of the normalized text are remembered instead, by the model. The key is the word's
 * bytes; tokens begin and end at points of the word, until rt_place_tokens. */
static inline rt_segment *rt_word_slot(const rt_tokens *tokens, const uint8_t *bytes, size_t length) {
    bool fits = tokens->words != NULL && length > 0 && length <= RT_SEGMENT_MAX;
    return fits ? rt_word_cache_slot(tokens->words, bytes, length) : NULL;
}
/* The code point of the original text that point `at` of a word comes from, whose points in the text begin at *points. Where
 * `added` is 1, a mark was put before them, which belongs to the first. */
static inline uint32_t rt_source_of(const rt_point *points, size_t added, size_t at) {
    return points[at > added ? at - added : 0].source;
}
/* Appends the tokens of a word. False when out of memory. */
bool rt_recall_word(const rt_segment *segment, const rt_point *points, size_t added, int32_t number,
                    rt_tokens *tokens);
/* Remembers the tokens from `first` on as those of a word, unless they are too many. */
void rt_remember_word(rt_segment *segment, const uint8_t *bytes, size_t length, const rt_tokens *tokens,
                      size_t first);
/* From points of a word to code points of the original text. */
static inline void rt_place_tokens(const rt_tokens *tokens, size_t first, const rt_point *points,
                                   size_t added) {
    for (size_t i = first; i < tokens->count; i++) {
        rt_token *token = &tokens->data[i];
        token->start = rt_source_of(points, added, token->start);
        token->end = rt_source_of(points, added, token->end - 1) + 1;
    }
}

/* One text on its way to tokens, without template and truncation. */
typedef struct rt_walk {
    const rt_tokenizer *tokenizer;
    rt_word_cache *cache; /* may be NULL */
    rt_normalized *normalized;
    rt_tokens *tokens;
    size_t limit;   /* tokens after which no more are needed */
    bool segmented; /* go by segments; else normalise the text as a whole, as Hugging Face does */
    bool special_as_text;
    bool measured;  /* white space in tokens is counted, for a template that trims */
    uint32_t point; /* code points done */
    int32_t word;   /* words done */
} rt_walk;
retort_status rt_walk_text(rt_walk *walk, const char *text, size_t size, retort_error *err);

#endif
