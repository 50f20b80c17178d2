/* HEVC (ITU-T H.265, 7.3): one slice a picture, CTUs of 16x16 that are one CU: intra DC without residual, or skipped. */
#include "cabac.h"
#include "stream.h"

enum { NAL_P = 1, NAL_IDR = 19, NAL_VPS = 32, NAL_SPS = 33, NAL_PPS = 34 };
enum { PROFILE_MAIN = 1, PROFILE_REXT = 4 };

static size_t write_nal(uint8_t *out, int type, const struct bits *bits) {
    return nal_write(out, type << 1, 1, bits);
}

static void put_profile_tier_level(struct bits *bits, const struct video *video) {
    uint32_t compatible = 1u << (31 - video->profile);
    if (video->profile == PROFILE_MAIN)
        compatible |= 1u << 29; /* Main pictures are Main 10 too */
    bits_put(bits, 8, (uint32_t)video->profile);
    bits_put(bits, 32, compatible);
    bits_put(bits, 4, 9);                                        /* progressive, frame only */
    bits_put(bits, 9, video->profile == PROFILE_REXT ? 0x1C1 : 0); /* constraints of Main 4:4:4 */
    bits_put(bits, 32, 0);
    bits_put(bits, 3, 0);
    bits_put(bits, 8, (uint32_t)video->level);
}

static void put_vps(struct bits *bits, const struct video *video) {
    bits_put(bits, 4, 0);
    bits_put(bits, 2, 3); /* base layer is internal and available */
    bits_put(bits, 6, 0);
    bits_put(bits, 3, 0); /* one temporal layer */
    bits_put(bits, 1, 1);
    bits_put(bits, 16, 0xffff);
    put_profile_tier_level(bits, video);
    bits_put(bits, 1, 1);
    bits_put_ue(bits, 1); /* vps_max_dec_pic_buffering_minus1 */
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 6, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 2, 0); /* no timing, no extension */
    bits_put_trailing(bits);
}

static void put_picture_size(struct bits *bits, const struct video *video) {
    int wide = (video->width + 15) & ~15, high = (video->height + 15) & ~15, chroma_unit = video->is_444 ? 1 : 2;
    int cropped = wide != video->width || high != video->height;
    bits_put_ue(bits, (uint32_t)wide);
    bits_put_ue(bits, (uint32_t)high);
    bits_put(bits, 1, (uint32_t)cropped);
    if (cropped) {
        bits_put_ue(bits, 0);
        bits_put_ue(bits, (uint32_t)((wide - video->width) / chroma_unit));
        bits_put_ue(bits, 0);
        bits_put_ue(bits, (uint32_t)((high - video->height) / chroma_unit));
    }
}

static void put_sps(struct bits *bits, const struct video *video) {
    uint32_t extra_bits = video->is_10_bit ? 2 : 0;
    bits_put(bits, 8, 1); /* vps id 0, one sub-layer, temporal id nesting */
    put_profile_tier_level(bits, video);
    bits_put_ue(bits, 0); /* sps_seq_parameter_set_id */
    bits_put_ue(bits, video->is_444 ? 3 : 1);
    if (video->is_444)
        bits_put(bits, 1, 0);
    put_picture_size(bits, video);
    bits_put_ue(bits, extra_bits); /* bit_depth_luma_minus8 */
    bits_put_ue(bits, extra_bits);
    bits_put_ue(bits, 4); /* log2_max_pic_order_cnt_lsb_minus4: 8 bits */
    bits_put(bits, 1, 1);
    bits_put_ue(bits, 1); /* sps_max_dec_pic_buffering_minus1 */
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 1); /* smallest coding block 16x16 */
    bits_put_ue(bits, 0); /* which is also the CTU */
    bits_put_ue(bits, 0); /* transforms from 4x4 */
    bits_put_ue(bits, 2); /* to 16x16 */
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 4, 0); /* no scaling list, AMP, SAO, PCM */
    bits_put_ue(bits, 1); /* one reference picture set: the picture before */
    bits_put_ue(bits, 1);
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 1, 1);
    bits_put(bits, 3, 0); /* no long-term, no temporal MVP, no strong smoothing */
    bits_put(bits, 1, 1); /* VUI: */
    bits_put(bits, 2, 0);
    video_signal(bits, video);
    bits_put(bits, 5, 0);
    bits_put(bits, 1, 1); /* timing */
    bits_put(bits, 32, (uint32_t)video->rate_den);
    bits_put(bits, 32, (uint32_t)video->rate_num);
    bits_put(bits, 2, 0);
    bits_put(bits, 1, 0); /* no bitstream restriction */
    bits_put(bits, 1, 0); /* no extension */
    bits_put_trailing(bits);
}

