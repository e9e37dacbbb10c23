/* SPDX-License-Identifier: Apache-2.0
 * The type of a row in routes.c. */
#ifndef SERVE_ROUTE_H
#define SERVE_ROUTE_H

#include "serve/wire/field.h"

#include <stdbool.h>

/* The form and the status codes of errors. */
typedef enum srv_wire { SRV_WIRE_TEI, SRV_WIRE_OPENAI, SRV_WIRE_V2, SRV_WIRE_COUNT } srv_wire;

/* The content type of an answer. */
typedef enum srv_content {
    SRV_CONTENT_JSON,
    SRV_CONTENT_TEXT,
    SRV_CONTENT_PAGE /* HTML for browsers, JSON for others */
} srv_content;

struct srv_call;
struct srv_json;
typedef struct srv_route {
    const char *method, *path; /* "{…}" matches one segment: a model's name, then a version */
    srv_wire wire;
    bool open; /* needs no key */
    int task;  /* retort_task of the models it is for, SRV_ANY_TASK or SRV_V2_TASKS */
    /* The members of the body. Unknown ones are refused; those with a place in srv_ask are read before
     * `read` is called, which reads the others. NULL: no body. */
    const srv_form *form;
    /* False: srv_call_fail has been called. */
    bool (*read)(struct srv_call *call, const struct srv_json *body);
    /* NULL, or checks the request against the model that will answer. False: as above. */
    bool (*check)(struct srv_call *call);
    /* Writes the answer once all entries are computed: the whole, or part by part (srv_more). */
    void (*write)(struct srv_call *call);
    srv_content content;
    const char *reply; /* name of a schema in openapi.c */
    const char *summary;
} srv_route;

#endif
