/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <sys/auxv.h>
#include <sys/random.h>

rt_hash_key rt_hash_key_new(void) {
    rt_hash_key key;
    /* If a sandbox forbids the call: the random bytes that the kernel gave the program at its start. */
    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != sizeof key) {
        const void *start = (const void *)getauxval(AT_RANDOM);
        key = (rt_hash_key){{0, 0}};
        if (start != NULL) memcpy(&key, start, sizeof key);
    }
    return key;
}
