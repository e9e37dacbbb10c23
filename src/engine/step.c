/* SPDX-License-Identifier: Apache-2.0
 * Runs steps on a chunk: finds the operands, takes a share of the work, calls the kernel. */
#include "engine/step.h"

#include <math.h>
#include <string.h>

size_t rt_chunk_rows(const rt_chunk *chunk, rt_row_set kind) {
    const size_t rows[] = {[RT_ROW_SET_TOKENS] = chunk->rows,
                           [RT_ROW_SET_SEQUENCES] = chunk->batch,
                           [RT_ROW_SET_MASK_TOKENS] = chunk->mask_tokens};
    return rows[kind];
}

void *rt_place_at(const rt_place *place, const rt_worker *worker) {
    if (place->value < 0) return NULL;
    /* Constants are never written: the cast lets one function serve both kinds of place. */
    return place->data != NULL ? (void *)(uintptr_t)place->data : worker->arena + place->offset;
}

bool rt_value_row_set(const rt_value *value, rt_row_set *kind) {
    int64_t first = value->dims[0];
    bool padded = value->rank >= 2 && first == RT_DIM_BATCH && value->dims[1] == RT_DIM_SEQ;
    if (value->rank < 1 || first >= 0 || first == RT_DIM_SEQ) return false;
    *kind = padded || first == RT_DIM_TOKENS ? RT_ROW_SET_TOKENS
            : first == RT_DIM_BATCH          ? RT_ROW_SET_SEQUENCES
                                             : RT_ROW_SET_MASK_TOKENS;
    return true;
}

/* ---- Linear ---- */

/* The workers of a team split columns in units of two panels, the width of the widest tile. Each worker
 * reads only the weights of its columns: one stream from memory instead of one per worker. */
enum { COLUMN_UNIT = 2 * RT_PANEL };
/* Of floats, with many rows; rows are shared in whole tiles. */
enum { WIDE_UNIT = 4 * RT_PANEL, ROWS = 24, TILE_ROWS = 6 };

rt_units rt_units_between(size_t m, size_t n, size_t from, size_t to, size_t parts) {
    size_t blocks = rt_max(m / ROWS, 1), columns = blocks == 1 ? COLUMN_UNIT : WIDE_UNIT;
    size_t count = m == 0 ? 0 : (n + columns - 1) / columns * blocks;
    rt_units units = {.m = m, .n = n, .columns = columns, .blocks = blocks};
    if (from < to) units.between = (rt_range){count * from / parts, count * to / parts};
    return units;
}

bool rt_units_next(rt_units *units, rt_rectangle *rectangle) {
    size_t blocks = units->blocks, left = units->between.to - units->between.from;
    size_t column = units->between.from / blocks, block = units->between.from % blocks;
    bool whole = block == 0 && left >= blocks;
    size_t wide = whole ? left / blocks : 1, high = whole ? blocks : rt_min(left, blocks - block);
    if (left == 0) return false;
    rectangle->columns =
        (rt_range){column * units->columns, rt_min((column + wide) * units->columns, units->n)};
    rectangle->rows.from = rt_share(units->m, TILE_ROWS, (int)block, (int)blocks).from;
    rectangle->rows.to = rt_share(units->m, TILE_ROWS, (int)(block + high - 1), (int)blocks).to;
    units->between.from += wide * high;
    return true;
}

/* Part of a product: rows and columns, all of these in one block, and where they go; c NULL: to the output. */
typedef struct piece {
    rt_range rows, columns;
    size_t block;
    float *c;
    size_t ldc;
} piece;
typedef void piece_fn(const rt_step *step, const rt_chunk *chunk, rt_worker *worker, const piece *p);

