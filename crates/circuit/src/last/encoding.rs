//! The one encoding of a last proof: its fields in the order in which a verifier consumes them, and nothing else.
//!
//! A field element is the four big-endian bytes of its canonical value, an element of the extension its four coefficients, the constant first. There are no lengths: all of them
//! follow from the key.

use std::array;

use holdfast_crypto::{
    F,
    field::{cell_from_canonical, cell_to_canonical},
};
use openvm_stark_backend::{
    calculate_n_logup,
    p3_field::{BasedVectorSpace, PrimeCharacteristicRing},
    proof::{BatchConstraintProof, GkrLayerClaims, GkrProof, StackingProof, TraceVData, WhirProof},
};

use super::{
    KeccakProof, LastError, LastKey,
    keccak::{EF, KeccakConfig, KeccakDigest},
};

/// Walks over a proof's fields; one walk reads, the other writes, and both by the same text.
trait Fields {
    fn digest(&mut self, value: &mut KeccakDigest) -> Result<(), LastError>;
    fn element(&mut self, value: &mut F) -> Result<(), LastError>;

    fn ext(&mut self, value: &mut EF) -> Result<(), LastError> {
        let mut coefficients: [F; 4] = array::from_fn(|i| value.as_basis_coefficients_slice()[i]);
        coefficients.iter_mut().try_for_each(|coefficient| self.element(coefficient))?;
        *value = EF::new(coefficients);
        Ok(())
    }

    fn exts(&mut self, values: &mut [EF]) -> Result<(), LastError> {
        values.iter_mut().try_for_each(|value| self.ext(value))
    }

    fn digests(&mut self, values: &mut [KeccakDigest]) -> Result<(), LastError> {
        values.iter_mut().try_for_each(|value| self.digest(value))
    }

    /// A witness of work that the parameters may not ask for.
    fn witness(&mut self, bits: usize, value: &mut F) -> Result<(), LastError> {
        if bits == 0 { Ok(()) } else { self.element(value) }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], LastError> {
        let end = self.at + N;
        let taken = self.bytes.get(self.at..end).and_then(|bytes| bytes.try_into().ok());
        let taken = taken.ok_or(LastError::Length { expected: end, got: self.bytes.len() })?;
        self.at = end;
        Ok(taken)
    }
}

impl Fields for Reader<'_> {
    fn digest(&mut self, value: &mut KeccakDigest) -> Result<(), LastError> {
        *value = self.take()?;
        Ok(())
    }

    fn element(&mut self, value: &mut F) -> Result<(), LastError> {
        let at = self.at;
        let got = u32::from_be_bytes(self.take()?);
        *value = cell_from_canonical(got).ok_or(LastError::Element { at, got })?;
        Ok(())
    }
}

struct Writer(Vec<u8>);

impl Fields for Writer {
    fn digest(&mut self, value: &mut KeccakDigest) -> Result<(), LastError> {
        self.0.extend_from_slice(value);
        Ok(())
    }

    fn element(&mut self, value: &mut F) -> Result<(), LastError> {
        self.0.extend_from_slice(&cell_to_canonical(*value).to_be_bytes());
        Ok(())
    }
}

/// Only counts.
struct Counter(usize);

impl Fields for Counter {
    fn digest(&mut self, _: &mut KeccakDigest) -> Result<(), LastError> {
        self.0 += 32;
        Ok(())
    }

    fn element(&mut self, _: &mut F) -> Result<(), LastError> {
        self.0 += 4;
        Ok(())
    }
}

/// Bytes of a proof.
pub fn length(key: &LastKey) -> usize {
    count(key, &mut blank(key))
}

fn count(key: &LastKey, proof: &mut KeccakProof) -> usize {
    let mut counter = Counter(0);
    walk(key, proof, &mut counter).expect("counting does not fail");
    counter.0
}

/// Decodes a proof: bytes of another length, or with a number that is not below the field's order, are refused.
pub fn decode(key: &LastKey, bytes: &[u8]) -> Result<KeccakProof, LastError> {
    let mut proof = blank(key);
    let expected = count(key, &mut proof);
    if bytes.len() != expected {
        return Err(LastError::Length { expected, got: bytes.len() });
    }
    walk(key, &mut proof, &mut Reader { bytes, at: 0 })?;
    Ok(proof)
}

