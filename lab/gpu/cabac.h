/* The CABAC encoder of HEVC (ITU-T H.265, 9.3.4). */
#ifndef MOCK_CABAC_H
#define MOCK_CABAC_H

#include "stream.h"

struct cabac {
    struct bits bits;
    uint32_t low, range;
    int outstanding, first;
};

struct cabac_context {
    uint8_t state, most_probable;
};

/* An encoder that goes on where `bits` (byte-aligned) ends. */
struct cabac cabac_start(struct bits bits);

/* A context from its initValue, at slice QP 26. */
struct cabac_context cabac_context(int init_value);

void cabac_put(struct cabac *cabac, struct cabac_context *context, int bin);
void cabac_put_bypass(struct cabac *cabac, int bin);

/* A terminating bin; 1 ends the slice and flushes, trailing bits included. */
void cabac_put_terminate(struct cabac *cabac, int bin);

#endif
