//! The E-model of ITU-T G.107 (narrow-band): a transmission rating R from what is known of a connection, and the
//! mean opinion score of Annex B. The room noise, loudness and echo terms are all here; a call usually supplies
//! only codec, loss and delay, and takes the Recommendation's defaults for the rest.

use std::time::Duration;

/// Equipment impairment of a codec and its robustness to loss, ITU-T G.113 Appendix I.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Codec {
    /// Ie: impairment without loss.
    pub impairment: f64,
    /// Bpl: the greater, the less loss matters.
    pub robustness: f64,
}

impl Codec {
    /// G.711 with the loss concealment of its Appendix I.
    pub const G711: Self = Self { impairment: 0.0, robustness: 25.1 };
    /// G.711 without concealment.
    pub const G711_BARE: Self = Self { impairment: 0.0, robustness: 4.3 };
    /// G.729 Annex A with voice activity detection.
    pub const G729A: Self = Self { impairment: 11.0, robustness: 19.0 };
    /// G.723.1 at 6.3 kbit/s with voice activity detection.
    pub const G723_1: Self = Self { impairment: 15.0, robustness: 16.1 };
    /// GSM enhanced full rate.
    pub const GSM_EFR: Self = Self { impairment: 5.0, robustness: 10.0 };
}

/// Input of the E-model; names and defaults as in G.107 Table 3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// SLR, send loudness rating, dB.
    pub send_loudness: f64,
    /// RLR, receive loudness rating, dB.
    pub receive_loudness: f64,
    /// STMR, sidetone masking rating, dB.
    pub sidetone_masking: f64,
    /// LSTR, listener sidetone rating, dB.
    pub listener_sidetone: f64,
    /// Ds, D-value of the telephone on the send side.
    pub d_value_send: f64,
    /// TELR, talker echo loudness rating, dB.
    pub talker_echo_loudness: f64,
    /// WEPL, weighted echo path loss, dB.
    pub weighted_echo_path_loss: f64,
    /// T, mean one-way delay of the echo path, ms.
    pub echo_path_delay: f64,
    /// Tr, round-trip delay of the four-wire loop, ms.
    pub loop_delay: f64,
    /// Ta, absolute delay in echo-free connections, ms.
    pub absolute_delay: f64,
    /// qdu, quantising distortion units.
    pub quantising_distortion: f64,
    /// Ie and Bpl.
    pub codec: Codec,
    /// Ppl, random packet loss, per cent.
    pub packet_loss_percent: f64,
    /// BurstR, 1 when loss is random.
    pub burst_ratio: f64,
    /// Nc, circuit noise referred to the 0 dBr point, dBm0p.
    pub circuit_noise: f64,
    /// Nfor, noise floor at the receive side, dBmp.
    pub noise_floor: f64,
    /// Ps, room noise at the send side, dB(A).
    pub room_noise_send: f64,
    /// Pr, room noise at the receive side, dB(A).
    pub room_noise_receive: f64,
    /// A, advantage factor.
    pub advantage: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            send_loudness: 8.0,
            receive_loudness: 2.0,
            sidetone_masking: 15.0,
            listener_sidetone: 18.0,
            d_value_send: 3.0,
            talker_echo_loudness: 65.0,
            weighted_echo_path_loss: 110.0,
            echo_path_delay: 0.0,
            loop_delay: 0.0,
            absolute_delay: 0.0,
            quantising_distortion: 1.0,
            codec: Codec::G711_BARE,
            packet_loss_percent: 0.0,
            burst_ratio: 1.0,
            circuit_noise: -70.0,
            noise_floor: -64.0,
            room_noise_send: 35.0,
            room_noise_receive: 35.0,
            advantage: 0.0,
        }
    }
}

impl Parameters {
    /// The defaults with codec, loss (0–1) and delay from mouth to ear, which is taken for all three delays.
    #[must_use]
    pub fn of_call(codec: Codec, loss: f64, mouth_to_ear: Duration) -> Self {
        let delay = mouth_to_ear.as_secs_f64() * 1000.0;
        Self {
            codec,
            packet_loss_percent: loss * 100.0,
            echo_path_delay: delay,
            loop_delay: 2.0 * delay,
            absolute_delay: delay,
            ..Self::default()
        }
    }
}

