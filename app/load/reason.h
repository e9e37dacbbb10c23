/* SPDX-License-Identifier: Apache-2.0
 * What the errors of a server say. */
#ifndef LOAD_REASON_H
#define LOAD_REASON_H

#include "load/answer.h"
#include "load/result.h"

/* What an error says: its type, or else its message or the start of its body. */
void load_read_reason(load_reason *out, const load_answer *answer);
/* The same, in words for people: its message first. */
void load_read_message(load_reason *out, const load_answer *answer);
/* Counts an error by what it says. */
void load_note_reason(load_result *result, const load_answer *answer);

#endif
