//! Mixing of many members, each of whom hears all others: one sum of all, less the member's own.
//!
//! Loud sums are bent rather than cut: up to three quarters of full scale nothing changes, beyond that the curve goes
//! to full scale with a smooth knee.

use alloc::{vec, vec::Vec};

use crate::level::Level;

/// Below this, samples pass as they are.
const KNEE: i32 = 24_576;
const ROOM: i32 = 32_767 - KNEE;

/// A mixer of frames of one length.
#[derive(Debug, Clone)]
pub struct Mixer {
    frame_samples: usize,
    sum: Vec<i32>,
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
struct Member {
    samples: Vec<i16>,
    /// Whether this round's frame is in the sum.
    present: bool,
    /// Smoothed level, in squared samples.
    power: f64,
}

impl Mixer {
    /// A mixer of `members` members and frames of `frame_samples` samples. Silence is mixed until somebody speaks.
    #[must_use]
    pub fn new(members: usize, frame_samples: usize) -> Self {
        let member = Member { samples: vec![0; frame_samples], present: false, power: 0.0 };
        Self { frame_samples, sum: vec![0; frame_samples], members: vec![member; members] }
    }

    /// Members there is room for.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Makes room for one more and says its number.
    pub fn add_member(&mut self) -> usize {
        self.members.push(Member { samples: vec![0; self.frame_samples], present: false, power: 0.0 });
        self.members.len() - 1
    }

    /// Begins a round: the sum is silence.
    pub fn begin(&mut self) {
        self.sum.fill(0);
        for member in &mut self.members {
            member.present = false;
            // Who says nothing fades from the list of speakers.
            member.power *= 0.8;
        }
    }

    /// Adds a member's frame to the round; a shorter one is filled up with silence. A member's second frame of a round
    /// is not added. Unknown members are passed over.
    pub fn add(&mut self, member: usize, samples: &[i16]) {
        let Some(member) = self.members.get_mut(member).filter(|member| !member.present) else { return };
        member.present = true;
        let count = samples.len().min(self.frame_samples);
        member.samples[..count].copy_from_slice(&samples[..count]);
        member.samples[count..].fill(0);
        let mut energy = 0i64;
        for (sum, sample) in self.sum.iter_mut().zip(&member.samples) {
            let sample = i32::from(*sample);
            *sum += sample;
            energy += i64::from(sample * sample);
        }
        if count > 0 {
            member.power += energy as f64 / count as f64 * 0.2;
        }
    }

    /// What a member hears: all others. A number that is nobody's hears all.
    pub fn hear(&self, member: usize, out: &mut [i16]) {
        match self.members.get(member).filter(|member| member.present) {
            Some(own) => {
                for ((out, sum), own) in out.iter_mut().zip(&self.sum).zip(&own.samples) {
                    *out = limit(sum - i32::from(*own));
                }
            }
            None => self.hear_all(out),
        }
    }

    /// What a recording hears: everybody.
    pub fn hear_all(&self, out: &mut [i16]) {
        for (out, sum) in out.iter_mut().zip(&self.sum) {
            *out = limit(*sum);
        }
    }

    /// A member's level over the last rounds, in dBov.
    #[must_use]
    pub fn level_dbov(&self, member: usize) -> f64 {
        let power = self.members.get(member).map_or(0.0, |member| member.power);
        10.0 * (power / (32_768.0 * 32_768.0)).max(1e-10).log10()
    }

    /// The loudest member, if anybody is louder than `quietest_dbov`.
    #[must_use]
    pub fn active_speaker(&self, quietest_dbov: f64) -> Option<usize> {
        let loudest =
            self.members.iter().enumerate().max_by(|one, other| one.1.power.total_cmp(&other.1.power))?.0;
        (self.level_dbov(loudest) > quietest_dbov).then_some(loudest)
    }

    /// The level of everybody together in this round.
    #[must_use]
    pub fn level(&self) -> Level {
        let (mut squares, mut peak) = (0, 0);
        for sum in &self.sum {
            let sample = limit(*sum).unsigned_abs();
            squares += u64::from(sample) * u64::from(sample);
            peak = peak.max(sample);
        }
        Level::from_sums(squares, self.sum.len() as u64, peak)
    }
}

/// Straight up to the knee, then towards full scale and never there: x / (1 + x) of what is above.
#[inline]
fn limit(sum: i32) -> i16 {
    if (-KNEE..=KNEE).contains(&sum) {
        return sum as i16;
    }
    let above = i64::from(sum.unsigned_abs()) - i64::from(KNEE);
    let bent = KNEE + (above * i64::from(ROOM) / (above + i64::from(ROOM))) as i32;
    (if sum < 0 { -bent } else { bent }) as i16
}
