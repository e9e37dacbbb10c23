/* SPDX-License-Identifier: Apache-2.0
 * Languages by their codes of ISO 639-1, and the scripts that each is written in. */
#ifndef RT_TEXT_LANGUAGES_H
#define RT_TEXT_LANGUAGES_H

#include "text/unicode_scripts.h"
#include "base/error.h"

/* The scripts of some languages, by their numbers. */
typedef struct rt_languages {
    bool written[RT_MOST_SCRIPTS]; /* one of them is written in it */
    bool shared[RT_MOST_SCRIPTS];  /* and so is a language that is none of them */
} rt_languages;

/* Of "ko,en"; NULL: all scripts, each shared. An unknown code is refused with the list of all. */
retort_status rt_languages_read(rt_languages *out, const char *list, retort_error *err);

#endif
