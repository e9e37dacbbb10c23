/* SPDX-License-Identifier: Apache-2.0
 * What is tried: shapes (how much of the network stays) times forms (how its weights are stored). */
#ifndef TUNE_CANDIDATES_H
#define TUNE_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>

/* A smaller network: what prune leaves of a larger one. */
typedef struct tune_shape {
    const char *name, *what;
    const char *from; /* the shape that it is cut from */
    int time;         /* % of the whole network's time that stays; 0: all */
    int layers;       /* % of its layers that stay; 0: all */
} tune_shape;

/* How weights are stored. */
typedef struct tune_form {
    const char *name, *what;
    const char *recipe;   /* of quantize; NULL: of train, or floats */
    int bits, embeddings; /* 0: the recipe's */
    bool data;            /* the recipe reads texts */
    bool train;           /* quantisation-aware training */
    bool cascade;         /* cheaper stages before its int8 */
} tune_form;

extern const tune_shape tune_shapes[];
extern const size_t tune_shape_count;
extern const tune_form tune_forms[];
extern const size_t tune_form_count;
/* The first shape is the whole network and the first form is float32. */
#define TUNE_DENSE  (&tune_shapes[0])
#define TUNE_FLOATS (&tune_forms[0])
const tune_shape *tune_find_shape(const char *name); /* NULL: none */
const tune_form *tune_find_form(const char *name);

#endif
