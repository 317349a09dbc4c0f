//! Writing a STUN message into the caller's buffer, without allocation.
//!
//! A buffer that is too small is noticed once, at [`Writer::finish`]; until then nothing is written beyond it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::attribute::{Attribute, AttributeKind, ErrorCodeAttribute};
use super::error_code::ErrorCode;
use super::message::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId, type_field};
use thiserror::Error;

/// The buffer was too small, or the message would exceed 65,535 bytes of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the STUN message needs more than {room} bytes")]
pub struct WriteError {
    /// What there was.
    pub room: usize,
}

/// A message being written.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
    id: TransactionId,
    overflowed: bool,
}

impl<'b> Writer<'b> {
    /// Begins a message at the start of `buffer`.
    pub fn new(buffer: &'b mut [u8], class: Class, method: Method, id: TransactionId) -> Self {
        let mut writer = Self { buffer, at: 0, id, overflowed: false };
        writer.bytes(&type_field(class, method).to_be_bytes());
        writer.bytes(&[0, 0]);
        writer.bytes(&MAGIC_COOKIE.to_be_bytes());
        writer.bytes(&id.0);
        writer
    }

    /// The transaction of this message.
    #[must_use]
    pub const fn id(&self) -> TransactionId {
        self.id
    }

    /// Adds an attribute.
    pub fn put<'a, A: Attribute<'a>>(&mut self, attribute: &A) {
        let head = self.at;
        let [k0, k1] = A::KIND.0.to_be_bytes();
        self.bytes(&[k0, k1, 0, 0]);
        let start = self.at;
        attribute.encode(self);
        self.close(head, start);
    }

    /// Adds an attribute by its bytes.
    pub fn attribute(&mut self, kind: AttributeKind, value: &[u8]) {
        let head = self.at;
        let [k0, k1] = kind.0.to_be_bytes();
        self.bytes(&[k0, k1, 0, 0]);
        let start = self.at;
        self.bytes(value);
        self.close(head, start);
    }

    /// Adds ERROR-CODE with the usual phrase.
    pub fn error(&mut self, code: ErrorCode) {
        self.put(&ErrorCodeAttribute { code, phrase: code.phrase() });
    }

    /// Adds UNKNOWN-ATTRIBUTES.
    pub fn unknown_attributes(&mut self, kinds: impl Iterator<Item = AttributeKind>) {
        let head = self.at;
        let [k0, k1] = AttributeKind::UNKNOWN_ATTRIBUTES.0.to_be_bytes();
        self.bytes(&[k0, k1, 0, 0]);
        let start = self.at;
        kinds.for_each(|kind| self.bytes(&kind.0.to_be_bytes()));
        self.close(head, start);
    }

    /// Ends the message: its length in bytes.
    ///
    /// # Errors
    /// The buffer was too small.
    pub fn finish(mut self) -> Result<usize, WriteError> {
        self.set_length(self.at);
        let beyond = self.at.saturating_sub(HEADER_BYTES) > usize::from(u16::MAX);
        if self.overflowed || beyond {
            return Err(WriteError { room: self.buffer.len() });
        }
        Ok(self.at)
    }

    /// Adds bytes to the value being written.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at.saturating_add(bytes.len());
        match self.buffer.get_mut(self.at..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at = end;
            }
            None => self.overflowed = true,
        }
    }

    /// Fills in the length of an attribute whose header is at `head` and whose value began at `start`, and pads it.
    fn close(&mut self, head: usize, start: usize) {
        let length = self.at.saturating_sub(start);
        let Ok(field) = u16::try_from(length) else {
            self.overflowed = true;
            return;
        };
        if self.overflowed {
            return;
        }
        let place = head.saturating_add(2)..start;
        if let Some(room) = self.buffer.get_mut(place).filter(|room| room.len() == 2) {
            room.copy_from_slice(&field.to_be_bytes());
        }
        let padding = length.wrapping_neg() & 3;
        self.bytes([0; 3].get(..padding).unwrap_or_default());
    }

    /// How many bytes there are so far.
    #[must_use]
    pub const fn written(&self) -> usize {
        self.at
    }

    /// Writes the header's length as if the message ended at `end`.
    pub(super) fn set_length(&mut self, end: usize) {
        let length = u16::try_from(end.saturating_sub(HEADER_BYTES)).unwrap_or(u16::MAX);
        if let Some(room) = self.buffer.get_mut(2..4) {
            room.copy_from_slice(&length.to_be_bytes());
        }
    }

    pub(super) fn so_far(&self) -> &[u8] {
        self.buffer.get(..self.at).unwrap_or_default()
    }
}
