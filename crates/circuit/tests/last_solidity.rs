//! The verifier contract against its Rust twin.

mod evm;

use std::{
    collections::BTreeMap,
    env, fs,
    sync::{Arc, Mutex},
};

use alloy_primitives::{B256, keccak256};
use evm::{Chain, Profile, Recorder, Verdict, check};
use holdfast_circuit::last::{
    LastKey,
    encoding::decode,
    export::{PIECE_BYTES_MAX, export},
    keccak::{EF, KeccakConfig, KeccakDigest, KeccakTranscript},
};
use holdfast_crypto::{F, field::cell_to_canonical};
use openvm_stark_backend::{FiatShamirTranscript, calculate_n_logup, p3_field::BasedVectorSpace, verifier::verify};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// The bundled key, and a proof that is valid under it. (`cargo xtask recursion bless` makes both.)
fn sample() -> (LastKey, Vec<u8>) {
    (LastKey::bundled().clone(), include_bytes!("vectors/last.proof").to_vec())
}

/// What was absorbed for each word, and the word.
type Words = Vec<(Vec<u8>, KeccakDigest)>;

/// The twin's transcript, with a list of what was absorbed for each word, and the word.
#[derive(Clone, Default)]
struct Recording {
    transcript: KeccakTranscript,
    pending: Vec<u8>,
    words: Arc<Mutex<Words>>,
}

impl Recording {
    /// Notes a word, if the transcript has drawn one since `before`.
    fn note(&mut self, before: KeccakDigest) {
        let after = self.transcript.state();
        if after != before {
            let absorbed = std::mem::take(&mut self.pending);
            self.words.lock().expect("nobody panicked").push((absorbed, after));
        }
    }
}

impl FiatShamirTranscript<KeccakConfig> for Recording {
    fn observe(&mut self, value: F) {
        self.pending.extend(cell_to_canonical(value).to_be_bytes());
        self.transcript.observe(value);
    }

    fn sample(&mut self) -> F {
        let before = self.transcript.state();
        let value = self.transcript.sample();
        self.note(before);
        value
    }

    fn observe_commit(&mut self, digest: KeccakDigest) {
        self.pending.extend(digest);
        self.transcript.observe_commit(digest);
    }

    fn observe_ext(&mut self, value: EF) {
        value
            .as_basis_coefficients_slice()
            .iter()
            .for_each(|&value| FiatShamirTranscript::<KeccakConfig>::observe(self, value));
    }

    fn sample_ext(&mut self) -> EF {
        let before = self.transcript.state();
        let value = self.transcript.sample_ext();
        self.note(before);
        value
    }
}

/// What the twin's transcript absorbs when it verifies the sample.
fn recorded(key: &LastKey, proof: &[u8]) -> Words {
    let recording = Recording::default();
    let decoded = decode(key, proof).expect("the sample decodes");
    verify(&KeccakConfig::new(key.key.inner.params.clone()), &key.key, &decoded, &mut recording.clone())
        .expect("the sample is valid");
    recording.words.lock().expect("nobody panicked").clone()
}

#[test]
fn the_transcripts_are_the_same() {
    let (key, proof) = sample();
    let words = recorded(&key, &proof);
    let mut chain = Chain::deploy(&key);
    let mut recorder = Recorder::default();
    chain.watch(&proof, &mut recorder);
    for (step, (got, expected)) in recorder.steps.iter().zip(&words).enumerate() {
        assert_eq!(got.0, expected.0, "absorbed before word {step} of {}", words.len());
        assert_eq!(got.1.0, expected.1, "word {step} of {}", words.len());
    }
    assert_eq!(recorder.steps.len(), words.len());
}

/// Bytes that a query of a round of WHIR opens.
fn opened_bytes(key: &LastKey, round: usize) -> usize {
    let params = &key.key.inner.params;
    let depth = params.log_stacked_height() + params.log_blowup - params.whir.k;
    if round == 0 {
        key.layouts().iter().map(|layout| ((4 * layout.width()) << params.whir.k) + 32 * depth).sum()
    } else {
        (16 << params.whir.k) + 32 * (depth - round)
    }
}