/* A product whose columns are pairs, in pieces of which each is gated or turned at once. */
static void run_pairs(const rt_step *step, const rt_chunk *chunk, rt_worker *worker, rt_range rows,
                      rt_range columns, piece_fn *run) {
    const rt_linear_step *linear = &step->as.linear;
    size_t wide = linear->rotate != NULL && linear->dim % COLUMN_UNIT != 0 ? linear->n : RT_PAIR_COLUMNS;
    for (size_t j = columns.from; j < columns.to; j += wide) {
        for (size_t i = rows.from; i < rows.to; i += RT_PAIR_ROWS) {
            piece p = {.rows = {i, rt_min(i + RT_PAIR_ROWS, rows.to)},
                       .columns = {j, rt_min(j + wide, columns.to)}};
            p.c = worker->scratch + linear->gate_at;
            p.ldc = RT_PAIR_COLUMNS;
            if (linear->rotate != NULL) {
                p.c = (float *)rt_place_at(&step->out[0], worker) + i * linear->n + j;
                p.ldc = linear->n;
            }
            run(step, chunk, worker, &p);
            linear->finish(step, chunk, worker, p.rows, p.columns, p.c, p.ldc);
        }
    }
}

static bool has_pairs(const rt_linear_step *linear) {
    return linear->gate != NULL || linear->rotate != NULL;
}

/* Heads that are not whole units of columns cannot be shared: one worker does them all. */
static bool is_shared(const rt_linear_step *linear) {
    return linear->rotate == NULL || linear->dim % COLUMN_UNIT == 0;
}

/* x [rows, k], weight [k, n], bias [n], residual [rows, n] -> [rows, n]. Columns: all in one block. */
static void linear_piece(const rt_step *step, const rt_chunk *chunk, rt_worker *worker, const piece *p) {
    const rt_linear_step *linear = &step->as.linear;
    rt_range rows = p->rows, columns = p->columns;
    (void)chunk;
    const float *bias = rt_place_at(&step->in[LINEAR_BIAS], worker);
    const float *residual = rt_place_at(&step->in[LINEAR_RESIDUAL], worker);
    const char *x = rt_place_at(&step->in[LINEAR_X], worker);
    void *out = rt_place_at(&step->out[0], worker);
    float *z = rt_place_at(&step->out[1], worker); /* the sums before the activation, for a backward pass */
    size_t at = rows.from * linear->n + columns.from, wide = linear->k * linear->blocks;
    rt_gemm gemm = {
        .m = rows.to - rows.from,
        .n = columns.to - columns.from,
        .k = linear->k,
        .a = x + (rows.from * wide + p->block * linear->k) * linear->x_size,
        .lda = wide,
        .b = (const char *)linear->weight + columns.from / RT_PANEL * linear->panel_bytes,
        .bias = bias == NULL ? NULL : bias + columns.from,
        .residual = residual == NULL ? NULL : residual + at,
        .ldr = linear->n,
        .act = linear->act,
        .z = z == NULL ? NULL : z + at,
        .ldz = linear->n,
    };
    if (p->c != NULL) {
        gemm.act = RT_FN_NONE;
        gemm.c = p->c;
        gemm.ldc = p->ldc;
    } else if (linear->bf16_out) {
        gemm.c16 = (uint16_t *)out + at;
        gemm.ldc16 = linear->n;
    } else {
        gemm.c = (float *)out + at;
        gemm.ldc = linear->n;
    }
    linear->gemm(&gemm);
}

void rt_step_linear(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    const rt_linear_step *linear = &step->as.linear;
    size_t width = linear->n / linear->blocks;
    rt_rectangle some;
    size_t m = rt_chunk_rows(chunk, step->rows);
    rt_units units =
        rt_units_between(m, linear->n, (size_t)worker->part, (size_t)worker->end, (size_t)worker->parts);
    if (!is_shared(linear)) units = rt_units_between(m, linear->n, 0, worker->part == 0, 1);
    while (rt_units_next(&units, &some)) {
        if (has_pairs(linear)) {
            run_pairs(step, chunk, worker, some.rows, some.columns, linear_piece);
            continue;
        }
        for (size_t from = some.columns.from; from < some.columns.to;) {
            size_t block = from / width, to = rt_min(some.columns.to, (block + 1) * width);
            linear_piece(step, chunk, worker,
                         &(piece){.rows = some.rows, .columns = {from, to}, .block = block});
            from = to;
        }
    }
}

