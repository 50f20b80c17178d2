/* An H.264 file through NVDEC: pictures in order of display, as NV12, to stdout. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "work.h"

static struct {
    CudaFunctions *cuda;
    CuvidFunctions *cuvid;
    CUvideodecoder decoder;
    unsigned width, height, pictures;
    uint8_t *line;
} now;

static int CUDAAPI sequence(void *user, CUVIDEOFORMAT *format)
{
    CUVIDDECODECREATEINFO info = {
        .ulWidth = format->coded_width, .ulHeight = format->coded_height,
        .ulNumDecodeSurfaces = format->min_num_decode_surfaces, .CodecType = format->codec,
        .ChromaFormat = format->chroma_format, .ulCreationFlags = cudaVideoCreate_PreferCUVID,
        .OutputFormat = cudaVideoSurfaceFormat_NV12, .DeinterlaceMode = cudaVideoDeinterlaceMode_Weave,
        .ulNumOutputSurfaces = 1,
    };

    (void)user;
    now.width = info.ulTargetWidth = format->display_area.right - format->display_area.left;
    now.height = info.ulTargetHeight = format->display_area.bottom - format->display_area.top;
    now.line = malloc(now.width);
    if (!now.line || failed(now.cuda, now.cuvid->cuvidCreateDecoder(&now.decoder, &info), "cuvidCreateDecoder()"))
        return 0;
    return format->min_num_decode_surfaces;
}

static int CUDAAPI picture(void *user, CUVIDPICPARAMS *parameters)
{
    (void)user;
    return !failed(now.cuda, now.cuvid->cuvidDecodePicture(now.decoder, parameters), "cuvidDecodePicture()");
}

static int CUDAAPI display(void *user, CUVIDPARSERDISPINFO *shown)
{
    CUVIDPROCPARAMS how = {.progressive_frame = 1};
    CUdeviceptr frame = 0;
    unsigned pitch = 0, good = 1;

    (void)user;
    if (!shown)
        return 1;
    if (failed(now.cuda, now.cuvid->cuvidMapVideoFrame(now.decoder, shown->picture_index, &frame, &pitch, &how),
               "cuvidMapVideoFrame()"))
        return 0;
    for (unsigned y = 0; good && y < now.height * 3 / 2; y++)  /* the luma lines, then the chroma lines */
        good = !failed(now.cuda, now.cuda->cuMemcpyDtoH(now.line, frame + (size_t)y * pitch, now.width), "cuMemcpyDtoH()")
               && fwrite(now.line, 1, now.width, stdout) == now.width;
    now.pictures += good;
    return good && !failed(now.cuda, now.cuvid->cuvidUnmapVideoFrame(now.decoder, frame), "cuvidUnmapVideoFrame()");
}

int decode(const char *path)
{
    CUcontext context;
    CUvideoparser parser;
    CUVIDPARSERPARAMS parameters = {
        .CodecType = cudaVideoCodec_H264, .ulMaxNumDecodeSurfaces = 1, .pfnSequenceCallback = sequence,
        .pfnDecodePicture = picture, .pfnDisplayPicture = display,
    };
    CUVIDSOURCEDATAPACKET end = {.flags = CUVID_PKT_ENDOFSTREAM};
    static uint8_t stream[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t bytes = file ? fread(stream, 1, sizeof stream, file) : 0;
    CUVIDSOURCEDATAPACKET all = {.payload = stream, .payload_size = bytes};

    if (!file || !bytes || bytes == sizeof stream) {
        fprintf(stderr, "%s: not read, empty, or of 1 MiB and more\n", path);
        return 2;
    }
    fclose(file);
    now.cuda = start(&context);
    if (!now.cuda)
        return 1;
    if (cuvid_load_functions(&now.cuvid, NULL) < 0) {
        fprintf(stderr, "Cannot load libnvcuvid.so.1\n");
        return 1;
    }
    if (failed(now.cuda, now.cuvid->cuvidCreateVideoParser(&parser, &parameters), "cuvidCreateVideoParser()") ||
        failed(now.cuda, now.cuvid->cuvidParseVideoData(parser, &all), "cuvidParseVideoData()") ||
        failed(now.cuda, now.cuvid->cuvidParseVideoData(parser, &end), "cuvidParseVideoData()") || fflush(stdout))
        return 1;
    fprintf(stderr, "NVDEC: %u pictures of %ux%u\n", now.pictures, now.width, now.height);
    return now.pictures ? 0 : 1;
}
