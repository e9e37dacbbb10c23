/* SPDX-License-Identifier: Apache-2.0
 * The tap of the caller as an observer: shows it the first input and the output of each step, as float
 * rows. */
#ifndef RT_RUN_TAP_H
#define RT_RUN_TAP_H

#include "engine/execute.h"

typedef struct rt_tap {
    retort_tap_fn fn;
    void *user;
} rt_tap;

rt_observer rt_tap_observer(rt_tap *tap);

#endif
