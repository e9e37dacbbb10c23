/* SPDX-License-Identifier: Apache-2.0
 * The operator graph: values and nodes in two arrays, addressed by index. Level 0 is what an ONNX export of
 * the checkpoint has (plain operators on padded [batch, seq] ids and a mask); rewrites turn it into levels
 * 1, 2 and 3. */
#ifndef RT_GRAPH_GRAPH_H
#define RT_GRAPH_GRAPH_H

#include "base/memory.h"
#include "base/tensor.h"
#include "graph/operands.h"
#include "kernel/kernel.h"

/* Dims that only a batch determines. */
enum {
    RT_DIM_BATCH = -1,      /* sequences */
    RT_DIM_SEQ = -2,        /* padded length, that of the longest sequence (levels 0 to 2) */
    RT_DIM_TOKENS = -3,     /* all tokens of a ragged batch (level 3) */
    RT_DIM_MASK_TOKENS = -4 /* mask tokens of the batch: the rows that a fill head reads */
};

/* One row per operator: its name here, and that of its row, which stands in its own file in graph/op. Plain
 * operators (levels 0 and 1) mean what ONNX opset 17 says, on the dtypes that encoders use. */
#define RT_PLAIN_OPS(X)                                                                                      \
    X(IDENTITY, identity)                                                                                    \
    X(CAST, cast)                                                                                            \
    X(SHAPE, shape)                                                                                          \
    X(GATHER, gather)                                                                                        \
    X(UNSQUEEZE, unsqueeze)                                                                                  \
    X(SQUEEZE, squeeze)                                                                                      \
    X(SLICE, slice)                                                                                          \
    X(CONCAT, concat)                                                                                        \
    X(SPLIT, split)                                                                                          \
    X(RESHAPE, reshape)                                                                                      \
    X(TRANSPOSE, transpose)                                                                                  \
    X(EXPAND, expand)                                                                                        \
    X(EQUAL, equal)                                                                                          \
    X(WHERE, where)                                                                                          \
    X(ADD, add)                                                                                              \
    X(SUB, sub)                                                                                              \
    X(MUL, mul)                                                                                              \
    X(DIV, div)                                                                                              \
    X(POW, pow)                                                                                              \
    X(MAX, max)                                                                                              \
    X(SQRT, sqrt)                                                                                            \
    X(ERF, erf)                                                                                              \
    X(TANH, tanh)                                                                                            \
    X(RELU, relu)                                                                                            \
    X(SIGMOID, sigmoid)                                                                                      \
    X(LOG, log)                                                                                              \
    X(COS, cos)                                                                                              \
    X(SIN, sin)                                                                                              \
    X(SOFTPLUS, softplus)                                                                                    \
    X(SOFTMAX, softmax)                                                                                      \
    X(REDUCE_MEAN, reduce_mean)                                                                              \
    X(REDUCE_SUM, reduce_sum)                                                                                \
    X(REDUCE_MAX, reduce_max)                                                                                \
    X(MATMUL, matmul)                                                                                        \
    X(GEMM, gemm)                                                                                            \
    X(LAYER_NORMALIZATION, layer_normalization)                                                              \
    X(GATHER_ELEMENTS, gather_elements)                                                                      \
    X(CUM_SUM, cum_sum)                                                                                      \
    X(MASK_TOKEN_ROWS, mask_token_rows)
/* Fused ones, from level 2 on, are described in their files, where `…` stands for [batch, seq] below level 3 and for
 * [tokens] there. The tables of the layers above have a row for each, made of its name: engine lowers it by
 * lower_NAME, onnx writes it by rt_put_NAME, grad computes its gradient by rt_tape_NAME. */
#define RT_FUSED_OPS(X)                                                                                      \
    X(EMBED, embed)                                                                                          \
    X(LINEAR, linear)                                                                                        \
    X(LAYER_NORM, layer_norm)                                                                                \
    X(ATTENTION, attention)                                                                                  \
    X(SELECT, select)                                                                                        \
    X(POOL, pool)                                                                                            \
    X(NORMALIZE, normalize)                                                                                  \
    X(CONVERT, convert)
