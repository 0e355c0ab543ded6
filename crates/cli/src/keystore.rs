//! Session keys at rest: files of Ethereum's "Web3 Secret Storage", version 3, as Geth and other wallets write them.
//!
//! Of a passphrase, scrypt derives 32 bytes: the first half is the AES-128-CTR key under which the seed of the secret key is encrypted, the second keys a Keccak MAC of
//! the ciphertext, which tells a wrong passphrase. The format leaves two gaps, which are closed within it. The MAC does not cover the initialisation vector, so that a damaged
//! file would give another key: a field `public_key` says which key must come out. And files are free in form: here, as everywhere in Holdfast, reading a file and
//! writing it again gives the same bytes (the `id`, which the format wants random, derives from the public key), so that any changed byte is an error.
//!
//! The format is put together here from its parts because nothing else fits. `eth-keystore` 0.5, the crate for it, has had no release since 2022; it writes at a cost of 2^13 that nobody can
//! raise, over files that are there, for everybody to read; and it panics on a short `dklen` or `iv` and derives at whatever cost a file demands. `age` is sound, but its passphrase files
//! bring some seventy crates along, a translation system and a pre-release KEM among them.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use aes::Aes128;
use alloy_primitives::{Address, hex, keccak256};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use holdfast_crypto::schnorr::SEED_BYTES;
use holdfast_protocol::{PublicKey, SecretKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    dir::pretty,
    error::{Error, Result, same, unexpected},
};

/// Largest file that is read; one that is written has about 700 bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;
const VERSION: u32 = 3;
/// Bytes that scrypt derives.
const DERIVED_BYTES: usize = 32;
const SALT_BYTES: usize = 32;
const IV_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
const ID_TAG: &[u8] = b"holdfast/keystore/id";

/// What scrypt costs: 128 × n × r bytes of memory, and time as n × r × p.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub n: u64,
    pub r: u32,
    pub p: u32,
}

impl Cost {
    /// Geth's: 256 MiB, and about a second.
    pub const STANDARD: Cost = Cost { n: 1 << 18, r: 8, p: 1 };
    /// The most that reading a file may take: four times that memory, eight times that work.
    const MEMORY_BYTES_MAX: u128 = 1 << 30;
    const WORK_MAX: u128 = 1 << 24;

    fn params(self, name: &str) -> Result<scrypt::Params> {
        let Cost { n, r, p } = self;
        let [wide_n, wide_r, wide_p]: [u128; 3] = [n.into(), r.into(), p.into()];
        let memory_bytes: u128 = 128 * wide_n * wide_r;
        let work = wide_n.saturating_mul(wide_r * wide_p);
        let allowed = n > 1 && n.is_power_of_two() && memory_bytes <= Self::MEMORY_BYTES_MAX && work <= Self::WORK_MAX;
        match scrypt::Params::new(n.trailing_zeros() as u8, r, p) {
            Ok(params) if allowed => Ok(params),
            _ => {
                let expected = format!(
                    "n a power of two, n × r at most {}, n × r × p at most {}",
                    Self::MEMORY_BYTES_MAX / 128,
                    Self::WORK_MAX
                );
                Err(unexpected(format!("{name}, cost of scrypt"), expected, format!("n = {n}, r = {r}, p = {p}")))
            }
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keystore {
    crypto: Crypto,
    id: String,
    public_key: PublicKey,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Crypto {
    cipher: Cipher,
    cipherparams: CipherParams,
    ciphertext: Bytes,
    kdf: Kdf,
    kdfparams: KdfParams,
    mac: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
enum Cipher {
    #[serde(rename = "aes-128-ctr")]
    Aes128Ctr,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CipherParams {
    iv: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kdf {
    #[serde(rename = "scrypt")]
    Scrypt,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KdfParams {
    dklen: u32,
    n: u64,
    p: u32,
    r: u32,
    salt: Bytes,
}

/// Bytes in hexadecimal.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

/// A new seed, from the operating system.
pub fn random_seed() -> Zeroizing<[u8; SEED_BYTES]> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    fill_random(&mut *seed);
    seed
}

/// The file of a seed.
pub fn seal(seed: &[u8; SEED_BYTES], passphrase: &[u8], cost: Cost) -> Result<Vec<u8>> {
    let (mut salt, mut iv) = ([0; SALT_BYTES], [0; IV_BYTES]);
    fill_random(&mut salt);
    fill_random(&mut iv);
    let derived = derive("new key file", passphrase, &salt, cost)?;
    let mut ciphertext = seed.to_vec();
    apply_cipher(&derived, &iv, &mut ciphertext);
    let Cost { n, r, p } = cost;
    let public_key = SecretKey::from_seed(*seed).public_key();
    Ok(pretty(&Keystore {
        crypto: Crypto {
            cipher: Cipher::Aes128Ctr,
            cipherparams: CipherParams { iv: Bytes(iv.to_vec()) },
            mac: Bytes(mac(&derived, &ciphertext).to_vec()),
            ciphertext: Bytes(ciphertext),
            kdf: Kdf::Scrypt,
            kdfparams: KdfParams { dklen: DERIVED_BYTES as u32, n, p, r, salt: Bytes(salt.to_vec()) },
        },
        id: id(&public_key),
        public_key,
        version: VERSION,
    }))
}

/// The key in a file, whose name is for errors.
pub fn unseal(name: &str, bytes: &[u8], passphrase: &[u8]) -> Result<SecretKey> {
    let keystore: Keystore =
        serde_json::from_slice(bytes).map_err(|error| unexpected(name, "a key file in JSON", error))?;
    let Keystore { crypto, id: found_id, public_key, version } = &keystore;
    same(format!("{name}, version"), VERSION, *version)?;
    same(format!("{name}, id"), &id(public_key), found_id)?;
    if pretty(&keystore) != bytes {
        return Err(unexpected(name, "a key file's one form in JSON", "another"));
    }
    let plain = crypto.decrypt(name, passphrase)?;
    let Ok(seed) = <&[u8; SEED_BYTES]>::try_from(plain.as_slice()) else {
        return Err(unexpected(format!("{name}, ciphertext"), format!("{SEED_BYTES} bytes"), plain.len()));
    };
    let secret = SecretKey::from_seed(*seed);
    same(format!("{name}, public_key"), secret.public_key().to_hex(), public_key.to_hex())?;
    Ok(secret)
}

/// A file of other wallets: the same format, with fields of theirs.
#[derive(Deserialize)]
struct Foreign {
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    address: Option<Bytes>,
    version: u32,
}

/// The private key of an Ethereum account in a file of Geth's, or of other wallets that write scrypt; and the address that the file says, if it does.
pub fn unseal_ethereum(name: &str, bytes: &[u8], passphrase: &[u8]) -> Result<(Zeroizing<[u8; 32]>, Option<Address>)> {
    let Foreign { crypto, address, version } =
        serde_json::from_slice(bytes).map_err(|error| unexpected(name, "a Web3 keystore (scrypt) in JSON", error))?;
    same(format!("{name}, version"), VERSION, version)?;
    let address = match address {
        None => None,
        Some(Bytes(bytes)) => Some(
            Address::try_from(bytes.as_slice())
                .map_err(|_| unexpected(format!("{name}, address"), "20 bytes", bytes.len()))?,
        ),
    };
    let plain = crypto.decrypt(name, passphrase)?;
    match <&[u8; 32]>::try_from(plain.as_slice()) {
        Ok(secret) => Ok((Zeroizing::new(*secret), address)),
        Err(_) => Err(unexpected(format!("{name}, ciphertext"), "32 bytes", plain.len())),
    }
}

/// Reads a file that may be a key file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let fail = |error| Error::file("read", path, error);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unexpected(path.display(), format!("at most {FILE_BYTES_MAX} bytes"), "more"));
    }
    Ok(bytes)
}

/// Writes a file that only its owner may read: in full or not at all, and never over another.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let written = (|| {
        // (Made with mode 0600.)
        let mut file = tempfile::Builder::new().prefix(".holdfast-key-").tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(directory)?.sync_all()
    })();
    written.map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => occupied(path),
        _ => Error::file("write", path, error),
    })
}

