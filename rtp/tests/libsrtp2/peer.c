/* libsrtp2 as a peer that speaks in lines, for tests/libsrtp2.rs and the benches.
 *
 *   peer SUITE KEY-AND-SALT [bench]
 *
 * Without "bench" it answers each line of standard input with one line:
 *   P hex   protect RTP         U hex   unprotect RTP
 *   p hex   protect RTCP        u hex   unprotect RTCP
 *   R ssrc roc   sets the receiver's rollover counter of a stream
 * The answer is the packet in hexadecimal, "ok", or "fail N" with libsrtp's code.
 * With "bench" it prints two numbers: ns to protect and to unprotect a packet of 172 octets, the best of many rounds.
 */
#define _POSIX_C_SOURCE 200809L
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOM (2048 + SRTP_MAX_TRAILER_LEN)

static int policy_of(const char *suite, srtp_policy_t *policy)
{
    memset(policy, 0, sizeof *policy);
    srtp_crypto_policy_t *rtp = &policy->rtp, *rtcp = &policy->rtcp;
    /* RTCP has the long tag also where RTP has the short one. */
    if (!strcmp(suite, "AES_CM_128_HMAC_SHA1_80")) {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(rtcp);
    } else if (!strcmp(suite, "AES_CM_128_HMAC_SHA1_32")) {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(rtcp);
    } else if (!strcmp(suite, "AES_192_CM_HMAC_SHA1_80")) {
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(rtp);
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(rtcp);
    } else if (!strcmp(suite, "AES_192_CM_HMAC_SHA1_32")) {
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_32(rtp);
        srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(rtcp);
    } else if (!strcmp(suite, "AES_256_CM_HMAC_SHA1_80")) {
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(rtcp);
    } else if (!strcmp(suite, "AES_256_CM_HMAC_SHA1_32")) {
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(rtcp);
    } else if (!strcmp(suite, "AEAD_AES_128_GCM")) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(rtcp);
    } else if (!strcmp(suite, "AEAD_AES_256_GCM")) {
        srtp_crypto_policy_set_aes_gcm_256_16_auth(rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(rtcp);
    } else if (!strcmp(suite, "NULL_HMAC_SHA1_80")) {
        srtp_crypto_policy_set_null_cipher_hmac_sha1_80(rtp);
        srtp_crypto_policy_set_null_cipher_hmac_sha1_80(rtcp);
    } else {
        return 0;
    }
    policy->window_size = 128;
    return 1;
}

static int from_hex(const char *text, unsigned char *out, int room)
{
    int length = 0;
    unsigned octet;
    while (length < room && sscanf(text, "%2x", &octet) == 1) {
        out[length++] = (unsigned char)octet;
        text += 2;
    }
    return length;
}

static void answer(srtp_err_status_t status, const unsigned char *packet, int length)
{
    if (status != srtp_err_status_ok) {
        printf("fail %d\n", (int)status);
    } else {
        for (int at = 0; at < length; at++)
            printf("%02x", packet[at]);
        putchar('\n');
    }
    fflush(stdout);
}

static double nanos(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

enum { BATCH = 64, ROUNDS = 400 };

static int bench(srtp_t out, srtp_t in)
{
    static unsigned char packets[BATCH][512];
    static int lengths[BATCH];
    double protect = 1e18, unprotect = 1e18;
    unsigned sequence = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int at = 0; at < BATCH; at++) {
            unsigned char *p = packets[at];
            sequence++;
            memset(p, 0xd5, 172);
            unsigned timestamp = sequence * 160;
            unsigned char header[12] = { 0x80, 0, sequence >> 8, sequence, timestamp >> 24, timestamp >> 16,
                                         timestamp >> 8, timestamp, 0x12, 0x34, 0x56, 0x78 };
            memcpy(p, header, 12);
            lengths[at] = 172;
        }
        double start = nanos();
        for (int at = 0; at < BATCH; at++)
            if (srtp_protect(out, packets[at], &lengths[at]) != srtp_err_status_ok)
                return 1;
        double middle = nanos();
        for (int at = 0; at < BATCH; at++)
            if (srtp_unprotect(in, packets[at], &lengths[at]) != srtp_err_status_ok)
                return 1;
        double end = nanos();
        if ((middle - start) / BATCH < protect)
            protect = (middle - start) / BATCH;
        if ((end - middle) / BATCH < unprotect)
            unprotect = (end - middle) / BATCH;
    }
    printf("%.1f %.1f\n", protect, unprotect);
    return 0;
}

int main(int count, char **argument)
{
    srtp_policy_t policy;
    unsigned char key[64];
    srtp_t out, in;
    if (count < 3 || !policy_of(argument[1], &policy) || srtp_init() != srtp_err_status_ok)
        return 2;
    from_hex(argument[2], key, sizeof key);
    policy.key = key;
    policy.ssrc.type = ssrc_any_outbound;
    if (srtp_create(&out, &policy) != srtp_err_status_ok)
        return 3;
    policy.ssrc.type = ssrc_any_inbound;
    if (srtp_create(&in, &policy) != srtp_err_status_ok)
        return 3;
    if (count > 3)
        return bench(out, in);

    static char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        unsigned char packet[ROOM];
        unsigned ssrc, roc;
        if (line[0] == 'R' && sscanf(line + 1, "%u %u", &ssrc, &roc) == 2) {
            srtp_err_status_t status = srtp_set_stream_roc(in, ssrc, roc);
            if (status == srtp_err_status_ok)
                puts("ok");
            else
                printf("fail %d\n", (int)status);
            fflush(stdout);
            continue;
        }
        int length = from_hex(line + 2, packet, 2048);
        switch (line[0]) {
        case 'P': { srtp_err_status_t s = srtp_protect(out, packet, &length); answer(s, packet, length); break; }
        case 'U': { srtp_err_status_t s = srtp_unprotect(in, packet, &length); answer(s, packet, length); break; }
        case 'p': { srtp_err_status_t s = srtp_protect_rtcp(out, packet, &length); answer(s, packet, length); break; }
        case 'u': { srtp_err_status_t s = srtp_unprotect_rtcp(in, packet, &length); answer(s, packet, length); break; }
        default: puts("fail -1"); fflush(stdout);
        }
    }
    return 0;
}