/* out[m, n] = the given columns of x */
static void gather(const int32_t *columns, size_t n, size_t m, const int8_t *x, size_t ldx, int8_t *out) {
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) out[i * n + j] = x[i * ldx + (size_t)columns[j]];
    }
}

/* What a product of integers has besides its weight: x [rows, k] s8 with row scales, scale and sums [n]. */
static rt_gemm_q gemm_q(const rt_step *step, rt_worker *worker, const piece *p, rt_range columns) {
    const rt_linear_step *linear = &step->as.linear;
    const int8_t *x = rt_place_at(&step->in[LINEAR_X], worker);
    size_t lda = rt_row_q(linear->k * linear->blocks), at = p->rows.from * linear->n + columns.from;
    const float *bias = rt_place_at(&step->in[LINEAR_BIAS], worker);
    const float *residual = rt_place_at(&step->in[LINEAR_RESIDUAL], worker);
    return (rt_gemm_q){
        .m = p->rows.to - p->rows.from,
        .n = columns.to - columns.from,
        .k = linear->k,
        .a = x + p->rows.from * lda + p->block * linear->k,
        .lda = lda,
        .a_scale = (const rt_row_scale *)(const void *)(x + linear->x_scale_at) + p->rows.from,
        .b_scale = (const float *)rt_place_at(&step->in[LINEAR_SCALE], worker) + columns.from,
        .b_sum = (const int32_t *)rt_place_at(&step->in[LINEAR_SUMS], worker) + columns.from,
        .bias = bias == NULL ? NULL : bias + columns.from,
        .residual = residual == NULL ? NULL : residual + at,
        .ldr = linear->n,
        .act = p->c != NULL ? RT_FN_NONE : linear->act,
        .c = p->c != NULL ? p->c + (columns.from - p->columns.from)
                          : (float *)rt_place_at(&step->out[0], worker) + at,
        .ldc = p->c != NULL ? p->ldc : linear->n,
        .scratch = (int8_t *)worker->scratch,
    };
}

/* The weight as the model has it: int8, or codes with groups of panels, outlier rows and the columns of x that they
 * multiply. */
static void multiply_stored(const rt_step *step, rt_worker *worker, rt_range columns, rt_gemm_q *gemm) {
    const rt_linear_step *linear = &step->as.linear;
    const uint8_t *groups = rt_place_at(&step->in[LINEAR_GROUPS], worker);
    const int8_t *outliers = rt_place_at(&step->in[LINEAR_OUTLIERS], worker);
    gemm->b = (const char *)linear->weight + columns.from / RT_PANEL * linear->panel_bytes;
    gemm->b_group = groups == NULL ? NULL : groups + columns.from / RT_PANEL * linear->panel_groups;
    gemm->group = linear->group;
    gemm->outliers = linear->outliers;
    gemm->b_outliers = outliers == NULL ? NULL : outliers + columns.from * linear->outliers;
    if (linear->outliers > 0) {
        int8_t *a_outliers = gemm->scratch + rt_gemm_q_scratch(linear->k);
        gather(rt_place_at(&step->in[LINEAR_OUTLIER_COLUMNS], worker), linear->outliers, gemm->m, gemm->a,
               gemm->lda, a_outliers);
        gemm->a_outliers = a_outliers;
    }
    linear->gemm_q(gemm);
}

static void linear_q_piece(const rt_step *step, const rt_chunk *chunk, rt_worker *worker, const piece *p) {
    const rt_linear_step *linear = &step->as.linear;
    bool unpacked = linear->unpacked != NULL && rt_chunk_rows(chunk, step->rows) > linear->few;
    for (rt_range part = p->columns; part.from < p->columns.to; part.from = part.to) {
        part.to = p->columns.to;
        const int8_t *panels =
            unpacked ? rt_unpacked_panels(linear->unpacked, linear->widen, part.from, &part.to) : NULL;
        rt_gemm_q gemm = gemm_q(step, worker, p, part);
        if (panels == NULL) {
            multiply_stored(step, worker, part, &gemm);
        } else {
            gemm.b = panels;
            gemm.k = rt_round_up(linear->k, 8);
            linear->gemm_s8(&gemm);
        }
    }
}