static void put_pps(struct bits *bits) {
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 7, 0); /* from dependent slices to cabac_init_present */
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0); /* init_qp_minus26 */
    bits_put(bits, 3, 0);
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 10, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 2, 0);
    bits_put_trailing(bits);
}

size_t hevc_headers(uint8_t *out, const struct video *video, uint8_t *scratch) {
    struct bits bits = bits_at(scratch);
    put_vps(&bits, video);
    size_t length = write_nal(out, NAL_VPS, &bits);
    bits = bits_at(scratch);
    put_sps(&bits, video);
    length += write_nal(out + length, NAL_SPS, &bits);
    bits = bits_at(scratch);
    put_pps(&bits);
    return length + write_nal(out + length, NAL_PPS, &bits);
}

static void put_slice_header(struct bits *bits, int idr, unsigned since_idr) {
    bits_put(bits, 1, 1); /* first_slice_segment_in_pic_flag */
    if (idr)
        bits_put(bits, 1, 0); /* no_output_of_prior_pics_flag */
    bits_put_ue(bits, 0);
    bits_put_ue(bits, idr ? 2 : 1); /* slice_type: I or P */
    if (!idr) {
        bits_put(bits, 8, since_idr & 255); /* slice_pic_order_cnt_lsb */
        bits_put(bits, 1, 1);               /* the reference picture set of the SPS */
        bits_put(bits, 1, 0);
        bits_put_ue(bits, 4); /* MaxNumMergeCand 1 */
    }
    bits_put_ue(bits, 0); /* slice_qp_delta */
    bits_put_trailing(bits);
}

/* initValues of ITU-T H.265, tables 9-7 to 9-37 (initType 0 for I, 1 for P slices). */
struct contexts {
    struct cabac_context part_mode, prev_intra_luma, chroma_mode, cbf_luma, cbf_chroma, skip[3];
};

static struct contexts initial_contexts(void) {
    return (struct contexts){
        .part_mode = cabac_context(184),
        .prev_intra_luma = cabac_context(184),
        .chroma_mode = cabac_context(63),
        .cbf_luma = cabac_context(141),
        .cbf_chroma = cabac_context(94),
        .skip = {cabac_context(197), cabac_context(185), cabac_context(201)},
    };
}

static void put_grey_block(struct cabac *cabac, struct contexts *contexts) {
    cabac_put(cabac, &contexts->part_mode, 1);       /* 2Nx2N */
    cabac_put(cabac, &contexts->prev_intra_luma, 1); /* a most probable mode, */
    cabac_put_bypass(cabac, 0);                      /* mpm_idx 0 */
    cabac_put(cabac, &contexts->chroma_mode, 0);     /* as luma */
    cabac_put(cabac, &contexts->cbf_chroma, 0);
    cabac_put(cabac, &contexts->cbf_chroma, 0);
    cabac_put(cabac, &contexts->cbf_luma, 0);
}

size_t hevc_picture(uint8_t *out, const struct video *video, uint8_t *scratch, int idr, unsigned since_idr) {
    struct bits header = bits_at(scratch);
    struct contexts contexts = initial_contexts();
    int wide = video_blocks_wide(video), blocks = video_blocks(video);
    put_slice_header(&header, idr, since_idr);
    struct cabac cabac = cabac_start(header);
    for (int i = 0; i < blocks; i++) {
        int has_left = i % wide > 0, has_above = i >= wide;
        if (idr)
            put_grey_block(&cabac, &contexts);
        else
            cabac_put(&cabac, &contexts.skip[has_left + has_above], 1); /* cu_skip_flag */
        cabac_put_terminate(&cabac, i == blocks - 1);
    }
    return write_nal(out, idr ? NAL_IDR : NAL_P, &cabac.bits);
}
