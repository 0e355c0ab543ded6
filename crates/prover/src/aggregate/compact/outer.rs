//! The Halo2 circuit that verifies the inner circuit's proof, and is verified by Ethereum: one column, so that its proof is short, and a transcript under Keccak-256.
//!
//! The inner proof is verified but for its pairing: the two points that are to be paired become the first twelve instances (four coordinates of three limbs), and whoever verifies pairs them. The other
//! instances are those of the inner proof.

use std::rc::Rc;

use halo2_base::{
    gates::circuit::CircuitBuilderStage,
    halo2_proofs::{
        halo2curves::bn256::{Bn256, Fq, Fr, G1Affine},
        plonk::{ProvingKey, keygen_pk2},
        poly::commitment::{Params, ParamsProver},
    },
};
use holdfast_circuit::last::LastPublic;
use holdfast_crypto::F;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use snark_verifier_sdk::{
    CircuitExt, LIMBS, NativeLoader, PlonkVerifier, SHPLONK, Snark,
    evm::gen_evm_proof_shplonk,
    halo2::aggregation::{AggregationCircuit, AggregationConfigParams, VerifierUniversality},
    snark_verifier::{
        loader::evm::EvmLoader,
        pcs::kzg::KzgDecidingKey,
        system::halo2::{Config, compile, transcript::evm::EvmTranscript},
        verifier::{SnarkVerifier, plonk::PlonkProtocol},
    },
};

use super::{
    CompactError,
    inner::{self, FREE_ROWS, INSTANCES, Size},
    setup::Setup,
};

/// The circuit's rows, as a base-2 logarithm.
pub const K: u32 = 23;
/// What the circuit takes: an estimate from the number of rows, until it has been made on a machine large enough (`inner::SIZE` is measured).
pub const SIZE: Size = Size { k: K, cells: 8000000, lookups: 1000000, columns: 1, lookup_columns: 1, fixed_columns: 1 };
/// Instances that are the points to be paired.
const ACCUMULATOR: usize = 4 * LIMBS;
/// Bytes of an instance.
const WORD_BYTES: usize = 32;

/// What a compact proof is verified against.
///
/// It follows from the source and from the ceremony's parameters, and is too dear to be made again by whoever verifies: its id is what they compare.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompactKey {
    /// Commitments to the circuit, and the identity that a proof must satisfy.
    protocol: PlonkProtocol<G1Affine>,
    /// The generators, and the ceremony's number times the second.
    deciding: KzgDecidingKey<Bn256>,
    /// Bytes of a proof without its instances.
    proof_bytes: usize,
}

/// The version that the generator writes, and the one that the contracts are compiled by.
const PRAGMA: &str = "pragma solidity 0.8.19;";
const SOLIDITY: &str = "pragma solidity 0.8.37;";

/// What a key's bytes begin with.
const MAGIC: [u8; 4] = *b"HFC1";

/// The circuit, populated over an inner proof.
fn circuit(stage: CircuitBuilderStage, setup: &Setup, snark: Snark) -> AggregationCircuit {
    // Of the parameters, the generator alone is used.
    let params = setup.params();
    let config =
        AggregationConfigParams { degree: params.k(), lookup_bits: params.k() as usize - 1, ..Default::default() };
    let mut circuit = AggregationCircuit::new::<SHPLONK>(stage, config, params, [snark], VerifierUniversality::None);
    circuit.expose_previous_instances(false);
    circuit
}

/// Counts the circuit's cells, over an inner proof.
pub fn size(setup: &Setup, snark: Snark) -> Size {
    let mut circuit = circuit(CircuitBuilderStage::Keygen, setup, snark);
    circuit.calculate_params(Some(FREE_ROWS));
    inner::size(&circuit.builder)
}

/// Makes the keys, and proves an inner proof: the key to verify with, and the bytes that Ethereum verifies.
pub(super) fn prove(setup: &Setup, snark: Snark) -> Result<(CompactKey, Vec<u8>), CompactError> {
    let failed = |error: &dyn std::fmt::Display| CompactError::Prover { circuit: "outer", reason: error.to_string() };
    let mut keygen = circuit(CircuitBuilderStage::Keygen, setup, snark.clone());
    let config = keygen.calculate_params(Some(FREE_ROWS));
    let params = setup.params();
    let proving: ProvingKey<G1Affine> = keygen_pk2(params, &keygen, false).map_err(|error| failed(&error))?;
    let break_points = keygen.break_points();
    let instances = keygen.num_instance();
    drop(keygen);

    let prover = circuit(CircuitBuilderStage::Prover, setup, snark).use_params(config).use_break_points(break_points);
    let values = prover.instances();
    // Verified by Halo2's own verifier on the way.
    let proof = gen_evm_proof_shplonk(params, &proving, prover, values.clone());
    let describe = Config::kzg().with_num_instance(instances);
    let describe = describe.with_accumulator_indices(AggregationCircuit::accumulator_indices());
    let key = CompactKey {
        protocol: compile(params, proving.get_vk(), describe),
        deciding: (params.get_g()[0], params.g2(), params.s_g2()).into(),
        proof_bytes: proof.len(),
    };
    let mut bytes: Vec<u8> = values[0].iter().flat_map(word).collect();
    bytes.extend_from_slice(&proof);
    key.verify(&bytes)?;
    Ok((key, bytes))
}

