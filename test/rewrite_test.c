/* SPDX-License-Identifier: Apache-2.0
 * Rewrites of levels 2 and 3: text in, text out; and the numbers that they make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <string.h>

typedef retort_status (*rewrite_fn)(rt_graph *graph, size_t *count, retort_error *err);

/* Every float constant has these numbers, every stored integer one counts up. */
enum { NUMBERS = 4096 };
static _Alignas(64) float floats[NUMBERS];
static _Alignas(64) int64_t integers[NUMBERS];

static retort_status look_up(void *user, rt_graph *graph, const rt_value *value, rt_tensor *out) {
    (void)user;
    (void)graph;
    *out = (rt_tensor){.data = floats, .dtype = RETORT_F32, .rank = 1, .shape = {NUMBERS}};
    if (strcmp(value->name, "position_ids") != 0) return RETORT_OK;
    *out = (rt_tensor){.data = integers, .dtype = RETORT_I64, .rank = 1, .shape = {NUMBERS}};
    return RETORT_OK;
}

static int fill(void **state) {
    (void)state;
    for (int i = 0; i < NUMBERS; i++) {
        floats[i] = (float)((i * 37) % 101 - 50) / 64;
        integers[i] = i;
    }
    return 0;
}

static rt_graph parse(const char *text) {
    rt_graph graph;
    retort_error err = {0};
    retort_status status = rt_graph_parse(&graph, "test", text, strlen(text), look_up, NULL, &err);
    if (status != RETORT_OK) fail_msg("%s", err.text);
    return graph;
}

static int collect(void *user, const char *text, size_t length) {
    rt_buffer_append(user, text, length);
    return 0;
}

