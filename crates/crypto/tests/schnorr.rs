//! Signatures: what is signed verifies, and nothing else does.

mod schnorr_vectors;

use holdfast_crypto::curve::{Affine, DecodeError, GENERATOR};
use holdfast_crypto::field::{digest_from_hex, digest_to_hex};
use holdfast_crypto::scalar::Scalar;
use holdfast_crypto::schnorr::{
    CHALLENGE_TAG, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, SecretKey, Signature, challenge, challenge_scalar,
    verify, verify_batch,
};
use holdfast_crypto::{Digest, F};
use proptest::prelude::*;
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use schnorr_vectors::VECTORS;

const SEED: u64 = 0x0073_6368_6e6f_7272;
const FUZZ_ROUNDS: u32 = 100_000;

type Signed = (PublicKey, Digest, Signature);

fn secret_key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// Messages of few signers.
fn signed(rng: &mut ChaCha8Rng, length: usize) -> Vec<Signed> {
    let keys: Vec<SecretKey> = (0..length.min(20) as u8).map(secret_key).collect();
    (0..length)
        .map(|_| {
            let key = &keys[rng.random_range(0..keys.len())];
            let message = rng.random();
            (key.public_key(), message, key.sign(&message))
        })
        .collect()
}

/// Makes one of the three another one.
fn spoil((public_key, message, signature): &mut Signed, rng: &mut ChaCha8Rng) {
    match rng.random_range(0..6) {
        0 => message[rng.random_range(0..8)] += F::new(1),
        1 => *signature = Signature::new(signature.r().neg(), *signature.s()),
        2 => *signature = Signature::new(*signature.r(), signature.s().add(&Scalar::ONE)),
        3 => *signature = Signature::new(signature.r().double(), *signature.s()),
        4 => *signature = Signature::new(*signature.r(), Scalar::ZERO),
        _ => *public_key = PublicKey::new(public_key.point().double()),
    }
}

#[test]
fn keys_challenges_and_signatures_agree_with_the_vectors() {
    for vector in &VECTORS.signatures {
        let key = SecretKey::from_seed(vector.seed.bytes());
        let message = digest_from_hex(&vector.message).expect("a digest");
        let signature = key.sign(&message);
        assert_eq!(key.public_key().to_hex(), vector.public_key);
        assert_eq!(signature.to_hex(), vector.signature);
        assert_eq!(PublicKey::from_hex(&vector.public_key), Ok(key.public_key()));
        assert_eq!(Signature::from_hex(&vector.signature), Ok(signature));

        let steps = challenge(signature.r(), &key.public_key(), &message);
        assert_eq!(steps.map(|step| digest_to_hex(&step)), vector.challenge);
        assert_eq!(challenge_scalar(&steps[3]).to_bytes(), vector.challenge_scalar.bytes());
        assert!(verify(&key.public_key(), &message, &signature));
    }
}

#[test]
fn forged_signatures_are_rejected() {
    let forged: Vec<Signed> = VECTORS
        .forged
        .iter()
        .map(|vector| {
            let public_key = PublicKey::from_hex(&vector.public_key).expect("a key");
            let message = digest_from_hex(&vector.message).expect("a digest");
            (public_key, message, Signature::from_hex(&vector.signature).expect("a signature"))
        })
        .collect();
    for ((public_key, message, signature), vector) in forged.iter().zip(&VECTORS.forged) {
        assert!(!verify(public_key, message, signature), "{}", vector.what);
        assert_eq!(verify_batch(&[(*public_key, *message, *signature)]), Err(vec![0]), "{}", vector.what);
    }
    assert_eq!(verify_batch(&forged), Err((0..forged.len()).collect()));
}

#[test]
fn signature_with_an_s_of_the_order_or_more_is_rejected() {
    for vector in &VECTORS.rejected_scalars {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes[..28].copy_from_slice(&GENERATOR.to_bytes());
        bytes[28..].copy_from_slice(&vector.bytes.bytes::<28>());
        assert_eq!(Signature::from_bytes(&bytes), Err(DecodeError::Scalar { got: vector.bytes.bytes() }));
    }
    for vector in &VECTORS.rejected_points {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes[..28].copy_from_slice(&vector.bytes.bytes::<28>());
        assert_eq!(Signature::from_bytes(&bytes).err(), Affine::from_bytes(&vector.bytes.bytes()).err());
        assert_eq!(PublicKey::from_bytes(&vector.bytes.bytes()).err(), Affine::from_bytes(&vector.bytes.bytes()).err());
    }
}

#[test]
fn challenge_tag_is_its_name() {
    assert_eq!(CHALLENGE_TAG.to_be_bytes(), *b"HFS1");
}

