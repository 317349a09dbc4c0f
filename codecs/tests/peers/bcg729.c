/* G.729 Annex A and B with bcg729: peer_bcg729 encode|encode-dtx|decode IN OUT. A frame of bits is preceded by a byte that
   says how many follow: 10, 2, or 0 (nothing was sent; 255 is a lost frame). */
#include <bcg729/decoder.h>
#include <bcg729/encoder.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
    if (!in || !out) return 2;
    int16_t samples[80];
    uint8_t bits[10], length;
    if (!strncmp(argv[1], "encode", 6)) {
        bcg729EncoderChannelContextStruct *encoder = initBcg729EncoderChannel(!strcmp(argv[1], "encode-dtx"));
        while (fread(samples, 2, 80, in) == 80) {
            bcg729Encoder(encoder, samples, bits, &length);
            fputc(length, out);
            fwrite(bits, 1, length, out);
        }
    } else {
        bcg729DecoderChannelContextStruct *decoder = initBcg729DecoderChannel();
        int announced;
        while ((announced = fgetc(in)) != EOF) {
            length = announced == 255 ? 0 : announced;
            if (fread(bits, 1, length, in) != length) return 2;
            bcg729Decoder(decoder, bits, length, announced == 255, length == 2 || length == 0 && announced == 0, 0, samples);
            fwrite(samples, 2, 80, out);
        }
    }
    return fclose(out);
}
