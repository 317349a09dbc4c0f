//! Noise, and whether it came through untouched: for calls whose sound nobody converts.

use denwa_codecs::g711::Law;

/// Two seconds of noise that nowhere repeats itself.
pub(crate) fn noise(seed: u32) -> Vec<i16> {
    let mut state = seed;
    let mut smooth = 0i32;
    (0..16_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            smooth = (smooth * 3 + i32::from((state >> 18) as i16) - 8192) / 4;
            smooth as i16
        })
        .collect()
}

/// The share of 20 ms pieces of `said` that stand, in order, in `heard`, sample by sample as A-law knows them.
pub(crate) fn share_heard(said: &[i16], heard: &[i16]) -> f64 {
    let codes =
        |samples: &[i16]| -> Vec<u8> { samples.iter().map(|sample| Law::A.encode(*sample)).collect() };
    let (said, heard) = (codes(said), codes(heard));
    let (mut at, mut found, mut pieces) = (0, 0, 0);
    for piece in said.chunks_exact(160) {
        pieces += 1;
        if let Some(place) = heard[at..].windows(160).position(|window| window == piece) {
            at += place + 160;
            found += 1;
        }
    }
    f64::from(found) / f64::from(pieces)
}
