/* SPDX-License-Identifier: Apache-2.0
 * Makes a cascade: trains its linear stage, calibrates its thresholds, reports. */
#ifndef RT_CASCADE_BUILD_H
#define RT_CASCADE_BUILD_H

#include "retort.h"

/* retort_cascade; the caller has checked sizes and pointers. */
retort_status rt_cascade_build(retort_model **out, retort_model *full, const retort_cascade_options *options,
                               retort_error *err);

#endif
