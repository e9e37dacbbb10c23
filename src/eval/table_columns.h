/* SPDX-License-Identifier: Apache-2.0
 * Which columns of a table hold the texts and what they are labelled with. */
#ifndef RT_EVAL_TABLE_COLUMNS_H
#define RT_EVAL_TABLE_COLUMNS_H

#include "eval/record.h"

enum { RT_ABSENT = -1 };

typedef struct rt_table_columns {
    int text, pair; /* index of the column, RT_ABSENT */
    int *labels;    /* [label_count]: one with labels or scores, or several with 0 and 1 */
    size_t label_count;
    bool scores;    /* the label column has numbers */
    char separator; /* of the labels in a cell; 0: it has one */
    size_t least;   /* fields that a record must have */
} rt_table_columns;

/* Finds them, and has the records keep no others. The arena owns what is found. */
retort_status rt_table_find(rt_table_columns *out, retort_dataset *data, rt_records *records,
                            const rt_config *config, const retort_dataset_options *options,
                            retort_error *err);
/* Whether the record has the columns. */
retort_status rt_table_check(const rt_records *records, const rt_table_columns *columns, retort_error *err);
/* The same of the texts alone. */
retort_status rt_table_find_texts(rt_table_columns *out, rt_records *records,
                                  const retort_dataset_options *options, retort_error *err);

#endif
