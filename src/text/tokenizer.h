/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers, exactly as Hugging Face tokenizers 0.23.3 (Rust) computes them: added tokens, normalizer,
 * pre-tokenizer, model, truncation, post-processor. component.c lists those that are read. */
#ifndef RT_TEXT_TOKENIZER_H
#define RT_TEXT_TOKENIZER_H

#include "base/error.h"

typedef struct rt_tokenizer rt_tokenizer;   /* immutable: share it between threads */
typedef struct rt_word_cache rt_word_cache; /* one thread's cache of words; optional */

/* From the bytes of a tokenizer.json. `name` is used in errors. `config` (may be NULL) are the bytes of
 * tokenizer_config.json. A component that is not known is refused by its name, never approximated. */
retort_status rt_tokenizer_from_json(rt_tokenizer **out, const char *name, const void *json, size_t size,
                                     const void *config, size_t config_size, retort_error *err);
/* From the bytes of a vocab.txt and (may be NULL) tokenizer_config.json, as transformers builds it. */
retort_status rt_tokenizer_from_vocab(rt_tokenizer **out, const char *name, const void *vocab, size_t size,
                                      const void *config, size_t config_size, retort_error *err);
/* From the bytes of a sentencepiece .model; the configuration names the class. */
retort_status rt_tokenizer_from_sentencepiece(rt_tokenizer **out, const char *name, const void *model,
                                              size_t size, const void *config, size_t config_size,
                                              retort_error *err);
/* From the files of a folder: tokenizer.json, else a sentencepiece .model, else vocab.json and merges.txt, else vocab.txt (each with tokenizer_config.json and
 * special_tokens_map.json and added_tokens.json if there). */
retort_status rt_tokenizer_from_folder(rt_tokenizer **out, const char *folder, retort_error *err);
/* From a tokenizer.json alone, without the tokens that its post-processor adds: of models that have no special tokens. Its
 * truncation is info.max_length. */
retort_status rt_tokenizer_without_special(rt_tokenizer **out, const char *folder, retort_error *err);
void rt_tokenizer_free(rt_tokenizer *tokenizer);

/* The form stored in a .retort file. Loading it is fast: a 30,522-piece vocabulary in about a millisecond. */
typedef struct rt_packed_tokenizer {
    const char
        *vocab; /* pieces in the order of their ids, each ended by '\n'; an empty one: no piece has this id */
    size_t vocab_size;
    const void *table; /* what the model has besides: merges, scores; ready to be used where it lies */
    size_t table_size;
    const char *settings; /* small JSON with everything else */
} rt_packed_tokenizer;
/* `vocab` is malloc'ed, to be freed with rt_packed_tokenizer_free; the rest belongs to the tokenizer. */
retort_status rt_tokenizer_pack(const rt_tokenizer *tokenizer, rt_packed_tokenizer *out, retort_error *err);
void rt_packed_tokenizer_free(rt_packed_tokenizer *packed);
/* `vocab` and `table` must outlive the tokenizer: they are parts of the mapped file. */
retort_status rt_tokenizer_unpack(rt_tokenizer **out, const char *name, const rt_packed_tokenizer *packed,
                                  retort_error *err);

/* Facts. Ids are -1 when the vocabulary has no such token. */
typedef struct rt_tokenizer_info {
    int32_t pieces; /* one more than the largest id, added tokens included */
    int32_t unk, cls, sep, pad, mask;
    int64_t max_length; /* model_max_length (or max_len) of tokenizer_config.json; 0 when not stated */
    bool lowercase;
    bool cut_left; /* a text that is too long loses its beginning: truncation_side "left" */
} rt_tokenizer_info;
rt_tokenizer_info rt_tokenizer_describe(const rt_tokenizer *tokenizer);
/* Warning `index` about files that transformers reads differently; NULL beyond the last one. */
enum { RT_TOKENIZER_WARNINGS = 4 };
const char *rt_tokenizer_warning(const rt_tokenizer *tokenizer, size_t index);
/* Tokens of texts, less those of templates and padding, and how many of them are the unknown token. */
typedef struct rt_token_count {
    size_t tokens, unknown;
} rt_token_count;
/* Adds n ids to *count. tokenizer NULL: it has none, and knows no unknown ones. */
void rt_count_tokens(rt_token_count *count, const rt_tokenizer *tokenizer, const int32_t *ids, size_t n);
/* Whether more than a tenth are unknown: the texts are not what the tokenizer was made for. */
bool rt_many_unknown(const rt_token_count *count);
/* NUL-terminated piece of an id, or NULL. Id of a piece, or -1. */
const char *rt_tokenizer_piece(const rt_tokenizer *tokenizer, int32_t id);
int32_t rt_tokenizer_id(const rt_tokenizer *tokenizer, const char *piece, size_t length);
bool rt_tokenizer_is_special(const rt_tokenizer *tokenizer, int32_t id);

