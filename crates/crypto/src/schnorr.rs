//! Schnorr signatures on the curve of [`crate::curve`], with a challenge that a circuit can compute.
//!
//! # Definition
//!
//! A secret key is a scalar d ≠ 0, its public key the point P = d·G, for the [`GENERATOR`] G of prime order n. To sign a
//! message m, a [`Digest`]: take a nonce k, and let R = k·G, e = challenge(R, P, m) and s = k + e·d mod n. The signature is
//! (R, s). It is valid where **s·G = R + e·P**.
//!
//! - **Challenge.** Four compressions of [`crate::poseidon2`], over the coefficients of the coordinates:
//!   c₁ = compress(R.x ‖ TAG, R.y ‖ 0), c₂ = compress(c₁, P.x ‖ 0), c₃ = compress(c₂, P.y ‖ 0), c₄ = compress(c₃, m), with
//!   TAG = [`CHALLENGE_TAG`]. Then e = Σ (c₄\[j\] mod 2²⁷) · 2^(27(7 − j)), an integer of 216 bits and so below n. As
//!   p = 15 · 2²⁷ + 1, the low 27 bits of a uniform cell are uniform, but for one value in p, 2⁻³¹.
//! - **Secrets.** From a seed of 32 bytes: d = SHA-512("holdfast/schnorr/secret" ‖ seed) and
//!   k = SHA-512("holdfast/schnorr/nonce" ‖ seed ‖ P ‖ m), as little-endian integers modulo n, which is uniform up to
//!   2⁻²⁹⁵. P and m are encoded, in 28 and 32 bytes. No randomness is needed that could fail or repeat.
//! - **Encoding.** 28 bytes of R, then 28 bytes of s, both canonical: no valid signature has a second encoding, and from
//!   (R, s) nobody makes another one of the same message without the secret. Text is lower-case hexadecimal.
//!
//! # Security
//!
//! Forging is as hard as a discrete logarithm on E, if the compression is like a random oracle (Pointcheval and Stern
//! 2000). The challenge covers the public key, so that forging under any of many keys reduces tightly to forging under one
//! (Bernstein 2015), and 216 bits of it are ample (Neven, Smart and Warinschi 2009). The message must itself be a binding
//! hash of all that is meant, the chain among it. What is known of discrete logarithms on E (the numbers are computed in
//! `tests/schnorr_reference.py`, and were once more with PARI, which counts the same order):
//!
//! - *Generic*: n is a prime of 217 bits and the cofactor is 1, so Pollard's rho takes √(πn/4) ≈ 2¹⁰⁸ additions. That is
//!   the least of the figures here. It is below the customary 2¹²⁸, and above the 2¹⁰⁰ that SP1 asks of the same curve.
//! - *Transfers* to easier groups: the embedding degree is n − 1, as p generates the units modulo n (against Menezes,
//!   Okamoto and Vanstone 1993 and Frey and Rück 1994); n ≠ p (against Semaev 1998, Smart 1999, Satoh and Araki 1998).
//! - *Endomorphisms*: t² − 4p⁷ ≈ −2²¹⁸ is free of squares, so the ring has no small element but integers. The j-invariant
//!   is not in F_p, so the Frobenius map of F_p is none either. Rho gains its factor √2 from negation and nothing else.
//! - *Index calculus over F_p*, which extension fields invite (Gaudry 2009, Diem 2011, Joux and Vitse 2013): writing a
//!   point as a sum of seven points with x in F_p takes a polynomial system of degree 2⁴², and about 2⁴² of them are to be
//!   solved. That is asymptotically faster than rho for large p, but here estimated at 2¹³⁷ (Gaudry) and 2¹⁴⁸ (Joux and
//!   Vitse): El Housni, "Multiset hashing based on elliptic curves", <https://hackmd.io/@yelhousni/multiset-hash>,
//!   on the curve of Succinct's "SP1 Turbo memory argument", 2025. Faugère, Gaudry, Huot and Renault 2014 gain from
//!   points of small order, of which a group of prime order has none. These are estimates of algorithms of today: better
//!   ones for such systems would hurt this curve, and not one over a prime field.
//! - *Weil descent to a cover* (Gaudry, Hess and Smart 2002; Diem 2003): every curve isogenous to E has odd order too, so
//!   a map of degree two to the line is ramified over one point of F_p⁷ and three conjugate ones, and over the seven
//!   conjugates of those, at least one of the two kinds being in general position, as E is not one of F_p. The seven
//!   square roots are then independent, and over at least ten points the cover has genus 2⁵(10 − 4) + 1 = 193 or more:
//!   a Jacobian of 5 970 bits, for which no method comes near 2¹⁰⁸. (Our own derivation; Iijima, Momose and Chao 2015
//!   list the curves of degree 7 that are weak.)
//! - *The twist* has prime order 2p⁷ + 2 − n. It does not matter: no operation takes x alone, and decoding checks the curve.
//!
//! None of this withstands a large quantum computer.
//!
//! # Side channels
//!
//! What touches d or k takes no branch and no address from it ([`crate::septic`], `crypto-bigint`, tables read whole by
//! `subtle`), as far as the source says. Keys are wiped when dropped; copies that the compiler leaves in registers and on
//! the stack are not. A signer in which faults can be provoked gives its key away, as with every deterministic nonce.
//!
//! # Many at once
//!
//! [`verify_batch`] checks Σ zᵢ·(sᵢ·G − Rᵢ − eᵢ·Pᵢ) = 0 for weights zᵢ of 128 bits. If one term is not zero, then of the
//! values of its weight at most one makes the sum zero, as n is a prime above 2¹²⁸ and all points are in the group of
//! order n. So uniform weights, chosen after the batch, accept an invalid batch with probability 2⁻¹²⁸. They are drawn
//! from SHA-512 of all (c₄, s), in place of randomness: c₄ binds R, P and m, so that whoever changes anything draws all
//! weights anew, and trying 2ᵇ batches succeeds with probability 2^(b − 128). The cofactor is 1, so the sum is zero where
//! every equation holds, and one by one and together give the same answer. A batch that fails is halved until the invalid
//! ones are found.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::curve::{Affine, DecodeError, GENERATOR, POINT_BYTES};
use crate::field::{DIGEST_CELLS, DIGEST_ZERO, Digest, F, cell_to_canonical, digest_encode};
use crate::hex::{from_hex, to_hex};
use crate::multiples::{generator_multiple, public_multiple, sum_of_multiples};
use crate::poseidon2::{compress, compress_many};
use crate::scalar::{SCALAR_BYTES, Scalar};
use crate::septic::{DEGREE, Septic};

