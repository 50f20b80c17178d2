/* What the parts of the mock libnvidia-encode share. */
#ifndef MOCK_NVENC_H
#define MOCK_NVENC_H

#include <ffnvcodec/nvEncodeAPI.h>

#include "stream.h"

/* An encode session: the handle that NvEncOpenEncodeSessionEx gives. */
struct session {
    struct video video;
    int gop;             /* pictures from one IDR to the next */
    int picture_size;    /* bytes that a picture is filled up to */
    int frames, since_idr, idrs;
    uint8_t *scratch;
    int slot;            /* gpu_session_open's descriptor */
    int pace;            /* pictures a second kept since paced_frames were out at paced_from (seconds, monotonic) */
    int paced_frames;
    double paced_from;
    char error[128];     /* NvEncGetLastErrorString */
};

/* A picture that came out: the handle of a bitstream buffer. */
struct output {
    uint8_t *bytes;
    size_t length, capacity;
    uint64_t timestamp;
    uint32_t frame;
    NV_ENC_PIC_TYPE type;
};

double nvenc_now(void);
int nvenc_fail(struct session *session, int status, const char *why);
size_t nvenc_headers(struct session *session, uint8_t *out);

/* nvEncInitializeEncoder, nvEncGetEncodeCaps (nvenc_config.c) and nvEncEncodePicture (nvenc_encode.c). */
int nvenc_initialise(void *handle, NV_ENC_INITIALIZE_PARAMS *params);
int nvenc_caps(void *handle, GUID codec, NV_ENC_CAPS_PARAM *query, int *value);
int nvenc_guids(GUID codecs[2]);
int nvenc_encode(void *handle, NV_ENC_PIC_PARAMS *picture);

#endif
