/* SPDX-License-Identifier: Apache-2.0
 * The script that a character belongs to. The tables are made by tools/unicode_scripts.py. */
#ifndef RT_TEXT_UNICODE_SCRIPTS_H
#define RT_TEXT_UNICODE_SCRIPTS_H

#include <stdint.h>

enum { RT_MOST_SCRIPTS = 192, RT_NO_SCRIPT = 0 };

extern const uint16_t rt_script_first[];
extern const uint8_t rt_script_second[];
/* Codes of ISO 15924, "Latn"; "" for RT_NO_SCRIPT, NULL beyond the last one. */
extern const char *const rt_script_codes[RT_MOST_SCRIPTS];

/* Number of the script; RT_NO_SCRIPT: digits, punctuation, emoji and other characters that all share. `point` is below
 * 0x110000. */
static inline uint8_t rt_script(uint32_t point) {
    return rt_script_second[rt_script_first[point >> 7] * 128u + (point & 127)];
}

#endif
