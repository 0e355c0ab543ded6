//! A small key under the configuration of the last proof, and a prover that lies about one thing and goes on honestly.
//!
//! The statement's forty cells are public values of a table of one row, as in the last proof. Two more tables have what else the contract knows: columns of a commitment of their own, of the
//! key (preprocessed) and of the proof (cached), rotations, interactions whose multiplicities are columns, a table that is lower than the group of the univariate rounds.
//!
//! There are three ways to lie. [`Lie::Heard`] is a transcript that absorbs another value than the prover says: what follows is honest for the value that was absorbed, and it is put into the
//! proof afterwards. [`Lie::Told`] is one that tells the prover another challenge than the verifier draws. And the prover of openings is this module's own: [`Lie::Opening`] commits to other
//! columns than those that were proven, and to other polynomials than those that folding gives, but such that all claims agree: there is nothing but the queries that shows it.

use std::sync::Arc;

use holdfast_circuit::last::{
    KeccakProof, LastKey, LastPublic,
    keccak::{EF, KeccakConfig, KeccakDigest, KeccakHasher, KeccakTranscript},
};
use holdfast_crypto::{F, field::cell_to_canonical};
use holdfast_exchange::machine::LIMB_BITS;
use openvm_stark_backend::{
    AirRef, FiatShamirTranscript, PartitionedBaseAir, SystemParams, WhirConfig, WhirProximityStrategy, WhirRoundConfig,
    air_builders::PartitionedAirBuilder,
    interaction::{InteractionBuilder, LogUpSecurityParameters},
    keygen::MultiStarkKeygenBuilder,
    p3_air::{Air, AirBuilder, AirBuilderWithPublicValues, BaseAir, BaseAirWithPublicValues, PairBuilder},
    p3_field::{BasedVectorSpace, Field, PrimeCharacteristicRing, TwoAdicField},
    p3_matrix::{Matrix, dense::RowMajorMatrix},
    poly_common::{Squarable, interpolate_quadratic_at_012},
    proof::{Proof, TraceVData, WhirProof},
    prover::{
        AirProvingContext, ColMajorMatrix, CommittedTraceData, Coordinator, CpuColMajorBackend, DeviceDataTransporter,
        DeviceMultiStarkProvingKey, MultiRapProver, Prover, ProvingContext, ReferenceDevice, TraceCommitter,
        poly::{Mle, eval_to_coeff_rs_message, evals_eq_hypercube, evals_mobius_eq_hypercube},
        stacked_pcs::{MerkleTree, StackedPcsData},
        stacked_reduction::{StackedReductionCpu, prove_stacked_opening_reduction},
    },
};

type Backend = CpuColMajorBackend<KeccakConfig>;
type Device = ReferenceDevice<KeccakConfig>;
type Stacked = StackedPcsData<F, KeccakDigest>;

/// The parameters of a key in which shapes differ.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub name: &'static str,
    pub l_skip: usize,
    pub n_stack: usize,
    pub log_blowup: usize,
    pub k: usize,
    /// Queries of each WHIR round.
    pub queries: &'static [usize],
    /// Bits of work before each challenge that can have it: logup, μ, folding, queries.
    pub work: [usize; 4],
}

impl Shape {
    fn params(&self) -> SystemParams {
        let [logup, mu_pow_bits, folding_pow_bits, query_phase_pow_bits] = self.work;
        SystemParams {
            l_skip: self.l_skip,
            n_stack: self.n_stack,
            w_stack: 32,
            log_blowup: self.log_blowup,
            whir: WhirConfig {
                k: self.k,
                rounds: self.queries.iter().map(|&num_queries| WhirRoundConfig { num_queries }).collect(),
                mu_pow_bits,
                query_phase_pow_bits,
                folding_pow_bits,
                proximity: WhirProximityStrategy::UniqueDecoding,
            },
            logup: LogUpSecurityParameters {
                max_interaction_count: 1 << 20,
                log_max_message_length: 4,
                pow_bits: logup,
            },
            max_constraint_degree: 3,
        }
    }
}