#[test]
fn challenge_scalar_takes_27_bits_of_each_cell() {
    let check = |cells: [u32; 8], bytes: [u8; 28]| {
        assert_eq!(challenge_scalar(&F::new_array(cells)).to_bytes(), bytes);
    };
    let mut ones = [0xff; 28];
    ones[27] = 0;
    check([0; 8], [0; 28]);
    check([(1 << 27) - 1; 8], ones);
    check([1 << 27, 1 << 28, 1 << 29, 15 << 27, 0, 0, 0, 7 << 27], [0; 28]);
    // The first cell is the most significant: its bit 0 is bit 189.
    check([1, 0, 0, 0, 0, 0, 0, 0], std::array::from_fn(|i| if i == 189 / 8 { 1 << (189 % 8) } else { 0 }));
    check([0, 0, 0, 0, 0, 0, 0, 0x0102_0304], std::array::from_fn(|i| [4, 3, 2, 1].get(i).copied().unwrap_or(0)));
}

#[test]
fn every_bit_of_a_signature_matters() {
    let (key, message) = (secret_key(1), [F::new(5); 8]);
    let bytes = key.sign(&message).to_bytes();
    for position in 0..8 * SIGNATURE_BYTES {
        let mut bytes = bytes;
        bytes[position / 8] ^= 1 << (position % 8);
        let accepted =
            Signature::from_bytes(&bytes).is_ok_and(|signature| verify(&key.public_key(), &message, &signature));
        assert!(!accepted, "bit {position}");
    }
}

#[test]
fn secret_key_does_not_show_itself() {
    let key = SecretKey::from_seed([0xab; 32]);
    assert_eq!(format!("{key:?}"), format!("SecretKey {{ public_key: PublicKey({}), .. }}", key.public_key().to_hex()));
}

#[test]
fn text_is_lower_case_hexadecimal_without_a_prefix() {
    let key = secret_key(2).public_key();
    let hex = key.to_hex();
    let check = |text: &str, expected| assert_eq!(PublicKey::from_hex(text), Err(expected), "{text}");
    check("", DecodeError::Length { expected: 56, got: 0 });
    check(&hex[1..], DecodeError::Length { expected: 56, got: 55 });
    check(&format!("0x{hex}"), DecodeError::Length { expected: 56, got: 58 });
    check(&format!("0x{}", &hex[2..]), DecodeError::HexDigit { position: 1, got: b'x' });
    check(&format!("A{}", &hex[1..]), DecodeError::HexDigit { position: 0, got: b'A' });
    check(&format!("{}é", &hex[2..]), DecodeError::HexDigit { position: 54, got: 0xc3 });
    assert_eq!(Signature::from_hex(&hex), Err(DecodeError::Length { expected: 112, got: 56 }));
}

#[test]
fn json_is_the_text_and_nothing_else() {
    let key = secret_key(3);
    let signature = key.sign(&Digest::default());
    let text = serde_json::to_string(&(key.public_key(), signature)).expect("text");
    assert_eq!(text, format!("[\"{}\",\"{}\"]", key.public_key().to_hex(), signature.to_hex()));
    let read: (PublicKey, Signature) = serde_json::from_str(&text).expect("what was written");
    assert_eq!(read, (key.public_key(), signature));

    for wrong in ["\"\"", "7", "null", &format!("\"{}\"", "f".repeat(2 * PUBLIC_KEY_BYTES))] {
        assert!(serde_json::from_str::<PublicKey>(wrong).is_err(), "{wrong}");
        assert!(serde_json::from_str::<Signature>(wrong).is_err(), "{wrong}");
    }
    let error = serde_json::from_str::<PublicKey>("\"00\"").expect_err("too short");
    assert!(error.to_string().starts_with("expected 56 bytes, got 2"), "{error}");
}

#[test]
fn batch_is_valid_at_every_length() {
    println!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let all = signed(&mut rng, 300);
    for length in (0..40).chain([63, 64, 65, 300]) {
        assert_eq!(verify_batch(&all[..length]), Ok(()), "{length} signatures");
    }
}

#[test]
fn batch_names_the_invalid_ones_wherever_they_are() {
    println!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let all = signed(&mut rng, 200);
    for length in [1, 2, 8, 9, 16, 17, 50, 200] {
        for count in [1, 2, length / 2, length] {
            let mut batch = all[..length].to_vec();
            let mut invalid = sample(&mut rng, length, count.min(length)).into_vec();
            invalid.sort_unstable();
            for index in &invalid {
                spoil(&mut batch[*index], &mut rng);
            }
            let singles: Vec<usize> =
                (0..length).filter(|index| !verify(&batch[*index].0, &batch[*index].1, &batch[*index].2)).collect();
            assert_eq!(singles, invalid);
            let expected = if invalid.is_empty() { Ok(()) } else { Err(invalid) };
            assert_eq!(verify_batch(&batch), expected, "{length} signatures");
        }
    }
}

