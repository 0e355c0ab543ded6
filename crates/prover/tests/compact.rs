//! The compact option. What takes minutes and gigabytes is left out by default: `cargo xtask compact` runs it.
#![cfg(feature = "compact")]

#[path = "../../circuit/tests/common/mod.rs"]
mod common;
#[path = "compact/srs.rs"]
mod srs;

use std::{env, fs, path::Path, time::Instant};

use common::{attacks::Stage, carry_out};
use halo2_base::halo2_proofs::{halo2curves::bn256::Fr, poly::commitment::Params};
use holdfast_circuit::{last::LastPublic, verify::SegmentProof};
use holdfast_crypto::{F, field::DIGEST_ZERO, hex::to_hex};
use holdfast_exchange::Engine;
use holdfast_protocol::publication::point_in_calldata;
use holdfast_prover::{
    BatchError, Prover, SegmentLimits,
    aggregate::{
        Aggregator, NodeProof,
        compact::{
            Bn254Proof, Compact, CompactError, CompactKey, CompactProof, Fault, InnerProof, Rows,
            inner::{self, Inner},
            outer,
            setup::{Files, Setup, SetupError},
        },
        params,
    },
    fill_batch,
    jobs::{memory_peak_bytes, memory_peak_reset},
};
use openvm_stark_backend::{
    codec::{Decode, Encode},
    p3_field::{PrimeCharacteristicRing, PrimeField},
    p3_symmetric::Permutation,
    soundness::SoundnessCalculator,
};
use openvm_stark_sdk::config::{
    baby_bear_bn254_poseidon2::{Bn254Scalar, EF},
    bn254_poseidon2::default_bn254_poseidon2_width3,
};

/// Where what is dear to make is kept between runs.
const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

/// A wrap over one batch: the one of an earlier run if it is valid for the source as it is.
fn wrap(aggregator: &Aggregator) -> NodeProof {
    let valid = |bytes: &[u8]| {
        let wrap = NodeProof::decode_from_bytes(bytes).ok()?;
        aggregator.verify_wrap(&wrap).is_ok().then_some(wrap)
    };
    kept("compact.wrap", valid, || {
        let wrap = prove_wrap(aggregator);
        let bytes = encode(&wrap);
        (wrap, bytes)
    })
}

fn prove_wrap(aggregator: &Aggregator) -> NodeProof {
    let mut engine = Engine::new(&common::attacks::genesis()).expect("the genesis is valid");
    let mut after = engine.clone();
    let batch = carry_out(&mut after, 1, &Stage::instructions());
    let prover = Prover::new();
    let mut segments: Vec<SegmentProof> = Vec::new();
    let mut tree = engine.tree().clone();
    let take = |_, segment| {
        segments.push(prover.prove(segment).expect("an honest segment can be proven"));
        Ok::<(), BatchError>(())
    };
    fill_batch(engine.store_mut(), &mut tree, &batch, point_in_calldata(&batch), SegmentLimits::default(), take)
        .expect("the outcomes are those of the rules");
    let leaf = aggregator.leaf(DIGEST_ZERO, &segments).expect("a batch's segments make a leaf");
    let first = aggregator.node(&[leaf]).expect("a leaf makes a first node");
    let node = aggregator.node(&[first]).expect("a first node makes a node");
    aggregator.wrap(&node).expect("the node covers a whole batch")
}

/// The number of the tests' parameters, which everybody knows, and what the names of their files begin with.
const SECRET: u64 = 0x5eed;
const NAME: &str = "known_number";
const CEREMONY: &str = "afab56352086fa46259f26e8ab0128285a04b1cadc7616a8d1ba216520e4da38";

/// The proof with few queries, its key and its contract, as the contracts' tests have them.
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/test/vectors/compact");
const PROOF: &str = "weak.proof";
const KEY: &str = "weak.key";
const SOURCE: &str = "Halo2Verifier.sol";
const WEAK: &str = "weak";

#[test]
fn the_permutation_of_width_three_has_its_authors_known_answer() {
    // `poseidon2_tests_bn256::kats` of zkhash 0.2.0.
    let expected = [
        "0bb61d24daca55eebcb1929a82650f328134334da98ea4f847f760054f4a3033",
        "303b6f7c86d043bfcbcc80214f26a30277a15d3f74ca654992defe7ff8d03570",
        "1ed25194542b12eef8617361c3ba7c52e660b145994427cc86296242cf766ec8",
    ];
    let mut state = [Bn254Scalar::ZERO, Bn254Scalar::ONE, Bn254Scalar::TWO];
    default_bn254_poseidon2_width3().permute_mut(&mut state);
    let got = state.map(|element| format!("{:0>64}", element.as_canonical_biguint().to_str_radix(16)));
    assert_eq!(got, expected);
}