const BUS_PAIRS: u16 = 0;
const BUS_NUMBERS: u16 = 3;
/// Base-2 logarithms of the heights of [`Steps`] and [`Pairs`].
const LOG_STEPS: usize = 5;
const LOG_PAIRS: usize = 3;
/// The row of [`Pairs`] that the numbers of batches are.
const NUMBERS_ROW: usize = 2;

fn row<M: Matrix<T>, T: Copy + Send + Sync>(matrix: &M, index: usize) -> Vec<T> {
    matrix.row_slice(index).expect("a window has two rows").to_vec()
}

/// One row, which is the public values; their numbers of batches are sent.
struct Says;

impl<T> BaseAir<T> for Says {
    fn width(&self) -> usize {
        LastPublic::CELLS
    }
}
impl<T> BaseAirWithPublicValues<T> for Says {
    fn num_public_values(&self) -> usize {
        LastPublic::CELLS
    }
}
impl<T> PartitionedBaseAir<T> for Says {}

impl<AB: InteractionBuilder + AirBuilderWithPublicValues> Air<AB> for Says {
    fn eval(&self, builder: &mut AB) {
        let cells = row(&builder.main(), 0);
        let public: Vec<AB::Expr> = builder.public_values().iter().map(|&value| value.into()).collect();
        for (&cell, value) in cells.iter().zip(public) {
            builder.assert_eq(cell, value);
        }
        builder.push_interaction(BUS_NUMBERS, [cells[16], cells[17]], AB::Expr::ONE, 1);
    }
}

/// Rows (a, s, f) beside a preprocessed p and a cached c: a grows by p, s = a·c·a, and (a, s) is received f times.
struct Steps;

impl<T: Field> BaseAir<T> for Steps {
    fn width(&self) -> usize {
        4
    }

    fn preprocessed_trace(&self) -> Option<RowMajorMatrix<T>> {
        Some(RowMajorMatrix::new_col((0..1 << LOG_STEPS).map(|i| T::from_usize(i * i % 7)).collect()))
    }
}
impl<T: Field> BaseAirWithPublicValues<T> for Steps {}
impl<T: Field> PartitionedBaseAir<T> for Steps {
    fn cached_main_widths(&self) -> Vec<usize> {
        vec![1]
    }

    fn common_main_width(&self) -> usize {
        3
    }
}

impl<AB: InteractionBuilder + PartitionedAirBuilder + PairBuilder> Air<AB> for Steps
where
    AB::F: Field,
    AB::M: Matrix<AB::Var>,
{
    fn eval(&self, builder: &mut AB) {
        let grows = row(&builder.preprocessed(), 0)[0];
        let cached = row(&builder.cached_mains()[0], 0)[0];
        let here = row(builder.common_main(), 0);
        let next = row(builder.common_main(), 1);
        builder.when_first_row().assert_eq(here[0], AB::Expr::from_u8(7));
        builder.when_transition().assert_eq(next[0], here[0] + grows);
        builder.when_last_row().assert_bool(here[2]);
        builder.assert_eq(here[1], here[0].into() * cached * here[0]);
        builder.assert_bool(here[2]);
        builder.push_interaction(BUS_PAIRS, [here[0], here[1]], -here[2].into(), 1);
    }
}

/// Rows (x, y, m, n): the pairs that are sent m times to [`Steps`], and received n times as numbers.
struct Pairs;

impl<T> BaseAir<T> for Pairs {
    fn width(&self) -> usize {
        4
    }
}
impl<T> BaseAirWithPublicValues<T> for Pairs {}
impl<T> PartitionedBaseAir<T> for Pairs {}

impl<AB: InteractionBuilder> Air<AB> for Pairs {
    fn eval(&self, builder: &mut AB) {
        let here = row(&builder.main(), 0);
        builder.assert_bool(here[2]);
        builder.assert_zero(here[3] * (here[3] - here[2]));
        builder.push_interaction(BUS_PAIRS, [here[0], here[1]], here[2], 1);
        builder.push_interaction(BUS_NUMBERS, [here[0], here[1]], -here[3].into(), 1);
    }
}

