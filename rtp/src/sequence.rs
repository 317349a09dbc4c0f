//! Arithmetic of numbers that wrap: RTP sequence numbers (16 bits) and timestamps (32 bits), RFC 3550 §5.1.
//!
//! "Later" means within half the circle ahead, as in RFC 1982; the number exactly opposite counts as earlier.

/// How far `to` is ahead of `from`: positive when later, negative when earlier.
#[must_use]
pub const fn distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from) as i16
}

/// How far the timestamp `to` is ahead of `from`, in clock units.
#[must_use]
pub const fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

/// Whether `a` comes after `b`.
#[must_use]
pub const fn is_later(a: u16, b: u16) -> bool {
    distance(b, a) > 0
}

/// The number nearest to `reference` whose low 16 bits are `sequence`.
///
/// A number that would lie before zero is taken one turn later, so that the first packets of a stream may arrive
/// out of order (this is the estimate of RFC 3711 §3.3.1 with the rollover counter in the upper bits).
#[must_use]
pub const fn extend(reference: u64, sequence: u16) -> u64 {
    let ahead = distance(reference as u16, sequence);
    match reference.checked_add_signed(ahead as i64) {
        Some(extended) => extended,
        None => sequence as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wraps_both_ways() {
        assert_eq!(distance(65535, 0), 1);
        assert_eq!(distance(0, 65535), -1);
        assert_eq!(distance(0, 32768), -32768);
        assert_eq!(timestamp_distance(u32::MAX, 159), 160);
        assert!(is_later(2, 65530));
        assert_eq!(extend(65535, 0), 65536);
        assert_eq!(extend(65536, 65535), 65535);
        assert_eq!(extend(5, 65533), 65533, "nothing comes before the first turn");
    }

    proptest! {
        #[test]
        fn extension_is_the_nearest_number_with_these_bits(reference in 0x1_0000u64..0xffff_ffff_ffff, step in -32767i64..=32767) {
            let wanted = reference.wrapping_add_signed(step);
            prop_assert_eq!(extend(reference, wanted as u16), wanted);
        }
    }
}
