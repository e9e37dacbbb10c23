/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd, loaded when a server starts. It depends on GnuTLS and eight more libraries: if linked, they
 * take 4 of the 15 ms until the first answer of `retort run`. */
#ifndef SERVE_MHD_H
#define SERVE_MHD_H

#include "retort.h"

#include <microhttpd.h>

#define SRV_MHD_FUNCTIONS(X)                                                                                 \
    X(add_response_header)                                                                                   \
    X(create_response_from_buffer)                                                                           \
    X(create_response_from_callback)                                                                         \
    X(destroy_response)                                                                                      \
    X(get_connection_info)                                                                                   \
    X(get_connection_values)                                                                                 \
    X(lookup_connection_value)                                                                               \
    X(queue_response)                                                                                        \
    X(quiesce_daemon)                                                                                        \
    X(resume_connection)                                                                                     \
    X(start_daemon)                                                                                          \
    X(stop_daemon)                                                                                           \
    X(suspend_connection)

/* MHD_NAME is srv_mhd.NAME. */
typedef struct srv_mhd_functions {
#define SRV_MHD_MEMBER(name) __typeof__(&MHD_##name) name;
    SRV_MHD_FUNCTIONS(SRV_MHD_MEMBER)
#undef SRV_MHD_MEMBER
} srv_mhd_functions;
extern srv_mhd_functions srv_mhd;

/* Call this first; once per process is enough, more is harmless. RETORT_IO: not installed. */
retort_status srv_mhd_load(retort_error *err);

#endif
