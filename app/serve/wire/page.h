/* SPDX-License-Identifier: Apache-2.0
 * app/serve/wire/page.html and the policy that allows its own style and script and nothing
 * else; made by embed.py. */
#ifndef SERVE_PAGE_H
#define SERVE_PAGE_H

#include <stddef.h>

extern const unsigned char srv_page[];
extern const size_t srv_page_size;
extern const char srv_page_policy[];

#endif
