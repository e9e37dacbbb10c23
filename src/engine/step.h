/* SPDX-License-Identifier: Apache-2.0
 * A step is a node ready to run: a function, its kernel, its packed weights and the places of its operands.
 * Steps make up a plan; a worker runs them on a chunk. */
#ifndef RT_ENGINE_STEP_H
#define RT_ENGINE_STEP_H

#include "base/thread.h"
#include "graph/unpacked.h"

typedef struct rt_step rt_step;

/* Whole sequences of a batch that pass through all steps together. The rows of an activation are the
 * tokens of the sequences, concatenated (ragged), or, for graphs below level 3, [batch, seq] padded rows. */
typedef struct rt_chunk {
    size_t batch;            /* sequences */
    size_t seq;              /* padded: rows per sequence; ragged: 0 */
    size_t rows;             /* of an activation: tokens, or batch * seq */
    size_t mask_tokens;      /* rows that a fill head reads */
    const int32_t *starts;   /* [batch] first row of each sequence */
    const int32_t *lengths;  /* [batch] tokens of each sequence */
    const int32_t *unpooled; /* [batch] first tokens of each sequence that pooling leaves out */
    const int32_t *ids, *types, *positions; /* [rows] */
    const int32_t *mask_token_rows;         /* [mask_tokens] rows that hold a mask token, ascending */
    const int32_t *mask_token_starts;       /* [batch + 1] first of mask_token_rows for each sequence */
    const int64_t *wide_ids, *wide_types, *wide_mask; /* [rows], graphs below level 3 only: what ONNX feeds */
} rt_chunk;

typedef struct rt_plan rt_plan;

/* The memory of a worker, and its share of a step: of `parts` parts, those from `part` to `end`. */
typedef struct rt_worker {
    const rt_plan *plan; /* whose steps it runs */
    int index;           /* in its thread pool */
    char *arena;         /* plan->arena_bytes, 64-byte aligned; shared by the workers of a team */
    float *scratch;      /* plan->scratch_floats, the worker's own */
    rt_tensor *tensors;  /* [value_count] shapes of the values of plain operators */
    int part, end, parts;
    int64_t late;           /* nanoseconds of this run that the leader waited for parts of this worker */
    atomic_bool in_the_way; /* it ran on the core of the leader */
    retort_status status;   /* of plain operators, whose shapes may not fit */
    retort_error error;
} rt_worker;

/* The place of a value: the data of a constant, or an offset in the arena. */
typedef struct rt_place {
    const void *data;
    size_t offset;
    int value; /* -1: the optional operand is absent */
} rt_place;

