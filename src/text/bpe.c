/* SPDX-License-Identifier: Apache-2.0
 * BPE: the characters of a word, or its bytes as ByteLevel spells them, are merged by rank. */
#include "text/bpe_merge.h"
#include "text/byte_level.h"
#include "text/regex.h"
#include "text/split.h"
#include "text/state.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer words are hardly ever a piece. */
enum { WHOLE_MAX = 64, AFFIX_MAX = 64 };

typedef struct affix {
    const char *text;
    size_t length;
} affix;

typedef struct bpe {
    rt_bpe_table table;
    bool byte_level; /* symbols are bytes */
    rt_spelling spelling;
    int32_t single
        [256]; /* with byte_level ids of bytes, else of ASCII characters; -1: none, or one with an affix */
    /* What the bytes 256 a + b merge to, in the first round of each word; NULL where symbols are no bytes. */
    const rt_symbol_pair *pairs;
    int32_t fallback[256]; /* ids of <0x00> … <0xFF>, or -1 */
    affix prefix, suffix;  /* of symbols that do not begin a word, and of the last one */
    int32_t unknown;       /* -1: unknown characters vanish */
    bool fuse, byte_fallback, ignore_merges;
} bpe;

/* ---- A word ------------------------------------------------------------------------------------------- */

/* A word that is a piece, if merging would give it, too. */
static int32_t whole_word(const bpe *model, const uint8_t *bytes, size_t length) {
    uint8_t spelled[2 * RT_PIECE_MAX + 2];
    size_t count = 0;
    if (length > (model->ignore_merges ? RT_PIECE_MAX : WHOLE_MAX)) return -1;
    if (model->byte_level) {
        for (size_t i = 0; i < length; i++) {
            memcpy(spelled + count, model->spelling.text[bytes[i]], 2);
            count += model->spelling.length[bytes[i]];
        }
        bytes = spelled;
        length = count;
    }
    int32_t id = rt_bpe_find(&model->table, (const char *)bytes, length);
    return id >= 0 && (model->ignore_merges || model->table.whole[id]) ? id : -1;
}

/* The id of a symbol, with what it begins or ends with in this place, or -1. Leaves its text in `out`. */
static int32_t find_symbol(const bpe *model, const uint8_t *text, size_t length, bool first, bool last) {
    char out[2 * AFFIX_MAX + 4];
    size_t count = 0;
    if (!first) {
        memcpy(out, model->prefix.text, model->prefix.length);
        count = model->prefix.length;
    }
    memcpy(out + count, text, length);
    count += length;
    if (last) {
        memcpy(out + count, model->suffix.text, model->suffix.length);
        count += model->suffix.length;
    }
    return rt_bpe_find(&model->table, out, count);
}

/* Unknown characters that no symbol has been made of yet. */
typedef struct unknown_run {
    bool any;
    size_t length;
} unknown_run;

static void end_unknown(const bpe *model, rt_symbols *symbols, unknown_run *run) {
    if (run->any) rt_symbols_add(symbols, (uint32_t)model->unknown, run->length);
    *run = (unknown_run){0};
}

static bool add_bytes(const bpe *model, rt_symbols *symbols, const uint8_t *text, size_t length) {
    if (!model->byte_fallback) return false;
    for (size_t i = 0; i < length; i++) {
        if (model->fallback[text[i]] < 0) return false;
    }
    for (size_t i = 0; i < length; i++) rt_symbols_add(symbols, (uint32_t)model->fallback[text[i]], 1);
    return true;
}

/* As the library has it: bytes do not end a run of unknown characters, which comes out behind them. */
static void add_symbol(const bpe *model, rt_symbols *symbols, unknown_run *run, int32_t id,
                       const uint8_t *text, size_t length) {
    if (id >= 0) {
        end_unknown(model, symbols, run);
        rt_symbols_add(symbols, (uint32_t)id, length);
    } else if (!add_bytes(model, symbols, text, length) && model->unknown >= 0) {
        if (!model->fuse) end_unknown(model, symbols, run);
        run->any = true;
        run->length += length;
    }
}

