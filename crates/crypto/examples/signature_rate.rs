//! Measures how long signing and verifying take, on one thread.
//!
//! Run it with `RUSTFLAGS="-C target-cpu=native" cargo run --release -p holdfast-crypto --example signature_rate`.

use std::hint::black_box;
use std::time::Instant;

use holdfast_crypto::Digest;
use holdfast_crypto::poseidon2::LANES;
use holdfast_crypto::schnorr::{PublicKey, SecretKey, Signature, verify, verify_batch};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 1;

const BATCH_MAX: usize = 4096;

/// Each figure is the best of so many short measurements, so that other work on the machine counts as little as can be.
const REPETITIONS: usize = 100;

fn main() {
    println!("lanes {LANES}, seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let keys: Vec<SecretKey> = (0..BATCH_MAX).map(|_| SecretKey::from_seed(rng.random())).collect();
    let signed: Vec<(PublicKey, Digest, Signature)> = keys
        .iter()
        .map(|key| {
            let message = rng.random();
            (key.public_key(), message, key.sign(&message))
        })
        .collect();
    let same_key: Vec<(PublicKey, Digest, Signature)> =
        signed.iter().map(|(_, message, _)| (keys[0].public_key(), *message, keys[0].sign(message))).collect();

    let some = &signed[..16];
    report("key from seed", some.len(), || {
        for _ in some {
            black_box(SecretKey::from_seed(black_box([7; 32])));
        }
    });
    report("sign", some.len(), || {
        for ((_, message, _), key) in some.iter().zip(&keys) {
            black_box(key.sign(message));
        }
    });
    report("verify", some.len(), || {
        assert!(some.iter().all(|(public_key, message, signature)| verify(public_key, message, signature)));
    });
    let encoded: Vec<_> = signed[..256].iter().map(|(_, _, signature)| signature.to_bytes()).collect();
    report("decode signature", encoded.len(), || {
        assert!(encoded.iter().all(|bytes| Signature::from_bytes(bytes).is_ok()));
    });
    for batch in [2, 16, 64, 256, 1024, 4096] {
        report(&format!("verify batch of {batch}"), batch, || assert!(verify_batch(&signed[..batch]).is_ok()));
        report(&format!("verify batch of {batch}, same key"), batch, || {
            assert!(verify_batch(&same_key[..batch]).is_ok());
        });
    }

    let mut invalid = signed[..1024].to_vec();
    invalid[500].1 = Digest::default();
    report("verify batch of 1024, one invalid", 1024, || assert_eq!(verify_batch(&invalid), Err(vec![500])));
    let mut invalid = signed[..256].to_vec();
    invalid.iter_mut().for_each(|(_, message, _)| *message = Digest::default());
    report("verify batch of 256, all invalid", 256, || assert_eq!(verify_batch(&invalid), Err((0..256).collect())));
    let repeated = vec![signed[0]; 1024];
    report("verify batch of 1024, all the same", 1024, || assert!(verify_batch(&repeated).is_ok()));
}

fn report(name: &str, count: usize, mut work: impl FnMut()) {
    let seconds = (0..REPETITIONS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:>36}: {:8.2} µs, {:9.0} a second", seconds * 1e6 / count as f64, count as f64 / seconds);
}