/// Writes parameters of 2^k coefficients to a new directory, lets them be changed, and reads them.
fn read_changed(k: u32, change: impl FnOnce(&mut Vec<u8>)) -> Result<Setup, SetupError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = Files::new(directory.path());
    let path = files.path(k);
    srs::write(&path, k, Fr::from(SECRET));
    let mut bytes = fs::read(&path).expect("it was written");
    assert_eq!(bytes.len() as u64, Setup::bytes(k));
    change(&mut bytes);
    fs::write(&path, bytes).expect("it can be written");
    Setup::read(&files, k)
}

#[test]
fn parameters_of_a_ceremony_are_read() {
    for k in 1..8 {
        let setup = read_changed(k, |_| {}).expect("they are well formed");
        assert_eq!(setup.params().k(), k);
        // Of 0x5eed·G₂, computed elsewhere. (The generated contract has the negative of this point.)
        assert_eq!(to_hex(&setup.ceremony()), CEREMONY);
    }
}

#[test]
fn missing_parameters_are_an_error_that_names_the_file_and_where_to_get_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let error = Setup::read(&Files::new(directory.path()), 22).expect_err("there are none");
    let (text, advice) = (error.to_string(), error.advice());
    assert!(text.contains("kzg_bn254_22.srs") && text.contains("2^22"), "{text}");
    assert!(advice.contains("ceremonies") && advice.contains("never makes"), "{advice}");
    // None are made on the way.
    assert!(fs::read_dir(directory.path()).expect("it is there").next().is_none());
}

#[test]
fn parameters_that_are_not_those_of_a_ceremony_are_refused() {
    const K: u32 = 4;
    const POINT: usize = 64;
    let points = |change: fn(&mut [u8])| read_changed(K, |bytes| change(&mut bytes[4..]));
    let swap = |points: &mut [u8], i: usize, j: usize| {
        let (low, high) = points.split_at_mut(POINT * j);
        low[POINT * i..POINT * (i + 1)].swap_with_slice(&mut high[..POINT]);
    };
    let short = read_changed(K, |bytes| bytes.truncate(bytes.len() - 1));
    assert!(matches!(short, Err(SetupError::Length { k: K, expected, got, .. }) if got + 1 == expected), "{short:?}");
    let degree = read_changed(K, |bytes| bytes[0] = 5);
    assert!(matches!(degree, Err(SetupError::Degree { expected: K, got: 5, .. })), "{degree:?}");
    let of = |result: Result<Setup, SetupError>| match result {
        Err(SetupError::Points { expected, .. }) => expected,
        other => panic!("{other:?}"),
    };
    assert_eq!(of(points(|points| points.copy_within(POINT..2 * POINT, 0))), "the generators of BN254 first");
    // One more in the lowest limb of a coordinate is another point, of another curve.
    assert_eq!(of(points(|points| points[3 * POINT] ^= 1)), "points of the curve");
    assert_eq!(of(points(|points| points[20 * POINT] ^= 1)), "points of the curve");
    assert_eq!(of(read_changed(K, |bytes| swap(&mut bytes[4..], 2, 9))), "powers of one number");
    assert_eq!(of(read_changed(K, |bytes| swap(&mut bytes[4..], 20, 25))), "Lagrange points of the powers");
    // The second group's points: the generator, and its multiple.
    let second = |points: &mut [u8]| points.len() - 2 * 128;
    let generator = read_changed(K, |bytes| {
        let at = second(bytes);
        let (one, other) = bytes[at..].split_at_mut(128);
        one.swap_with_slice(other);
    });
    assert_eq!(of(generator), "the generators of BN254 first");
    let multiple = read_changed(K, |bytes| {
        let at = second(bytes);
        bytes.copy_within(at..at + 128, at + 128);
    });
    assert_eq!(of(multiple), "powers of one number");
    let nothing = read_changed(K, |bytes| {
        let at = second(bytes) + 128;
        bytes[at..].fill(0);
    });
    assert_eq!(of(nothing), "a multiple of the second group's generator");
    assert_eq!(of(read_changed(K, |bytes| bytes[4 + 32..4 + 64].fill(0xff))), "points of the curve");
    let beyond = read_changed(K, |bytes| {
        let at = second(bytes);
        bytes[at..at + 32].fill(0xff);
    });
    assert_eq!(of(beyond), "coordinates of points");
}