/* The same where each byte is a piece, with what it and the next one merge to. */
static void add_paired(const bpe *model, rt_symbols *symbols, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        uint8_t next = i + 1 < length ? bytes[i + 1] : 0;
        rt_symbol_pair pair = model->pairs[(size_t)bytes[i] << 8 | next];
        symbols->list[i] = (rt_symbol){(uint32_t)model->single[bytes[i]], 1, pair.rank, pair.id};
    }
    symbols->count = length;
    symbols->paired = true;
}

static void add_word(const bpe *model, rt_symbols *symbols, const uint8_t *bytes, size_t length) {
    unknown_run run = {0};
    bool plain = model->prefix.length == 0 && model->suffix.length == 0;
    for (size_t at = 0, size; at < length; at += size) {
        uint32_t point;
        const uint8_t *text = bytes + at;
        bool spelled = model->byte_level;
        size = spelled || *text < 0x80 ? 1 : rt_utf8_take(text, bytes + length, &point);
        int32_t id = size == 1 ? model->single[*text] : -1;
        if (id < 0) {
            id = spelled ? find_symbol(model, model->spelling.text[*text], model->spelling.length[*text],
                                       at == 0, at + 1 == length)
                 : plain ? rt_bpe_find(&model->table, (const char *)text, size)
                         : find_symbol(model, text, size, at == 0, at + size == length);
        }
        add_symbol(model, symbols, &run, id, text, size);
    }
    end_unknown(model, symbols, &run);
}

/* A symbol is of whole characters of the original text, even if it has but some of their bytes. */
static bool push_symbols(const rt_symbols *symbols, const rt_point *points, int32_t number,
                         rt_tokens *tokens) {
    size_t at = points->at;
    uint32_t first = 0;
    for (size_t i = 0; i < symbols->count; i++) {
        size_t end = at + symbols->list[i].length;
        while (points[first + 1].at <= at) first++;
        uint32_t last = first;
        while (points[last + 1].at < end) last++;
        rt_token token = {.id = (int32_t)symbols->list[i].id, first, last + 1, number};
        if (!rt_tokens_push(tokens, token)) return false;
        at = end;
        first = last;
    }
    return true;
}

static bool merge_word(const bpe *model, const rt_point *points, const uint8_t *bytes, size_t length,
                       int32_t number, rt_tokens *tokens) {
    rt_symbols symbols;
    if (!rt_symbols_open(&symbols, tokens, length)) return false;
    if (model->pairs != NULL) {
        add_paired(model, &symbols, bytes, length);
    } else {
        add_word(model, &symbols, bytes, length);
    }
    rt_symbols_merge(&symbols, &model->table);
    return push_symbols(&symbols, points, number, tokens);
}

static inline bool tokenize(const void *data, const rt_normalized *text, rt_word word, int32_t number,
                            rt_tokens *tokens) {
    const bpe *model = data;
    const rt_point *points = text->points + word.from;
    const uint8_t *bytes = text->bytes + points->at;
    size_t length = text->points[word.to].at - points->at, first = tokens->count;
    int32_t id = whole_word(model, bytes, length);
    if (id >= 0) {
        rt_token token = {.id = id, points->source, text->points[word.to - 1].source + 1, number};
        return rt_tokens_push(tokens, token);
    }
    rt_segment *segment = rt_word_slot(tokens, bytes, length);
    if (segment != NULL && rt_segment_holds(segment, bytes, length))
        return rt_recall_word(segment, points, 0, number, tokens);
    if (!merge_word(model, points, bytes, length, number, tokens)) return false;
    if (segment != NULL) rt_remember_word(segment, bytes, length, tokens, first);
    rt_place_tokens(tokens, first, points, 0);
    return true;
}

static bool next_gpt2(const void *data, const rt_normalized *text, size_t *at, size_t to, rt_word *word) {
    (void)data;
    if (*at >= to) return false;
    *word = (rt_word){*at, rt_regex_gpt2(text->points, *at, to)};
    *at = word->to;
    return true;
}

