/* Mock libnvcuvid.so.1: an NVDEC that takes every picture and gives back grey ones. Enough for `-hwaccel cuda`; the
 * h264_cuvid decoders need NVIDIA's parser and are refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <ffnvcodec/dynlink_cuda.h>

#include <ffnvcodec/dynlink_cuviddec.h>
#include <ffnvcodec/dynlink_nvcuvid.h>

#include "settings.h"

enum { OK = 0, OUT_OF_MEMORY = 2, NOT_SUPPORTED_CODE = 801 };

struct decoder {
    char *picture;
    unsigned pitch; /* bytes */
};

/* What a GP106 decodes: NVIDIA's decode support matrix, Pascal: no AV1, 4:2:0 only, 10 bit for HEVC and VP9. */
static int supported(const CUVIDDECODECAPS *caps) {
    int ten_bit = caps->eCodecType == cudaVideoCodec_HEVC || caps->eCodecType == cudaVideoCodec_VP9;
    return caps->eCodecType != cudaVideoCodec_AV1 && caps->eChromaFormat == cudaVideoChromaFormat_420 &&
           (!caps->nBitDepthMinus8 || ten_bit);
}

MOCK_EXPORT int cuvidGetDecoderCaps(CUVIDDECODECAPS *caps) {
    int error = mock_number("nvdec", 0);
    if (error)
        return error;
    int hevc = caps->eCodecType == cudaVideoCodec_HEVC, h264 = caps->eCodecType == cudaVideoCodec_H264;
    caps->bIsSupported = (unsigned char)supported(caps);
    caps->nNumNVDECs = 1;
    caps->nOutputFormatMask = 3; /* NV12 and P016 */
    caps->nMinWidth = hevc ? 144 : 48;
    caps->nMinHeight = hevc ? 144 : 16;
    caps->nMaxWidth = caps->nMaxHeight = h264 ? 4096 : 8192;
    caps->nMaxMBCount = h264 ? 65536 : 262144;
    return OK;
}

MOCK_EXPORT int cuvidCreateDecoder(CUvideodecoder *handle, CUVIDDECODECREATEINFO *info) {
    struct decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return OUT_OF_MEMORY;
    unsigned sample_bytes = info->bitDepthMinus8 ? 2 : 1;
    decoder->pitch = ((unsigned)info->ulTargetWidth * sample_bytes + 511) & ~511u;
    size_t size = (size_t)decoder->pitch * (info->ulTargetHeight + 32) * 3;
    decoder->picture = malloc(size);
    if (!decoder->picture) {
        free(decoder);
        return OUT_OF_MEMORY;
    }
    memset(decoder->picture, 128, size);
    *handle = decoder;
    return OK;
}

MOCK_EXPORT int cuvidDestroyDecoder(CUvideodecoder handle) {
    struct decoder *decoder = handle;
    free(decoder->picture);
    free(decoder);
    return OK;
}

MOCK_EXPORT int cuvidDecodePicture(CUvideodecoder handle, CUVIDPICPARAMS *picture) {
    (void)handle;
    (void)picture;
    return mock_number("nvdec_decode", 0);
}

MOCK_EXPORT int cuvidMapVideoFrame64(CUvideodecoder handle, int index, unsigned long long *frame, unsigned *pitch,
                                     CUVIDPROCPARAMS *params) {
    struct decoder *decoder = handle;
    (void)index;
    (void)params;
    *frame = (uintptr_t)decoder->picture;
    *pitch = decoder->pitch;
    return OK;
}

MOCK_EXPORT int cuvidUnmapVideoFrame64(CUvideodecoder handle, unsigned long long frame) {
    (void)handle;
    (void)frame;
    return OK;
}

MOCK_EXPORT int cuvidCtxLockCreate(CUvideoctxlock *lock, CUcontext context) {
    *lock = (CUvideoctxlock)context;
    return OK;
}

#define DONE_AT_ONCE(name)       \
    MOCK_EXPORT int name(void) { \
        return OK;               \
    }
DONE_AT_ONCE(cuvidCtxLockDestroy)
DONE_AT_ONCE(cuvidCtxLock)
DONE_AT_ONCE(cuvidCtxUnlock)

/* Must be there to be loaded (dynlink_loader.h). */
#define NOT_SUPPORTED(name)        \
    MOCK_EXPORT int name(void) {   \
        return NOT_SUPPORTED_CODE; \
    }
NOT_SUPPORTED(cuvidGetDecodeStatus)
NOT_SUPPORTED(cuvidReconfigureDecoder)
NOT_SUPPORTED(cuvidCreateVideoSource)
NOT_SUPPORTED(cuvidCreateVideoSourceW)
NOT_SUPPORTED(cuvidDestroyVideoSource)
NOT_SUPPORTED(cuvidSetVideoSourceState)
NOT_SUPPORTED(cuvidGetVideoSourceState)
NOT_SUPPORTED(cuvidGetSourceVideoFormat)
NOT_SUPPORTED(cuvidGetSourceAudioFormat)
NOT_SUPPORTED(cuvidCreateVideoParser)
NOT_SUPPORTED(cuvidParseVideoData)
NOT_SUPPORTED(cuvidDestroyVideoParser)