/* What follows the sources: nodes and the output. */
static void assert_nodes(const rt_graph *graph, const char *expected) {
    rt_buffer text = {0};
    retort_error err = {0};
    if (rt_graph_verify(graph, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(rt_graph_print(graph, collect, &text), RETORT_OK);
    const char *nodes = text.data;
    while (strncmp(nodes, "graph ", 6) == 0 || strncmp(nodes, "input ", 6) == 0 ||
           strncmp(nodes, "const ", 6) == 0) {
        nodes = strchr(nodes, '\n') + 1;
    }
    assert_string_equal(nodes, expected);
    rt_buffer_free(&text);
}

static size_t apply(rt_graph *graph, rewrite_fn rewrite) {
    size_t count = 0;
    retort_error err = {0};
    if (rewrite(graph, &count, &err) != RETORT_OK) fail_msg("%s", err.text);
    return count;
}

/* One rewrite that applies `count` times. */
static void assert_rewrites(rewrite_fn rewrite, const char *before, size_t count, const char *nodes) {
    rt_graph graph = parse(before);
    assert_int_equal(apply(&graph, rewrite), count);
    assert_nodes(&graph, nodes);
    assert_int_equal(apply(&graph, rewrite), 0);
    rt_graph_free(&graph);
}

/* One that leaves the graph alone. */
static void assert_refuses(rewrite_fn rewrite, const char *text) {
    rt_graph graph = parse(text);
    size_t nodes = graph.node_count;
    assert_int_equal(apply(&graph, rewrite), 0);
    assert_int_equal(graph.node_count, nodes);
    rt_graph_free(&graph);
}

static const float *data_of(const rt_graph *graph, const char *name) {
    assert_true(rt_value_find(graph, name) >= 0);
    return graph->values[rt_value_find(graph, name)].data;
}

#define LEVEL(level)                                                                                         \
    "graph level=" level                                                                                     \
    " mask_id=4\ninput input_ids i64 [batch, seq]\ninput attention_mask i64 [batch, seq]\n"
#define RAGGED  "graph level=3 mask_id=4\ninput input_ids i64 [tokens]\n"
#define WEIGHTS "const w f32 rows [8, 8]\nconst b f32 rows [8]\n"
/* x: [batch, seq, 8] */
#define TABLE "const table f32 rows [9, 8]\n"
#define ROWS  "x = Gather(table, input_ids)\n"

/* ---- LayerNorm and embeddings ---- */

static void test_layer_norm(void **state) {
    (void)state;
    const char *constants =
        LEVEL("2") WEIGHTS TABLE "const eps f32 rows [] = {1e-05}\nconst two f32 rows [] = {2}\n" ROWS
                                 "m = ReduceMean(x:0) axis=-1 keepdims=1\nc = Sub(x:0, m:0)\n";
    const char *rest = "v = ReduceMean(s:0) axis=2 keepdims=1\ne = Add(v:0, eps)\nr = Sqrt(e:0)\n"
                       "n = Div(c:0, r:0)\ng = Mul(b, n:0)\nnorm.y = Add(g:0, b)\noutput norm.y:0\n";
    static const char *const squares[] = {"s = Pow(c:0, two)\n", "s = Mul(c:0, c:0)\n"};
    for (size_t i = 0; i < 2; i++) {
        char text[2048];
        snprintf(text, sizeof text, "%s%s%s", constants, squares[i], rest);
        assert_rewrites(rt_rewrite_fuse_layer_norm, text, 1,
                        ROWS "norm = LayerNorm(x:0, b, b) epsilon=9.99999975e-06\noutput norm:0\n");
    }
    char text[2048];
    snprintf(text, sizeof text, "%ss = Mul(x:0, x:0)\n%s", constants, rest);
    assert_refuses(rt_rewrite_fuse_layer_norm, text);
}

static void test_rms_norm(void **state) {
    (void)state;
    static const char *const forms[] = {
        "s = Mul(x:0, x:0)\nv = ReduceMean(s:0) axis=-1 keepdims=1\ne = Add(v:0, eps)\nr = Sqrt(e:0)\n"
        "n = Div(x:0, r:0)\n",
        "s = Pow(x:0, two)\nv = ReduceMean(s:0) axis=2 keepdims=1\ne = Add(v:0, eps)\nr = Sqrt(e:0)\n"
        "i = Div(one, r:0)\nn = Mul(x:0, i:0)\n",
        /* of something else */
        "s = Mul(x:0, x:0)\nv = ReduceMean(s:0) axis=-1 keepdims=1\ne = Add(v:0, eps)\nr = Sqrt(e:0)\n"
        "o = Add(x:0, b)\nn = Div(o:0, r:0)\n",
    };
    for (size_t i = 0; i < 3; i++) {
        char text[2048];
        snprintf(text, sizeof text,
                 LEVEL("2") WEIGHTS TABLE "const eps f32 rows [] = {1e-05}\nconst two f32 rows [] = {2}\n"
                                          "const one f32 rows [] = {1}\n" ROWS
                                          "%snorm.y = Mul(b, n:0)\noutput norm.y:0\n",
                 forms[i]);
        if (i < 2)
            assert_rewrites(rt_rewrite_fuse_layer_norm, text, 1,
                            ROWS "norm = LayerNorm(x:0, b) epsilon=9.99999975e-06 rms=1\noutput norm:0\n");
        else
            assert_refuses(rt_rewrite_fuse_layer_norm, text);
    }
}

/* Rows of words that more than a norm reads. */
static void test_embed_without_norm(void **state) {
    (void)state;
    const char *words = LEVEL("2") WEIGHTS TABLE "w0 = Gather(table, input_ids)\n";
    const char *norm = "n = LayerNorm(w0:0, b, b) epsilon=1e-12\n";
    char text[2048];
    snprintf(text, sizeof text, "%s%ss = Add(n:0, w0:0)\noutput s:0\n", words, norm);
    assert_rewrites(rt_rewrite_fuse_embed, text, 1,
                    "w0 = Embed(input_ids, table)\nn = LayerNorm(w0:0, b, b) epsilon=9.99999996e-13\n"
                    "s = Add(n:0, w0:0)\noutput s:0\n");
    snprintf(text, sizeof text, "%ss = Add(w0:0, w0:0)\noutput s:0\n", words);
    assert_rewrites(rt_rewrite_fuse_embed, text, 1,
                    "w0 = Embed(input_ids, table)\ns = Add(w0:0, w0:0)\noutput s:0\n");
}

#define POSITIONS(start)                                                                                     \
    "const position_ids i64 rows [1, 6]\nconst zero i64 rows [1] = {0}\nconst start i64 rows [1] = {" start  \
    "}\nconst axes i64 rows [1] = {1}\nconst one i64 rows [] = {1}\n"                                        \
    "shape = Shape(input_ids)\nlength = Gather(shape:0, one)\nend = Unsqueeze(length:0, zero)\n"             \
    "places = Slice(position_ids, start, end:0, axes, axes)\n"

static void test_embed(void **state) {
    (void)state;
    const char *words = "w0 = Gather(table, input_ids)\np0 = Gather(w, places:0)\n";
    const char *sums[] = {"s = Add(w0:0, p0:0)\n", "s = Add(p0:0, w0:0)\n"};
    const char *norm = "e.norm = LayerNorm(s:0, b, b) epsilon=1e-12\noutput e.norm:0\n";
    char text[2048];
    for (size_t i = 0; i < 2; i++) {
        snprintf(text, sizeof text, LEVEL("2") WEIGHTS TABLE POSITIONS("0") "%s%s%s", words, sums[i], norm);
        assert_rewrites(rt_rewrite_fuse_embed, text, 1,
                        "e = Embed(input_ids, table, w, b, b) epsilon=9.99999996e-13\noutput e:0\n");
    }
    snprintf(text, sizeof text,
             LEVEL("2") "input token_type_ids i64 [batch, seq]\n" WEIGHTS TABLE POSITIONS(
                 "0") "%s"
                      "t0 = Gather(w, token_type_ids)\nwt = Add(w0:0, t0:0)\ns = Add(wt:0, p0:0)\n%s",
             words, norm);
    assert_rewrites(
        rt_rewrite_fuse_embed, text, 1,
        "e = Embed(input_ids, table, w, b, b, token_type_ids, w) epsilon=9.99999996e-13\noutput e:0\n");
    snprintf(text, sizeof text, LEVEL("2") WEIGHTS TABLE POSITIONS("0") "%s%s%s", words, "s = Add(w0:0, b)\n",
             norm);
    assert_rewrites(rt_rewrite_fuse_embed, text, 1, /* no positions: what all tokens get goes to the words */
                    "e = Embed(input_ids, table, _, b, b) epsilon=9.99999996e-13\noutput e:0\n");
}

static void test_embed_needs_positions_from_zero(void **state) {
    (void)state;
    rt_graph graph = parse(LEVEL("2") WEIGHTS TABLE POSITIONS(
        "0") "w0 = Gather(table, input_ids)\np0 = Gather(w, places:0)\ns = Add(w0:0, p0:0)\n"
             "e.norm = LayerNorm(s:0, b, b) epsilon=1e-12\noutput e.norm:0\n");
    integers[5] = 4;
    assert_int_equal(apply(&graph, rt_rewrite_fuse_embed), 0);
    integers[5] = 5;
    assert_int_equal(apply(&graph, rt_rewrite_fuse_embed), 1);
    rt_graph_free(&graph);
}

/* ---- Linear, residual, activation ---- */

static void test_linear(void **state) {
    (void)state;
    assert_rewrites(rt_rewrite_fuse_linear,
                    LEVEL("2") WEIGHTS TABLE ROWS
                    "a.q.matmul = MatMul(x:0, w)\na.q.add = Add(b, a.q.matmul:0)\n"
                    "k.matmul = MatMul(a.q.add:0, w)\noutput k.matmul:0\n",
                    2, ROWS "a.q = Linear(x:0, w, b)\nk = Linear(a.q:0, w)\noutput k:0\n");
    assert_rewrites(rt_rewrite_fuse_linear, /* a second reader of the product keeps it */
                    LEVEL("2") WEIGHTS TABLE ROWS
                    "m = MatMul(x:0, w)\ns = Add(m:0, b)\nt = Add(m:0, s:0)\noutput t:0\n",
                    1, ROWS "m = Linear(x:0, w)\ns = Add(m:0, b)\nt = Add(m:0, s:0)\noutput t:0\n");
}

static void test_gemm(void **state) {
    (void)state;
    rt_graph graph = parse(LEVEL("2") "const h.weight f32 rows [3, 8]\nconst c f32 rows [3]\n" TABLE
                                      "const first i64 rows [] = {0}\n" ROWS "f = Gather(x:0, first) axis=1\n"
                                      "h.gemm = Gemm(f:0, h.weight, c) trans_b=1\noutput h.gemm:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_fuse_linear), 1);
    assert_nodes(&graph, ROWS "f = Gather(x:0, first) axis=1\nh = Linear(f:0, h.weight, c)\noutput h:0\n");
    const float *weight = data_of(&graph, "h.weight");
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 3; j++) assert_true(weight[i * 3 + j] == floats[j * 8 + i]);
    }
    rt_graph_free(&graph);
}

static void test_residual(void **state) {
    (void)state;
    assert_rewrites(rt_rewrite_fuse_residual,
                    LEVEL("2") WEIGHTS TABLE ROWS "l = Linear(x:0, w)\ns = Add(x:0, l:0)\noutput s:0\n", 1,
                    ROWS "l = Linear(x:0, w, _, x:0)\noutput l:0\n");
    assert_refuses(rt_rewrite_fuse_residual, /* read twice */
                   LEVEL("2") WEIGHTS TABLE ROWS
                   "l = Linear(x:0, w)\ns = Add(x:0, l:0)\nt = Mul(s:0, l:0)\noutput t:0\n");
    assert_refuses(rt_rewrite_fuse_residual, /* broadcast */
                   LEVEL("2") WEIGHTS TABLE ROWS "l = Linear(x:0, w)\ns = Add(b, l:0)\noutput s:0\n");
}

#define PARTS                                                                                                \
    "const wide f32 rows [8, 24]\nconst wide.bias f32 rows [24]\nconst zero i64 rows [1] = {0}\n"            \
    "const one i64 rows [1] = {1}\nconst two i64 rows [1] = {2}\nconst last i64 rows [1] = {-1}\n"           \
    "const eight i64 rows [1] = {8}\nconst most i64 rows [1] = {9223372036854775807}\n"                      \
    "const five i64 rows [5] = {0, 0, 3, 2, 4}\nconst at i64 rows [] = {2}\n" TABLE ROWS                     \
    "l = Linear(x:0, wide, wide.bias)\n"

/* Columns 8 to 23 of the Linear, and its third part of three with two heads. */
static void test_split(void **state) {
    (void)state;
    rt_graph graph = parse(LEVEL("2") PARTS "y = Slice(l:0, eight, most, last)\noutput y:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_split_linear), 1);
    assert_nodes(&graph, ROWS "y = Linear(x:0, y.weight, y.bias)\noutput y:0\n");
    const float *weight = data_of(&graph, "y.weight"), *bias = data_of(&graph, "y.bias");
    for (int j = 0; j < 16; j++) {
        for (int i = 0; i < 8; i++) assert_true(weight[i * 16 + j] == floats[i * 24 + 8 + j]);
        assert_true(bias[j] == floats[8 + j]);
    }
    rt_graph_free(&graph);
    static const char *const heads[] = {"p = Slice(h:0, two, most, two)\ny = Squeeze(p:0, two)\noutput y:0\n",
                                        "y = Gather(h:0, at) axis=2\noutput y:0\n"};
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) {
        char text[2048];
        snprintf(text, sizeof text, LEVEL("2") PARTS "h = Reshape(l:0, five)\n%s", heads[k]);
        assert_rewrites(rt_rewrite_split_linear, text, 1,
                        ROWS "y.columns = Linear(x:0, y.weight, y.bias)\n"
                             "y = Reshape(y.columns:0, y.shape)\noutput y:0\n");
    }
    assert_refuses(rt_rewrite_split_linear, /* rows, not columns */
                   LEVEL("2") PARTS "y = Slice(l:0, zero, one, one)\noutput y:0\n");
    assert_refuses(rt_rewrite_split_linear, /* a head, not a part */
                   LEVEL("2") PARTS "h = Reshape(l:0, five)\ny = Gather(h:0, at) axis=4\noutput y:0\n");
}

#define SCALARS                                                                                              \
    "const root f32 rows [] = {1.41421354}\nconst inverse f32 rows [] = {0.707106769}\n"                     \
    "const one f32 rows [] = {1}\nconst half f32 rows [] = {0.5}\nconst three f32 rows [] = {3}\n"           \
    "const cubic f32 rows [] = {0.0447149985}\nconst outer f32 rows [] = {0.797884583}\n"
#define LINEAR LEVEL("2") WEIGHTS TABLE SCALARS ROWS "l = Linear(x:0, w, b)\n"

static void test_activation(void **state) {
    (void)state;
    static const struct {
        const char *nodes, *act;
    } rows[] = {
        {"d = Div(l:0, root)\ne = Erf(d:0)\no = Add(e:0, one)\nm = Mul(l:0, o:0)\ny = Mul(m:0, half)\n",
         "gelu"},
        {"d = Mul(inverse, l:0)\ne = Erf(d:0)\no = Add(one, e:0)\nh = Mul(l:0, half)\ny = Mul(o:0, h:0)\n",
         "gelu"},
        {"c = Pow(l:0, three)\nk = Mul(c:0, cubic)\ni = Add(l:0, k:0)\ns = Mul(i:0, outer)\nt = Tanh(s:0)\n"
         "o = Add(t:0, one)\nh = Mul(l:0, half)\ny = Mul(h:0, o:0)\n",
         "gelu_tanh"},
        {"q = Mul(l:0, l:0)\nc = Mul(q:0, l:0)\nk = Mul(c:0, cubic)\ni = Add(k:0, l:0)\ns = Mul(outer, i:0)\n"
         "t = Tanh(s:0)\no = Add(t:0, one)\nh = Mul(l:0, half)\ny = Mul(h:0, o:0)\n",
         "gelu_tanh"},
        {"y = Relu(l:0)\n", "relu"},
        {"y = Tanh(l:0)\n", "tanh"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char before[2048], after[256];
        snprintf(before, sizeof before, LINEAR "%soutput y:0\n", rows[i].nodes);
        snprintf(after, sizeof after, ROWS "l = Linear(x:0, w, b) act=%s\noutput l:0\n", rows[i].act);
        assert_rewrites(rt_rewrite_fuse_activation, before, 1, after);
    }
}

static void test_activation_refused(void **state) {
    (void)state;
    static const char *const rows[] = {
        "e = Erf(l:0)\no = Add(e:0, one)\nm = Mul(l:0, o:0)\ny = Mul(m:0, half)\n", /* not x/√2 */
        "d = Div(l:0, root)\ne = Erf(d:0)\no = Add(e:0, one)\ny = Mul(l:0, o:0)\n", /* no half */
        "y0 = Relu(l:0)\ny = Add(y0:0, l:0)\n",                                     /* x is read again */
        "d = Div(l:0, root)\ne = Erf(d:0)\no = Add(e:0, one)\nm = Mul(l:0, o:0)\nz = Mul(m:0, half)\n"
        "y = Add(z:0, e:0)\n", /* a part of the pattern is read elsewhere */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[2048];
        snprintf(text, sizeof text, LINEAR "%soutput y:0\n", rows[i]);
        assert_refuses(rt_rewrite_fuse_activation, text);
    }
}

/* ---- Attention ---- */

#define HEADS                                                                                                \
    "const split i64 rows [4] = {0, 0, 2, 4}\nconst join i64 rows [3] = {0, 0, 8}\n"                         \
    "const rootd f32 rows [] = {2}\nconst half f32 rows [] = {0.5}\nconst unit f32 rows [] = {1}\n"          \
    "const low f32 rows [] = {-3.40282347e+38}\nconst a1 i64 rows [1] = {1}\nconst a2 i64 rows [1] = {2}\n"  \
    "const a12 i64 rows [2] = {1, 2}\nconst a13 i64 rows [2] = {1, 3}\nconst none i64 rows [] = {0}\n" ROWS  \
    "q = Linear(x:0, w, b)\nk = Linear(x:0, w, b)\nv = Linear(x:0, w, b)\n"                                  \
    "q4 = Reshape(q:0, split)\nqt = Transpose(q4:0) perm=[0, 2, 1, 3]\n"                                     \
    "k4 = Reshape(k:0, split)\nkt = Transpose(k4:0) perm=[0, 2, 3, 1]\n"                                     \
    "v4 = Reshape(v:0, split)\nvt = Transpose(v4:0) perm=[0, 2, 1, 3]\n"
#define CONTEXT                                                                                              \
    "a.softmax = Softmax(masked:0) axis=-1\nc = MatMul(a.softmax:0, vt:0)\n"                                 \
    "ct = Transpose(c:0) perm=[0, 2, 1, 3]\na.reshape = Reshape(ct:0, join)\noutput a.reshape:0\n"
#define ADDED_MASK                                                                                           \
    "m1 = Unsqueeze(attention_mask, a1)\nm2 = Unsqueeze(m1:0, a2)\nm3 = Cast(m2:0)\nm4 = Sub(unit, m3:0)\n"  \
    "m5 = Mul(m4:0, low)\n"

static void test_attention(void **state) {
    (void)state;
    static const char *const rows[] = {
        /* BERT */
        ADDED_MASK "s = MatMul(qt:0, kt:0)\nsd = Div(s:0, rootd)\nmasked = Add(sd:0, m5:0)\n",
        ADDED_MASK "s = MatMul(qt:0, kt:0)\nsd = Mul(half, s:0)\nmasked = Add(m5:0, sd:0)\n",
        /* DistilBERT */
        "qd = Div(qt:0, rootd)\ns = MatMul(qd:0, kt:0)\nz = Equal(attention_mask, none)\n"
        "z4 = Unsqueeze(z:0, a12)\nsh = Shape(s:0)\nze = Expand(z4:0, sh:0)\nmasked = Where(ze:0, low, "
        "s:0)\n",
        /* a mask that keeps */
        "s = MatMul(qt:0, kt:0)\nsd = Div(s:0, rootd)\nz = Cast(attention_mask) dtype=bool\n"
        "z4 = Unsqueeze(z:0, a12)\nmasked = Where(z4:0, sd:0, low)\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[4096];
        snprintf(text, sizeof text, LEVEL("2") WEIGHTS TABLE HEADS "%s" CONTEXT, rows[i]);
        assert_rewrites(rt_rewrite_fuse_attention, text, 1,
                        ROWS "q = Linear(x:0, w, b)\nk = Linear(x:0, w, b)\nv = Linear(x:0, w, b)\n"
                             "a = Attention(q:0, k:0, v:0, attention_mask) heads=2 scale=0.5 parts=3\n"
                             "output a:0\n");
    }
}

/* One head of keys and values for two of queries. */
static void test_grouped_attention(void **state) {
    (void)state;
    static const char *const copies[] = {"{0, 0}", "{0, -1}"}; /* the second: not in order */
    for (size_t i = 0; i < 2; i++) {
        char text[4096];
        snprintf(text, sizeof text,
                 LEVEL("2") WEIGHTS TABLE
                 "const wk f32 rows [8, 4]\nconst copies i64 rows [2] = %s\n"
                 "const one i64 rows [4] = {0, 0, 1, 4}\n"
                 "const split i64 rows [4] = {0, 0, 2, 4}\n"
                 "const join i64 rows [3] = {0, 0, 8}\nconst half f32 rows [] = {0.5}\n"
                 "const unit f32 rows [] = {1}\nconst low f32 rows [] = {-3.40282347e+38}\n"
                 "const a1 i64 rows [1] = {1}\nconst a2 i64 rows [1] = {2}\n" ROWS
                 "q = Linear(x:0, w)\nk = Linear(x:0, wk)\nv = Linear(x:0, wk)\n"
                 "q4 = Reshape(q:0, split)\nqt = Transpose(q4:0) perm=[0, 2, 1, 3]\n"
                 "k4 = Reshape(k:0, one)\nkc = Gather(k4:0, copies) axis=2\n"
                 "kt = Transpose(kc:0) perm=[0, 2, 3, 1]\n"
                 "v4 = Reshape(v:0, one)\nvc = Gather(v4:0, copies) axis=2\n"
                 "vt = Transpose(vc:0) perm=[0, 2, 1, 3]\n" ADDED_MASK
                 "s = MatMul(qt:0, kt:0)\nsd = Mul(half, s:0)\nmasked = Add(m5:0, sd:0)\n" CONTEXT,
                 copies[i]);
        if (i == 0)
            assert_rewrites(rt_rewrite_fuse_attention, text, 1,
                            ROWS "q = Linear(x:0, w)\nk = Linear(x:0, wk)\nv = Linear(x:0, wk)\n"
                                 "a = Attention(q:0, k:0, v:0, attention_mask) heads=2 scale=0.5 parts=3 "
                                 "key_heads=1\noutput a:0\n");
        else
            assert_refuses(rt_rewrite_fuse_attention, text);
    }
}

static void test_attention_refused(void **state) {
    (void)state;
    static const char *const rows[] = {
        /* masks queries, not keys */
        "s = MatMul(qt:0, kt:0)\nz = Equal(attention_mask, none)\nz4 = Unsqueeze(z:0, a13)\n"
        "masked = Where(z4:0, low, s:0)\n",
        /* hides what is there */
        "s = MatMul(qt:0, kt:0)\nz = Cast(attention_mask) dtype=bool\nz4 = Unsqueeze(z:0, a12)\n"
        "masked = Where(z4:0, low, s:0)\n",
        /* no mask */
        "s = MatMul(qt:0, kt:0)\nmasked = Div(s:0, rootd)\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[4096];
        snprintf(text, sizeof text, LEVEL("2") WEIGHTS TABLE HEADS "%s" CONTEXT, rows[i]);
        assert_refuses(rt_rewrite_fuse_attention, text);
    }
}

#define ATTENTION                                                                                            \
    LEVEL("2")                                                                                               \
    "const q.weight f32 rows [8, 8]\nconst q.bias f32 rows [8]\nconst k.weight f32 rows [8, 8]\n"            \
    "const k.bias f32 rows [8]\nconst v.weight f32 rows [8, 8]\nconst v.bias f32 rows [8]\n"                 \
    "const o.weight f32 rows [8, 8]\nconst o.bias f32 rows [8]\n" TABLE ROWS                                 \
    "q = Linear(x:0, q.weight, q.bias)\nk = Linear(x:0, k.weight, k.bias)\n"                                 \
    "v = Linear(x:0, v.weight, v.bias)\n"                                                                    \
    "a = Attention(q:0, k:0, v:0, attention_mask) heads=2 scale=0.5 parts=3\n"                               \
    "o = Linear(a:0, o.weight, o.bias, x:0)\noutput o:0\n"

static void test_algebra(void **state) {
    (void)state;
    rt_graph graph = parse(ATTENTION);
    assert_int_equal(apply(&graph, rt_rewrite_scale_into_query), 1);
    assert_int_equal(apply(&graph, rt_rewrite_drop_key_bias), 1);
    assert_int_equal(apply(&graph, rt_rewrite_fold_value_bias), 1);
    assert_nodes(&graph, ROWS "q = Linear(x:0, q.weight, q.bias)\nk = Linear(x:0, k.weight)\n"
                              "v = Linear(x:0, v.weight)\n"
                              "a = Attention(q:0, k:0, v:0, attention_mask) heads=2 scale=1 parts=3\n"
                              "o = Linear(a:0, o.weight, o.bias, x:0)\noutput o:0\n");
    const float *weight = data_of(&graph, "q.weight"), *bias = data_of(&graph, "q.bias");
    const float *moved = data_of(&graph, "o.bias");
    for (int i = 0; i < 64; i++) assert_true(weight[i] == floats[i] / 2);
    for (int j = 0; j < 8; j++) {
        double sum = (double)floats[j];
        for (int i = 0; i < 8; i++) sum += (double)floats[i] * (double)floats[i * 8 + j];
        assert_true(bias[j] == floats[j] / 2);
        assert_true(moved[j] == (float)sum);
    }
    rt_graph_free(&graph);
}

static void test_qkv(void **state) {
    (void)state;
    rt_graph graph = parse(ATTENTION);
    assert_int_equal(apply(&graph, rt_rewrite_drop_key_bias), 1);
    assert_int_equal(apply(&graph, rt_rewrite_fuse_qkv), 1);
    assert_nodes(&graph, ROWS "a.qkv = Linear(x:0, a.qkv.weight, a.qkv.bias)\n"
                              "a = Attention(a.qkv:0, attention_mask) heads=2 scale=0.5 parts=1\n"
                              "o = Linear(a:0, o.weight, o.bias, x:0)\noutput o:0\n");
    const float *weight = data_of(&graph, "a.qkv.weight"), *bias = data_of(&graph, "a.qkv.bias");
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 24; j++) assert_true(weight[i * 24 + j] == floats[i * 8 + j % 8]);
        assert_true(bias[i] == floats[i] && bias[8 + i] == 0 && bias[16 + i] == floats[i]);
    }
    rt_graph_free(&graph);
}

