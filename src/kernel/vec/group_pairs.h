/* SPDX-License-Identifier: Apache-2.0
 * Groups of two 16-bit elements (verbs: vec/attention_s8.h), multiplied by the verbs of vec.h. */
#ifndef RT_KERNEL_VEC_GROUP_PAIRS_H
#define RT_KERNEL_VEC_GROUP_PAIRS_H

#include "kernel/vec/vec.h"

enum { GROUP = 2 };
typedef int16_t element;

RT_VERB n16 group_broadcast(const element *p) {
    return n16_pair(p);
}
RT_VERB n16 group_load(const element *p) {
    return n16_load(p);
}
RT_VERB n16 group_dot(n16 sum, n16 a, n16 b) {
    return n16_dot2(sum, a, b);
}
RT_VERB void group_store(element *p, const v16 x[GROUP]) {
    v16_store_pairs(p, x[0], x[1]);
}
RT_VERB void row_store(element *p, v16 x) {
    v16_store_s16(p, x);
}
RT_VERB n16 row_offset(v16 sums) {
    (void)sums;
    return n16_zero();
}

#endif
