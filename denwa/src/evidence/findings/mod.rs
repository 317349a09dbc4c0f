//! From facts to causes: one small judge a group of causes, all reading the same digest of each side.

mod digest;
mod media;
mod path;
mod refusal;
mod setup;

use super::{Cause, Confidence, Dated, EndCause, Evidence, Fact, Finding, Party, Side};
use digest::Digest;

/// What the facts mean: named causes, surest first. A healthy call yields none.
///
/// Pure: the same facts give the same findings. Where two causes explain the same facts, the one with more to show for it
/// has the higher confidence.
pub fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    for side in evidence.sides().into_iter().map(Some).chain([None]) {
        let digest = Digest::of(evidence, side);
        setup::judge(&digest, &mut found);
        refusal::judge(&digest, &mut found);
        media::judge(&digest, &mut found);
    }
    // That we refused the one side explains nothing when it is known what was the matter with the other.
    if found.iter().any(|finding| !is_our_refusal(finding)) {
        found.retain(|finding| !is_our_refusal(finding));
    }
    merge(&mut found);
    // Stable: causes of one confidence stay in the order in which they were judged.
    found.sort_by_key(|finding| std::cmp::Reverse(finding.confidence));
    found
}

/// The same cause found twice about one side is one finding with more to show: a request that several servers left unanswered.
fn merge(found: &mut Vec<Finding>) {
    let mut merged: Vec<Finding> = Vec::with_capacity(found.len());
    for finding in found.drain(..) {
        let same = |other: &&mut Finding| (other.cause, other.side) == (finding.cause, finding.side);
        match merged.iter_mut().find(same) {
            Some(first) => {
                first.confidence = first.confidence.max(finding.confidence);
                let more = finding.shown_by.into_iter().filter(|dated| !first.shown_by.contains(dated));
                let more: Vec<Dated> = more.collect();
                first.shown_by.extend(more);
            }
            None => merged.push(finding),
        }
    }
    *found = merged;
}

fn is_our_refusal(finding: &Finding) -> bool {
    let ours =
        |dated: &Dated| matches!(dated.fact, Fact::Ended { by: Party::Here, cause: EndCause::Refused(_) });
    finding.shown_by.iter().all(ours)
}

/// A finding from its parts.
fn finding(
    cause: Cause,
    confidence: Confidence,
    side: Option<Side>,
    sentence: impl Into<String>,
    remedy: impl Into<String>,
    shown_by: Vec<Dated>,
) -> Finding {
    Finding { cause, confidence, side, sentence: sentence.into(), remedy: remedy.into(), shown_by }
}
