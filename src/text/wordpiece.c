/* SPDX-License-Identifier: Apache-2.0
 * WordPiece: the longest piece that a word begins with, then the longest that goes on from there. */
#include "text/wordpiece_vocab.h"

#include "text/bert_pre_tokenizer.h"
#include "text/split.h"

#include <stdlib.h>
#include <string.h>

/* Characters of a word: HF's max_input_chars_per_word is 100 in every BERT. */
enum { WORD_MAX = 1024 };

typedef struct wordpiece {
    rt_wordpiece_vocab vocab;
    size_t word_max; /* a longer word is unknown; <= WORD_MAX */
    int32_t unknown;
} wordpiece;

/* The longest piece that is a beginning of `points` [0, count), as a number of characters; 0 when there is
 * none. One pass gives what the hashes of all beginnings share; they are looked up from the longest down. */
static size_t longest_piece(const rt_wordpiece_vocab *vocab, const uint8_t *bytes, const rt_point *points,
                            size_t count, bool within, int32_t *id) {
    rt_hash_state states[RT_PIECE_MAX / 8 + 1], state = vocab->begin[within]; /* after each 8 bytes */
    uint32_t begin = points[0].at;
    bytes += begin;
    uint32_t lengths = rt_wordpiece_lengths(vocab, bytes, points[count].at - begin, within);
    size_t tried = 0, longest = rt_wordpiece_longest(lengths);
    while (tried < count && points[tried + 1].at - begin <= longest) tried++;
    size_t done = 0;
    for (; done + 8 <= points[tried].at - begin; done += 8) {
        states[done / 8] = state;
        rt_hash_block(&state, bytes + done);
    }
    for (; tried > 0; tried--) {
        size_t length = points[tried].at - begin;
        for (; length < done; done -= 8) state = states[done / 8 - 1];
        if (!(lengths & rt_wordpiece_length_bit(length))) continue;
        uint64_t hash = rt_hash_end_wide(state, bytes + done, length);
        *id = rt_wordpiece_find(vocab, bytes, length, within, hash);
        if (*id >= 0) return tried;
    }
    return 0;
}

/* Greedy longest match; a word that cannot be made of pieces is one unknown token. */
static inline bool tokenize(const void *data, const rt_normalized *text, rt_word word, int32_t number,
                            rt_tokens *tokens) {
    const wordpiece *model = data;
    const rt_point *points = text->points;
    size_t saved = tokens->count, at = word.from;
    while (at < word.to && word.to - word.from <= model->word_max) {
        int32_t id;
        size_t length =
            longest_piece(&model->vocab, text->bytes, points + at, word.to - at, at > word.from, &id);
        if (length == 0) break;
        rt_token token = {.id = id, points[at].source, points[at + length - 1].source + 1, number};
        if (!rt_tokens_push(tokens, token)) return false;
        at += length;
    }
    if (at == word.to) return true;
    tokens->count = saved;
    rt_token unknown = {
        .id = model->unknown, points[word.from].source, points[word.to - 1].source + 1, number};
    return rt_tokens_push(tokens, unknown);
}

/* With the pre-tokenizer that every BERT has. */
static bool split_bert(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                       const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens,
                       int32_t *number) {
    return rt_split_words(rt_bert_next_word, pre_tokenizer, tokenize, model, text, from, to, tokens, number);
}

static int32_t find(const void *data, const char *piece, size_t length) {
    const wordpiece *model = data;
    return rt_wordpiece_id(&model->vocab, piece, length);
}

static const char *piece_of(const void *data, size_t id, size_t *length) {
    const wordpiece *model = data;
    *length = rt_wordpiece_length(&model->vocab, id);
    return rt_wordpiece_piece(&model->vocab, id);
}

static void close_model(void *data) {
    wordpiece *model = data;
    if (model != NULL) rt_wordpiece_close(&model->vocab);
}

json_t *rt_wordpiece_part(const char *unknown) {
    return json_pack("{s:s,s:s,s:s,s:i}", "type", "WordPiece", "unk_token", unknown,
                     "continuing_subword_prefix", "##", "max_input_chars_per_word", 100);
}

