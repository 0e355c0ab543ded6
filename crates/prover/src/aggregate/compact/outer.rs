//! The Halo2 circuit that verifies the inner circuit's proof, and is verified by Ethereum: one column, so that its proof is short, and a transcript under Keccak-256.
//!
//! The inner proof is verified but for its pairing: the two points that are to be paired become the first twelve instances (four coordinates of three limbs), and whoever verifies pairs them. The other
//! instances are those of the inner proof.

use std::{io, rc::Rc};

use halo2_base::{
    gates::circuit::CircuitBuilderStage,
    halo2_proofs::{
        SerdeFormat,
        halo2curves::{
            CurveAffine,
            bn256::{Bn256, Fq, Fr, G1, G1Affine, G2Affine},
            group::prime::PrimeCurveAffine,
            serde::SerdeObject,
        },
        plonk::{ProvingKey, VerifyingKey, keygen_pk2, keygen_vk},
        poly::{
            LagrangeCoeff, Polynomial,
            commitment::{Blind, Params},
            kzg::{commitment::ParamsKZG, msm::MSMKZG},
        },
    },
};
use holdfast_circuit::last::LastPublic;
use holdfast_crypto::F;
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
    setup::{self, G1_BYTES, G2_BYTES, Setup},
};

/// The circuit's rows, as a base-2 logarithm.
pub const K: u32 = 22;
/// What the circuit takes over an inner proof of [`inner::SIZE`]: counted, and the test below counts it again. One column has it, with some 34,000 rows to spare.
pub const SIZE: Size =
    Size { k: K, cells: 4_159_734, lookups: 501_639, columns: 1, lookup_columns: 1, fixed_columns: 1 };
/// Instances that are the points to be paired.
const ACCUMULATOR: usize = 4 * LIMBS;
/// Bytes of an instance.
const WORD_BYTES: usize = 32;
/// Bytes of a point, and points by which SHPLONK opens all columns.
const POINT_BYTES: usize = 64;
const OPENINGS: usize = 2;

/// Columns whose commitments make up a key: constants, the table of ranges, selectors of gates and of ranges; and the permutation's, of the advice, the constants and the instances.
const FIXED_COLUMNS: u32 = 4;
const COLUMNS: usize = FIXED_COLUMNS as usize + 3;
/// Bytes in front of them in Halo2's format: its version, the rows, whether selectors share columns (they do not), and the number of fixed columns.
const FORMAT_BYTES: usize = 1 + 4 + 1 + 4;
const FORMAT_VERSION: u8 = 2;
/// Rows that a circuit of a key may have, as base-2 logarithms.
const ROWS: std::ops::RangeInclusive<u32> = 10..=24;
const KEY_BYTES: usize = MAGIC.len() + FORMAT_BYTES + COLUMNS * G1_BYTES as usize + G2_BYTES as usize;

/// What a compact proof is verified against: the commitments to the circuit's columns, and the ceremony's number times the second generator. All else follows from the source.
///
/// It follows from the source and from the ceremony's parameters, and is too dear to be made again by whoever verifies: its id is what they compare.
#[derive(Debug, Clone)]
pub struct CompactKey {
    columns: VerifyingKey<G1Affine>,
    secret: G2Affine,
    /// The identity that a proof must satisfy.
    protocol: PlonkProtocol<G1Affine>,
}

/// The version that the generator writes, and the one that the contracts are compiled by.
const PRAGMA: &str = "pragma solidity 0.8.19;";
const SOLIDITY: &str = "pragma solidity 0.8.37;";

/// What a key's bytes begin with.
const MAGIC: [u8; 4] = *b"HFC1";

/// A number of rows, as `compile` wants it: as parameters, of which it reads nothing else.
#[derive(Debug, Clone)]
struct NoSetup(u32);

