/* SPDX-License-Identifier: Apache-2.0
 * Panels of codes as int8 panels. */
#include "kernel/rows.h"
#include "kernel/vec/unpack.h"

void RT_ISA(widen_s4)(const rt_widen *w) {
    size_t k = rt_round_up(w->k, 8), groups = (w->k + w->group - 1) / w->group;
    const panels_s4 panels = {
        .codes = w->b, .scales = w->b_group, .group = w->group, .scales_panel = groups * RT_PANEL};
    unpack_panels((w->n + RT_PANEL - 1) / RT_PANEL, &panels, k, w->out);
}
