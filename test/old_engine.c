/* SPDX-License-Identifier: Apache-2.0
 * A library that says it is an ONNX Runtime, or an OpenVINO, of long ago: test/cli/providers.py puts it where
 * the true ones are looked for. */
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

static const void *table(uint32_t version) {
    (void)version;
    return NULL;
}
static const char *version(void) {
    return "1.10.0";
}
typedef struct base {
    const void *(*table)(uint32_t);
    const char *(*version)(void);
} base;

EXPORT const base *OrtGetApiBase(void);
const base *OrtGetApiBase(void) {
    static const base it = {table, version};
    return &it;
}

EXPORT int ov_get_openvino_version(void *out);
int ov_get_openvino_version(void *out) {
    (void)out;
    return -1;
}
