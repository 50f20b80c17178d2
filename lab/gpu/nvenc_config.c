/* Mock NVENC: what the encoder can do and how a session is set up. */
#include <stdlib.h>
#include <string.h>

#include "nvenc.h"
#include "settings.h"

static int same(const GUID *a, const GUID *b) {
    return !memcmp(a, b, sizeof *a);
}

int nvenc_guids(GUID codecs[2]) {
    char names[MOCK_VALUE_SIZE];
    int count = 0;
    mock_setting("codecs", "h264+hevc", names);
    if (strstr(names, "h264"))
        codecs[count++] = NV_ENC_CODEC_H264_GUID;
    if (strstr(names, "hevc"))
        codecs[count++] = NV_ENC_CODEC_HEVC_GUID;
    return count;
}

/* GP106 by NVIDIA's encode support matrix: no HEVC B frames (Turing has them), 10 bit for HEVC only. */
int nvenc_caps(void *handle, GUID codec, NV_ENC_CAPS_PARAM *query, int *value) {
    int hevc = same(&codec, &NV_ENC_CODEC_HEVC_GUID);
    (void)handle;
    switch (query->capsToQuery) {
    case NV_ENC_CAPS_WIDTH_MAX:
    case NV_ENC_CAPS_HEIGHT_MAX:
        *value = hevc ? 8192 : 4096;
        break;
    case NV_ENC_CAPS_WIDTH_MIN:
    case NV_ENC_CAPS_HEIGHT_MIN:
        *value = 33;
        break;
    case NV_ENC_CAPS_NUM_MAX_BFRAMES:
        *value = hevc ? 0 : 4;
        break;
    case NV_ENC_CAPS_SUPPORTED_RATECONTROL_MODES:
        *value = 63;
        break;
    case NV_ENC_CAPS_SUPPORT_CABAC:
    case NV_ENC_CAPS_SUPPORT_FIELD_ENCODING:
    case NV_ENC_CAPS_SUPPORT_TEMPORAL_AQ:
        *value = !hevc;
        break;
    case NV_ENC_CAPS_SUPPORT_10BIT_ENCODE:
        *value = hevc;
        break;
    case NV_ENC_CAPS_SUPPORT_BFRAME_REF_MODE:
    case NV_ENC_CAPS_SUPPORT_MULTIPLE_REF_FRAMES:
    case NV_ENC_CAPS_SINGLE_SLICE_INTRA_REFRESH:
        *value = 0;
        break;
    default:
        *value = 1;
    }
    return NV_ENC_SUCCESS;
}

/* level_idc for a picture size and rate: ITU-T H.264, table A-1. */
static int h264_level(long blocks_per_second, long blocks) {
    static const struct {
        int level;
        long rate, size;
    } levels[] = {
        {10, 1485, 99},     {11, 3000, 396},    {12, 6000, 396},     {13, 11880, 396},    {20, 11880, 396},
        {21, 19800, 792},   {22, 20250, 1620},  {30, 40500, 1620},   {31, 108000, 3600},  {32, 216000, 5120},
        {40, 245760, 8192}, {42, 522240, 8704}, {50, 589824, 22080}, {51, 983040, 36864},
    };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (blocks_per_second <= levels[i].rate && blocks <= levels[i].size)
            return levels[i].level;
    return 52;
}

/* general_level_idc for a picture size: ITU-T H.265, table A.8. */
static int hevc_level(long samples) {
    if (samples > 8912896)
        return 180;
    if (samples > 2228224)
        return 150;
    if (samples > 983040)
        return 120;
    return samples > 552960 ? 93 : 90;
}

/* API 12.2 gave the bit depth other fields. */
static int is_10_bit(const NV_ENC_CONFIG_HEVC *hevc) {
#if NVENCAPI_MAJOR_VERSION > 12 || (NVENCAPI_MAJOR_VERSION == 12 && NVENCAPI_MINOR_VERSION >= 2)
    return hevc->outputBitDepth == NV_ENC_BIT_DEPTH_10;
#else
    return hevc->pixelBitDepthMinus8 == 2;
#endif
}

