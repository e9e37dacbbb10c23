/* SPDX-License-Identifier: Apache-2.0
 * Errors, one row each. */
#include "serve/wire/errors.h"

const srv_error srv_errors[SRV_ERROR_COUNT] = {
#define ERROR_ROW(id, status, tei, openai) {status, tei, openai},
    SRV_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};
