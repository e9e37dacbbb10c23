/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/candidates.h"

#include <string.h>

/* Width before depth: at half of the work, pruned heads and FFN columns keep more than fewer layers do. Each is cut from the
 * one before, distilled: banking77 at a quarter of the time, see docs/tune.md. */
const tune_shape tune_shapes[] = {
    {.name = "dense", .what = "the whole network"},
    {.name = "prune60", .what = "three fifths of the time", .from = "dense", .time = 60},
    {.name = "prune40", .what = "two fifths of the time", .from = "prune60", .time = 40},
    {.name = "prune28", .what = "a quarter of the time", .from = "prune40", .time = 28},
    {.name = "prune20", .what = "a fifth of the time", .from = "prune28", .time = 20},
    {.name = "layers50", .what = "half of the layers", .from = "dense", .layers = 50},
};
const size_t tune_shape_count = sizeof tune_shapes / sizeof *tune_shapes;

const tune_form tune_forms[] = {
    {.name = "float", .what = "float32"},
    {.name = "int8", .what = "8 bits, to nearest", .recipe = "int8"},
    {.name = "w4e2",
     .what = "4 bits, word table 2",
     .recipe = "ptq+owq",
     .bits = 4,
     .embeddings = 2,
     .data = true},
    {.name = "qat4", .what = "trained for 4 bits, word table 2", .bits = 4, .embeddings = 2, .train = true},
    {.name = "w4", .what = "4 bits", .recipe = "ptq+owq", .bits = 4, .data = true},
    {.name = "smooth", .what = "8 bits, closest to float", .recipe = "smoothquant+gptq", .data = true},
    {.name = "w3e2",
     .what = "3 bits, word table 2",
     .recipe = "ptq+owq",
     .bits = 3,
     .embeddings = 2,
     .data = true},
    {.name = "cascade", .what = "cheaper stages before 8 bits", .cascade = true},
    {.name = "qat2", .what = "trained for 2 bits, word table 2", .bits = 2, .embeddings = 2, .train = true},
};
const size_t tune_form_count = sizeof tune_forms / sizeof *tune_forms;

const tune_shape *tune_find_shape(const char *name) {
    for (size_t i = 0; i < tune_shape_count; i++) {
        if (strcmp(tune_shapes[i].name, name) == 0) return &tune_shapes[i];
    }
    return NULL;
}

const tune_form *tune_find_form(const char *name) {
    for (size_t i = 0; i < tune_form_count; i++) {
        if (strcmp(tune_forms[i].name, name) == 0) return &tune_forms[i];
    }
    return NULL;
}