/// There is a file already where a key is to be written.
pub fn occupied(path: &Path) -> Error {
    unexpected(path.display(), "no such file", "one").advise("choose another --out: a key is never written over a file")
}

impl Crypto {
    fn decrypt(&self, name: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let Self { cipher: Cipher::Aes128Ctr, cipherparams, ciphertext, kdf: Kdf::Scrypt, kdfparams, mac: found } =
            self;
        let KdfParams { dklen, n, p, r, salt } = kdfparams;
        same(format!("{name}, dklen"), DERIVED_BYTES as u32, *dklen)?;
        let CipherParams { iv: Bytes(iv) } = cipherparams;
        let Ok(iv) = <&[u8; IV_BYTES]>::try_from(iv.as_slice()) else {
            return Err(unexpected(format!("{name}, iv"), format!("{IV_BYTES} bytes"), iv.len()));
        };
        let derived = derive(name, passphrase, &salt.0, Cost { n: *n, r: *r, p: *p })?;
        if !bool::from(mac(&derived, &ciphertext.0).as_slice().ct_eq(&found.0)) {
            let error = unexpected(name, "the passphrase that it was made with", "another, or a file that was changed");
            return Err(error.advise("without its passphrase nobody can open it"));
        }
        let mut plain = Zeroizing::new(ciphertext.0.clone());
        apply_cipher(&derived, iv, &mut plain);
        Ok(plain)
    }
}

type Derived = Zeroizing<[u8; DERIVED_BYTES]>;

fn derive(name: &str, passphrase: &[u8], salt: &[u8], cost: Cost) -> Result<Derived> {
    let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
    scrypt::scrypt(passphrase, salt, &cost.params(name)?, &mut *derived).expect("scrypt gives 32 bytes");
    Ok(derived)
}

fn mac(derived: &Derived, ciphertext: &[u8]) -> [u8; MAC_BYTES] {
    let (_, key) = derived.split_at(DERIVED_BYTES / 2);
    keccak256(Zeroizing::new([key, ciphertext].concat())).0
}

fn apply_cipher(derived: &Derived, iv: &[u8; IV_BYTES], data: &mut [u8]) {
    let key = derived.first_chunk::<16>().expect("half of what is derived");
    Ctr128BE::<Aes128>::new(key.into(), iv.into()).apply_keystream(data);
}

/// A UUID of version 8 (RFC 9562: bits of one's own).
fn id(public_key: &PublicKey) -> String {
    let mut bytes: [u8; 16] =
        *keccak256([ID_TAG, &public_key.to_bytes()].concat()).first_chunk().expect("a hash is longer");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// # Panics
/// If the operating system has no randomness: nothing secret can be made then.
fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests;
