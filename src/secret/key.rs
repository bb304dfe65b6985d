//! A key to let others in by: its digest, how a new one is made, and how weak one looks.
//!
//! It knows no header, no file and no configuration. The next thing to say of a key alone goes here.

use std::collections::BTreeMap;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// What a fresh key begins with, so that scanners of repositories and logs know one when they see it.
const PREFIX: &str = "lb_";

/// Crockford's Base32 in small letters: no two characters that people mistake for each other.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Shortest key that is not called weak, in characters.
const CHARS_MIN: usize = 16;

/// Least variety of a key that is not called weak, in bits as [`variety`] reckons them.
const VARIETY_MIN: f64 = 40.0;

/// The SHA-256 of a key as a header carries it.
#[must_use]
pub fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The SHA-256 of a key as it is stored: without the white space around it, which no header can carry.
#[must_use]
pub fn digest_of(key: &SecretString) -> [u8; 32] {
    digest(key.expose_secret().trim().as_bytes())
}

/// A digest in hexadecimal.
#[must_use]
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fresh key: 160 random bits of the operating system, in 32 characters.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn fresh() -> io::Result<SecretString> {
    let mut bytes = [0_u8; 20];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(SecretString::from(format!("{PREFIX}{}", base32(&bytes))))
}

/// Five bits a character, the highest first.
fn base32(bytes: &[u8; 20]) -> String {
    let bits = |group: &[u8]| group.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let digits = |group: u64| (0..8).rev().map(move |at| char::from(ALPHABET[(group >> (5 * at) & 31) as usize]));
    bytes.chunks_exact(5).map(bits).flat_map(digits).collect()
}

/// Why a key looks weak, if it does. What does not look so may still be: a date, a name, a key that others have too.
#[must_use]
pub fn weakness(key: &SecretString) -> Option<&'static str> {
    let key = key.expose_secret().trim();
    if key.chars().count() < CHARS_MIN {
        Some("it has fewer than 16 characters")
    } else if variety(key) < VARIETY_MIN {
        Some("it is a row or a repetition of few characters")
    } else {
        None
    }
}

/// The entropy of a key's characters by their frequency, where one that repeats its predecessor or follows it in the
/// alphabet, up or down, adds nothing.
fn variety(key: &str) -> f64 {
    let chars: Vec<u32> = key.chars().map(u32::from).collect();
    let mut counts = BTreeMap::<u32, f64>::new();
    for char in &chars {
        *counts.entry(*char).or_default() += 1.0;
    }
    let length: f64 = counts.values().sum();
    let each: f64 = counts.values().map(|count| -(count / length) * (count / length).log2()).sum();
    let is_news = |pair: &&[u32]| pair[0].abs_diff(pair[1]) > 1;
    let news = 1 + chars.windows(2).filter(is_news).count();
    each * f64::from(u32::try_from(news).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_is_long_readable_another_each_time_and_not_weak() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
        for key in [one, other] {
            let text = key.expose_secret();
            let digits = text.strip_prefix("lb_").unwrap();
            assert_eq!(digits.len(), 32);
            assert!(digits.bytes().all(|digit| ALPHABET.contains(&digit)), "{text}");
            assert_eq!(weakness(&key), None, "{text}");
        }
    }

    #[test]
    fn five_bits_are_a_character_and_the_highest_come_first() {
        let mut bytes = [0; 20];
        assert_eq!(base32(&bytes), "0".repeat(32));
        (bytes[0], bytes[19]) = (0b0000_1000, 31);
        assert_eq!(base32(&bytes), format!("1{}z", "0".repeat(30)));
        assert_eq!(base32(&[0xff; 20]), "z".repeat(32));
    }

    #[test]
    fn short_and_monotonous_keys_are_weak_and_random_ones_are_not() {
        for weak in
            ["", "hunter2", "k-5f3c9a8b7c6d5", "aaaaaaaaaaaaaaaaaaaaaaaa", "0123456789abcdef", "1212121212121212121212"]
        {
            assert!(weakness(&SecretString::from(weak)).is_some(), "{weak}");
        }
        for strong in ["9f86d081884c7d659a2feaa0c55ad015", "c0ffee-Xk29-pq7L-vvZ3", "correct horse battery staple"] {
            assert_eq!(weakness(&SecretString::from(strong)), None, "{strong}");
        }
    }

    #[test]
    fn a_digest_is_that_of_the_key_without_the_white_space_around_it() {
        let expected = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(hex(&digest_of(&SecretString::from(" secret\n"))), expected);
        assert_eq!(hex(&digest(b"secret")), expected);
    }
}