/* With the pre-tokenizer of GPT-2 and RoBERTa. */
static bool split_byte_level(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                             const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens,
                             int32_t *number) {
    const rt_byte_level *part = pre_tokenizer->data;
    if (part->prefix || !part->regex)
        return rt_split_by_rows(pre_tokenizer, model, text, from, to, tokens, number);
    return rt_split_words(next_gpt2, pre_tokenizer, tokenize, model, text, from, to, tokens, number);
}

/* ---- A tokenizer.json --------------------------------------------------------------------------------- */

/* One of "a b" or ["a", "b"]: its two parts, the first in `copy`. */
static bool read_pair(const json_t *item, char copy[RT_PIECE_MAX + 1], const char **left,
                      const char **right) {
    const char *text = json_string_value(item), *space = text != NULL ? strchr(text, ' ') : NULL;
    *left = json_string_value(json_array_get(item, 0));
    *right = json_string_value(json_array_get(item, 1));
    if (json_is_array(item)) return json_array_size(item) == 2 && *left != NULL && *right != NULL;
    if (space == NULL || strchr(space + 1, ' ') != NULL || space - text > RT_PIECE_MAX) return false;
    memcpy(copy, text, (size_t)(space - text));
    copy[space - text] = '\0';
    *left = copy;
    *right = space + 1;
    return true;
}

static retort_status find_piece(const char *name, const json_t *vocab, size_t rank, const char *piece,
                                uint32_t *id, retort_error *err) {
    const json_t *found = json_object_get(vocab, piece);
    *id = (uint32_t)json_integer_value(found);
    if (found != NULL) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT,
                   "%s: merges: merge %zu needs or makes \"%.64s\", which the vocabulary has not", name, rank,
                   piece);
}

static retort_status read_merge(const char *name, const json_t *vocab, const json_t *item, size_t rank,
                                const char *prefix, rt_merge *out, retort_error *err) {
    char copy[RT_PIECE_MAX + 1], joined[2 * RT_PIECE_MAX + 1];
    const char *left, *right;
    size_t skip = strlen(prefix);
    if (!read_pair(item, copy, &left, &right)) {
        return rt_fail(err, RETORT_FORMAT, "%s: merges: merge %zu is neither \"a b\" nor [\"a\", \"b\"]",
                       name, rank);
    }
    if (strlen(left) > RT_PIECE_MAX || strlen(right) > RT_PIECE_MAX || strncmp(right, prefix, skip) != 0) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s: merges: \"%.64s\" of merge %zu is too long or has no \"%s\" in front", name,
                       right, rank, prefix);
    }
    snprintf(joined, sizeof joined, "%s%s", left, right + skip);
    *out = (rt_merge){.rank = (uint32_t)rank};
    retort_status status = find_piece(name, vocab, rank, left, &out->left, err);
    if (status == RETORT_OK) status = find_piece(name, vocab, rank, right, &out->right, err);
    return status == RETORT_OK ? find_piece(name, vocab, rank, joined, &out->id, err) : status;
}

/* null and "" are the same. */
static retort_status affix_text(const char *name, const json_t *part, const char *key, const char **out,
                                retort_error *err) {
    const json_t *value = json_object_get(part, key);
    *out = json_is_string(value) ? json_string_value(value) : "";
    bool ascii = true;
    for (const char *at = *out; *at != '\0'; at++) ascii = ascii && *at > 0;
    if ((value == NULL || json_is_null(value) || json_is_string(value)) && ascii && strlen(*out) <= AFFIX_MAX)
        return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: model: %s must be at most %d characters of ASCII", name, key,
                   AFFIX_MAX);
}

static bool is_whole(const rt_bpe_table *table, size_t id, rt_tokens *scratch, bool *fine) {
    rt_symbols symbols;
    size_t length;
    const char *piece = rt_bpe_piece(table, id, &length);
    const uint8_t *bytes = (const uint8_t *)piece;
    *fine = rt_symbols_open(&symbols, scratch, length);
    for (size_t at = 0, size; *fine && at < length; at += size) {
        uint32_t point;
        size = rt_utf8_take(bytes + at, bytes + length, &point);
        int32_t symbol = rt_bpe_find(table, piece + at, size);
        if (symbol < 0) return false;
        rt_symbols_add(&symbols, (uint32_t)symbol, size);
    }
    if (!*fine) return false;
    rt_symbols_merge(&symbols, table);
    return symbols.count == 1 && symbols.list[0].id == id;
}

