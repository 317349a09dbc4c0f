#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn fingerprint(hash: &str, algorithm: &'static digest::Algorithm, certificate: &[u8]) -> RemoteFingerprint {
    let bytes = digest::digest(algorithm, certificate).as_ref().to_vec();
    RemoteFingerprint { hash: hash.to_owned(), bytes }
}

#[test]
fn the_strongest_known_hash_decides() {
    let certificate = b"certificate";
    let right = fingerprint("SHA-256", &digest::SHA256, certificate);
    let wrong = RemoteFingerprint { hash: "sha-512".to_owned(), bytes: vec![0; 64] };
    let weak = fingerprint("sha-1", &digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
    let strange = RemoteFingerprint { hash: "md2".to_owned(), bytes: vec![0; 16] };
    assert_eq!(check(certificate, std::slice::from_ref(&right)), Ok(()));
    assert_eq!(check(certificate, &[strange.clone(), right.clone()]), Ok(()));
    assert_eq!(check(certificate, std::slice::from_ref(&weak)), Ok(()));
    assert_eq!(check(certificate, &[right.clone(), weak, wrong]), Err(Failure::WrongCertificate));
    assert_eq!(check(certificate, &[strange]), Err(Failure::UnknownHash("md2".to_owned())));
    // Several certificates may be named by one function; one of them is it.
    let other = fingerprint("sha-256", &digest::SHA256, b"another");
    assert_eq!(check(certificate, &[other, right]), Ok(()));
}

/// Shakes hands; `each` may lose or change what travels.
fn shake(mut each: impl FnMut(usize, Bytes) -> Option<Bytes>) -> [Option<Established>; 2] {
    let now = Instant::now();
    let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut ends = [
        client.begin(DtlsRole::Client, [1; 32], now).unwrap(),
        server.begin(DtlsRole::Server, [2; 32], now).unwrap(),
    ];
    let mut clock = now;
    let mut number = 0;
    for _ in 0..200 {
        for from in 0..2 {
            let mut sent = Vec::new();
            while let Some(datagram) = ends[from].poll_transmit() {
                assert!(datagram.len() <= 1300, "{} octets", datagram.len());
                number += 1;
                sent.extend(each(number, datagram));
            }
            for datagram in sent {
                let _ = ends[1 - from].receive(&datagram, clock);
            }
        }
        clock += std::time::Duration::from_millis(100);
        for end in &mut ends {
            if end.poll_timeout().is_some_and(|at| at <= clock) {
                let _ = end.handle_timeout(clock);
            }
        }
    }
    ends.map(|end| end.established())
}

#[test]
fn both_ends_come_to_the_same() {
    let [Some(client), Some(server)] = shake(|_, datagram| Some(datagram)) else { panic!("no keys") };
    assert_eq!(client.material, server.material);
    assert_eq!(client.suite, Suite::AeadAes128Gcm);
    assert_ne!(client.certificate, server.certificate);
}

#[test]
fn whatever_single_datagram_is_lost() {
    for lost in 1..=9 {
        let [Some(client), Some(server)] = shake(|number, datagram| (number != lost).then_some(datagram))
        else {
            panic!("no keys without datagram {lost}")
        };
        assert_eq!(client.material, server.material);
    }
}

#[test]
fn rubbish_neither_panics_nor_gives_keys() {
    let now = Instant::now();
    let identity = Identity::generate().unwrap();
    let mut end = identity.begin(DtlsRole::Server, [3; 32], now).unwrap();
    for length in 0..200u8 {
        let datagram: Vec<u8> = (0..length).map(|octet| 20 + octet.wrapping_mul(length) % 44).collect();
        let _ = end.receive(&datagram, now);
    }
    assert!(end.established().is_none());
}

#[test]
fn a_third_of_all_datagrams_is_lost() {
    for seed in 1..=10u32 {
        let mut random = seed;
        let ends = shake(|_, datagram| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (!(random >> 16).is_multiple_of(3)).then_some(datagram)
        });
        let [Some(client), Some(server)] = ends else { panic!("no keys with seed {seed}") };
        assert_eq!(client.material, server.material);
    }
}
