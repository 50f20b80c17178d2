/* Mock NVENC: one picture in, one picture out, and the failures in between. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nvenc.h"
#include "settings.h"

double nvenc_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

size_t nvenc_headers(struct session *session, uint8_t *out) {
    if (session->video.hevc)
        return hevc_headers(out, &session->video, session->scratch);
    return h264_headers(out, &session->video, session->scratch);
}

static size_t picture(struct session *session, uint8_t *out, int idr) {
    const struct video *video = &session->video;
    unsigned since_idr = (unsigned)session->since_idr;
    if (video->hevc)
        return hevc_picture(out, video, session->scratch, idr, since_idr);
    return h264_picture(out, video, session->scratch, idr, since_idr, (unsigned)session->idrs);
}

/* encode_fail=FRAME:STATUS (a GPU lost mid-run); 0 where this frame is to be encoded. */
static int asked_failure(const struct session *session) {
    char value[MOCK_VALUE_SIZE];
    const char *rest;
    mock_setting("encode_fail", "", value);
    if (!*value)
        return 0;
    int frame = mock_parse_number(value, &rest);
    if (session->frames < frame)
        return 0;
    return *rest == ':' ? mock_parse_number(rest + 1, NULL) : NV_ENC_ERR_GENERIC;
}

/* hang=FRAME: the encoder never answers, as one whose GPU fell off the bus; only SIGKILL ends the process. */
static void maybe_hang(const struct session *session) {
    int frame = mock_number("hang", -1);
    if (frame >= 0 && session->frames >= frame)
        for (;;)
            pause();
}

/* fps=N: waits until this picture is due. The clock restarts where the pace changes, so a change acts at once. */
static void keep_pace(struct session *session) {
    int fps = mock_number("fps", 0);
    double now = nvenc_now();
    if (fps > 0 && fps == session->pace) {
        double due = session->paced_from + (double)(session->frames - session->paced_frames) / fps;
        if (due > now)
            usleep((useconds_t)((due - now) * 1e6));
        return;
    }
    session->pace = fps;
    session->paced_from = now;
    session->paced_frames = session->frames;
}

static int reserve(struct output *output, size_t size) {
    if (output->capacity >= size)
        return 1;
    free(output->bytes);
    output->bytes = malloc(size);
    output->capacity = output->bytes ? size : 0;
    return output->bytes != NULL;
}

int nvenc_encode(void *handle, NV_ENC_PIC_PARAMS *params) {
    struct session *session = handle;
    struct output *output = params->outputBitstream;
    if (params->encodePicFlags & NV_ENC_PIC_FLAG_EOS)
        return NV_ENC_SUCCESS;
    int error = asked_failure(session);
    if (error)
        return nvenc_fail(session, error, "");
    maybe_hang(session);
    keep_pace(session);

    int forced = (params->encodePicFlags & NV_ENC_PIC_FLAG_FORCEIDR) != 0;
    int idr = !session->frames || session->since_idr >= session->gop || forced;
    if (idr)
        session->since_idr = 0;
    size_t filled = (size_t)session->picture_size;
    if (!reserve(output, (size_t)video_blocks(&session->video) * 3 + 8192 + filled))
        return NV_ENC_ERR_OUT_OF_MEMORY;
    output->length = idr ? nvenc_headers(session, output->bytes) : 0;
    output->length += picture(session, output->bytes + output->length, idr);
    if (filled > output->length + 16) {
        filler_write(output->bytes + output->length, filled - output->length, session->video.hevc);
        output->length = filled;
    }
    output->timestamp = params->inputTimeStamp;
    output->frame = (uint32_t)session->frames++;
    output->type = idr ? NV_ENC_PIC_TYPE_IDR : NV_ENC_PIC_TYPE_P;
    session->since_idr++;
    session->idrs += idr;
    return NV_ENC_SUCCESS;
}
