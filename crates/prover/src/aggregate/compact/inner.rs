//! The Halo2 circuit that verifies the first proof: OpenVM's static verifier, and what that proof must say.
//!
//! OpenVM's circuit verifies *some* proof of the key that is built into it. Here that proof is tied down: the commitment to the constraints of the wrap's circuit is a constant, and the forty public
//! values become the circuit's instances, eight to an element. A cell is canonical (OpenVM loads public values below p), so that an element's digits to the base 2^31 are one cell each, and 248 bits
//! are below BN254's order: the packing loses nothing.

use std::{path::Path, sync::Arc};

use halo2_base::{
    gates::circuit::{CircuitBuilderStage, builder::BaseCircuitBuilder},
    halo2_proofs::{
        halo2curves::bn256::{Fr, G1Affine},
        plonk::{keygen_pk2, keygen_vk},
    },
    utils::biguint_to_fe,
};
use holdfast_circuit::last::public::LastPublic;
use holdfast_crypto::{
    F,
    field::{DIGEST_CELLS, cell_to_canonical},
};
use openvm_stark_backend::{keygen::types::MultiStarkVerifyingKey, p3_field::PrimeField};
use openvm_stark_sdk::config::baby_bear_bn254_poseidon2::Digest;
use openvm_static_verifier::{
    StaticVerifierCircuit,
    backend::Halo2Backend,
    chip_traits::{PopulateInputs, Poseidon2Inst, TranscriptInst},
    field::baby_bear::ReducedBabyBearWire,
};
use snark_verifier_sdk::{
    Snark,
    halo2::gen_snark_shplonk,
    snark_verifier::{
        system::halo2::{Config, compile},
        verifier::plonk::PlonkProtocol,
    },
};

use super::{
    super::tables::{CONSTRAINTS_TABLE, TABLE},
    Bn254Config, Bn254Proof, CompactError,
    check::{self, Cells, Loose},
    guarded,
    setup::Setup,
};

/// The circuit's rows, as a base-2 logarithm.
pub const K: u32 = 22;
/// What the circuit takes, as measured.
pub const SIZE: Size =
    Size { k: K, cells: 18_189_321, lookups: 761_088, columns: 5, lookup_columns: 1, fixed_columns: 1 };
/// Rows that are kept free for blinding.
pub(super) const FREE_ROWS: usize = 20;
/// Bits of a cell.
const CELL_BITS: u32 = 31;
/// Cells in an instance.
const CELLS: usize = DIGEST_CELLS;
/// Instances of the circuit.
pub const INSTANCES: usize = LastPublic::CELLS / CELLS;
/// Bits that every number below the order of BN254's groups may have.
const ORDER_BITS: u32 = 253;
const _: () = assert!(LastPublic::CELLS.is_multiple_of(CELLS) && CELLS as u32 * CELL_BITS <= ORDER_BITS);

/// What a circuit takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// Rows, as a base-2 logarithm.
    pub k: u32,
    /// Cells of advice, and how many of them are looked up in the table of ranges.
    pub cells: usize,
    pub lookups: usize,
    /// Columns that these take, and those of constants.
    pub columns: usize,
    pub lookup_columns: usize,
    pub fixed_columns: usize,
}

/// The circuit.
#[derive(Debug, Clone)]
pub struct Inner {
    verifier: StaticVerifierCircuit,
    /// The commitment to the constraints of the wrap's circuit.
    constraints: Digest,
    /// Its rows, as a base-2 logarithm.
    k: u32,
}

impl Inner {
    /// The circuit for proofs of this key, with this commitment to the constraints that they verified with, and tables of these heights (base-2 logarithms).
    pub fn new(key: &MultiStarkVerifyingKey<Bn254Config>, constraints: Digest, log_heights: &[usize], k: u32) -> Self {
        // OpenVM's own public values pin a hash of the constraints here. Ours are pinned by their commitment.
        let unused = [F::default(); DIGEST_CELLS];
        let verifier = StaticVerifierCircuit::try_new(key.clone(), unused, log_heights);
        Self { verifier: verifier.expect("there is a height for each table"), constraints, k }
    }

