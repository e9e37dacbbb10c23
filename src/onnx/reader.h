/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the ONNX reader share: an index of the values in the file, and what each has been read as. */
#ifndef RT_ONNX_READER_H
#define RT_ONNX_READER_H

#include "base/names.h"
#include "onnx/read_graph.h"

/* What a value is computed from, as bits; none: from constants. */
enum {
    RT_FROM_SHAPES = 1 << 0, /* the dims of a batch */
    RT_FROM_MASK = 1 << 1,
    RT_FROM_IDS = 1 << 2,
    RT_FROM_TYPES = 1 << 3,
    RT_FROM_TABLES = 1 << 4 /* rows of a table picked by any of these: activations */
};

/* A value of the file. */
typedef struct rt_onnx_source {
    int node;                     /* that makes it; -1: an input or an initializer */
    const rt_onnx_tensor *tensor; /* the constant that it is, or NULL */
    unsigned from;
    bool input; /* one of the graph, whatever its integer type */
} rt_onnx_source;

typedef struct rt_onnx_index {
    const rt_onnx *onnx;
    const char *file;
    int64_t opset;
    rt_names names;          /* value -> its index in sources */
    rt_onnx_source *sources; /* [count] */
    size_t count;
    rt_arena arena; /* tensors of Constant nodes */
} rt_onnx_index;

typedef enum rt_read_kind {
    RT_READ_NOT,   /* not yet read */
    RT_READ_VALUE, /* a value of the graph */
    RT_READ_CODES, /* activations (value) on their way to integers of this scale and zero point, if they are constant */
    RT_READ_SCALE,   /* the scale of such codes, times `scale` when that is there */
    RT_READ_ZERO,    /* their zero point */
    RT_READ_PRODUCT, /* codes (value) times the integers `codes` less `zero`, scales not yet applied */
    RT_READ_PICKED,  /* rows of the integers `codes` that the ids (value) name */
    RT_READ_MERGED,  /* value, with its first two dims as one, and the last two swapped when `swapped` */
    RT_READ_DIMS     /* the dims of such a one */
} rt_read_kind;

typedef struct rt_read {
    rt_read_kind kind;
    int value;
    int64_t offset; /* what to add to `value` for the position */
    bool swapped;
    int64_t heads; /* of distances that stand there for each head of each sequence, how many heads; else 0 */
    const rt_onnx_tensor *codes, *zero, *scale;
} rt_read;

/* The batch for which values are evaluated. */
typedef struct rt_onnx_batch {
    int64_t batch, seq;
    const int64_t *lengths; /* [batch], each at most seq; NULL: all are seq */
    int64_t id, step;       /* tokens of sequence i are id + i step, */
    int64_t other;          /* but the second, the fifth, the eighth … are this */
} rt_onnx_batch;
static inline int64_t rt_onnx_length(const rt_onnx_batch *batch, int64_t sequence) {
    return batch->lengths != NULL ? batch->lengths[sequence] : batch->seq;
}

/* How a mask of keys is kept. */
typedef enum rt_key_mask {
    RT_KEYS_ADDED,  /* f32 [batch, 1, 1, seq]: 0, or a very negative number for padding */
    RT_KEYS_KEPT,   /* bool: true for tokens */
    RT_KEYS_PADDED, /* bool: true for padding */
    RT_KEY_MASKS
} rt_key_mask;

typedef struct rt_onnx_reader {
    const rt_onnx_index *index;
    const rt_onnx_graph_options *options;
    rt_graph *graph;
    rt_read *reads; /* [index->count] */
    char *states;   /* [nodes] 1: on the stack, 2: read */
    int *stack;
    size_t depth, stack_capacity;
    rt_names taken;                                         /* names of nodes and constants */
    rt_arena names;                                         /* their texts */
    const rt_onnx_node *at;                                 /* the node that is being read */
    int key_masks[RT_KEY_MASKS], positions, counted, zeros; /* values, -1 while there are none */
    size_t evaluated;                                       /* values that were evaluated for some batches */
    /* When values are evaluated: the batch, and the reader whose shapes they take; else NULL. */
    const rt_onnx_batch *batch;
    const struct rt_onnx_reader *shapes_of;
    size_t bytes;  /* of what was evaluated */
    size_t probed; /* the same of the readers that did it */
    retort_error *err;
    retort_status status; /* the first refusal, or RETORT_OK */
} rt_onnx_reader;

/* Refuses the node that is being read, and returns false. The first refusal is kept. */
bool rt_read_refuse(rt_onnx_reader *r, const char *expected);
bool rt_read_no_memory(rt_onnx_reader *r);

/* ---- Nodes of the file ---- */

static inline const char *rt_read_input(const rt_onnx_node *node, size_t index) {
    return index < node->input_count ? node->inputs[index] : "";
}
int64_t rt_read_int(const rt_onnx_node *node, const char *attr, int64_t otherwise);
float rt_read_real(const rt_onnx_node *node, const char *attr, float otherwise);
const char *rt_read_text(const rt_onnx_node *node, const char *attr);
/* The index of a value; -1 for "". */
int rt_read_find(const rt_onnx_index *index, const char *name);
/* The node that makes the value, or NULL. */
const rt_onnx_node *rt_read_maker(const rt_onnx_index *index, const char *name);
/* The constant that the value is, or NULL. */
const rt_onnx_tensor *rt_read_tensor(const rt_onnx_index *index, const char *name);

/* ---- Values of the graph ---- */

