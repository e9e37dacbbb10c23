/* SPDX-License-Identifier: Apache-2.0
 * Unigram (Kudo, 2018): of all ways to make a word of pieces the one with the largest sum of scores, found by Viterbi's
 * algorithm from left to right. A character that is no piece is unknown, at a score below that of every piece. Sums are
 * those of Hugging Face, in double and in the same order: many ways tie but for the rounding.
 *
 * A word that is a piece is its token where the table says that no other way is better: of English words two in three,
 * of those of twelve languages half. */
#include "text/unigram.h"

#include "text/metaspace.h"
#include "text/state.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

/* The best way to a byte of the word that begins a character, or ends the word. */
typedef struct lattice_node {
    double best;
    int32_t id;    /* of the last piece on it */
    uint32_t from; /* the byte that this begins with */
} lattice_node;

/* A piece that is being read: how far, and the best way to where it began. */
typedef struct piece_walk {
    double best;
    uint32_t base, from;
} piece_walk;

/* All pieces that may still go on, in the order of where they began, read at the same time, byte by byte: so no branch
 * depends on a unit that misses the cache. */
typedef struct walk_set {
    piece_walk walks[RT_PIECE_MAX + 1];
    size_t count;
} walk_set;

static inline uint32_t count_characters(const uint8_t *bytes, size_t length) {
    uint32_t count = 0;
    for (size_t i = 0; i < length; i++) count += (bytes[i] & 0xC0) != 0x80;
    return count;
}

/* Bytes of the character that begins with this one. */
static inline size_t character_size(uint8_t lead) {
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Where a walk gets to by a byte. `used` is false where no piece goes on. */
typedef struct trie_unit {
    uint32_t base, id;
    bool used;
} trie_unit;

static inline trie_unit step_of(const rt_piece_trie *trie, uint32_t base, uint8_t byte) {
    uint32_t at = base ^ byte;
    uint64_t unit = trie->units[at < trie->count ? at : 0];
    bool used = ((uint32_t)unit & 0x1FF) == (RT_TRIE_USED | (uint32_t)byte);
    return (trie_unit){(uint32_t)unit >> RT_TRIE_BASE_SHIFT, (uint32_t)(unit >> 32), used};
}

/* ---- The best way ------------------------------------------------------------------------------------- */

/* A byte within a character. */
static inline void step_all(const rt_unigram *model, walk_set *set, uint8_t byte) {
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        piece_walk walk = set->walks[i];
        trie_unit unit = step_of(&model->trie, walk.base, byte);
        walk.base = unit.base;
        set->walks[kept] = walk;
        kept += unit.used && unit.base != 0;
    }
    set->count = kept;
}

/* The last byte of the character that begins at `last`: the best of the pieces that end with it. If it is none itself, it is unknown. Of
 * equal ways the one whose last piece began first stays. */
static inline lattice_node end_all(const rt_unigram *model, walk_set *set, uint8_t byte, uint32_t last,
                                   double before) {
    lattice_node node = {.best = -INFINITY};
    bool known = false;
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        piece_walk walk = set->walks[i];
        trie_unit unit = step_of(&model->trie, walk.base, byte);
        size_t id = unit.id & RT_TRIE_ID;
        id = unit.used && id < model->count ? id : model->count; /* whose score is -infinity */
        double score = model->scores[id] + walk.best;
        bool better = score > node.best;
        node.best = better ? score : node.best;
        node.id = better ? (int32_t)id : node.id;
        node.from = better ? walk.from : node.from;
        known |= walk.from == last && id < model->count;
        walk.base = unit.base;
        set->walks[kept] = walk;
        kept += unit.used && unit.base != 0;
    }
    set->count = kept;
    double score = model->unknown_score + before;
    if (!known && score > node.best) node = (lattice_node){.best = score, .id = model->unknown, .from = last};
    return node;
}

/* No piece is longer than RT_PIECE_MAX, but a table that somebody has changed may go on. */
static inline void begin_walk(const rt_unigram *model, walk_set *set, uint32_t from, double best) {
    if (set->count > RT_PIECE_MAX) memmove(set->walks, set->walks + 1, --set->count * sizeof *set->walks);
    set->walks[set->count++] = (piece_walk){.best = best, .base = model->trie.root, .from = from};
}

