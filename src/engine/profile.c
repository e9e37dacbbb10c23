/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/profile.h"
#include "base/thread.h"

#include <stdlib.h>

retort_status rt_profile_open(rt_profile *out, size_t threads, size_t steps, retort_error *err) {
    *out = (rt_profile){.threads = threads, .steps = steps};
    out->spent = rt_calloc(threads * steps, sizeof *out->spent);
    out->started = rt_calloc(threads, sizeof *out->started);
    bool made = out->spent != NULL && out->started != NULL;
    return made ? RETORT_OK : rt_fail_nomem(err, threads * steps * sizeof *out->spent);
}

void rt_profile_close(rt_profile *profile) {
    free(profile->spent);
    free(profile->started);
    *profile = (rt_profile){0};
}

static void before(void *user, const rt_event *event) {
    rt_profile *profile = user;
    profile->started[event->worker->index] = rt_seconds();
}

/* If workers share a step, the leading one counts its operations. */
static void after(void *user, const rt_event *event) {
    rt_profile *profile = user;
    size_t worker = (size_t)event->worker->index;
    rt_spent *spent = &profile->spent[worker * profile->steps + event->step];
    spent->seconds += rt_seconds() - profile->started[worker];
    if (event->leads) spent->operations += rt_step_operations(&event->plan->steps[event->step], event->chunk);
}

rt_observer rt_profile_observer(rt_profile *profile) {
    return (rt_observer){.user = profile, .before = before, .after = after};
}

rt_spent rt_profile_step(const rt_profile *profile, size_t step) {
    rt_spent all = {0};
    for (size_t i = 0; i < profile->threads; i++) {
        const rt_spent *spent = &profile->spent[i * profile->steps + step];
        all.seconds += spent->seconds;
        all.operations += spent->operations;
    }
    return all;
}
