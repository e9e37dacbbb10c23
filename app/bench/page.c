/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the HTML page share. */
#include "bench/page.h"

#include <string.h>

size_t page_colour(const bench_engine *it) {
    static const char *const known[] = {"native",   "onnxruntime",      "onnxruntime:openvino",
                                        "openvino", "onnxruntime:cuda", "onnxruntime:tensorrt",
                                        "torch"};
    size_t count = sizeof known / sizeof *known, index = 0;
    while (index + 1 < count && strcmp(known[index], it->provider) != 0) index++;
    return index;
}
