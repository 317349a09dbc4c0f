//! The 76 parameters of a frame and their 260 bits (RFC 3551 §4.5.8): four bits of signature, then each parameter with
//! its most significant bit first.

/// Bytes of a packed frame.
pub(super) const BYTES: usize = 33;
const SIGNATURE: u32 = 0xd;
const LAR_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];

/// What is sent of one quarter of a frame, 5 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Subframe {
    /// Lag of the long-term predictor.
    pub(super) lag: u8,
    /// Its gain.
    pub(super) gain: u8,
    /// Which of four grids the pulses are on.
    pub(super) grid: u8,
    /// The largest pulse, as a logarithm.
    pub(super) largest: u8,
    /// Thirteen pulses.
    pub(super) pulses: [u8; 13],
}

/// What is sent of 20 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Logarithmic area ratios.
    pub(super) ratios: [u8; 8],
    pub(super) subframes: [Subframe; 4],
}

impl Frame {
    pub(super) fn pack(&self, bytes: &mut [u8; BYTES]) {
        let mut bits = Writer { bytes, held: 0, count: 0, at: 0 };
        bits.put(SIGNATURE, 4);
        for (ratio, size) in self.ratios.iter().zip(LAR_BITS) {
            bits.put(u32::from(*ratio), size);
        }
        for subframe in &self.subframes {
            bits.put(u32::from(subframe.lag), 7);
            bits.put(u32::from(subframe.gain), 2);
            bits.put(u32::from(subframe.grid), 2);
            bits.put(u32::from(subframe.largest), 6);
            for pulse in subframe.pulses {
                bits.put(u32::from(pulse), 3);
            }
        }
    }

    /// `None`: the signature is not there.
    pub(super) fn unpack(bytes: &[u8; BYTES]) -> Option<Self> {
        let mut bits = Reader { bytes, held: 0, count: 0, at: 0 };
        if bits.take(4) != SIGNATURE {
            return None;
        }
        let mut frame = Self::default();
        for (ratio, size) in frame.ratios.iter_mut().zip(LAR_BITS) {
            *ratio = bits.take(size) as u8;
        }
        for subframe in &mut frame.subframes {
            subframe.lag = bits.take(7) as u8;
            subframe.gain = bits.take(2) as u8;
            subframe.grid = bits.take(2) as u8;
            subframe.largest = bits.take(6) as u8;
            for pulse in &mut subframe.pulses {
                *pulse = bits.take(3) as u8;
            }
        }
        Some(frame)
    }
}

struct Writer<'a> {
    bytes: &'a mut [u8; BYTES],
    held: u32,
    count: u32,
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, value: u32, size: u32) {
        self.held = self.held << size | value;
        self.count += size;
        while self.count >= 8 {
            self.count -= 8;
            if let Some(byte) = self.bytes.get_mut(self.at) {
                *byte = (self.held >> self.count) as u8;
            }
            self.at += 1;
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8; BYTES],
    held: u32,
    count: u32,
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, size: u32) -> u32 {
        while self.count < size {
            self.held = self.held << 8 | self.bytes.get(self.at).map_or(0, |byte| u32::from(*byte));
            self.at += 1;
            self.count += 8;
        }
        self.count -= size;
        (self.held >> self.count) & ((1 << size) - 1)
    }
}