typedef struct rt_linear_step {
    rt_gemm_fn gemm;
    rt_gemm_q_fn gemm_q; /* integer weights; gemm is NULL then */
    const void *weight;  /* packed [k, n] */
    size_t k, n;
    size_t panel_bytes, panel_groups; /* of RT_PANEL columns: of the weight, of its group scales */
    size_t group;
    rt_act act;
    bool bf16_out;
    size_t x_scale_at; /* integers: of the row scales of x */
    size_t x_size;     /* bytes of an element of x */
    size_t outliers;   /* rows */
    /* Codes of which int8 panels may be made; NULL: only the codes are used. */
    const rt_unpacked *unpacked;
    rt_widen_fn widen;
    rt_gemm_q_fn gemm_s8;
    size_t few;    /* this many rows of x are multiplied by the codes */
    size_t blocks; /* of k columns of x, each with its own n / blocks columns of the weight; usually 1 */
    /* Columns that are pairs: what follows a product of rows x columns, which is in c. NULL: none are. */
    void (*finish)(const rt_step *step, const rt_chunk *chunk, const rt_worker *worker, rt_range rows,
                   rt_range columns, float *c, size_t ldc);
    rt_gate_fn gate;
    rt_rotate_fn rotate;
    size_t gate_at;      /* of the scratch: where products are that will be gated */
    size_t rotated, dim; /* the first columns, heads of dim */
    const float *turns;  /* [positions, dim] */
} rt_linear_step;
typedef struct rt_norm_step {
    rt_norm_fn norm;
    size_t n;
    float epsilon;
    bool rms;
    retort_dtype out_dtype; /* of the second output; RETORT_F32: there is none */
    size_t scale_at;        /* of its row scales, when it is s8 */
    int channel_scale; /* operand that rows are multiplied by before they become s8; the next one is added */
} rt_norm_step;
typedef struct rt_embed_step {
    rt_embed_fn embed;
    rt_norm_step norm; /* its function is not used */
    int word_bits;     /* 8 or 4; 32: floats */
    size_t word_group;
    size_t pruned_count; /* ranges of ids without rows */
    size_t s8_count;     /* ids with int8 rows */
} rt_embed_step;
typedef struct rt_attention_step {
    rt_attention_fn attention;
    rt_attention_fn attention_s8; /* in integers, of all but short sequences; NULL: of none */
    size_t heads, dim;
    size_t key_heads; /* of keys and values */
    float scale;
    const rt_relative
        *relative; /* [heads] by distance, with the places of queries to be filled in; NULL: nothing */
    int parts;     /* values that hold q, k, v: 1, 2 or 3 */
    bool shared;   /* the heads are queries of one attention over x */
    size_t window; /* keys on either side of a query; 0: all */
    rt_select select;
    bool bf16_out;
} rt_attention_step;
typedef struct rt_rows_step { /* Select, Pool, Normalize, Convert */
    rt_pool_fn pool;
    rt_normalize_fn normalize;
    rt_to_bf16_fn to_bf16;
    rt_quantize_fn quantize;
    size_t n;
    size_t scale_at; /* quantize: of the row scales */
    rt_pool_kind kind;
    rt_select select;
} rt_rows_step;

/* The rows of a value. */
typedef enum rt_row_set { RT_ROW_SET_TOKENS, RT_ROW_SET_SEQUENCES, RT_ROW_SET_MASK_TOKENS } rt_row_set;

