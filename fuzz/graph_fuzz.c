/* SPDX-License-Identifier: Apache-2.0
 * A graph's text: what parses is verified, prints, and parses again to the same text; level 1 keeps it valid,
 * and all of it can be drawn. */
#include "graph/draw.h"
#include "graph/rewrite.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int collect(void *user, const char *text, size_t length) {
    rt_buffer_append(user, text, length);
    return 0;
}

/* The graph's text; aborts when a verified graph does not print. */
static rt_buffer text_of(const rt_graph *graph) {
    rt_buffer text = {0};
    if (rt_graph_print(graph, collect, &text) != RETORT_OK) abort();
    return text;
}

static void draw(const rt_graph *graph) {
    retort_error err;
    retort_draw_options options = RETORT_DRAW_OPTIONS;
    for (int i = 0; i < 2; i++) {
        rt_buffer picture = {0};
        options.whole = i > 0;
        retort_status status = rt_graph_draw(graph, &options, collect, &picture, &err);
        if (status != RETORT_OK && status != RETORT_LIMIT) abort();
        rt_buffer_free(&picture);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static retort_status (*const rewrites[])(rt_graph *, size_t *, retort_error *) = {
        rt_rewrite_fold_constants, rt_rewrite_drop_identities, rt_rewrite_merge_constants,
        rt_rewrite_merge_nodes};
    rt_graph graph, again;
    retort_error err;
    size_t count = 0;
    if (rt_graph_parse(&graph, "fuzz", (const char *)data, size, NULL, NULL, &err) != RETORT_OK) return 0;
    rt_buffer first = text_of(&graph);
    if (rt_graph_parse(&again, "fuzz", first.data, first.length, NULL, NULL, &err) != RETORT_OK) abort();
    rt_buffer second = text_of(&again);
    if (first.length != second.length || memcmp(first.data, second.data, first.length) != 0) abort();
    draw(&graph);
    for (size_t i = 0; i < sizeof rewrites / sizeof *rewrites; i++) {
        if (rewrites[i](&again, &count, &err) != RETORT_OK) break;
        if (rt_graph_verify(&again, &err) != RETORT_OK) abort();
    }
    rt_buffer_free(&first);
    rt_buffer_free(&second);
    rt_graph_free(&graph);
    rt_graph_free(&again);
    return 0;
}
