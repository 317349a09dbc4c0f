"""The libsrtp2 that the pylibsrtp package carries, built on OpenSSL, as a peer that speaks the lines of peer.c.

Its Python interface knows four profiles; the library behind it has every suite, and is called directly for those.
"""

import ctypes
import sys

from pylibsrtp import _binding
from pylibsrtp._binding import ffi, lib

library = ctypes.CDLL(_binding.__file__)

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": ("rtp_default", "rtp_default"),
    "AES_CM_128_HMAC_SHA1_32": ("aes_cm_128_hmac_sha1_32", "rtp_default"),
    "AES_192_CM_HMAC_SHA1_80": ("aes_cm_192_hmac_sha1_80", "aes_cm_192_hmac_sha1_80"),
    "AES_192_CM_HMAC_SHA1_32": ("aes_cm_192_hmac_sha1_32", "aes_cm_192_hmac_sha1_80"),
    "AES_256_CM_HMAC_SHA1_80": ("aes_cm_256_hmac_sha1_80", "aes_cm_256_hmac_sha1_80"),
    "AES_256_CM_HMAC_SHA1_32": ("aes_cm_256_hmac_sha1_32", "aes_cm_256_hmac_sha1_80"),
    "AEAD_AES_128_GCM": ("aes_gcm_128_16_auth", "aes_gcm_128_16_auth"),
    "AEAD_AES_256_GCM": ("aes_gcm_256_16_auth", "aes_gcm_256_16_auth"),
    "NULL_HMAC_SHA1_80": ("null_cipher_hmac_sha1_80", "null_cipher_hmac_sha1_80"),
}


def context(suite, key, kind):
    policy = ffi.new("srtp_policy_t *")
    for part, name in zip((policy.rtp, policy.rtcp), SUITES[suite]):
        address = ctypes.c_void_p(int(ffi.cast("uintptr_t", ffi.addressof(part))))
        getattr(library, "srtp_crypto_policy_set_" + name)(address)
    policy.key = key
    policy.ssrc.type = kind
    policy.window_size = 128
    made = ffi.new("srtp_t *")
    if lib.srtp_create(made, policy) != lib.srtp_err_status_ok:
        sys.exit(3)
    return made[0], policy


suite = sys.argv[1]
key = ffi.new("unsigned char[]", bytes.fromhex(sys.argv[2]))
out, out_policy = context(suite, key, lib.ssrc_any_outbound)
inbound, inbound_policy = context(suite, key, lib.ssrc_any_inbound)
operations = {
    "P": (lib.srtp_protect, out),
    "U": (lib.srtp_unprotect, inbound),
    "p": (lib.srtp_protect_rtcp, out),
    "u": (lib.srtp_unprotect_rtcp, inbound),
}
for line in sys.stdin:
    operation, where = operations[line[0]]
    packet = bytes.fromhex(line[1:].strip())
    room = ffi.new("char[]", 4096)
    ffi.buffer(room)[: len(packet)] = packet
    length = ffi.new("int *", len(packet))
    status = operation(where, room, length)
    if status == lib.srtp_err_status_ok:
        print(ffi.buffer(room)[: length[0]].hex(), flush=True)
    else:
        print("fail", status, flush=True)
