//! Session keys natively, on one core.

use std::{hint::black_box, time::Instant};

use holdfast_crypto::{
    Digest,
    schnorr::{PublicKey, SecretKey, Signature, verify, verify_batch},
};
use holdfast_protocol::{Deployment, authority::head_start};

/// Different keys.
const KEYS: u32 = 256;
/// Signatures.
const COUNT: usize = 1 << 12;

pub fn run() {
    let secrets: Vec<SecretKey> = (0..KEYS).map(|n| SecretKey::from_seed([n as u8; 32])).collect();
    let domain = Deployment { chain_id: 1, contract: holdfast_protocol::Address::ZERO }.domain();
    let account = holdfast_protocol::AccountId::new(3).expect("in range");
    let key = holdfast_protocol::KeyIndex::new(0).expect("in range");
    let heads: Vec<Digest> = (0..COUNT as u32).map(|n| head_start(&domain, account, key, n)).collect();

    let seconds = best(|| {
        for (head, secret) in heads.iter().zip(secrets.iter().cycle()) {
            black_box(secret.sign(head));
        }
    });
    println!("sign: {:.1} us each ({COUNT} heads, {KEYS} keys; best of 3, one core)", 1e6 * seconds / COUNT as f64);

    let signed: Vec<(PublicKey, Digest, Signature)> = heads
        .iter()
        .zip(secrets.iter().cycle())
        .map(|(head, secret)| (secret.public_key(), *head, secret.sign(head)))
        .collect();
    let seconds = best(|| {
        for (key, head, signature) in &signed {
            assert!(verify(key, head, signature));
        }
    });
    println!("verify, one by one: {:.0}/s", COUNT as f64 / seconds);
    for size in [16, 64, 256, 1_024, 4_096] {
        let seconds = best(|| {
            for batch in signed.chunks(size) {
                assert_eq!(verify_batch(batch), Ok(()));
            }
        });
        println!("verify, {size} together: {:.0}/s", COUNT as f64 / seconds);
    }
    // One key's: their terms fall together.
    let one: Vec<_> = heads.iter().map(|head| (secrets[0].public_key(), *head, secrets[0].sign(head))).collect();
    let seconds = best(|| assert_eq!(verify_batch(&one), Ok(())));
    println!("verify, {COUNT} of one key together: {:.0}/s", COUNT as f64 / seconds);

    let bytes: Vec<_> = signed.iter().map(|(_, _, signature)| signature.to_bytes()).collect();
    let seconds = best(|| {
        for bytes in &bytes {
            black_box(Signature::from_bytes(bytes)).expect("it was encoded");
        }
    });
    println!("decode a signature: {:.1} us", 1e6 * seconds / COUNT as f64);
}

fn best(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let clock = Instant::now();
        run();
        clock.elapsed().as_secs_f64()
    };
    (0..3).map(time).fold(f64::MAX, f64::min)
}