/* Viterbi's algorithm over a word. */
static void find_best(const rt_unigram *model, const uint8_t *bytes, size_t length, lattice_node *nodes) {
    walk_set set;
    set.count = 0;
    nodes[0].best = 0;
    for (size_t from = 0, next; from < length; from = next) {
        size_t at = from;
        next = rt_min(from + character_size(bytes[from]), length);
        begin_walk(model, &set, (uint32_t)from, nodes[from].best);
        for (; at + 1 < next; at++) step_all(model, &set, bytes[at]);
        nodes[next] = end_all(model, &set, bytes[at], (uint32_t)from, nodes[from].best);
    }
}

/* From the end back: then `from` of a node on the best way is where the next one is. */
static void reverse_best(lattice_node *nodes, size_t length) {
    uint32_t at = (uint32_t)length, next = 0;
    while (at > 0) {
        uint32_t from = nodes[at].from;
        nodes[at].from = next;
        next = at;
        at = from;
    }
    nodes[0].from = next;
}

/* ---- Tokens ------------------------------------------------------------------------------------------- */

/* A run of unknown characters: the piece that all of them are, their bytes, or one unknown token. */
static bool push_unknown(const rt_unigram *model, const uint8_t *bytes, size_t length, rt_token token,
                         rt_tokens *tokens) {
    int32_t id = rt_trie_find(&model->trie, bytes, length);
    bool is_piece = id >= 0 && (size_t)id < model->count;
    if (is_piece || !model->has_bytes) {
        token.id = is_piece ? id : model->unknown;
        return rt_tokens_push(tokens, token);
    }
    for (size_t i = 0; i < length; i++) {
        token.id = model->bytes[bytes[i]];
        if (!rt_tokens_push(tokens, token)) return false;
    }
    return true;
}

static bool push_best(const rt_unigram *model, const uint8_t *word, size_t length, const lattice_node *nodes,
                      int32_t number, rt_tokens *tokens) {
    rt_token token = {.word = number};
    for (uint32_t at = 0, end; at < length; at = end) {
        const uint8_t *bytes = word + at;
        end = nodes[at].from;
        token.id = nodes[end].id;
        while (token.id == model->unknown && end < length && nodes[nodes[end].from].id == model->unknown)
            end = nodes[end].from;
        token.start = token.end;
        token.end += count_characters(bytes, end - at);
        bool pushed = token.id == model->unknown ? push_unknown(model, bytes, end - at, token, tokens)
                                                 : rt_tokens_push(tokens, token);
        if (!pushed) return false;
    }
    return true;
}

/* A word of the normalized text: its points, before which a mark was put where `added` is 1, and its bytes with that. */
typedef struct unigram_word {
    const rt_point *points;
    const uint8_t *bytes;
    size_t length, added;
    bool looked_up; /* and not found: it is no piece that is marked as whole */
} unigram_word;

/* Memory for the lattice of a word and, behind it, for as many bytes. */
static bool reserve(void **work, size_t *capacity, size_t length) {
    size_t need = (length + 1) * sizeof(lattice_node) + length;
    return need <= *capacity || rt_grow(work, capacity, need, 1);
}

static uint8_t *bytes_behind(void *work, size_t length) {
    return (uint8_t *)work + (length + 1) * sizeof(lattice_node);
}

/* The piece that the bytes behind `base` are, where it is marked as whole; else -1. */
static inline int32_t find_whole(const rt_unigram *model, uint32_t base, const uint8_t *bytes,
                                 size_t length) {
    uint32_t id = RT_TRIE_ID;
    for (size_t at = 0; at < length; at++) {
        trie_unit unit = step_of(&model->trie, base, bytes[at]);
        if (!unit.used) return -1;
        base = unit.base;
        id = unit.id;
    }
    bool whole = (id & RT_TRIE_WHOLE) && (id & RT_TRIE_ID) < model->count;
    return whole ? (int32_t)(id & RT_TRIE_ID) : -1;
}

static bool push_parts(const rt_unigram *model, const unigram_word *word, int32_t number, rt_tokens *tokens) {
    lattice_node *nodes = tokens->work;
    find_best(model, word->bytes, word->length, nodes);
    reverse_best(nodes, word->length);
    return push_best(model, word->bytes, word->length, nodes, number, tokens);
}