impl Params<'_, G1Affine> for NoSetup {
    type MSM = MSMKZG<Bn256>;

    fn k(&self) -> u32 {
        self.0
    }

    fn n(&self) -> u64 {
        1 << self.0
    }

    fn downsize(&mut self, k: u32) {
        self.0 = k;
    }

    fn empty_msm(&self) -> Self::MSM {
        MSMKZG::new()
    }

    fn commit_lagrange(&self, _: &Polynomial<Fr, LagrangeCoeff>, _: Blind<Fr>) -> G1 {
        unreachable!("there are no parameters")
    }

    fn write<W: io::Write>(&self, _: &mut W) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read<R: io::Read>(_: &mut R) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The circuit's columns, if it has 2^k rows: one of advice, so that a proof is short.
fn columns(k: u32) -> AggregationConfigParams {
    AggregationConfigParams {
        degree: k,
        num_advice: 1,
        num_lookup_advice: 1,
        num_fixed: 1,
        lookup_bits: k as usize - 1,
    }
}

/// The circuit of 2^k rows, populated over an inner proof. Of the parameters, the generator alone is used.
fn circuit(stage: CircuitBuilderStage, params: &ParamsKZG<Bn256>, k: u32, snark: Snark) -> AggregationCircuit {
    let config = AggregationConfigParams { degree: k, lookup_bits: k as usize - 1, ..Default::default() };
    let mut circuit = AggregationCircuit::new::<SHPLONK>(stage, config, params, [snark], VerifierUniversality::None);
    circuit.expose_previous_instances(false);
    circuit
}

/// Counts the circuit's cells, over an inner proof.
pub fn size(setup: &Setup, snark: Snark) -> Size {
    size_of(setup.params(), setup.params().k(), snark)
}

fn size_of(params: &ParamsKZG<Bn256>, k: u32, snark: Snark) -> Size {
    let mut circuit = circuit(CircuitBuilderStage::Keygen, params, k, snark);
    circuit.calculate_params(Some(FREE_ROWS));
    inner::size(&circuit.builder)
}

/// The circuit for keys, over an inner proof, with its columns.
fn for_keys(
    params: &ParamsKZG<Bn256>,
    snark: Snark,
) -> Result<(AggregationCircuit, AggregationConfigParams), CompactError> {
    let mut circuit = circuit(CircuitBuilderStage::Keygen, params, params.k(), snark);
    let config = circuit.calculate_params(Some(FREE_ROWS));
    let (expected, got) = (format!("{:?}", columns(params.k())), format!("{config:?}"));
    if expected != got {
        return Err(CompactError::Circuit { circuit: "outer", expected, got });
    }
    Ok((circuit, config))
}

fn failed(error: halo2_base::halo2_proofs::plonk::Error) -> CompactError {
    CompactError::Prover { circuit: "outer", reason: error.to_string() }
}

/// Makes the key to verify with, over any inner proof: it does not depend on which.
pub(super) fn key(setup: &Setup, snark: Snark) -> Result<CompactKey, CompactError> {
    let (circuit, _) = for_keys(setup.params(), snark)?;
    let columns = keygen_vk(setup.params(), &circuit).map_err(failed)?;
    Ok(CompactKey::new(columns, setup.secret()))
}