/// Columns of the three tables, and the public values.
struct Traces {
    steps: ColMajorMatrix<F>,
    cached: ColMajorMatrix<F>,
    pairs: ColMajorMatrix<F>,
    says: ColMajorMatrix<F>,
    public: Vec<F>,
}

impl Traces {
    fn new() -> Self {
        let steps = 1_usize << LOG_STEPS;
        let cached: Vec<F> = (0..steps).map(|i| F::from_usize(1_000_003 * i + 17)).collect();
        let mut a = vec![F::from_u8(7)];
        for i in 0..steps - 1 {
            a.push(a[i] + F::from_usize(i * i % 7));
        }
        let s: Vec<F> = a.iter().zip(&cached).map(|(&a, &c)| a * a * c).collect();
        // Every third row of steps is a pair, as far as there is room; the last row of pairs is none.
        let sent: Vec<usize> = (0..(1 << LOG_PAIRS) - 1).map(|i| 3 * i).collect();
        let flags = (0..steps).map(|i| F::from_bool(sent.contains(&i)));
        let pair = |column: &[F]| sent.iter().map(|&i| column[i]).chain([F::from_u8(5)]).collect::<Vec<F>>();
        let count = |one: &dyn Fn(usize) -> bool| (0..1 << LOG_PAIRS).map(|i| F::from_bool(one(i))).collect::<Vec<F>>();
        let pairs = [pair(&a), pair(&s), count(&|i| i < sent.len()), count(&|i| i == NUMBERS_ROW)];
        let mut public: Vec<F> = (0..LastPublic::CELLS).map(|i| F::from_usize(7_919 * i % 16_000)).collect();
        public[16] = pairs[0][NUMBERS_ROW];
        public[17] = pairs[1][NUMBERS_ROW];
        Self {
            steps: ColMajorMatrix::new(a.iter().chain(&s).copied().chain(flags).collect(), 3),
            cached: ColMajorMatrix::new(cached, 1),
            pairs: ColMajorMatrix::new(pairs.concat(), 4),
            says: ColMajorMatrix::new(public.clone(), LastPublic::CELLS),
            public,
        }
    }
}

/// What the prover lies about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    Nothing,
    /// The transcript absorbs another value than the one that is so many values after the preamble.
    Heard(usize),
    /// The prover gets another challenge than the one that is so many challenges from the beginning.
    Told(usize),
    /// The witness of work that is so many from the beginning is none.
    Idle(usize),
    /// The public value is another than the one that was proven.
    Public(usize),
    /// This public value, a limb of a time, has a bit too many. (It is no lie: the tables of small keys allow it.)
    Time(usize),
    /// The commitment is to other columns than those that were proven (if `columns`); and in round `bent` of the opening, the polynomial is not what folding gives, but one that
    /// agrees with all claims so far.
    Opening {
        columns: bool,
        bent: Option<usize>,
    },
}

/// What a transcript absorbed after the preamble, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Element(EF),
    Commitment(KeccakDigest),
}

impl Said {
    /// As it is in a proof.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Commitment(digest) => digest.to_vec(),
            Self::Element(value) => value
                .as_basis_coefficients_slice()
                .iter()
                .flat_map(|&cell| cell_to_canonical(cell).to_be_bytes())
                .collect(),
        }
    }
}

/// The transcript between prover and verifier.
#[derive(Clone)]
pub struct Liar {
    transcript: KeccakTranscript,
    lie: Lie,
    /// Whether the preamble is over.
    begun: bool,
    pub said: Vec<Said>,
    /// What was absorbed in the place of what was said.
    pub heard: Option<Said>,
    pub challenges: usize,
    pub witnesses: usize,
}

impl Liar {
    pub fn new(lie: Lie) -> Self {
        let transcript = KeccakTranscript::new();
        Self { transcript, lie, begun: false, said: Vec::new(), heard: None, challenges: 0, witnesses: 0 }
    }

