/* SPDX-License-Identifier: Apache-2.0
 * Shares a budget among modules: one level of each, so that the losses are least and the costs fit (the multiple-choice
 * knapsack problem). */
#ifndef RT_PRUNE_BUDGET_H
#define RT_PRUNE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rt_budget_choice {
    double cost, loss;
} rt_budget_choice;

/* choices: those of module i are counts[i] from its first on, one module after the other. Sets chosen [modules] to the index
 * of one of each. Costs are rounded up to a 4,000th of the limit. If nothing fits, the cheapest of each is chosen, and *fits
 * is false. False: out of memory. */
bool rt_budget_share(const rt_budget_choice *choices, const size_t *counts, size_t modules, double limit,
                     size_t *chosen, bool *fits);

#endif