#define RT_OPS(X)                                                                                            \
    RT_PLAIN_OPS(X)                                                                                          \
    RT_FUSED_OPS(X)

typedef enum rt_op {
#define RT_OP_ENUM(name, row) RT_OP_##name,
    RT_OPS(RT_OP_ENUM)
#undef RT_OP_ENUM
        RT_OP_COUNT
} rt_op;

struct rt_shapes;
struct rt_op_evaluation;
struct rt_graph;
struct rt_node;

/* What an operator is, for people and for drawings. */
typedef enum rt_op_kind {
    RT_OP_KIND_PLAIN, /* element by element */
    RT_OP_KIND_MATRIX,
    RT_OP_KIND_ATTENTION,
    RT_OP_KIND_NORM,
    RT_OP_KIND_EMBED,
    RT_OP_KIND_SHAPE,
    RT_OP_KIND_ROWS,
    RT_OP_KIND_CONVERT,
    RT_OP_KINDS
} rt_op_kind;

/* All that the graph knows of an operator. The layers above have their own tables: how it lowers (engine),
 * how it is written as ONNX (onnx), its gradient (grad). */
typedef struct rt_op_row {
    const char *text; /* in the graph's text; ONNX's name for plain ones */
    int min_inputs, max_inputs;
    int outputs;    /* the most: the second of two only with an output dtype */
    unsigned attrs; /* that it has, RT_ATTR_… */
    int level;      /* the lowest at which it is allowed */
    rt_op_kind kind;
    /* Dtype, dims and content of the outputs (graph/infer.h). */
    retort_status (*infer)(struct rt_shapes *shapes);
    /* In plain C (graph/evaluate.h); NULL for fused operators, which run on kernels. */
    retort_status (*evaluate)(struct rt_op_evaluation *e, retort_error *err);
    /* Whether the node gives its first input as it is; NULL: never. */
    bool (*is_identity)(const struct rt_graph *graph, const struct rt_node *node);
} rt_op_row;
const rt_op_row *rt_op_info(rt_op op);
/* Finds an operator by its text; false if there is none. */
bool rt_op_find(const char *text, size_t length, rt_op *out);

