/* SPDX-License-Identifier: Apache-2.0
 * Finds NaN and infinity in an array. */
#ifndef RT_BASE_CHECK_FINITE_H
#define RT_BASE_CHECK_FINITE_H

#include "base/tensor.h"

/* Index of the first NaN or infinity of a float dtype; `count` when there is none. */
size_t rt_first_nonfinite(const void *data, retort_dtype dtype, size_t count);

#endif
