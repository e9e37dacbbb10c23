/* SPDX-License-Identifier: Apache-2.0
 * Where the outputs of a model diverge from those of its reference, step by step: ||y - y0||^2 / ||y0||^2
 * over all rows of the data. Each model computes on its own activations, so errors accumulate. */
#include "bench/per_layer_error.h"
#include "cli/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool push(layer_error *it, const retort_matrix *rows) {
    size_t more = rows->rows * rows->columns;
    if (it->queue == NULL || it->count + more > it->capacity) {
        size_t capacity = 2 * (it->count + more) + 64;
        float *grown = realloc(it->queue, capacity * sizeof *grown);
        if (grown == NULL) return false;
        it->queue = grown;
        it->capacity = capacity;
    }
    memcpy(it->queue + it->count, rows->data, more * sizeof *it->queue);
    it->count += more;
    it->columns = rows->columns;
    return true;
}

static void drop(layer_error *it) {
    free(it->queue);
    it->queue = NULL;
    it->head = it->count = it->capacity = 0;
    it->unlike = true;
}

/* Before a new batch, the reference has used all rows of the last one, or it computes other rows. */
static void next_batch(layer_errors *layers) {
    layers->answered = false;
    for (size_t i = 0; i < layers->steps; i++) {
        layer_error *it = &layers->items[i];
        if (it->head < it->count) drop(it);
        it->head = it->count = 0;
    }
}

int layer_errors_tap(void *user, const retort_tapped *tapped) {
    layer_errors *layers = user;
    layer_error *it = &layers->items[tapped->step];
    if (layers->answered) next_batch(layers);
    if (it->unlike) return 0;
    if (tapped->out.data == NULL) {
        drop(it);
        return 0;
    }
    return push(it, &tapped->out) ? 0 : (int)cli_no_memory();
}

static void compare(layer_error *it, const retort_matrix *rows) {
    size_t n = rows->rows * rows->columns;
    if (rows->data == NULL || rows->columns != it->columns || n > it->count - it->head) {
        drop(it);
        return;
    }
    const float *y = it->queue + it->head;
    for (size_t i = 0; i < n; i++) {
        double wanted = rows->data[i], difference = (double)y[i] - wanted;
        it->difference += difference * difference;
        it->norm += wanted * wanted;
    }
    it->head += n;
    it->rows += rows->rows;
}

static void put(layer_errors *layers, layer_error *it, const retort_tapped *tapped) {
    size_t n = tapped->out.rows * tapped->out.columns;
    if (tapped->out_write == NULL || n > it->count - it->head) {
        layers->unput = true;
        return;
    }
    memcpy(tapped->out_write, it->queue + it->head, n * sizeof *it->queue);
    it->head += n;
}

int layer_errors_tap_reference(void *user, const retort_tapped *tapped) {
    layer_errors *layers = user;
    ptrdiff_t index = layers->of[tapped->step];
    layer_error *it = index >= 0 ? &layers->items[index] : NULL;
    layers->answered |= layers->mode == LAYER_COMPARE;
    if (it == NULL || it->unlike) return 0;
    if (layers->mode == LAYER_COMPARE) compare(it, &tapped->out);
    if (layers->mode == LAYER_PUT && tapped->step <= layers->until) put(layers, it, tapped);
    return 0;
}

static size_t count_steps(const retort_session *session) {
    retort_session_info info = {.size = sizeof info};
    retort_session_describe(session, &info);
    return info.steps;
}

static ptrdiff_t find(const layer_errors *layers, const char *name) {
    for (size_t i = 0; i < layers->steps; i++) {
        if (strcmp(layers->items[i].name, name) == 0) return (ptrdiff_t)i;
    }
    return -1;
}

cli_code layer_errors_pair(layer_errors *layers, const retort_session *model,
                           const retort_session *reference) {
    retort_step_info step = {.size = sizeof step};
    layers->steps = count_steps(model);
    layers->reference_steps = count_steps(reference);
    layers->items = calloc(layers->steps + 1, sizeof *layers->items);
    layers->of = calloc(layers->reference_steps + 1, sizeof *layers->of);
    if (layers->items == NULL || layers->of == NULL) return cli_no_memory();
    for (size_t i = 0; i < layers->steps; i++) {
        retort_session_step(model, i, &step);
        layers->items[i] = (layer_error){.name = step.name, .op = step.op, .unlike = true, .kl = (double)NAN};
    }
    for (size_t i = 0; i < layers->reference_steps; i++) {
        retort_session_step(reference, i, &step);
        layers->of[i] = find(layers, step.name);
        if (layers->of[i] >= 0) layers->items[layers->of[i]].unlike = false;
    }
    return CLI_DONE;
}

size_t layer_name_length(const char *name) {
    size_t first = strcspn(name, ".");
    if (strncmp(name, "layer.", 6) != 0) return first;
    return first + 1 + strcspn(name + first + 1, ".");
}

/* Whether a step has an error to report. */
static bool compared(const layer_error *it) {
    return !it->unlike && it->rows > 0 && it->head == it->count;
}

/* If the reference is zero throughout, only zero is close to it. */
static double error_of(const layer_error *it) {
    return it->norm > 0 ? it->difference / it->norm : it->difference > 0 ? 1 : 0;
}

void layer_errors_print(const layer_errors *layers) {
    enum { BAR = 24 };
    double max = 0;
    bool any_kl = false;
    for (size_t i = 0; i < layers->steps; i++) {
        const layer_error *it = &layers->items[i];
        if (compared(it) && error_of(it) > max) max = error_of(it);
        any_kl |= isfinite(it->kl);
    }
    printf("\n%-32s %-12s %9s %8s %10s%s\n", "name", "op", "rows", "columns", "error %",
           any_kl ? "        kl" : "");
    for (size_t i = 0; i < layers->steps; i++) {
        const layer_error *it = &layers->items[i];
        char bar[BAR + 1] = "";
        if (!compared(it)) continue;
        double error = error_of(it);
        size_t length = max > 0 ? (size_t)(error / max * BAR + 0.5) : 0;
        memset(bar, '#', length);
        bar[length] = '\0';
        cli_put_column(stdout, 32, it->name);
        char kl[16] = "";
        if (isfinite(it->kl)) snprintf(kl, sizeof kl, "%.3g", it->kl);
        printf(" %-12s %9zu %8zu %10.4g", it->op, it->rows, it->columns, 100 * error);
        if (any_kl && (kl[0] != '\0' || length > 0)) printf(" %9s", kl);
        printf("%s%s\n", length > 0 ? "  " : "", bar);
    }
}

json_t *layer_errors_json(const layer_errors *layers) {
    json_t *list = json_array();
    for (size_t i = 0; i < layers->steps; i++) {
        const layer_error *it = &layers->items[i];
        if (!compared(it)) continue;
        json_t *row =
            json_pack("{s:o, s:s, s:I, s:I, s:o}", "name", cli_json_text(it->name, strlen(it->name)), "op",
                      it->op, "rows", (json_int_t)it->rows, "columns", (json_int_t)it->columns,
                      "relative_error", cli_json_real(error_of(it)));
        if (isfinite(it->kl)) json_object_set_new(row, "kl", json_real(it->kl));
        json_array_append_new(list, row);
    }
    return list;
}

void layer_errors_free(layer_errors *layers) {
    for (size_t i = 0; layers->items != NULL && i < layers->steps; i++) free(layers->items[i].queue);
    free(layers->items);
    free(layers->of);
    *layers = (layer_errors){0};
}