/* Attributes; their texts are rows in ops.c. An absent attribute is zero and is not printed. */
typedef enum rt_select { RT_SELECT_ALL, RT_SELECT_FIRST, RT_SELECT_MASK_TOKENS, RT_SELECT_LAST } rt_select;
/* MEAN divides the sum of n rows by n, MEAN_SQRT by √n; in WEIGHTED_MEAN, row i counts i times, from 1 on. */
typedef enum rt_pool_kind {
    RT_REDUCE_NONE,
    RT_REDUCE_MEAN,
    RT_REDUCE_MAX,
    RT_REDUCE_MEAN_SQRT,
    RT_REDUCE_WEIGHTED_MEAN,
    RT_REDUCE_SUM_ROWS
} rt_pool_kind;
enum {
    RT_ATTR_AXIS = 1 << 0,
    RT_ATTR_DTYPE = 1 << 1,
    RT_ATTR_PERM = 1 << 2,
    RT_ATTR_EPSILON = 1 << 3,
    RT_ATTR_ACT = 1 << 4,
    RT_ATTR_HEADS = 1 << 5,
    RT_ATTR_SCALE = 1 << 6,
    RT_ATTR_SELECT = 1 << 7,
    RT_ATTR_POOL = 1 << 8,
    RT_ATTR_KEEPDIMS = 1 << 9,
    RT_ATTR_TRANS_B = 1 << 10,
    RT_ATTR_OUT_DTYPE = 1 << 11,
    RT_ATTR_PARTS = 1 << 12,
    RT_ATTR_GROUP = 1 << 13,
    RT_ATTR_RANGE = 1 << 14,
    RT_ATTR_INTEGERS = 1 << 15,
    RT_ATTR_SHARED = 1 << 16,
    RT_ATTR_AFTER_PAD = 1 << 17,
    RT_ATTR_GATE = 1 << 18,
    RT_ATTR_ROTATE = 1 << 19,
    RT_ATTR_WINDOW = 1 << 20,
    RT_ATTR_KEY_HEADS = 1 << 21,
    RT_ATTR_RMS = 1 << 22
};
typedef struct rt_attrs {
    int64_t axis;
    retort_dtype dtype; /* Cast */
    int perm[4], perm_count;
    float epsilon, scale;
    rt_act act;
    int64_t heads;
    rt_select select;
    rt_pool_kind pool;
    bool keepdims, trans_b;
    retort_dtype out_dtype; /* RETORT_F32 (none), RETORT_BF16 or RETORT_S8 */
    bool integers; /* Attention: in 8-bit integers, but for short sequences; level 3, every row a query;
                                 * "int16" in files, which is what they were at first */
    bool shared;   /* Attention: every head's keys and values are x itself */
    int parts;     /* Attention: 1 (qkv), 2 (q, kv), 3 (q, k, v) */
    int64_t
        after_pad; /* Embed: 1 + the id that has position 0 and is not counted by others, which begin with 1; 0: none */
    int64_t group;  /* 4-bit codes that share an integer scale */
    bool gate;      /* Linear: columns are pairs (rt_gate_args): act(a) b, half as many */
    int64_t rotate; /* Linear: the first columns are pairs (rt_rotate_args), turned by their position */
    int64_t window; /* Attention: keys on either side of a query that it reads; 0: all */
    int64_t
        key_heads; /* Attention: heads of keys and values, each read by as many heads of queries; 0: as many as those */
    bool rms;                   /* LayerNorm: about 0 instead of the mean, without beta */
    float range_min, range_max; /* static range of an s8 output; both 0: a range per row */
} rt_attrs;

/* Heads of keys and values of an Attention. */
static inline int64_t rt_key_heads(const rt_attrs *attention) {
    return attention->key_heads > 0 ? attention->key_heads : attention->heads;
}

typedef enum rt_layout {
    RT_LAYOUT_ROWS,     /* row-major */
    RT_LAYOUT_P16,      /* panels of 16 columns, kernel.h; dims stay the logical [k, n] */
    RT_LAYOUT_P16_BF16, /* the same in pairs of bf16; dtype RETORT_BF16 */
    RT_LAYOUT_P16_S8,   /* int8 in fours of k; dtype RETORT_S8 */
    RT_LAYOUT_P16_S4,   /* 4-bit codes, two a byte; dtype RETORT_U8 */
    RT_LAYOUT_ROWS_S4   /* the rows of a table [v, n] of such codes (rt_embed_args); dtype RETORT_U8 */
} rt_layout;
const char *rt_layout_name(rt_layout layout); /* "rows", "p16", "p16_bf16", … */

/* The content of an integer scalar or vector of at most RT_MAX_RANK elements, if it is known without a
 * batch: constants, and whatever is computed from the Shape of a value (symbols stay symbols). */
typedef struct rt_content {
    bool known;
    int count;
    unsigned symbols; /* bit i: at[i] is an RT_DIM_…, else it is a number */
    int64_t at[RT_MAX_RANK];
} rt_content;

/* A value: an input, a constant (neither input nor producer) or the output of a node. An s8 value [rows,
 * n] made by a node has one scale per row: its rows are rt_row_q(n) bytes apart, and the scales
 * (rt_row_scale) follow the last row that its place has room for. */