/// Whatever the prover chooses is absorbed, in the order in which it stands in the proof: everything but the rows and paths that queries open, which the trees' roots fix. And each
/// element makes a difference: without it, the next word is another.
#[test]
fn no_element_is_left_out_of_the_transcript() {
    let (key, proof) = sample();
    let words = recorded(&key, &proof);
    let absorbed: Vec<u8> = words.iter().flat_map(|(absorbed, _)| absorbed.iter().copied()).collect();
    let sections = sections(&key);
    // The commitment and the public values are in the preamble, among what the key says.
    let public: usize = key.key.inner.per_air.iter().map(|air| air.params.num_public_values).sum();
    let mut chosen = Vec::new();
    let mut from = 32 + 4 * public;
    for (round, config) in key.key.inner.params.whir.rounds.iter().enumerate() {
        let name = format!("WHIR {round}");
        let section = sections.iter().position(|&(_, of)| of == name).expect("every round has a section");
        let end = sections[section + 1].0;
        chosen.extend_from_slice(&proof[from..end - config.num_queries * opened_bytes(&key, round)]);
        from = end;
    }
    assert_eq!(from, proof.len());
    // After the preamble, all is of the proof; but a column that no constraint looks at in the next row has no rotated claim, for which a zero is absorbed.
    let tables = &key.key.inner.per_air;
    let without: usize =
        tables.iter().filter(|air| !air.params.need_rot).map(|air| air.params.width.total_width()).sum();
    let preamble = absorbed.len() - chosen.len() - 16 * without;
    let mut left = chosen.chunks(4).peekable();
    let zeros = absorbed[preamble..].chunks(4).filter(|element| left.next_if_eq(element).is_none());
    assert_eq!(zeros.inspect(|element| assert_eq!(*element, [0; 4])).count(), 4 * without);
    assert_eq!(left.next(), None, "not all that the prover chooses is absorbed in its order");
    let begin = &absorbed[..preamble];
    assert!(begin.windows(32).any(|window| window == &proof[..32]), "the commitment is not in the preamble");
    assert!(
        begin.windows(4 * public).any(|window| window == &proof[32..32 + 4 * public]),
        "the public values are not in the preamble"
    );

    let mut state = KeccakDigest::default();
    let mut elements = 0;
    for (absorbed, word) in &words {
        let hash = |absorbed: &[u8]| keccak256([&state[..], absorbed].concat()).0;
        assert_eq!(hash(absorbed), *word);
        for at in (0..absorbed.len()).step_by(4) {
            assert_ne!(hash(&[&absorbed[..at], &absorbed[at + 4..]].concat()), *word, "element {elements}");
            elements += 1;
        }
        state = *word;
    }
    assert_eq!(4 * elements, absorbed.len());
}

/// Where the sections of a proof begin.
fn sections(key: &LastKey) -> Vec<(usize, &'static str)> {
    let inner = &key.key.inner;
    let params = &inner.params;
    let whir = &params.whir;
    let witness = |bits: usize| if bits == 0 { 0 } else { 4 };
    let interactions: u64 = (0..inner.per_air.len())
        .map(|table| (inner.per_air[table].num_interactions() as u64) << key.log_heights[table].max(params.l_skip))
        .sum();
    let layers = params.l_skip + calculate_n_logup(params.l_skip, interactions);
    let degree = params.max_constraint_degree + 1;
    let domain = (1 << params.l_skip) - 1;
    let n_max = key.log_heights.iter().max().unwrap().saturating_sub(params.l_skip);
    let columns = |table: usize| {
        let params = &inner.per_air[table].params;
        params.width.total_width() * if params.need_rot { 2 } else { 1 }
    };
    let openings: usize = (0..inner.per_air.len()).map(columns).sum();
    let widths: Vec<usize> = key.layouts().iter().map(|layout| layout.width()).collect();
    let public: usize = inner.per_air.iter().map(|air| air.params.num_public_values).sum();
    let mut at = 0;
    let mut sections = vec![(0, "key, preamble")];
    let mut place = |name: &'static str, length: usize| {
        sections.push((at, name));
        at += length;
    };
    place("key, preamble", 32 + 4 * public + witness(params.logup.pow_bits));
    place("GKR", 16 * (1 + 4 * layers + 3 * layers * (layers - 1) / 2));
    place("batch: terms and sum-check", 16 * (2 * inner.per_air.len() + degree * domain + 1 + n_max * degree));
    place("batch: openings, constraints", 16 * openings);
    place("stacking: sum-check", 16 * (2 * domain + 1 + 2 * params.n_stack));
    place("stacking: columns", 16 * widths.iter().sum::<usize>() + witness(whir.mu_pow_bits));
    let names = ["WHIR 0", "WHIR 1", "WHIR 2", "WHIR 3", "WHIR 4", "WHIR 5", "WHIR 6", "WHIR 7"];
    for (round, config) in whir.rounds.iter().enumerate() {
        let last = round + 1 == whir.rounds.len();
        let sumcheck = whir.k * (32 + witness(whir.folding_pow_bits));
        let code = if last { 16 << params.log_final_poly_len() } else { 48 };
        place(
            names[round],
            sumcheck + code + witness(whir.query_phase_pow_bits) + config.num_queries * opened_bytes(key, round),
        );
    }
    sections.remove(0);
    sections.push((at, "end"));
    sections
}

