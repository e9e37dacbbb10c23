/* SPDX-License-Identifier: Apache-2.0
 * The state of a training, to go on from: a safetensors file with
 *   __metadata__   retort.checkpoint "2"; retort.training: data, options and parameters that it belongs to, as text;
 *                  retort.hash (format/seal.h)
 *   "state"        I64, words of the loop
 *   "w.NAME"       F32 [count] a parameter, and its moments "m.NAME", "v.NAME", of a table those of rows that have some:
 *   "q.N"          U8 what quantisation-aware training keeps beside the parameters
 *   "slot.NAME"    I32 [rows] where they are, "seen.NAME" I32 [rows] up to which step the row is
 * all padded with zeros to 64 bytes. */
#ifndef RT_TRAIN_CHECKPOINT_H
#define RT_TRAIN_CHECKPOINT_H

#include "format/tensors.h"
#include "train/optimizer.h"
#include "train/qat.h"

enum { RT_CHECKPOINT_WORDS = 64 };

typedef struct rt_checkpoint {
    const char *belongs; /* "data=… …": must be the same to go on */
    rt_optimizer *optimizer;
    rt_trainee *trainee; /* NULL: parameters alone */
    int64_t words[RT_CHECKPOINT_WORDS];
} rt_checkpoint;

/* Written beside `path`, and renamed. */
retort_status rt_checkpoint_write(const char *path, const rt_checkpoint *checkpoint, retort_error *err);
/* Into the optimiser, its parameters and words. A file that does not belong here, or is spoilt, changes nothing. */
retort_status rt_checkpoint_read(const char *path, rt_checkpoint *checkpoint, retort_error *err);
/* The same for an open file, as the fuzzer does. */
retort_status rt_checkpoint_take(const char *path, const rt_tensors *tensors, rt_checkpoint *checkpoint,
                                 retort_error *err);

#endif
