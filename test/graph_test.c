/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"
#include "graph/ops.h"
#include "graph/rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Text in, text out ---- */

static int collect(void *user, const char *text, size_t length) {
    rt_buffer_append(user, text, length);
    return 0;
}

static void assert_prints(const rt_graph *graph, const char *expected) {
    rt_buffer text = {0};
    assert_int_equal(rt_graph_print(graph, collect, &text), RETORT_OK);
    assert_string_equal(text.data, expected);
    rt_buffer_free(&text);
}

/* A graph from text that must parse. */
static rt_graph parse(const char *text) {
    rt_graph graph;
    retort_error err = {0};
    if (rt_graph_parse(&graph, "test", text, strlen(text), NULL, NULL, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    return graph;
}

/* A file of the source tree as text that ends. */
static char *read_text(const char *name) {
    char path[4096];
    rt_map map;
    retort_error err = {0};
    const char *root = getenv("RETORT_ROOT");
    assert_true(rt_path_join(path, sizeof path, root != NULL ? root : ".", name));
    if (rt_map_open(&map, path, &err) != RETORT_OK) fail_msg("%s", err.text);
    char *text = rt_calloc(map.size + 1, 1);
    assert_non_null(text);
    memcpy(text, map.data, map.size);
    rt_map_close(&map);
    return text;
}

static void test_text_round_trip(void **state) {
    (void)state;
    static const char *const files[] = {"fuzz/corpus/graph/level0.txt", "fuzz/corpus/graph/level3.txt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *text = read_text(files[i]);
        rt_graph graph = parse(text);
        assert_prints(&graph, text);
        rt_graph_free(&graph);
        free(text);
    }
}

#define HEADER "graph level=0 mask_id=-1\n"
#define INPUT  HEADER "input x f32 [batch, 4]\n"

static void test_text_holds_every_float(void **state) {
    (void)state;
    const char *text =
        INPUT "const a f32 rows [] = {-3.40282347e+38}\nconst b f32 rows [] = {1.40129846e-45}\n"
              "const c f32 rows [] = {-inf}\nconst d f32 rows [] = {0.100000001}\n"
              "output x\n";
    rt_graph graph = parse(text);
    assert_prints(&graph, text);
    assert_true(*(const float *)graph.values[rt_value_find(&graph, "d")].data == 0.1f);
    rt_graph_free(&graph);
}

static void test_dtype_texts(void **state) {
    (void)state;
    for (int i = RETORT_F32; i <= RETORT_BOOL; i++) {
        retort_dtype found = RETORT_F32;
        const char *name = retort_dtype_name((retort_dtype)i);
        assert_true(rt_dtype_find(name, strlen(name), &found));
        assert_int_equal(found, i);
    }
}

static void test_broken_text(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "test: line 1: expected graph level=0…3 mask_id=N around this, found: the end of the line"},
        {"graph level=4 mask_id=0\n", "line 1: expected graph level=0…3"},
        {HEADER, "test: the graph has no output"},
        {HEADER "input x f99 [2]\n", "line 2: expected a dtype before this, found: [2]"},
        {HEADER "input x f32 2]\n", "line 2: expected [, found: 2]"},
        {HEADER "input x f32 [batch, 12q]\n",
         "expected a dim: a number, batch, seq, tokens or rows, found: 12q]"},
        {HEADER "input x f32 [-1]\n", "expected a dim"},
        {HEADER "input x f32 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n", "no more than 8 dims"},
        {HEADER "input ( f32 [1]\n", "expected a name of 1 to 512 characters, found: ( f32 [1]"},
        {INPUT "input x f32 [1]\n", "line 3: a second value x"},
        {HEADER "const c f32 rows [batch]\noutput c\n", "line 2: c: not a legal shape: rank 1, [batch]"},
        {HEADER "const c f32 rows [4294967296, 4294967296, 16]\n", "c: no rows f32 can have the shape"},
        {HEADER "const c f32 p16 [3]\n", "c: no p16 f32 can have the shape [3]"},
        {HEADER "const c i64 rows [17] = {1}\n", "too big for the text"},
        {HEADER "const c i64 rows [2] = {1}\n", "expected a comma and one more number, found: }"},
        {HEADER "const c i64 rows [1] = {99999999999999999999}\n", "expected a number before this"},
        {INPUT "y = Foo(x)\n", "line 3: expected an operator, found: Foo(x)"},
        {INPUT "y = Erf(z)\n", "line 3: expected a value of a line above, found: z)"},
        {INPUT "y = Erf(x, x)\n", "line 3: y: Erf takes 1 to 1 inputs, found 2"},
        {INPUT "y = Erf(_)\n", "line 3: y: Erf takes 1 to 1 inputs, found 1, or one is missing"},
        {INPUT "y = Erf(x) axis=1\noutput y:0\n", "test: y: Erf has no attribute axis"},
        {INPUT "y = Softmax(x) axis=two\n", "line 3: expected attribute=value before this"},
        {INPUT "y = Softmax(x) axis=2\n", "line 3: y: Softmax(f32[batch, 4]): there is no axis 2"},
        {INPUT "y = MatMul(x, x)\n", "y: MatMul(f32[batch, 4], f32[batch, 4]): the inner dims differ"},
        {INPUT "y = Transpose(x) perm=[1, 1]\n", "perm is not a permutation"},
        {INPUT "y = Select(x) select=first\noutput y:0\n", "y: Select may stand from level 2 on"},
        {INPUT "y = Erf(x)\ny = Erf(x)\n", "line 4: a second value y:0"},
        {INPUT "output x\nz = Erf(x)\n", "line 3: expected nothing after the output"},
        {INPUT "output x y\n", "expected the end of the line, found: y"},
        {INPUT "output y\n", "expected a value of a line above, found: y"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_graph graph;
        retort_error err = {0};
        const char *text = cases[i].text;
        assert_int_not_equal(rt_graph_parse(&graph, "test", text, strlen(text), NULL, NULL, &err), RETORT_OK);
        if (strstr(err.text, cases[i].error) == NULL)
            fail_msg("expected: %s\nfound: %s", cases[i].error, err.text);
    }
}

/* ---- Shapes ---- */

static const char shape_sources[] =
    "graph level=3 mask_id=103\ninput ids i64 [batch, seq]\ninput x f32 [batch, seq, 6]\n"
    "input t f32 [tokens, 6]\ninput w16 bf16 [tokens, 6]\nconst zero i64 rows [] = {0}\n"
    "const ones i64 rows [1] = {1}\nconst zeros i64 rows [1] = {0}\nconst shape i64 rows [4] = {0, -1, "
    "2, 3}\n"
    "const flat i64 rows [2] = {-1, 6}\nconst end i64 rows [1] = {9223372036854775807}\n"
    "const weight f32 rows [6, 18]\nconst packed bf16 p16_bf16 [6, 5]\nconst bias f32 rows [18]\n"
    "const gamma f32 rows [6]\nconst table f32 rows [9, 6]\n"
    "input u i64 [tokens]\ninput t5 f32 [tokens, 5]\nconst w8 s8 p16_s8 [6, 5]\n"
    "const w4 u8 p16_s4 [6, 5]\nconst scale f32 rows [5]\nconst sums i32 rows [5]\n"
    "const weight2 f32 rows [6, 2]\nconst bias5 f32 rows [5]\nconst groups u8 rows [1, 1, 16]\nconst table8 "
    "s8 rows [9, 6]\n"
    "const table4 u8 rows_s4 [9, 6]\nconst scale9 f32 rows [9]\nconst groups9 u8 rows [9, 1]\n"
    "dims = Shape(ids)\nbatch = Gather(dims:0, zero)\nseq = Gather(dims:0, ones)\n"
    "qkv = Linear(x, weight, bias)\nragged = Linear(t, weight)\n"
    "two = Linear(x, weight2)\nragged2 = Linear(t, weight2)\nt8 = Narrow(t) narrow=s8\n";

/* A line "y = …" over some values, and the first output it must have: dtype and dims. */
static void test_shapes(void **state) {
    (void)state;
    static const struct {
        const char *line, *shape;
    } cases[] = {
        {"y = Shape(x)", "i64 [3]"},
        {"y = Gather(table, ids)", "f32 [batch, seq, 6]"},
        {"y = Gather(x, zero) axis=1", "f32 [batch, 6]"},
        {"y = Slice(x, zeros, ones, ones)", "f32 [batch, 1, 6]"},
        {"y = Slice(x, zeros, end, ones)", "f32 [batch, seq, 6]"},
        {"y = Slice(table, zeros, seq:0, zeros)", "f32 [seq, 6]"},
        {"y = Reshape(x, shape)", "f32 [batch, seq, 2, 3]"},
        {"y = Reshape(t, flat)", "f32 [tokens, 6]"},
        {"y = Expand(zeros, dims:0)", "i64 [batch, seq]"},
        {"y = Equal(ids, zero)", "bool [batch, seq]"},
        {"y = Add(x, gamma)", "f32 [batch, seq, 6]"},
        {"y = ReduceMean(x) axis=1", "f32 [batch, 6]"},
        {"y = ReduceSum(x, ones) keepdims=1", "f32 [batch, 1, 6]"},
        {"y = MatMul(x, weight)", "f32 [batch, seq, 18]"},
        {"y = MaskRows(x, ids)", "f32 [rows, 6]"},
        {"y = Embed(ids, table, table, gamma, gamma)", "f32 [batch, seq, 6]"},
        {"y = Linear(w16, packed) narrow=bf16", "bf16 [tokens, 5]"},
        {"y = Linear(x, weight, _, qkv:0) act=gelu", "f32 [batch, seq, 18]"},
        {"y = Attention(qkv:0, ids) heads=2 parts=1", "f32 [batch, seq, 6]"},
        {"y = Attention(ragged:0) heads=3 parts=1 narrow=bf16", "bf16 [tokens, 6]"},
        {"y = Attention(x, x, x, ids) heads=2 parts=3", "f32 [batch, seq, 6]"},
        {"y = Attention(x, two:0, two:0, ids) heads=3 parts=3 key_heads=1", "f32 [batch, seq, 6]"},
        {"y = Attention(t, ragged2:0) heads=6 parts=2 key_heads=1", "f32 [tokens, 6]"},
        {"y = LayerNorm(x, gamma) epsilon=0.1 rms=1", "f32 [batch, seq, 6]"},
        {"y = Embed(ids, table)", "f32 [batch, seq, 6]"},
        {"y = Select(x, ids) select=mask", "f32 [rows, 6]"},
        {"y = Select(t) select=first", "f32 [batch, 6]"},
        {"y = Pool(x, ids) pool=mean", "f32 [batch, 6]"},
        {"y = Pool(t) pool=max", "f32 [batch, 6]"},
        {"y = Narrow(t) narrow=bf16", "bf16 [tokens, 6]"},
        {"y = Narrow(t) narrow=s8", "s8 [tokens, 6]"},
        {"y = Linear(t8:0, w8, _, t5, scale, sums)", "f32 [tokens, 5]"},
        {"y = Linear(t8:0, w4, bias5, _, scale, sums, groups) act=relu group=8", "f32 [tokens, 5]"},
        {"y = Embed(u, table8, table, gamma, gamma, _, _, scale9) narrow=s8", "f32 [tokens, 6]"},
        {"y = Embed(u, table4, table, gamma, gamma, u, table, scale9, groups9) group=32", "f32 [tokens, 6]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[4096], shape[128], found[160];
        snprintf(text, sizeof text, "%s%s\noutput y:0\n", shape_sources, cases[i].line);
        rt_graph graph = parse(text);
        const rt_value *y = &graph.values[graph.output];
        snprintf(found, sizeof found, "%s %s", retort_dtype_name(y->dtype),
                 rt_dims_text(shape, sizeof shape, y->dims, y->rank));
        assert_string_equal(found, cases[i].shape);
        rt_graph_free(&graph);
    }
}

static void test_shapes_that_do_not_fit(void **state) {
    (void)state;
    static const char sources[] =
        "graph level=3 mask_id=103\ninput ids i64 [batch, seq]\ninput x f32 [batch, seq, 6]\n"
        "input t f32 [tokens, 6]\nconst w f32 p16 [6, 6]\nconst wide f32 rows [1073741824]\n"
        "const odd i64 rows [2] = {-1, 5}\nconst two i64 rows [1] = {2}\n"
        "const far i64 rows [3] = {1099511627776, 1099511627776, 1}\n"
        "const one f32 rows [1]\nconst zero i64 rows [1] = {0}\nconst w8 s8 p16_s8 [6, 6]\n"
        "const w4 u8 p16_s4 [6, 6]\nconst scale f32 rows [6]\nconst sums i32 rows [6]\n"
        "const groups u8 rows [1, 1, 16]\nconst word s8 rows [9, 6]\nconst table f32 rows [9, 6]\n"
        "const t16 u8 rows [6, 6]\nt8 = Narrow(t) narrow=s8\n";
    static const char *const lines[] = {
        "y = Reshape(x, odd)",
        "y = Slice(x, zero, two, zero)",
        "y = Attention(x) heads=2 parts=1",
        "y = Attention(t) heads=4 parts=1",
        "y = Attention(t) heads=4 parts=1 key_heads=2",
        "y = Attention(t) heads=4 parts=1 key_heads=3",
        "y = Attention(t) heads=1 parts=1 key_heads=1",
        "y = Attention(t, t, t) heads=2 parts=3 key_heads=1",
        "y = LayerNorm(t, scale, scale) rms=1",
        "y = LayerNorm(t, scale)",
        "y = Embed(ids, table) narrow=bf16",
        "y = Embed(ids, table, _, scale)",
        "y = Add(x, w)",
        "y = Add(x, t)",
        "y = Add(x, ids)",
        "y = Expand(one, far)",
        "y = Linear(t, w, _, x)",
        "y = Pool(x) pool=mean",
        "y = Select(x) select=mask",
        "y = Pow(ids, ids)",
        "y = Concat(x, x)",
        "y = Where(x, x, x)",
        "y = LayerNormalization(x, one, one)",
        "y = Narrow(t)",
        "y = Narrow(x) narrow=s8",
        "y = Linear(t, w) narrow=s8",
        "y = Linear(t, w8, _, _, scale, sums)",
        "y = Linear(t8:0, w)",
        "y = Linear(t8:0, word, _, _, scale, sums)",
        "y = Linear(t8:0, w8)",
        "y = Linear(t8:0, w8, _, _, scale)",
        "y = Linear(t8:0, w8, _, _, scale, sums) narrow=bf16",
        "y = Linear(t8:0, w8, _, _, scale, sums, groups) group=8",
        "y = Linear(t8:0, w4, _, _, scale, sums)",
        "y = Linear(t8:0, w4, _, _, scale, sums, groups)",
        "y = Linear(t8:0, w4, _, _, scale, sums, groups) group=4",
        "y = Linear(t, w, _, _, scale, sums)",
        "y = Linear(t8:0, t16, _, _, scale, sums)",
        "y = Embed(ids, word, table, scale, scale)",
        "y = Embed(ids, table, table, scale, scale, _, _, scale)",
        "y = Embed(ids, w, table, scale, scale)",
        "y = Embed(ids, w8, table, scale, scale, _, _, scale)",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[4096];
        rt_graph graph;
        retort_error err = {0};
        snprintf(text, sizeof text, "%s%s\noutput y:0\n", sources, lines[i]);
        if (rt_graph_parse(&graph, "test", text, strlen(text), NULL, NULL, &err) == RETORT_OK) {
            fail_msg("accepted: %s", lines[i]);
        }
        if (strstr(err.text, "line 21: y: ") == NULL) fail_msg("%s: %s", lines[i], err.text);
    }
}

/* ---- Construction, verification, editing ---- */

static void test_construction_keeps_the_first_fault(void **state) {
    (void)state;
    rt_graph graph = {.output = -1};
    retort_error err = {0};
    int64_t dims[] = {RT_DIM_BATCH, 4};
    int x = rt_graph_input(&graph, "x", RETORT_F32, 2, dims);
    int bad = rt_graph_node(&graph, RT_OP_MATMUL, "bad", 2, (int[]){x, x}, NULL);
    int worse = rt_graph_node(&graph, RT_OP_ERF, "worse", 1, (int[]){rt_node_output(&graph, bad, 0)}, NULL);
    assert_int_equal(bad, -1);
    assert_int_equal(worse, -1);
    graph.output = x;
    assert_int_equal(rt_graph_verify(&graph, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "bad: MatMul(f32[batch, 4], f32[batch, 4]): the inner dims differ"));
    rt_graph_free(&graph);
}

static void break_order(rt_graph *graph) {
    graph->nodes[0].inputs[0] = graph->nodes[1].outputs[0];
}
static void break_index(rt_graph *graph) {
    graph->nodes[0].inputs[0] = 99;
}
static void break_shape(rt_graph *graph) {
    graph->values[graph->nodes[1].outputs[0]].dims[1] = 5;
}
static void break_name(rt_graph *graph) {
    graph->nodes[1].name = "a";
}
static void break_character(rt_graph *graph) {
    graph->nodes[1].name = "a b";
}
static void break_owner(rt_graph *graph) {
    graph->nodes[1].outputs[0] = graph->nodes[0].outputs[0];
}
static void break_arity(rt_graph *graph) {
    graph->nodes[0].input_count = 0;
}
static void break_attribute(rt_graph *graph) {
    graph->nodes[0].attrs.heads = 2;
}
static void break_output(rt_graph *graph) {
    graph->output = -1;
}
static void break_level(rt_graph *graph) {
    graph->nodes[0].op = RT_OP_NORMALIZE;
}

static void test_verify(void **state) {
    (void)state;
    static const struct {
        void (*break_it)(rt_graph *graph);
        const char *error;
    } cases[] = {
        {break_order, "a: reads b:0 before it is made"},
        {break_index, "a: input 0 is not a value"},
        {break_shape, "b: output 0 is f32 [batch, 5], expected f32 [batch, 4]"},
        {break_name, "a: two nodes of this name"},
        {break_character, "node 1: no operator, or a name that text cannot hold"},
        {break_owner, "b:0: is not an output of b"},
        {break_arity, "a: Erf with 0 inputs and 1 outputs"},
        {break_attribute, "a: Erf has no attribute heads"},
        {break_output, "the graph has no output"},
        {break_level, "a: Normalize may stand from level 2 on, the graph is of level 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_graph graph = parse(INPUT "a = Erf(x)\nb = Tanh(a:0)\noutput b:0\n");
        retort_error err = {0};
        assert_int_equal(rt_graph_verify(&graph, &err), RETORT_OK);
        cases[i].break_it(&graph);
        assert_int_equal(rt_graph_verify(&graph, &err), RETORT_FORMAT);
        assert_string_equal(err.text, cases[i].error);
        rt_graph_free(&graph);
    }
}

static void test_sweep_orders_and_drops(void **state) {
    (void)state;
    rt_graph graph =
        parse(INPUT "input unread i64 [batch]\nconst one f32 rows [] = {1}\nconst lost f32 rows [7]\n"
                    "a = Erf(x)\ndead = Tanh(a:0)\nb = Sqrt(a:0)\noutput b:0\n");
    retort_error err = {0};
    int inputs[] = {rt_value_find(&graph, "a:0"), rt_value_find(&graph, "one")};
    assert_int_equal(rt_value_uses(&graph, inputs[0]), 2);
    int late = rt_graph_node(&graph, RT_OP_ADD, "late", 2, inputs, NULL);
    graph.nodes[rt_node_output(&graph, late, 0) >= 0 ? 2 : 0].inputs[0] = rt_node_output(&graph, late, 0);
    assert_int_equal(rt_graph_verify(&graph, &err), RETORT_FORMAT);
    assert_int_equal(rt_graph_sweep(&graph, &err), RETORT_OK);
    assert_int_equal(rt_graph_verify(&graph, &err), RETORT_OK);
    assert_prints(&graph, INPUT "const one f32 rows [] = {1}\na = Erf(x)\nlate = Add(a:0, one)\n"
                                "b = Sqrt(late:0)\noutput b:0\n");
    rt_graph_free(&graph);
}

static void test_sweep_refuses_a_cycle(void **state) {
    (void)state;
    rt_graph graph = parse(INPUT "a = Erf(x)\nb = Tanh(a:0)\noutput b:0\n");
    retort_error err = {0};
    break_order(&graph);
    assert_int_equal(rt_graph_sweep(&graph, &err), RETORT_FORMAT);
    assert_string_equal(err.text, "a: reads its own output");
    rt_graph_free(&graph);
}

static void test_copy_and_update(void **state) {
    (void)state;
    const char *text = "graph level=3 mask_id=-1\ninput x f32 [tokens, 4]\nconst g f32 rows [4]\n"
                       "y = LayerNorm(x, g, g) epsilon=0.5\noutput y:0\n";
    rt_graph graph = parse(text), copy;
    retort_error err = {0};
    assert_int_equal(rt_graph_copy(&copy, &graph, &err), RETORT_OK);
    graph.nodes[0].attrs.out_dtype = RETORT_BF16;
    assert_int_equal(rt_graph_verify(&graph, &err), RETORT_FORMAT);
    assert_int_equal(rt_node_update(&graph, 0, &err), RETORT_OK);
    assert_int_equal(rt_graph_verify(&graph, &err), RETORT_OK);
    const rt_value *narrow = &graph.values[rt_node_output(&graph, 0, 1)];
    assert_string_equal(narrow->name, "y:1");
    assert_int_equal(narrow->dtype, RETORT_BF16);
    rt_graph_free(&graph);
    assert_int_equal(rt_graph_verify(&copy, &err), RETORT_OK);
    assert_prints(&copy, text);
    rt_graph_free(&copy);
}

/* ---- Level 1 ---- */

typedef retort_status (*rewrite_fn)(rt_graph *graph, size_t *count, retort_error *err);

static void check_rewrite(rewrite_fn rewrite, const char *before, size_t places, const char *after) {
    rt_graph graph = parse(before);
    retort_error err = {0};
    size_t count = 0;
    if (rewrite(&graph, &count, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(rt_graph_verify(&graph, &err), RETORT_OK);
    assert_prints(&graph, after);
    assert_int_equal(count, places);
    rt_graph_free(&graph);
}

static void test_fold_constants(void **state) {
    (void)state;
    check_rewrite(rt_rewrite_fold_constants,
                  INPUT "const a f32 rows [] = {2}\nconst b f32 rows [] = {3}\nc = Mul(a, b)\nd = Sqrt(c:0)\n"
                        "y = Mul(x, d:0)\noutput y:0\n",
                  2, INPUT "const d:0 f32 rows [] = {2.44948983}\ny = Mul(x, d:0)\noutput y:0\n");
    /* What shapes tell is a constant, the batch is not. */
    check_rewrite(
        rt_rewrite_fold_constants,
        INPUT "const i i64 rows [1] = {1}\nconst o i64 rows [1] = {0}\ns = Shape(x)\nn = Gather(s:0, i)\n"
              "m = Gather(s:0, o)\nt = Concat(n:0, m:0)\ny = Expand(i, t:0)\noutput y:0\n",
        1,
        INPUT "const i i64 rows [1] = {1}\nconst o i64 rows [1] = {0}\nconst n:0 i64 rows [1] = {4}\n"
              "s = Shape(x)\nm = Gather(s:0, o)\nt = Concat(n:0, m:0)\ny = Expand(i, t:0)\noutput y:0\n");
    /* Constants whose data is not there stay, and so does what reads them. */
    check_rewrite(rt_rewrite_fold_constants,
                  INPUT "const a f32 rows [4]\nb = Erf(a)\ny = Add(x, b:0)\noutput y:0\n", 0,
                  INPUT "const a f32 rows [4]\nb = Erf(a)\ny = Add(x, b:0)\noutput y:0\n");
}

static void test_fold_constants_reports_a_bad_index(void **state) {
    (void)state;
    rt_graph graph =
        parse(INPUT "const a i64 rows [2] = {1, 2}\nconst i i64 rows [9] = {0, 0, 0, 0, 0, 0, 0, 0, 5}\n"
                    "y = Gather(a, i)\noutput y:0\n");
    retort_error err = {0};
    size_t count = 0;
    assert_int_equal(rt_rewrite_fold_constants(&graph, &count, &err), RETORT_ARGUMENT);
    assert_string_equal(err.text, "y: index 5 of 2");
    rt_graph_free(&graph);
}

static void test_drop_identities(void **state) {
    (void)state;
    check_rewrite(rt_rewrite_drop_identities,
                  INPUT
                  "const one f32 rows [] = {1}\nconst same i64 rows [2] = {0, 4}\n"

                  "a = Identity(x)\nb = Cast(a:0)\nc = Reshape(b:0, same)\nd = Transpose(c:0) perm=[0, 1]\n"
                  "e = Mul(d:0, one)\nf = Div(e:0, one)\ng = Erf(f:0)\noutput g:0\n",
                  6, INPUT "g = Erf(x)\noutput g:0\n");
    /* Not what changes the dtype, the order, the rank or the value. */
    const char *kept =
        INPUT "const one f32 rows [] = {1}\nconst half f32 rows [] = {0.5}\nconst z f32 rows [] = {0}\n"
              "const n f32 rows [1, 1, 1]\na = Cast(x) dtype=i64\nb = Cast(a:0)\n"
              "c = Mul(b:0, half)\nd = Sub(one, c:0)\ne = Sub(z, d:0)\nf = Add(e:0, n)\n"
              "g = Transpose(f:0) perm=[1, 0, 2]\noutput g:0\n";
    check_rewrite(rt_rewrite_drop_identities, kept, 0, kept);
}

static void test_drop_identities_adds_zero(void **state) {
    (void)state;
    check_rewrite(rt_rewrite_drop_identities,
                  INPUT
                  "const z f32 rows [] = {0}\na = Add(x, z)\nb = Sub(a:0, z)\nc = Erf(b:0)\noutput c:0\n",
                  2, INPUT "c = Erf(x)\noutput c:0\n");
}

static void test_merge_constants(void **state) {
    (void)state;
    check_rewrite(rt_rewrite_merge_constants,
                  INPUT "const a f32 rows [] = {2}\nconst b f32 rows [] = {3}\nconst c f32 rows [] = {2}\n"
                        "const d i64 rows [] = {2}\nconst e f32 rows [] = {2}\n"
                        "p = Add(x, c)\nq = Add(p:0, a)\nr = Mul(q:0, b)\ns = Mul(r:0, e)\noutput s:0\n",
                  2,
                  INPUT "const a f32 rows [] = {2}\nconst b f32 rows [] = {3}\n"
                        "p = Add(x, a)\nq = Add(p:0, a)\nr = Mul(q:0, b)\ns = Mul(r:0, a)\noutput s:0\n");
}

static void test_merge_nodes(void **state) {
    (void)state;
    /* Whole chains, whatever their order; a reader of both reads one twice. */
    check_rewrite(rt_rewrite_merge_nodes,
                  INPUT "a = Erf(x)\nb = Erf(x)\nc = Tanh(a:0)\nd = Tanh(b:0)\ne = Mul(c:0, d:0)\n"
                        "f = Add(e:0, b:0)\noutput f:0\n",
                  2, INPUT "a = Erf(x)\nc = Tanh(a:0)\ne = Mul(c:0, c:0)\nf = Add(e:0, a:0)\noutput f:0\n");
    /* Not what differs in the operator, an attribute, or the order of the inputs. */
    const char *kept =
        INPUT "const g f32 rows [4]\na = Erf(x)\nb = Tanh(x)\nc = Sub(a:0, b:0)\nd = Sub(b:0, a:0)\n"
              "e = Softmax(c:0) axis=-1\nf = Softmax(c:0)\ni = LayerNormalization(d:0, g, g) "
              "epsilon=9.99999996e-13\n"
              "j = LayerNormalization(d:0, g, g) epsilon=1.0000001e-12\nk = Transpose(e:0) perm=[0, 1]\n"
              "l = Transpose(e:0) perm=[1, 0]\nm = Transpose(l:0) perm=[1, 0]\nn = Add(k:0, m:0)\n"
              "o = Add(f:0, n:0)\np = Add(i:0, o:0)\nq = Add(j:0, p:0)\noutput q:0\n";
    check_rewrite(rt_rewrite_merge_nodes, kept, 0, kept);
}

static void test_merge_nodes_of_several_outputs(void **state) {
    (void)state;
    check_rewrite(rt_rewrite_merge_nodes,
                  INPUT "const h i64 rows [3] = {1, 1, 2}\nconst i i64 rows [3] = {1, 2, 1}\n"
                        "a = Split(x, h) axis=1\nb = Split(x, h) axis=1\nc = Split(x, i) axis=1\n"
                        "d = Add(a:0, b:1)\ne = Add(d:0, b:2)\nf = Add(e:0, c:1)\noutput f:0\n",
                  1,
                  INPUT "const h i64 rows [3] = {1, 1, 2}\nconst i i64 rows [3] = {1, 2, 1}\n"
                        "a = Split(x, h) axis=1\nd = Add(a:0, a:1)\ne = Add(d:0, a:2)\n"
                        "c = Split(x, i) axis=1\nf = Add(e:0, c:1)\noutput f:0\n");
}

/* The output's name is what users know. */
static void test_merge_nodes_keeps_the_output(void **state) {
    (void)state;
    check_rewrite(rt_rewrite_merge_nodes,
                  INPUT "a = Erf(x)\nb = Mul(a:0, a:0)\nc = Shape(b:0)\nd = Expand(a:0, c:0)\n"
                        "logits = Expand(a:0, c:0)\noutput logits:0\n",
                  1,
                  INPUT "a = Erf(x)\nb = Mul(a:0, a:0)\nc = Shape(b:0)\nlogits = Expand(a:0, c:0)\n"
                        "output logits:0\n");
}

/* Shapes that are the same, though of other values: batch here is batch there. */
static void test_merge_nodes_known_from_shapes(void **state) {
    (void)state;
    check_rewrite(rt_rewrite_merge_nodes,
                  INPUT "a = Erf(x)\nb = Shape(x)\nc = Shape(a:0)\nd = Expand(a:0, b:0)\n"
                        "e = Expand(d:0, c:0)\noutput e:0\n",
                  1,
                  INPUT "a = Erf(x)\nb = Shape(x)\nd = Expand(a:0, b:0)\ne = Expand(d:0, b:0)\noutput e:0\n");
    const char *kept = /* [batch, 4], and [4, batch] */
        INPUT "a = Transpose(x) perm=[1, 0]\nb = Shape(x)\nc = Shape(a:0)\nd = Equal(b:0, c:0)\n"
              "e = Cast(d:0)\noutput e:0\n";
    check_rewrite(rt_rewrite_merge_nodes, kept, 0, kept);
}

/* One bit apart. */
static void test_merge_nodes_after_constants(void **state) {
    (void)state;
    const char *text = INPUT
        "const a f32 rows [] = {1.5}\nconst b f32 rows [] = {1.50000012}\nconst c f32 rows [] = {1.5}\n"
        "d = Mul(x, a)\ne = Mul(x, b)\nf = Mul(x, c)\ng = Add(d:0, e:0)\nh = Add(f:0, g:0)\noutput h:0\n";
    rt_graph graph = parse(text);
    retort_error err = {0};
    size_t count = 0;
    assert_int_equal(rt_rewrite_merge_constants(&graph, &count, &err), RETORT_OK);
    assert_int_equal(rt_rewrite_merge_nodes(&graph, &count, &err), RETORT_OK);
    assert_int_equal(count, 2);
    assert_prints(&graph, INPUT "const a f32 rows [] = {1.5}\nconst b f32 rows [] = {1.50000012}\n"
                                "f = Mul(x, a)\ne = Mul(x, b)\ng = Add(f:0, e:0)\nh = Add(f:0, g:0)\n"
                                "output h:0\n");
    rt_graph_free(&graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_text_holds_every_float),
        cmocka_unit_test(test_dtype_texts),
        cmocka_unit_test(test_broken_text),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_shapes_that_do_not_fit),
        cmocka_unit_test(test_construction_keeps_the_first_fault),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_sweep_orders_and_drops),
        cmocka_unit_test(test_sweep_refuses_a_cycle),
        cmocka_unit_test(test_copy_and_update),
        cmocka_unit_test(test_fold_constants),
        cmocka_unit_test(test_fold_constants_reports_a_bad_index),
        cmocka_unit_test(test_drop_identities),
        cmocka_unit_test(test_drop_identities_adds_zero),
        cmocka_unit_test(test_merge_constants),
        cmocka_unit_test(test_merge_nodes),
        cmocka_unit_test(test_merge_nodes_of_several_outputs),
        cmocka_unit_test(test_merge_nodes_keeps_the_output),
        cmocka_unit_test(test_merge_nodes_known_from_shapes),
        cmocka_unit_test(test_merge_nodes_after_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
