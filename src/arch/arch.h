/* SPDX-License-Identifier: Apache-2.0
 * Architectures, one row and one file each: what config.json and the tensors are called, and what the network
 * computes where that differs. Adding one: see "Add an architecture" in CONTRIBUTING.md. */
#ifndef RT_ARCH_ARCH_H
#define RT_ARCH_ARCH_H

#include "kernel/kernel.h"
#include "retort.h"

struct rt_builder;
struct rt_config;
struct rt_config_source;

/* Sizes that a config.json states. */
typedef enum rt_key {
    RT_KEY_LAYERS,
    RT_KEY_HIDDEN,
    RT_KEY_HEADS,
    RT_KEY_FFN,
    RT_KEY_VOCAB,
    RT_KEY_POSITIONS,
    RT_KEY_TYPES,
    RT_KEY_EMBEDDING,
    RT_KEY_PAD,     /* id that positions skip */
    RT_KEY_GROUPS,  /* of layers that share weights */
    RT_KEY_INNER,   /* layers of a group */
    RT_KEY_BUCKETS, /* of distances */
    RT_KEYS
} rt_key;

/* The parts of a network that have weights. */
typedef enum rt_role {
    RT_ROLE_WORD,
    RT_ROLE_POSITION,
    RT_ROLE_TYPE,
    RT_ROLE_EMBEDDING_NORM,
    RT_ROLE_TABLE_PROJECTION, /* from the tables' width to the hidden size, before that norm */
    RT_ROLE_DISTANCES,        /* rows of which position keys and queries are made, */
    RT_ROLE_DISTANCE_NORM,    /* normalised, */
    RT_ROLE_BIAS,             /* of scores by distance, one for all layers */
    RT_ROLE_PROJECTION,       /* from the embeddings to the hidden size, where these differ */
    RT_ROLE_FINAL_NORM,       /* after the last layer */
    RT_ROLE_Q,                /* of each layer, to POS_QUERY */
    RT_ROLE_K,
    RT_ROLE_V,
    RT_ROLE_OUT,
    RT_ROLE_ATTENTION_NORM,
    RT_ROLE_LIN1,
    RT_ROLE_UP, /* what the activated output of LIN1 is multiplied by, in networks with gates */
    RT_ROLE_LIN2,
    RT_ROLE_OUTPUT_NORM,
    RT_ROLE_POS_KEY, /* by these matrices of a layer */
    RT_ROLE_POS_QUERY,
    RT_ROLE_DENSE, /* of the head, to OUTPUT */
    RT_ROLE_HEAD_NORM,
    RT_ROLE_OUTPUT,
    RT_ROLES,
    RT_ROLE_LAYER = RT_ROLE_Q, /* the first role of a layer, of a head */
    RT_ROLE_HEAD = RT_ROLE_DENSE
} rt_role;

/* A task's head: hidden state → dense → activation → norm → output, NULL where it has no such part. */
typedef struct rt_arch_head {
    const char *dense, *norm, *output;
    const char *old_bias; /* where the output's bias stands in some files, with ".bias" */
    rt_act activation;    /* of dense; RT_FN_NONE: config.json's */
    bool pooler;          /* dense lies in the base model */
} rt_arch_head;
enum { RT_TASKS = RETORT_TASK_EMBED + 1 };

/* Which of `count` equal parts of a tensor's rows a role is; count 0: all of it. */
typedef struct rt_arch_part {
    int index, count;
} rt_arch_part;

typedef struct rt_arch {
    const char *type;                         /* model_type in config.json, family in a .retort file */
    const char *prefix;                       /* how the names of `architectures` begin */
    const char *keys[RT_KEYS];                /* config.json's names; NULL: it has none */
    const char *old_keys[RT_KEYS];            /* another spelling of them, or NULL */
    int64_t defaults[RT_KEYS];                /* of a key that is absent; 0: it must be there */
    const char *activation_key, *epsilon_key; /* epsilon_key NULL: always 1e-12 */
    float epsilon_default;                    /* where that key is absent; 0: 1e-12 */
    const char *activation_default;           /* where the key is absent; NULL: it must be there */
    const char *base;                         /* before the base model's tensors where a head is there */
    const char *layer;                        /* before a layer's index; NULL: layer_stem tells */
    void (*layer_stem)(char *out, size_t size, const struct rt_config *config, int64_t index);
    bool projects; /* the embeddings are projected whatever their width */
    bool rms;      /* norms are about 0, without biases */
    bool untied;   /* the decoder of a fill head has a weight of its own, unless config.json says otherwise */
    /* What config.json says of this architecture alone; after the keys. NULL: nothing. */
    retort_status (*configure)(struct rt_config *config, const struct rt_config_source *from,
                               retort_error *err);
    const char *names[RT_ROLE_HEAD];  /* tensors of embeddings and layers, less .weight and .bias */
    rt_role first_without;            /* what the first layer lacks; 0: nothing */
    rt_arch_part parts[RT_ROLE_HEAD]; /* of matrices that are stored as one */
    rt_arch_head heads[RT_TASKS];     /* by task; embed has none */
    rt_arch_head other_fill;          /* the names of a fill head in other files; output NULL: none */
    bool (*has)(const struct rt_config *config, rt_role role); /* which parts a network has; NULL: all */
    retort_task pretraining;                                   /* what …ForPreTraining is read as */
    int (*mask)(struct rt_builder *b); /* emitted once before the layers; NULL: nothing */
    int (*scores)(struct rt_builder *b, const char *scope, int q, int k); /* masked attention scores */
    int (*layer_of)(struct rt_builder *b, int64_t index,
                    int hidden); /* a layer: its output; NULL: post-norm */
} rt_arch;

extern const rt_arch rt_arch_distilbert, rt_arch_bert, rt_arch_electra, rt_arch_roberta, rt_arch_xlm_roberta,
    rt_arch_camembert, rt_arch_albert, rt_arch_mpnet, rt_arch_modernbert, rt_arch_nomic_bert, rt_arch_gte,
    rt_arch_gte_new, rt_arch_deberta_v2, rt_arch_eurobert;

/* Has no config.json, so it is not among the rows. */
extern const rt_arch rt_arch_static;

/* Every row; NULL ends them. */
extern const rt_arch *const rt_archs[];
/* By model_type; NULL when there is none. */
const rt_arch *rt_arch_find(const char *type);
/* By the family of a .retort file: rt_arch_static, too. */
const rt_arch *rt_arch_family(const char *type);
/* By how an architecture's name begins ("BertForMaskedLM"). */
const rt_arch *rt_arch_of(const char *architecture);

#endif