    /// The cells of the whole circuit, over any backend. Returns the instances.
    fn synthesise<B: TranscriptInst + Poseidon2Inst + PopulateInputs>(
        &self,
        backend: &mut B,
        proof: &Bn254Proof,
    ) -> Vec<B::F> {
        let wire = self.verifier.populate_verify_stark_constraints(backend, proof);
        for (table, commitments) in wire.cached_commitment_roots.iter().enumerate() {
            match commitments.as_slice() {
                [commitment] if table == CONSTRAINTS_TABLE => {
                    let expected = backend.load_constant(to_fr(&self.constraints));
                    backend.constrain_equal(*commitment, expected);
                }
                commitments => {
                    assert!(commitments.is_empty() && table != CONSTRAINTS_TABLE, "one table has committed columns");
                }
            }
        }
        let bases: [Fr; CELLS] = std::array::from_fn(|i| power_of_two(CELL_BITS * i as u32));
        let (public, others) = (&wire.public_values[TABLE], &wire.public_values[TABLE + 1..]);
        assert!(public.len() == LastPublic::CELLS && others.iter().all(Vec::is_empty), "one table has public values");
        let pack = |cells: &[ReducedBabyBearWire<B::F>]| {
            let values: Vec<B::F> = cells.iter().map(ReducedBabyBearWire::value).collect();
            backend.inner_product_const(&values, &bases)
        };
        public.chunks_exact(CELLS).map(pack).collect()
    }

    fn populate(&self, builder: &mut BaseCircuitBuilder<Fr>, proof: &Bn254Proof) {
        let range = builder.range_chip();
        let mut backend = Halo2Backend::new(Arc::new(range), builder.main(0));
        let instances = self.synthesise(&mut backend, proof);
        builder.assigned_instances[0].extend(instances);
    }

    /// The circuit, synthesised over a valid proof for a stage other than proving.
    fn builder(&self, stage: CircuitBuilderStage, proof: &Bn254Proof) -> BaseCircuitBuilder<Fr> {
        let (k, instance_columns) = (self.k as usize, 1);
        let builder = BaseCircuitBuilder::from_stage(stage).use_k(k).use_lookup_bits(k - 1);
        let mut builder = builder.use_instance_columns(instance_columns);
        self.populate(&mut builder, proof);
        builder.calculate_params(Some(FREE_ROWS));
        builder
    }

    /// Counts the circuit's cells, over a valid proof.
    pub fn size(&self, proof: &Bn254Proof) -> Size {
        size(&self.builder(CircuitBuilderStage::Keygen, proof))
    }

    /// Checks every constraint over a proof, and returns the instances: seconds, and no parameters.
    ///
    /// # Errors
    ///
    /// If the circuit does not take the proof for a valid one of its key.
    pub fn check(&self, proof: &Bn254Proof) -> Result<Vec<Fr>, CompactError> {
        guarded("inner", || {
            let mut builder = self.builder(CircuitBuilderStage::Keygen, proof);
            let refused = |fault| CompactError::Unsatisfied { circuit: "inner", fault: Box::new(fault) };
            Cells::of(&mut builder).check().map_err(refused)?;
            Ok(check::values(&builder.assigned_instances[0]))
        })
    }

    /// Looks for cells, over a valid proof, that no constraint holds where they are.
    pub fn loose(&self, proof: &Bn254Proof) -> Loose {
        Cells::of(&mut self.builder(CircuitBuilderStage::Keygen, proof)).loose()
    }

    /// Makes the circuit's key, over any proof.
    pub(super) fn key(&self, setup: &Setup, proof: &Bn254Proof) -> Result<PlonkProtocol<G1Affine>, CompactError> {
        let key = keygen_vk(setup.params(), &self.builder(CircuitBuilderStage::Keygen, proof))
            .map_err(|error| CompactError::Prover { circuit: "inner", reason: error.to_string() })?;
        Ok(compile(setup.params(), &key, Config::kzg().with_num_instance(vec![INSTANCES])))
    }

