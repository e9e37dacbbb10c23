/* SPDX-License-Identifier: Apache-2.0
 * The members that an object of a request may have, a row each. A row is read, checked and described by
 * /openapi.json; a member without a row is refused by its name. */
#ifndef SERVE_FIELDS_H
#define SERVE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a member may be, and what srv_fields_read writes to `at`, an offset in srv_ask. null is as if it were
 * not there. */
typedef enum srv_field_kind {
    SRV_FIELD_OWN,     /* the route's own function reads it */
    SRV_FIELD_BOOL,    /* a bool */
    SRV_FIELD_SWITCH,  /* a boolean that has no fixed default: a srv_switch */
    SRV_FIELD_WHOLE,   /* least … most: an int64_t */
    SRV_FIELD_CHOICE,  /* a word of `choices`, in any case: an int, 1 for the first one */
    SRV_FIELD_TEXT,    /* a string: a srv_slice */
    SRV_FIELD_STRINGS, /* a string or a list of strings: a const srv_json * */
    SRV_FIELD_UNUSED   /* what clients send and nothing depends on, for the reason in `help` */
} srv_field_kind;
typedef enum srv_switch { SRV_UNSAID, SRV_NO, SRV_YES } srv_switch;

typedef struct srv_field {
    const char *name;
    srv_field_kind kind;
    size_t at;
    int64_t least, most;
    const char *choices; /* "softmax|sigmoid|none" */
    bool required;
    const char *schema; /* as those of openapi.c are written; NULL: as the kind says */
    const char *help;
} srv_field;

/* An object, under the name of its schema; `fields` end with a row without a name. */
typedef struct srv_form {
    const char *name;
    const srv_field *fields;
} srv_form;

struct srv_call;
struct srv_json;
/* Reads the members of `object` (NULL or null: none). `where` stands before their names in errors: "" or
 * "parameters.". False: srv_call_fail has been called. */
bool srv_fields_read(struct srv_call *call, const srv_form *form, const struct srv_json *object,
                     const char *where);

/* ---- The forms (forms.c) ---- */

extern const srv_form srv_predict_form, srv_embed_form, srv_rerank_form, srv_rank_form, srv_document_form,
    srv_similarity_form, srv_similarity_inputs_form, srv_similarity_parameters_form, srv_tokenize_form,
    srv_decode_form, srv_embed_all_form, srv_embeddings_form, srv_v2_form, srv_v2_input_form,
    srv_v2_output_form, srv_v2_parameters_form, srv_v2_input_parameters_form, srv_v2_output_parameters_form;
/* Of POST /: the whole, what a body may have beside "parameters" for a task, and what "parameters" may have
 * (both by retort_task). */
extern const srv_form srv_hf_form, srv_hf_forms[], srv_hf_parameter_forms[], srv_hf_question_form,
    srv_hf_pair_form, srv_hf_similarity_form, srv_zero_parameters_form;
/* Every form, for /openapi.json; ends with NULL. */
extern const srv_form *const srv_forms[];

#endif
