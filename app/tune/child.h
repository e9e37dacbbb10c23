/* SPDX-License-Identifier: Apache-2.0
 * A command of this program in a process of its own: what goes wrong there costs one trial, and its memory is returned. */
#ifndef TUNE_CHILD_H
#define TUNE_CHILD_H

#include <jansson.h>
#include <stdbool.h>

typedef struct tune_child {
    int code;   /* its exit code; -1: it did not start, or a signal ended it */
    int signal; /* that ended it; 0: none */
    bool late;  /* it was told to stop when its time was over */
    double seconds;
    char *output;   /* the caller frees it; never NULL once it has run */
    char last[256]; /* the last line of its standard error */
} tune_child;

/* Runs "retort WORDS…" (an array of strings). Its standard error goes to the end of the file `log`. At `deadline` (cli_now; 0:
 * none), or when the user interrupts this program meanwhile, it gets a SIGINT, with which training saves what it has, and
 * 20 s later a SIGKILL. `tick` is called about
 * four times a second. False: out of memory. */
bool tune_child_run(tune_child *out, const json_t *words, const char *log, double deadline,
                    void (*tick)(void *user), void *user);
/* The last line of its output as JSON; NULL: it is not. */
json_t *tune_child_json(const tune_child *child);

#endif
