//! A frame's parameters and their bits (RFC 3951 §3.8): three classes by sensitivity, each holding the upper, middle
//! or lower bits of every parameter in turn, and one last bit that says "there is nothing here".

/// How long a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// 20 ms: 160 samples, 38 bytes, 15.2 kbit/s.
    Ms20,
    /// 30 ms: 240 samples, 50 bytes, 13.33 kbit/s.
    Ms30,
}

impl Mode {
    /// Samples of one frame.
    #[must_use]
    pub const fn frame_samples(self) -> usize {
        match self {
            Self::Ms20 => 160,
            Self::Ms30 => 240,
        }
    }

    /// Bytes of one frame.
    #[must_use]
    pub const fn frame_bytes(self) -> usize {
        match self {
            Self::Ms20 => 38,
            Self::Ms30 => 50,
        }
    }

    /// Blocks of 40 samples.
    pub(super) const fn blocks(self) -> usize {
        self.frame_samples() / 40
    }

    /// Samples of the start state that are coded one by one.
    pub(super) const fn state_samples(self) -> usize {
        match self {
            Self::Ms20 => 57,
            Self::Ms30 => 58,
        }
    }

    /// Sets of line spectral frequencies.
    pub(super) const fn spectra(self) -> usize {
        match self {
            Self::Ms20 => 1,
            Self::Ms30 => 2,
        }
    }
}

/// The codes of one vector: which three codebook vectors, and with which gains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) vectors: [u8; 3],
    pub(super) gains: [u8; 3],
}

/// The parameters of a frame; in 20 ms mode some of them are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) spectra: [[u8; 3]; 2],
    /// The block with which the start state begins, counted from 1.
    pub(super) start: u8,
    /// Whether the samples coded one by one are the first of the start state's 80.
    pub(super) state_first: bool,
    pub(super) scale: u8,
    pub(super) state: [u8; 58],
    /// The rest of the start state.
    pub(super) rest: Shape,
    pub(super) blocks: [Shape; 4],
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            spectra: [[0; 3]; 2],
            start: 0,
            state_first: false,
            scale: 0,
            state: [0; 58],
            rest: Shape::default(),
            blocks: [Shape::default(); 4],
        }
    }
}

/// Bits in each of the three classes.
type Bits = [u32; 3];

/// How the classes share a shape's vectors and gains.
struct ShapeBits {
    vectors: [Bits; 3],
    gains: [Bits; 3],
}

const SPECTRUM: [Bits; 3] = [[6, 0, 0], [7, 0, 0], [7, 0, 0]];
const STATE: Bits = [0, 1, 2];
const WHOLE: Bits = [0, 0, 8];
const SEVEN: Bits = [0, 0, 7];
const THIRD_GAIN: Bits = [0, 0, 3];

const REST_20: ShapeBits =
    ShapeBits { vectors: [[6, 0, 1], SEVEN, SEVEN], gains: [[2, 0, 3], [1, 1, 2], THIRD_GAIN] };
const REST_30: ShapeBits =
    ShapeBits { vectors: [[4, 2, 1], SEVEN, SEVEN], gains: [[1, 1, 3], [1, 1, 2], THIRD_GAIN] };
const BLOCKS_20: [ShapeBits; 2] = [
    ShapeBits { vectors: [[7, 0, 1], SEVEN, SEVEN], gains: [[1, 2, 2], [1, 1, 2], THIRD_GAIN] },
    ShapeBits { vectors: [WHOLE; 3], gains: [[1, 1, 3], [0, 2, 2], THIRD_GAIN] },
];
const BLOCKS_30: [ShapeBits; 4] = [
    ShapeBits { vectors: [[6, 1, 1], SEVEN, SEVEN], gains: [[1, 2, 2], [1, 2, 1], THIRD_GAIN] },
    ShapeBits { vectors: [[0, 7, 1], WHOLE, WHOLE], gains: [[0, 2, 3], [0, 2, 2], THIRD_GAIN] },
    ShapeBits { vectors: [[0, 7, 1], WHOLE, WHOLE], gains: [[0, 1, 4], [0, 1, 3], THIRD_GAIN] },
    ShapeBits { vectors: [[0, 7, 1], WHOLE, WHOLE], gains: [[0, 1, 4], [0, 1, 3], THIRD_GAIN] },
];

impl Frame {
    /// Shows each parameter with its bits, in the order of RFC 3951 Table 3.2.
    fn each(&mut self, mode: Mode, mut show: impl FnMut(&mut u8, Bits)) {
        for spectrum in &mut self.spectra[..mode.spectra()] {
            for (code, bits) in spectrum.iter_mut().zip(SPECTRUM) {
                show(code, bits);
            }
        }
        show(&mut self.start, if mode == Mode::Ms20 { [2, 0, 0] } else { [3, 0, 0] });
        let mut first = u8::from(self.state_first);
        show(&mut first, [1, 0, 0]);
        self.state_first = first != 0;
        show(&mut self.scale, [6, 0, 0]);
        for code in &mut self.state[..mode.state_samples()] {
            show(code, STATE);
        }
        let (rest, blocks): (&ShapeBits, &[ShapeBits]) = match mode {
            Mode::Ms20 => (&REST_20, &BLOCKS_20),
            Mode::Ms30 => (&REST_30, &BLOCKS_30),
        };
        for (code, bits) in self.rest.vectors.iter_mut().zip(rest.vectors) {
            show(code, bits);
        }
        for (code, bits) in self.rest.gains.iter_mut().zip(rest.gains) {
            show(code, bits);
        }
        for (shape, sizes) in self.blocks.iter_mut().zip(blocks) {
            for (code, bits) in shape.vectors.iter_mut().zip(sizes.vectors) {
                show(code, bits);
            }
        }
        for (shape, sizes) in self.blocks.iter_mut().zip(blocks) {
            for (code, bits) in shape.gains.iter_mut().zip(sizes.gains) {
                show(code, bits);
            }
        }
    }

    /// Packs into [`Mode::frame_bytes`] bytes.
    pub(super) fn pack(&mut self, mode: Mode, bytes: &mut [u8]) {
        bytes.fill(0);
        let mut at = 0;
        for class in 0..3 {
            self.each(mode, |code, bits| {
                let below: u32 = bits[class + 1..].iter().sum();
                for bit in (0..bits[class]).rev() {
                    let value = *code >> (below + bit) & 1;
                    if let Some(byte) = bytes.get_mut(at / 8) {
                        *byte |= value << (7 - at % 8);
                    }
                    at += 1;
                }
            });
        }
    }

    /// Unpacks; `None` if the last bit says that there is no frame, or the start state is nowhere.
    pub(super) fn unpack(mode: Mode, bytes: &[u8]) -> Option<Self> {
        let mut frame = Self::default();
        let mut at = 0;
        let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
        for class in 0..3 {
            frame.each(mode, |code, bits| {
                for _ in 0..bits[class] {
                    *code = *code << 1 | bit(at);
                    at += 1;
                }
            });
        }
        let starts = 1..mode.blocks();
        (bit(at) == 0 && starts.contains(&usize::from(frame.start))).then_some(frame)
    }
}