/* ---- Heads ---- */

static void test_select(void **state) {
    (void)state;
    assert_rewrites(rt_rewrite_fuse_select,
                    LEVEL("2") TABLE "const zero i64 rows [] = {0}\n" ROWS
                                     "h.first = Gather(x:0, zero) axis=1\noutput h.first:0\n",
                    1, ROWS "h = Select(x:0) select=first\noutput h:0\n");
    assert_rewrites(rt_rewrite_fuse_select,
                    LEVEL("2") TABLE ROWS "h.rows = MaskRows(x:0, input_ids)\noutput h.rows:0\n", 1,
                    ROWS "h = Select(x:0, input_ids) select=mask\noutput h:0\n");
    assert_refuses(rt_rewrite_fuse_select,
                   LEVEL("2") TABLE "const one i64 rows [] = {1}\n" ROWS
                                    "h.first = Gather(x:0, one) axis=1\noutput h.first:0\n");
}

#define MASK                                                                                                 \
    LEVEL("2")                                                                                               \
    TABLE                                                                                                    \
    "const last i64 rows [1] = {-1}\nconst rows i64 rows [1] = {1}\nconst tiny f32 rows [] = {1e-09}\n"      \
    "const low f32 rows [] = {-1e+09}\nconst zero f32 rows [] = {0}\n" ROWS                                  \
    "u = Unsqueeze(attention_mask, last)\nsh = Shape(x:0)\ne = Expand(u:0, sh:0)\nm = Cast(e:0)\n"

