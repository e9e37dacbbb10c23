/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/arch.h"

#include <string.h>

const rt_arch *const rt_archs[] = {
    &rt_arch_distilbert, &rt_arch_bert,    &rt_arch_electra,    &rt_arch_roberta,    &rt_arch_xlm_roberta,
    &rt_arch_camembert,  &rt_arch_albert,  &rt_arch_mpnet,      &rt_arch_modernbert, &rt_arch_nomic_bert,
    &rt_arch_gte,        &rt_arch_gte_new, &rt_arch_deberta_v2, &rt_arch_eurobert,   NULL};

const rt_arch *rt_arch_find(const char *type) {
    for (size_t i = 0; rt_archs[i] != NULL; i++) {
        if (strcmp(type, rt_archs[i]->type) == 0) return rt_archs[i];
    }
    return NULL;
}

const rt_arch *rt_arch_family(const char *type) {
    return strcmp(type, rt_arch_static.type) == 0 ? &rt_arch_static : rt_arch_find(type);
}

const rt_arch *rt_arch_of(const char *architecture) {
    for (size_t i = 0; rt_archs[i] != NULL; i++) {
        if (strncmp(architecture, rt_archs[i]->prefix, strlen(rt_archs[i]->prefix)) == 0) return rt_archs[i];
    }
    return NULL;
}
