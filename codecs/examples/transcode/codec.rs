//! The codecs by the names they have here: whole files to bits and back.

use std::fmt::Write as _;

use denwa_codecs::g729::serial::{self, SerialFrame};
use denwa_codecs::g729::{self, Variant};
use denwa_codecs::{DecodeError, Decoder, Encoder, g711, g722, g726, gsm, ilbc, linear};

use super::words;

/// A frame of G.729, and one of its silence descriptors.
const G729_BYTES: usize = 10;
const G729_SILENCE_BYTES: usize = 2;

const KNOWN: &str = "these are: g729 g729a pcma pcmu g722 g722-56 g722-48 ilbc20 ilbc30 gsm g726-16 g726-24 g726-32 g726-40 \
                     (aal2-g726-… for the other packing) l16, and opus with its feature";

pub(super) struct Codec {
    name: String,
    dtx: bool,
    pub(super) sample_rate_hz: u32,
    /// Samples and bytes of what is coded at once.
    frame: (usize, usize),
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
}

impl Codec {
    pub(super) fn named(name: &str, dtx: bool) -> Result<Self, String> {
        type Pair = (Box<dyn Encoder>, Box<dyn Decoder>);
        let name = name.to_ascii_lowercase();
        let (frame, (encoder, decoder)): ((usize, usize), Pair) = match name.as_str() {
            "g729" | "g729a" => {
                let encoder = g729::Encoder::new(g729::EncoderConfig { dtx });
                ((80, G729_BYTES), (Box::new(encoder), Box::new(g729::Decoder::new(variant(&name)))))
            }
            "pcma" | "pcmu" => {
                let law = if name == "pcma" { g711::Law::A } else { g711::Law::Mu };
                ((160, 160), (Box::new(g711::Encoder::new(law)), Box::new(g711::Decoder::new(law))))
            }
            "g722" | "g722-56" | "g722-48" => {
                let mode = match name.as_str() {
                    "g722" => g722::Mode::Kbit64,
                    "g722-56" => g722::Mode::Kbit56,
                    _ => g722::Mode::Kbit48,
                };
                ((320, 160), (Box::new(g722::Encoder::new()), Box::new(g722::Decoder::new(mode))))
            }
            "ilbc20" | "ilbc30" => {
                let mode = if name == "ilbc20" { ilbc::Mode::Ms20 } else { ilbc::Mode::Ms30 };
                let frame = (mode.frame_samples(), mode.frame_bytes());
                (frame, (Box::new(ilbc::Encoder::new(mode)), Box::new(ilbc::Decoder::new(mode))))
            }
            "gsm" => ((160, 33), (Box::new(gsm::Encoder::new()), Box::new(gsm::Decoder::new()))),
            "l16" => {
                ((160, 320), (Box::new(linear::Encoder::new(8_000)), Box::new(linear::Decoder::new(8_000))))
            }
            #[cfg(feature = "opus")]
            "opus" => {
                use denwa_codecs::opus;
                let config = opus::Config { discontinuous: dtx, ..opus::Config::default() };
                let encoder = opus::Encoder::new(config).map_err(|error| error.to_string())?;
                let decoder = opus::Decoder::new(48_000).map_err(|error| error.to_string())?;
                ((960, 0), (Box::new(encoder), Box::new(decoder)))
            }
            _ => {
                let (rate, packing) =
                    g726_of(&name).ok_or_else(|| format!("codec {name} is not known; {KNOWN}"))?;
                let (encoder, decoder) =
                    (g726::Encoder::new(rate, packing), g726::Decoder::new(rate, packing));
                ((160, 20 * rate.bits() as usize), (Box::new(encoder), Box::new(decoder)))
            }
        };
        if dtx && !name.starts_with("g729") && name != "opus" {
            return Err(format!("{name} has no discontinuous transmission"));
        }
        Ok(Self { name, dtx, sample_rate_hz: encoder.sample_rate_hz(), frame, encoder, decoder })
    }

    pub(super) fn is_g729(&self) -> bool {
        self.name.starts_with("g729")
    }

