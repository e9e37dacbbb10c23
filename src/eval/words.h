/* SPDX-License-Identifier: Apache-2.0
 * JSON lines of words and tags: a list of each, as datasets for token classification have them. */
#ifndef RT_EVAL_WORDS_H
#define RT_EVAL_WORDS_H

#include "eval/record.h"

/* Whether these records are such: they have a usual column of words, or the caller names one, for a task that tags. */
bool rt_words_are(const rt_records *records, const retort_dataset *data, const rt_config *config,
                  const retort_dataset_options *options);
retort_status rt_words_read(retort_dataset *data, rt_records *records, const rt_config *config,
                            const retort_dataset_options *options, retort_error *err);

#endif