/* Finds the pieces that merging makes of their own characters: a word that is one needs no merging. */
static retort_status mark_whole(const char *name, const rt_buffer *block, retort_error *err) {
    rt_bpe_table table;
    rt_tokens scratch = {0};
    bool fine = true;
    retort_status status = rt_bpe_table_open(&table, name, block->data, block->length, err);
    for (size_t id = 0; status == RETORT_OK && fine && id < table.header.count; id++) {
        ((uint8_t *)block->data)[table.whole - (const uint8_t *)block->data + (ptrdiff_t)id] =
            is_whole(&table, id, &scratch, &fine);
    }
    rt_tokens_free(&scratch);
    return fine ? status : rt_fail_nomem(err, table.header.count);
}

static retort_status take(const char *name, json_t *part, rt_buffer *unused, rt_buffer *table,
                          retort_error *err) {
    const json_t *list = json_object_get(part, "merges"), *vocab = json_object_get(part, "vocab");
    const char **pieces, *prefix, *suffix;
    size_t count, merges = json_array_size(list);
    (void)unused;
    retort_status status = affix_text(name, part, "continuing_subword_prefix", &prefix, err);
    if (status == RETORT_OK) status = affix_text(name, part, "end_of_word_suffix", &suffix, err);
    if (status == RETORT_OK && !json_is_array(list))
        status = rt_fail(err, RETORT_FORMAT, "%s: model: no merges", name);
    if (status == RETORT_OK)
        status = rt_vocab_pieces(name, json_object_get(part, "vocab"), &pieces, &count, err);
    if (status != RETORT_OK) return status;
    rt_merge *pairs = rt_calloc(merges, sizeof *pairs);
    if (pairs == NULL) status = rt_fail_nomem(err, merges * sizeof *pairs);
    for (size_t i = 0; i < merges && status == RETORT_OK; i++)
        status = read_merge(name, vocab, json_array_get(list, i), i, prefix, &pairs[i], err);
    if (status == RETORT_OK) status = rt_bpe_table_build(table, name, pieces, count, pairs, merges, err);
    if (status == RETORT_OK && *prefix == '\0' && *suffix == '\0') status = mark_whole(name, table, err);
    free(pairs);
    free(pieces);
    if (status == RETORT_OK) {
        json_object_del(part, "merges");
        json_object_del(part, "vocab");
    }
    return status;
}

/* ---- Fewer pieces ------------------------------------------------------------------------------------- */

static void mark(uint8_t *stays, const int32_t ids[256]) {
    for (size_t byte = 0; byte < 256; byte++) {
        if (ids[byte] >= 0) stays[ids[byte]] = true;
    }
}

/* The unknown token, bytes or ASCII, and what others are merged from. */
static bool complete(const void *data, uint8_t *stays) {
    const bpe *model = data;
    if (model->unknown >= 0) stays[model->unknown] = true;
    mark(stays, model->single);
    if (model->byte_fallback) mark(stays, model->fallback);
    return rt_bpe_complete(&model->table, stays);
}

static retort_status select_pieces(const void *data, const char *name, json_t *part,
                                   const rt_selection *selection, rt_buffer *pieces, rt_buffer *table,
                                   retort_error *err) {
    const bpe *model = data;
    bool plain = model->prefix.length == 0 && model->suffix.length == 0;
    (void)part;
    (void)pieces;
    retort_status status = rt_bpe_select(table, name, &model->table, selection, err);
    return status == RETORT_OK && plain ? mark_whole(name, table, err) : status;
}