/// What was kept of an earlier run, or is made now.
fn kept<T>(name: &str, read: impl Fn(&[u8]) -> Option<T>, make: impl FnOnce() -> (T, Vec<u8>)) -> T {
    let path = Path::new(KEPT).join(name);
    if let Some(found) = fs::read(&path).ok().and_then(|bytes| read(&bytes)) {
        return found;
    }
    let (made, bytes) = make();
    fs::write(&path, bytes).expect("it can be kept");
    made
}

fn encode(proof: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    proof.encode(&mut bytes).expect("it is written to memory");
    bytes
}

/// Says how long something took, and how much memory.
struct Clock(Instant);

impl Clock {
    fn say(&mut self, what: &str) {
        let gibibytes = memory_peak_bytes() as f64 / (1u64 << 30) as f64;
        println!("{:7.1} s, at most {gibibytes:.1} GiB: {what}", self.0.elapsed().as_secs_f64());
        memory_peak_reset();
        self.0 = Instant::now();
    }
}

/// All three proofs over a wrap, with the tests' own ceremony; and what must be refused.
fn proves(name: &str, aggregator: &Aggregator, compact: &Compact<'_>, rows: Rows, clock: &mut Clock) -> Sizes {
    let wrap = wrap(aggregator);
    clock.say("wrap");
    let valid = |bytes: &[u8]| {
        let proof = Bn254Proof::decode_from_bytes(bytes).ok()?;
        compact.verify_stark(&proof).is_ok().then_some(proof)
    };
    let stark = kept(&format!("{name}.stark"), valid, || {
        let proof = compact.stark(&wrap).expect("the wrap is valid");
        let bytes = encode(&proof);
        (proof, bytes)
    });
    clock.say("first proof");
    let size = compact.inner().size(&stark);
    clock.say(&format!("inner circuit: {size:?}"));
    let public = LastPublic::from_cells(&wrap.public_values[0]).expect("the wrap is valid");
    assert_eq!(compact.inner().check(&stark).ok(), Some(inner::instances(&wrap.public_values[0])));
    clock.say("inner circuit: satisfied");
    let changed = refuses_other_proofs(compact, &stark, rows);
    clock.say("inner circuit: other proofs refused");
    let loose = compact.inner().loose(&stark);
    assert!(loose.loose * LOOSE_RARE < loose.values, "{loose:?}");
    clock.say(&format!("inner circuit: {loose:?}"));

    let directory = Path::new(KEPT);
    let files = Files::named(directory, NAME);
    for k in [rows.inner, rows.outer] {
        srs::write(&files.path(k), k, Fr::from(SECRET));
    }
    clock.say("the tests' parameters");
    let read = |bytes: &[u8]| {
        let proof: InnerProof = postcard::from_bytes(bytes).ok()?;
        (proof.instances() == inner::instances(&wrap.public_values[0])).then_some(proof)
    };
    let proven = kept(&format!("{name}.inner"), read, || {
        let proof = compact.inner_proof(&files, &stark).expect("the first proof is valid");
        let bytes = postcard::to_allocvec(&proof).expect("it is data without references");
        (proof, bytes)
    });
    clock.say("inner proof, with its parameters and keys");
    // A key is the same whatever it is made over; this also says whether a proof that was kept is of this circuit.
    assert!(compact.inner_key(&files, &changed).expect("there are parameters") == proven.key());
    clock.say("inner circuit: the same key over another proof");
    let outer_size = proven.outer_size(&files).expect("there are parameters");
    clock.say(&format!("outer circuit: {outer_size:?}"));
    let again = proven.blank().outer_key(&files).expect("there are parameters");
    clock.say(&format!("outer circuit: its key over no proof, {}", to_hex(&again.id())));
    let CompactProof { key, bytes } = proven.compact(&files).expect("the inner proof is valid");
    assert_eq!(key.id(), again.id(), "the key depends on what it is made over");
    assert_eq!(to_hex(&key.ceremony()), CEREMONY);
    let (key_bytes, source) = (key.to_bytes(), key.solidity());
    clock.say(&format!(
        "outer proof, with its parameters and keys: {} bytes, key {} bytes, contract {} bytes of source",
        bytes.len(),
        key_bytes.len(),
        source.len()
    ));
    for (end, content) in [("proof", bytes.as_slice()), ("key", &key_bytes), ("sol", source.as_bytes())] {
        fs::write(directory.join(format!("{name}.{end}")), content).expect("it can be kept");
    }
    if name == WEAK && env::var("HOLDFAST_BLESS").is_ok_and(|value| value == "1") {
        for (file, content) in [(PROOF, bytes.as_slice()), (KEY, &key_bytes), (SOURCE, source.as_bytes())] {
            fs::write(Path::new(VECTORS).join(file), content).expect("it can be written");
        }
    }
    assert_eq!(key.verify(&bytes).expect("the proof is valid"), public);
    clock.say("verified");
    refuses_other_bytes(&key, &bytes);
    clock.say("other bytes refused");
    (size, outer_size)
}

