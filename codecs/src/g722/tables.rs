//! The tables of G.722 §3 (Tables 8 to 21), as integers.

/// Coefficients of both quadrature mirror filters, first half (the second is the first backwards), in 2^-13.
pub(super) const QMF: [i16; 24] = [
    3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876, 3876, 951, -805, -210, 362, 32, -156, 12, 53,
    -11, -11, 3,
];

/// The same with every other sign turned around: the sum over one half of the taps less that over the other.
pub(super) const QMF_ALTERNATING: [i16; 24] = {
    let mut taps = QMF;
    let mut tap = 0;
    while tap < 24 {
        taps[tap] = -taps[tap];
        tap += 2;
    }
    taps
};

/// Decision levels of the 60-level quantiser, as factors of the step in 2^-12.
const LOW_DECISIONS: [u16; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
    1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// The largest of them.
pub(super) const LAST_LOW_DECISION: usize = 2919;

/// How many of the levels a factor reaches: what a search through them would find.
pub(super) static LOW_INTERVALS: [u8; LAST_LOW_DECISION + 1] = {
    let mut intervals = [0; LAST_LOW_DECISION + 1];
    let mut level = 0;
    while level < 29 {
        let mut factor = LOW_DECISIONS[level] as usize;
        while factor <= LAST_LOW_DECISION {
            intervals[factor] = level as u8 + 1;
            factor += 1;
        }
        level += 1;
    }
    intervals
};

/// Codes of the intervals between them, for differences from zero on and below zero.
pub(super) const LOW_CODES: [[u8; 30]; 2] = [
    [
        61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37,
        36, 35, 34, 33, 32,
    ],
    [
        63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8,
        7, 6, 5, 4,
    ],
];

/// What a code of four bits stands for, as a factor of the step in 2^-15.
pub(super) const LOW_4_BITS: [i16; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];

/// What a code of five bits stands for.
pub(super) const LOW_5_BITS: [i16; 32] = [
    -280, -280, -23352, -17560, -14120, -11664, -9752, -8184, -6864, -5712, -4696, -3784, -2960, -2208,
    -1520, -880, 23352, 17560, 14120, 11664, 9752, 8184, 6864, 5712, 4696, 3784, 2960, 2208, 1520, 880, 280,
    -280,
];

/// What a code of six bits stands for.
pub(super) const LOW_6_BITS: [i16; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360,
    -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688,
    -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856,
    7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136,
    -432, -136,
];

/// How the logarithm of the lower band's step moves with each code of four bits.
pub(super) const LOW_STEP_CHANGE: [i16; 16] =
    [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];

/// What a code of the higher band stands for.
pub(super) const HIGH_2_BITS: [i16; 4] = [-7408, -1616, 7408, 1616];

/// How the logarithm of the higher band's step moves with each code.
pub(super) const HIGH_STEP_CHANGE: [i16; 4] = [798, -214, 798, -214];

/// Where the higher band's inner and outer intervals meet, in 2^-12.
pub(super) const HIGH_DECISION: i16 = 564;

/// 2^(n/32), in 2^-11.
pub(super) const POWERS: [i16; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
