/* SPDX-License-Identifier: Apache-2.0
 * Exact bounds of a share (Clopper and Pearson, 1934). */
#ifndef RT_BASE_BINOMIAL_H
#define RT_BASE_BINOMIAL_H

#include <stdint.h>

/* The largest share with which `count` or fewer of n come up with a probability of at least 1 - confidence. n > 0. */
double rt_binomial_upper(uint64_t count, uint64_t n, double confidence);
/* The smallest with which `count` or more do. */
double rt_binomial_lower(uint64_t count, uint64_t n, double confidence);
/* The fewest n of which none may differ for the upper bound to be at most `share`. */
uint64_t rt_binomial_fewest(double share, double confidence);

#endif
