/* SPDX-License-Identifier: Apache-2.0
 * retort_table: the rows of a table, from bytes that are read in pieces. Memory is bounded by the longest row. */
#ifndef RT_EVAL_TABLE_ROWS_H
#define RT_EVAL_TABLE_ROWS_H

#include "eval/record.h"

retort_status rt_table_open(retort_table **out, const retort_table_options *options, retort_read_fn read,
                            void *user, retort_error *err);
retort_status rt_table_next(retort_table *table, retort_row *row, retort_error *err);
retort_status rt_table_skip(retort_table *table, const retort_table_position *position, retort_error *err);

#endif
