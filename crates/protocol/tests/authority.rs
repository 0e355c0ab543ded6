//! What signatures and digests cover is frozen by `vectors/authority.json`; and nothing can change without changing it.

mod common;

use common::{account_of, key_of, sample_batch, sample_instructions, secret};
use holdfast_crypto::{Digest, field::digest_to_hex, schnorr::verify};
use holdfast_protocol::{
    AccountId, Address, Command, Deployment, Instruction, KeyIndex, Mark, MarketId, Price, Signature,
    authority::{Session, head_absorb, head_start},
    cells::{Block, PART_BITS, batch_digest, blocks},
    limits::GENERATIONS_MAX,
    wire::{Reader, decode_instruction, encode_instruction},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn deployment() -> Deployment {
    Deployment { chain_id: 1, contract: Address::ZERO }
}

fn mark(price: u32) -> Command {
    let price = Price::new(price).unwrap();
    Command::Mark(Mark { sender: account_of(1), market: MarketId::new(0).unwrap(), price })
}

/// All blocks of an instruction.
fn all_blocks(instruction: &Instruction) -> Vec<Block> {
    let blocks = blocks(instruction);
    std::iter::once(blocks.first).chain(blocks.further().iter().copied()).collect()
}

proptest! {
    /// A client that signs one instruction has not signed another: any other has other blocks. (Most wire encodings that
    /// differ in one byte are those of instructions that differ in one field.)
    #[test]
    fn instructions_that_differ_have_blocks_that_differ(
        instruction in common::instruction(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = Vec::new();
        encode_instruction(&instruction, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = decode_instruction(&mut Reader::new(&bytes)) {
            prop_assert_eq!(all_blocks(&other) == all_blocks(&instruction), other == instruction);
        }
    }

    /// The kind fixes how many blocks there are, so that a sequence of blocks is read in one way only.
    #[test]
    fn blocks_fit_their_cells(instruction in common::instruction()) {
        let blocks = all_blocks(&instruction);
        let kind = instruction.command.kind();
        prop_assert_eq!(blocks[0][0] % 16, kind);
        prop_assert_eq!(blocks.len(), match kind { 10 => 2, 11 => 3, _ => 1 });
        prop_assert!(blocks[0].iter().all(|cell| cell >> PART_BITS == 0));
    }
}

#[test]
fn samples_have_blocks_of_their_own() {
    let samples = sample_instructions();
    for (first, (name, instruction)) in samples.iter().enumerate() {
        for (other_name, other) in &samples[..first] {
            assert_ne!(all_blocks(instruction), all_blocks(other), "{name}, {other_name}");
        }
    }
}

#[test]
fn chains_start_apart() {
    let deployments = [
        deployment(),
        Deployment { chain_id: 2, ..deployment() },
        Deployment { chain_id: 1 << 28, ..deployment() },
        Deployment { chain_id: 1 << 63, ..deployment() },
        Deployment { contract: Address::repeat_byte(1), ..deployment() },
        Deployment { contract: Address::with_last_byte(1), ..deployment() },
    ];
    let mut heads: Vec<Digest> = Vec::new();
    for deployment in deployments {
        for (account, key, generation) in
            [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2), ((1 << 20) - 1, 3, 1), (0, 0, GENERATIONS_MAX - 1)]
        {
            heads.push(head_start(&deployment.domain(), account_of(account), key_of(key), generation));
        }
    }
    for (first, head) in heads.iter().enumerate() {
        assert!(!heads[..first].contains(head), "chain {first}");
    }
}

#[test]
fn an_instruction_has_another_head_in_another_place_of_the_chain() {
    let instruction = Instruction { key: key_of(0), command: mark(7) };
    let start = head_start(&deployment().domain(), account_of(1), key_of(0), 1);
    assert_ne!(head_absorb(&start, 0, &instruction), head_absorb(&start, 1, &instruction));
    let later = head_absorb(&start, 0, &instruction);
    assert_ne!(head_absorb(&start, 1, &instruction), head_absorb(&later, 1, &instruction));
    let by_other_key = Instruction { key: key_of(1), ..instruction };
    assert_ne!(head_absorb(&start, 0, &instruction), head_absorb(&start, 0, &by_other_key));
}

#[test]
fn a_session_signs_the_head_after_each_command() {
    let domain = deployment().domain();
    let (account, key) = (account_of(1), key_of(2));
    let mut session = Session::new(secret(9), &domain, account, key, 4);
    let public_key = secret(9).public_key();
    let mut head = head_start(&domain, account, key, 4);
    for sequence in 0..3 {
        let request = session.request(mark(100 + sequence));
        assert_eq!((request.sequence, request.instruction.session()), (sequence, (account, key)));
        head = head_absorb(&head, sequence, &request.instruction);
        assert_eq!((session.head(), session.sequence()), (&head, sequence + 1));
        assert!(verify(&public_key, &head, &request.signature));
    }

    // Taken up where it stands, it goes on in the same way; and a signature covers what was appended without one.
    let mut resumed = Session::resume(secret(9), key, 3, head);
    let appended = [session.extend(mark(1)), session.extend(mark(2))];
    let resumed = [resumed.request(mark(1)), resumed.request(mark(2))];
    assert_eq!(resumed.map(|request| request.instruction), appended);
    assert_eq!(session.sign(), resumed[1].signature);
    let head = head_absorb(&head_absorb(&head, 3, &appended[0]), 4, &appended[1]);
    assert!(verify(&public_key, &head, &session.sign()));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    domains: Vec<DomainVector>,
    starts: Vec<StartVector>,
    /// The chain of the first start's session; its instructions are in `wire.json`, in the same order.
    chain: Vec<ChainVector>,
    /// Signatures of the key whose seed is 32 bytes of 9, of the heads of the chain.
    signatures: Vec<Signature>,
    /// Of the last batch of `wire.json`.
    batch_digest: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainVector {
    deployment: Deployment,
    domain: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartVector {
    /// Index of the domain.
    domain: usize,
    account: AccountId,
    key: KeyIndex,
    generation: u32,
    head: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainVector {
    name: String,
    sequence: u32,
    blocks: Vec<Block>,
    head: String,
}

fn vectors() -> Vectors {
    let deployments = [
        deployment(),
        Deployment { chain_id: u64::MAX, contract: Address::repeat_byte(0xff) },
        Deployment { chain_id: 31_337, contract: Address::from(std::array::from_fn(|i| i as u8 + 1)) },
    ];
    let domain = |deployment: Deployment| DomainVector { domain: digest_to_hex(&deployment.domain()), deployment };
    let start = |(domain, account, key, generation): (usize, u32, u32, u32)| {
        let (account, key) = (account_of(account), key_of(key));
        let head = head_start(&deployments[domain].domain(), account, key, generation);
        StartVector { domain, account, key, generation, head: digest_to_hex(&head) }
    };
    let starts = [(0, 17, 0, 1), (1, (1 << 20) - 1, 3, GENERATIONS_MAX - 1), (2, 0, 0, 1)];
    let mut head = head_start(&deployments[0].domain(), account_of(17), key_of(0), 1);
    let (mut chain, mut signatures) = (Vec::new(), Vec::new());
    for (sequence, (name, instruction)) in (0..).zip(sample_instructions()) {
        head = head_absorb(&head, sequence, &instruction);
        let blocks = all_blocks(&instruction);
        chain.push(ChainVector { name: name.into(), sequence, blocks, head: digest_to_hex(&head) });
        signatures.push(secret(9).sign(&head));
    }
    Vectors {
        domains: deployments.map(domain).into(),
        starts: starts.map(start).into(),
        chain,
        signatures,
        batch_digest: digest_to_hex(&batch_digest(&sample_batch())),
    }
}

/// `HOLDFAST_BLESS=1` rewrites the vectors: every signature ever made is void then.
#[test]
fn chains_equal_the_golden_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/authority.json");
    if std::env::var("HOLDFAST_BLESS").as_deref() == Ok("1") {
        std::fs::write(path, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
    }
    let golden: Vectors = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden, vectors());
}
