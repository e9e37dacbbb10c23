/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *root = NULL;
    retort_error err;
    if (rt_json_parse(&root, "fuzz", data, size, &err) == RETORT_OK) json_decref(root);
    return 0;
}
