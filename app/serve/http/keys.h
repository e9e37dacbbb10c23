/* SPDX-License-Identifier: Apache-2.0
 * API keys. */
#ifndef SERVE_KEYS_H
#define SERVE_KEYS_H

#include "retort.h"

typedef struct srv_keys srv_keys;
retort_status srv_keys_read(srv_keys **out, const char *path, retort_error *err);
void srv_keys_free(srv_keys *keys);
/* In constant time: it does not depend on where keys differ. */
bool srv_keys_match(const srv_keys *keys, const char *key);

#endif