    /// Notes what is said. Whether to absorb something else.
    fn say(&mut self, said: Said) -> bool {
        if !self.begun {
            return false;
        }
        self.said.push(said);
        self.lie == Lie::Heard(self.said.len() - 1)
    }

    fn tells_wrong(&mut self) -> bool {
        self.challenges += 1;
        self.lie == Lie::Told(self.challenges - 1)
    }
}

impl FiatShamirTranscript<KeccakConfig> for Liar {
    fn observe(&mut self, value: F) {
        // Beside the preamble, only witnesses are single cells.
        self.transcript.observe(value);
    }

    fn observe_ext(&mut self, value: EF) {
        let value = if self.say(Said::Element(value)) {
            let other = value + EF::ONE;
            self.heard = Some(Said::Element(other));
            other
        } else {
            value
        };
        FiatShamirTranscript::<KeccakConfig>::observe_ext(&mut self.transcript, value);
    }

    fn observe_commit(&mut self, mut digest: KeccakDigest) {
        if self.say(Said::Commitment(digest)) {
            digest[7] ^= 0x10;
            self.heard = Some(Said::Commitment(digest));
        }
        self.transcript.observe_commit(digest);
    }

    fn sample(&mut self) -> F {
        let value = self.transcript.sample();
        if self.tells_wrong() { value + F::ONE } else { value }
    }

    fn sample_ext(&mut self) -> EF {
        let value = self.transcript.sample_ext();
        if self.tells_wrong() { value + EF::ONE } else { value }
    }

    fn grind(&mut self, bits: usize) -> F {
        if bits > 0 {
            self.witnesses += 1;
            if self.lie == Lie::Idle(self.witnesses - 1) {
                let check = |transcript: &mut KeccakTranscript, witness| {
                    FiatShamirTranscript::<KeccakConfig>::check_witness(transcript, bits, witness)
                };
                let witness = (0..).map(F::from_u32).find(|&witness| !check(&mut self.transcript.clone(), witness));
                let witness = witness.expect("most are none");
                check(&mut self.transcript, witness);
                return witness;
            }
        }
        FiatShamirTranscript::<KeccakConfig>::grind(&mut self.transcript, bits)
    }
}

/// A key, and what its prover needs.
pub struct Small {
    pub key: LastKey,
    device: Device,
    proving_key: DeviceMultiStarkProvingKey<Backend>,
}

impl Small {
    pub fn new(shape: &Shape) -> Self {
        let config = KeccakConfig::new(shape.params());
        let mut keygen = MultiStarkKeygenBuilder::new(config.clone());
        let airs: [AirRef<KeccakConfig>; 3] = [Arc::new(Steps), Arc::new(Pairs), Arc::new(Says)];
        for air in airs {
            keygen.add_air(air);
        }
        let proving_key = keygen.generate_pk().expect("the tables are tables");
        let device = Device::new(config);
        let cached = commit(&device, Traces::new().cached).commitment;
        let key = LastKey {
            key: proving_key.get_vk(),
            log_heights: vec![LOG_STEPS, LOG_PAIRS, 0],
            cached_commitments: vec![vec![cached], vec![], vec![]],
        };
        let proving_key = device.transport_pk_to_device(&proving_key);
        Self { key, device, proving_key }
    }

    fn context(&self, lie: Lie) -> ProvingContext<Backend> {
        let Traces { steps, cached, pairs, mut says, mut public } = Traces::new();
        match lie {
            Lie::Public(index) => public[index] += F::ONE,
            Lie::Time(index) => {
                public[index] = F::from_usize(1 << LIMB_BITS);
                says.values[index] = public[index];
            }
            _ => {}
        }
        let cached = commit(&self.device, cached);
        ProvingContext::new(vec![
            (0, AirProvingContext::new(vec![cached], steps, Vec::new())),
            (1, AirProvingContext::simple_no_pis(pairs)),
            (2, AirProvingContext::simple(says, public)),
        ])
        .into_sorted()
    }