static void test_pool(void **state) {
    (void)state;
    const char *after = ROWS "p = Pool(x:0, attention_mask) pool=mean\noutput p:0\n";
    assert_rewrites(rt_rewrite_fuse_pool,
                    MASK "r = Mul(x:0, m:0)\ns = ReduceSum(r:0, rows)\nc = ReduceSum(m:0, rows)\n"
                         "d = Max(c:0, tiny)\np.mean = Div(s:0, d:0)\noutput p.mean:0\n",
                    1, after);
    assert_rewrites(rt_rewrite_fuse_pool,
                    MASK "r = Mul(m:0, x:0)\ns = ReduceSum(r:0) axis=1\nc = ReduceSum(m:0) axis=1\n"
                         "d = Max(tiny, c:0)\np.mean = Div(s:0, d:0)\noutput p.mean:0\n",
                    1, after);
    assert_rewrites(rt_rewrite_fuse_pool,
                    MASK "z = Equal(m:0, zero)\nr = Where(z:0, low, x:0)\np.max = ReduceMax(r:0) axis=1\n"
                         "output p.max:0\n",
                    1, ROWS "p = Pool(x:0, attention_mask) pool=max\noutput p:0\n");
    assert_refuses(rt_rewrite_fuse_pool, MASK "s = ReduceSum(x:0, rows)\nc = ReduceSum(m:0, rows)\n"
                                              "d = Max(c:0, tiny)\np = Div(s:0, d:0)\noutput p:0\n");
}