/* Bytes are those that characters of the piece spell; without that, the piece without what it begins or ends with. */
static size_t spell(const void *data, size_t id, uint8_t *out) {
    const bpe *model = data;
    size_t length, count = 0;
    const char *piece = rt_bpe_piece(&model->table, id, &length);
    const uint8_t *bytes = (const uint8_t *)piece;
    const affix *prefix = &model->prefix, *suffix = &model->suffix;
    for (size_t at = 0, size; model->byte_level && at < length; at += size) {
        uint32_t point;
        size = rt_utf8_take(bytes + at, bytes + length, &point);
        int byte = rt_byte_of_spelling(point);
        if (byte < 0) break; /* a special token */
        out[count++] = (uint8_t)byte;
    }
    if (count > 0) return count;
    if (length > prefix->length && memcmp(piece, prefix->text, prefix->length) == 0) {
        piece += prefix->length;
        length -= prefix->length;
    }
    if (length > suffix->length && memcmp(piece + length - suffix->length, suffix->text, suffix->length) == 0)
        length -= suffix->length;
    memcpy(out, piece, length);
    return length;
}

/* ---- Reading ------------------------------------------------------------------------------------------ */

static retort_status read_affix(const rt_component_reader *in, const json_t *part, const char *key,
                                affix *out) {
    const char *text;
    retort_status status = affix_text(in->name, part, key, &text, in->err);
    if (status != RETORT_OK) return status;
    *out = (affix){rt_arena_text(in->arena, text, strlen(text)), strlen(text)};
    return out->text != NULL ? RETORT_OK : rt_fail_nomem(in->err, out->length);
}

static retort_status read_unknown(const rt_component_reader *in, const json_t *part, bpe *model) {
    const json_t *value = json_object_get(part, "unk_token");
    const char *text = json_string_value(value);
    model->unknown = text != NULL ? rt_bpe_find(&model->table, text, strlen(text)) : -1;
    if (value == NULL || json_is_null(value) || model->unknown >= 0) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT, "%s: the vocabulary has no unknown token \"%.64s\"", in->name,
                   text != NULL ? text : "");
}

static retort_status read_settings(const rt_component_reader *in, const json_t *part, bpe *model) {
    const json_t *dropout = json_object_get(part, "dropout");
    if (dropout != NULL && !json_is_null(dropout) &&
        !(json_is_number(dropout) && json_number_value(dropout) == 0)) {
        return rt_fail(in->err, RETORT_UNSUPPORTED,
                       "%s: model: dropout is not supported: it tokenizes a text differently each time",
                       in->name);
    }
    retort_status status = read_affix(in, part, "continuing_subword_prefix", &model->prefix);
    if (status == RETORT_OK) status = read_affix(in, part, "end_of_word_suffix", &model->suffix);
    if (status == RETORT_OK) status = read_unknown(in, part, model);
    if (status == RETORT_OK) status = rt_component_flag(in, part, "fuse_unk", false, &model->fuse);
    if (status == RETORT_OK)
        status = rt_component_flag(in, part, "byte_fallback", false, &model->byte_fallback);
    if (status == RETORT_OK)
        status = rt_component_flag(in, part, "ignore_merges", false, &model->ignore_merges);
    bool other = model->byte_level || model->prefix.length > 0 || model->suffix.length > 0;
    if (status != RETORT_OK || !model->byte_fallback || !other) return status;
    return rt_fail(in->err, RETORT_UNSUPPORTED,
                   "%s: model: byte_fallback is supported neither with ByteLevel nor with a prefix or suffix",
                   in->name);
}

static void find_single(bpe *model) {
    bool plain = model->prefix.length == 0 && model->suffix.length == 0;
    for (int byte = 0; byte < 256; byte++) {
        char hex[8];
        const uint8_t *text = model->spelling.text[byte], ascii = (uint8_t)byte;
        snprintf(hex, sizeof hex, "<0x%02X>", (unsigned)byte);
        model->fallback[byte] = rt_bpe_find(&model->table, hex, 6);
        model->single[byte] = -1;
        if (plain && model->byte_level)
            model->single[byte] =
                rt_bpe_find(&model->table, (const char *)text, model->spelling.length[byte]);
        if (plain && !model->byte_level && byte < 0x80)
            model->single[byte] = rt_bpe_find(&model->table, (const char *)&ascii, 1);
    }
}

