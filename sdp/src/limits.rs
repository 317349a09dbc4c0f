//! Every bound a peer meets.

/// How much of a peer's description is read. What exceeds a limit is refused with an error, never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole body.
    pub bytes: usize,
    /// Lines of the whole body.
    pub lines: usize,
    /// `m=` lines.
    pub media: usize,
    /// `a=` lines at the session level, and again in each medium.
    pub attributes: usize,
    /// Formats in one `m=` line.
    pub formats: usize,
}

impl Default for Limits {
    /// 64 KiB, 2048 lines, 32 media, 512 attributes at each level, 256 formats in a medium.
    fn default() -> Self {
        Self { bytes: 65_536, lines: 2_048, media: 32, attributes: 512, formats: 256 }
    }
}