/* The worker's columns, block by block. */
void rt_step_linear_q(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    const rt_linear_step *linear = &step->as.linear;
    rt_range columns = rt_worker_share(worker, linear->n, COLUMN_UNIT),
             rows = {0, rt_chunk_rows(chunk, step->rows)};
    size_t width = linear->n / linear->blocks;
    if (!is_shared(linear)) columns = (rt_range){0, worker->part == 0 ? linear->n : 0};
    if (has_pairs(linear)) {
        run_pairs(step, chunk, worker, rows, columns, linear_q_piece);
        return;
    }
    while (columns.from < columns.to) {
        size_t block = columns.from / width, end = rt_min(columns.to, (block + 1) * width);
        piece p = {.rows = rows, .columns = {columns.from, end}, .block = block};
        linear_q_piece(step, chunk, worker, &p);
        columns.from = end;
    }
}

/* How the rows of a step become int8: range, factor, addend. */
static rt_rows_q rows_q(const rt_step *step, const rt_worker *worker, int channel_scale) {
    return (rt_rows_q){step->ranged ? step->range : NULL, rt_place_at(&step->in[channel_scale], worker),
                       rt_place_at(&step->in[channel_scale + 1], worker)};
}

/* Rows from…to of y (and of its converted copy), normalised. */
static rt_norm_args norm_args(const rt_step *step, const rt_worker *worker, rt_range rows,
                              const rt_norm_step *norm) {
    size_t n = norm->n;
    char *twin = rt_place_at(&step->out[1], worker);
    rt_norm_args args = {
        .rows = rows.to - rows.from,
        .n = n,
        .epsilon = norm->epsilon,
        .rms = norm->rms,
        .y = (float *)rt_place_at(&step->out[0], worker) + rows.from * n,
        .ldy = n,
    };
    if (norm->out_dtype == RETORT_BF16) {
        args.y16 = (uint16_t *)(void *)twin + rows.from * n;
        args.ldy16 = n;
    } else if (norm->out_dtype == RETORT_S8) {
        args.y8 = (int8_t *)twin + rows.from * rt_row_q(n);
        args.scale8 = (rt_row_scale *)(void *)(twin + norm->scale_at) + rows.from;
        args.how8 = rows_q(step, worker, norm->channel_scale);
    }
    return args;
}

void rt_step_norm(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    const rt_norm_step *norm = &step->as.norm;
    rt_range rows = rt_worker_share(worker, rt_chunk_rows(chunk, step->rows), 1);
    rt_norm_args args = norm_args(step, worker, rows, norm);
    args.x = (const float *)rt_place_at(&step->in[LAYER_NORM_X], worker) + rows.from * norm->n;
    args.ldx = norm->n;
    args.gamma = rt_place_at(&step->in[LAYER_NORM_GAMMA], worker);
    args.beta = rt_place_at(&step->in[LAYER_NORM_BETA], worker);
    norm->norm(&args);
}