static void test_normalize(void **state) {
    (void)state;
    const char *before =
        LEVEL("2") TABLE "const zero i64 rows [] = {0}\nconst last i64 rows [1] = {-1}\nconst tiny f32 rows "
                         "[] = {1e-12}\n" ROWS "h = Select(x:0) select=first\nq = Mul(h:0, h:0)\ns = "
                         "ReduceSum(q:0, last) keepdims=1\nr = Sqrt(s:0)\n"
                         "c = Max(r:0, tiny)\nu.div = Div(h:0, c:0)\noutput u.div:0\n";
    assert_rewrites(rt_rewrite_fuse_normalize, before, 1,
                    ROWS "h = Select(x:0) select=first\nu = Normalize(h:0)\noutput u:0\n");
}

/* ---- Level 3 ---- */

#define EMBEDDED "const g f32 rows [8]\n" WEIGHTS TABLE "e = Embed(input_ids, table, w, g, g) epsilon=1e-12\n"
#define LAYER    "const wq f32 rows [8, 24]\nconst bq f32 rows [24]\n" EMBEDDED "qkv = Linear(e:0, wq, bq)\n"

static void test_remove_padding(void **state) {
    (void)state;
    assert_rewrites(rt_rewrite_remove_padding,
                    LEVEL("3") LAYER "a = Attention(qkv:0, attention_mask) heads=2 scale=1 parts=1\n"
                                     "o = Linear(a:0, w, b, e:0)\nr = Relu(o:0)\n"
                                     "p = Pool(r:0, attention_mask) pool=mean\noutput p:0\n",
                    1,
                    "e = Embed(input_ids, table, w, g, g) epsilon=9.99999996e-13\nqkv = Linear(e:0, wq, bq)\n"
                    "a = Attention(qkv:0) heads=2 scale=1 parts=1\no = Linear(a:0, w, b, e:0)\n"
                    "r = Relu(o:0)\np = Pool(r:0) pool=mean\noutput p:0\n");
}

