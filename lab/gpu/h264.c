/* H.264 (ITU-T H.264, 7.3): CAVLC, one slice a picture, macroblocks of type I_16x16 DC without residual, or skipped. */
#include "stream.h"

enum { NAL_IDR = 0x65, NAL_P = 0x61, NAL_SPS = 0x67, NAL_PPS = 0x68 };
enum { PROFILE_HIGH = 100 };

static void put_sps(struct bits *bits, const struct video *video) {
    int high = (video->height + 15) / 16, wide = video_blocks_wide(video);
    int chroma_unit = video->is_444 ? 1 : 2;
    int crop_right = (wide * 16 - video->width) / chroma_unit, crop_bottom = (high * 16 - video->height) / chroma_unit;

    bits_put(bits, 8, (uint32_t)video->profile);
    bits_put(bits, 8, 0); /* constraint flags */
    bits_put(bits, 8, (uint32_t)video->level);
    bits_put_ue(bits, 0); /* seq_parameter_set_id */
    if (video->profile >= PROFILE_HIGH) {
        bits_put_ue(bits, video->is_444 ? 3 : 1); /* chroma_format_idc */
        if (video->is_444)
            bits_put(bits, 1, 0); /* separate_colour_plane_flag */
        bits_put_ue(bits, 0);     /* bit_depth_luma_minus8 */
        bits_put_ue(bits, 0);     /* bit_depth_chroma_minus8 */
        bits_put(bits, 2, 0);     /* no transform bypass, no scaling matrix */
    }
    bits_put_ue(bits, 4); /* log2_max_frame_num_minus4: 8 bits */
    bits_put_ue(bits, 2); /* pic_order_cnt_type: output order is decoding order */
    bits_put_ue(bits, 1); /* max_num_ref_frames */
    bits_put(bits, 1, 0); /* no gaps in frame_num */
    bits_put_ue(bits, (uint32_t)wide - 1);
    bits_put_ue(bits, (uint32_t)high - 1);
    bits_put(bits, 2, 3); /* frame_mbs_only, direct_8x8_inference */
    bits_put(bits, 1, crop_right || crop_bottom);
    if (crop_right || crop_bottom) {
        bits_put_ue(bits, 0);
        bits_put_ue(bits, (uint32_t)crop_right);
        bits_put_ue(bits, 0);
        bits_put_ue(bits, (uint32_t)crop_bottom);
    }
    bits_put(bits, 1, 1); /* VUI: */
    bits_put(bits, 2, 0); /* no aspect ratio, no overscan */
    video_signal(bits, video);
    bits_put(bits, 1, 0); /* no chroma location */
    bits_put(bits, 1, 1); /* timing: a tick is a field */
    bits_put(bits, 32, (uint32_t)video->rate_den);
    bits_put(bits, 32, (uint32_t)video->rate_num * 2);
    bits_put(bits, 1, 1); /* fixed_frame_rate_flag */
    bits_put(bits, 3, 0); /* no HRD, no pic_struct */
    bits_put(bits, 2, 3); /* bitstream restriction: motion vectors may cross the edge */
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 10);
    bits_put_ue(bits, 10);
    bits_put_ue(bits, 0); /* max_num_reorder_frames */
    bits_put_ue(bits, 1); /* max_dec_frame_buffering */
    bits_put_trailing(bits);
}

static void put_pps(struct bits *bits) {
    bits_put_ue(bits, 0); /* pic_parameter_set_id */
    bits_put_ue(bits, 0); /* seq_parameter_set_id */
    bits_put(bits, 2, 0); /* CAVLC, no bottom field order */
    bits_put_ue(bits, 0); /* one slice group */
    bits_put_ue(bits, 0); /* num_ref_idx_l0_default_active_minus1 */
    bits_put_ue(bits, 0);
    bits_put(bits, 3, 0); /* no weighted prediction */
    bits_put_ue(bits, 0); /* pic_init_qp_minus26 */
    bits_put_ue(bits, 0);
    bits_put_ue(bits, 0);
    bits_put(bits, 3, 0); /* no deblocking control, no constrained intra, no redundant pictures */
    bits_put_trailing(bits);
}

size_t h264_headers(uint8_t *out, const struct video *video, uint8_t *scratch) {
    struct bits bits = bits_at(scratch);
    put_sps(&bits, video);
    size_t length = nal_write(out, NAL_SPS, -1, &bits);
    bits = bits_at(scratch);
    put_pps(&bits);
    return length + nal_write(out + length, NAL_PPS, -1, &bits);
}

static void put_grey_macroblock(struct bits *bits, int is_444) {
    bits_put_ue(bits, 3); /* mb_type: I_16x16, DC prediction, no coefficients */
    if (!is_444)
        bits_put_ue(bits, 0); /* intra_chroma_pred_mode: DC */
    bits_put_ue(bits, 0);     /* mb_qp_delta */
    if (is_444)
        bits_put(bits, 3, 7); /* coeff_token "no coefficients" for Y, Cb and Cr */
    else
        bits_put(bits, 1, 1);
}

size_t h264_picture(uint8_t *out, const struct video *video, uint8_t *scratch, int idr, unsigned since_idr,
                    unsigned idr_id) {
    struct bits bits = bits_at(scratch);
    int macroblocks = video_blocks(video);
    bits_put_ue(&bits, 0);                        /* first_mb_in_slice */
    bits_put_ue(&bits, idr ? 7 : 5);              /* slice_type: I or P, all slices of the picture */
    bits_put_ue(&bits, 0);                        /* pic_parameter_set_id */
    bits_put(&bits, 8, idr ? 0 : since_idr & 255); /* frame_num */
    if (idr) {
        bits_put_ue(&bits, idr_id & 1); /* neighbouring IDR pictures differ */
        bits_put(&bits, 2, 0);          /* dec_ref_pic_marking */
    } else {
        bits_put(&bits, 3, 0); /* no override, no list modification, sliding window */
    }
    bits_put_ue(&bits, 0); /* slice_qp_delta */
    if (idr)
        for (int i = 0; i < macroblocks; i++)
            put_grey_macroblock(&bits, video->is_444);
    else
        bits_put_ue(&bits, (uint32_t)macroblocks); /* mb_skip_run over all */
    bits_put_trailing(&bits);
    return nal_write(out, idr ? NAL_IDR : NAL_P, -1, &bits);
}
