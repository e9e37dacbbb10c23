/* SPDX-License-Identifier: Apache-2.0
 * What a tokenizer is made of, in Hugging Face's terms: normalizer ▸ pre_tokenizer ▸ model ▸ post_processor, and
 * a decoder for the way back. A component is one file, named after its type, with one row: the "type" in
 * tokenizer.json, how it is read and how it runs. component.c has the tables of rows. */
#ifndef RT_TEXT_COMPONENT_H
#define RT_TEXT_COMPONENT_H

#include "base/memory.h"
#include "text/template.h"
#include "text/tokenizer.h"

#include <jansson.h>

/* ---- What components work on -------------------------------------------------------------------------- */

typedef struct rt_point {
    uint32_t point;
    uint32_t source; /* index of the code point of the original text it comes from; never decreases */
    uint32_t at;     /* where its UTF-8 begins in `bytes` */
} rt_point;

/* A normalized piece of text. Start with {0}, reuse at will. */
typedef struct rt_normalized {
    rt_point *points; /* [count + 1], the last one only marks the end */
    uint8_t *bytes;   /* the points as UTF-8; then RT_HASH_MARGIN */
    size_t count, point_capacity, byte_capacity;
    bool marked;     /* there may be marks to put in order and to drop */
    rt_point *spare; /* for sorting long runs of marks */
    rt_point *other; /* what a step begins with; see steps.h */
    size_t spare_capacity, other_capacity;
} rt_normalized;
void rt_normalized_free(rt_normalized *normalized);
/* Room for so many points, and the one behind them, and bytes, and RT_HASH_MARGIN. False when out of memory. */
bool rt_normalized_reserve(rt_normalized *normalized, size_t points, size_t bytes);

/* A word: points [from, to). */
typedef struct rt_word {
    size_t from, to;
} rt_word;

typedef struct rt_token {
    int32_t id;
    uint32_t start, end; /* code points of the original text */
    int32_t word;
    uint32_t before, after; /* white space that its text begins and ends with, where the template trims */
} rt_token;

/* Words in order. What lies between them is in none. */
typedef struct rt_words {
    rt_word *data;
    size_t count, capacity;
} rt_words;
/* False when out of memory. */
static inline bool rt_words_push(rt_words *words, size_t from, size_t to) {
    if (words->count == words->capacity &&
        !rt_grow((void **)&words->data, &words->capacity, words->count + 1, sizeof *words->data)) {
        return false;
    }
    words->data[words->count++] = (rt_word){from, to};
    return true;
}

/* What pre-tokenizers make of a text that they may change: a copy of its points, cut into words. `spare_text` and
 * `spare_words` are for the next text and its words. */
typedef struct rt_cut_text {
    rt_normalized text, spare_text;
    rt_words words, spare_words;
} rt_cut_text;

/* The spare text and words become those in use, and the other way round. */
static inline void rt_swap_text(rt_cut_text *cut) {
    rt_normalized text = cut->text;
    cut->text = cut->spare_text;
    cut->spare_text = text;
}
static inline void rt_swap_words(rt_cut_text *cut) {
    rt_words words = cut->words;
    cut->words = cut->spare_words;
    cut->spare_words = words;
}

/* The tokens of a text, and memory for making them, which is used again. Start with {0}. */
typedef struct rt_tokens {
    rt_token *data;
    size_t count, capacity;
    rt_cut_text cut;
    void *work;           /* of the model */
    size_t work_capacity; /* bytes */
    rt_word_cache *words; /* that were seen before; NULL: none are remembered */
} rt_tokens;
void rt_tokens_free(rt_tokens *tokens);
/* False when out of memory. */
static inline bool rt_tokens_push(rt_tokens *tokens, rt_token token) {
    if (tokens->count == tokens->capacity &&
        !rt_grow((void **)&tokens->data, &tokens->capacity, tokens->count + 1, sizeof token)) {
        return false;
    }
    tokens->data[tokens->count++] = token;
    return true;
}

enum { RT_PIECE_MAX = 512 };    /* bytes of a piece */
enum { RT_TEXT_MAX = 1 << 28 }; /* bytes of a text: what it becomes is counted in 32 bits */