#[test]
#[ignore = "prints where the gas goes"]
fn gas_profile() {
    let (key, proof) = sample();
    let mut chain = Chain::deploy(&key);
    let Verdict::Valid { gas, .. } = chain.verify(&proof) else { panic!("the sample is valid") };
    let mut profile = Profile::new(sections(&key));
    chain.watch(&proof, &mut profile);
    println!("{:30} {:>9} {:>10} {:>10}", "section", "bytes", "gas", "of keccak");
    for (index, window) in profile.sections.windows(2).enumerate() {
        let [(start, name), (end, _)] = window else { continue };
        println!("{name:30} {:>9} {:>10} {:>10}", end - start, profile.gas[index], profile.gas_keccak[index]);
    }
    println!(
        "{:30} {:>9} {:>10} {:>10}",
        "execution",
        proof.len(),
        gas.execution,
        profile.gas_keccak.iter().sum::<u64>()
    );
    println!("deployment: pieces of {:?} bytes, gas {:?}", chain.pieces, chain.deployment_gas);
    println!("transaction: {} gas = max({} standard, {} floor)", gas.total, gas.standard, gas.floor);
    if let Ok(path) = env::var("HOLDFAST_PROFILE") {
        let lines: Vec<String> =
            profile.counters.iter().map(|(pc, (gas, count))| format!("{pc} {gas} {count}")).collect();
        fs::write(path, lines.join("\n")).expect("the profile is written");
    }
}

const PRIME: u32 = holdfast_crypto::field::PRIME;

#[test]
fn the_sample_is_valid() {
    let (key, proof) = sample();
    let mut chain = Chain::deploy(&key);
    assert_eq!(check(&key, &mut chain, &proof, "the sample"), "valid");
    let commitment = evm::key_commitment(&mut chain);
    assert_eq!(commitment.0, export(&key).expect("the key is one for the contracts").commitment);
}

#[test]
fn other_lengths_are_refused() {
    let (key, proof) = sample();
    let mut chain = Chain::deploy(&key);
    let longer = [proof.as_slice(), &[0]].concat();
    for bytes in [&[], &proof[..1], &proof[..proof.len() - 1], &longer, &proof[1..]] {
        let error = check(&key, &mut chain, bytes, "another length");
        assert!(error.starts_with("ProofLength"), "{error}");
    }
    // Call data that is cut short is no proof, whatever its length says.
    let data = Chain::calldata(&proof);
    for length in [0, 4, 36, 68, data.len() - 64] {
        let verdict = chain.call(data.slice(..length), 1 << 24);
        let Verdict::Broken(reason) = verdict else { panic!("{verdict:?}") };
        println!("{length} bytes of call data: {reason}");
    }
}

#[test]
fn a_change_in_any_section_is_refused() {
    let (key, proof) = sample();
    let mut chain = Chain::deploy(&key);
    for window in sections(&key).windows(2) {
        let [(start, name), (end, _)] = window else { continue };
        for at in [*start, start + 16, start.midpoint(*end), end - 1] {
            let mut changed = proof.clone();
            changed[at] ^= 1;
            let error = check(&key, &mut chain, &changed, name);
            println!("{name}, byte {at}: {error}");
            assert_ne!(error, "valid", "{name}, byte {at}");
        }
    }
}

