//! Codes into bytes: RFC 3551 §4.5.4 puts the first code into the lowest bits, I.366.2 (AAL2) into the highest.

/// Which end of a byte comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// `G726-32` and its kin in RTP: the first code in the least significant bits.
    #[default]
    Rtp,
    /// `AAL2-G726-32` and its kin, and most files: the first code in the most significant bits.
    Aal2,
}

impl Packing {
    /// Packs codes of `bits` bits; there are as many as fill `bytes`.
    pub(super) fn pack(self, codes: &[u8], bits: u32, bytes: &mut [u8]) {
        let (mut buffer, mut held) = (0u32, 0);
        let mut out = bytes.iter_mut();
        for code in codes {
            match self {
                Self::Rtp => buffer |= u32::from(*code) << held,
                Self::Aal2 => buffer = buffer << bits | u32::from(*code),
            }
            held += bits;
            if held >= 8 {
                held -= 8;
                if let Some(byte) = out.next() {
                    *byte = match self {
                        Self::Rtp => buffer as u8,
                        Self::Aal2 => (buffer >> held) as u8,
                    };
                }
                if self == Self::Rtp {
                    buffer >>= 8;
                }
            }
        }
    }

    /// Takes codes of `bits` bits out again.
    pub(super) fn unpack(self, bytes: &[u8], bits: u32, mut each: impl FnMut(u8)) {
        let (mut buffer, mut held) = (0u32, 0);
        let mask = (1 << bits) - 1;
        for byte in bytes {
            match self {
                Self::Rtp => buffer |= u32::from(*byte) << held,
                Self::Aal2 => buffer = buffer << 8 | u32::from(*byte),
            }
            held += 8;
            while held >= bits {
                held -= bits;
                match self {
                    Self::Rtp => {
                        each((buffer & mask) as u8);
                        buffer >>= bits;
                    }
                    Self::Aal2 => each((buffer >> held & mask) as u8),
                }
            }
        }
    }
}
