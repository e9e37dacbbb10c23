/* SPDX-License-Identifier: Apache-2.0
 * An HTTP answer that comes whole and the same in pieces must be read alike. */
#include "load/answer.h"
#include "load/reason.h"

#include <stdlib.h>
#include <string.h>

/* Reads all in pieces of `size` bytes; the bytes that belong to the answer. */
static size_t read_in_pieces(load_answer *answer, bool *fine, const char *bytes, size_t n, size_t size) {
    size_t used = 0, taken = 0;
    *answer = (load_answer){0};
    *fine = true;
    while (*fine && used < n && answer->stage != LOAD_COMPLETE) {
        size_t piece = n - used < size ? n - used : size;
        *fine = load_answer_take(answer, bytes + used, piece, &taken);
        if (!*fine) return 0;
        if (taken > piece || (taken < piece && answer->stage != LOAD_COMPLETE)) abort();
        used += taken;
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    load_answer whole, pieces;
    load_reason reason;
    bool fine, same;
    const char *bytes = (const char *)data;
    size_t used = read_in_pieces(&whole, &fine, bytes, size, size + 1);
    size_t again = read_in_pieces(&pieces, &same, bytes, size, 1);
    if (fine != same || used != again) abort();
    if (!fine) return 0;
    if (whole.stage != pieces.stage || whole.status != pieces.status || whole.hash != pieces.hash) abort();
    if (whole.keep != pieces.keep || whole.body_length != pieces.body_length) abort();
    if (load_answer_end(&whole) && (whole.status < 200 || whole.status > 599)) abort();
    load_read_reason(&reason, &whole);
    return strlen(reason.text) < sizeof reason.text ? 0 : 1;
}
