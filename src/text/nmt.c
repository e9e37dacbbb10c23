/* SPDX-License-Identifier: Apache-2.0
 * Nmt: drops control characters; whatever else is blank or invisible becomes a space. */
#include "text/steps.h"

static bool is_dropped(uint32_t point) {
    return (point >= 1 && point <= 8) || point == 0x0B || (point >= 0x0E && point <= 0x1F) || point == 0x7F ||
           point == 0x8F || point == 0x9F;
}

static bool is_blank(uint32_t point) {
    static const uint32_t blanks[] = {0x09,   0x0A,   0x0C,   0x0D,   0x1680, 0x200B, 0x200C, 0x200D,
                                      0x200E, 0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD};
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++) {
        if (point == blanks[i]) return true;
    }
    return false;
}

static bool step(const void *data, rt_normalized *text) {
    size_t kept = 0;
    (void)data;
    for (size_t i = 0; i < text->count; i++) {
        rt_point point = text->points[i];
        if (is_dropped(point.point)) continue;
        if (is_blank(point.point)) point.point = ' ';
        text->points[kept++] = point;
    }
    text->count = kept;
    return true;
}

const rt_normalizer_row rt_nmt_row = {.type = "Nmt", .step = step};
