//! Words as blobs, and back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use alloy::{
    eips::eip4844::Blob,
    primitives::{B256, U256},
    transports::BoxFuture,
};
use holdfast_settlement::{
    Result,
    blobs::{
        BlobError, Blobs, COEFFICIENTS, Kept, Place, blobs_from_words, check, evaluate, pick, read_blobs,
        read_sidecars, sidecar, versioned_hash, words_from_blobs,
    },
    publication::{MODULUS, WORD_BYTES, Word, words_from_bytes},
};
use proptest::prelude::*;
use rand::{RngCore, SeedableRng, rngs::StdRng};

/// Gives a blob once, and nothing then: as consensus clients do after some weeks.
struct Once(AtomicBool, Blob);

impl Blobs for Once {
    fn get<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Blob>>> {
        let gone = BlobError::Gone { block: place.block, reason: "it is too old".into() };
        let answer = if self.0.swap(true, Ordering::Relaxed) { Err(gone.into()) } else { Ok(vec![self.1]) };
        Box::pin(async move { answer })
    }
}

#[tokio::test]
async fn what_was_seen_is_kept_and_what_is_damaged_is_not_believed() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let blob = blobs_from_words(&random_words(50, 3)).remove(0);
    let hash = versioned_hash(&blob).expect("it is a blob");
    let place = Place { block: 1, timestamp: 12, transaction: B256::ZERO, hashes: vec![hash] };
    let kept = Kept::new(folder.path(), Arc::new(Once(AtomicBool::new(false), blob))).expect("a directory");
    assert_eq!(kept.get(&place).await.expect("it is there"), [blob]);
    assert_eq!(kept.get(&place).await.expect("it is kept"), [blob]);
    let path = folder.path().join(format!("{hash}.blob"));
    let mut bytes = std::fs::read(&path).expect("the file is there");
    for change in [0, bytes.len() - 1] {
        bytes[change] ^= 1;
        std::fs::write(&path, &bytes).expect("it is written");
        let error = kept.get(&place).await.expect_err("it is another blob");
        assert!(error.to_string().contains("it is too old"), "{error}");
        bytes[change] ^= 1;
    }
    std::fs::write(&path, &bytes[1..]).expect("it is written");
    assert!(kept.get(&place).await.is_err());
    // What the keeper gives is checked before it is kept.
    let other = blobs_from_words(&random_words(50, 4)).remove(0);
    let liar = Kept::new(folder.path(), Arc::new(Once(AtomicBool::new(false), other))).expect("a directory");
    assert!(liar.get(&place).await.is_err_and(|error| error.to_string().contains("versioned hash")));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a directory").count(), 1);
}

fn random_words(count: usize, seed: u64) -> Vec<Word> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut words = vec![[0; WORD_BYTES]; count];
    words.iter_mut().for_each(|word| random.fill_bytes(word));
    if let Some(first) = words.first_mut() {
        first[29] |= 1;
    }
    words
}

