/* SPDX-License-Identifier: Apache-2.0
 * SetFit (Tunstall et al., arXiv 2209.11055): a sentence-transformers package whose vectors a logistic regression of scikit-learn
 * classifies. */
#ifndef RT_ARCH_SETFIT_H
#define RT_ARCH_SETFIT_H

#include "arch/modules.h"

/* Whether a folder has such a head. */
bool rt_setfit_is_in(const char *folder);
/* Makes an encoder that embeds, of a package without more modules, one that classifies: appends the head of `folder`, in its
 * labels' order. */
retort_status rt_setfit_apply(rt_encoder *encoder, const char *folder, retort_error *err);

#endif