#define FFN                                                                                                  \
    "a = Attention(qkv:0) heads=2 scale=1 parts=1\no = Linear(a:0, w, b, e:0)\n"                             \
    "n = LayerNorm(o:0, g, g) epsilon=1e-12\nf = Linear(n:0, w, b) act=gelu\nf2 = Linear(f:0, w, b, n:0)\n"  \
    "n2 = LayerNorm(f2:0, g, g) epsilon=1e-12\n"

static void test_prune_rows(void **state) {
    (void)state;
    rt_graph graph = parse(RAGGED LAYER FFN "h = Select(n2:0, input_ids) select=mask\noutput h:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_prune_rows), 1);
    assert_nodes(&graph,
                 "e = Embed(input_ids, table, w, g, g) epsilon=9.99999996e-13\n"
                 "e.rows = Select(e:0, input_ids) select=mask\na.q = Linear(e.rows:0, a.q.weight, a.q.bias)\n"
                 "a.kv = Linear(e:0, a.kv.weight, a.kv.bias)\n"
                 "a = Attention(a.q:0, a.kv:0) heads=2 scale=1 parts=2 select=mask\n"
                 "o = Linear(a:0, w, b, e.rows:0)\nn = LayerNorm(o:0, g, g) epsilon=9.99999996e-13\n"
                 "f = Linear(n:0, w, b) act=gelu\nf2 = Linear(f:0, w, b, n:0)\n"
                 "n2 = LayerNorm(f2:0, g, g) epsilon=9.99999996e-13\noutput n2:0\n");
    const float *q = data_of(&graph, "a.q.weight"), *kv = data_of(&graph, "a.kv.weight");
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 8; j++) assert_true(q[i * 8 + j] == floats[i * 24 + j]);
        for (int j = 0; j < 16; j++) assert_true(kv[i * 16 + j] == floats[i * 24 + 8 + j]);
    }
    assert_int_equal(graph.values[graph.output].dims[0], RT_DIM_MASK_TOKENS);
    rt_graph_free(&graph);
}

