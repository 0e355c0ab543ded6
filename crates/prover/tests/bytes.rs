//! Changed bytes of a real proof: never accepted, never a panic, never much memory.

#[path = "../../circuit/tests/common/mod.rs"]
mod common;

use common::{
    attacks::{ALICE, BOB, Stage, buy, deposit},
    carry_out,
};
use holdfast_circuit::{
    air::airs,
    verify::{Config, VerifyingKey, decode_proof, system_params, verify_segment, verifying_key},
};
use holdfast_protocol::publication::point_in_calldata;
use holdfast_prover::{BatchError, Prover, SegmentLimits, fill_batch};
use openvm_stark_backend::codec::Encode;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Changes that are decoded, and verified if they decode. (One verification takes some 30 ms.)
const CHANGES: usize = 3_000;
const VERIFIED_MAX: usize = 250;

/// Of a batch with two signatures.
fn proof() -> (VerifyingKey, Vec<u8>) {
    let mut engine = Stage::new().engine;
    let batch = carry_out(&mut engine.clone(), 2, &[deposit(ALICE, 1), deposit(BOB, 0), buy(ALICE, 9_985, 10)]);
    let prover = Prover::new();
    let mut bytes = Vec::new();
    let (store, tree) = engine.parts_mut();
    fill_batch::<BatchError>(store, tree, &batch, point_in_calldata(&batch), SegmentLimits::default(), |_, segment| {
        bytes = prover.prove(segment).unwrap().encode_to_vec().unwrap();
        Ok(())
    })
    .unwrap();
    (prover.verifying_key().clone(), bytes)
}

#[test]
fn changed_bytes_of_a_proof_are_refused() {
    let (key, honest) = proof();
    verify_segment(&key, &decode_proof(&honest).unwrap()).unwrap();

    let refused = |bytes: &[u8], may_verify: bool, what: &str| -> bool {
        let Ok(proof) = decode_proof(bytes) else { return false };
        assert_eq!(proof.encode_to_vec().unwrap(), bytes, "{what}: a proof has one encoding");
        if may_verify {
            assert!(verify_segment(&key, &proof).is_err(), "{what}: accepted");
        }
        true
    };

    let seed = 1;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut verified = 0;
    for change in 0..CHANGES {
        let mut bytes = honest.clone();
        // The front holds the lengths, and what is first observed: look there more often.
        let front = if random.random() { bytes.len() } else { bytes.len().min(1 << random.random_range(4..18)) };
        let at = random.random_range(0..front);
        let what = match random.random_range(0..6) {
            0 => {
                bytes[at] ^= 1 << random.random_range(0..8);
                format!("change {change}: a bit of byte {at}")
            }
            1 => {
                let cell = at / 4 * 4;
                let value: u32 = match random.random_range(0..4) {
                    0 => 0,
                    1 => u32::MAX,
                    2 => 1 << random.random_range(0..32),
                    _ => random.random(),
                };
                bytes[cell..cell + 4].copy_from_slice(&value.to_le_bytes());
                format!("change {change}: the cell at {cell} becomes {value}")
            }
            2 => {
                bytes.truncate(at);
                format!("change {change}: cut off at {at}")
            }
            3 => {
                bytes.remove(at);
                format!("change {change}: without byte {at}")
            }
            4 => {
                bytes.splice(at..at, (0..random.random_range(1..40)).map(|_| 0u8));
                format!("change {change}: zeros at {at}")
            }
            _ => {
                let length = random.random_range(0..2_000);
                bytes = (0..length).map(|_| random.random()).collect();
                format!("change {change}: {length} random bytes")
            }
        };
        if bytes != honest && refused(&bytes, verified < VERIFIED_MAX, &what) {
            verified += 1;
        }
    }
    assert!(verified >= VERIFIED_MAX, "{verified} changes decoded");
}

/// Where the lengths are is not known here: the first cells are tried, and many others.
#[test]
fn wrong_lengths_neither_panic_nor_take_memory() {
    let (_, honest) = proof();
    let cells = honest.len() / 4;
    for cell in (0..2_000).chain((2_000..cells).step_by(17)) {
        for value in [0u32, 0x7fff, u32::MAX] {
            let mut bytes = honest.clone();
            bytes[4 * cell..4 * cell + 4].copy_from_slice(&value.to_le_bytes());
            // Most cells are elements of the field, which may be anything below its modulus.
            let _decoded = decode_proof(&bytes);
        }
    }
}

#[test]
fn the_verifying_key_needs_no_prover() {
    let (prover, verifier) = (Prover::new(), verifying_key());
    assert_eq!(prover.verifying_key().pre_hash, verifier.pre_hash);
    assert_eq!(prover.verifying_key().inner.params, system_params());
    let key = |key: &VerifyingKey| serde_json::to_string(&key.inner).unwrap();
    assert_eq!(key(prover.verifying_key()), key(&verifier));
    assert_eq!(airs::<Config>().len(), verifier.inner.per_air.len());
}
