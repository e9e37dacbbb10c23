/* SPDX-License-Identifier: Apache-2.0
 * Which layer changes the answers: the reference goes on from the model's rows at the end of each layer in turn, and its
 * answers are compared with its own. What a layer adds to the divergence is its share of the change. */
#ifndef BENCH_LAYER_KL_H
#define BENCH_LAYER_KL_H

#include "bench/per_layer_error.h"

/* Sets `kl` of the last step of each layer, over up to 256 texts of the data: the mean of KL(reference || reference that goes
 * on from there). Before it, the sessions have run all data, tapped by `layers`. Only for classifiers and taggers whose scores are a softmax, and
 * layers whose last step both models have. */
cli_code layer_kl(layer_errors *layers, retort_session *session, retort_session *reference,
                  const retort_model *model, retort_dataset *data);

#endif