/* The value that an input of the node was read as; -1 when it is absent, or no plain value (then it is refused). */
int rt_read_value(rt_onnx_reader *r, const rt_onnx_node *node, size_t index);
/* What it was read as, of any kind; NULL: absent. */
const rt_read *rt_read_of(const rt_onnx_reader *r, const rt_onnx_node *node, size_t index);
/* Output `index` of the node being read is this value. False when value is -1. */
bool rt_read_as(rt_onnx_reader *r, const rt_onnx_node *node, size_t index, int value);
bool rt_read_put(rt_onnx_reader *r, const rt_onnx_node *node, size_t index, rt_read read);
/* A node of the graph, named after the one being read; its first output, or -1. `attrs` may be NULL. */
int rt_read_emit(rt_onnx_reader *r, rt_op op, int count, const int *inputs, const rt_attrs *attrs);
int rt_read_emit1(rt_onnx_reader *r, rt_op op, int x);
int rt_read_emit2(rt_onnx_reader *r, rt_op op, int x, int y);
int rt_read_scalar(rt_onnx_reader *r, float number);
int rt_read_index(rt_onnx_reader *r, int64_t number);
int rt_read_ints(rt_onnx_reader *r, size_t count, const int64_t *numbers);
/* A constant of floats, whose data comes from rt_graph_alloc. */
int rt_read_floats(rt_onnx_reader *r, int rank, const int64_t *dims, const float *data);
/* The constant that a tensor is: floats of any width as f32, integers as i64. */
int rt_read_constant(rt_onnx_reader *r, const rt_onnx_tensor *tensor);
/* Columns from…from+n of a constant [rows, columns] or [columns]; -1: it is none of these, or has fewer. */
int rt_read_columns(rt_onnx_reader *r, int value, int64_t from, int64_t n);
/* A constant [rows, columns] as [columns, rows]; -1: it is none. */
int rt_read_turned(rt_onnx_reader *r, int value);
/* x w + b; b may be -1. */
int rt_read_linear(rt_onnx_reader *r, int x, int weight, int bias);
/* act(x) spelled out in plain operators. */
int rt_read_gelu(rt_onnx_reader *r, int x, bool tanh);
/* The indices that an input is: value + *offset, the offset being that of positions. */
int rt_read_places(rt_onnx_reader *r, const rt_onnx_node *node, size_t index, int64_t *offset);
/* The rows places + offset of a table; -1 and a refusal when it has none. */
int rt_read_rows(rt_onnx_reader *r, int table, int places, int64_t offset, int64_t axis);
/* The batch's mask of keys in that form. */
int rt_read_key_mask(rt_onnx_reader *r, rt_key_mask how);
/* 0, 1, … for the tokens of each sequence, [1, seq]. */
int rt_read_positions(rt_onnx_reader *r);
/* 0 for padding, and for others how many up to it are not padding. */
int rt_read_counted(rt_onnx_reader *r);

/* Added to scores: 0 for keys at most `window` from a query, and for others a very negative number, [1, 1, seq, seq]. */
int rt_read_window(rt_onnx_reader *r, int64_t window);
/* Positions times angles, [1, seq, count]; where both halves are equal, those of one half twice. */
int rt_read_turns(rt_onnx_reader *r, int64_t count, const float *angles);
/* [batch, 1, 1] */
int rt_read_repeats(rt_onnx_reader *r);
/* rows[j - i + longest - 1] for each query i and key j, [seq, seq] after axes of 1; the data is that of the graph. */
int rt_read_distances(rt_onnx_reader *r, int64_t longest, const int64_t *rows, int rank);

/* ---- Integers (read_integers.c) ---- */

bool rt_read_is_integer(const rt_onnx_tensor *t);
/* Integers as floats, with a scale and a zero point (or NULL) for all, for each place along the axis, or for each
 * block along it; -1 and a refusal when they do not fit. */
int rt_read_dequantized(rt_onnx_reader *r, const rt_onnx_tensor *codes, const rt_onnx_tensor *scale,
                        const rt_onnx_tensor *zero, int64_t axis, int64_t block);
/* Whether the scale and the zero point that these inputs of the node are (SIZE_MAX: it has none) are those with
 * which the codes were made; else refuses. */
bool rt_read_is_scaled(rt_onnx_reader *r, const rt_onnx_node *node, const rt_read *codes, size_t scale,
                       size_t zero);

/* ---- Operators, by name: rows of read_operators.c and read_microsoft.c ---- */

typedef bool (*rt_reader_fn)(rt_onnx_reader *r, const rt_onnx_node *node);
typedef struct rt_read_row {
    const char *op;
    rt_reader_fn read;
} rt_read_row;
/* How the operator is read; NULL: it is not known. */
rt_reader_fn rt_read_operator(const rt_onnx_node *node);
rt_reader_fn rt_read_microsoft(const rt_onnx_node *node);
rt_reader_fn rt_read_integer_operator(const rt_onnx_node *node);
/* How rows are found in a table of rows. */
rt_reader_fn rt_read_find_row(const rt_read_row *rows, size_t count, const char *op);

/* ---- What is evaluated (read_batches.c) ---- */

/* The value `index` of the file as a mask of keys, as positions or as zeros: 1, and reads[index] is set; 0: it is
 * none of these; -1: shapes that it takes must be read first, and are on the stack. */
int rt_read_recognise(rt_onnx_reader *r, int index);
/* Reads what is on the stack (read_graph.c). */
void rt_read_stack(rt_onnx_reader *r);
bool rt_read_push(rt_onnx_reader *r, int node);
bool rt_reader_open(rt_onnx_reader *r, const rt_onnx_index *index, rt_graph *graph);
void rt_reader_close(rt_onnx_reader *r);

#endif
