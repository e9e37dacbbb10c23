/* SPDX-License-Identifier: Apache-2.0
 * What the mutators share that know their format: they change a part of what an input says and keep its
 * container well-formed, so that the change gets past the first check. Everything follows from the seed. */
#ifndef RT_FUZZ_MUTATE_H
#define RT_FUZZ_MUTATE_H

#include "base/memory.h"

#include <jansson.h>

/* libFuzzer's, or replay.c's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

typedef struct dice {
    uint64_t state;
} dice;
/* 0 … sides - 1; 0 of no sides. */
size_t roll(dice *d, size_t sides);
/* True once in `times`. */
bool once_in(dice *d, size_t times);
/* A number at which something ends: of dims, of types, of int64. */
int64_t odd_number(dice *d);
float odd_float(dice *d);
#define PICK(d, list) ((list)[roll(d, sizeof(list) / sizeof *(list))])

/* Memory for a mutator, which gives up where the target must not. */
void *take(size_t count, size_t size);
char *take_text(const char *text, size_t length);

/* Overwrites some of the bytes: one, all with one value, floats, int32. */
void change_bytes(dice *d, uint8_t *data, size_t size);
/* Changes one value of a JSON document, which is returned as text for the caller to free. */
char *change_json(dice *d, const char *text);
/* Changes a few words or lines of a graph's text (src/graph/parse.c). */
char *change_graph(dice *d, const char *text);
/* One of the model's metadata, whichever it is. */
char *change_metadata(dice *d, const char *key, const char *value);

#endif