/// Σ word_i z^(N − 1 − i), as the contract adds it up for calldata.
fn value(words: &[Word], z: U256) -> U256 {
    words.iter().fold(U256::ZERO, |sum, word| {
        let word = U256::try_from_be_slice(word).expect("30 bytes");
        sum.mul_mod(z, MODULUS).add_mod(word, MODULUS)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn words_come_back(count in 0_usize..9_000, seed: u64) {
        let words = random_words(count, seed);
        let blobs = blobs_from_words(&words);
        prop_assert_eq!(blobs.len(), count.div_ceil(COEFFICIENTS));
        prop_assert_eq!(words_from_blobs(&blobs).expect("they are words"), words);
    }

    /// Whatever bytes: words that give the same blobs, or an error.
    #[test]
    fn other_blobs_are_refused(seed: u64, changes in 1_usize..40) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut blobs = blobs_from_words(&random_words(5_000, seed));
        for _ in 0..changes {
            let (blob, byte) = (random.next_u32() as usize % 2, random.next_u32() as usize % 131_072);
            blobs[blob].0[byte] ^= 1 << (random.next_u32() % 8);
        }
        match words_from_blobs(&blobs) {
            Ok(words) => prop_assert_eq!(blobs_from_words(&words), blobs),
            Err(error) => {
                let refused = matches!(error, BlobError::NotAWord { .. } | BlobError::NotCanonical { .. });
                prop_assert!(refused, "{}", error);
            }
        }
    }

    #[test]
    fn answers_of_strangers(text in "\\PC*", bytes: Vec<u8>) {
        let _ = (read_blobs(&text), read_sidecars(&text), words_from_bytes(&bytes));
        let listed = format!("{{\"data\":[\"0x{}\"]}}", alloy::primitives::hex::encode(&bytes));
        prop_assert_eq!(read_blobs(&listed), Err(BlobError::Length(bytes.len())));
    }
}

#[test]
fn the_edges() {
    for count in [1, 2, COEFFICIENTS - 1, COEFFICIENTS, COEFFICIENTS + 1, 2 * COEFFICIENTS] {
        let words = random_words(count, 1);
        assert_eq!(words_from_blobs(&blobs_from_words(&words)).expect("words"), words, "{count}");
    }
    assert_eq!(words_from_blobs(&[]), Ok(Vec::new()));
    assert_eq!(words_from_blobs(&[Blob::ZERO]), Ok(Vec::new()));
    assert_eq!(words_from_blobs(&[Blob::repeat_byte(0xff)]), Err(BlobError::NotCanonical { blob: 0, element: 0 }));
    // A constant polynomial of 241 bits.
    let mut wide = Blob::ZERO;
    wide.0.chunks_exact_mut(32).for_each(|element| element[1] = 1);
    assert_eq!(words_from_blobs(&[wide]), Err(BlobError::NotAWord { coefficient: 0 }));
}

/// The blobs' values at a point, by the commitments' proofs, are those of the words: Σ_b y_b z^(4096 b).
#[test]
fn values_at_a_point() {
    let words = random_words(4_200, 3);
    let blobs = blobs_from_words(&words);
    let carried = sidecar(blobs.clone()).expect("a sidecar");
    let z = U256::from(0x1234_5678_u64).pow(U256::from(7)) % MODULUS;
    let step = z.pow_mod(U256::from(COEFFICIENTS), MODULUS);
    let found = evaluate(&blobs, &carried.commitments, z).expect("values");
    let sum = found
        .iter()
        .rev()
        .fold(U256::ZERO, |sum, one| sum.mul_mod(step, MODULUS).add_mod(U256::from_be_bytes(one.y.0), MODULUS));
    assert_eq!(sum, value(&words, z));

    let hashes: Vec<B256> = carried.versioned_hashes().collect();
    check(&blobs, &hashes).expect("they are of these hashes");
    assert_eq!(versioned_hash(&blobs[0]).expect("a hash"), hashes[0]);
    let swapped: Vec<B256> = hashes.iter().rev().copied().collect();
    assert!(matches!(check(&blobs, &swapped), Err(BlobError::Hash { blob: 0, .. })));
    assert_eq!(check(&blobs[..1], &hashes), Err(BlobError::Count { expected: 2, got: 1 }));

    // A slot's blobs, of other transactions too, in any order.
    let place = Place { block: 1, timestamp: 0, transaction: B256::ZERO, hashes: hashes.clone() };
    let text = |blob: &Blob| format!("\"{}\"", alloy::primitives::hex::encode_prefixed(blob));
    let list = format!("{{\"data\":[{},{},{}]}}", text(&Blob::ZERO), text(&blobs[1]), text(&blobs[0]));
    assert_eq!(pick(&read_blobs(&list).expect("blobs"), &place).expect("all are there"), blobs);
    let item = |at: usize| {
        format!(
            "{{\"index\":\"{at}\",\"blob\":{},\"kzg_commitment\":\"{}\"}}",
            text(&blobs[at]),
            carried.commitments[at]
        )
    };
    let list = format!("{{\"data\":[{},{}]}}", item(1), item(0));
    assert_eq!(pick(&read_sidecars(&list).expect("sidecars"), &place).expect("all are there"), blobs);
    assert!(matches!(pick(&[], &place), Err(BlobError::Gone { block: 1, .. })));
}