static void configure_hevc(struct video *video, const NV_ENC_CONFIG_HEVC *hevc) {
    const NV_ENC_CONFIG_HEVC_VUI_PARAMETERS *vui = &hevc->hevcVUIParameters;
    video->is_444 = hevc->chromaFormatIDC == 3;
    video->is_10_bit = is_10_bit(hevc);
    video->profile = video->is_444 ? 4 : video->is_10_bit ? 2 : 1; /* Rext, Main 10, Main */
    video->level = hevc_level(video_blocks(video) * 256L);
    video->colour = (int)vui->videoSignalTypePresentFlag;
    video->full_range = (int)vui->videoFullRangeFlag;
    video->primaries = (int)vui->colourPrimaries;
    video->transfer = (int)vui->transferCharacteristics;
    video->matrix = (int)vui->colourMatrix;
}

static int h264_profile(const struct video *video, const GUID *asked) {
    if (video->is_444)
        return 244; /* High 4:4:4 Predictive */
    if (same(asked, &NV_ENC_H264_PROFILE_BASELINE_GUID))
        return 66;
    return same(asked, &NV_ENC_H264_PROFILE_HIGH_GUID) ? 100 : 77;
}

static void configure_h264(struct video *video, const NV_ENC_CONFIG *config) {
    const NV_ENC_CONFIG_H264 *h264 = &config->encodeCodecConfig.h264Config;
    const NV_ENC_CONFIG_H264_VUI_PARAMETERS *vui = &h264->h264VUIParameters;
    long blocks = video_blocks(video);
    video->is_444 = h264->chromaFormatIDC == 3;
    video->profile = h264_profile(video, &config->profileGUID);
    video->level = h264_level(blocks * video->rate_num / video->rate_den, blocks);
    video->colour = (int)vui->videoSignalTypePresentFlag;
    video->full_range = (int)vui->videoFullRangeFlag;
    video->primaries = (int)vui->colourPrimaries;
    video->transfer = (int)vui->transferCharacteristics;
    video->matrix = (int)vui->colourMatrix;
}

/* Bytes a picture is filled up to: the asked bit rate's, or 0.08 bit a pixel at constant quality; fill=0: no filler. */
static int picture_size(const struct video *video, const NV_ENC_CONFIG *config) {
    if (!mock_number("fill", 1))
        return 0;
    const NV_ENC_RC_PARAMS *rate = &config->rcParams;
    if (rate->rateControlMode != NV_ENC_PARAMS_RC_CONSTQP && rate->averageBitRate)
        return (int)((double)rate->averageBitRate / 8 * video->rate_den / video->rate_num);
    return video->width * video->height / 100;
}

int nvenc_initialise(void *handle, NV_ENC_INITIALIZE_PARAMS *params) {
    struct session *session = handle;
    struct video *video = &session->video;
    const NV_ENC_CONFIG *config = params->encodeConfig;
    int error = mock_number("nvenc_init", 0);
    if (error)
        return nvenc_fail(session, error, "");
    if (!config || !params->encodeWidth || !params->encodeHeight)
        return nvenc_fail(session, NV_ENC_ERR_INVALID_PARAM, "invalid param");
    video->hevc = same(&params->encodeGUID, &NV_ENC_CODEC_HEVC_GUID);
    video->width = (int)params->encodeWidth;
    video->height = (int)params->encodeHeight;
    video->rate_num = params->frameRateNum ? (int)params->frameRateNum : 25;
    video->rate_den = params->frameRateDen ? (int)params->frameRateDen : 1;
    if (video->hevc)
        configure_hevc(video, &config->encodeCodecConfig.hevcConfig);
    else
        configure_h264(video, config);
    int endless = !config->gopLength || config->gopLength == NVENC_INFINITE_GOPLENGTH;
    session->gop = endless ? 1 << 30 : (int)config->gopLength;
    session->picture_size = picture_size(video, config);
    session->scratch = malloc(video_scratch_size(video));
    return session->scratch ? NV_ENC_SUCCESS : NV_ENC_ERR_OUT_OF_MEMORY;
}
