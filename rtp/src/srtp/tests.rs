//! The vectors of the RFCs, and the two ends against each other over a bad network.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::{
    cipher::{Aes, Position, SessionKeys},
    key_derivation::{Purpose, authentication_key_stream, session_keys},
    *,
};
use crate::{
    packet::Header,
    shared::{hex, json, list, number, octets},
};
use proptest::prelude::*;
use serde_json::Value;

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; 12 + payload.len()];
    let timestamp = u32::from(sequence) * 160;
    Header { ssrc, sequence, timestamp, ..Header::default() }.write(payload, &mut buffer).unwrap();
    buffer
}

fn master(suite: Suite) -> MasterKey {
    let material: Vec<u8> =
        (0..(suite.key_length() + suite.salt_length()) as u8).map(|at| at.wrapping_mul(37)).collect();
    MasterKey::new(suite, &material).unwrap()
}

fn ends(suite: Suite) -> (Outbound, Inbound) {
    let keying = Keying::new(master(suite));
    (Outbound::new(&keying).unwrap(), Inbound::new(&keying))
}

fn protect(out: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + 200, 0xee);
    let length = out.protect(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn protect_control(out: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + 200, 0xee);
    let length = out.protect_control(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn unprotect(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
    let mut buffer = packet.to_vec();
    let length = inbound.unprotect(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

fn unprotect_control(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
    let mut buffer = packet.to_vec();
    let length = inbound.unprotect_control(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

fn check_key_stream(vector: &Value) {
    let aes = Aes::new(&octets(vector, "session_key"));
    let iv: [u8; 16] = octets(vector, "session_salt_shifted").try_into().unwrap();
    let mut stream = vec![0; usize::try_from(number(vector, "keystream_octets")).unwrap()];
    aes.apply_key_stream(&iv, &mut stream);
    for block in list(vector, "blocks") {
        let at = usize::try_from(number(block, "index")).unwrap() * 16;
        assert_eq!(stream[at..at + 16], octets(block, "keystream"), "block {}", number(block, "index"));
    }
}

#[test]
fn rfc3711_b1_f8_key_stream() {
    let Some(vectors) = json("vectors/srtp/rfc3711.json") else { return };
    let vector = &vectors["aes_f8"];
    // The example's salt has four octets; what fills it up to the key's length is the same.
    let mut salt = [0x55; 14];
    salt[..4].copy_from_slice(&octets(vector, "salt"));
    let keys = SessionKeys::new(Suite::F8Aes128HmacSha1Tag80, &octets(vector, "key"), &[0; 20], salt);
    let header: [u8; 12] = octets(vector, "rtp_header").try_into().unwrap();
    let rollover = u32::from_be_bytes(octets(vector, "roc").try_into().unwrap());
    let ssrc = u32::from_be_bytes(header[8..].try_into().unwrap());
    let index = u64::from(rollover) << 16 | u64::from(u16::from_be_bytes([header[2], header[3]]));
    let mut data = octets(vector, "payload");
    keys.apply(Position::Media { header: &header, ssrc, index }, &mut data);
    assert_eq!(data, octets(vector, "ciphertext"));
}

#[test]
fn rfc3711_b2_counter_key_stream() {
    let Some(vectors) = json("vectors/srtp/rfc3711.json") else { return };
    check_key_stream(&vectors["aes_cm_keystream"]);
}

#[test]
fn rfc3711_b3_key_derivation() {
    let Some(vectors) = json("vectors/srtp/rfc3711.json") else { return };
    let vector = &vectors["key_derivation"];
    let material = [octets(vector, "master_key"), octets(vector, "master_salt")].concat();
    let master = MasterKey::new(Suite::Aes128CmHmacSha1Tag80, &material).unwrap();
    let derived = |label, length| {
        let mut out = vec![0; length];
        authentication_key_stream(&master, label, &mut out);
        out
    };
    assert_eq!(derived(0, 16), octets(vector, "cipher_key"));
    assert_eq!(derived(1, 94), octets(vector, "auth_key_94"));
    assert_eq!(derived(1, 20), octets(vector, "auth_key_20"));
    assert_eq!(derived(2, 14), octets(vector, "cipher_salt"));
    let control = &vectors["derived"];
    assert_eq!(derived(3, 16), octets(control, "srtcp_cipher_key"));
    assert_eq!(derived(4, 20), octets(control, "srtcp_auth_key"));
    assert_eq!(derived(5, 14), octets(control, "srtcp_cipher_salt"));
}

#[test]
fn rfc6188_7_1_and_7_3_counter_key_streams() {
    let Some(vectors) = json("vectors/srtp/rfc6188.json") else { return };
    check_key_stream(&vectors["aes_256_cm_keystream"]);
    check_key_stream(&vectors["aes_192_cm_keystream"]);
}

#[test]
fn rfc6188_7_2_and_7_4_key_derivation() {
    let Some(vectors) = json("vectors/srtp/rfc6188.json") else { return };
    for (name, suite) in
        [("aes_256_cm_prf", Suite::Aes256CmHmacSha1Tag80), ("aes_192_cm_prf", Suite::Aes192CmHmacSha1Tag80)]
    {
        let vector = &vectors[name];
        let master =
            MasterKey::new(suite, &[octets(vector, "master_key"), octets(vector, "master_salt")].concat())
                .unwrap();
        for (label, field) in [(0, "cipher_key"), (1, "auth_key"), (2, "cipher_salt")] {
            let wanted = octets(vector, field);
            let mut out = vec![0; wanted.len()];
            authentication_key_stream(&master, label, &mut out);
            assert_eq!(out, wanted, "{name} {field}");
        }
    }
}

#[test]
fn rfc7714_16_and_17_packets() {
    let Some(vectors) = json("vectors/srtp/rfc7714.json") else { return };
    let mut checked = 0;
    for vector in list(&vectors, "vectors") {
        let suite = Suite::of_sdes_name(vector["algorithm"].as_str().unwrap()).unwrap();
        let mut salt = [0; 14];
        salt[..12].copy_from_slice(&octets(vector, "session_salt"));
        let keys = || SessionKeys::new(suite, &octets(vector, "session_key"), &[0; 20], salt);
        let tag_only = vector["mode"].as_str().unwrap().starts_with("tag only");
        checked += 1;
        if vector["kind"] == "SRTP" {
            let (plain, wire) = (octets(vector, "rtp_packet"), octets(vector, "srtp_packet"));
            if tag_only {
                // RTP is always encrypted: what the vector shows is the bare algorithm.
                let header: [u8; 12] = plain[..12].try_into().unwrap();
                let ssrc = u32::from_be_bytes(header[8..].try_into().unwrap());
                let index = u64::from(u16::from_be_bytes([header[2], header[3]]));
                let place = Position::Media { header: &header, ssrc, index };
                let mut tag = [0; 16];
                assert!(keys().seal(place, &plain, &mut [], &mut tag));
                assert_eq!(tag, wire[plain.len()..]);
                continue;
            }
            let (mut out, mut inbound) = ends(suite);
            out.set_media_keys(keys());
            inbound.set_media_keys(keys());
            assert_eq!(protect(&mut out, &plain), wire, "{}", vector["id"]);
            assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain);
        } else {
            let (plain, wire) = (octets(vector, "rtcp_packet"), octets(vector, "srtcp_packet"));
            let policy = Policy { unencrypted_control: tag_only, ..Policy::default() };
            let keying = Keying::with_policy(vec![master(suite)], policy).unwrap();
            let (mut out, mut inbound) = (Outbound::new(&keying).unwrap(), Inbound::new(&keying));
            out.set_control_keys(keys());
            inbound.set_control_keys(keys());
            out.set_next_control_index(0x4d61_7273, number(vector, "srtcp_index") as u32);
            assert_eq!(protect_control(&mut out, &plain), wire, "{}", vector["id"]);
            assert_eq!(unprotect_control(&mut inbound, &wire).unwrap(), plain);
        }
    }
    assert_eq!(checked, 8);
}

#[test]
fn whole_packets_as_libsrtp_makes_them() {
    let Some(vectors) = json("vectors/srtp/derived-packets.json") else { return };
    let mut suites = 0;
    for profile in list(&vectors, "profiles") {
        let name = profile["profile"].as_str().unwrap();
        let suite = Suite::of_sdes_name(name).unwrap();
        let material = [octets(profile, "master_key"), octets(profile, "master_salt")].concat();
        let keying = Keying::new(MasterKey::new(suite, &material).unwrap());
        let (mut out, mut inbound) = (Outbound::new(&keying).unwrap(), Inbound::new(&keying));
        suites += 1;
        for packet in list(profile, "packets") {
            let (plain, wire) = (octets(packet, "plain"), octets(packet, "protected"));
            let fresh = packet["with"].is_string();
            if fresh {
                // These stand for themselves and begin at ROC 0.
                (out, inbound) = (Outbound::new(&keying).unwrap(), Inbound::new(&keying));
            }
            if packet["kind"] == "SRTP" {
                assert_eq!(protect(&mut out, &plain), wire, "{name} {packet}");
                assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain, "{name} {packet}");
            } else {
                let ssrc = u32::from_be_bytes(plain[4..8].try_into().unwrap());
                out.set_next_control_index(ssrc, number(packet, "index") as u32);
                assert_eq!(protect_control(&mut out, &plain), wire, "{name} {packet}");
                assert_eq!(unprotect_control(&mut inbound, &wire).unwrap(), plain, "{name} {packet}");
            }
        }
    }
    assert_eq!(suites, 7);
}

#[test]
fn rfc5764_exporter_keys_are_split() {
    let Some(vectors) = json("vectors/srtp/derived-dtls-exporter.json") else { return };
    for vector in list(&vectors, "vectors") {
        let name = vector["profile"].as_str().unwrap();
        let suite = match name {
            "SRTP_AES128_CM_HMAC_SHA1_80" => Suite::Aes128CmHmacSha1Tag80,
            "SRTP_AES128_CM_HMAC_SHA1_32" => Suite::Aes128CmHmacSha1Tag32,
            "SRTP_AEAD_AES_128_GCM" => Suite::AeadAes128Gcm,
            "SRTP_AEAD_AES_256_GCM" => Suite::AeadAes256Gcm,
            other => panic!("{other}"),
        };
        let (client, server) = from_dtls_exporter(suite, &octets(vector, "keying_material")).unwrap();
        assert_eq!(client.key(), octets(vector, "client_write_SRTP_master_key"));
        assert_eq!(client.salt(), octets(vector, "client_write_SRTP_master_salt"));
        assert_eq!(server.key(), octets(vector, "server_write_SRTP_master_key"));
        assert_eq!(server.salt(), octets(vector, "server_write_SRTP_master_salt"));
    }
}

#[test]
fn rfc5764_profiles_and_lengths() {
    let Some(vectors) = json("vectors/srtp/rfc5764-dtls-srtp.json") else { return };
    for profile in list(&vectors, "profiles") {
        let id = list(profile, "id");
        let number_of = |value: &Value| value.as_u64().unwrap() as u16;
        let suite = Suite::of_dtls_profile(number_of(&id[0]) << 8 | number_of(&id[1])).unwrap();
        assert_eq!(suite.tag_length() as i64, number(profile, "srtp_tag"));
        assert_eq!(suite.control_tag_length() as i64, number(profile, "srtcp_tag"));
        if let Some(name) = profile["sdes"].as_str() {
            assert_eq!(suite.sdes_name(), name);
            assert_eq!(suite.key_length() as i64, number(profile, "key"));
            assert_eq!(suite.salt_length() as i64, number(profile, "salt"));
        }
    }
}

#[test]
fn every_suite_goes_there_and_back() {
    for &suite in Suite::ALL {
        let (mut out, mut inbound) = ends(suite);
        for sequence in 0..200u16 {
            let plain = rtp(7, sequence, &[0x5a; 160]);
            let wire = protect(&mut out, &plain);
            assert_eq!(wire.len(), plain.len() + suite.tag_length());
            assert_eq!(wire[..12], plain[..12]);
            assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain, "{suite:?}");
            assert_eq!(unprotect(&mut inbound, &wire), Err(NotAuthentic), "a replay, {suite:?}");
        }
        let report = hex("80c900011234567881ca000312345678010375406800000081cb00021234567803627965");
        for _ in 0..200 {
            let wire = protect_control(&mut out, &report);
            assert_eq!(unprotect_control(&mut inbound, &wire).unwrap(), report, "{suite:?}");
            assert_eq!(unprotect_control(&mut inbound, &wire), Err(NotAuthentic), "a replay, {suite:?}");
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_fails_and_changes_nothing() {
    for &suite in Suite::ALL {
        let (mut out, mut inbound) = ends(suite);
        unprotect(&mut inbound, &protect(&mut out, &rtp(7, 1, &[1; 20]))).unwrap();
        let wire = protect(&mut out, &rtp(7, 2, &[1; 20]));
        for bit in 0..wire.len() * 8 {
            let mut forged = wire.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unprotect(&mut inbound, &forged), Err(NotAuthentic), "{suite:?} bit {bit}");
        }
        for length in 0..wire.len() {
            assert_eq!(
                unprotect(&mut inbound, &wire[..length]),
                Err(NotAuthentic),
                "{suite:?} cut to {length}"
            );
        }
        assert!(unprotect(&mut inbound, &wire).is_ok(), "{suite:?}");
        let report = hex("80c90001123456788000000080000000");
        let wire = protect_control(&mut out, &report);
        for bit in 0..wire.len() * 8 {
            let mut forged = wire.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                unprotect_control(&mut inbound, &forged),
                Err(NotAuthentic),
                "{suite:?} control bit {bit}"
            );
        }
        for length in 0..wire.len() {
            assert_eq!(unprotect_control(&mut inbound, &wire[..length]), Err(NotAuthentic));
        }
        assert!(unprotect_control(&mut inbound, &wire).is_ok(), "{suite:?}");
    }
}

#[test]
fn one_key_identifier_of_several() {
    for suite in [Suite::Aes128CmHmacSha1Tag80, Suite::AeadAes128Gcm] {
        let mut first = vec![1; suite.key_length() + suite.salt_length()];
        let one = MasterKey::new(suite, &first).unwrap().with_mki(&[0, 1]).unwrap();
        first[0] = 2;
        let two = MasterKey::new(suite, &first).unwrap().with_mki(&[0, 2]).unwrap();
        let keying = Keying::with_policy(vec![one.clone(), two.clone()], Policy::default()).unwrap();
        let mut inbound = Inbound::new(&keying);
        let mut out = Outbound::new(&keying).unwrap();
        assert_eq!(out.overhead(), suite.tag_length() + 2);
        let plain = rtp(9, 65_535, &[3; 50]);
        assert_eq!(unprotect(&mut inbound, &protect(&mut out, &plain)).unwrap(), plain);
        // The other key: the rollover counter goes on (RFC 3711 §8.1).
        out.rekey(two);
        let plain = rtp(9, 0, &[3; 50]);
        let wire = protect(&mut out, &plain);
        assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain);
        assert_eq!((out.rollover(9), inbound.rollover(9)), (Some(1), Some(1)));
        let report = hex("80c9000112345678");
        let wire = protect_control(&mut out, &report);
        assert_eq!(unprotect_control(&mut inbound, &wire).unwrap(), report);
        let mut unknown = protect(&mut out, &rtp(9, 1, &[3; 50]));
        let at = if suite == Suite::AeadAes128Gcm { unknown.len() - 1 } else { unknown.len() - 11 };
        unknown[at] = 9;
        assert_eq!(unprotect(&mut inbound, &unknown), Err(NotAuthentic));
        let alike = Keying::with_policy(vec![one.clone(), one], Policy::default());
        assert!(alike.is_err());
    }
}

#[test]
fn session_keys_derived_every_so_many_packets() {
    for suite in [Suite::Aes128CmHmacSha1Tag80, Suite::AeadAes128Gcm] {
        let policy = Policy { derivation_rate: 64, ..Policy::default() };
        let keying = Keying::with_policy(vec![master(suite)], policy).unwrap();
        let (mut out, mut inbound) = (Outbound::new(&keying).unwrap(), Inbound::new(&keying));
        let mut late = Vec::new();
        for sequence in 0..1000u16 {
            let plain = rtp(1, sequence, &[4; 30]);
            let wire = protect(&mut out, &plain);
            if sequence % 64 == 63 {
                late.push((wire, plain));
                continue;
            }
            assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain, "{sequence}");
            if sequence % 64 == 1
                && let Some((wire, plain)) = late.pop()
            {
                assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain, "of the round before");
            }
        }
        let plain_rate = Keying::new(master(suite));
        let mut without = Inbound::new(&plain_rate);
        assert!(unprotect(&mut without, &protect(&mut out, &rtp(1, 1000, &[4; 30]))).is_err());
        for round in 0..3 {
            let report = hex("80c9000100000001");
            for _ in 0..64 {
                let wire = protect_control(&mut out, &report);
                assert_eq!(unprotect_control(&mut inbound, &wire).unwrap(), report, "round {round}");
            }
        }
    }
    assert!(
        Keying::with_policy(
            vec![master(Suite::AeadAes128Gcm)],
            Policy { derivation_rate: 3, ..Policy::default() }
        )
        .is_err()
    );
}

#[test]
fn keys_wear_out() {
    let key = master(Suite::AeadAes128Gcm).with_lifetime(3).unwrap();
    let keying = Keying::new(key);
    let (mut out, mut inbound) = (Outbound::new(&keying).unwrap(), Inbound::new(&keying));
    let wires: Vec<_> = (0..3).map(|sequence| protect(&mut out, &rtp(1, sequence, &[1]))).collect();
    let mut buffer = [0; 100];
    buffer[0] = 0x80;
    assert_eq!(out.protect(&mut buffer, 20), Err(Refused::KeyWornOut));
    for wire in &wires {
        assert!(unprotect(&mut inbound, wire).is_ok());
    }
    assert_eq!(inbound.packets_left(), 0);
    let mut unlimited = Outbound::new(&Keying::new(master(Suite::AeadAes128Gcm))).unwrap();
    for sequence in 0..3 {
        protect(&mut unlimited, &rtp(1, sequence, &[1]));
    }
    assert!(unprotect(&mut inbound, &protect(&mut unlimited, &rtp(1, 3, &[1]))).is_err());
}

#[test]
fn no_number_is_used_twice() {
    let (mut out, _) = ends(Suite::AeadAes256Gcm);
    protect(&mut out, &rtp(1, 5, &[1]));
    let mut buffer = rtp(1, 5, &[2]);
    buffer.resize(100, 0);
    assert_eq!(out.protect(&mut buffer, 13), Err(Refused::IndexUsed));
}

#[test]
fn streams_are_limited_and_strangers_make_none() {
    let policy = Policy { maximum_streams: 2, ..Policy::default() };
    let keying = Keying::with_policy(vec![master(Suite::Aes128CmHmacSha1Tag80)], policy).unwrap();
    let (mut out, mut inbound) = ends(Suite::Aes128CmHmacSha1Tag80);
    inbound.rekey(&keying);
    let mut limited = Inbound::new(&keying);
    for ssrc in 100..200u32 {
        let mut forged = protect(&mut out, &rtp(1, ssrc as u16, &[1]));
        forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
        assert!(unprotect(&mut limited, &forged).is_err());
    }
    for ssrc in 1..=3 {
        let accepted = unprotect(&mut limited, &protect(&mut out, &rtp(ssrc + 50, 1, &[1]))).is_ok();
        assert_eq!(accepted, ssrc <= 2);
    }
    let mut sender = Outbound::new(&keying).unwrap();
    for ssrc in 1..=2 {
        protect(&mut sender, &rtp(ssrc, 1, &[1]));
    }
    let mut buffer = rtp(3, 1, &[1]);
    buffer.resize(100, 0);
    assert_eq!(sender.protect(&mut buffer, 13), Err(Refused::TooManyStreams));
}

#[test]
fn a_re_invite_with_the_same_keys_changes_nothing() {
    let (mut out, mut inbound) = ends(Suite::Aes128CmHmacSha1Tag80);
    let wires: Vec<_> =
        [65_534, 65_535, 0, 1].map(|sequence| protect(&mut out, &rtp(1, sequence, &[1]))).into();
    for wire in &wires {
        unprotect(&mut inbound, wire).unwrap();
    }
    inbound.rekey(&Keying::new(master(Suite::Aes128CmHmacSha1Tag80)));
    assert_eq!(inbound.rollover(1), Some(1));
    assert!(unprotect(&mut inbound, &wires[3]).is_err(), "the replay window goes on too");
}

#[test]
fn new_keys_take_over_while_old_packets_are_on_the_way() {
    let suite = Suite::AeadAes128Gcm;
    let (mut old, mut inbound) = ends(suite);
    let wires: Vec<_> = (0..300).map(|sequence| protect(&mut old, &rtp(1, sequence, &[1]))).collect();
    for wire in &wires[..3] {
        unprotect(&mut inbound, wire).unwrap();
    }
    let fresh = Keying::new(MasterKey::new(suite, &[9; 28]).unwrap());
    let mut new = Outbound::new(&fresh).unwrap();
    inbound.rekey(&fresh);
    assert!(unprotect(&mut inbound, &protect(&mut new, &rtp(1, 5, &[2]))).is_ok());
    assert!(unprotect(&mut inbound, &wires[3]).is_ok(), "it was on the way");
    assert!(unprotect(&mut inbound, &wires[3]).is_err(), "once");
    for sequence in 6..300 {
        unprotect(&mut inbound, &protect(&mut new, &rtp(1, sequence, &[2]))).unwrap();
    }
    assert!(unprotect(&mut inbound, &wires[299]).is_err(), "the old keys are gone");
}

#[test]
fn who_keeps_the_counter_over_new_keys_is_understood() {
    // By RFC 4568 it restarts at 0; many peers let it go on.
    let suite = Suite::Aes128CmHmacSha1Tag80;
    let (mut old, mut inbound) = ends(suite);
    for sequence in [65_534, 65_535, 0] {
        unprotect(&mut inbound, &protect(&mut old, &rtp(1, sequence, &[1]))).unwrap();
    }
    let fresh = MasterKey::new(suite, &[9; 30]).unwrap();
    inbound.rekey(&Keying::new(fresh.clone()));
    old.rekey(fresh.clone());
    assert!(unprotect(&mut inbound, &protect(&mut old, &rtp(1, 1, &[1]))).is_ok());
    assert_eq!(inbound.rollover(1), Some(1));
    // And one who restarts.
    let (mut old, mut inbound) = ends(suite);
    for sequence in [65_534, 65_535, 0] {
        unprotect(&mut inbound, &protect(&mut old, &rtp(1, sequence, &[1]))).unwrap();
    }
    let keying = Keying::new(fresh);
    inbound.rekey(&keying);
    let mut restarted = Outbound::new(&keying).unwrap();
    assert!(unprotect(&mut inbound, &protect(&mut restarted, &rtp(1, 1, &[1]))).is_ok());
    assert_eq!(inbound.rollover(1), Some(0));
}

#[test]
fn who_joins_late_finds_the_rollover_counter() {
    for suite in [Suite::Aes128CmHmacSha1Tag32, Suite::AeadAes128Gcm] {
        let (mut out, mut inbound) = ends(suite);
        for turn in 0..5 {
            for sequence in [0, 30_000, 60_000] {
                protect(&mut out, &rtp(1, sequence, &[turn]));
            }
        }
        let plain = rtp(1, 60_001, &[7; 20]);
        assert_eq!(unprotect(&mut inbound, &protect(&mut out, &plain)).unwrap(), plain, "{suite:?}");
        assert_eq!(inbound.rollover(1), Some(4));
        // When the signalling tells, no search is needed.
        let policy = Policy { rollover_search: 0, ..Policy::default() };
        let keying = Keying::with_policy(vec![master(suite)], policy).unwrap();
        let mut told = Inbound::new(&keying);
        let wire = protect(&mut out, &rtp(1, 60_002, &[7; 20]));
        assert!(unprotect(&mut told, &wire).is_err());
        told.set_rollover(1, 4);
        assert!(unprotect(&mut told, &wire).is_ok());
    }
}

#[test]
fn unencrypted_and_unauthenticated_by_agreement() {
    let suite = Suite::Aes128CmHmacSha1Tag80;
    let with = |policy| {
        let keying = Keying::with_policy(vec![master(suite)], policy).unwrap();
        (Outbound::new(&keying).unwrap(), Inbound::new(&keying))
    };
    let (mut out, mut inbound) =
        with(Policy { unencrypted_media: true, unencrypted_control: true, ..Policy::default() });
    let plain = rtp(1, 1, &[7; 20]);
    let wire = protect(&mut out, &plain);
    assert_eq!(wire[..plain.len()], plain);
    assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain);
    let report = hex("80c9000112345678aaaaaaaa");
    let wire = protect_control(&mut out, &report);
    assert_eq!(wire[..report.len()], report);
    assert_eq!(unprotect_control(&mut inbound, &wire).unwrap(), report);
    let (_, mut strict) = ends(suite);
    assert!(unprotect_control(&mut strict, &wire).is_err(), "it must be encrypted");
    let (mut out, mut inbound) = with(Policy { unauthenticated_media: true, ..Policy::default() });
    let wire = protect(&mut out, &plain);
    assert_eq!(wire.len(), plain.len());
    assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain);
}