#[test]
fn batch_larger_than_one_equation_is_split() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut batch: Vec<Signed> = signed(&mut rng, 40).into_iter().cycle().take(2 * 2048 + 11).collect();
    assert_eq!(verify_batch(&batch), Ok(()));
    let invalid = vec![0, 2047, 2048, 2 * 2048 + 10];
    for index in &invalid {
        spoil(&mut batch[*index], &mut rng);
    }
    assert_eq!(verify_batch(&batch), Err(invalid));
}

#[test]
fn errors_that_cancel_without_weights_are_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut batch = signed(&mut rng, 16);
    let (left, right) = (batch[3].2, batch[9].2);
    batch[3].2 = Signature::new(*left.r(), left.s().add(&Scalar::ONE));
    batch[9].2 = Signature::new(*right.r(), right.s().sub(&Scalar::ONE));
    assert_eq!(verify_batch(&batch), Err(vec![3, 9]));
}

#[test]
fn repeated_and_opposite_points_are_verified_in_a_batch() {
    let key = secret_key(4);
    let message = [F::new(9); 8];
    let signature = key.sign(&message);
    let mut batch = vec![(key.public_key(), message, signature); 70];
    assert_eq!(verify_batch(&batch), Ok(()));
    // R and −R, P and −P, R = P, R = G.
    let opposite = Signature::new(signature.r().neg(), signature.s().neg());
    batch[10].2 = opposite;
    batch[20] = (PublicKey::new(key.public_key().point().neg()), message, opposite);
    batch[30].2 = Signature::new(*key.public_key().point(), *signature.s());
    batch[40].2 = Signature::new(GENERATOR, Scalar::ONE);
    batch[50].0 = PublicKey::new(GENERATOR);
    assert_eq!(verify_batch(&batch), Err(vec![10, 20, 30, 40, 50]));
}

#[test]
fn decoding_any_bytes_neither_panics_nor_accepts_a_second_encoding() {
    println!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut valid = secret_key(5).sign(&Digest::default()).to_bytes();
    let mut accepted = 0;
    for _ in 0..FUZZ_ROUNDS {
        let mut bytes: [u8; SIGNATURE_BYTES] = if rng.random_range(0..4) == 0 { [0; SIGNATURE_BYTES] } else { valid };
        match rng.random_range(0..4) {
            0 => rng.fill(&mut bytes[..]),
            1 => bytes[rng.random_range(0..28)..28].iter_mut().for_each(|byte| *byte &= 0x7f),
            2 => bytes[rng.random_range(0..SIGNATURE_BYTES)] = rng.random(),
            _ => bytes[rng.random_range(0..SIGNATURE_BYTES)] ^= 1 << rng.random_range(0..8),
        }
        if let Ok(signature) = Signature::from_bytes(&bytes) {
            assert_eq!(signature.to_bytes(), bytes);
            valid = bytes;
            accepted += 1;
        }
        let mut text = PublicKey::new(GENERATOR).to_hex().into_bytes();
        text[rng.random_range(0..2 * PUBLIC_KEY_BYTES)] = rng.random();
        let text = String::from_utf8_lossy(&text);
        assert!(
            PublicKey::from_hex(&text).is_err() || PublicKey::from_hex(&text).is_ok_and(|key| key.to_hex() == text)
        );
    }
    assert!(accepted > FUZZ_ROUNDS / 4, "the fuzzer must reach what it is for: {accepted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_signed_verifies_and_nothing_else(
        seed in any::<[u8; 32]>(), other in any::<[u8; 32]>(), message in any::<[u32; 8]>(), cell in 0..8_usize,
    ) {
        let (key, other) = (SecretKey::from_seed(seed), SecretKey::from_seed(other));
        let message: Digest = F::new_array(message);
        let mut changed = message;
        changed[cell] += F::new(1);

        let signature = key.sign(&message);
        prop_assert_eq!(signature, SecretKey::from_seed(seed).sign(&message));
        prop_assert!(verify(&key.public_key(), &message, &signature));
        prop_assert!(!verify(&key.public_key(), &changed, &signature));
        prop_assert!(!verify(&other.public_key(), &message, &signature));
        prop_assert_ne!(*key.sign(&changed).r(), *signature.r());
        prop_assert_ne!(*other.sign(&message).r(), *signature.r());
    }
}
