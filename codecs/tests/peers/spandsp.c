/* Samples to codes and back with spandsp: peer_spandsp CODEC-encode|CODEC-decode IN OUT; CODEC is mu, a or g722. */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>
#include <spandsp.h>
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
    if (!in || !out) return 2;
    static uint8_t bytes[1 << 24];
    static int16_t samples[1 << 24];
    int g722 = !strncmp(argv[1], "g722", 4), mu = !strncmp(argv[1], "mu", 2), i, count;
    if (strstr(argv[1], "encode")) {
        count = fread(samples, 2, 1 << 23, in);
        if (g722) {
            count = g722_encode(g722_encode_init(NULL, 64000, 0), bytes, samples, count);
        } else
            for (i = 0; i < count; i++) bytes[i] = mu ? linear_to_ulaw(samples[i]) : linear_to_alaw(samples[i]);
        fwrite(bytes, 1, count, out);
    } else {
        count = fread(bytes, 1, 1 << 22, in);
        if (g722) {
            count = g722_decode(g722_decode_init(NULL, 64000, 0), samples, bytes, count);
        } else
            for (i = 0; i < count; i++) samples[i] = mu ? ulaw_to_linear(bytes[i]) : alaw_to_linear(bytes[i]);
        fwrite(samples, 2, count, out);
    }
    return fclose(out);
}