/// An element has one encoding: the same element plus p is refused, wherever it is.
#[test]
fn elements_that_are_not_canonical_are_refused() {
    let (key, proof) = sample();
    let mut chain = Chain::deploy(&key);
    let sections = sections(&key);
    let params = &key.key.inner.params;
    let depth = params.log_stacked_height() + params.log_blowup - params.whir.k;
    let mut round = 0;
    let mut tried = 0;
    for window in sections.windows(2) {
        let [(start, name), (end, _)] = window else { continue };
        // Every section but the first begins with elements, and all elements are aligned to four bytes.
        let first = if *start == 0 { 32 } else { *start };
        let mut places = vec![first, first + 4, first + 8, first + 12];
        if name.starts_with("WHIR") {
            // The last cell that a query opens, in front of its path.
            places.push(end - 32 * (depth - round) - 4);
            round += 1;
        }
        for at in places {
            let value = u32::from_be_bytes(proof[at..at + 4].try_into().expect("four bytes"));
            let Some(other) = value.checked_add(PRIME) else { continue };
            let mut changed = proof.clone();
            changed[at..at + 4].copy_from_slice(&other.to_be_bytes());
            let error = check(&key, &mut chain, &changed, name);
            assert_eq!(error, "NotCanonical", "{name}, byte {at}");
            tried += 1;
        }
    }
    assert_eq!(round, params.whir.rounds.len());
    // All canonical values have another representation in 32 bits, since 2·p < 2^32.
    assert_eq!(tried, 4 * (sections.len() - 1) + round);
}

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    (random.next_u64() % bound as u64) as usize
}

/// Random changes, from a printed seed. More of them: `HOLDFAST_MUTATIONS=10000`.
#[test]
fn contract_and_twin_agree_on_changed_proofs() {
    let (key, proof) = sample();
    let mut chain = Chain::deploy(&key);
    let mutations: u64 = env::var("HOLDFAST_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    const SEED: u64 = 0x6c61_7374;
    println!("seed {SEED:#x}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for mutation in 0..mutations {
        let mut bytes = proof.clone();
        let at = below(&mut random, bytes.len() - 16);
        let word = at & !3;
        let value = u32::from_be_bytes(bytes[word..word + 4].try_into().expect("four bytes"));
        match below(&mut random, 7) {
            0 => bytes[at] ^= 1 << below(&mut random, 8),
            1 => bytes[word..word + 4].copy_from_slice(&value.wrapping_add(PRIME).to_be_bytes()),
            2 => bytes[word..word + 4].copy_from_slice(&PRIME.to_be_bytes()),
            3 => bytes[word..word + 4].copy_from_slice(&((value + 1) % PRIME).to_be_bytes()),
            4 => bytes.copy_within(word..word + 16, below(&mut random, proof.len() - 16) & !3),
            5 => bytes[word..word + 16].fill(0),
            _ => {
                let length = below(&mut random, proof.len());
                bytes.truncate(length);
            }
        }
        let verdict = check(&key, &mut chain, &bytes, &format!("change {mutation} at {at}"));
        // An unchanged proof is valid still.
        assert_eq!(verdict == "valid", bytes == proof, "change {mutation} at {at}: {verdict}");
        let name = verdict.split_whitespace().next().unwrap_or_default().to_owned();
        *verdicts.entry(name).or_default() += 1;
    }
    println!("{verdicts:?}");
}

#[test]
fn a_verifier_is_not_deployed_with_other_data_than_it_is_told() {
    let (key, _) = sample();
    let export = export(&key).expect("the key is one for the contracts");
    let pieces: Vec<Vec<u8>> = export.pieces().map(<[u8]>::to_vec).collect();
    let commitment = B256::from(export.commitment);
    let refused = |pieces: &[Vec<u8>], commitment: B256| {
        Chain::deploy_pieces(pieces, commitment).err().unwrap_or_else(|| panic!("it is deployed"))
    };
    assert!(refused(&[], commitment).starts_with("PieceCount"));
    assert!(refused(&vec![vec![1]; 7], commitment).starts_with("PieceCount"));
    assert!(refused(&pieces, B256::ZERO).starts_with("KeyWrong"));
    assert!(refused(&pieces[..pieces.len() - 1], commitment).starts_with("KeyWrong"));
    assert!(refused(&[vec![]], commitment).starts_with("PieceWrong"));
    for piece in 0..pieces.len() {
        let mut changed = pieces.clone();
        changed[piece][1000] ^= 1;
        assert!(refused(&changed, commitment).starts_with("KeyWrong"));
    }
}

/// forge's tests and anvil's deploy the key data of the bundled key.
#[test]
fn the_key_data_of_the_contracts_tests_are_those_of_the_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/test/vectors/key.bin");
    let stored = fs::read(path).expect("the key data are there");
    let expected = export(LastKey::bundled()).expect("the key is one for the contracts").data;
    assert!(stored == expected, "{path} is not the bundled key's data: `cargo xtask recursion bless` writes it");
}

