/* SPDX-License-Identifier: Apache-2.0
 * The members of request bodies. */
#ifndef SERVE_FORMS_H
#define SERVE_FORMS_H

#include "serve/wire/field.h"

extern const srv_form srv_predict_form, srv_embed_form, srv_rerank_form, srv_rank_form, srv_document_form,
    srv_similarity_form, srv_similarity_inputs_form, srv_similarity_parameters_form, srv_tokenize_form,
    srv_decode_form, srv_embed_all_form, srv_embed_sparse_form, srv_embeddings_form, srv_v2_form,
    srv_v2_input_form, srv_v2_output_form, srv_v2_parameters_form, srv_v2_input_parameters_form,
    srv_v2_output_parameters_form;
/* POST /: the whole body; the members beside "parameters" for a task, and those of "parameters" (both by
 * retort_task). */
extern const srv_form srv_hf_form, srv_hf_forms[], srv_hf_parameter_forms[], srv_hf_question_form,
    srv_hf_pair_form, srv_hf_similarity_form, srv_zero_parameters_form;
/* Every form, for /openapi.json; ends with NULL. */
extern const srv_form *const srv_forms[];

#endif