/// Encodes a proof; an error says that it has not the key's shape.
pub fn encode(key: &LastKey, proof: &KeccakProof) -> Result<Vec<u8>, LastError> {
    let mut writer = Writer(Vec::with_capacity(length(key)));
    let mut proof = proof.clone();
    walk(key, &mut proof, &mut writer)?;
    // What the encoding leaves out is what the key says, or the proof is another key's.
    let decoded = decode(key, &writer.0)?;
    if decoded != proof {
        return Err(LastError::Invalid("its tables' heights, or its shape, are not those of the key".into()));
    }
    Ok(writer.0)
}

fn walk(key: &LastKey, proof: &mut KeccakProof, fields: &mut impl Fields) -> Result<(), LastError> {
    let params = &key.key.inner.params;
    fields.digest(&mut proof.common_main_commit)?;
    for value in proof.public_values.iter_mut().flatten() {
        fields.element(value)?;
    }

    let GkrProof { logup_pow_witness, q0_claim, claims_per_layer, sumcheck_polys } = &mut proof.gkr_proof;
    fields.witness(params.logup.pow_bits, logup_pow_witness)?;
    fields.ext(q0_claim)?;
    for (layer, claims) in claims_per_layer.iter_mut().enumerate() {
        if let Some(rounds) = layer.checked_sub(1).and_then(|layer| sumcheck_polys.get_mut(layer)) {
            rounds.iter_mut().try_for_each(|evaluations| fields.exts(evaluations))?;
        }
        let GkrLayerClaims { p_xi_0, p_xi_1, q_xi_0, q_xi_1 } = claims;
        for claim in [p_xi_0, q_xi_0, p_xi_1, q_xi_1] {
            fields.ext(claim)?;
        }
    }

    let BatchConstraintProof {
        numerator_term_per_air,
        denominator_term_per_air,
        univariate_round_coeffs,
        sumcheck_round_polys,
        column_openings,
    } = &mut proof.batch_constraint_proof;
    for (numerator, denominator) in numerator_term_per_air.iter_mut().zip(denominator_term_per_air) {
        fields.ext(numerator)?;
        fields.ext(denominator)?;
    }
    fields.exts(univariate_round_coeffs)?;
    sumcheck_round_polys.iter_mut().try_for_each(|evaluations| fields.exts(evaluations))?;
    for parts in column_openings.iter_mut() {
        if let Some(common) = parts.first_mut() {
            fields.exts(common)?;
        }
    }
    for parts in column_openings {
        parts.iter_mut().skip(1).try_for_each(|part| fields.exts(part))?;
    }

    let StackingProof { univariate_round_coeffs, sumcheck_round_polys, stacking_openings } = &mut proof.stacking_proof;
    fields.exts(univariate_round_coeffs)?;
    sumcheck_round_polys.iter_mut().try_for_each(|evaluations| fields.exts(evaluations))?;
    stacking_openings.iter_mut().try_for_each(|openings| fields.exts(openings))?;

    let WhirProof {
        mu_pow_witness,
        whir_sumcheck_polys,
        codeword_commits,
        ood_values,
        folding_pow_witnesses,
        query_phase_pow_witnesses,
        initial_round_opened_rows,
        initial_round_merkle_proofs,
        codeword_opened_values,
        codeword_merkle_proofs,
        final_poly,
    } = &mut proof.whir_proof;
    let whir = &params.whir;
    fields.witness(whir.mu_pow_bits, mu_pow_witness)?;
    let rounds = whir_sumcheck_polys.chunks_mut(whir.k).zip(folding_pow_witnesses.chunks_mut(whir.k));
    let rounds = rounds.zip(query_phase_pow_witnesses).zip(&whir.rounds);
    for (round, (((polynomials, witnesses), query_witness), queries)) in rounds.enumerate() {
        for (evaluations, witness) in polynomials.iter_mut().zip(witnesses) {
            fields.exts(evaluations)?;
            fields.witness(whir.folding_pow_bits, witness)?;
        }
        match (codeword_commits.get_mut(round), ood_values.get_mut(round)) {
            (Some(commitment), Some(value)) => {
                fields.digest(commitment)?;
                fields.ext(value)?;
            }
            _ => fields.exts(final_poly)?,
        }
        fields.witness(whir.query_phase_pow_bits, query_witness)?;
        for query in 0..queries.num_queries {
            match round.checked_sub(1) {
                None => {
                    for (rows, paths) in initial_round_opened_rows.iter_mut().zip(&mut *initial_round_merkle_proofs) {
                        for cell in rows.get_mut(query).into_iter().flatten().flatten() {
                            fields.element(cell)?;
                        }
                        paths.get_mut(query).map_or(Ok(()), |path| fields.digests(path))?;
                    }
                }
                Some(round) => {
                    let opened = codeword_opened_values.get_mut(round).and_then(|queries| queries.get_mut(query));
                    opened.map_or(Ok(()), |values| fields.exts(values))?;
                    let path = codeword_merkle_proofs.get_mut(round).and_then(|queries| queries.get_mut(query));
                    path.map_or(Ok(()), |path| fields.digests(path))?;
                }
            }
        }
    }
    Ok(())
}