/// An instance as Ethereum has it.
fn word(value: &Fr) -> [u8; WORD_BYTES] {
    let mut word = value.to_bytes();
    word.reverse();
    word
}

impl CompactKey {
    /// A magic number, and the serialisation of `postcard`.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, MAGIC.to_vec()).expect("a key is data without references")
    }

    /// Reads a key. Its author is trusted: compare its [`CompactKey::id`].
    ///
    /// # Errors
    ///
    /// If the bytes are not those of a key for proofs of this program's kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CompactError> {
        let wrong = |reason: &str| CompactError::Key(reason.to_owned());
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| wrong("expected the bytes `HFC1` first"))?;
        let (key, rest): (Self, _) = postcard::take_from_bytes(rest).map_err(|error| wrong(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(wrong("expected nothing after it"));
        }
        if key.protocol.num_instance != [ACCUMULATOR + INSTANCES] || key.protocol.accumulator_indices.len() != 1 {
            return Err(wrong("expected two points to be paired and five other instances"));
        }
        Ok(key)
    }

    /// SHA-256 of the key's bytes: a name for it.
    pub fn id(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// Bytes of a proof, its instances included.
    pub fn length(&self) -> usize {
        WORD_BYTES * (ACCUMULATOR + INSTANCES) + self.proof_bytes
    }

    /// Verifies a proof as the contract does, and returns what it says.
    ///
    /// # Errors
    ///
    /// If it is not valid for this key.
    pub fn verify(&self, bytes: &[u8]) -> Result<LastPublic, CompactError> {
        if bytes.len() != self.length() {
            return Err(CompactError::Length { expected: self.length(), got: bytes.len() });
        }
        let (words, proof) = bytes.split_at(WORD_BYTES * (ACCUMULATOR + INSTANCES));
        let instances = words.chunks_exact(WORD_BYTES).map(|word| {
            let mut bytes: [u8; WORD_BYTES] = word.try_into().expect("32 bytes");
            bytes.reverse();
            Option::<Fr>::from(Fr::from_bytes(&bytes))
        });
        let instances: Vec<Fr> = instances
            .collect::<Option<_>>()
            .ok_or_else(|| CompactError::Public("expected elements below BN254's order".into()))?;
        let public = self.public(&instances[ACCUMULATOR..])?;
        let (instances, invalid) =
            ([instances], |error: &dyn std::fmt::Debug| CompactError::Invalid(format!("{error:?}")));
        let mut transcript = EvmTranscript::<G1Affine, NativeLoader, &[u8], Vec<u8>>::new(proof);
        let read = PlonkVerifier::<SHPLONK>::read_proof(&self.deciding, &self.protocol, &instances, &mut transcript)
            .map_err(|error| invalid(&error))?;
        PlonkVerifier::<SHPLONK>::verify(&self.deciding, &self.protocol, &instances, &read)
            .map_err(|error| invalid(&error))?;
        Ok(public)
    }

    fn public(&self, instances: &[Fr]) -> Result<LastPublic, CompactError> {
        let cells: Option<Vec<[F; 8]>> = instances.iter().map(inner::cells).collect();
        cells
            .and_then(|cells| LastPublic::from_cells(cells.as_flattened()))
            .ok_or_else(|| CompactError::Public(format!("expected {} cells in range", LastPublic::CELLS)))
    }

    /// The source of a contract that verifies proofs of this key. Its input is a proof's bytes, without a selector; it reverts if they are not valid.
    pub fn solidity(&self) -> String {
        let loader = EvmLoader::new::<Fq, Fr>();
        let protocol = self.protocol.loaded(&loader);
        let mut transcript = EvmTranscript::<G1Affine, Rc<EvmLoader>, _, _>::new(&loader);
        let instances = transcript.load_instances(self.protocol.num_instance.clone());
        let proof = PlonkVerifier::<SHPLONK>::read_proof(&self.deciding, &protocol, &instances, &mut transcript)
            .expect("code is written, nothing read");
        PlonkVerifier::<SHPLONK>::verify(&self.deciding, &protocol, &instances, &proof)
            .expect("code is written, nothing verified");
        loader.solidity_code().trim().replacen(PRAGMA, SOLIDITY, 1) + "\n"
    }
}
