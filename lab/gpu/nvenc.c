/* Mock libnvidia-encode.so.1: sessions, buffers and the function table of NVENC (NVIDIA Video Codec SDK). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu.h"
#include "nvenc.h"
#include "settings.h"

/* The handle of an input buffer or a registered resource. */
struct input {
    uint8_t *bytes;
    uint32_t pitch;
    NV_ENC_BUFFER_FORMAT format;
};

/* MAJOR << 4 | MINOR, as NvEncodeAPIGetMaxSupportedVersion says it. Driver 535 speaks API 12.1; a distribution whose
 * ffmpeg was built for a newer one gets that, so that the lab runs there too. api=10.0 is an older driver. */
static uint32_t newest_version(void) {
    char value[MOCK_VALUE_SIZE];
    const char *rest;
    uint32_t driver_535 = 12 << 4 | 1, headers = NVENCAPI_MAJOR_VERSION << 4 | NVENCAPI_MINOR_VERSION;
    if (!*mock_setting("api", "", value))
        return headers > driver_535 ? headers : driver_535;
    int major = mock_parse_number(value, &rest);
    return (uint32_t)(major << 4 | (*rest == '.' ? mock_parse_number(rest + 1, NULL) : 0));
}

/* The same of a version word such as NVENCAPI_VERSION: the major in its low byte, the minor in its high one. */
static uint32_t version_of(uint32_t word) {
    return (word & 255) << 4 | (word >> 24 & 15);
}

int nvenc_fail(struct session *session, int status, const char *why) {
    snprintf(session->error, sizeof session->error, "%s", why);
    return status;
}

/* sessions=N limits them as consumer GPUs do; a P2000 has no limit, so none is the default. */
static int open_session(NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS *params, void **handle) {
    *handle = NULL;
    int error = mock_number("nvenc_open", 0);
    if (error)
        return error;
    if (!params->device)
        return NV_ENC_ERR_INVALID_DEVICE;
    if (version_of(params->apiVersion) > newest_version())
        return NV_ENC_ERR_INVALID_VERSION;
    int slot = gpu_session_open(mock_own_path(), mock_number("sessions", 0));
    if (slot == -1)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    session->slot = slot;
    *handle = session;
    return NV_ENC_SUCCESS;
}

static int destroy_session(void *handle) {
    struct session *session = handle;
    if (session->slot >= 0)
        close(session->slot);
    free(session->scratch);
    free(session);
    return NV_ENC_SUCCESS;
}

static int guid_count(void *session, uint32_t *count) {
    GUID codecs[2];
    (void)session;
    *count = (uint32_t)nvenc_guids(codecs);
    return NV_ENC_SUCCESS;
}

static int guid_list(void *session, GUID *list, uint32_t size, uint32_t *count) {
    GUID codecs[2];
    (void)session;
    *count = (uint32_t)nvenc_guids(codecs);
    if (*count > size)
        *count = size;
    memcpy(list, codecs, *count * sizeof *list);
    return NV_ENC_SUCCESS;
}

static int preset_config_ex(void *session, GUID codec, GUID preset, NV_ENC_TUNING_INFO tuning, NV_ENC_PRESET_CONFIG *out) {
    (void)session;
    (void)codec;
    (void)preset;
    (void)tuning;
    out->presetCfg.gopLength = 250;
    out->presetCfg.frameIntervalP = 1;
    out->presetCfg.rcParams.rateControlMode = NV_ENC_PARAMS_RC_VBR;
    return NV_ENC_SUCCESS;
}

static int preset_config(void *session, GUID codec, GUID preset, NV_ENC_PRESET_CONFIG *out) {
    return preset_config_ex(session, codec, preset, 0, out);
}

static int reconfigure(void *handle, NV_ENC_RECONFIGURE_PARAMS *params) {
    struct session *session = handle;
    (void)params;
    session->since_idr = session->gop;
    return NV_ENC_SUCCESS;
}

static int sequence_params(void *handle, NV_ENC_SEQUENCE_PARAM_PAYLOAD *payload) {
    uint8_t headers[512];
    size_t length = nvenc_headers(handle, headers);
    if (length > payload->inBufferSize)
        return nvenc_fail(handle, NV_ENC_ERR_NOT_ENOUGH_BUFFER, "");
    memcpy(payload->spsppsBuffer, headers, length);
    *payload->outSPSPPSPayloadSize = (uint32_t)length;
    return NV_ENC_SUCCESS;
}

static uint32_t bytes_per_sample(NV_ENC_BUFFER_FORMAT format) {
    const uint32_t packed = NV_ENC_BUFFER_FORMAT_ARGB | NV_ENC_BUFFER_FORMAT_ABGR | NV_ENC_BUFFER_FORMAT_ARGB10 |
                            NV_ENC_BUFFER_FORMAT_ABGR10;
    const uint32_t ten_bit = NV_ENC_BUFFER_FORMAT_YUV420_10BIT | NV_ENC_BUFFER_FORMAT_YUV444_10BIT;
    if (format & packed)
        return 4;
    return format & ten_bit ? 2 : 1;
}

static int create_input(void *session, NV_ENC_CREATE_INPUT_BUFFER *params) {
    (void)session;
    struct input *input = calloc(1, sizeof *input);
    if (!input)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    input->format = params->bufferFmt;
    input->pitch = (params->width * bytes_per_sample(params->bufferFmt) + 255) & ~255u;
    input->bytes = malloc((size_t)input->pitch * (params->height + 64) * 3); /* three full planes: 4:4:4 fits */
    if (!input->bytes) {
        free(input);
        return NV_ENC_ERR_OUT_OF_MEMORY;
    }
    params->inputBuffer = input;
    return NV_ENC_SUCCESS;
}