/* Q, K and V that were not joined: the Linear of the queries is one more that only some rows are read of. */
static void test_prune_three_parts(void **state) {
    (void)state;
    rt_graph graph = parse(RAGGED EMBEDDED "q = Linear(e:0, w, b)\nk = Linear(e:0, w)\nv = Linear(e:0, w)\n"
                                           "a = Attention(q:0, k:0, v:0) heads=2 scale=1 parts=3\n"
                                           "o = Linear(a:0, w, b, e:0)\nh = Select(o:0) select=first\n"
                                           "output h:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_prune_rows), 1);
    assert_nodes(&graph, "e = Embed(input_ids, table, w, g, g) epsilon=9.99999996e-13\n"
                         "e.rows = Select(e:0) select=first\nq = Linear(e.rows:0, w, b)\n"
                         "k = Linear(e:0, w)\nv = Linear(e:0, w)\n"
                         "a = Attention(q:0, k:0, v:0) heads=2 scale=1 parts=3 select=first\n"
                         "o = Linear(a:0, w, b, e.rows:0)\noutput o:0\n");
    rt_graph_free(&graph);
    /* one value for queries and keys: its rows are selected behind it */
    graph = parse(RAGGED EMBEDDED "q = Linear(e:0, w, b)\nv = Linear(e:0, w)\n"
                                  "a = Attention(q:0, q:0, v:0) heads=2 scale=1 parts=3\n"
                                  "h = Select(a:0) select=first\noutput h:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_prune_rows), 1);
    assert_nodes(&graph, "e = Embed(input_ids, table, w, g, g) epsilon=9.99999996e-13\n"
                         "q = Linear(e:0, w, b)\nq.rows = Select(q:0) select=first\nv = Linear(e:0, w)\n"
                         "a = Attention(q.rows:0, q:0, v:0) heads=2 scale=1 parts=3 select=first\n"
                         "output a:0\n");
    rt_graph_free(&graph);
}

static void test_prune_keeps_what_is_read(void **state) {
    (void)state;
    /* all rows of n are read: only what stands behind is pruned, and attention not at all */
    rt_graph graph = parse(RAGGED LAYER FFN "p = Pool(n:0) pool=mean\nh = Select(n2:0) select=first\n"
                                            "s = Add(h:0, p:0)\noutput s:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_prune_rows), 1);
    assert_nodes(&graph,
                 "e = Embed(input_ids, table, w, g, g) epsilon=9.99999996e-13\nqkv = Linear(e:0, wq, bq)\n"
                 "a = Attention(qkv:0) heads=2 scale=1 parts=1\no = Linear(a:0, w, b, e:0)\n"
                 "n = LayerNorm(o:0, g, g) epsilon=9.99999996e-13\nn.rows = Select(n:0) select=first\n"
                 "f = Linear(n.rows:0, w, b) act=gelu\nf2 = Linear(f:0, w, b, n.rows:0)\n"
                 "n2 = LayerNorm(f2:0, g, g) epsilon=9.99999996e-13\np = Pool(n:0) pool=mean\n"
                 "s = Add(n2:0, p:0)\noutput s:0\n");
    rt_graph_free(&graph);
    assert_refuses(rt_rewrite_prune_rows, RAGGED LAYER FFN "h = Select(n2:0) select=first\n"
                                                           "p = Pool(n2:0) pool=mean\ns = Add(h:0, p:0)\n"
                                                           "output s:0\n");
}

static void test_pack(void **state) {
    (void)state;
    rt_graph graph = parse(RAGGED "const v f32 rows [8, 19]\n" EMBEDDED "l = Linear(e:0, v)\noutput l:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_pack_weights), 1);
    int value = rt_value_find(&graph, "v");
    assert_int_equal(graph.values[value].layout, RT_LAYOUT_P16);
    float rows[8 * 19];
    rt_unpack_f32(8, 19, graph.values[value].data, rows);
    assert_memory_equal(rows, floats, sizeof rows);
    rt_graph_free(&graph);
    /* a matrix with another reader keeps its rows for that one */
    graph = parse(RAGGED EMBEDDED "l = Linear(e:0, w)\noutput l:0\n");
    assert_int_equal(apply(&graph, rt_rewrite_pack_weights), 1);
    assert_nodes(&graph, "e = Embed(input_ids, table, w, g, g) epsilon=9.99999996e-13\n"
                         "l = Linear(e:0, l.weight)\noutput l:0\n");
    assert_int_equal(graph.values[rt_value_find(&graph, "l.weight")].layout, RT_LAYOUT_P16);
    rt_graph_free(&graph);
}

static void test_bf16(void **state) {
    (void)state;
    retort_error err = {0};
    floats[1] = 1 + 0x1p-8f; /* halfway: to even */
    const char *text =
        RAGGED "const t f32 rows [9, 64]\nconst g f32 rows [64]\nconst wo f32 p16 [64, 64]\n"
               "const wq f32 p16 [16, 2]\nconst w1 f32 p16 [64, 16]\n"
               "e = Embed(input_ids, t, t, g, g) epsilon=1e-12\nl1 = Linear(e:0, wo) act=gelu\n"
               "l2 = Linear(l1:0, wo, _, e:0)\nn = LayerNorm(l2:0, g, g) epsilon=1e-12\n"
               "s = Select(n:0) select=first\nl3 = Linear(s:0, wo)\nl4 = Linear(l3:0, w1)\n"
               "h = Linear(l4:0, wq)\noutput h:0\n";
    rt_graph graph = parse(text);
    assert_int_equal(rt_graph_use_bf16(&graph, &err), RETORT_OK);
    assert_nodes(&graph, "e = Embed(input_ids, t, t, g, g) epsilon=9.99999996e-13 narrow=bf16\n"
                         "l1 = Linear(e:1, wo) act=gelu narrow=bf16\nl2 = Linear(l1:0, wo, _, e:0)\n"
                         "n = LayerNorm(l2:0, g, g) epsilon=9.99999996e-13\ns = Select(n:0) select=first\n"
                         "s.narrow = Narrow(s:0) narrow=bf16\nl3 = Linear(s.narrow:0, wo)\n"
                         "l4 = Linear(l3:0, w1)\nh = Linear(l4:0, wq)\noutput h:0\n");
    const rt_value *wo = &graph.values[rt_value_find(&graph, "wo")];
    assert_int_equal(wo->layout, RT_LAYOUT_P16_BF16);
    float narrow[64 * 64], wide[64 * 64];
    rt_unpack_bf16(64, 64, wo->data, narrow);
    rt_unpack_f32(64, 64, floats, wide);
    for (int i = 0; i < 64 * 64; i++) assert_true(narrow[i] == rt_bf16_to_f32(rt_f32_to_bf16(wide[i])));
    rt_graph_free(&graph);
    graph = parse(LEVEL("2") TABLE ROWS "output x:0\n");
    assert_int_equal(rt_graph_use_bf16(&graph, &err), RETORT_ARGUMENT);
    rt_graph_free(&graph);
    fill(NULL);
}

/* A name that is taken gets a number behind it, also where the name is as long as one may be. */
static void test_names_get_numbers(void **state) {
    (void)state;
    char scope[RT_NAME_MAX + 1];
    rt_graph graph = parse("graph level=2 mask_id=-1\ninput x f32 [batch, 4]\nr = Relu(x)\noutput r:0\n");
    int64_t n = 4;
    retort_error err = {0};
    memset(scope, 'a', RT_NAME_MAX);
    for (size_t length = RT_NAME_MAX; length > RT_NAME_MAX - 16; length--) {
        scope[length] = '\0';
        for (int i = 0; i < 12; i++) {
            assert_true(rt_add_constant(&graph, scope, "w", 1, &n, floats) >= 0);
        }
    }
    assert_true(rt_links_open(&graph));
    for (int i = 0; i < 12; i++) assert_true(rt_add_constant(&graph, "a", "w", 1, &n, floats) >= 0);
    assert_string_equal(graph.values[graph.value_count - 2].name, "a.w.11");
    assert_string_equal(graph.values[graph.value_count - 1].name, "a.w.12");
    rt_links_close(&graph);
    if (rt_graph_verify(&graph, &err) != RETORT_OK) fail_msg("%s", err.text);
    rt_graph_free(&graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_rms_norm),
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_embed_without_norm),
        cmocka_unit_test(test_embed_needs_positions_from_zero),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_activation),
        cmocka_unit_test(test_activation_refused),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_grouped_attention),
        cmocka_unit_test(test_attention_refused),
        cmocka_unit_test(test_algebra),
        cmocka_unit_test(test_qkv),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_remove_padding),
        cmocka_unit_test(test_prune_rows),
        cmocka_unit_test(test_prune_three_parts),
        cmocka_unit_test(test_prune_keeps_what_is_read),
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_names_get_numbers),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