    /// The proof of the backend's own prover.
    pub fn prove_plainly(&self) -> KeccakProof {
        let transcript = KeccakTranscript::new();
        let mut prover = Coordinator::<KeccakConfig, _, _, _>::new(Backend::new(), self.device.clone(), transcript);
        prover.prove(&self.proving_key, self.context(Lie::Nothing)).expect("the traces are right")
    }

    /// A proof that is honest but for a lie, and the transcript of it.
    pub fn prove(&self, lie: Lie) -> (KeccakProof, Liar) {
        let transcript = &mut Liar::new(lie);
        let key = &self.proving_key;
        let context = self.context(lie);
        transcript.observe_commit(key.vk_pre_hash);
        let common = |other: bool| {
            let mut traces: Vec<ColMajorMatrix<F>> =
                context.common_main_traces().map(|(_, trace)| trace.clone()).collect();
            if other {
                let mut values = traces[0].values.clone();
                values[11] += F::ONE;
                traces[0] = ColMajorMatrix::new(values, 3);
            }
            self.device.commit(&traces.iter().collect::<Vec<_>>()).expect("the traces have columns")
        };
        let (_, proven) = common(false);
        let (commitment, committed) = common(matches!(lie, Lie::Opening { columns: true, .. }));
        transcript.observe_commit(commitment);
        let mut trace_vdata = vec![None; 3];
        let mut public_values = vec![Vec::new(); 3];
        for (table, trace) in &context.per_trace {
            trace_vdata[*table] = Some(TraceVData::<KeccakConfig> {
                log_height: self.key.log_heights[*table],
                cached_commitments: trace.cached_mains.iter().map(|data| data.commitment).collect(),
            });
            public_values[*table].clone_from(&trace.public_values);
        }
        for (table, key) in key.per_air.iter().enumerate() {
            // No table is required.
            transcript.observe(F::ONE);
            match &key.preprocessed_data {
                Some(data) => transcript.observe_commit(data.commitment),
                None => transcript.observe(F::from_usize(self.key.log_heights[table])),
            }
            self.key.cached_commitments[table].iter().for_each(|&digest| transcript.observe_commit(digest));
            public_values[table].iter().for_each(|&value| transcript.observe(value));
        }
        transcript.begun = true;

        let ((gkr_proof, batch_constraint_proof), point) = self
            .device
            .prove_rap_constraints(transcript, key, &context, &proven)
            .expect("the prover asks nothing of the traces");

        let rotated = |table: usize| key.per_air[table].vk.params.need_rot;
        let mut rotations = vec![context.per_trace.iter().map(|(table, _)| rotated(*table)).collect::<Vec<_>>()];
        let mut alone: Vec<Arc<Stacked>> = Vec::new();
        for (table, trace) in &context.per_trace {
            for data in key.per_air[*table].preprocessed_data.iter().chain(&trace.cached_mains) {
                rotations.push(vec![rotated(*table)]);
                alone.push(Arc::clone(&data.data));
            }
        }
        let all = |common: &'_ Stacked| -> Vec<Stacked> {
            std::iter::once(common.clone()).chain(alone.iter().map(|data| Stacked::clone(data))).collect()
        };
        let params = self.device.params();
        let (proven, committed) = (all(&proven), all(&committed));
        let (stacking_proof, u) =
            prove_stacked_opening_reduction::<KeccakConfig, Backend, Device, Liar, StackedReductionCpu<KeccakConfig>>(
                &self.device,
                transcript,
                params.n_stack,
                proven.iter().collect(),
                rotations,
                &point,
            );
        let u: Vec<EF> = u[0].exp_powers_of_2().take(params.l_skip).chain(u[1..].iter().copied()).collect();
        let openings: Vec<EF> = stacking_proof.stacking_openings.iter().flatten().copied().collect();
        let bent = if let Lie::Opening { bent, .. } = lie { bent } else { None };
        let whir_proof = open(params, transcript, &committed, &openings, &u, bent);
        let proof = Proof {
            common_main_commit: commitment,
            trace_vdata,
            public_values,
            gkr_proof,
            batch_constraint_proof,
            stacking_proof,
            whir_proof,
        };
        (proof, transcript.clone())
    }
}

