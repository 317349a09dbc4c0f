/* Encodes a file of samples with libgsm, or decodes frames: peer_gsm encode|decode IN OUT */
#include <gsm/gsm.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
    if (!in || !out) return 2;
    gsm state = gsm_create();
    gsm_signal samples[160];
    gsm_frame frame;
    if (!strcmp(argv[1], "encode"))
        while (fread(samples, 2, 160, in) == 160) { gsm_encode(state, samples, frame); fwrite(frame, 1, 33, out); }
    else
        while (fread(frame, 1, 33, in) == 33) { gsm_decode(state, frame, samples); fwrite(samples, 2, 160, out); }
    gsm_destroy(state);
    return fclose(out);
}