/// The commitment is to the key data, not to where they are cut: a cut through the head, from which the verifier reads where to load the rest, is refused, and any other makes no
/// difference.
#[test]
fn where_the_key_data_are_cut_makes_no_difference() {
    let (key, proof) = sample();
    let export = export(&key).expect("the key is one for the contracts");
    let commitment = B256::from(export.commitment);
    let cut = |first: usize| -> Vec<Vec<u8>> {
        let (head, rest) = export.data.split_at(first);
        std::iter::once(head).chain(rest.chunks(PIECE_BYTES_MAX)).map(<[u8]>::to_vec).collect()
    };
    for first in [1, 31, 895, 896, 925, 926, 927, 928, 991] {
        let error = Chain::deploy_pieces(&cut(first), commitment).err().expect("the head is cut");
        assert!(error.starts_with("PieceWrong"), "{first}: {error}");
    }
    let Verdict::Valid { statement: expected, .. } = Chain::deploy(&key).verify(&proof) else { panic!("it is valid") };
    for first in [992, 993, 12_345] {
        let mut chain = Chain::deploy_pieces(&cut(first), commitment).expect("the head is whole");
        match chain.verify(&proof) {
            Verdict::Valid { statement, .. } => assert_eq!(statement, expected),
            other => panic!("{first}: {other:?}"),
        }
    }
}

/// The key says how long its proofs are; the verifier sees, at the end, whether it has read as much.
#[test]
fn a_key_that_is_wrong_about_the_length_of_its_proofs_accepts_none() {
    let (key, proof) = sample();
    let mut data = export(&key).expect("the key is one for the contracts").data;
    data[24..32].copy_from_slice(&(proof.len() as u64 + 4).to_be_bytes());
    let pieces: Vec<Vec<u8>> = data.chunks(PIECE_BYTES_MAX).map(<[u8]>::to_vec).collect();
    let mut chain = Chain::deploy_pieces(&pieces, alloy_primitives::keccak256(&data)).expect("nothing else is wrong");
    let longer = [proof.as_slice(), &[0; 4]].concat();
    let Verdict::Refused { error } = chain.verify(&longer) else { panic!("it is refused") };
    assert_eq!(error, format!("ProofLength {{ expected: {}, got: {} }}", proof.len(), longer.len()));
}

/// A verifier is for proofs of a statement.
#[test]
fn a_key_with_another_number_of_public_values_is_refused() {
    let (key, _) = sample();
    let mut data = export(&key).expect("the key is one for the contracts").data;
    data[7 * 32 + 31] = 39;
    let pieces: Vec<Vec<u8>> = data.chunks(PIECE_BYTES_MAX).map(<[u8]>::to_vec).collect();
    let error = Chain::deploy_pieces(&pieces, alloy_primitives::keccak256(&data)).err().expect("it is refused");
    assert_eq!(error, "PublicValueCount { expected: 40, got: 39 }");
}

/// Key data that lie about their own length, or want to lie in the verifier's own memory, are refused though their commitment is right.
#[test]
fn key_data_for_another_place_are_refused() {
    let (key, _) = sample();
    let data = export(&key).expect("the key is one for the contracts").data;
    let (key_at, key_length) = (28 * 32, 29 * 32);
    for (word, value) in [(key_at, 0_u64), (key_at, 0x1bfff), (key_length, data.len() as u64 - 1), (key_length, 0)] {
        let mut changed = data.clone();
        changed[word + 24..word + 32].copy_from_slice(&value.to_be_bytes());
        let pieces: Vec<Vec<u8>> = changed.chunks(PIECE_BYTES_MAX).map(<[u8]>::to_vec).collect();
        let error = Chain::deploy_pieces(&pieces, keccak256(&changed)).err().expect("it is refused");
        assert!(error.starts_with("KeyMisplaced"), "{word} {value}: {error}");
    }
}