/// Makes the keys, and proves an inner proof: the key to verify with, and the bytes that Ethereum verifies.
pub(super) fn prove(setup: &Setup, snark: Snark) -> Result<(CompactKey, Vec<u8>), CompactError> {
    let params = setup.params();
    let (circuit_of_keys, config) = for_keys(params, snark.clone())?;
    let proving: ProvingKey<G1Affine> = keygen_pk2(params, &circuit_of_keys, false).map_err(failed)?;
    let break_points = circuit_of_keys.break_points();
    drop(circuit_of_keys);

    let prover = circuit(CircuitBuilderStage::Prover, params, params.k(), snark);
    let prover = prover.use_params(config).use_break_points(break_points);
    let values = prover.instances();
    // Verified by Halo2's own verifier on the way.
    let proof = gen_evm_proof_shplonk(params, &proving, prover, values.clone());
    let key = CompactKey::new(proving.get_vk().clone(), setup.secret());
    let mut bytes: Vec<u8> = values[0].iter().flat_map(word).collect();
    bytes.extend_from_slice(&proof);
    // As somebody else reads it.
    let key = CompactKey::from_bytes(&key.to_bytes())?;
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
    fn new(columns: VerifyingKey<G1Affine>, secret: G2Affine) -> Self {
        let describe = Config::kzg().with_num_instance(vec![ACCUMULATOR + INSTANCES]);
        let describe = describe.with_accumulator_indices(AggregationCircuit::accumulator_indices());
        let protocol = compile(&NoSetup(columns.get_domain().k()), &columns, describe);
        Self { columns, secret, protocol }
    }

    /// A magic number, the commitments as Halo2 writes them, and the point of the second group.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.columns.to_bytes(SerdeFormat::RawBytes));
        bytes.extend(self.secret.to_raw_bytes());
        bytes
    }

    /// Reads a key, from whomever it is: that it is the key of this program's circuit, its [`CompactKey::id`] says alone.
    ///
    /// # Errors
    ///
    /// If the bytes are not those of a key for proofs of this program's kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CompactError> {
        let wrong = |reason: &str| CompactError::Key(reason.to_owned());
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| wrong("expected the bytes `HFC1` first"))?;
        if bytes.len() != KEY_BYTES {
            return Err(CompactError::Key(format!("expected {KEY_BYTES} bytes, got {}", bytes.len())));
        }
        let (format, _) = rest.split_at(FORMAT_BYTES);
        let rows = u32::from_le_bytes([format[1], format[2], format[3], format[4]]);
        let expected = [&[FORMAT_VERSION], &format[1..5], &[0], &FIXED_COLUMNS.to_le_bytes()].concat();
        if !ROWS.contains(&rows) || format != expected {
            return Err(wrong("expected the format of its columns"));
        }
        let (mut commitments, secret) = rest.split_at(rest.len() - G2_BYTES as usize);
        let columns = VerifyingKey::<G1Affine>::read::<_, AggregationCircuit>(
            &mut commitments,
            SerdeFormat::RawBytes,
            columns(rows),
        )
        .map_err(|error| wrong(&error.to_string()))?;
        let mut points = columns.fixed_commitments().iter().chain(columns.permutation().commitments());
        if !points.all(|point| bool::from(point.is_on_curve()) && !bool::from(point.is_identity())) {
            return Err(wrong("expected commitments that are points of the curve, and none of them zero"));
        }
        let secret = G2Affine::from_raw_bytes(secret).filter(setup::is_multiple);
        let key = Self::new(columns, secret.ok_or_else(|| wrong("expected a multiple of the second generator last"))?);
        if key.to_bytes() == bytes { Ok(key) } else { Err(wrong("expected the one way to write it")) }
    }

    /// SHA-256 of the key's bytes: a name for it.
    pub fn id(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// A name for the ceremony that the key's parameters are of: see [`Setup::ceremony`].
    pub fn ceremony(&self) -> [u8; 32] {
        setup::ceremony(&self.secret)
    }

    /// Bytes of a proof, its instances included.
    pub fn length(&self) -> usize {
        let points = self.protocol.num_witness.iter().sum::<usize>() + self.protocol.quotient.num_chunk() + OPENINGS;
        WORD_BYTES * (ACCUMULATOR + INSTANCES + self.protocol.evaluations.len()) + POINT_BYTES * points
    }

    fn deciding(&self) -> KzgDecidingKey<Bn256> {
        (G1Affine::generator(), G2Affine::generator(), self.secret).into()
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
        let deciding = self.deciding();
        let mut transcript = EvmTranscript::<G1Affine, NativeLoader, &[u8], Vec<u8>>::new(proof);
        let read = PlonkVerifier::<SHPLONK>::read_proof(&deciding, &self.protocol, &instances, &mut transcript)
            .map_err(|error| invalid(&error))?;
        PlonkVerifier::<SHPLONK>::verify(&deciding, &self.protocol, &instances, &read)
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
        let (loader, deciding) = (EvmLoader::new::<Fq, Fr>(), self.deciding());
        let protocol = self.protocol.loaded(&loader);
        let mut transcript = EvmTranscript::<G1Affine, Rc<EvmLoader>, _, _>::new(&loader);
        let instances = transcript.load_instances(self.protocol.num_instance.clone());
        let proof = PlonkVerifier::<SHPLONK>::read_proof(&deciding, &protocol, &instances, &mut transcript)
            .expect("code is written, nothing read");
        PlonkVerifier::<SHPLONK>::verify(&deciding, &protocol, &instances, &proof)
            .expect("code is written, nothing verified");
        let source = loader.solidity_code();
        let (licence, code) = source.trim().split_once(PRAGMA).expect("the generator writes its version once");
        format!("{licence}{SOLIDITY}{code}\n")
    }
}

