/* SPDX-License-Identifier: Apache-2.0
 * attention_s8 with 16-bit products, on tiers without a dot product of unsigned with signed bytes. */
#include "kernel/vec/group_pairs.h"
#include "kernel/vec/attention_s8.h"

void RT_ISA(attention_s8)(const rt_attention *at) {
    attend_s8(at);
}