/// The cell that sets the challenge apart from every other use of the compression: "HFS1" in ASCII.
pub const CHALLENGE_TAG: u32 = 0x4846_5331;

/// Bytes in the seed of a secret key.
pub const SEED_BYTES: usize = 32;

/// Bytes in an encoded public key: a point.
pub const PUBLIC_KEY_BYTES: usize = POINT_BYTES;

/// Bytes in an encoded signature: a point and a scalar.
pub const SIGNATURE_BYTES: usize = POINT_BYTES + SCALAR_BYTES;

/// A secret key. It is wiped when dropped.
pub struct SecretKey {
    seed: [u8; SEED_BYTES],
    scalar: Scalar,
    public_key: PublicKey,
}

/// A public key: a point of the curve other than the identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(Affine);

/// A signature: a point and a scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    r: Affine,
    s: Scalar,
}

impl SecretKey {
    /// The key of a seed, which must be 32 uniform bytes. Wiping the caller's copy of it is up to the caller.
    ///
    /// # Panics
    /// Where the scalar is zero: it takes about 2²¹⁷ seeds to find one.
    pub fn from_seed(seed: [u8; SEED_BYTES]) -> Self {
        let scalar = hash_to_scalar(&[SECRET_TAG, &seed]);
        let public_key = PublicKey(generator_multiple(&scalar).to_affine().expect("a scalar that is not zero"));
        Self { seed, scalar, public_key }
    }

    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Signs a message. The signature depends on the key and the message alone.
    ///
    /// # Panics
    /// Where the nonce is zero: it takes about 2²¹⁷ messages to find one.
    pub fn sign(&self, message: &Digest) -> Signature {
        let Self { seed, scalar, public_key } = self;
        let nonce = Zeroizing::new(hash_to_scalar(&[NONCE_TAG, seed, &public_key.to_bytes(), &digest_encode(message)]));
        let r = generator_multiple(&nonce).to_affine().expect("a nonce that is not zero");
        let [.., last] = challenge(&r, public_key, message);
        Signature { r, s: nonce.add(&challenge_scalar(&last).mul(scalar)) }
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.scalar.zeroize();
    }
}

impl ZeroizeOnDrop for SecretKey {}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SecretKey").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

impl PublicKey {
    pub fn new(point: Affine) -> Self {
        Self(point)
    }

    pub fn point(&self) -> &Affine {
        &self.0
    }

    /// Encodes the key as its point: 28 bytes.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.to_bytes()
    }

    /// Decodes a key.
    ///
    /// # Errors
    /// As [`Affine::from_bytes`].
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<Self, DecodeError> {
        Affine::from_bytes(bytes).map(Self)
    }

    /// Writes the encoding of the key as 56 lower-case hexadecimal digits, without a prefix.
    pub fn to_hex(&self) -> String {
        to_hex(&self.to_bytes())
    }

    /// Reads what [`PublicKey::to_hex`] writes, and nothing else: neither upper case nor a prefix.
    ///
    /// # Errors
    /// [`DecodeError::Length`] or [`DecodeError::HexDigit`] where the text is not 56 such digits, else as
    /// [`PublicKey::from_bytes`].
    pub fn from_hex(text: &str) -> Result<Self, DecodeError> {
        Self::from_bytes(&from_hex(text)?)
    }
}

