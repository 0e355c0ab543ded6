//! Session keys for tests: the n-th secret key is known to everybody.

use std::{collections::BTreeMap, sync::LazyLock};

use holdfast_crypto::Digest;
use holdfast_protocol::{AccountId, KeyIndex, PublicKey, Seal, SecretKey, Signature};

/// The streams and scenarios use this many test keys.
pub const KEYS: u32 = 32;

static PUBLIC_KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| (0..KEYS).map(|n| secret(n).public_key()).collect());

/// The n-th test key.
pub fn secret(n: u32) -> SecretKey {
    let mut seed = *b"holdfast: a test key, not secret";
    seed[28..].copy_from_slice(&n.to_le_bytes());
    SecretKey::from_seed(seed)
}

/// The public key of the n-th test key, of the first [`KEYS`].
pub fn public_key(n: u32) -> PublicKey {
    PUBLIC_KEYS[n as usize]
}

/// The first test keys, by their public keys.
pub struct Keyring(BTreeMap<[u8; 28], SecretKey>);

impl Keyring {
    pub fn new(count: u32) -> Self {
        let entry = |n| {
            let secret = secret(n);
            (secret.public_key().to_bytes(), secret)
        };
        Self((0..count).map(entry).collect())
    }

    /// Signs for whoever has this public key.
    ///
    /// # Panics
    /// If it is not one of the test keys.
    pub fn sign(&self, public_key: &PublicKey, head: &Digest) -> Signature {
        self.0.get(&public_key.to_bytes()).expect("a test key").sign(head)
    }

    /// The seal of a session whose registered key is this one, and which stands at this head after so many instructions
    /// of the batch.
    ///
    /// # Panics
    /// If it is not one of the test keys.
    pub fn seal(&self, account: AccountId, key: KeyIndex, public_key: &PublicKey, head: &Digest, after: u32) -> Seal {
        Seal { after, account, key, signature: self.sign(public_key, head) }
    }
}