fn commit(device: &Device, trace: ColMajorMatrix<F>) -> CommittedTraceData<Backend> {
    let (commitment, data) = device.commit(&[&trace]).expect("the trace has columns");
    CommittedTraceData { commitment, trace, data: Arc::new(data) }
}

/// The sum of f·w over the hypercube.
fn inner_product(f: &[EF], w: &[EF]) -> EF {
    f.iter().zip(w).fold(EF::ZERO, |sum, (&f, &w)| sum + f * w)
}

/// The values of a multilinear polynomial (or of a weight) with the first variable fixed.
fn fix(values: &[EF], at: EF) -> Vec<EF> {
    values.as_chunks::<2>().0.iter().map(|&[zero, one]| zero + at * (one - zero)).collect()
}

/// WHIR's prover: that of the backend, written down once more, but that it minds the claim that the verifier has, and may bend a polynomial.
fn open(
    params: &SystemParams,
    transcript: &mut Liar,
    committed: &[Stacked],
    openings: &[EF],
    u: &[EF],
    bent: Option<usize>,
) -> WhirProof<KeccakConfig> {
    let hasher = KeccakHasher;
    let whir = &params.whir;
    let rounds = whir.rounds.len();
    let mu_pow_witness = transcript.grind(whir.mu_pow_bits);
    let mu = transcript.sample_ext();
    let batch = |elements: &mut dyn Iterator<Item = EF>| {
        elements.zip(mu.powers()).fold(EF::ZERO, |sum, (element, power)| sum + element * power)
    };
    let columns: Vec<Vec<F>> = committed
        .iter()
        .flat_map(|data| data.matrix.columns())
        .map(|column| {
            let mut message = eval_to_coeff_rs_message(params.l_skip, column);
            Mle::coeffs_to_evals_inplace(&mut message);
            message
        })
        .collect();
    let mut log_domain = params.log_stacked_height() + params.log_blowup;
    let mut f: Vec<EF> = (0..1 << params.log_stacked_height())
        .map(|row| batch(&mut columns.iter().map(|column| column[row].into())))
        .collect();
    let mut w = evals_mobius_eq_hypercube(u);
    // What the verifier takes for the sum of f·w.
    let mut claim = batch(&mut openings.iter().copied());
    let mut proof = WhirProof {
        mu_pow_witness,
        whir_sumcheck_polys: Vec::new(),
        codeword_commits: Vec::new(),
        ood_values: Vec::new(),
        folding_pow_witnesses: Vec::new(),
        query_phase_pow_witnesses: Vec::new(),
        initial_round_opened_rows: vec![Vec::new(); committed.len()],
        initial_round_merkle_proofs: vec![Vec::new(); committed.len()],
        codeword_opened_values: Vec::new(),
        codeword_merkle_proofs: Vec::new(),
        final_poly: Vec::new(),
    };
    let mut tree: Option<MerkleTree<EF, KeccakDigest>> = None;
    for (round, config) in whir.rounds.iter().enumerate() {
        let last = round + 1 == rounds;
        let mut alphas = Vec::new();
        for _ in 0..whir.k {
            let at = |x: EF| inner_product(&fix(&f, x), &fix(&w, x));
            let evaluations = [at(EF::ONE), at(EF::TWO)];
            evaluations.iter().for_each(|&value| transcript.observe_ext(value));
            proof.whir_sumcheck_polys.push(evaluations);
            proof.folding_pow_witnesses.push(transcript.grind(whir.folding_pow_bits));
            let alpha = transcript.sample_ext();
            alphas.push(alpha);
            let [one, two] = evaluations;
            claim = interpolate_quadratic_at_012(&[claim - one, one, two], alpha);
            f = fix(&f, alpha);
            w = fix(&w, alpha);
        }
        if bent == Some(round) {
            // Two values change such that the sum does not, and a third one so that it is the claim, if it is not.
            let repair = (claim - inner_product(&f, &w)) * w[2].inverse();
            let (w0, w1) = (w[0], w[1]);
            f[0] += w1;
            f[1] -= w0;
            f[2] += repair;
            assert_eq!(inner_product(&f, &w), claim, "the claim is met");
        }
        let folded = Mle::from_evaluations(&f);
        let mut outside = None;
        let mut next = None;
        if last {
            proof.final_poly = folded.into_coeffs();
            proof.final_poly.iter().for_each(|&coefficient| transcript.observe_ext(coefficient));
        } else {
            // Of one column: the values at ω^i, ω of order 2^(log_domain − 1).
            let omega = F::two_adic_generator(log_domain - 1);
            let code = omega
                .powers()
                .take(1 << (log_domain - 1))
                .map(|x| folded.coeffs().iter().rev().fold(EF::ZERO, |sum, &coefficient| sum * x + coefficient));
            let code = ColMajorMatrix::new(code.collect(), 1);
            let code = MerkleTree::new(&hasher, code, 1 << whir.k).expect("the code is a tree's");
            let root = code.root().expect("it has a root");
            transcript.observe_commit(root);
            proof.codeword_commits.push(root);
            let z = transcript.sample_ext();
            let powers: Vec<EF> = z.exp_powers_of_2().take(f.len().ilog2() as usize).collect();
            let value = inner_product(&f, &evals_eq_hypercube(&powers));
            transcript.observe_ext(value);
            proof.ood_values.push(value);
            outside = Some((powers, value));
            next = Some(code);
        }
        proof.query_phase_pow_witnesses.push(transcript.grind(whir.query_phase_pow_bits));
        let depth = log_domain - whir.k;
        let indices: Vec<usize> = (0..config.num_queries).map(|_| transcript.sample_bits(depth) as usize).collect();
        if round > 0 {
            proof.codeword_opened_values.push(Vec::new());
            proof.codeword_merkle_proofs.push(Vec::new());
        }
        let mut opened = Vec::new();
        for &index in &indices {
            let values: Vec<EF> = match &tree {
                None => {
                    let rows: Vec<Vec<Vec<F>>> = committed
                        .iter()
                        .map(|data| data.tree.get_opened_rows(index).expect("it is in the tree"))
                        .collect();
                    for (number, (data, rows)) in committed.iter().zip(&rows).enumerate() {
                        proof.initial_round_opened_rows[number].push(rows.clone());
                        let path = data.tree.query_merkle_proof(index).expect("it is in the tree");
                        proof.initial_round_merkle_proofs[number].push(path);
                    }
                    (0..1 << whir.k)
                        .map(|row| batch(&mut rows.iter().flat_map(|rows| &rows[row]).map(|&cell| cell.into())))
                        .collect()
                }
                Some(tree) => {
                    let values: Vec<EF> =
                        tree.get_opened_rows(index).expect("it is in the tree").into_iter().flatten().collect();
                    proof.codeword_opened_values[round - 1].push(values.clone());
                    let path = tree.query_merkle_proof(index).expect("it is in the tree");
                    proof.codeword_merkle_proofs[round - 1].push(path);
                    values
                }
            };
            let point = F::two_adic_generator(log_domain).exp_u64(index as u64);
            opened.push((point, openvm_stark_backend::verifier::whir::binary_k_fold(values, &alphas, point)));
        }
        let gamma = transcript.sample_ext();
        let mut add = |powers: &[EF], value: EF, weight: EF| {
            claim += weight * value;
            for (w, eq) in w.iter_mut().zip(evals_eq_hypercube(powers)) {
                *w += weight * eq;
            }
        };
        if let Some((powers, value)) = &outside {
            add(powers, *value, gamma);
        }
        for ((point, value), weight) in opened.into_iter().zip(gamma.powers().skip(2)) {
            let powers: Vec<EF> =
                point.exp_power_of_2(whir.k).exp_powers_of_2().take(f.len().ilog2() as usize).map(EF::from).collect();
            add(&powers, value, weight);
        }
        tree = next;
        log_domain -= 1;
    }
    proof
}