/* ---- Reading ------------------------------------------------------------------------------------------ */

/* What a component is read with. Its data comes from the arena and lives as long as the tokenizer. */
typedef struct rt_component_reader {
    rt_tokenizer *tokenizer;
    rt_arena *arena;
    const char *name; /* of the file, for errors */
    retort_error *err;
    const void *map; /* of characters: see rt_vocabulary */
    size_t map_size;
} rt_component_reader;

/* An optional flag of a component. */
retort_status rt_component_flag(const rt_component_reader *in, const json_t *part, const char *key,
                                bool missing, bool *out);

/* ---- Normalizer: bytes of a text to code points ------------------------------------------------------- */

typedef struct rt_normalizer rt_normalizer;
typedef struct rt_normalizer_row {
    const char *type;
    /* Optional. Takes a map of characters out of `part`, the normalizer's object in a tokenizer.json. */
    retort_status (*take)(const char *name, json_t *part, rt_buffer *map, retort_error *err);
    retort_status (*read)(const rt_component_reader *in, const json_t *part,
                          rt_normalizer *out); /* optional */
    /* From code points to code points: see steps.h. Leaves `at` and the bytes undefined. False when out of memory. */
    bool (*step)(const void *data, rt_normalized *text);
    /* The same from the text on; NULL: by `step`. Replaces *out. `source` is the index of the text's first code point, *next that of what comes after it.
     * size <= RT_TEXT_MAX. False when out of memory. */
    bool (*run)(const void *data, const uint8_t *text, size_t size, uint32_t source, rt_normalized *out,
                uint32_t *next);
    bool local; /* see segmenter.h */
} rt_normalizer_row;
struct rt_normalizer {
    const rt_normalizer_row *row;
    const void *data;
    bool lower, strip, ideographs; /* what it does, for those who ask */
};
bool rt_normalize_by_step(const rt_normalizer *normalizer, const uint8_t *text, size_t size, uint32_t source,
                          rt_normalized *out, uint32_t *next);
static inline bool rt_normalize(const rt_normalizer *normalizer, const uint8_t *text, size_t size,
                                uint32_t source, rt_normalized *out, uint32_t *next) {
    if (normalizer->row->run == NULL) return rt_normalize_by_step(normalizer, text, size, source, out, next);
    return normalizer->row->run(normalizer->data, text, size, source, out, next);
}

/* ---- Pre-tokenizer: a normalized text to words -------------------------------------------------------- */

/* The next word of points [*at, to), past which *at moves. False when there is none. */
typedef bool (*rt_next_word_fn)(const void *data, const rt_normalized *text, size_t *at, size_t to,
                                rt_word *word);

typedef struct rt_pre_tokenizer rt_pre_tokenizer;
typedef struct rt_pre_tokenizer_row {
    const char *type;
    retort_status (*read)(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out);
    rt_next_word_fn next; /* NULL: it has `cut` */
    /* Cuts each word into words, and may change the text. False when out of memory. */
    bool (*cut)(const void *data, rt_cut_text *text);
    bool local; /* see segmenter.h */
} rt_pre_tokenizer_row;
struct rt_pre_tokenizer {
    const rt_pre_tokenizer_row *row;
    const void *data;
    bool bytes; /* the model's symbols are bytes: ByteLevel */
};

/* ---- Decoder: pieces to a text ------------------------------------------------------------------------ */

/* Where a piece is among those that are decoded. */
typedef struct rt_piece_place {
    bool first, last;
    bool garbled; /* one of some bytes in a row that are no text */
} rt_piece_place;

typedef struct rt_decoder rt_decoder;
typedef struct rt_decoder_row {
    const char *type;
    retort_status (*read)(const rt_component_reader *in, const json_t *part, rt_decoder *out);
    /* What a piece adds to the text, in `out` [RT_PIECE_MAX + 1]; its length. */
    size_t (*run)(const void *data, const char *piece, rt_piece_place place, char *out);
    bool bytes;    /* they may be parts of characters */
    bool fallback; /* pieces may be bytes, as rt_byte_of_piece tells */
} rt_decoder_row;
struct rt_decoder {
    const rt_decoder_row *row;
    const void *data;
};
/* The byte that a piece like <0x0A> is; -1: another piece. */
int rt_byte_of_piece(const char *piece);