/// The transmission rating R, usually 0–100; it can fall below 0 for hopeless connections.
#[must_use]
pub fn r_factor(p: &Parameters) -> f64 {
    let noise = noise(p);
    let ro = 15.0 - 1.5 * (p.send_loudness + noise);
    let sidetone = sidetone_impairment(p);
    let simultaneous = loudness_impairment(p, noise) + sidetone + quantising_impairment(p, ro);
    let delay = talker_echo(p, noise, sidetone) + listener_echo(p, ro) + pure_delay(p.absolute_delay);
    ro - simultaneous - delay - equipment(p) + p.advantage
}

/// The mean opinion score that corresponds to R, 1–4.5 (G.107 Annex B).
#[must_use]
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        // The curve dips below 1 for the smallest R.
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

/// No: all noise as one at the 0 dBr point.
fn noise(p: &Parameters) -> f64 {
    let loudness = p.send_loudness + p.receive_loudness;
    let send_room = p.room_noise_send - p.send_loudness - p.d_value_send - 100.0
        + 0.004 * (p.room_noise_send - loudness - p.d_value_send - 14.0).powi(2);
    let effective = p.room_noise_receive + 10.0 * (1.0 + power((10.0 - p.listener_sidetone) / 10.0)).log10();
    let receive_room = p.receive_loudness - 121.0 + effective + 0.008 * (effective - 35.0).powi(2);
    let floor = p.noise_floor + p.receive_loudness;
    10.0 * [p.circuit_noise, send_room, receive_room, floor]
        .map(|level| power(level / 10.0))
        .iter()
        .sum::<f64>()
        .log10()
}

/// Iolr: too low a loudness rating.
fn loudness_impairment(p: &Parameters, noise: f64) -> f64 {
    let x = p.send_loudness + p.receive_loudness + 0.2 * (64.0 + noise - p.receive_loudness);
    20.0 * ((1.0 + (x / 8.0).powi(8)).powf(1.0 / 8.0) - x / 8.0)
}

/// Ist: sidetone that is not optimum.
fn sidetone_impairment(p: &Parameters) -> f64 {
    let echo = (-p.echo_path_delay / 4.0).exp() * power(-p.talker_echo_loudness / 10.0);
    let stmr = -10.0 * (power(-p.sidetone_masking / 10.0) + echo).log10();
    12.0 * (1.0 + ((stmr - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
        - 28.0 * (1.0 + ((stmr + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
        - 13.0 * (1.0 + ((stmr - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
        + 29.0
}

/// Iq: quantising distortion.
fn quantising_impairment(p: &Parameters, ro: f64) -> f64 {
    let q = 37.0 - 15.0 * p.quantising_distortion.log10();
    let g = 1.07 + 0.258 * q + 0.0602 * q * q;
    let y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    15.0 * (1.0 + power(y) + power(z)).log10()
}

/// Idte: the talker hears himself.
fn talker_echo(p: &Parameters, noise: f64, sidetone: f64) -> f64 {
    let t = p.echo_path_delay;
    let mut terv = p.talker_echo_loudness - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10()
        + 6.0 * (-0.3 * t * t).exp();
    if p.sidetone_masking < 9.0 {
        terv += sidetone / 2.0;
    }
    let re = 80.0 + 2.5 * (terv - 14.0);
    let roe = -1.5 * (noise - p.receive_loudness);
    let half = (roe - re) / 2.0;
    let idte = (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp());
    if p.sidetone_masking > 20.0 { idte.hypot(sidetone) } else { idte }
}

/// Idle: the listener hears the talker twice.
fn listener_echo(p: &Parameters, ro: f64) -> f64 {
    let rle = 10.5 * (p.weighted_echo_path_loss + 7.0) * (p.loop_delay + 1.0).powf(-0.25);
    let half = (ro - rle) / 2.0;
    half + (half * half + 169.0).sqrt()
}

/// Idd: delay alone.
fn pure_delay(delay: f64) -> f64 {
    if delay <= 100.0 {
        return 0.0;
    }
    let x = (delay / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

/// Ie,eff: codec and loss.
fn equipment(p: &Parameters) -> f64 {
    let Codec { impairment, robustness } = p.codec;
    let loss = p.packet_loss_percent;
    if loss <= 0.0 {
        return impairment;
    }
    impairment + (95.0 - impairment) * loss / (loss / p.burst_ratio + robustness)
}

fn power(exponent: f64) -> f64 {
    10f64.powf(exponent)
}
