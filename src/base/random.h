/* SPDX-License-Identifier: Apache-2.0
 * SplitMix64 (Steele, Lea and Flood 2014): the same numbers for a seed everywhere. */
#ifndef RT_BASE_RANDOM_H
#define RT_BASE_RANDOM_H

#include <stdint.h>

static inline uint64_t rt_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
