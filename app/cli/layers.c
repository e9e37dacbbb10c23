/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/layers.h"

#include <stdio.h>

void cli_print_layers(const retort_model *model, const char *start) {
    retort_layer_info layer = {.size = sizeof layer};
    printf("%sheads", start);
    for (size_t i = 0; retort_model_layer(model, i, &layer) == RETORT_OK; i++)
        printf(" %lld", (long long)layer.heads);
    printf(", ffn");
    for (size_t i = 0; retort_model_layer(model, i, &layer) == RETORT_OK; i++)
        printf(" %lld", (long long)layer.ffn);
    printf("\n");
}

json_t *cli_layers_json(const retort_model *model) {
    retort_layer_info layer = {.size = sizeof layer};
    json_t *list = json_array();
    for (size_t i = 0; retort_model_layer(model, i, &layer) == RETORT_OK; i++)
        json_array_append_new(
            list, json_pack("{s:I, s:I}", "heads", (json_int_t)layer.heads, "ffn", (json_int_t)layer.ffn));
    return list;
}
