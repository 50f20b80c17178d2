/* Bits, NAL units and what H.264 and HEVC have in common; see stream.h. */
#include "stream.h"

#include <string.h>

struct bits bits_at(uint8_t *bytes) {
    return (struct bits){.bytes = bytes};
}

void bits_put(struct bits *bits, int width, uint32_t value) {
    while (width--) {
        bits->pending = bits->pending << 1 | (value >> width & 1);
        if (++bits->pending_bits == 8) {
            bits->bytes[bits->count++] = (uint8_t)bits->pending;
            bits->pending = 0;
            bits->pending_bits = 0;
        }
    }
}

void bits_put_ue(struct bits *bits, uint32_t value) {
    int length = 0;
    for (uint32_t rest = value + 1; rest > 1; rest >>= 1)
        length++;
    bits_put(bits, length, 0);
    bits_put(bits, length + 1, value + 1);
}

void bits_put_trailing(struct bits *bits) {
    bits_put(bits, 1, 1);
    while (bits->pending_bits)
        bits_put(bits, 1, 0);
}

size_t nal_write(uint8_t *out, int first, int second, const struct bits *payload) {
    size_t length = 4;
    int zeros = 0;
    memcpy(out, "\0\0\0\1", 4);
    out[length++] = (uint8_t)first;
    if (second >= 0)
        out[length++] = (uint8_t)second;
    for (size_t i = 0; i < payload->count; i++) {
        if (zeros >= 2 && payload->bytes[i] <= 3) { /* emulation_prevention_three_byte */
            out[length++] = 3;
            zeros = 0;
        }
        out[length++] = payload->bytes[i];
        zeros = payload->bytes[i] ? 0 : zeros + 1;
    }
    return length;
}

void filler_write(uint8_t *out, size_t size, int hevc) {
    memset(out, 0xff, size);
    memcpy(out, "\0\0\0\1", 4);
    if (hevc) {
        out[4] = 38 << 1; /* FD_NUT */
        out[5] = 1;
    } else {
        out[4] = 12;
    }
    out[size - 1] = 0x80;
}

int video_blocks_wide(const struct video *video) {
    return (video->width + 15) / 16;
}

int video_blocks(const struct video *video) {
    return video_blocks_wide(video) * ((video->height + 15) / 16);
}

size_t video_scratch_size(const struct video *video) {
    return (size_t)video_blocks(video) * 2 + 4096;
}

void video_signal(struct bits *bits, const struct video *video) {
    bits_put(bits, 1, video->colour != 0);
    if (!video->colour)
        return;
    bits_put(bits, 3, 5); /* video_format: unspecified */
    bits_put(bits, 1, video->full_range != 0);
    bits_put(bits, 1, 1);
    bits_put(bits, 8, (uint32_t)video->primaries);
    bits_put(bits, 8, (uint32_t)video->transfer);
    bits_put(bits, 8, (uint32_t)video->matrix);
}