/* Where memory is reserved. */
static bool tokenize(const rt_unigram *model, const unigram_word *word, int32_t number, rt_tokens *tokens) {
    size_t first = tokens->count;
    if (word->length == 0) return true;
    rt_segment *segment = rt_word_slot(tokens, word->bytes, word->length);
    if (segment != NULL && rt_segment_holds(segment, word->bytes, word->length))
        return rt_recall_word(segment, word->points, word->added, number, tokens);
    int32_t id = word->looked_up ? -1 : find_whole(model, model->trie.root, word->bytes, word->length);
    uint32_t end = id >= 0 ? count_characters(word->bytes, word->length) : 0;
    bool pushed = id >= 0 ? rt_tokens_push(tokens, (rt_token){.id = id, .end = end, .word = number})
                          : push_parts(model, word, number, tokens);
    if (!pushed) return false;
    if (segment != NULL) rt_remember_word(segment, word->bytes, word->length, tokens, first);
    rt_place_tokens(tokens, first, word->points, word->added);
    return true;
}

bool rt_unigram_tokenize(const void *data, const rt_normalized *text, rt_word word, int32_t number,
                         rt_tokens *tokens) {
    const rt_point *points = text->points + word.from;
    const unigram_word whole = {points, text->bytes + points->at, text->points[word.to].at - points->at, 0,
                                false};
    return reserve(&tokens->work, &tokens->work_capacity, whole.length) &&
           tokenize(data, &whole, number, tokens);
}

bool rt_unigram_is_whole(const rt_unigram *model, int32_t id, const uint8_t *bytes, size_t length,
                         void **work, size_t *capacity, bool *whole) {
    if (!reserve(work, capacity, length)) return false;
    const lattice_node *nodes = *work;
    *whole = length > 0 && id != model->unknown;
    if (!*whole) return true;
    find_best(model, bytes, length, *work);
    *whole = nodes[length].from == 0 && nodes[length].id == id;
    return true;
}

/* ---- The words of Metaspace --------------------------------------------------------------------------- */

/* The end of the word that begins at `from`: at the next space or mark. */
static size_t word_end(const rt_point *points, size_t from, size_t to, uint32_t mark) {
    size_t end = from + 1;
    while (end < to && points[end].point != ' ' && points[end].point != mark) end++;
    return end;
}

/* What the words of a text are cut by: the mark, and where the trie gets to by it. */
typedef struct word_mark {
    uint8_t bytes[4];
    size_t length;
    uint32_t base;
} word_mark;

static word_mark read_mark(const rt_unigram *model, uint32_t point) {
    word_mark mark = {.base = model->trie.root};
    mark.length = rt_utf8_put(mark.bytes, point);
    for (size_t i = 0; i < mark.length; i++) {
        trie_unit unit = step_of(&model->trie, mark.base, mark.bytes[i]);
        mark.base = unit.used ? unit.base : 0;
    }
    return mark;
}

/* The word of points [from, end), before which a mark is put where `added` is 1. */
static bool tokenize_marked(const rt_unigram *model, const word_mark *mark, const rt_normalized *text,
                            size_t from, size_t end, size_t added, int32_t number, rt_tokens *tokens) {
    const rt_point *points = text->points + from;
    size_t skipped = points->point == ' ', marked = skipped || added ? mark->length : 0;
    const uint8_t *bytes = text->bytes + points->at + skipped;
    size_t rest = text->points[end].at - points->at - skipped, length = rest + marked;
    bool look_up = marked > 0 && rest > 0 && tokens->words == NULL;
    if (look_up) {
        int32_t id = find_whole(model, mark->base, bytes, rest);
        if (id >= 0) {
            rt_token token = {.id = id, points->source, text->points[end - 1].source + 1, number};
            return rt_tokens_push(tokens, token);
        }
    }
    if (!reserve(&tokens->work, &tokens->work_capacity, length)) return false;
    uint8_t *copy = bytes_behind(tokens->work, length);
    memcpy(copy, mark->bytes, marked);
    memcpy(copy + marked, bytes, rest);
    const unigram_word word = {points, copy, length, added, look_up};
    return tokenize(model, &word, number, tokens);
}

bool rt_unigram_split(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                      const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens, int32_t *number) {
    const rt_metaspace *metaspace = pre_tokenizer->data;
    if (!metaspace->split || from == to)
        return rt_split_by_rows(pre_tokenizer, model, text, from, to, tokens, number);
    const word_mark mark = read_mark(model->data, metaspace->mark);
    bool added = rt_metaspace_prepends(metaspace, &text->points[from]);
    for (size_t end; from < to; from = end, added = false) {
        end = word_end(text->points, from, to, metaspace->mark);
        if (!tokenize_marked(model->data, &mark, text, from, end, added, (*number)++, tokens)) return false;
    }
    return true;
}
