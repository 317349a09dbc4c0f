//! Passwords made here: long enough never to be guessed, short enough to be typed on a telephone.

use crate::config::Secret;

/// Lower-case letters and digits that cannot be taken for one another; every telephone's keypad can write them.
const ALPHABET: &[u8; 31] = b"23456789abcdefghijkmnpqrstuvwxy";

/// 31^16 is more than 2^79.
const LENGTH: usize = 16;

/// A random password from the system's entropy.
pub fn random() -> Result<Secret, getrandom::Error> {
    let mut password = String::with_capacity(LENGTH);
    while password.len() < LENGTH {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        // 248 = 8 × 31: bytes beyond it would make the first letters likelier.
        let letters = bytes.iter().filter(|byte| **byte < 248);
        let letters = letters.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()));
        password.extend(letters.take(LENGTH - password.len()).map(|letter| char::from(*letter)));
    }
    Ok(Secret::new(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_typable_and_not_alike() {
        let (one, other) = (random().unwrap(), random().unwrap());
        for password in [&one, &other] {
            assert_eq!(password.reveal().len(), LENGTH);
            assert!(password.reveal().bytes().all(|byte| ALPHABET.contains(&byte)));
        }
        assert_ne!(one, other);
    }
}
