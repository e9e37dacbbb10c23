/* SPDX-License-Identifier: Apache-2.0
 * Public structs that begin with `size`: a program that was built for an earlier version of retort.h has shorter ones.
 * Reading fills what it does not have with defaults; giving writes no more than it has. A longer struct, of a later
 * version, is refused. CONTRIBUTING.md says how to append a field. */
#ifndef RT_BASE_SIZED_H
#define RT_BASE_SIZED_H

#include "retort.h"

#define RT_SIZED_RESULT(name)                                                                                \
    { .size = sizeof(retort_##name) }

/* A row per struct: its name, the last field that all its versions have, and its defaults. */
#define RT_SIZED_STRUCTS(X)                                                                                  \
    X(head, seed, RETORT_HEAD)                                                                               \
    X(import_options, user, RETORT_IMPORT_OPTIONS)                                                           \
    X(load_options, memory, RETORT_LOAD_OPTIONS)                                                             \
    X(export_options, external_over, RETORT_EXPORT_OPTIONS)                                                  \
    X(export_info, external, RT_SIZED_RESULT(export_info))                                                   \
    X(optimize_options, user, RETORT_OPTIMIZE_OPTIONS)                                                       \
    X(quantize_options, warning, RETORT_QUANTIZE_OPTIONS)                                                    \
    X(info, sparse, RT_SIZED_RESULT(info))                                                                   \
    X(restriction, identical_unseen, RT_SIZED_RESULT(restriction))                                           \
    X(tensor_info, bytes, RT_SIZED_RESULT(tensor_info))                                                      \
    X(draw_options, whole, RETORT_DRAW_OPTIONS)                                                              \
    X(tokenize_options, side, RETORT_TOKENIZE_OPTIONS)                                                       \
    X(provider_info, reason, RT_SIZED_RESULT(provider_info))                                                 \
    X(session_options, keep_duplicates, RETORT_SESSION_OPTIONS)                                              \
    X(zero_shot_options, multi_label, RETORT_ZERO_SHOT_OPTIONS)                                              \
    X(windows_info, truncated, RT_SIZED_RESULT(windows_info))                                                \
    X(tag_options, ignore_count, RETORT_TAG_OPTIONS)                                                         \
    X(answer_options, pieces, RETORT_ANSWER_OPTIONS)                                                         \
    X(fill_options, target_count, RETORT_FILL_OPTIONS)                                                       \
    X(step_info, codes_up_to, RT_SIZED_RESULT(step_info))                                                    \
    X(session_info, steps, RT_SIZED_RESULT(session_info))                                                    \
    X(dataset_options, task, RETORT_DATASET_OPTIONS)                                                         \
    X(dataset_info, labels, RT_SIZED_RESULT(dataset_info))                                                   \
    X(table_options, added_count, RETORT_TABLE_OPTIONS)                                                      \
    X(eval_options, progress_user, RETORT_EVAL_OPTIONS)                                                      \
    X(eval_result, difference_high, RT_SIZED_RESULT(eval_result))                                            \
    X(cascade_options, user, RETORT_CASCADE_OPTIONS)                                                         \
    X(cascade_info, tested_differ, RT_SIZED_RESULT(cascade_info))                                            \
    X(stage_info, tested_share, RT_SIZED_RESULT(stage_info))                                                 \
    X(train_options, user, RETORT_TRAIN_OPTIONS)                                                             \
    X(train_result, truncated, RT_SIZED_RESULT(train_result))                                                \
    X(prune_options, user, RETORT_PRUNE_OPTIONS)                                                             \
    X(prune_result, time, RT_SIZED_RESULT(prune_result))                                                     \
    X(layer_info, ffn, RT_SIZED_RESULT(layer_info))                                                          \
    X(machine, unpacks, RT_SIZED_RESULT(machine))                                                            \
    X(peaks, seconds, RT_SIZED_RESULT(peaks))

/* rt_read_NAME: *full is what the caller's struct says, with defaults for what it does not have (NULL: for all).
 * RETORT_ARGUMENT if its size is none that the struct ever had; the text begins with `call`.
 * rt_give_NAME: writes *full into the caller's struct, whose size was checked, as far as that reaches. */
#define RT_SIZED_DECLARE(name, oldest, ...)                                                                  \
    retort_status rt_read_##name(const char *call, const retort_##name *given, retort_##name *full,          \
                                 retort_error *err);                                                         \
    void rt_give_##name(retort_##name *given, const retort_##name *full);
RT_SIZED_STRUCTS(RT_SIZED_DECLARE)
#undef RT_SIZED_DECLARE

#endif
