//! What of one leg's packets becomes which packet of the other: by payload type, worked out once when descriptions or joins
//! change, looked up once a packet.
//!
//! Where both sides have a codec, packets pass as they are. PCMU and PCMA become one another byte by byte, in place. For all
//! others the plan names what a transcoder is to make of what.

use super::repack::Shape;
use crate::media::{KeyPath, PayloadFormat, StreamParameters};
use denwa_codecs::g711::{Companded, Law};
use denwa_codecs::registry;
use denwa_rtp::relay::PayloadMap;

/// How packets pass from one leg to another.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Plan {
    conversions: Vec<(u8, Companded)>,
    /// Our payload type at the leg it comes from, to the peer's payload type at the leg it leaves by.
    pub(super) map: PayloadMap,
    /// What comes and must be transcoded, and into what.
    pub(super) transcoded: Vec<PayloadFormat>,
    /// What passes as it is in packets of one length, and is cut and joined anew in others.
    pub(super) cut: Vec<Shape>,
    pub(super) target: Option<PayloadFormat>,
    /// The first codec that comes and cannot be made one that goes out.
    pub(super) missing: Option<(String, String)>,
}

impl Plan {
    /// Nothing passes.
    pub(super) fn nothing() -> Self {
        Self {
            map: PayloadMap::nothing(),
            conversions: Vec::new(),
            transcoded: Vec::new(),
            cut: Vec::new(),
            target: None,
            missing: None,
        }
    }

    /// What arrives at a leg configured as `from` and leaves by a leg configured as `to`.
    pub(super) fn between(from: &StreamParameters, to: &StreamParameters) -> Self {
        let mut plan = Self::nothing();
        if !from.receives || !to.sends {
            return plan;
        }
        plan.target = to.send.iter().find(|format| registry_has(format)).cloned();
        for format in from.receive.iter().filter(|format| !format.is_comfort_noise()) {
            plan.carry(format, &to.send);
        }
        for format in from.receive.iter().filter(|format| format.is_comfort_noise()) {
            // Descriptions of silence go the way of the voice.
            if !plan.transcoded.is_empty() {
                plan.transcoded.push(format.clone());
            } else if let Some(same) = to.send.iter().find(|other| other.takes(format)) {
                let _ = plan.map.carry(format.payload_type, same.payload_type);
            }
        }
        if to.key_path == KeyPath::Agreed {
            for event in &from.receive_events {
                let same = to.send_events.iter().find(|other| other.clock_rate_hz == event.clock_rate_hz);
                if let Some(same) = same {
                    // Numbers above 127 were refused when the leg was configured.
                    let _ = plan.map.carry(event.payload_type, same.payload_type);
                }
            }
        }
        plan
    }

    /// What leaves is to hold exactly the time that was agreed on, as far as the codec's frames let themselves be cut and joined.
    pub(super) fn cut_packets(&mut self, from: &StreamParameters, to: &StreamParameters) {
        let shape =
            |format: &PayloadFormat| Shape::new(format, self.map.get(format.payload_type)?, to.packet_time);
        self.cut = from.receive.iter().filter_map(shape).collect();
    }

    fn carry(&mut self, format: &PayloadFormat, into: &[PayloadFormat]) {
        if let Some(same) = into.iter().find(|other| other.takes(format)) {
            let _ = self.map.carry(format.payload_type, same.payload_type);
            return;
        }
        let converted = into.iter().find_map(|other| Some((other, conversion(format, other)?)));
        if let Some((target, conversion)) = converted {
            let _ = self.map.carry(format.payload_type, target.payload_type);
            self.conversions.push((format.payload_type, conversion));
        } else if self.target.is_some() && registry_has(format) {
            self.transcoded.push(format.clone());
        } else if self.missing.is_none()
            && let Some(target) = into.first()
        {
            self.missing = Some((format.label(), target.label()));
        }
    }

    /// Whether packets with this payload type must be transcoded.
    #[inline]
    pub(super) fn transcodes(&self, payload_type: u8) -> bool {
        self.transcoded.iter().any(|format| format.payload_type == payload_type)
    }

    /// Changes the payload of a packet with this payload type where it lies, if it must change.
    #[inline]
    pub(super) fn convert(&self, payload_type: u8, payload: &mut [u8]) {
        if self.conversions.is_empty() {
            return;
        }
        let Some((_, companded)) = self.conversions.iter().find(|(from, _)| *from == payload_type) else {
            return;
        };
        companded.convert(payload);
    }
}

/// Whether there is a codec for it.
fn registry_has(format: &PayloadFormat) -> bool {
    registry::find(&format.name, format.clock_rate_hz).is_some()
}

fn conversion(from: &PayloadFormat, to: &PayloadFormat) -> Option<Companded> {
    let from = law(from)?;
    (law(to)? == from.other()).then(|| Companded::new(from))
}