/* Turns ids into text: calls `write` once per piece. */
retort_status rt_decode(const rt_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                        retort_write_fn write, void *user, retort_error *err);

typedef enum rt_truncation { RT_LONGEST_FIRST, RT_ONLY_FIRST, RT_ONLY_SECOND } rt_truncation;

typedef struct rt_encode_options {
    size_t max_length; /* special tokens included; 0: not cut */
    rt_truncation truncation;
    size_t stride;        /* for windows: tokens shared by neighbours */
    bool special_as_text; /* Hugging Face's encode_special_tokens */
    bool no_special;      /* leave the template away */
    const char *prompt;   /* NULL, or put before the text (the first of a pair) */
    bool words;           /* also fill `words` */
    retort_side side;     /* where a text that is too long is cut; of a pair each at the same */
    rt_word_cache *cache; /* may be NULL */
    uint64_t *truncated;  /* NULL, or counts the texts that were cut */
} rt_encode_options;

/* One encoded text (or window). Arrays belong to the struct and grow; start with {0}. offsets count code
 * points of the original text (of the pair where types is 1); (0, 0) for template tokens. */
typedef struct rt_encoding {
    size_t count, capacity;
    int32_t *ids;
    int32_t *types;
    uint32_t *offsets; /* [count, 2] */
    int32_t
        *words; /* [count] index of the word (as HF word_ids), -1 for template tokens; with options.words */
} rt_encoding;
void rt_encoding_free(rt_encoding *encoding);

/* Replaces the contents of *out. A single text has no pair (text->pair NULL). For ids alone, rt_encode_ids is faster. */
retort_status rt_encode(const rt_tokenizer *tokenizer, const retort_text *text,
                        const rt_encode_options *options, rt_encoding *out, retort_error *err);
/* Fast path: ids of one text appended to ids[*count…capacity), without offsets. RETORT_LIMIT when they do not
 * fit (nothing is changed; with max_length > 0 at most max_length are needed). */
retort_status rt_encode_ids(const rt_tokenizer *tokenizer, const retort_text *text,
                            const rt_encode_options *options, int32_t *ids, size_t capacity, size_t *count,
                            retort_error *err);
/* All windows of a text or pair that is longer than max_length (HF return_overflowing_tokens): the first is
 * what rt_encode gives. *windows is malloc'ed, each to be freed; at most `limit` or RETORT_LIMIT. */
retort_status rt_encode_windows(const rt_tokenizer *tokenizer, const retort_text *text,
                                const rt_encode_options *options, size_t limit, rt_encoding **windows,
                                size_t *count, retort_error *err);
/* Pre-split words (HF is_split_into_words): words[i] is the word's text; `words` of the result is the index
 * of the word, offsets are within the word. */
retort_status rt_encode_words(const rt_tokenizer *tokenizer, const retort_text *words, size_t n,
                              const rt_encode_options *options, rt_encoding *out, retort_error *err);

/* `slots` is rounded up to a power of two; 0 takes a default. Not thread-safe: one per thread. */
rt_word_cache *rt_word_cache_new(const rt_tokenizer *tokenizer, size_t slots);
void rt_word_cache_free(rt_word_cache *cache);

#endif
