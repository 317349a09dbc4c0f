//! The offset of local time, read from the system's time zone file (RFC 8536); UTC where there is none.

use std::path::PathBuf;

/// Seconds that local time is ahead of UTC at `unix` seconds since 1970.
pub fn offset_seconds(unix: u64) -> i64 {
    let file = match std::env::var("TZ") {
        Ok(name) if name.is_empty() || name == "UTC" => return 0,
        Ok(name) => PathBuf::from("/usr/share/zoneinfo").join(name.trim_start_matches(':')),
        Err(_) => PathBuf::from("/etc/localtime"),
    };
    std::fs::read(file).ok().and_then(|bytes| offset_in(&bytes, i64::try_from(unix).ok()?)).unwrap_or(0)
}

/// The offset that the file's second part (64-bit times) has for a moment.
fn offset_in(bytes: &[u8], moment: i64) -> Option<i64> {
    let first = Header::read(bytes)?;
    let rest = bytes.get(44 + first.length(4)..)?;
    let header = Header::read(rest)?;
    let body = rest.get(44..)?;
    let times = body.get(..header.transitions * 8)?;
    let kinds = body.get(header.transitions * 8..header.transitions * 9)?;
    let types = body.get(header.transitions * 9..)?;
    let (times, _) = times.as_chunks::<8>();
    let passed = times.iter().take_while(|time| i64::from_be_bytes(**time) <= moment).count();
    let kind = passed.checked_sub(1).and_then(|place| kinds.get(place)).copied().unwrap_or(0);
    let entry = types.get(usize::from(kind) * 6..)?.first_chunk::<4>()?;
    Some(i64::from(i32::from_be_bytes(*entry)))
}

/// The counts at the head of each part.
struct Header {
    universal: usize,
    standard: usize,
    leaps: usize,
    transitions: usize,
    types: usize,
    letters: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"TZif") {
            return None;
        }
        let (counts, _) = bytes.get(20..44)?.as_chunks::<4>();
        let mut counts = counts.iter().map(|count| u32::from_be_bytes(*count) as usize);
        let mut next = || counts.next().filter(|count| *count < 1 << 20);
        Some(Self {
            universal: next()?,
            standard: next()?,
            leaps: next()?,
            transitions: next()?,
            types: next()?,
            letters: next()?,
        })
    }

    /// How long the part is after its header, with times of so many octets.
    fn length(&self, time: usize) -> usize {
        self.transitions * (time + 1)
            + self.types * 6
            + self.letters
            + self.leaps * (time + 4)
            + self.standard
            + self.universal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn japan_is_nine_hours_ahead() {
        let Ok(bytes) = std::fs::read("/usr/share/zoneinfo/Asia/Tokyo") else { return };
        assert_eq!(offset_in(&bytes, 1_700_000_000), Some(9 * 3600));
        assert_eq!(offset_in(b"TZif2", 0), None);
        assert_eq!(offset_in(b"", 0), None);
    }
}