/// A proof of the key's shape, all zero.
fn blank(key: &LastKey) -> KeccakProof {
    let inner = &key.key.inner;
    let params = &inner.params;
    let whir = &params.whir;
    let (l_skip, k) = (params.l_skip, whir.k);
    let sorted = key.sorted();
    let interactions =
        |table: usize| (inner.per_air[table].num_interactions() as u64) << key.log_heights[table].max(l_skip);
    let interactions = sorted.iter().map(|&table| interactions(table)).sum();
    let layers = if interactions == 0 { 0 } else { l_skip + calculate_n_logup(l_skip, interactions) };
    let n_max = sorted.first().map_or(0, |&table| key.log_heights[table].saturating_sub(l_skip));
    let degree = inner.max_constraint_degree() + 1;
    let domain = (1 << l_skip) - 1;
    let widths: Vec<usize> =
        key.layouts().iter().map(openvm_stark_backend::prover::stacked_pcs::StackedLayout::width).collect();
    let (zero, ext) = (F::ZERO, EF::ZERO);
    let claims = GkrLayerClaims { p_xi_0: ext, p_xi_1: ext, q_xi_0: ext, q_xi_1: ext };
    let rounds = whir.rounds.len();
    let depth = (params.log_stacked_height() + params.log_blowup).saturating_sub(k);
    let queries = |round: usize| whir.rounds[round].num_queries;
    KeccakProof {
        common_main_commit: [0; 32],
        trace_vdata: key
            .log_heights
            .iter()
            .zip(&key.cached_commitments)
            .map(|(&log_height, commitments)| {
                Some(TraceVData::<KeccakConfig> { log_height, cached_commitments: commitments.clone() })
            })
            .collect(),
        public_values: inner.per_air.iter().map(|air| vec![zero; air.params.num_public_values]).collect(),
        gkr_proof: GkrProof {
            logup_pow_witness: zero,
            q0_claim: ext,
            claims_per_layer: vec![claims; layers],
            sumcheck_polys: (1..layers).map(|rounds| vec![[ext; 3]; rounds]).collect(),
        },
        batch_constraint_proof: BatchConstraintProof {
            numerator_term_per_air: vec![ext; sorted.len()],
            denominator_term_per_air: vec![ext; sorted.len()],
            univariate_round_coeffs: vec![ext; degree * domain + 1],
            sumcheck_round_polys: vec![vec![ext; degree]; n_max],
            column_openings: sorted
                .iter()
                .map(|&table| {
                    let params = &inner.per_air[table].params;
                    let claims = if params.need_rot { 2 } else { 1 };
                    let width = &params.width;
                    std::iter::once(&width.common_main)
                        .chain(&width.preprocessed)
                        .chain(&width.cached_mains)
                        .map(|columns| vec![ext; claims * columns])
                        .collect()
                })
                .collect(),
        },
        stacking_proof: StackingProof {
            univariate_round_coeffs: vec![ext; 2 * domain + 1],
            sumcheck_round_polys: vec![[ext; 2]; params.n_stack],
            stacking_openings: widths.iter().map(|&width| vec![ext; width]).collect(),
        },
        whir_proof: WhirProof {
            mu_pow_witness: zero,
            whir_sumcheck_polys: vec![[ext; 2]; rounds * k],
            codeword_commits: vec![[0; 32]; rounds.saturating_sub(1)],
            ood_values: vec![ext; rounds.saturating_sub(1)],
            folding_pow_witnesses: vec![zero; rounds * k],
            query_phase_pow_witnesses: vec![zero; rounds],
            initial_round_opened_rows: widths
                .iter()
                .map(|&width| vec![vec![vec![zero; width]; 1 << k]; queries(0)])
                .collect(),
            initial_round_merkle_proofs: vec![vec![vec![[0; 32]; depth]; queries(0)]; widths.len()],
            codeword_opened_values: (1..rounds).map(|round| vec![vec![ext; 1 << k]; queries(round)]).collect(),
            codeword_merkle_proofs: (1..rounds)
                .map(|round| vec![vec![[0; 32]; depth.saturating_sub(round)]; queries(round)])
                .collect(),
            final_poly: vec![ext; 1 << params.log_final_poly_len()],
        },
    }
}
