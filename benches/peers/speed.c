/* Times a peer's codec over a file of 8 kHz samples (G.722: taken as 16 kHz), ROUNDS times, and prints
   "encode SECONDS decode SECONDS" of one round. Built once a peer: -DGSM, -DBCG729, -DSPANDSP_G722, -DSPANDSP_G711. */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef GSM
#include <gsm/gsm.h>
#endif
#ifdef BCG729
#include <bcg729/decoder.h>
#include <bcg729/encoder.h>
#endif
#if defined SPANDSP_G722 || defined SPANDSP_G711
#include <tiffio.h>
#include <spandsp.h>
#endif
static int16_t samples[1 << 22], decoded[1 << 22];
static uint8_t bits[1 << 22];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
int main(int argc, char **argv) {
    FILE *in = fopen(argv[1], "rb");
    int count = fread(samples, 2, 1 << 22, in), rounds = atoi(argv[2]), r, i;
    double encode = 1e9, decode = 1e9, t;
    for (r = 0; r < rounds; r++) {
        int size = 0, out = 0;
#ifdef GSM
        gsm e = gsm_create(), d = gsm_create();
        t = now();
        for (i = 0; i + 160 <= count; i += 160, size += 33) gsm_encode(e, samples + i, bits + size);
        if ((t = now() - t) < encode) encode = t;
        t = now();
        for (i = 0; i < size; i += 33, out += 160) gsm_decode(d, bits + i, decoded + out);
        if ((t = now() - t) < decode) decode = t;
        gsm_destroy(e); gsm_destroy(d);
#endif
#ifdef BCG729
        bcg729EncoderChannelContextStruct *e = initBcg729EncoderChannel(0);
        bcg729DecoderChannelContextStruct *d = initBcg729DecoderChannel();
        uint8_t length;
        t = now();
        for (i = 0; i + 80 <= count; i += 80, size += 10) bcg729Encoder(e, samples + i, bits + size, &length);
        if ((t = now() - t) < encode) encode = t;
        t = now();
        for (i = 0; i < size; i += 10, out += 80) bcg729Decoder(d, bits + i, 10, 0, 0, 0, decoded + out);
        if ((t = now() - t) < decode) decode = t;
        closeBcg729EncoderChannel(e); closeBcg729DecoderChannel(d);
#endif
#ifdef SPANDSP_G722
        g722_encode_state_t *e = g722_encode_init(NULL, 64000, 0);
        g722_decode_state_t *d = g722_decode_init(NULL, 64000, 0);
        t = now();
        for (i = 0; i + 320 <= count; i += 320) size += g722_encode(e, bits + size, samples + i, 320);
        if ((t = now() - t) < encode) encode = t;
        t = now();
        for (i = 0; i < size; i += 160) out += g722_decode(d, decoded + out, bits + i, 160);
        if ((t = now() - t) < decode) decode = t;
        g722_encode_free(e); g722_decode_free(d);
#endif
#ifdef SPANDSP_G711
        t = now();
        for (i = 0; i < count; i++) bits[i] = linear_to_ulaw(samples[i]);
        if ((t = now() - t) < encode) encode = t;
        t = now();
        for (i = 0; i < count; i++) decoded[i] = ulaw_to_linear(((volatile uint8_t *) bits)[i]);
        if ((t = now() - t) < decode) decode = t;
#endif
    }
    unsigned sum = 0;
    for (i = 0; i < count; i++) sum = sum * 31 + decoded[i];
    fprintf(stderr, "%u\n", sum); /* so that nothing is optimised away */
    printf("encode %.9f decode %.9f\n", encode, decode);
    return 0;
}
