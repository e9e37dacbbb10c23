/* SPDX-License-Identifier: Apache-2.0 */
#include "run/tap.h"

/* A value as float rows; no data if it is something else. */
static retort_matrix rows_of(const rt_event *event, const rt_place *place) {
    rt_row_set kind;
    if (place->value < 0) return (retort_matrix){0};
    const rt_value *value = &event->plan->graph->values[place->value];
    if (value->dtype != RETORT_F32 || value->rank != 2 || value->dims[1] < 0 ||
        !rt_value_row_set(value, &kind))
        return (retort_matrix){0};
    return (retort_matrix){.data = rt_place_at(place, event->worker),
                           .rows = rt_chunk_rows(event->chunk, kind),
                           .columns = (size_t)value->dims[1]};
}

static float *writable(const rt_event *event, const rt_step *step, const retort_matrix *out) {
    bool alone = RT_MAX_OUTPUTS < 2 || step->out[1].value < 0;
    return alone && out->data != NULL ? rt_place_at(&step->out[0], event->worker) : NULL;
}

static retort_status see(void *user, const rt_event *event, retort_error *err) {
    const rt_tap *tap = user;
    const rt_step *step = &event->plan->steps[event->step];
    retort_tapped tapped = {
        .size = sizeof tapped,
        .step = event->step,
        .op = rt_op_info(step->node->op)->text,
        .name = step->node->name,
        .in = rows_of(event, &step->in[0]),
        .out = rows_of(event, &step->out[0]),
    };
    tapped.out_write = writable(event, step, &tapped.out);
    if (tap->fn(tap->user, &tapped) == 0) return RETORT_OK;
    return rt_fail(err, RETORT_CANCELLED, "%s: the tap stopped the run", tapped.name);
}

rt_observer rt_tap_observer(rt_tap *tap) {
    return (rt_observer){.user = tap, .see = see};
}
