/* SPDX-License-Identifier: Apache-2.0 */
#include "train/train.h"

retort_status rt_train(retort_model **out, const retort_model *model, const retort_train_options *options,
                       retort_train_result *result, retort_error *err) {
    (void)out;
    (void)model;
    (void)options;
    (void)result;
    return rt_fail(err, RETORT_UNSUPPORTED, "train: this version cannot train yet");
}