impl Signature {
    pub fn new(r: Affine, s: Scalar) -> Self {
        Self { r, s }
    }

    /// The point R = k·G.
    pub fn r(&self) -> &Affine {
        &self.r
    }

    /// The scalar s = k + e·d.
    pub fn s(&self) -> &Scalar {
        &self.s
    }

    /// Encodes the signature: the 28 bytes of R, then those of s.
    pub fn to_bytes(&self) -> [u8; SIGNATURE_BYTES] {
        let Self { r, s } = self;
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes[..POINT_BYTES].copy_from_slice(&r.to_bytes());
        bytes[POINT_BYTES..].copy_from_slice(&s.to_bytes());
        bytes
    }

    /// Decodes a signature.
    ///
    /// # Errors
    /// As [`Affine::from_bytes`], then as [`Scalar::from_bytes`].
    pub fn from_bytes(bytes: &[u8; SIGNATURE_BYTES]) -> Result<Self, DecodeError> {
        let (r, s) = bytes.split_first_chunk().expect("a signature starts with a point");
        let s = s.first_chunk().expect("a signature goes on with a scalar");
        Ok(Self { r: Affine::from_bytes(r)?, s: Scalar::from_bytes(s)? })
    }

    /// Writes the encoding of the signature as 112 lower-case hexadecimal digits, without a prefix.
    pub fn to_hex(&self) -> String {
        to_hex(&self.to_bytes())
    }

