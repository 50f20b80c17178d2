/* Asks NVENC for a session and ends it; says FFmpeg's words where there is none. */
#include <stdio.h>

#include "work.h"

static const char *words(NVENCSTATUS status)
{
    switch (status) {
    case NV_ENC_ERR_NO_ENCODE_DEVICE: return "no encode device";
    case NV_ENC_ERR_UNSUPPORTED_DEVICE: return "unsupported device";
    case NV_ENC_ERR_INVALID_ENCODERDEVICE: return "invalid encoder device";
    case NV_ENC_ERR_INVALID_VERSION: return "invalid version";
    case NV_ENC_ERR_OUT_OF_MEMORY: return "out of memory";
    default: return "unknown error";
    }
}

int encode(void)
{
    CUcontext context;
    NvencFunctions *nvenc = NULL;
    NV_ENCODE_API_FUNCTION_LIST api = {.version = NV_ENCODE_API_FUNCTION_LIST_VER};
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS session = {
        .version = NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER, .apiVersion = NVENCAPI_VERSION,
        .deviceType = NV_ENC_DEVICE_TYPE_CUDA,
    };
    void *encoder = NULL;
    NVENCSTATUS status;
    CudaFunctions *cuda = start(&context);

    if (!cuda)
        return 1;
    if (nvenc_load_functions(&nvenc, NULL) < 0) {
        fprintf(stderr, "Cannot load libnvidia-encode.so.1\n");
        return 1;
    }
    status = nvenc->NvEncodeAPICreateInstance(&api);
    if (status != NV_ENC_SUCCESS) {
        fprintf(stderr, "Failed to create nvenc instance: %s (%d)\n", words(status), status);
        return 1;
    }
    session.device = context;
    status = api.nvEncOpenEncodeSessionEx(&session, &encoder);
    if (status != NV_ENC_SUCCESS) {
        fprintf(stderr, "OpenEncodeSessionEx failed: %s (%d)\n", words(status), status);
        return 1;
    }
    printf("NVENC: a session was opened\n");
    return api.nvEncDestroyEncoder(encoder) == NV_ENC_SUCCESS ? 0 : 1;
}
