/* SPDX-License-Identifier: Apache-2.0
 * Public structs that begin with `size`: a program that was built for an earlier version of retort.h has shorter ones.
 * Reading fills what it does not have with defaults; giving writes no more than it has. A longer struct, of a later
 * version, is refused. CONTRIBUTING.md says how to append a field. */
#ifndef RT_BASE_SIZED_H
#define RT_BASE_SIZED_H

#include "retort.h"

#define RT_SIZED_RESULT(name)                                                                                \
    { .size = sizeof(retort_##name) }

/* A row per struct: its name, its defaults, and the last field that all its versions have. */
#define RT_SIZED_STRUCTS(X)                                                                                  \
    X(head, RETORT_HEAD, seed)                                                                               \
    X(import_options, RETORT_IMPORT_OPTIONS, user)                                                           \
    X(load_options, RETORT_LOAD_OPTIONS, memory)                                                             \
    X(export_options, RETORT_EXPORT_OPTIONS, external_over)                                                  \
    X(export_info, RT_SIZED_RESULT(export_info), external)                                                   \
    X(optimize_options, RETORT_OPTIMIZE_OPTIONS, user)                                                       \
    X(quantize_options, RETORT_QUANTIZE_OPTIONS, warning)                                                    \
    X(info, RT_SIZED_RESULT(info), sparse)                                                                   \
    X(restriction, RT_SIZED_RESULT(restriction), identical_unseen)                                           \
    X(tensor_info, RT_SIZED_RESULT(tensor_info), bytes)                                                      \
    X(draw_options, RETORT_DRAW_OPTIONS, whole)                                                              \
    X(tokenize_options, RETORT_TOKENIZE_OPTIONS, side)                                                       \
    X(provider_info, RT_SIZED_RESULT(provider_info), reason)                                                 \
    X(session_options, RETORT_SESSION_OPTIONS, keep_duplicates)                                              \
    X(zero_shot_options, RETORT_ZERO_SHOT_OPTIONS, multi_label)                                              \
    X(windows_info, RT_SIZED_RESULT(windows_info), truncated)                                                \
    X(tag_options, RETORT_TAG_OPTIONS, ignore_count)                                                         \
    X(answer_options, RETORT_ANSWER_OPTIONS, pieces)                                                         \
    X(fill_options, RETORT_FILL_OPTIONS, target_count)                                                       \
    X(step_info, RT_SIZED_RESULT(step_info), codes_up_to)                                                    \
    X(session_info, RT_SIZED_RESULT(session_info), steps)                                                    \
    X(dataset_options, RETORT_DATASET_OPTIONS, task)                                                         \
    X(dataset_info, RT_SIZED_RESULT(dataset_info), labels)                                                   \
    X(table_options, RETORT_TABLE_OPTIONS, added_count)                                                      \
    X(eval_options, RETORT_EVAL_OPTIONS, progress_user)                                                      \
    X(eval_result, RT_SIZED_RESULT(eval_result), difference_high)                                            \
    X(cascade_options, RETORT_CASCADE_OPTIONS, user)                                                         \
    X(cascade_info, RT_SIZED_RESULT(cascade_info), tested_differ)                                            \
    X(stage_info, RT_SIZED_RESULT(stage_info), tested_share)                                                 \
    X(train_options, RETORT_TRAIN_OPTIONS, user)                                                             \
    X(train_result, RT_SIZED_RESULT(train_result), truncated)                                                \
    X(prune_options, RETORT_PRUNE_OPTIONS, user)                                                             \
    X(prune_result, RT_SIZED_RESULT(prune_result), time)                                                     \
    X(layer_info, RT_SIZED_RESULT(layer_info), ffn)                                                          \
    X(machine, RT_SIZED_RESULT(machine), unpacks)                                                            \
    X(peaks, RT_SIZED_RESULT(peaks), seconds)

/* rt_read_NAME: *full is what the caller's struct says, with defaults for what it does not have (NULL: for all).
 * RETORT_ARGUMENT if its size is none that the struct ever had; the text begins with `call`.
 * rt_give_NAME: writes *full into the caller's struct, whose size was checked, as far as that reaches. */
#define RT_SIZED_DECLARE(name, defaults, oldest)                                                             \
    retort_status rt_read_##name(const char *call, const retort_##name *given, retort_##name *full,          \
                                 retort_error *err);                                                         \
    void rt_give_##name(retort_##name *given, const retort_##name *full);
RT_SIZED_STRUCTS(RT_SIZED_DECLARE)
#undef RT_SIZED_DECLARE

#endif
