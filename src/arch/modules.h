/* SPDX-License-Identifier: Apache-2.0
 * What a sentence-transformers package adds to a checkpoint: modules.json and a folder for each module. */
#ifndef RT_ARCH_MODULES_H
#define RT_ARCH_MODULES_H

#include "format/json.h"
#include "arch/encoder.h"

/* Its texts live in the arena that it was read into. */
typedef struct rt_modules {
    const char *transformer;               /* folder of the transformer: the package's own, or one in it */
    rt_pooling poolings[RT_MOST_POOLINGS]; /* none: no package, or it does not pool */
    size_t pooling_count;
    rt_splade splade;
    rt_module after[RT_MOST_MODULES]; /* what follows, its weights still to be read */
    size_t after_count;
    int64_t max_length; /* 0: not stated */
    rt_sentences sentences;
    bool is_static;     /* the first module is a table */
    bool scores;        /* a cross-encoder: it has no vectors, */
    rt_scoring scoring; /* and logits become scores so */
    bool lowers;        /* texts, before the tokenizer */
} rt_modules;

/* Of any folder. With `embed` false only the transformer is looked for: other modules are not read. */
retort_status rt_modules_read(rt_modules *out, rt_arena *arena, const char *folder, bool embed,
                              retort_error *err);

/* config_sentence_transformers.json; for the fuzzer, as the others. Unless `embed`, only that of a cross-encoder is read. */
retort_status rt_modules_settings(rt_modules *out, rt_arena *arena, const char *name, const json_t *root,
                                  bool embed, retort_error *err);
/* Parse the config.json of a module; all but the poolings add to out->after. */
retort_status rt_modules_pooling(rt_modules *out, const char *name, const json_t *root, retort_error *err);
retort_status rt_modules_splade(rt_modules *out, const char *name, const json_t *root, retort_error *err);
retort_status rt_modules_dense(rt_modules *out, const char *name, const json_t *root, retort_error *err);
retort_status rt_modules_normalize(rt_modules *out, const char *name, const json_t *root, retort_error *err);
retort_status rt_modules_layer_norm(rt_modules *out, const char *name, const json_t *root, retort_error *err);

#endif
