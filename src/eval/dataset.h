/* SPDX-License-Identifier: Apache-2.0
 * Data files: a table (TSV, CSV, JSON lines), CoNLL columns, SQuAD JSON, or plain lines. */
#ifndef RT_EVAL_DATASET_H
#define RT_EVAL_DATASET_H

#include "base/map.h"
#include "base/names.h"
#include "eval/labels.h"
#include "format/json.h"
#include "arch/encoder.h"

typedef enum rt_data_kind {
    RT_DATA_LINES,  /* one text per line */
    RT_DATA_TABLE,  /* columns of texts, and of labels or scores */
    RT_DATA_WORDS,  /* CoNLL: words with tags */
    RT_DATA_ANSWERS /* SQuAD: question, context, accepted answers */
} rt_data_kind;

typedef struct rt_sample {
    retort_text text; /* answers: question and context */
    int64_t label;    /* RETORT_TARGETS_LABEL */
    double score;     /* RETORT_TARGETS_VALUE */
    size_t first,
        count;   /* range in `parts`: the words or accepted answers of this sample; RETORT_TARGETS_LABELS: in
                            `tags` */
    size_t line; /* from 1; 0: unknown */
} rt_sample;

struct retort_dataset {
    rt_data_kind kind;
    retort_targets targets;
    bool labelled; /* it has targets, as the model's task needs */
    bool collects; /* labels are those of the data: `own` */
    bool lists;    /* RETORT_TARGETS_LABELS: they are lists in JSON, */
    bool vectors;  /* which have 0 or 1 for each label */
    const char *name;
    rt_sample *samples;
    size_t count, capacity;
    retort_text *parts; /* words, or accepted answers */
    size_t part_count, part_capacity;
    int32_t *tags; /* [tag_count] label of each word, or all labels of each text */
    size_t tag_count, tag_capacity;
    rt_label_set own; /* labels that the data names */
    rt_names labels;  /* label names of the model to indices; built when the first label is read */
    bool texts_only;  /* labels are not read */
    rt_map map;
    char *bytes; /* for input that cannot be mapped */
    json_t *json;
    rt_arena arena;
};

retort_status rt_dataset_open(retort_dataset **out, const char *path, const rt_config *config,
                              const retort_dataset_options *options, retort_error *err);
/* The parser, on memory: `data` must outlive *out. */
retort_status rt_dataset_parse(retort_dataset **out, const char *name, const void *data, size_t size,
                               const rt_config *config, const retort_dataset_options *options,
                               retort_error *err);

/* For the readers of each format. */
typedef struct rt_lines { /* iterates over lines, which end with \n or \r\n; the last one may lack it */
    const char *at, *end;
    size_t number; /* of the last line taken, from 1 */
} rt_lines;
bool rt_lines_next(rt_lines *lines, retort_text *line);
/* Takes the part before the first `separator` (or all the rest) from the front; false at the end. */
bool rt_field_next(retort_text *rest, char separator, retort_text *field);
bool rt_text_is(const retort_text *text, const char *word);
retort_status rt_dataset_add(retort_dataset *data, const rt_sample *sample, retort_error *err);
retort_status rt_dataset_part(retort_dataset *data, const retort_text *part, retort_error *err);
/* Makes a sentence of the words from `first` on; its text is the words joined by spaces. */
retort_status rt_dataset_sentence(retort_dataset *data, size_t first, size_t line, retort_error *err);
retort_status rt_dataset_tag(retort_dataset *data, int64_t label, retort_error *err);
/* Index of a label given by name or by number: of the model, or, if labels are collected, among those found so far. */
retort_status rt_dataset_label(retort_dataset *data, size_t line, const retort_text *value,
                               const rt_config *config, int64_t *label, retort_error *err);
/* The same of the model's labels, whether or not labels are collected. */
retort_status rt_dataset_model_label(retort_dataset *data, size_t line, const retort_text *value,
                                     const rt_config *config, int64_t *label, retort_error *err);
/* Finds or adds a label of the data. */
retort_status rt_dataset_own_label(retort_dataset *data, size_t line, const retort_text *value,
                                   int64_t *label, retort_error *err);
/* When all is read: decides whether collected labels are values, sorts them and renumbers those of the samples; those of
 * several per text become the model's if it has labels. wanted: as in retort_dataset_options. */
retort_status rt_dataset_collect(retort_dataset *data, const rt_config *config, retort_targets wanted,
                                 retort_error *err);
/* Whether a column with this name is recognised as texts. */
bool rt_is_text_column(const retort_text *name);
retort_status rt_table_read(retort_dataset *data, rt_lines lines, retort_table_format format,
                            const rt_config *config, const retort_dataset_options *options,
                            retort_error *err);
retort_status rt_conll_read(retort_dataset *data, rt_lines lines, const rt_config *config, retort_error *err);
retort_status rt_squad_read(retort_dataset *data, rt_lines lines, const rt_config *config, retort_error *err);

#endif
