//! One purpose's session keys, expanded: AES in counter mode, f8 or Galois mode, and HMAC-SHA1.
//!
//! Everything works in place. RustCrypto's types wipe themselves; ring's key schedule does not, which ring does not
//! offer.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use ctr::{CtrCore, flavors::Ctr128BE};
use hmac::{Hmac, Mac};
use ring::aead;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{
    NotAuthentic,
    suite::{Mode, Suite},
};

/// Octets of a Galois tag.
pub(super) const GALOIS_TAG: usize = 16;

/// AES with a key of any of the three lengths, expanded once.
pub(super) enum Aes {
    Aes128(aes::Aes128Enc),
    Aes192(aes::Aes192Enc),
    Aes256(Box<aes::Aes256Enc>),
}

impl Aes {
    /// Takes 16, 24 or 32 octets; [`super::MasterKey`] has seen to that.
    pub(super) fn new(key: &[u8]) -> Self {
        if let Ok(aes) = aes::Aes256Enc::new_from_slice(key) {
            Self::Aes256(Box::new(aes))
        } else if let Ok(aes) = aes::Aes192Enc::new_from_slice(key) {
            Self::Aes192(aes)
        } else {
            let mut short = Zeroizing::new([0; 16]);
            for (room, octet) in short.iter_mut().zip(key) {
                *room = *octet;
            }
            Self::Aes128(aes::Aes128Enc::new((&*short).into()))
        }
    }

    /// Counter mode from `iv` on. Compiled once, in this crate: what callers make of it in theirs is slower.
    #[inline(never)]
    pub(super) fn apply_key_stream(&self, iv: &[u8; 16], data: &mut [u8]) {
        match self {
            Self::Aes128(aes) => apply_key_stream(aes, iv, data),
            Self::Aes192(aes) => apply_key_stream(aes, iv, data),
            Self::Aes256(aes) => apply_key_stream(&**aes, iv, data),
        }
    }

    fn encrypt_block(&self, block: &mut [u8; 16]) {
        let block = block.into();
        match self {
            Self::Aes128(aes) => aes.encrypt_block(block),
            Self::Aes192(aes) => aes.encrypt_block(block),
            Self::Aes256(aes) => aes.encrypt_block(block),
        }
    }
}

#[inline]
fn apply_key_stream<C: BlockCipherEncrypt<BlockSize = cipher::consts::U16>>(
    aes: &C,
    iv: &[u8; 16],
    data: &mut [u8],
) {
    let core = CtrCore::<&C, Ctr128BE>::inner_iv_init(aes, iv.into());
    // A packet is far shorter than the 2^128 blocks there are.
    let _ = core.try_apply_keystream_partial(data.into());
}

enum Transform {
    Counter { aes: Aes, mac: Hmac<Sha1> },
    F8 { aes: Aes, masked: Box<Aes>, mac: Hmac<Sha1> },
    Galois { key: Box<aead::LessSafeKey> },
    Null { mac: Hmac<Sha1> },
}

/// The session keys of one purpose.
pub(super) struct SessionKeys {
    transform: Transform,
    salt: [u8; 14],
}

impl Drop for SessionKeys {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

/// What the initialisation vectors of the modes depend on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Position<'a> {
    /// An RTP packet: its fixed header from marker to timestamp (for f8), SSRC and 48-bit index.
    Media { header: &'a [u8; 12], ssrc: u32, index: u64 },
    /// An RTCP packet: its first eight octets, SSRC, index with the E bit.
    Control { header: &'a [u8; 8], ssrc: u32, word: u32 },
}

impl Position<'_> {
    const fn ssrc(&self) -> u32 {
        match self {
            Self::Media { ssrc, .. } | Self::Control { ssrc, .. } => *ssrc,
        }
    }

    /// The index that counts into the IV: 48 bits, or 31 without the E bit.
    const fn index(&self) -> u64 {
        match self {
            Self::Media { index, .. } => *index,
            Self::Control { word, .. } => (*word & 0x7fff_ffff) as u64,
        }
    }
}

impl SessionKeys {
    pub(super) fn new(suite: Suite, key: &[u8], authentication: &[u8; 20], salt: [u8; 14]) -> Self {
        let mac = || hmac(authentication);
        let transform = match suite.mode() {
            Mode::Counter => Transform::Counter { aes: Aes::new(key), mac: mac() },
            Mode::F8 => {
                Transform::F8 { aes: Aes::new(key), masked: Box::new(masked(key, &salt)), mac: mac() }
            }
            Mode::Galois => galois(key).map_or_else(
                // ring refuses a key only for its length, which the suite fixes.
                || Transform::Null { mac: mac() },
                |key| Transform::Galois { key: Box::new(key) },
            ),
            Mode::Null => Transform::Null { mac: mac() },
        };
        Self { transform, salt }
    }

    /// Encrypts or decrypts `data` (the same thing) with the modes that do not authenticate.
    #[inline]
    pub(super) fn apply(&self, position: Position<'_>, data: &mut [u8]) {
        match &self.transform {
            Transform::Counter { aes, .. } => aes.apply_key_stream(&self.counter_iv(position), data),
            Transform::F8 { aes, masked, .. } => apply_f8(aes, masked, f8_iv(position), data),
            Transform::Galois { .. } | Transform::Null { .. } => {}
        }
    }