typedef struct rt_value {
    const char *name; /* unique in the graph */
    retort_dtype dtype;
    rt_layout layout;
    int rank;
    int64_t dims[RT_MAX_RANK]; /* >= 0, or RT_DIM_… */
    const void *data;          /* constants: at least 64-byte aligned, rounded up to 64 bytes with zeros */
    int producer;              /* node index, -1 for inputs and constants */
    bool input;
    rt_content content;
} rt_value;

enum { RT_MAX_INPUTS = 16, RT_MAX_OUTPUTS = 3 };
typedef struct rt_node {
    rt_op op;
    const char *name;                       /* "layer.0.attention.q" … for people; unique */
    int inputs[RT_MAX_INPUTS], input_count; /* value indices, -1: an optional one is absent */
    int outputs[RT_MAX_OUTPUTS], output_count;
    rt_attrs attrs;
} rt_node;

/* The value of an operand, by its name (graph/operands.h); -1: absent. */
static inline int rt_operand(const rt_node *node, int operand) {
    return operand < node->input_count ? node->inputs[operand] : -1;
}

/* Inputs by name: "input_ids" i64 [batch, seq], "attention_mask" i64 [batch, seq], "token_type_ids" i64
 * (BERT); at level 3 input_ids is i64 [tokens] and so are the types, and there is no mask. Below level 3 the
 * executor feeds i64, at level 3 int32. */
typedef struct rt_graph {
    rt_arena arena; /* names and new constants */
    rt_value *values;
    size_t value_count, value_capacity;
    rt_node *nodes; /* in an order in which they can run */
    size_t node_count, node_capacity;
    int output; /* value */
    int level;
    int64_t mask_id;             /* id of the mask token for MaskTokenRows and Select; -1: none */
    retort_error fault;          /* the first failure of a construction call; status 0: none */
    struct rt_links *links;      /* while rewrites edit it (graph/links.h), else NULL */
    struct rt_links *idle_links; /* memory for the next ones, or NULL */
} rt_graph;

/* Construction returns indices, or -1 if out of memory or if shapes do not fit. The first failure is kept
 * in graph->fault, and rt_graph_verify returns it: callers may go on and check once, at the end, since a
 * call that reads a failed value fails too. Names are copied. rt_graph_free also frees a half-built graph;
 * `graph` starts as {.output = -1}. */
int rt_graph_input(rt_graph *graph, const char *name, retort_dtype dtype, int rank, const int64_t *dims);
/* `data` is not copied: it must outlive the graph (a mapping, or rt_graph_alloc). */
int rt_graph_constant(rt_graph *graph, const char *name, retort_dtype dtype, rt_layout layout, int rank,
                      const int64_t *dims, const void *data);
void *rt_graph_alloc(rt_graph *graph, size_t bytes); /* 64-byte aligned, zeroed, rounded up to 64 bytes */
/* Appends a node (attrs may be NULL); its outputs' dtypes and shapes come from rt_infer, their names are
 * "name:0", "name:1", …. Returns its index. */
int rt_graph_node(rt_graph *graph, rt_op op, const char *name, int input_count, const int *inputs,
                  const rt_attrs *attrs);
/* The operand itself, and the data of one that is a constant; NULL: absent. */
const rt_value *rt_operand_value(const rt_graph *graph, const rt_node *node, int operand);
const void *rt_operand_data(const rt_graph *graph, const rt_node *node, int operand);
/* The value of output `index` of a node; -1 if `node` is -1 or has no such output. */
int rt_node_output(const rt_graph *graph, int node, int index);
void rt_graph_free(rt_graph *graph);
/* Copies nodes, values and names; constant data is shared, and must outlive both. */
retort_status rt_graph_copy(rt_graph *out, const rt_graph *graph, retort_error *err);