    /// Whole frames only: what is left over at the end is not coded, as in the ITU's programs.
    pub(super) fn encode(&mut self, samples: &[i16], serial: bool) -> Result<(Vec<u8>, String), String> {
        let (mut out, mut serial_words) = (Vec::new(), Vec::new());
        let (mut frames, mut silent, mut taken) = (0, 0, 0);
        // Opus's packets are of one length; the others, if their frames are short, also take the rest.
        let least = if self.name == "opus" { self.frame.0 } else { self.encoder.frame_samples() };
        for frame in samples.chunks(self.frame.0) {
            let whole = frame.len() / least * least;
            if whole == 0 {
                break;
            }
            let mut payload = vec![0; self.encoder.max_payload_bytes(whole)];
            let bytes =
                self.encoder.encode(&frame[..whole], &mut payload).map_err(|error| error.to_string())?;
            (frames, taken, silent) = (frames + 1, taken + whole, silent + usize::from(bytes == 0));
            if serial && self.is_g729() {
                serial::write(&payload[..bytes], true, &mut serial_words);
                continue;
            }
            if self.name == "opus" {
                out.extend_from_slice(&(bytes as u16).to_be_bytes());
            }
            out.extend_from_slice(&payload[..bytes]);
        }
        out.extend(serial_words.iter().flat_map(|word| word.to_le_bytes()));
        let mut sentence = format!("{frames} frames");
        note(&mut sentence, silent, "of them not sent");
        note(&mut sentence, samples.len() - taken, "samples at the end left out");
        Ok((out, sentence))
    }

    /// What is lost or cannot be read is concealed.
    pub(super) fn decode(&mut self, bytes: &[u8], serial: bool) -> Result<(Vec<i16>, String), String> {
        if serial && self.is_g729() {
            return self.decode_serial(bytes);
        }
        if self.is_g729() && self.dtx {
            return Err("a packed file does not tell silence descriptors from speech: decode the .bit".into());
        }
        let (mut samples, mut concealed, mut left_out) = (Vec::new(), 0, 0);
        let payloads = self.payloads(bytes)?;
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            let mut out = vec![0; self.decoder.max_samples(payload.len()).max(self.frame.0)];
            let decoded = if payload.is_empty() {
                Ok(self.decoder.conceal(&mut out[..self.frame.0]))
            } else {
                self.decoder.decode(payload, &mut out)
            };
            let length = match decoded {
                Ok(length) => length,
                Err(DecodeError::PayloadLength { .. }) if index + 1 == count => {
                    left_out = payload.len();
                    break;
                }
                Err(
                    DecodeError::PayloadLength { concealed: length, .. }
                    | DecodeError::PayloadContent { concealed: length, .. },
                ) => {
                    concealed += 1;
                    length
                }
                Err(error) => return Err(format!("frame {index}: {error}")),
            };
            samples.extend_from_slice(&out[..length]);
        }
        let mut sentence = format!("{} samples", samples.len());
        note(&mut sentence, concealed, "frames concealed");
        note(&mut sentence, left_out, "bytes at the end left out");
        Ok((samples, sentence))
    }

    fn decode_serial(&self, bytes: &[u8]) -> Result<(Vec<i16>, String), String> {
        let mut decoder = g729::Decoder::new(variant(&self.name));
        let (mut samples, mut concealed) = (Vec::new(), 0);
        let (frames, left_out) = serial_frames(bytes)?;
        for frame in frames {
            let mut out = [0; 80];
            decoder.decode_frame(&frame, &mut out);
            samples.extend_from_slice(&out);
            concealed += usize::from(frame == SerialFrame::Erased);
        }
        let mut sentence = format!("{} samples", samples.len());
        note(&mut sentence, concealed, "frames concealed");
        note(&mut sentence, left_out, "words at the end left out");
        Ok((samples, sentence))
    }

    /// A file of packed payloads, cut into them.
    fn payloads<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, String> {
        if self.name != "opus" {
            return Ok(self.without_heading(bytes)?.chunks(self.frame.1).collect());
        }
        let (mut rest, mut payloads) = (bytes, Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (payload, after) = after.split_at_checked(length).ok_or("the file ends within a packet")?;
            payloads.push(payload);
            rest = after;
        }
        Ok(payloads)
    }

    /// Files of iLBC may say on top which mode they are in (RFC 3952 §4.1).
    fn without_heading<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        for (heading, name) in [(b"#!iLBC20\n", "ilbc20"), (b"#!iLBC30\n", "ilbc30")] {
            if let Some(rest) = bytes.strip_prefix(heading)
                && self.name.starts_with("ilbc")
            {
                let fits = name == self.name;
                return fits.then_some(rest).ok_or_else(|| format!("the file says that it is {name}"));
            }
        }
        Ok(bytes)
    }

    /// Bits to bits: G.729's two formats into each other.
    pub(super) fn repack(
        &self,
        bytes: &[u8],
        from_serial: bool,
        to_serial: bool,
    ) -> Result<(Vec<u8>, String), String> {
        if !self.is_g729() || from_serial == to_serial {
            return Err("there is nothing to convert between these two".into());
        }
        if from_serial {
            let (frames, cut_off) = serial_frames(bytes)?;
            let (mut out, mut left_out) = (Vec::new(), 0);
            for frame in &frames {
                match frame {
                    SerialFrame::Speech(payload) => out.extend_from_slice(payload),
                    SerialFrame::Silence(payload) => out.extend_from_slice(payload),
                    _ => left_out += 1,
                }
            }
            let mut sentence = format!("{} frames", frames.len() - left_out);
            note(&mut sentence, left_out, "erased or not sent and so not in the packed file");
            note(&mut sentence, cut_off, "words at the end left out");
            return Ok((out, sentence));
        }
        let mut serial_words = Vec::new();
        let (mut frames, mut left_out) = (0, 0);
        for payload in bytes.chunks(G729_BYTES) {
            if matches!(payload.len(), G729_BYTES | G729_SILENCE_BYTES) {
                serial::write(payload, true, &mut serial_words);
                frames += 1;
            } else {
                left_out = payload.len();
            }
        }
        let mut sentence = format!("{frames} frames");
        note(&mut sentence, left_out, "bytes at the end left out");
        Ok((serial_words.iter().flat_map(|word| word.to_le_bytes()).collect(), sentence))
    }
}

