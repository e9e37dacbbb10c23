/* SPDX-License-Identifier: Apache-2.0
 * Which training a checkpoint belongs to. */
#ifndef RT_TRAIN_BELONGS_H
#define RT_TRAIN_BELONGS_H

#include "train/examples.h"
#include "train/optimizer.h"
#include "train/teacher.h"
#include "train/trainee.h"

/* "data=… dev-data=… model=… teacher=… options=…": hashes of all that decides the bytes of a result. trainee: with the weights
 * that it starts from; teacher: without logits if there is none; rows: of a chunk. */
enum { RT_BELONGS_SIZE = 160 };
retort_status rt_belongs(char out[RT_BELONGS_SIZE], const retort_train_options *options,
                         const rt_examples *examples, const rt_trainee *trainee, const rt_teacher *teacher,
                         const rt_optimizer_options *optimizer, size_t rows, retort_error *err);
/* RETORT_ARGUMENT: what the file `path` says, `found` (NULL: nothing), is not `belongs`; names what differs. */
retort_status rt_belongs_check(const char *path, const char *found, const char *belongs, retort_error *err);

#endif