static int destroy_input(void *session, void *buffer) {
    struct input *input = buffer;
    (void)session;
    free(input->bytes);
    free(input);
    return NV_ENC_SUCCESS;
}

static int lock_input(void *session, NV_ENC_LOCK_INPUT_BUFFER *params) {
    struct input *input = params->inputBuffer;
    (void)session;
    params->bufferDataPtr = input->bytes;
    params->pitch = input->pitch;
    return NV_ENC_SUCCESS;
}

static int register_resource(void *session, NV_ENC_REGISTER_RESOURCE *params) {
    (void)session;
    struct input *input = calloc(1, sizeof *input);
    if (!input)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    input->pitch = params->pitch;
    input->format = params->bufferFormat;
    params->registeredResource = input;
    return NV_ENC_SUCCESS;
}

static int unregister_resource(void *session, void *resource) {
    (void)session;
    free(resource);
    return NV_ENC_SUCCESS;
}

static int map_resource(void *session, NV_ENC_MAP_INPUT_RESOURCE *params) {
    struct input *input = params->registeredResource;
    (void)session;
    params->mappedResource = input;
    params->mappedBufferFmt = input->format;
    return NV_ENC_SUCCESS;
}

static int create_output(void *session, NV_ENC_CREATE_BITSTREAM_BUFFER *params) {
    (void)session;
    params->bitstreamBuffer = calloc(1, sizeof(struct output));
    return params->bitstreamBuffer ? NV_ENC_SUCCESS : NV_ENC_ERR_OUT_OF_MEMORY;
}

static int destroy_output(void *session, void *buffer) {
    struct output *output = buffer;
    (void)session;
    free(output->bytes);
    free(output);
    return NV_ENC_SUCCESS;
}

static int lock_output(void *session, NV_ENC_LOCK_BITSTREAM *params) {
    const struct output *output = params->outputBitstream;
    (void)session;
    params->bitstreamBufferPtr = output->bytes;
    params->bitstreamSizeInBytes = (uint32_t)output->length;
    params->outputTimeStamp = output->timestamp;
    params->frameIdx = output->frame;
    params->pictureType = output->type;
    params->pictureStruct = NV_ENC_PIC_STRUCT_FRAME;
    params->frameAvgQP = (uint32_t)mock_number("qp", 23);
    params->numSlices = 1;
    return NV_ENC_SUCCESS;
}

/* For unlock and unmap: nothing is held. */
static int release(void *session, void *handle) {
    (void)session;
    (void)handle;
    return NV_ENC_SUCCESS;
}

static int set_streams(void *session, void *input, void *output) {
    (void)session;
    (void)input;
    (void)output;
    return NV_ENC_SUCCESS;
}

static const char *last_error(void *handle) {
    const struct session *session = handle;
    return session ? session->error : "";
}

static int unimplemented(void) {
    return NV_ENC_ERR_UNIMPLEMENTED;
}

MOCK_EXPORT NVENCSTATUS NvEncodeAPIGetMaxSupportedVersion(uint32_t *version) {
    *version = newest_version();
    return NV_ENC_SUCCESS;
}

MOCK_EXPORT NVENCSTATUS NvEncodeAPICreateInstance(NV_ENCODE_API_FUNCTION_LIST *list) {
    if (!list)
        return NV_ENC_ERR_INVALID_PTR;
    if (version_of(list->version) > newest_version())
        return NV_ENC_ERR_INVALID_VERSION;
    void **first = (void **)&list->nvEncOpenEncodeSession, **last = (void **)&list->nvEncGetSequenceParamEx;
    for (void **entry = first; entry <= last; entry++)
        *entry = (void *)unimplemented;
    list->nvEncOpenEncodeSessionEx = (void *)open_session;
    list->nvEncDestroyEncoder = (void *)destroy_session;
    list->nvEncGetEncodeGUIDCount = (void *)guid_count;
    list->nvEncGetEncodeGUIDs = (void *)guid_list;
    list->nvEncGetEncodeCaps = (void *)nvenc_caps;
    list->nvEncGetEncodePresetConfig = (void *)preset_config;
    list->nvEncGetEncodePresetConfigEx = (void *)preset_config_ex;
    list->nvEncInitializeEncoder = (void *)nvenc_initialise;
    list->nvEncReconfigureEncoder = (void *)reconfigure;
    list->nvEncGetSequenceParams = (void *)sequence_params;
    list->nvEncCreateInputBuffer = (void *)create_input;
    list->nvEncDestroyInputBuffer = (void *)destroy_input;
    list->nvEncLockInputBuffer = (void *)lock_input;
    list->nvEncUnlockInputBuffer = (void *)release;
    list->nvEncRegisterResource = (void *)register_resource;
    list->nvEncUnregisterResource = (void *)unregister_resource;
    list->nvEncMapInputResource = (void *)map_resource;
    list->nvEncUnmapInputResource = (void *)release;
    list->nvEncCreateBitstreamBuffer = (void *)create_output;
    list->nvEncDestroyBitstreamBuffer = (void *)destroy_output;
    list->nvEncEncodePicture = (void *)nvenc_encode;
    list->nvEncLockBitstream = (void *)lock_output;
    list->nvEncUnlockBitstream = (void *)release;
    list->nvEncGetLastErrorString = (void *)last_error;
    list->nvEncSetIOCudaStreams = (void *)set_streams;
    return NV_ENC_SUCCESS;
}