#[test]
fn keys_do_not_show() {
    let key = master(Suite::Aes128CmHmacSha1Tag80);
    let text = format!(
        "{key:?} {:?} {:?}",
        Outbound::new(&Keying::new(key.clone())),
        Inbound::new(&Keying::new(key.clone()))
    );
    assert!(!text.contains("37, 74") && !text.contains("254a"), "{text}");
}

#[test]
fn material_of_the_wrong_length_is_refused() {
    for &suite in Suite::ALL {
        let needed = suite.key_length() + suite.salt_length();
        for length in (0..100).filter(|length| *length != needed) {
            assert_eq!(
                MasterKey::new(suite, &vec![0; length]).unwrap_err(),
                crate::Misuse::KeyLength { needed, available: length }
            );
        }
        assert!(from_dtls_exporter(suite, &vec![0; 2 * needed]).is_ok());
        assert!(from_dtls_exporter(suite, &vec![0; 2 * needed + 1]).is_err());
    }
}

#[test]
fn session_keys_differ_by_purpose() {
    let key = master(Suite::Aes128CmHmacSha1Tag80);
    let tag = |purpose, round| session_keys(&key, purpose, round).mac(b"x");
    assert_ne!(tag(Purpose::Media, 0), tag(Purpose::Control, 0));
    assert_ne!(tag(Purpose::Media, 0), tag(Purpose::Media, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Fewer than 2^15 packets lost in a row never desynchronise, over any number of turns.
    #[test]
    fn random_loss_below_half_a_turn_never_desynchronises(
        start in 0u16..32_768,
        gaps in prop::collection::vec(1u32..32_767, 1..200),
        suite in prop::sample::select(vec![Suite::Aes128CmHmacSha1Tag80, Suite::AeadAes128Gcm]),
    ) {
        let (mut out, mut inbound) = ends(suite);
        let mut index = u64::from(start);
        // The first packet arrives: its number is below 2^15, as a session's is.
        prop_assert!(unprotect(&mut inbound, &protect(&mut out, &rtp(1, start, &[1]))).is_ok());
        for gap in gaps {
            index += u64::from(gap);
            let plain = rtp(1, index as u16, &[1, 2, 3]);
            let wire = protect(&mut out, &plain);
            prop_assert_eq!(unprotect(&mut inbound, &wire).unwrap(), plain);
            prop_assert_eq!(inbound.rollover(1), Some((index >> 16) as u32));
        }
    }

    /// The window against a set of everything seen.
    #[test]
    fn the_replay_window_accepts_each_index_once(
        width in prop::sample::select(vec![64u16, 128, 200, 1024]),
        steps in prop::collection::vec((any::<bool>(), 0u64..300), 1..400),
    ) {
        let mut window = replay::ReplayWindow::new(width);
        let mut seen = std::collections::BTreeSet::new();
        let mut highest = 5000u64;
        for (forward, step) in steps {
            let index = if forward { highest + step } else { highest.saturating_sub(step) };
            let accepted = window.accepts(index);
            if seen.contains(&index) {
                prop_assert!(!accepted);
            } else if seen.is_empty() || index > highest || highest - index < u64::from(width) - 64 {
                prop_assert!(accepted, "{} is new and only {} old", index, highest - index.min(highest));
            }
            if accepted {
                window.insert(index);
                seen.insert(index);
                highest = highest.max(index);
            }
        }
    }

    /// Reordering within the window loses nothing and repeats nothing.
    #[test]
    fn shuffled_packets_pass_once(seed: u64, start in 0u16..=u16::MAX) {
        let (mut out, mut inbound) = ends(Suite::Aes128CmHmacSha1Tag80);
        let start = start & 0x7fff;
        let mut wires: Vec<_> = (0..64u16).map(|at| protect(&mut out, &rtp(1, start + at, &[1]))).collect();
        let first = wires.remove(0);
        unprotect(&mut inbound, &first).unwrap();
        let mut state = seed | 1;
        for at in (1..wires.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            wires.swap(at, (state >> 33) as usize % (at + 1));
        }
        for wire in &wires {
            prop_assert!(unprotect(&mut inbound, wire).is_ok());
        }
        for wire in &wires {
            prop_assert!(unprotect(&mut inbound, wire).is_err());
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), first in 0x80u8..=0xbf) {
        for suite in [Suite::Aes256CmHmacSha1Tag32, Suite::AeadAes256Gcm, Suite::F8Aes128HmacSha1Tag80] {
            let (mut out, mut inbound) = ends(suite);
            let mut bytes = bytes.clone();
            if let Some(octet) = bytes.first_mut() { *octet = first }
            prop_assert!(unprotect(&mut inbound, &bytes).is_err());
            prop_assert!(unprotect_control(&mut inbound, &bytes).is_err());
            let length = bytes.len();
            bytes.resize(length + 40, 0);
            let _ = out.protect(&mut bytes, length);
            let _ = out.protect_control(&mut bytes, length);
        }
    }
}
