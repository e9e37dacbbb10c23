/* SPDX-License-Identifier: Apache-2.0
 * The widths of a model's layers: heads of attention and columns of feed-forward networks. */
#ifndef CLI_LAYERS_H
#define CLI_LAYERS_H

#include "retort.h"

#include <jansson.h>

/* "heads 8 6 4, ffn 640 512 384", a number a layer, after `start`. */
void cli_print_layers(const retort_model *model, const char *start);
/* [{"heads": 8, "ffn": 640}, …] */
json_t *cli_layers_json(const retort_model *model);

#endif
