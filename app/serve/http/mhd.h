/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd, loaded when a server starts. It brings GnuTLS and eight more libraries along: linked, they
 * took 4 of the 15 ms in which `retort run` gives its first answer. */
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

/* Before everything else of it; once a process is enough, more do no harm. RETORT_IO: not installed. */
retort_status srv_mhd_load(retort_error *err);

#endif