type Sizes = (inner::Size, inner::Size);

/// Of so many values of the inner circuit, fewer than one may stand in no gate, or beside a zero in all of its gates. (Over few queries: 313 of 5.3 M. Nobody has gone through them one by one.)
const LOOSE_RARE: usize = 10_000;

/// The inner circuit takes no proof that is not valid for its key, and none that verified with other constraints. Returns one of those.
fn refuses_other_proofs(compact: &Compact<'_>, stark: &Bn254Proof, rows: Rows) -> Bn254Proof {
    let refused = |change: &dyn Fn(&mut Bn254Proof)| {
        let mut changed = stark.clone();
        change(&mut changed);
        assert!(compact.verify_stark(&changed).is_err());
        let refused = compact.inner().check(&changed);
        // Not because making the cells failed.
        let Err(CompactError::Unsatisfied { fault, .. }) = refused else { panic!("{refused:?}") };
        println!("          {fault}");
        changed
    };
    let changed = refused(&|proof| proof.public_values[0][16] += F::ONE);
    refused(&|proof| proof.common_main_commit[0] += Bn254Scalar::ONE);
    refused(&|proof| proof.whir_proof.final_poly[0] += EF::ONE);
    let log_heights: Vec<usize> =
        stark.trace_vdata.iter().map(|shape| shape.as_ref().map_or(0, |shape| shape.log_height)).collect();
    let constraints = stark.trace_vdata[1].as_ref().expect("it is there").cached_commitments[0];
    let same = Inner::new(compact.stark_key(), constraints, &log_heights, rows.inner);
    assert!(same.check(stark).is_ok());
    let other =
        Inner::new(compact.stark_key(), constraints.map(|one| one + Bn254Scalar::ONE), &log_heights, rows.inner);
    let refused = other.check(stark);
    let Err(CompactError::Unsatisfied { fault, .. }) = refused else { panic!("{refused:?}") };
    // That one equality, and nothing else.
    let Fault { gates, copies, constants, ranges, .. } = *fault;
    assert_eq!((gates, copies + constants, ranges), (0, 1, 0), "{fault}");
    changed
}

/// Instances of a compact proof.
const WORDS: usize = 17;

fn refuses_other_bytes(key: &CompactKey, proof: &[u8]) {
    for at in (0..WORDS).map(|word| 32 * word + 31).chain((32 * WORDS..proof.len()).step_by(32)) {
        let mut changed = proof.to_vec();
        changed[at] ^= 1;
        assert!(key.verify(&changed).is_err(), "byte {at}");
    }
    // The same instance modulo the order of the group is not the same bytes.
    for word in 0..WORDS {
        let mut changed = proof.to_vec();
        changed[32 * word] |= 0x80;
        assert!(matches!(key.verify(&changed), Err(CompactError::Public(_))), "word {word}");
    }
    let (short, long) = (&proof[1..], [proof, &[0]].concat());
    for (bytes, got) in [(short, proof.len() - 1), (&long, proof.len() + 1)] {
        let refused = key.verify(bytes);
        assert!(matches!(refused, Err(CompactError::Length { got: length, .. }) if length == got), "{refused:?}");
    }
}

fn vector(name: &str) -> Vec<u8> {
    fs::read(Path::new(VECTORS).join(name)).expect("it is committed: `cargo xtask compact bless` writes it")
}

#[test]
fn the_committed_proof_is_valid_and_no_other_bytes_are() {
    let (key, proof) = (CompactKey::from_bytes(&vector(KEY)).expect("it is a key"), vector(PROOF));
    assert_eq!(to_hex(&key.ceremony()), CEREMONY);
    let public = key.verify(&proof).expect("it is valid");
    assert_eq!((public.batch_first, public.batch_last), (1, 1));
    refuses_other_bytes(&key, &proof);
}