/* Half of the merges that a word looks for are of two bytes. They are few: a table of them all stays in the first cache. */
static retort_status find_pairs(const rt_component_reader *in, bpe *model) {
    size_t count = model->table.header.count;
    for (size_t byte = 0; byte < 256; byte++) {
        if (!model->byte_level || model->single[byte] < 0) return RETORT_OK;
    }
    int16_t *byte_of = rt_calloc(count, sizeof *byte_of);
    rt_symbol_pair *pairs = rt_arena_calloc(in->arena, 1 << 16, sizeof *pairs);
    if (byte_of == NULL || pairs == NULL) {
        free(byte_of);
        return rt_fail_nomem(in->err, count);
    }
    for (size_t i = 0; i < count; i++) byte_of[i] = -1;
    for (int16_t byte = 0; byte < 256; byte++) byte_of[model->single[byte]] = byte;
    for (size_t i = 0; i < 1 << 16; i++) pairs[i].rank = RT_NO_RANK;
    for (size_t i = 0; i <= model->table.header.merge_mask; i++) {
        const rt_merge *merge = &model->table.merges[i];
        if (merge->rank == RT_NO_RANK || byte_of[merge->left] < 0 || byte_of[merge->right] < 0) continue;
        pairs[byte_of[merge->left] * 256 + byte_of[merge->right]] = (rt_symbol_pair){merge->rank, merge->id};
    }
    free(byte_of);
    model->pairs = pairs;
    return RETORT_OK;
}

/* Without an unknown token the library drops a byte that is no piece, and merges its neighbours. */
static retort_status check_bytes(const rt_component_reader *in, const bpe *model) {
    if (!model->byte_level || model->unknown >= 0) return RETORT_OK;
    for (int byte = 0; byte < 256; byte++) {
        const char *text = (const char *)model->spelling.text[byte];
        if (rt_bpe_find(&model->table, text, model->spelling.length[byte]) >= 0) continue;
        return rt_fail(in->err, RETORT_UNSUPPORTED,
                       "%s: the vocabulary has no piece \"%.*s\" for byte 0x%02X, and no unknown token",
                       in->name, model->spelling.length[byte], text, (unsigned)byte);
    }
    return RETORT_OK;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part,
                               const rt_vocabulary *vocabulary, rt_token_model *out) {
    bpe *model = rt_arena_calloc(in->arena, 1, sizeof *model);
    if (model == NULL) return rt_fail_nomem(in->err, sizeof *model);
    out->data = model;
    const void *block = vocabulary->table;
    if ((uintptr_t)block % RT_BPE_ALIGNMENT != 0) { /* other programs align tensors otherwise */
        void *copy = rt_arena_calloc(in->arena, vocabulary->table_size, 1);
        if (copy == NULL) return rt_fail_nomem(in->err, vocabulary->table_size);
        block = memcpy(copy, vocabulary->table, vocabulary->table_size);
    }
    model->byte_level = in->tokenizer->pre_tokenizer.bytes;
    rt_spelling_make(&model->spelling);
    retort_status status = rt_bpe_table_open(&model->table, in->name, block, vocabulary->table_size, in->err);
    if (status == RETORT_OK) status = read_settings(in, part, model);
    if (status != RETORT_OK) return status;
    find_single(model);
    status = find_pairs(in, model);
    if (status != RETORT_OK) return status;
    out->count = model->table.header.count;
    out->unknown = model->unknown;
    return check_bytes(in, model);
}

static int32_t find(const void *data, const char *piece, size_t length) {
    const bpe *model = data;
    return rt_bpe_find(&model->table, piece, length);
}

static const char *piece_of(const void *data, size_t id, size_t *length) {
    const bpe *model = data;
    return rt_bpe_piece(&model->table, id, length);
}

const rt_token_model_row rt_bpe_row = {
    .type = "BPE",
    .special = {"<unk>", "</s>", "<pad>", "<s>", "<mask>"},
    .mask_lstrip = true,
    .decoder = &rt_byte_level_decoder_row,
    .take = take,
    .read = read_part,
    .pieces_in_table = true,
    .complete = complete,
    .select = select_pieces,
    .spell = spell,
    .tokenize = tokenize,
    .split = split_byte_level,
    .split_for = &rt_byte_level_row,
    .find = find,
    .piece = piece_of,
};