fn variant(name: &str) -> Variant {
    if name == "g729" { Variant::Main } else { Variant::AnnexA }
}

fn g726_of(name: &str) -> Option<(g726::Rate, g726::Packing)> {
    let (packing, name) = match name.strip_prefix("aal2-") {
        Some(name) => (g726::Packing::Aal2, name),
        None => (g726::Packing::Rtp, name),
    };
    let rate = match name.strip_prefix("g726-")? {
        "16" => g726::Rate::Kbit16,
        "24" => g726::Rate::Kbit24,
        "32" => g726::Rate::Kbit32,
        "40" => g726::Rate::Kbit40,
        _ => return None,
    };
    Some((rate, packing))
}

/// The frames of a `.bit` file, and how many words at its end make none; one of a machine with the other order of bytes is
/// read too.
fn serial_frames(bytes: &[u8]) -> Result<(Vec<SerialFrame>, usize), String> {
    let mut words = words(bytes);
    match words.first() {
        None | Some(0x6b20 | 0x6b21) => {}
        Some(0x206b | 0x216b) => words.iter_mut().for_each(|word| *word = word.swap_bytes()),
        Some(first) => {
            return Err(format!(
                "not the ITU serial format: it begins with {first:#06x} where 0x6b21 or 0x6b20 would do"
            ));
        }
    }
    let mut rest = &words[..];
    while let [_, count, after @ ..] = rest
        && let Some(after) = after.get(usize::from(*count)..)
    {
        rest = after;
    }
    Ok((serial::read(&words), rest.len()))
}

/// Adds a number to a sentence, if there is anything to say.
fn note(sentence: &mut String, count: usize, what: &str) {
    if count > 0 {
        let _ = write!(sentence, ", {count} {what}");
    }
}