/* ---- Model: words to tokens --------------------------------------------------------------------------- */

/* Appends the tokens of a word, which is the text's `number`-th. False when out of memory. */
typedef bool (*rt_tokenize_word_fn)(const void *data, const rt_normalized *text, rt_word word, int32_t number,
                                    rt_tokens *tokens);

typedef struct rt_token_model rt_token_model;
/* By `cut`, or by `next` within each word: for a Sequence. */
bool rt_cut_words(const rt_pre_tokenizer *pre_tokenizer, rt_cut_text *text);
/* Cuts points [from, to) into words and these into tokens. Words are numbered from *number on. False when out of
 * memory. */
typedef bool (*rt_split_fn)(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                            const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens,
                            int32_t *number);

/* The special tokens of a tokenizer. */
typedef enum rt_special { RT_UNK, RT_SEP, RT_PAD, RT_CLS, RT_MASK, RT_SPECIALS } rt_special;

extern const char *const rt_special_keys[RT_SPECIALS]; /* in tokenizer_config.json */

/* What a model has by the thousand, in the form that a .retort file holds: see rt_packed_tokenizer. */
typedef struct rt_vocabulary {
    const void *pieces; /* in the order of their ids, each ended by '\n' */
    size_t size;
    const void *table; /* of the model */
    size_t table_size;
    const void *map; /* of the normalizer */
    size_t map_size;
    const void *block; /* holds both */
    size_t block_size;
} rt_vocabulary;

/* Pieces of a model that stay, when others go: see restrict.h. */
typedef struct rt_selection {
    const int32_t *ids; /* [count] ascending: the new ids are their indices */
    size_t count;
    const int32_t *to; /* [before] new ids, or -1 */
    size_t before;
} rt_selection;
/* The new id, or -1. */
static inline int32_t rt_selected(const rt_selection *selection, json_int_t id) {
    return id >= 0 && (size_t)id < selection->before ? selection->to[id] : -1;
}

typedef struct rt_token_model_row {
    const char *type;
    const char *special[RT_SPECIALS]; /* how they are spelled where no file says so */
    bool mask_lstrip;                 /* the mask token takes white space before it, where no file says so */
    const rt_decoder_row *decoder;    /* where the file does not mention one */
    /* Takes the vocabulary out of `part`, the model's object in a tokenizer.json. Leaves `table` empty where the
     * pieces are all. */
    retort_status (*take)(const char *name, json_t *part, rt_buffer *pieces, rt_buffer *table,
                          retort_error *err);
    /* Sets `data` also when it fails halfway, for close. */
    retort_status (*read)(const rt_component_reader *in, const json_t *part, const rt_vocabulary *vocabulary,
                          rt_token_model *out);
    bool pieces_in_table; /* so they are not stored otherwise */
    /* Optional. Marks what is needed in addition to the pieces that stay. False when out of memory. */
    bool (*complete)(const void *data, uint8_t *stays);
    /* What `take` gives, of the pieces that stay; and changes the ids in `part`. */
    retort_status (*select)(const void *data, const char *name, json_t *part, const rt_selection *selection,
                            rt_buffer *pieces, rt_buffer *table, retort_error *err);
    /* The text that a piece stands for, in `out` [RT_PIECE_MAX]; its length. Parts of characters may be missing. */
    size_t (*spell)(const void *data, size_t id, uint8_t *out);
    void (*close)(void *data); /* NULL: nothing to free */
    rt_tokenize_word_fn tokenize;
    /* Optional: both in one loop, for this pre-tokenizer. See split.h. */
    rt_split_fn split;
    const rt_pre_tokenizer_row *split_for;
    int32_t (*find)(const void *data, const char *piece, size_t length); /* id of a piece, or -1 */
    const char *(*piece)(const void *data, size_t id, size_t *length);   /* NUL-terminated; id < count */
    bool local;                                                          /* see segmenter.h */
} rt_token_model_row;
struct rt_token_model {
    const rt_token_model_row *row;
    void *data;
    size_t count; /* one more than the largest id */
    int32_t unknown;
};
static inline int32_t rt_token_model_find(const rt_token_model *model, const char *piece, size_t length) {
    return model->row->find(model->data, piece, length);
}
static inline const char *rt_token_model_piece(const rt_token_model *model, size_t id, size_t *length) {
    return model->row->piece(model->data, id, length);
}