/* Editing, for rewrites. */
bool rt_value_is_constant(const rt_value *value);
/* Fills `content` from the data of a short i64 value; ignores other values. */
void rt_value_read_content(rt_value *value);
/* Bytes of the value's data in its layout; false when a dim is symbolic or the size overflows. */
bool rt_value_bytes(const rt_value *value, size_t *bytes);
/* The use of a constant, by its first reader. */
typedef enum rt_part { RT_PART_OTHER, RT_PART_TABLE, RT_PART_MATRIX } rt_part;
typedef struct rt_use {
    rt_part part;
    bool scale; /* it scales integers and is not a parameter itself */
} rt_use;
void rt_graph_uses(const rt_graph *graph, rt_use *uses); /* [values] */
/* The dtype of x that a Linear with this weight reads. */
retort_dtype rt_linear_input(const rt_value *weight);
int rt_value_find(const rt_graph *graph, const char *name); /* -1: none */
size_t rt_value_uses(const rt_graph *graph, int value);     /* node inputs (and the output) that read it */
/* Whether some node's positions skip padding: rt_counted_pad of its output. */
bool rt_graph_counts_ids(const rt_graph *graph);
/* Whether the node belongs to the head: from the last residual connection to the output of the graph,
 * nodes read only one activation. */
bool rt_node_in_head(const rt_graph *graph, const rt_node *node);
void rt_value_replace(rt_graph *graph, int from, int to); /* every reader of `from` reads `to` */
/* After an edit of inputs or attributes of a node: adds the second output if the output dtype needs one,
 * and infers. */
retort_status rt_node_update(rt_graph *graph, int node, retort_error *err);
/* Drops nodes, constants and inputs that the output does not need, sorts nodes by when a walk from the
 * output completes them, and renumbers everything. */
retort_status rt_graph_sweep(rt_graph *graph, retort_error *err);

/* Output dtypes and shapes of a node from its inputs; the error names the node and the shapes. */
retort_status rt_infer(rt_graph *graph, size_t node, retort_error *err);
/* rt_infer for every node, in order, after a change of the dims of inputs or constants. */
retort_status rt_graph_infer(rt_graph *graph, retort_error *err);
/* Whole-graph check: construction without fault, indices, order, arity, levels, attributes, unique names,
 * shapes as inferred, one output. */
retort_status rt_graph_verify(const rt_graph *graph, retort_error *err);
/* "[batch, 384]" into out; returns out. */
const char *rt_dims_text(char *out, size_t size, const int64_t *dims, int rank);
/* As text: a header line, inputs, constants (name, dtype, layout, dims), one node per line, the output. */
retort_status rt_graph_print(const rt_graph *graph, retort_write_fn write, void *user);
/* The same, appended to a buffer; RETORT_NOMEM is the only failure. */
retort_status rt_graph_text(const rt_graph *graph, rt_buffer *out);
/* Parses what rt_graph_print wrote, and verifies it. Names hold printable ASCII without ",()=[]{}"; "_" is
 * an absent input. `lookup` finds the data of a constant in its dtype (`value` has none yet), and may
 * allocate it with rt_graph_alloc; RETORT_NOMEM: out of memory; any other status: there is none. lookup
 * NULL: data stays NULL, which is enough to test rewrites that do not compute. */
typedef retort_status (*rt_lookup_fn)(void *user, rt_graph *graph, const rt_value *value, rt_tensor *out);
retort_status rt_graph_parse(rt_graph *out, const char *name, const char *text, size_t length,
                             rt_lookup_fn lookup, void *user, retort_error *err);

/* Plain C evaluation of a plain (level 0) operator on concrete tensors: the yardstick for everything else,
 * and used for constant folding. The first call sets the shapes of the outputs (`outputs[i].data == NULL`:
 * shapes only), the second fills outputs[i].data (writable memory of the caller, 64-byte aligned). */
typedef struct rt_op_evaluation {
    const rt_node *node;
    int64_t mask_id;
    const rt_tensor *inputs[RT_MAX_INPUTS]; /* NULL for absent */
    rt_tensor outputs[RT_MAX_OUTPUTS];
} rt_op_evaluation;
retort_status rt_op_evaluate(rt_op_evaluation *e, retort_error *err);

#endif
