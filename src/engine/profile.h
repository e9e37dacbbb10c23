/* SPDX-License-Identifier: Apache-2.0
 * An observer that measures the time of each step and counts its operations. */
#ifndef RT_ENGINE_PROFILE_H
#define RT_ENGINE_PROFILE_H

#include "engine/execute.h"

/* Over all runs: seconds of all workers, and operations (multiply and add count as two). */
typedef struct rt_spent {
    double seconds, operations;
} rt_spent;

typedef struct rt_profile {
    rt_spent *spent; /* [threads, steps] */
    double *started; /* [threads] the step that the worker is at */
    size_t threads, steps;
} rt_profile;

retort_status rt_profile_open(rt_profile *out, size_t threads, size_t steps, retort_error *err);
void rt_profile_close(rt_profile *profile);
rt_observer rt_profile_observer(rt_profile *profile);
/* Zero when the profile is not open. */
rt_spent rt_profile_step(const rt_profile *profile, size_t step);

#endif
