/* SPDX-License-Identifier: Apache-2.0
 * Programs that are run for their output. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stddef.h>

/* Arguments of a program; texts are borrowed. `value` may be NULL. */
typedef struct process_arguments {
    char *items[32];
    size_t count;
} process_arguments;
void process_argument(process_arguments *a, const char *name, const char *value);
/* Runs a program and returns its standard output, which the caller frees; NULL: it failed. */
char *process_output(const char *program, process_arguments *a);

#endif