    /// HMAC-SHA1 over `data`.
    #[inline]
    pub(super) fn mac(&self, data: &[u8]) -> [u8; 20] {
        let (Transform::Counter { mac, .. } | Transform::F8 { mac, .. } | Transform::Null { mac }) =
            &self.transform
        else {
            return [0; 20];
        };
        let mut mac = mac.clone();
        mac.update(data);
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` begins the MAC over `data` and then `tail`. Takes as long for a wrong tag as for the right one.
    #[inline]
    pub(super) fn mac_fits(&self, data: &[u8], tail: &[u8], tag: &[u8]) -> bool {
        let (Transform::Counter { mac, .. } | Transform::F8 { mac, .. } | Transform::Null { mac }) =
            &self.transform
        else {
            return false;
        };
        let mut mac = mac.clone();
        mac.update(data);
        mac.update(tail);
        let computed = mac.finalize().into_bytes();
        computed.get(..tag.len()).is_some_and(|computed| bool::from(computed.ct_eq(tag)))
    }

    /// Encrypts `data` and writes its tag to the start of `room`.
    #[inline]
    pub(super) fn seal(
        &self,
        position: Position<'_>,
        associated: &[u8],
        data: &mut [u8],
        room: &mut [u8],
    ) -> bool {
        let (Transform::Galois { key }, Some(room)) = (&self.transform, room.first_chunk_mut::<GALOIS_TAG>())
        else {
            return false;
        };
        let nonce = aead::Nonce::assume_unique_for_key(self.galois_iv(position));
        match key.seal_in_place_separate_tag(nonce, aead::Aad::from(associated), data) {
            Ok(tag) => {
                room.copy_from_slice(tag.as_ref());
                true
            }
            Err(_) => false,
        }
    }

    /// Decrypts `data`, at whose end the tag stands.
    ///
    /// # Errors
    /// When the tag does not fit; `data` is then of no use.
    #[inline]
    pub(super) fn open(
        &self,
        position: Position<'_>,
        associated: &[u8],
        data: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        let Transform::Galois { key } = &self.transform else { return Err(NotAuthentic) };
        let nonce = aead::Nonce::assume_unique_for_key(self.galois_iv(position));
        key.open_in_place(nonce, aead::Aad::from(associated), data).map(|_| ()).map_err(|_| NotAuthentic)
    }

    /// RFC 3711 §4.1.1.
    #[inline]
    fn counter_iv(&self, position: Position<'_>) -> [u8; 16] {
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] = self.salt;
        let salt = u128::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, 0, 0]);
        let iv = salt ^ u128::from(position.ssrc()) << 64 ^ u128::from(position.index()) << 16;
        iv.to_be_bytes()
    }

    /// RFC 7714 §8.1 and §9.1: two zero octets, SSRC, and the index in the last six; the salt over all.
    #[inline]
    fn galois_iv(&self, position: Position<'_>) -> [u8; 12] {
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, ..] = self.salt;
        let salt = u128::from_be_bytes([0, 0, 0, 0, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11]);
        let iv = salt ^ u128::from(position.ssrc()) << 48 ^ u128::from(position.index());
        let [_, _, _, _, iv @ ..] = iv.to_be_bytes();
        iv
    }
}

fn hmac(key: &[u8; 20]) -> Hmac<Sha1> {
    let mut block = Zeroizing::new([0u8; 64]);
    for (room, octet) in block.iter_mut().zip(key) {
        *room = *octet;
    }
    // A key shorter than a block is filled up with zeros (RFC 2104): this is the same key.
    Hmac::new((&*block).into())
}

fn galois(key: &[u8]) -> Option<aead::LessSafeKey> {
    let algorithm = if key.len() == 32 { &aead::AES_256_GCM } else { &aead::AES_128_GCM };
    aead::UnboundKey::new(algorithm, key).ok().map(aead::LessSafeKey::new)
}

/// The cipher of RFC 3711 §4.1.2.1 that masks the IV: its key is the session key with the salt, filled up with 0x55.
fn masked(key: &[u8], salt: &[u8]) -> Aes {
    let mask = salt.iter().copied().chain(std::iter::repeat(0x55));
    let key: Zeroizing<Vec<u8>> =
        Zeroizing::new(key.iter().zip(mask).map(|(octet, mask)| octet ^ mask).collect());
    Aes::new(&key)
}

/// RFC 3711 §4.1.2.2 and §4.1.2.3.
fn f8_iv(position: Position<'_>) -> [u8; 16] {
    let mut iv = [0; 16];
    match position {
        Position::Media { header, index, .. } => {
            iv = [
                0, header[1], header[2], header[3], header[4], header[5], header[6], header[7], header[8],
                header[9], header[10], header[11], 0, 0, 0, 0,
            ];
            let rollover = (index >> 16) as u32;
            [iv[12], iv[13], iv[14], iv[15]] = rollover.to_be_bytes();
        }
        Position::Control { header, word, .. } => {
            [iv[4], iv[5], iv[6], iv[7]] = word.to_be_bytes();
            [iv[8], iv[9], iv[10], iv[11], iv[12], iv[13], iv[14], iv[15]] = *header;
        }
    }
    iv
}

fn apply_f8(aes: &Aes, masked: &Aes, mut iv: [u8; 16], data: &mut [u8]) {
    masked.encrypt_block(&mut iv);
    let base = u128::from_be_bytes(iv);
    let mut stream = 0u128;
    for (counter, chunk) in data.chunks_mut(16).enumerate() {
        let mut block = (base ^ counter as u128 ^ stream).to_be_bytes();
        aes.encrypt_block(&mut block);
        stream = u128::from_be_bytes(block);
        for (octet, key) in chunk.iter_mut().zip(block) {
            *octet ^= key;
        }
    }
}