/* ---- Post-processor: what is put around the tokens ---------------------------------------------------- */

typedef struct rt_post_processor_row {
    const char *type;
    /* Into the template of one text or of two. */
    retort_status (*read)(const rt_component_reader *in, const json_t *part, rt_template *out, int32_t texts);
    /* Changes the ids in `part`. NULL: it has none. False when out of memory. */
    bool (*renumber)(json_t *part, const rt_selection *selection);
} rt_post_processor_row;

/* ---- The rows, and reading by them -------------------------------------------------------------------- */

extern const rt_normalizer_row rt_bert_normalizer_row, rt_lowercase_row, rt_nfc_row, rt_nfd_row, rt_nfkc_row,
    rt_nfkd_row, rt_nmt_row, rt_precompiled_row, rt_prepend_row, rt_replace_row, rt_normalizer_sequence_row,
    rt_strip_row, rt_strip_accents_row;
extern const rt_pre_tokenizer_row rt_bert_pre_tokenizer_row, rt_byte_level_row, rt_digits_row,
    rt_metaspace_row, rt_pre_tokenizer_sequence_row, rt_punctuation_row, rt_split_row, rt_whitespace_row,
    rt_whitespace_split_row;
extern const rt_token_model_row rt_bpe_row, rt_unigram_row, rt_wordpiece_row;
extern const rt_post_processor_row rt_bert_processing_row, rt_byte_level_processing_row,
    rt_post_processor_sequence_row, rt_roberta_processing_row, rt_template_processing_row;
extern const rt_decoder_row rt_bpe_decoder_row, rt_byte_level_decoder_row, rt_metaspace_decoder_row,
    rt_wordpiece_decoder_row, rt_decoder_sequence_row, rt_replace_decoder_row, rt_byte_fallback_decoder_row,
    rt_fuse_decoder_row, rt_strip_decoder_row;

/* Through the rows, with any pre-tokenizer and model. */
bool rt_split_by_rows(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                      const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens, int32_t *number);
/* The fastest for these two: chosen once, when the tokenizer is read. */
rt_split_fn rt_split_of(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model);

/* The type of each row in turn, and which part of a tokenizer it is; NULL after the last. */
const char *rt_component_type(size_t index, const char **part);
/* `part` is the component's object in a tokenizer.json. A type without a row is refused by its name. */
retort_status rt_normalizer_take(const char *name, json_t *part, rt_buffer *map, retort_error *err);
retort_status rt_normalizer_read(const rt_component_reader *in, const json_t *part, rt_normalizer *out);
retort_status rt_pre_tokenizer_read(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out);
/* Into the template of one text or of two. */
retort_status rt_post_processor_read(const rt_component_reader *in, const json_t *part, rt_template *out,
                                     int32_t texts);
bool rt_post_processor_renumber(json_t *part, const rt_selection *selection);
retort_status rt_decoder_read(const rt_component_reader *in, const json_t *part, const rt_token_model *model,
                              rt_decoder *out);
/* The model's row alone: before the vocabulary is read. */
retort_status rt_token_model_row_of(const rt_token_model_row **row, const char *name, const json_t *part,
                                    retort_error *err);

/* {"piece": id, …}: the pieces in the order of their ids, which are all in use. *pieces is malloc'ed. */
retort_status rt_vocab_pieces(const char *name, json_t *vocab, const char ***pieces, size_t *count,
                              retort_error *err);

/* The model of a WordPiece vocabulary that comes without settings. NULL: out of memory. */
json_t *rt_wordpiece_part(const char *unknown);

#endif
