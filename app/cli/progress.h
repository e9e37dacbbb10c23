/* SPDX-License-Identifier: Apache-2.0
 * A progress bar, and SIGINT. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* From now on, SIGINT makes cli_progress cancel its caller. */
void cli_catch_interrupt(void);
/* Whether there was one. */
bool cli_interrupted(void);
/* A retort_progress_fn: draws a bar on stderr if that is a terminal. cli_progress_end removes it. */
int cli_progress(void *user, const char *what, size_t done, size_t total);
/* The same where nobody knows how much there is: the text alone. */
void cli_progress_count(const char *what);
void cli_progress_end(void);
/* Something else was drawn on the line of the bar, which cli_progress_end shall remove, and on `above` lines above it. */
void cli_progress_drawn(size_t above);

#endif
