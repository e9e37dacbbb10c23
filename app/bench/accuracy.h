/* SPDX-License-Identifier: Apache-2.0
 * The metric of each engine on labelled data, beside its times. */
#ifndef BENCH_ACCURACY_H
#define BENCH_ACCURACY_H

#include "bench/engines.h"
#include "cli/output.h"

/* Sets the metric of the run, and of each engine that has a session its value, and the divergence of its logits from those of
 * `reference`, which is one of them. */
retort_status bench_evaluate(bench_run *c, const bench_engine *reference, retort_error *err);

#endif
