/* SPDX-License-Identifier: Apache-2.0
 * What a run has counted. */
#include "load/result.h"

const struct load_loss_row load_losses[LOAD_LOSS_COUNT] = {
#define LOAD_LOSS_ROW(id, name, meaning) {name, meaning},
    LOAD_LOSSES(LOAD_LOSS_ROW)
#undef LOAD_LOSS_ROW
};
double load_answers_per_second(const load_result *result) {
    return (double)result->answered / result->seconds;
}

uint64_t load_lost(const load_result *result) {
    uint64_t lost = 0;
    for (int i = 0; i < LOAD_LOSS_COUNT; i++) lost += result->losses[i];
    return lost;
}