static retort_status take(const char *name, json_t *part, rt_buffer *out, rt_buffer *table,
                          retort_error *err) {
    const char **pieces;
    size_t count;
    (void)table;
    retort_status status = rt_vocab_pieces(name, json_object_get(part, "vocab"), &pieces, &count, err);
    for (size_t i = 0; status == RETORT_OK && i < count; i++) {
        rt_buffer_text(out, pieces[i]);
        rt_buffer_append(out, "\n", 1);
        if (strchr(pieces[i], '\n') != NULL)
            status = rt_fail(err, RETORT_UNSUPPORTED, "%s: vocab: piece %zu contains a line feed", name, i);
        if (out->failed) status = rt_fail_nomem(err, out->length);
    }
    free(pieces);
    if (status == RETORT_OK) json_object_del(part, "vocab");
    return status;
}

static retort_status select_pieces(const void *data, const char *name, json_t *part,
                                   const rt_selection *selection, rt_buffer *pieces, rt_buffer *table,
                                   retort_error *err) {
    (void)name;
    (void)part;
    (void)table;
    for (size_t i = 0; i < selection->count; i++) {
        size_t length;
        const char *piece = piece_of(data, (size_t)selection->ids[i], &length);
        rt_buffer_append(pieces, piece, length);
        rt_buffer_append(pieces, "\n", 1);
    }
    return pieces->failed ? rt_fail_nomem(err, pieces->length) : RETORT_OK;
}

static bool complete(const void *data, uint8_t *stays) {
    const wordpiece *model = data;
    stays[model->unknown] = true;
    return true;
}

static size_t spell(const void *data, size_t id, uint8_t *out) {
    const wordpiece *model = data;
    size_t length, skip = model->vocab.prefix_length;
    const char *piece = piece_of(data, id, &length);
    if (length <= skip || memcmp(piece, model->vocab.prefix, skip) != 0) skip = 0;
    memcpy(out, piece + skip, length - skip);
    return length - skip;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part,
                               const rt_vocabulary *vocabulary, rt_token_model *out) {
    const char *unknown = json_string_value(json_object_get(part, "unk_token"));
    const char *prefix = json_string_value(json_object_get(part, "continuing_subword_prefix"));
    json_int_t word_max = json_integer_value(json_object_get(part, "max_input_chars_per_word"));
    if (unknown == NULL || prefix == NULL || word_max < 1 || word_max > WORD_MAX) {
        return rt_fail(
            in->err, RETORT_FORMAT,
            "%s: model: unk_token and continuing_subword_prefix must be strings, max_input_chars_per_word "
            "1 to %d",
            in->name, WORD_MAX);
    }
    char *kept = rt_arena_text(in->arena, prefix, strlen(prefix));
    wordpiece *model = rt_arena_calloc(in->arena, 1, sizeof *model);
    if (kept == NULL || model == NULL) return rt_fail_nomem(in->err, sizeof *model + strlen(prefix));
    out->data = model;
    retort_status status =
        rt_wordpiece_open(&model->vocab, in->name, vocabulary->pieces, vocabulary->size, kept, in->err);
    if (status != RETORT_OK) return status;
    model->word_max = (size_t)word_max;
    model->unknown = rt_wordpiece_id(&model->vocab, unknown, strlen(unknown));
    out->count = model->vocab.count;
    out->unknown = model->unknown;
    if (out->unknown >= 0) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT, "%s: the vocabulary has no unknown token \"%s\"", in->name,
                   unknown);
}

const rt_token_model_row rt_wordpiece_row = {
    .type = "WordPiece",
    .special = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
    .decoder = &rt_wordpiece_decoder_row,
    .take = take,
    .read = read_part,
    .complete = complete,
    .select = select_pieces,
    .spell = spell,
    .close = close_model,
    .tokenize = tokenize,
    .split = split_bert,
    .split_for = &rt_bert_pre_tokenizer_row,
    .find = find,
    .piece = piece_of,
    .local = true,
};
