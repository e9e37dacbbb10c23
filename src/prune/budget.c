/* SPDX-License-Identifier: Apache-2.0 */
#include "prune/budget.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

enum { BINS = 4000 };

/* Bins that a cost takes; more than there are: it does not fit. */
static size_t bins_of(double cost, double limit) {
    double bins = limit > 0 ? ceil(cost / limit * BINS - 1e-9) : cost > 0 ? BINS + 1.0 : 0;
    return bins < BINS + 1.0 ? (size_t)fmax(bins, 0) : BINS + 1;
}

static size_t cheapest(const rt_budget_choice *choices, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        if (choices[i].cost < choices[best].cost) best = i;
    }
    return best;
}

/* least[b]: the least loss of the modules so far in at most b bins; picks[b]: the choice of the last of them. */
static void add_module(const rt_budget_choice *choices, size_t count, double limit, const double *before,
                       double *least, size_t *picks) {
    for (size_t b = 0; b <= BINS; b++) {
        least[b] = INFINITY;
        for (size_t i = 0; i < count; i++) {
            size_t bins = bins_of(choices[i].cost, limit);
            double loss = bins <= b ? before[b - bins] + choices[i].loss : INFINITY;
            if (loss >= least[b]) continue;
            least[b] = loss;
            picks[b] = i;
        }
    }
}

bool rt_budget_share(const rt_budget_choice *choices, const size_t *counts, size_t modules, double limit,
                     size_t *chosen, bool *fits) {
    double *least = rt_calloc((modules + 1) * (BINS + 1), sizeof *least);
    size_t *picks = rt_calloc(modules * (BINS + 1), sizeof *picks),
           *first = rt_calloc(modules, sizeof *first);
    bool made = least != NULL && picks != NULL && first != NULL;
    for (size_t m = 0, at = 0; made && m < modules; at += counts[m++]) {
        first[m] = at;
        add_module(choices + at, counts[m], limit, least + m * (BINS + 1), least + (m + 1) * (BINS + 1),
                   picks + m * (BINS + 1));
    }
    *fits = made && isfinite(least[modules * (BINS + 1) + BINS]);
    size_t bins = BINS;
    for (size_t m = modules; made && m-- > 0;) {
        const rt_budget_choice *own = choices + first[m];
        chosen[m] = *fits ? picks[m * (BINS + 1) + bins] : cheapest(own, counts[m]);
        if (*fits) bins -= bins_of(own[chosen[m]].cost, limit);
    }
    free(least);
    free(picks);
    free(first);
    return made;
}