/* The number of the ascending ids below `id`; *found: whether `id` is one of them. */
static size_t count_below(const int32_t *ids, size_t count, int32_t id, bool *found) {
    size_t low = 0;
    for (size_t high = count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < count && ids[low] == id;
    return low;
}

/* out[i] = the row of ids[i] in the word table, or ~row among the int8 rows. Pruned ids share the row before. */
static void find_rows(const rt_step *step, const rt_worker *worker, const int32_t *ids, size_t n,
                      int32_t *out) {
    const rt_embed_step *embed = &step->as.embed;
    const int32_t *pruned = rt_place_at(&step->in[EMBED_PRUNED], worker),
                  *s8_ids = rt_place_at(&step->in[EMBED_S8_IDS], worker);
    for (size_t i = 0; i < n; i++) {
        int32_t lost = 0;
        bool found;
        for (size_t g = 0; g < embed->pruned_count && ids[i] >= pruned[2 * g]; g++) {
            int32_t beyond = ids[i] - pruned[2 * g] + 1, size = pruned[2 * g + 1];
            lost += beyond < size ? beyond : size;
        }
        int32_t below = (int32_t)count_below(s8_ids, embed->s8_count, ids[i], &found),
                row = ids[i] - lost - below;
        out[i] = found ? ~below : row > 0 ? row : 0;
    }
}

/* The arguments of Embed for these rows of the chunk, except ids and the word table. */
static rt_embed_args embed_args(const rt_step *step, const rt_chunk *chunk, const rt_worker *worker,
                                rt_range rows) {
    rt_embed_args args = {
        .positions = chunk->positions + rows.from,
        .types = chunk->types + rows.from,
        .type = rt_place_at(&step->in[EMBED_TYPE], worker),
        .norm = norm_args(step, worker, rows, &step->as.embed.norm),
    };
    if (step->in[EMBED_POSITION_SCALE].value >= 0) {
        args.position_q = rt_place_at(&step->in[EMBED_POSITION], worker);
        args.position_scale = rt_place_at(&step->in[EMBED_POSITION_SCALE], worker);
    } else {
        args.position = rt_place_at(&step->in[EMBED_POSITION], worker);
    }
    args.norm.gamma = rt_place_at(&step->in[EMBED_GAMMA], worker);
    args.norm.beta = rt_place_at(&step->in[EMBED_BETA], worker);
    return args;
}

/* ids: rows of the word table. */
static void embed_words(const rt_step *step, const rt_chunk *chunk, const rt_worker *worker, rt_range rows,
                        const int32_t *ids) {
    const rt_embed_step *embed = &step->as.embed;
    rt_embed_args args = embed_args(step, chunk, worker, rows);
    args.ids = ids;
    if (embed->word_bits == 32) {
        args.word = rt_place_at(&step->in[EMBED_WORD], worker);
    } else {
        args.word_q = rt_place_at(&step->in[EMBED_WORD], worker);
        args.word_bits = embed->word_bits;
        args.word_scale = rt_place_at(&step->in[EMBED_WORD_SCALE], worker);
        args.word_group = rt_place_at(&step->in[EMBED_WORD_GROUPS], worker);
        args.word_group_size = embed->word_group;
    }
    embed->embed(&args);
}

/* ids: int8 rows. */
static void embed_s8_rows(const rt_step *step, const rt_chunk *chunk, const rt_worker *worker, rt_range rows,
                          const int32_t *ids) {
    rt_embed_args args = embed_args(step, chunk, worker, rows);
    args.ids = ids;
    args.word_q = rt_place_at(&step->in[EMBED_S8_ROWS], worker);
    args.word_bits = 8;
    args.word_scale = rt_place_at(&step->in[EMBED_S8_SCALE], worker);
    step->as.embed.embed(&args);
}

/* Ids and types are those of the chunk. The kernel is called for runs of tokens that read the same table. */
void rt_step_embed(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    rt_range rows = rt_worker_share(worker, chunk->rows, 1);
    size_t n = rows.to - rows.from;
    if (step->as.embed.pruned_count == 0 && step->as.embed.s8_count == 0) {
        embed_words(step, chunk, worker, rows, chunk->ids + rows.from);
        return;
    }
    int32_t *found = (int32_t *)(void *)worker->scratch;
    find_rows(step, worker, chunk->ids + rows.from, n, found);
    for (size_t from = 0, to; from < n; from = to) {
        bool s8 = found[from] < 0;
        for (to = from; to < n && (found[to] < 0) == s8; to++) {
        }
        for (size_t i = from; s8 && i < to; i++) found[i] = ~found[i];
        rt_range run = {rows.from + from, rows.from + to};
        (s8 ? embed_s8_rows : embed_words)(step, chunk, worker, run, found + from);
    }
}

/* Rows of q of sequence b: its first row in the value of q, and how many. Rows of padding are computed too: a graph that
 * needs padded batches may read them. */
rt_range rt_step_queries(const rt_step *step, const rt_chunk *chunk, size_t b) {
    rt_select select = step->as.attention.select;
    if (select == RT_SELECT_FIRST || select == RT_SELECT_LAST) return (rt_range){b, b + 1};
    if (select == RT_SELECT_MASK_TOKENS) {
        return (rt_range){(size_t)chunk->mask_token_starts[b], (size_t)chunk->mask_token_starts[b + 1]};
    }
    size_t start = (size_t)chunk->starts[b];
    return (rt_range){start, start + (chunk->seq > 0 ? chunk->seq : (size_t)chunk->lengths[b])};
}

/* The places of q, k and v: columns of one value [·, hidden + 2 wide], of q and kv [·, 2 wide], or three values; wide:
 * columns of all heads of keys. */
typedef struct heads {
    const float *q, *k, *v;
    size_t ldq, ldkv;
} heads;

static heads find_heads(const rt_step *step, const rt_worker *worker, size_t hidden) {
    const float *first = rt_place_at(&step->in[ATTENTION_Q], worker);
    int parts = step->as.attention.parts;
    size_t wide = step->as.attention.key_heads * step->as.attention.dim, all = hidden + 2 * wide;
    if (parts == 1) return (heads){first, first + hidden, first + hidden + wide, all, all};
    const float *second = rt_place_at(&step->in[ATTENTION_K], worker);
    if (parts == 2) return (heads){first, second, second + wide, hidden, 2 * wide};
    return (heads){first, second, rt_place_at(&step->in[ATTENTION_V], worker), hidden, wide};
}

/* From this length on, integers are faster (Zen 4, dim 64: 53 instead of 55 GFLOP/s at 16 keys, 74 instead of 59 at 25,
 * 267 instead of 97 at 384). */
enum { S8_MIN_KEYS = 17 };

/* All heads of one sequence as queries of one attention whose keys and values are its rows of x. */
static void attend_shared(const rt_step *step, const rt_chunk *chunk, rt_worker *worker, size_t b) {
    const rt_attention_step *attention = &step->as.attention;
    size_t n = attention->dim, at = rt_step_queries(step, chunk, b).from * attention->heads * n;
    const float *x =
        (const float *)rt_place_at(&step->in[ATTENTION_KV], worker) + (size_t)chunk->starts[b] * n;
    rt_attention args = {
        .queries = attention->heads,
        .keys = (size_t)chunk->lengths[b],
        .dim = n,
        .q = (const float *)rt_place_at(&step->in[ATTENTION_Q], worker) + at,
        .k = x,
        .v = x,
        .ldq = n,
        .ldk = n,
        .ldv = n,
        .scale = attention->scale,
        .ldo = n,
        .ldo16 = n,
        .scratch = worker->scratch,
    };
    if (attention->bf16_out)
        args.out16 = (uint16_t *)rt_place_at(&step->out[0], worker) + at;
    else
        args.out = (float *)rt_place_at(&step->out[0], worker) + at;
    attention->attention(&args);
}

rt_relative rt_step_relative(const rt_step *step, const rt_chunk *chunk, size_t b, size_t head,
                             int32_t *last) {
    rt_relative relative = step->as.attention.relative[head];
    *last = step->as.attention.select == RT_SELECT_LAST ? chunk->lengths[b] - 1 : 0;
    if (step->as.attention.select == RT_SELECT_FIRST || step->as.attention.select == RT_SELECT_LAST)
        relative.places = last;
    if (step->as.attention.select == RT_SELECT_MASK_TOKENS) {
        relative.places = chunk->mask_token_rows + chunk->mask_token_starts[b];
        relative.start = chunk->starts[b];
    }
    return relative;
}

rt_range rt_step_window(const rt_step *step, const rt_chunk *chunk, size_t b, size_t i) {
    const rt_attention_step *attention = &step->as.attention;
    size_t keys = (size_t)chunk->lengths[b], position = 0;
    if (attention->select == RT_SELECT_LAST) position = keys - 1;
    if (attention->select == RT_SELECT_MASK_TOKENS)
        position = (size_t)chunk->positions[chunk->mask_token_rows[chunk->mask_token_starts[b] + (int32_t)i]];
    return (rt_range){position > attention->window ? position - attention->window : 0,
                      rt_min(position + attention->window + 1, keys)};
}

/* Selected queries with a window: each alone, over the keys in it. */
static void attend_rows(const rt_step *step, const rt_chunk *chunk, size_t b, const rt_attention *all) {
    for (size_t i = 0; i < all->queries; i++) {
        rt_attention one = *all;
        rt_range keys = rt_step_window(step, chunk, b, i);
        one.queries = 1;
        one.keys = keys.to - keys.from;
        one.q += i * all->ldq;
        one.k += keys.from * all->ldk;
        one.v += keys.from * all->ldv;
        if (one.out != NULL) one.out += i * all->ldo;
        if (one.out16 != NULL) one.out16 += i * all->ldo16;
        step->as.attention.attention(&one);
    }
}

/* One head of one sequence. */
static void attend(const rt_step *step, const rt_chunk *chunk, rt_worker *worker, size_t b, size_t head) {
    const rt_attention_step *attention = &step->as.attention;
    size_t hidden = attention->heads * attention->dim, column = head * attention->dim;
    size_t key_column = head / (attention->heads / attention->key_heads) * attention->dim;
    heads at = find_heads(step, worker, hidden);
    rt_range queries = rt_step_queries(step, chunk, b);
    size_t start = (size_t)chunk->starts[b];
    size_t out_at = queries.from * hidden + column;
    void *out = rt_place_at(&step->out[0], worker);
    rt_attention args = {
        .queries = queries.to - queries.from,
        .keys = (size_t)chunk->lengths[b],
        .dim = attention->dim,
        .q = at.q + queries.from * at.ldq + column,
        .k = at.k + start * at.ldkv + key_column,
        .v = at.v + start * at.ldkv + key_column,
        .ldq = at.ldq,
        .ldk = at.ldkv,
        .ldv = at.ldkv,
        .scale = attention->scale,
        .out = attention->bf16_out ? NULL : (float *)out + out_at,
        .ldo = hidden,
        .out16 = attention->bf16_out ? (uint16_t *)out + out_at : NULL,
        .ldo16 = hidden,
        .scratch = worker->scratch,
    };
    int32_t place;
    rt_relative relative;
    if (attention->relative != NULL) {
        relative = rt_step_relative(step, chunk, b, head, &place);
        args.relative = &relative;
    }
    bool s8 = attention->attention_s8 != NULL && args.keys >= S8_MIN_KEYS;
    if (attention->window > 0 && attention->select != RT_SELECT_ALL) {
        attend_rows(step, chunk, b, &args);
        return;
    }
    args.window = attention->window;
    (s8 ? attention->attention_s8 : attention->attention)(&args);
}

uint64_t rt_step_keys(const rt_step *step, const rt_chunk *chunk, size_t b) {
    size_t window = step->as.attention.window, keys = (size_t)chunk->lengths[b];
    return window > 0 ? rt_min(keys, 2 * window + 1) : keys;
}

/* Heads are assigned to parts by cost, queries times keys: a head belongs to the part in which the middle
 * of its cost falls. */
void rt_step_attention(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    uint64_t total = 0, before = 0, parts = (uint64_t)worker->parts;
    bool shared = step->as.attention.shared;
    size_t count = shared ? 1 : step->as.attention.heads; /* attentions per sequence */
    for (size_t b = 0; b < chunk->batch; b++) {
        rt_range queries = rt_step_queries(step, chunk, b);
        total += count * (queries.to - queries.from) * rt_step_keys(step, chunk, b);
    }
    for (size_t b = 0; b < chunk->batch; b++) {
        rt_range queries = rt_step_queries(step, chunk, b);
        uint64_t cost = (queries.to - queries.from) * rt_step_keys(step, chunk, b);
        for (size_t head = 0; head < count && cost > 0; head++, before += cost) {
            uint64_t part = (2 * before + cost) * parts / (2 * total);
            if (part < (uint64_t)worker->part || part >= (uint64_t)worker->end) continue;
            if (shared)
                attend_shared(step, chunk, worker, b);
            else
                attend(step, chunk, worker, b, head);
        }
    }
}

double rt_step_operations(const rt_step *step, const rt_chunk *chunk) {
    if (step->node->op != RT_OP_ATTENTION) return step->flops_row * (double)rt_chunk_rows(chunk, step->rows);
    double pairs = 0;
    for (size_t b = 0; b < chunk->batch; b++) {
        rt_range queries = rt_step_queries(step, chunk, b);
        pairs += (double)(queries.to - queries.from) * (double)rt_step_keys(step, chunk, b);
    }
    return step->flops_row * pairs;
}

/* x [rows, n] -> [batch, n] or [mask_tokens, n] */
void rt_step_select(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    rt_select select = step->as.rows.select;
    bool masks = select == RT_SELECT_MASK_TOKENS;
    const int32_t *rows = masks ? chunk->mask_token_rows : chunk->starts;
    rt_range part = rt_worker_share(worker, masks ? chunk->mask_tokens : chunk->batch, 1);
    size_t bytes = step->as.rows.n * sizeof(float);
    const char *x = rt_place_at(&step->in[SELECT_X], worker);
    char *out = rt_place_at(&step->out[0], worker);
    for (size_t i = part.from; i < part.to; i++) {
        size_t row = (size_t)rows[i];
        if (select == RT_SELECT_LAST) row += (size_t)chunk->lengths[i] - 1;
        memcpy(out + i * bytes, x + row * bytes, bytes);
    }
}

/* x [rows, n] -> [batch, n] */
void rt_step_pool(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    const rt_rows_step *rows = &step->as.rows;
    rt_range part = rt_worker_share(worker, chunk->batch, 1);
    const float *x = rt_place_at(&step->in[POOL_X], worker);
    float *out = rt_place_at(&step->out[0], worker);
    for (size_t b = part.from; b < part.to; b++) {
        size_t skipped = (size_t)chunk->unpooled[b];
        rt_pool_args args = {.rows = (size_t)chunk->lengths[b] - skipped,
                             .n = rows->n,
                             .first_weight = rows->kind == RT_REDUCE_WEIGHTED_MEAN ? skipped + 1 : 0,
                             .x = x + ((size_t)chunk->starts[b] + skipped) * rows->n,
                             .ldx = rows->n,
                             .y = out + b * rows->n};
        rows->pool(&args);
        float count = (float)args.rows; /* mean √n = sum / √n */
        float factor = rows->kind == RT_REDUCE_MEAN_SQRT  ? sqrtf(count)
                       : rows->kind == RT_REDUCE_SUM_ROWS ? count
                                                          : 1;
        for (size_t j = 0; factor != 1 && j < rows->n; j++) args.y[j] *= factor;
    }
}

void rt_step_normalize(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    size_t n = step->as.rows.n;
    rt_range part = rt_worker_share(worker, rt_chunk_rows(chunk, step->rows), 1);
    const float *x = rt_place_at(&step->in[NORMALIZE_X], worker);
    float *out = rt_place_at(&step->out[0], worker);
    step->as.rows.normalize(part.to - part.from, n, x + part.from * n, n, out + part.from * n, n);
}

void rt_step_to_bf16(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    size_t n = step->as.rows.n;
    rt_range part = rt_worker_share(worker, rt_chunk_rows(chunk, step->rows), 1);
    const float *x = rt_place_at(&step->in[CONVERT_X], worker);
    uint16_t *out = rt_place_at(&step->out[0], worker);
    step->as.rows.to_bf16((part.to - part.from) * n, x + part.from * n, out + part.from * n);
}

void rt_step_quantize(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    const rt_rows_step *rows = &step->as.rows;
    size_t n = rows->n, stride = rt_row_q(n);
    rt_range part = rt_worker_share(worker, rt_chunk_rows(chunk, step->rows), 1);
    const float *x = rt_place_at(&step->in[CONVERT_X], worker);
    char *out = rt_place_at(&step->out[0], worker);
    rt_row_scale *scale = (rt_row_scale *)(void *)(out + rows->scale_at);
    rt_rows_q how = rows_q(step, worker, 1);
    rows->quantize(part.to - part.from, n, x + part.from * n, n, &how, (int8_t *)out + part.from * stride,
                   stride, scale + part.from);
}