#[cfg(test)]
mod tests {
    use halo2_base::{
        gates::circuit::{BaseCircuitParams, builder::BaseCircuitBuilder},
        halo2_proofs::arithmetic::Field,
    };
    use rand_core::OsRng;
    use snark_verifier_sdk::{
        halo2::gen_dummy_snark_from_protocol,
        snark_verifier::util::arithmetic::{Domain, root_of_unity},
    };

    use super::*;

    /// What a snark of an inner circuit of this size looks like: what it takes to verify it follows from its columns and the number of its rows.
    fn shape(inner: &Size) -> Snark {
        const ROWS: u32 = 10;
        let params = BaseCircuitParams {
            k: ROWS as usize,
            num_advice_per_phase: vec![inner.columns],
            num_lookup_advice_per_phase: vec![inner.lookup_columns],
            num_fixed: inner.fixed_columns,
            lookup_bits: Some(ROWS as usize - 1),
            num_instance_columns: 1,
        };
        let mut builder = BaseCircuitBuilder::from_stage(CircuitBuilderStage::Keygen).use_params(params);
        let instances = (0..INSTANCES as u64).map(|i| builder.main(0).load_witness(Fr::from(i))).collect();
        builder.assigned_instances[0] = instances;
        let setup = ParamsKZG::<Bn256>::setup(ROWS, OsRng);
        let key = keygen_vk(&setup, &builder).expect("it fits");
        let mut protocol = compile(&setup, &key, Config::kzg().with_num_instance(vec![INSTANCES]));
        protocol.domain = Domain::new(inner.k as usize, root_of_unity(inner.k as usize));
        // Columns that nothing is in are committed to by no point.
        protocol.preprocessed.iter_mut().for_each(|point| *point = (G1Affine::generator() * Fr::random(OsRng)).into());
        gen_dummy_snark_from_protocol::<SHPLONK>(protocol)
    }

    fn size_over(inner: &Size, k: u32) -> Size {
        size_of(&ParamsKZG::setup(1, OsRng), k, shape(inner))
    }

    #[test]
    fn the_outer_circuit_over_the_inner_one_has_one_column() {
        assert_eq!(size_over(&inner::SIZE, K), SIZE);
    }

    /// The same as over a real proof of an inner circuit with few queries, which has nine columns.
    #[test]
    fn what_a_proof_takes_follows_from_the_columns_of_its_circuit() {
        let of_few_queries =
            Size { k: 20, cells: 9_209_396, lookups: 646_588, columns: 9, lookup_columns: 1, fixed_columns: 1 };
        let expected =
            Size { k: 21, cells: 5_445_189, lookups: 640_359, columns: 3, lookup_columns: 1, fixed_columns: 1 };
        assert_eq!(size_over(&of_few_queries, 21), expected);
    }
}