struct rt_step {
    /* Does the parts of this worker. The parts of a step are independent. */
    void (*run)(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
    const rt_node *node;
    const char *kernel; /* name of the kernel's row; "plain C" for plain operators */
    rt_row_set rows;
    rt_place in[RT_MAX_INPUTS], out[RT_MAX_OUTPUTS];
    size_t out_bytes[RT_MAX_OUTPUTS]; /* reserved */
    union {
        rt_linear_step linear;
        rt_norm_step norm;
        rt_embed_step embed;
        rt_attention_step attention;
        rt_rows_step rows;
    } as;
    bool plain;              /* runs as plain C, in one part, on the shapes in rt_worker.tensors */
    retort_dtype arithmetic; /* dtype of its products */
    bool four_bits;          /* RETORT_S8 times 4-bit weights */
    bool ranged;             /* all rows that become s8 share a range; else a range per row */
    float range[2];          /* {min, max} */
    uint64_t weight_bytes;
    double flops_row; /* per row of the result, two per multiply-add; attention: per key */
    int64_t mask_id;
};

/* Which products with codes read int8 panels instead. */
typedef struct rt_unpacking {
    const rt_unpacked_set *set; /* NULL: none. Borrowed: must outlive the plan */
    bool all;                   /* also where codes are faster; else as the kernel's row says */
    bool cached;                /* the panels fit into the caches */
} rt_unpacking;

struct rt_plan {
    const rt_graph *graph; /* borrowed: must outlive the plan */
    rt_step *steps;
    size_t step_count;
    size_t arena_bytes, scratch_floats;
    size_t capacity;  /* rows that the arena has room for */
    size_t positions; /* rows of the longest sequence */
    bool padded;      /* the graph is below level 3 */
    rt_place output;
    rt_row_set output_rows;
    size_t output_columns;
    rt_unpacking unpacking;
    rt_arena memory; /* steps, weights packed here */
};

/* The share of n items that the parts of this worker are, in multiples of `unit` except at the end. */
static inline rt_range rt_worker_share(const rt_worker *worker, size_t n, size_t unit) {
    return (rt_range){rt_share(n, unit, worker->part, worker->parts).from,
                      rt_share(n, unit, worker->end - 1, worker->parts).to};
}
/* A product of floats is cut in units: 64 columns of some 24 rows, or, where there are fewer than two times as many rows, 32
 * columns of all. Finer than columns alone: of 384 columns there are 12 units of 32, and the last of those that a worker takes
 * would keep the others waiting for up to a sixth of the step. */
typedef struct rt_units {
    size_t m, n;      /* of the product */
    size_t columns;   /* of a unit */
    size_t blocks;    /* of rows */
    rt_range between; /* unit column * blocks + block of rows */
} rt_units;
typedef struct rt_rectangle {
    rt_range rows, columns;
} rt_rectangle;
/* The units whose share begins where `from` of `parts` parts do and ends where `to` do. */
rt_units rt_units_between(size_t m, size_t n, size_t from, size_t to, size_t parts);
/* Takes as many of them as make a rectangle. False: none is left. */
bool rt_units_next(rt_units *units, rt_rectangle *rectangle);
/* Number of rows of a row set in this chunk. */
size_t rt_chunk_rows(const rt_chunk *chunk, rt_row_set kind);
/* Offset of the row scales in an s8 value [·, n]: after all rows that its place has room for. */
static inline size_t rt_row_scales_at(const rt_plan *plan, size_t n) {
    return plan->capacity * rt_row_q(n);
}
/* Whether the leading dims of a value are rows of a batch, and which row set. */
bool rt_value_row_set(const rt_value *value, rt_row_set *kind);
/* Rows of the queries that sequence b has in an Attention. */
rt_range rt_step_queries(const rt_step *step, const rt_chunk *chunk, size_t b);
/* The keys of sequence b that its query i reads, where an Attention with a window has only some rows as queries. */
rt_range rt_step_window(const rt_step *step, const rt_chunk *chunk, size_t b, size_t i);
/* The tables by distance of a head, and where the queries of sequence b stand. *last: room for a place. */
rt_relative rt_step_relative(const rt_step *step, const rt_chunk *chunk, size_t b, size_t head,
                             int32_t *last);
/* Keys that a query of sequence b reads; fewer near its ends if there is a window. */
uint64_t rt_step_keys(const rt_step *step, const rt_chunk *chunk, size_t b);
/* Operations that a step does for a chunk, multiply and add counted as two. */
double rt_step_operations(const rt_step *step, const rt_chunk *chunk);
/* The address of a place for this worker; NULL if absent. */
void *rt_place_at(const rt_place *place, const rt_worker *worker);

/* Lays out the arena. apart: no two values share bytes, so all of them are still there after the last
 * step; rt_plan_make lets them share. */
retort_status rt_plan_memory(rt_plan *plan, bool apart, retort_error *err);

/* The pieces in which products with pairs of columns are made: what follows reads them from L2. */
enum { RT_PAIR_ROWS = 256, RT_PAIR_COLUMNS = 128 };
/* Prepares a Linear whose columns are pairs: pairs.c. */
retort_status rt_lower_pairs(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err);
/* Turns these rows and columns, which are in c, by the positions of their tokens, or back. Columns begin with a turn. */
void rt_step_turn(const rt_step *step, const rt_chunk *chunk, rt_range rows, rt_range columns, bool back,
                  float *c, size_t ldc);

/* Makes the step of step->node: lower.c. */
retort_status rt_lower(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err);
/* step->run of each operator, in step.c and plain.c. */
/* Makes the tables by distance of an Attention: relative.c. */
retort_status rt_lower_relative(rt_plan *plan, rt_step *step, retort_error *err);
/* After a change of what an Attention has by distance in the graph: its tables become the same. */
void rt_step_refresh_relative(const rt_plan *plan, const rt_step *step);
void rt_step_linear(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_linear_q(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_norm(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_embed(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_attention(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_select(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_pool(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_normalize(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_to_bf16(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_quantize(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);
void rt_step_plain(const rt_step *step, const rt_chunk *chunk, rt_worker *worker);

#endif