    /// Makes the circuit's keys, and proves that a valid proof is one. That is verified.
    pub(super) fn prove(&self, setup: &Setup, proof: &Bn254Proof) -> Result<Snark, CompactError> {
        let (key, params, break_points) = {
            let builder = self.builder(CircuitBuilderStage::Keygen, proof);
            let key = keygen_pk2(setup.params(), &builder, false)
                .map_err(|error| CompactError::Prover { circuit: "inner", reason: error.to_string() })?;
            (key, builder.config_params.clone(), builder.break_points())
        };
        let mut builder = BaseCircuitBuilder::prover(params, break_points);
        self.populate(&mut builder, proof);
        let snark = gen_snark_shplonk(setup.params(), &key, builder, None::<&Path>);
        let (expected, got) = (instances(&proof.public_values[TABLE]), &snark.instances[0]);
        if expected != *got {
            let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
            return Err(CompactError::Circuit { circuit: "inner", expected, got });
        }
        Ok(snark)
    }
}

/// The instances that these public values become.
pub fn instances(public: &[F]) -> Vec<Fr> {
    let digit =
        |(i, cell): (usize, &F)| Fr::from(u64::from(cell_to_canonical(*cell))) * power_of_two(CELL_BITS * i as u32);
    public.chunks(CELLS).map(|cells| cells.iter().enumerate().map(digit).sum()).collect()
}

/// The cells that an instance stands for: `None` if one is not below p, or there are more than eight.
pub(super) fn cells(instance: &Fr) -> Option<[F; CELLS]> {
    let bytes = instance.to_bytes();
    let mut cells = [F::default(); CELLS];
    for (i, cell) in cells.iter_mut().enumerate() {
        let (at, shift) = (CELL_BITS as usize * i / 8, CELL_BITS as usize * i % 8);
        let word = (0..5).map(|byte| u64::from(bytes[at + byte]) << (8 * byte)).sum::<u64>() >> shift;
        *cell = cell_from_canonical((word & ((1 << CELL_BITS) - 1)) as u32)?;
    }
    // The rest is zero if the cells make the instance again.
    (instances(&cells) == [*instance]).then_some(cells)
}

fn cell_from_canonical(value: u32) -> Option<F> {
    (value < holdfast_crypto::field::PRIME).then(|| F::new(value))
}

fn power_of_two(bits: u32) -> Fr {
    Fr::from_raw([0, 1, 2, 3].map(|limb| if bits / 64 == limb { 1 << (bits % 64) } else { 0 }))
}

fn to_fr(digest: &Digest) -> Fr {
    biguint_to_fe(&digest[0].as_canonical_biguint())
}

/// What a synthesised circuit takes.
pub(super) fn size(builder: &BaseCircuitBuilder<Fr>) -> Size {
    let (statistics, params) = (builder.statistics(), &builder.config_params);
    let sum = |columns: &[usize]| columns.iter().sum();
    Size {
        k: params.k as u32,
        cells: sum(&statistics.gate.total_advice_per_phase),
        lookups: sum(&statistics.total_lookup_advice_per_phase),
        columns: sum(&params.num_advice_per_phase),
        lookup_columns: sum(&params.num_lookup_advice_per_phase),
        fixed_columns: params.num_fixed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_the_cells_to_the_base_of_two_to_the_31() {
        let largest = F::new(holdfast_crypto::field::PRIME - 1);
        for public in [[F::new(0); CELLS], [largest; CELLS], std::array::from_fn(|i| F::new(1 << (3 * i)))] {
            let instance = instances(&public);
            assert_eq!(instance.len(), 1);
            assert_eq!(cells(&instance[0]), Some(public));
        }
        assert_eq!(instances(&[F::new(5), F::new(7)]), [Fr::from(5 + (7 << 31))]);
    }

    #[test]
    fn instances_that_no_cells_make_are_refused() {
        let at_p = Fr::from(u64::from(holdfast_crypto::field::PRIME));
        for instance in [at_p, at_p * power_of_two(31), power_of_two(248), power_of_two(253), -Fr::from(1)] {
            assert_eq!(cells(&instance), None, "{instance:?}");
        }
    }
}
