//! The quantisers of G.726 Tables 1 to 4, and what each code does to the step and its speed.

/// One rate's tables.
#[derive(Debug)]
pub(super) struct Tables {
    /// Bits of a code.
    pub(super) bits: u32,
    /// Decision levels of the normalised logarithm, for codes from the lowest up.
    pub(super) decisions: &'static [i32],
    /// The normalised logarithm a code stands for (DQLN).
    pub(super) levels: &'static [i32],
    /// How the step moves (WI, times 32).
    pub(super) step_changes: &'static [i32],
    /// How fast the signal changes (FI).
    pub(super) speeds: &'static [i32],
}

pub(super) static KBIT_16: Tables = Tables {
    bits: 2,
    decisions: &[261],
    levels: &[116, 365, 365, 116],
    step_changes: &[-704, 14048, 14048, -704],
    speeds: &[0, 0xe00, 0xe00, 0],
};

pub(super) static KBIT_24: Tables = Tables {
    bits: 3,
    decisions: &[8, 218, 331],
    levels: &[-2048, 135, 273, 373, 373, 273, 135, -2048],
    step_changes: &[-128, 960, 4384, 18624, 18624, 4384, 960, -128],
    speeds: &[0, 0x200, 0x400, 0xe00, 0xe00, 0x400, 0x200, 0],
};

pub(super) static KBIT_32: Tables = Tables {
    bits: 4,
    decisions: &[-124, 80, 178, 246, 300, 349, 400],
    levels: &[-2048, 4, 135, 213, 273, 323, 373, 425, 425, 373, 323, 273, 213, 135, 4, -2048],
    step_changes: &[
        -384, 576, 1312, 2048, 3584, 6336, 11360, 35904, 35904, 11360, 6336, 3584, 2048, 1312, 576, -384,
    ],
    speeds: &[0, 0, 0, 0x200, 0x200, 0x200, 0x600, 0xe00, 0xe00, 0x600, 0x200, 0x200, 0x200, 0, 0, 0],
};

pub(super) static KBIT_40: Tables = Tables {
    bits: 5,
    decisions: &[-122, -16, 68, 139, 198, 250, 298, 339, 378, 413, 445, 475, 502, 528, 553],
    levels: &[
        -2048, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566, 566, 539, 514, 488,
        459, 429, 395, 358, 318, 274, 224, 169, 104, 28, -66, -2048,
    ],
    step_changes: &[
        448, 448, 768, 1248, 1280, 1312, 1856, 3200, 4512, 5728, 7008, 8960, 11456, 14080, 16928, 22272,
        22272, 16928, 14080, 11456, 8960, 7008, 5728, 4512, 3200, 1856, 1312, 1280, 1248, 768, 448, 448,
    ],
    speeds: &[
        0, 0, 0, 0, 0, 0x200, 0x200, 0x200, 0x200, 0x200, 0x400, 0x600, 0x800, 0xa00, 0xc00, 0xc00, 0xc00,
        0xc00, 0xa00, 0x800, 0x600, 0x400, 0x200, 0x200, 0x200, 0x200, 0x200, 0, 0, 0, 0, 0,
    ],
};
