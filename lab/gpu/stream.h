/* The smallest valid H.264 and HEVC streams of any picture size: an IDR picture of plain DC-predicted blocks (mid-grey),
 * then P pictures of skipped blocks. 4:2:0 and 4:4:4; 8 bit, HEVC 10 bit too. Syntax as in ITU-T H.264 and H.265. */
#ifndef MOCK_STREAM_H
#define MOCK_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* Where bits go: a NAL unit's payload before emulation prevention. */
struct bits {
    uint8_t *bytes;
    size_t count;
    uint32_t pending;
    int pending_bits;
};

struct bits bits_at(uint8_t *bytes);
void bits_put(struct bits *bits, int width, uint32_t value);  /* u(n), width <= 32 */
void bits_put_ue(struct bits *bits, uint32_t value);          /* ue(v) */
void bits_put_trailing(struct bits *bits);                    /* rbsp_trailing_bits */

/* Writes a NAL unit with its start code; `second` is the header's second byte or -1 (H.264). Returns its length. */
size_t nal_write(uint8_t *out, int first, int second, const struct bits *payload);

/* What is encoded; `colour` and what follows it is the VUI's video_signal_type. */
struct video {
    int hevc, width, height, is_444, is_10_bit, profile, level;
    int rate_num, rate_den;
    int colour, full_range, primaries, transfer, matrix;
};

int video_blocks_wide(const struct video *video); /* in macroblocks or CTUs of 16x16 */
int video_blocks(const struct video *video);
void video_signal(struct bits *bits, const struct video *video);

/* Each writes at `out` and returns the length; `scratch` holds the payload meanwhile (video_scratch_size bytes). */
size_t video_scratch_size(const struct video *video);
size_t h264_headers(uint8_t *out, const struct video *video, uint8_t *scratch);
size_t h264_picture(uint8_t *out, const struct video *video, uint8_t *scratch, int idr, unsigned since_idr, unsigned idr_id);
size_t hevc_headers(uint8_t *out, const struct video *video, uint8_t *scratch);
size_t hevc_picture(uint8_t *out, const struct video *video, uint8_t *scratch, int idr, unsigned since_idr);

/* A filler data NAL unit of `size` bytes (at least 8): makes up the bit rate that was asked for. */
void filler_write(uint8_t *out, size_t size, int hevc);

#endif