#[test]
fn the_committed_contract_is_that_of_the_key() {
    let key = CompactKey::from_bytes(&vector(KEY)).expect("it is a key");
    assert!(key.solidity().into_bytes() == vector(SOURCE), "the generator writes another contract");
}

/// Whoever reads a key that somebody sent gets an error, or the key of something else.
#[test]
fn other_bytes_are_no_key_or_another() {
    let (bytes, proof) = (vector(KEY), vector(PROOF));
    let refused = |bytes: &[u8]| match CompactKey::from_bytes(bytes) {
        Err(CompactError::Key(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(refused(&bytes[1..]).contains("HFC1"));
    assert!(refused(&bytes[..bytes.len() - 1]).contains("bytes"));
    assert!(refused(&[bytes.as_slice(), &[0]].concat()).contains("bytes"));
    // A few, of all parts: Halo2 makes the tables of its domain for each key that it reads, half a second.
    for at in (4..16).chain((16..bytes.len()).step_by(64)) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(key) = CompactKey::from_bytes(&changed) {
            assert_eq!(key.to_bytes(), changed, "byte {at}");
            assert!(key.verify(&proof).is_err(), "byte {at}");
        }
    }
    // Points of the curve, but not those.
    const POINT: usize = 64;
    const FIRST: usize = 14;
    let mut swapped = bytes.clone();
    let (one, other) = swapped[FIRST..].split_at_mut(POINT);
    one.swap_with_slice(&mut other[..POINT]);
    let key = CompactKey::from_bytes(&swapped).expect("it is a key");
    assert_ne!(key.id(), CompactKey::from_bytes(&bytes).expect("it is a key").id());
    assert!(matches!(key.verify(&proof), Err(CompactError::Invalid(_))));
    let mut nothing = bytes.clone();
    nothing[FIRST..FIRST + POINT].fill(0);
    assert!(refused(&nothing).contains("zero"));
    let mut nothing = bytes;
    let at = nothing.len() - 128;
    nothing[at..].fill(0);
    assert!(refused(&nothing).contains("second generator"));
}

/// With few queries, so that it takes minutes: everything but the security and the size.
#[test]
#[ignore = "it takes minutes and gigabytes: cargo xtask compact"]
fn a_wrap_becomes_a_compact_proof_of_weak_parameters() {
    let mut clock = Clock(Instant::now());
    let aggregator = Aggregator::new();
    let mut params = params::BN254.params();
    params.log_blowup = 1;
    params.logup.pow_bits = 1;
    params.whir.mu_pow_bits = 1;
    params.whir.folding_pow_bits = 1;
    params.whir.query_phase_pow_bits = 1;
    params.whir.rounds.iter_mut().for_each(|round| round.num_queries = 2);
    // The columns of the inner circuit are as many as at full size, so that the outer circuit is that of full size, but for its constants.
    let rows = Rows { inner: 21, outer: 22 };
    let compact = Compact::with_parameters(&aggregator, params, rows);
    clock.say("keys of the layers");
    let (inner, outer) = proves(WEAK, &aggregator, &compact, rows, &mut clock);
    assert_eq!((inner.columns, inner.lookup_columns), (inner::SIZE.columns, inner::SIZE.lookup_columns));
    // A smaller domain is a shorter power of its generator.
    assert_eq!(inner::Size { cells: outer.cells, ..outer::SIZE }, outer);
    assert!(outer.cells.abs_diff(outer::SIZE.cells) < 100, "{outer:?}");
}

#[test]
#[ignore = "it takes hours and 20 GiB: cargo xtask compact full"]
fn at_full_size_a_wrap_becomes_a_compact_proof() {
    let mut clock = Clock(Instant::now());
    let aggregator = Aggregator::new();
    let compact = Compact::new(&aggregator);
    let security = SoundnessCalculator::calculate_from_vk(compact.stark_key());
    clock.say(&format!("keys of the layers: {security:?}, {:?}", compact.stark_key().inner.params.whir.rounds));
    assert!(security.total_bits >= 100.0, "expected 100 bits of proven security, got {}", security.total_bits);
    let sizes = proves("compact", &aggregator, &compact, Rows::default(), &mut clock);
    assert_eq!(sizes, (inner::SIZE, outer::SIZE));
}