    /// Reads what [`Signature::to_hex`] writes, and nothing else: neither upper case nor a prefix.
    ///
    /// # Errors
    /// [`DecodeError::Length`] or [`DecodeError::HexDigit`] where the text is not 112 such digits, else as
    /// [`Signature::from_bytes`].
    pub fn from_hex(text: &str) -> Result<Self, DecodeError> {
        Self::from_bytes(&from_hex(text)?)
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PublicKey({})", self.to_hex())
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Signature({})", self.to_hex())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The four compressions of the challenge, of which [`challenge_scalar`] reads the last.
pub fn challenge(r: &Affine, public_key: &PublicKey, message: &Digest) -> [Digest; 4] {
    let [left, right_1, right_2, right_3, right_4] = challenge_blocks(r, public_key, message);
    let c_1 = compress(&left, &right_1);
    let c_2 = compress(&c_1, &right_2);
    let c_3 = compress(&c_2, &right_3);
    [c_1, c_2, c_3, compress(&c_3, &right_4)]
}

/// The challenge as a scalar: the low 27 bits of each cell of the last compression, the most significant first.
pub fn challenge_scalar(last: &Digest) -> Scalar {
    const LOW_BITS: u32 = (1 << Scalar::DIGIT_BITS) - 1;
    Scalar::from_digits(&last.map(|cell| cell_to_canonical(cell) & LOW_BITS))
}

/// Whether the signature is one of `message` by the holder of `public_key`. All three are public: the time varies.
#[must_use]
pub fn verify(public_key: &PublicKey, message: &Digest, signature: &Signature) -> bool {
    let [.., last] = challenge(&signature.r, public_key, message);
    equation_holds(public_key, &last, signature)
}

/// Verifies many signatures, as [`verify`] does each, and several times faster where there are dozens or more.
///
/// # Errors
/// The indices of those that are not valid, ascending.
pub fn verify_batch(signed: &[(PublicKey, Digest, Signature)]) -> Result<(), Vec<usize>> {
    let mut invalid = Vec::new();
    for (batch, start) in signed.chunks(BATCH_MAX).zip((0..).step_by(BATCH_MAX)) {
        let challenges = challenges(batch);
        if batch.len() <= SINGLES_MAX || !combination_holds(batch, &challenges) {
            find_invalid(batch, &challenges, start, &mut invalid);
        }
    }
    if invalid.is_empty() { Ok(()) } else { Err(invalid) }
}

const SECRET_TAG: &[u8] = b"holdfast/schnorr/secret";
const NONCE_TAG: &[u8] = b"holdfast/schnorr/nonce";
const WEIGHT_TAG: &[u8] = b"holdfast/schnorr/weight";

/// Signatures that are combined into one equation, at most. It bounds the memory that they take together, to about
/// three MiB, and more would not be faster.
const BATCH_MAX: usize = 2048;

/// Signatures that are verified one by one, at most: so few are no faster together.
const SINGLES_MAX: usize = 8;

fn hash_to_scalar(parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    let bytes = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
    Scalar::from_bytes_wide(&bytes)
}

/// What the challenge compresses: the first two together, then each of the others into what came before.
fn challenge_blocks(r: &Affine, public_key: &PublicKey, message: &Digest) -> [Digest; 5] {
    let block = |coordinate: &Septic, last: u32| {
        let mut block = DIGEST_ZERO;
        block[..DEGREE].copy_from_slice(&coordinate.0);
        block[DIGEST_CELLS - 1] = F::new(last);
        block
    };
    let PublicKey(point) = public_key;
    [block(r.x(), CHALLENGE_TAG), block(r.y(), 0), block(point.x(), 0), block(point.y(), 0), *message]
}

/// The last compression of the challenge of each signature.
fn challenges(signed: &[(PublicKey, Digest, Signature)]) -> Vec<Digest> {
    let blocks: Vec<[Digest; 5]> = signed
        .iter()
        .map(|(public_key, message, signature)| challenge_blocks(&signature.r, public_key, message))
        .collect();
    let mut digests: Vec<Digest> = blocks.iter().map(|blocks| blocks[0]).collect();
    for step in 1..=4 {
        let pairs: Vec<[Digest; 2]> = digests.iter().zip(&blocks).map(|(left, blocks)| [*left, blocks[step]]).collect();
        compress_many(&pairs, &mut digests);
    }
    digests
}

/// Whether s·G = R + e·P, for the last compression of the challenge.
fn equation_holds(public_key: &PublicKey, challenge: &Digest, signature: &Signature) -> bool {
    let Signature { r, s } = signature;
    generator_multiple(s) == public_multiple(&public_key.0, &challenge_scalar(challenge)).add_affine(r)
}

/// Appends the indices of the signatures that are not valid, counted from `start` on, of a batch that does not hold.
fn find_invalid(
    batch: &[(PublicKey, Digest, Signature)],
    challenges: &[Digest],
    start: usize,
    invalid: &mut Vec<usize>,
) {
    if batch.len() <= SINGLES_MAX {
        for ((index, (public_key, _, signature)), challenge) in (start..).zip(batch).zip(challenges) {
            if !equation_holds(public_key, challenge, signature) {
                invalid.push(index);
            }
        }
        return;
    }

    let half = batch.len() / 2;
    let (left, right) = batch.split_at(half);
    let (challenges_left, challenges_right) = challenges.split_at(half);
    let left_holds = combination_holds(left, challenges_left);
    if !left_holds {
        find_invalid(left, challenges_left, start, invalid);
    }
    // Where the left half holds, the right one does not.
    if left_holds || !combination_holds(right, challenges_right) {
        find_invalid(right, challenges_right, start + half, invalid);
    }
}

/// Whether Σ z·(R + e·P − s·G) is the identity, for the [`weights`] z.
fn combination_holds(batch: &[(PublicKey, Digest, Signature)], challenges: &[Digest]) -> bool {
    let weights = weights(batch, challenges);
    let mut terms = Vec::with_capacity(2 * batch.len() + 1);
    let mut keys = Vec::with_capacity(batch.len());
    let mut s_sum = Scalar::ZERO;
    for (((PublicKey(point), _, Signature { r, s }), challenge), weight) in batch.iter().zip(challenges).zip(&weights) {
        terms.push((*r, *weight));
        keys.push((*point, weight.mul(&challenge_scalar(challenge))));
        s_sum = s_sum.add(&weight.mul(s));
    }
    terms.push((GENERATOR.neg(), s_sum));

    // The terms of one key are one term.
    keys.sort_unstable_by_key(|(point, _)| *point);
    for same in keys.chunk_by(|a, b| a.0 == b.0) {
        terms.push((same[0].0, same.iter().fold(Scalar::ZERO, |sum, (_, scalar)| sum.add(scalar))));
    }
    sum_of_multiples(&terms).is_identity()
}

/// A weight of 128 bits for each signature, from a hash of them all.
fn weights(batch: &[(PublicKey, Digest, Signature)], challenges: &[Digest]) -> Vec<Scalar> {
    let mut hash = Sha512::new_with_prefix(WEIGHT_TAG);
    for ((_, _, signature), challenge) in batch.iter().zip(challenges) {
        hash.update(digest_encode(challenge));
        hash.update(signature.s.to_bytes());
    }
    let seed = hash.finalize();
    let block =
        |index: u64| <[u8; 64]>::from(Sha512::new_with_prefix(seed).chain_update(index.to_le_bytes()).finalize());
    (0..)
        .map(block)
        .flat_map(|bytes| [0, 1, 2, 3].map(|part| bytes.as_chunks::<16>().0[part]))
        .map(|bytes| Scalar::from_u128(u128::from_le_bytes(bytes)))
        .take(batch.len())
        .collect()
}
