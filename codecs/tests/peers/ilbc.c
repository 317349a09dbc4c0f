/* Encodes a file of samples with libilbc, or decodes frames: peer_ilbc encode|decode 20|30 IN OUT. A frame of which all
 * bytes are 0xff is lost. */
#include <ilbc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* Called where an assertion of theirs does not hold. */
void rtc_FatalMessage(const char *file, int line, const char *message) { fprintf(stderr, "%s:%d: %s\n", file, line, message); abort(); }
int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int ms = atoi(argv[2]), size = ms * 8, bytes = ms == 20 ? 38 : 50;
    FILE *in = fopen(argv[3], "rb"), *out = fopen(argv[4], "wb");
    if (!in || !out) return 2;
    int16_t samples[240], kind;
    uint8_t frame[50], lost[50];
    memset(lost, 0xff, sizeof lost);
    if (!strcmp(argv[1], "encode")) {
        IlbcEncoderInstance *state;
        WebRtcIlbcfix_EncoderCreate(&state);
        WebRtcIlbcfix_EncoderInit(state, ms);
        while (fread(samples, 2, size, in) == (size_t)size) {
            WebRtcIlbcfix_Encode(state, samples, size, frame);
            fwrite(frame, 1, bytes, out);
        }
        WebRtcIlbcfix_EncoderFree(state);
    } else {
        IlbcDecoderInstance *state;
        WebRtcIlbcfix_DecoderCreate(&state);
        WebRtcIlbcfix_DecoderInit(state, ms);
        while (fread(frame, 1, bytes, in) == (size_t)bytes) {
            if (memcmp(frame, lost, bytes)) WebRtcIlbcfix_Decode(state, frame, bytes, samples, &kind);
            else WebRtcIlbcfix_DecodePlc(state, samples, 1);
            fwrite(samples, 2, size, out);
        }
        WebRtcIlbcfix_DecoderFree(state);
    }
    return fclose(out);
}
