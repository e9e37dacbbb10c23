/* SPDX-License-Identifier: Apache-2.0
 * attention_s8 with vpdpbusd. */
#include "kernel/vec/dot.h"

#include RT_GROUP_HEADER

#include "kernel/vec/attention_s8.h"

void RT_DOT(attention_s8)(const rt_attention *at) {
    attend_s8(at);
}