fn law(format: &PayloadFormat) -> Option<Law> {
    match format.name.as_str() {
        name if format.clock_rate_hz != 8000 || format.channels != 1 || name.len() != 4 => None,
        name if name.eq_ignore_ascii_case("PCMU") => Some(Law::Mu),
        name if name.eq_ignore_ascii_case("PCMA") => Some(Law::A),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn leg(formats: &[PayloadFormat]) -> StreamParameters {
        StreamParameters::plain(SocketAddr::from(([192, 0, 2, 1], 4000)), formats)
    }

    #[test]
    fn what_passes_is_cut_and_what_is_transcoded_is_not() {
        let formats = [PayloadFormat::pcma(), PayloadFormat::pcmu(), PayloadFormat::new(18, "G729", 8000)];
        let (from, mut to) = (leg(&formats), leg(&[PayloadFormat::pcmu()]));
        to.packet_time = std::time::Duration::from_millis(40);
        let mut plan = Plan::between(&from, &to);
        assert!(plan.cut.is_empty());
        plan.cut_packets(&from, &to);
        assert_eq!(plan.cut.iter().map(|shape| shape.payload_type).collect::<Vec<_>>(), [8, 0]);
        assert_eq!([8, 0, 18, 101].map(|number| plan.transcodes(number)), [false, false, true, false]);
    }

    #[test]
    fn equal_codecs_pass_under_the_other_number() {
        let other = PayloadFormat::new(97, "iLBC", 8000);
        let plan = Plan::between(
            &leg(&[PayloadFormat::new(102, "ilbc", 8000), PayloadFormat::pcma()]),
            &leg(&[PayloadFormat::pcma(), other]),
        );
        assert_eq!((plan.map.get(102), plan.map.get(8), plan.map.get(101)), (Some(97), Some(8), Some(101)));
        let mut payload = [0x55; 4];
        plan.convert(8, &mut payload);
        assert_eq!(payload, [0x55; 4]);
        assert_eq!(plan.missing, None);
    }

    #[test]
    fn the_two_laws_become_one_another() {
        let plan = Plan::between(&leg(&[PayloadFormat::pcmu()]), &leg(&[PayloadFormat::pcma()]));
        assert_eq!(plan.map.get(0), Some(8));
        let mut payload = [0xff, 0x7f, 0x80];
        plan.convert(0, &mut payload);
        assert_eq!(payload[0], Law::A.encode(0), "silence stays silence");
        assert_eq!(Law::A.decode(payload[2]).signum(), Law::Mu.decode(0x80).signum());
    }

    #[test]
    fn what_cannot_be_converted_is_named() {
        let plan =
            Plan::between(&leg(&[PayloadFormat::new(98, "speex", 8000)]), &leg(&[PayloadFormat::pcma()]));
        assert_eq!((plan.map.get(98), plan.transcodes(98)), (None, false));
        assert_eq!(plan.missing, Some(("speex/8000".into(), "PCMA/8000".into())));
    }

    #[test]
    fn what_differs_is_transcoded_and_silence_goes_along() {
        let g729 = PayloadFormat::new(18, "G729", 8000);
        let noise = PayloadFormat::new(13, "CN", 8000);
        let plan = Plan::between(
            &leg(&[g729.clone(), PayloadFormat::pcma(), noise.clone()]),
            &leg(&[PayloadFormat::new(98, "speex", 8000), PayloadFormat::pcma(), noise.clone()]),
        );
        assert_eq!((plan.map.get(18), plan.map.get(8), plan.map.get(13)), (None, Some(8), None));
        assert_eq!((plan.transcoded, plan.target), (vec![g729, noise], Some(PayloadFormat::pcma())));
        assert_eq!(plan.missing, None);
    }

    #[test]
    fn parameters_that_differ_are_no_same_codec() {
        let with = |name: &str, parameters: &str| PayloadFormat {
            parameters: parameters.into(),
            ..PayloadFormat::new(97, name, 8000)
        };
        let pairs = [
            (with("iLBC", "mode=20"), with("iLBC", ""), false),
            (with("iLBC", "mode=30"), with("ilbc", ""), true),
            (with("G729", ""), with("G729", "annexb=no"), false),
            (with("G729", "annexb=no"), with("G729", "annexb=yes"), true),
        ];
        for (from, to, passes) in pairs {
            let plan = Plan::between(&leg(std::slice::from_ref(&from)), &leg(std::slice::from_ref(&to)));
            assert_eq!(
                (plan.map.get(97).is_some(), plan.transcodes(97)),
                (passes, !passes),
                "{from:?} {to:?}"
            );
        }
    }

    #[test]
    fn events_pass_only_to_who_takes_events() {
        let pcma = [PayloadFormat::pcma()];
        for (key_path, passed) in
            [(KeyPath::Agreed, Some(101)), (KeyPath::InBand, None), (KeyPath::Signalling, None)]
        {
            let to = StreamParameters { key_path, ..leg(&pcma) };
            assert_eq!(Plan::between(&leg(&pcma), &to).map.get(101), passed);
        }
    }

    #[test]
    fn hold_lets_nothing_pass() {
        let held = StreamParameters { sends: false, ..leg(&[PayloadFormat::pcma()]) };
        let open = leg(&[PayloadFormat::pcma()]);
        assert_eq!(Plan::between(&open, &held).map.get(8), None);
        assert_eq!(Plan::between(&held, &open).map.get(8), Some(8), "the other way is not held");
    }
}
