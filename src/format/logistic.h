/* SPDX-License-Identifier: Apache-2.0
 * Logistic regressions of scikit-learn, as joblib.dump writes them: alone, or one per label in a OneVsRestClassifier or a
 * MultiOutputClassifier. */
#ifndef RT_FORMAT_LOGISTIC_H
#define RT_FORMAT_LOGISTIC_H

#include "base/error.h"
#include "base/memory.h"

#include <stdint.h>

/* What predict_proba makes of the rows' products with a vector. */
typedef enum rt_logistic_link {
    RT_LOGISTIC_SOFTMAX,
    RT_LOGISTIC_SHARES,  /* sigmoids, divided by their sum */
    RT_LOGISTIC_SIGMOIDS /* labels are independent */
} rt_logistic_link;

/* A row per label: of two labels, where scikit-learn has one row, the first row is 0. */
typedef struct rt_logistic {
    rt_logistic_link link;
    int64_t rows, columns;
    float *weight, *bias; /* [rows, columns], [rows] */
    /* Of each label, in their order; independent ones have none. Names NULL: they are numbers. */
    const char **names;
    int64_t *numbers;
} rt_logistic;

/* Everything is allocated in `arena`. */
retort_status rt_logistic_read(rt_logistic *out, rt_arena *arena, const char *name, const uint8_t *data,
                               size_t size, retort_error *err);

#endif
