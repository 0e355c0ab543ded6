//! One proof for any number of segments.
//!
//! Leaves verify segments, first nodes verify leaves, nodes verify first nodes or nodes, the wrap verifies one node, and the last proof, which Ethereum verifies, verifies the wrap. Each is
//! the verifier's circuit of `openvm-recursion-circuit` and one table of ours ([`tables`]), which joins what the proofs below say ([`public`]) and pins their keys. The wrap is
//! there for the last proof to be small: its parameters are dear to prove with, and cheap to verify.

#[cfg(feature = "compact")]
pub mod compact;
pub mod params;
pub mod public;
pub mod tables;

use std::sync::{Arc, OnceLock};

use holdfast_circuit::{
    air::Table,
    last::{
        LastError, LastKey, encoding,
        keccak::{KeccakConfig, KeccakTranscript},
        public::LastPublic,
    },
    public::{PublicValues, offset as segment},
    verify::{Config, SegmentProof, VerifyingKey, verify_segment, verifying_key},
};
use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_CELLS, DIGEST_ZERO, cell_to_canonical, digest_to_hex},
};
use openvm_cpu_backend::{CpuBackend, CpuDevice};
use openvm_recursion_circuit::system::{
    AggregationSubCircuit, CachedTraceCtx, VerifierConfig, VerifierExternalData, VerifierSubCircuit, VerifierTraceGen,
};
use openvm_stark_backend::{
    AirRef, EngineDeviceCtx, StarkEngine, StarkProtocolConfig, SystemParams,
    keygen::types::{MultiStarkVerifyingKey, StarkVerifyingParams},
    p3_field::{Field, PrimeCharacteristicRing},
    p3_matrix::{Matrix, dense::RowMajorMatrix},
    proof::Proof,
    prover::{
        AirProvingContext, CommittedTraceData, Coordinator, DeviceDataTransporter, DeviceMultiStarkProvingKey,
        ProvingContext,
    },
};
use openvm_stark_sdk::config::baby_bear_poseidon2::{
    BabyBearPoseidon2CpuEngine, BabyBearPoseidon2RefEngine, DuplexSponge, default_duplex_sponge_recorder,
};

use public::{KeyCells, NodePublic, Point, begins, points};
use tables::{
    Buses, CONSTRAINTS_TABLE, LastTable, LeafTable, NodeTable, TABLE, WrapTable, leaf_column, node_column, wrap_column,
};

/// Segments of a leaf, at most.
pub const LEAF_ARITY: usize = 2;
/// Proofs below a node, at most.
pub const NODE_ARITY: usize = 2;

/// Tables of the circuit that verifies, with ours.
type Circuit<const ARITY: usize> = VerifierSubCircuit<ARITY>;
/// The proof of a leaf or a node.
pub type NodeProof = Proof<Config>;

/// The engine of the last proof.
pub struct KeccakEngine {
    device: CpuDevice<KeccakConfig>,
}

impl StarkEngine for KeccakEngine {
    type SC = KeccakConfig;
    type PB = CpuBackend<KeccakConfig>;
    type PD = CpuDevice<KeccakConfig>;
    type TS = KeccakTranscript;

    fn new(params: SystemParams) -> Self {
        Self { device: CpuDevice::new(KeccakConfig::new(params)) }
    }

    fn config(&self) -> &KeccakConfig {
        self.device.config()
    }

    fn device(&self) -> &Self::PD {
        &self.device
    }

    fn initial_transcript(&self) -> KeccakTranscript {
        KeccakTranscript::new()
    }

    fn prover_from_transcript(
        &self,
        transcript: KeccakTranscript,
    ) -> Coordinator<KeccakConfig, Self::PB, Self::PD, KeccakTranscript> {
        Coordinator::new(CpuBackend::new(), self.device.clone(), transcript)
    }
}

/// The constraints of a child's key, as columns of the circuit that verifies it, committed to.
type Constraints<SC> = CommittedTraceData<CpuBackend<SC>>;

/// The circuit of one layer, its keys, and the key of what it verifies.
struct Layer<SC: StarkProtocolConfig<F = F>, E, const ARITY: usize> {
    engine: E,
    circuit: Circuit<ARITY>,
    proving_key: DeviceMultiStarkProvingKey<CpuBackend<SC>>,
    key: MultiStarkVerifyingKey<SC>,
    child: VerifyingKey,
    child_constraints: Constraints<SC>,
}

impl<SC, E, const ARITY: usize> Layer<SC, E, ARITY>
where
    SC: StarkProtocolConfig<F = F>,
    E: StarkEngine<SC = SC, PB = CpuBackend<SC>>,
    (): From<EngineDeviceCtx<E>>,
{
    /// Makes a layer's keys; the table of ours is made from the buses and the commitment to the child's constraints.
    fn new(params: SystemParams, child: &VerifyingKey, table: impl FnOnce(Buses, SC::Digest) -> AirRef<SC>) -> Self {
        let engine = E::new(params);
        let config = VerifierConfig { continuations_enabled: true, ..VerifierConfig::default() };
        let circuit = Circuit::<ARITY>::new_with_options(Arc::new(child.clone()), config);
        let child_constraints = Self::commit(&engine, &circuit, child);
        let table = table(Buses::from(circuit.bus_inventory()), child_constraints.commitment);
        let airs: Vec<AirRef<SC>> = std::iter::once(table).chain(circuit.airs()).collect();
        let (proving_key, key) = engine.keygen(&airs);
        let proving_key = engine.device().transport_pk_to_device(&proving_key);
        Self { engine, circuit, proving_key, key, child: child.clone(), child_constraints }
    }

    fn commit(engine: &E, circuit: &Circuit<ARITY>, child: &VerifyingKey) -> Constraints<SC> {
        VerifierTraceGen::<CpuBackend<SC>, SC, ()>::commit_child_vk(circuit, engine, child)
    }

    /// Fills the tables: ours, and those of the circuit over these proofs, which must be valid. `None` if they do not fit into the heights.
    fn fill(
        &self,
        child: &VerifyingKey,
        constraints: &Constraints<SC>,
        proofs: &[NodeProof],
        ours: Filled,
        heights: Option<&[usize]>,
    ) -> Option<ProvingContext<CpuBackend<SC>>> {
        let Filled { trace, public, hashed } = ours;
        let (no_permutations, no_checks) = (Vec::new(), Vec::new());
        let mut external = VerifierExternalData {
            poseidon2_compress_inputs: &hashed,
            poseidon2_permute_inputs: &no_permutations,
            range_check_inputs: &no_checks,
            power_check_inputs: &no_checks,
            required_heights: heights,
            final_transcript_state: None,
        };
        let verifier = VerifierTraceGen::<CpuBackend<SC>, SC, ()>::generate_proving_ctxs(
            &self.circuit,
            child,
            CachedTraceCtx::PcsData(constraints.clone()),
            proofs,
            &mut external,
            &(),
            default_duplex_sponge_recorder(),
        )?;
        let tables = std::iter::once(AirProvingContext::simple(trace, public)).chain(verifier);
        Some(ProvingContext::new(tables.enumerate().collect()))
    }

    fn prove(&self, tables: ProvingContext<CpuBackend<SC>>) -> Result<Proof<SC>, AggregateError> {
        self.engine.prove(&self.proving_key, tables).map_err(|error| AggregateError::Prover(error.to_string()))
    }
}

impl<SC, E> Layer<SC, E, 1>
where
    SC: StarkProtocolConfig<F = F>,
    E: StarkEngine<SC = SC, PB = CpuBackend<SC>>,
    (): From<EngineDeviceCtx<E>>,
{
    /// Fills the tables of a circuit that says what the wrap says, which is verified here. `None` if they do not fit into the heights.
    fn fill_over_wrap(
        &self,
        aggregator: &Aggregator,
        wrap: &NodeProof,
        heights: Option<&[usize]>,
    ) -> Result<Option<ProvingContext<CpuBackend<SC>>>, AggregateError> {
        aggregator.verify_wrap(wrap).map_err(|reason| AggregateError::Child { index: 0, reason })?;
        let public = wrap.public_values[TABLE].clone();
        let trace = RowMajorMatrix::new(public.clone(), LastPublic::CELLS);
        let filled = Filled { trace, public, hashed: Vec::new() };
        Ok(self.fill(&self.child, &self.child_constraints, std::slice::from_ref(wrap), filled, heights))
    }
}

/// Our table, filled.
#[derive(Debug, Clone)]
pub struct Filled {
    pub trace: RowMajorMatrix<F>,
    pub public: Vec<F>,
    /// Inputs of the permutations that it asks for.
    pub hashed: Vec<[F; 2 * DIGEST_CELLS]>,
}

/// Why proofs cannot be aggregated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    #[error("expected 1 to {max} proofs, got {got}")]
    Arity { max: usize, got: usize },
    #[error("proof {index} is not valid: {reason}")]
    Child { index: usize, reason: String },
    #[error("proof {index} does not go on where the one before it ends: expected {what} {expected}, got {got}")]
    Join { index: usize, what: &'static str, expected: String, got: String },
    #[error(
        "the chain {end} in the middle of a batch, or not with an empty digest of published data: a last proof is over whole batches"
    )]
    Ends { end: &'static str },
    #[error("proof {index}, {what}: expected {expected}, got {got}")]
    Key { index: usize, what: &'static str, expected: String, got: String },
    #[error("expected proofs of one layer, got leaves and nodes")]
    Layers,
    #[error("the wrap needs more rows than the last circuit has")]
    Heights,
    #[error("the prover failed: {0}")]
    Prover(String),
    #[error(transparent)]
    Last(#[from] LastError),
}

/// Which circuit a proof is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Over segments.
    Leaf,
    /// Over leaves.
    First,
    /// Over first nodes, or over nodes.
    Node,
}

/// A proof of a leaf or a node.
#[derive(Clone)]
pub struct Stretch {
    pub kind: Kind,
    pub proof: NodeProof,
}

type Poseidon2Layer<const ARITY: usize> = Layer<Config, BabyBearPoseidon2CpuEngine, ARITY>;

/// Everything that aggregates: the circuits of all layers, and their keys. They follow from the source alone.
pub struct Aggregator {
    segment: VerifyingKey,
    leaf: Poseidon2Layer<LEAF_ARITY>,
    first: Poseidon2Layer<NODE_ARITY>,
    node: Poseidon2Layer<NODE_ARITY>,
    /// The constraints of nodes, for nodes over nodes.
    node_constraints: Constraints<Config>,
    /// This and the last are made when they are first asked for: each takes longer than the others together, and few processes need them.
    wrap: OnceLock<Poseidon2Layer<1>>,
    last: OnceLock<LastLayer>,
}

/// The circuit of the last proof.
struct LastLayer {
    layer: Layer<KeccakConfig, KeccakEngine, 1>,
    key: LastKey,
}

impl Aggregator {
    /// Makes the keys of leaves and nodes; those of the other layers are made when they are needed.
    pub fn new() -> Self {
        let segment = verifying_key();
        let segment_key = segment.pre_hash;
        let leaf = Layer::new(params::LEAF.params(), &segment, |buses, _| Arc::new(LeafTable { buses, segment_key }));
        let node = |child: &VerifyingKey, below_verified: Digest| -> Poseidon2Layer<NODE_ARITY> {
            Layer::new(params::NODE.params(), child, |buses, constraints| {
                Arc::new(NodeTable { buses, below: KeyCells { hash: child.pre_hash, constraints }, below_verified })
            })
        };
        let first = node(&leaf.key, leaf.child_constraints.commitment);
        let node = node(&first.key, first.child_constraints.commitment);
        assert_same_shape(&first.key, &node.key);
        let node_constraints = Poseidon2Layer::commit(&node.engine, &node.circuit, &node.key);
        Self { segment, leaf, first, node, node_constraints, wrap: OnceLock::new(), last: OnceLock::new() }
    }

    fn wrap_layer(&self) -> &Poseidon2Layer<1> {
        self.wrap.get_or_init(|| {
            let (node, first_constraints) = (self.node_key(), self.node.child_constraints.commitment);
            Layer::new(params::WRAP.params(), &self.node.key, |buses, _| {
                Arc::new(WrapTable { buses, node, first_constraints })
            })
        })
    }

    fn last_layer(&self) -> &LastLayer {
        self.last.get_or_init(|| {
            let wrap = self.wrap_layer();
            let (wrap_hash, node_constraints) = (wrap.key.pre_hash, wrap.child_constraints.commitment);
            let layer: Layer<KeccakConfig, KeccakEngine, 1> =
                Layer::new(params::LAST.params(), &wrap.key, |buses, _| {
                    Arc::new(LastTable { buses, wrap_hash, node_constraints })
                });
            let mut cached_commitments = vec![Vec::new(); layer.key.inner.per_air.len()];
            cached_commitments[CONSTRAINTS_TABLE].push(layer.child_constraints.commitment);
            let log_heights = LAST_LOG_HEIGHTS.to_vec();
            let key = LastKey { key: layer.key.clone(), log_heights, cached_commitments };
            LastLayer { layer, key }
        })
    }

    /// The key of the last proof, made from the source. ([`LastKey::bundled`] is its copy.)
    pub fn last_key(&self) -> &LastKey {
        &self.last_layer().key
    }

    /// The key of a kind of proof.
    pub fn key(&self, kind: Kind) -> &VerifyingKey {
        match kind {
            Kind::Leaf => &self.leaf.key,
            Kind::First => &self.first.key,
            Kind::Node => &self.node.key,
        }
    }

    /// Verifies the proof of a leaf or a node, and returns what it says.
    pub fn verify(&self, stretch: &Stretch) -> Result<NodePublic, String> {
        let Stretch { kind, proof } = stretch;
        let above_nodes = proof.public_values.first().and_then(|values| values.last()) == Some(&F::ONE);
        let constraints = match kind {
            Kind::Leaf => &self.leaf.child_constraints,
            Kind::First => &self.first.child_constraints,
            Kind::Node if above_nodes => &self.node_constraints,
            Kind::Node => &self.node.child_constraints,
        };
        verify_node(self.key(*kind), constraints.commitment, proof)?;
        let public = NodePublic::from_cells(&proof.public_values[TABLE])
            .ok_or_else(|| format!("expected {} public values", NodePublic::CELLS))?;
        let same = |what, expected: Digest, got: Digest| {
            let hex = |digest| digest_to_hex(&digest);
            if expected == got { Ok(()) } else { Err(format!("{what}: expected {}, got {}", hex(expected), hex(got))) }
        };
        same("key of segments", self.segment.pre_hash, public.segment_key)?;
        match kind {
            // A node says itself what it takes for the key of nodes, and trusts nodes below it by that.
            Kind::Node => {
                let node_key = self.node_key();
                same("key of nodes", node_key.hash, public.node_key.hash)?;
                same("constraints of nodes", node_key.constraints, public.node_key.constraints)?;
            }
            Kind::Leaf | Kind::First if above_nodes => return Err("it says that it is over nodes".into()),
            Kind::Leaf | Kind::First => {}
        }
        Ok(public)
    }

    /// Proves a leaf over segments, which must lead from one to the next. `data` is the digest of the data published before them: zero where a last proof is to begin.
    pub fn leaf(&self, data: Digest, segments: &[SegmentProof]) -> Result<Stretch, AggregateError> {
        arity(LEAF_ARITY, segments.len())?;
        let mut below = Vec::new();
        for (index, proof) in segments.iter().enumerate() {
            verify_segment(&self.segment, proof).map_err(|reason| AggregateError::Child { index, reason })?;
            let cells = &proof.public_values[Table::Segment.index()];
            below.push(<[F; PublicValues::CELLS]>::try_from(cells.as_slice()).expect("the verifier counted them"));
        }
        let filled = fill_leaf(data, &below, self.segment.pre_hash)?;
        let layer = &self.leaf;
        let tables = layer.fill(&layer.child, &layer.child_constraints, segments, filled, None);
        let proof = layer.prove(tables.expect("no heights are asked for"))?;
        Ok(Stretch { kind: Kind::Leaf, proof })
    }

    /// Proves a node over leaves, first nodes or nodes, which must lead from one to the next.
    pub fn node(&self, below: &[Stretch]) -> Result<Stretch, AggregateError> {
        arity(NODE_ARITY, below.len())?;
        let kind = below[0].kind;
        if below.iter().any(|stretch| stretch.kind != kind) {
            return Err(AggregateError::Layers);
        }
        let mut public = Vec::new();
        for (index, stretch) in below.iter().enumerate() {
            public.push(self.verify(stretch).map_err(|reason| AggregateError::Child { index, reason })?);
        }
        let node_key = match kind {
            Kind::Leaf => KeyCells::default(),
            _ => self.node_key(),
        };
        let filled = fill_node(&public, node_key, kind == Kind::Node)?;
        let (layer, child, constraints, kind) = match kind {
            Kind::Leaf => (&self.first, &self.first.child, &self.first.child_constraints, Kind::First),
            Kind::First => (&self.node, &self.node.child, &self.node.child_constraints, Kind::Node),
            Kind::Node => (&self.node, &self.node.key, &self.node_constraints, Kind::Node),
        };
        let proofs: Vec<NodeProof> = below.iter().map(|stretch| stretch.proof.clone()).collect();
        let tables = layer.fill(child, constraints, &proofs, filled, None);
        let proof = layer.prove(tables.expect("no heights are asked for"))?;
        Ok(Stretch { kind, proof })
    }

    /// Wraps a node that covers whole batches from the chain's beginning.
    pub fn wrap(&self, node: &Stretch) -> Result<NodeProof, AggregateError> {
        if node.kind != Kind::Node {
            return Err(AggregateError::Layers);
        }
        let public = self.verify(node).map_err(|reason| AggregateError::Child { index: 0, reason })?;
        let filled = fill_wrap(&public)?;
        let layer = self.wrap_layer();
        let proofs = std::slice::from_ref(&node.proof);
        let tables = layer.fill(&layer.child, &layer.child_constraints, proofs, filled, None);
        layer.prove(tables.expect("no heights are asked for"))
    }

    /// Verifies a wrap.
    pub fn verify_wrap(&self, wrap: &NodeProof) -> Result<(), String> {
        let layer = self.wrap_layer();
        verify_node(&layer.key, layer.child_constraints.commitment, wrap)
    }

    /// The key of wraps.
    pub fn wrap_key(&self) -> &VerifyingKey {
        &self.wrap_layer().key
    }

    /// Proves the last proof.
    pub fn last(&self, wrap: &NodeProof) -> Result<Vec<u8>, AggregateError> {
        let LastLayer { layer, key } = self.last_layer();
        let heights: Vec<usize> = key.log_heights[TABLE + 1..].iter().map(|log_height| 1 << log_height).collect();
        let tables = layer.fill_over_wrap(self, wrap, Some(&heights))?.ok_or(AggregateError::Heights)?;
        Ok(encoding::encode(key, &layer.prove(tables)?)?)
    }

    /// The heights that the last proof's tables would have over this wrap if they were not fixed, as exponents of two.
    pub fn last_log_heights(&self, wrap: &NodeProof) -> Result<Vec<usize>, AggregateError> {
        let tables = self.last_layer().layer.fill_over_wrap(self, wrap, None)?.expect("no heights are asked for");
        Ok(tables.per_trace.iter().map(|(_, table)| table.common_main.height().ilog2() as usize).collect())
    }

    fn node_key(&self) -> KeyCells {
        KeyCells { hash: self.node.key.pre_hash, constraints: self.node_constraints.commitment }
    }
}

impl Default for Aggregator {
    fn default() -> Self {
        Self::new()
    }
}

/// One circuit verifies proofs of two keys: all of a key that is a constant in that circuit must be the same. (The constraints are not: they are committed columns.)
fn assert_same_shape(one: &VerifyingKey, other: &VerifyingKey) {
    let shape = |key: &VerifyingKey| {
        let tables = key.inner.per_air.iter();
        let tables = tables.map(|table| {
            let preprocessed = table.preprocessed_data.is_some();
            let constants = (table.num_interactions(), table.max_constraint_degree, table.is_required, preprocessed);
            let StarkVerifyingParams { width, num_public_values, need_rot } = &table.params;
            let width = (width.preprocessed, width.cached_mains.clone(), width.common_main);
            (width, *num_public_values, *need_rot, constants)
        });
        let heights: Vec<_> =
            key.inner.trace_height_constraints.iter().map(|c| (c.coefficients.clone(), c.threshold)).collect();
        (key.inner.params.clone(), heights, tables.collect::<Vec<_>>())
    };
    assert_eq!(shape(one), shape(other), "first nodes and nodes have the same shape, by the choice of parameters");
}

/// Verifies the proof of a circuit of the recursion, and what it verified with.
fn verify_node(key: &VerifyingKey, constraints: Digest, proof: &NodeProof) -> Result<(), String> {
    let tables = key.inner.per_air.len();
    // What the backend's verifier indexes without looking is looked at here first.
    if proof.public_values.len() != tables || proof.trace_vdata.len() != tables {
        let got = (proof.public_values.len(), proof.trace_vdata.len());
        return Err(format!("expected {tables} tables, got {} with public values and {} with shapes", got.0, got.1));
    }
    let (expected, got) = (key.inner.per_air[TABLE].params.num_public_values, proof.public_values[TABLE].len());
    if got != expected || proof.trace_vdata[TABLE].is_none() {
        return Err(format!("expected a table with {expected} public values, got {got}"));
    }
    let height_max = key.inner.params.log_stacked_height();
    if let Some(shape) = proof.trace_vdata.iter().flatten().find(|shape| shape.log_height > height_max) {
        return Err(format!("expected at most 2^{height_max} rows, got 2^{}", shape.log_height));
    }
    let commitments = proof.trace_vdata[CONSTRAINTS_TABLE].as_ref().map(|shape| shape.cached_commitments.as_slice());
    if commitments != Some(&[constraints]) {
        return Err("it was verified with the constraints of another key".into());
    }
    let engine: BabyBearPoseidon2RefEngine<DuplexSponge> = StarkEngine::new(key.inner.params.clone());
    engine.verify(key, proof).map_err(|error| error.to_string())
}

fn arity(max: usize, got: usize) -> Result<(), AggregateError> {
    if (1..=max).contains(&got) { Ok(()) } else { Err(AggregateError::Arity { max, got }) }
}

/// Tables have a row for each proof, however many; it is the circuits around them that are made for so many.
fn not_empty(max: usize, got: usize) -> Result<(), AggregateError> {
    if got > 0 { Ok(()) } else { Err(AggregateError::Arity { max, got }) }
}

/// That a stretch begins where the one before it ends.
fn meet(index: usize, after: &Point, before: &Point) -> Result<(), AggregateError> {
    let join = |what, expected: String, got: String| AggregateError::Join { index, what, expected, got };
    let Point { root, digest, sequence, batches, time, data } = after;
    let digests = [
        ("root", root, &before.root),
        ("digest of the batch", digest, &before.digest),
        ("digest of all data", data, &before.data),
    ];
    for (what, expected, got) in digests {
        if expected != got {
            return Err(join(what, digest_to_hex(expected), digest_to_hex(got)));
        }
    }
    let cells = [("instructions", *sequence, before.sequence), ("batches", *batches, before.batches)];
    for (what, expected, got) in cells {
        if expected != got {
            return Err(join(what, cell_to_canonical(expected).to_string(), cell_to_canonical(got).to_string()));
        }
    }
    if *time != before.time {
        return Err(join("time", format!("{time:?}"), format!("{:?}", before.time)));
    }
    Ok(())
}

/// The table of a leaf over segments with these public values.
pub fn fill_leaf(
    mut data: Digest,
    segments: &[[F; PublicValues::CELLS]],
    segment_key: Digest,
) -> Result<Filled, AggregateError> {
    use leaf_column::{COLUMNS, DATA, HASHED, INDEX, SEGMENT, VALID};
    not_empty(LEAF_ARITY, segments.len())?;
    let mut trace = RowMajorMatrix::new(F::zero_vec(COLUMNS * segments.len().next_power_of_two()), COLUMNS);
    let mut hashed = Vec::new();
    let mut ends: Option<(Point, Point)> = None;
    for (index, cells) in segments.iter().enumerate() {
        let row = trace.row_mut(index);
        row[INDEX] = F::from_usize(index);
        row[VALID] = F::ONE;
        row[SEGMENT..DATA].copy_from_slice(cells);
        row[DATA..HASHED].copy_from_slice(&data);
        let closes = cells[segment::BATCHES_END] - cells[segment::BATCHES_START];
        if closes != F::ZERO && closes != F::ONE {
            let reason = format!("expected it to close no batch or one, got {}", cell_to_canonical(closes));
            return Err(AggregateError::Child { index, reason });
        }
        let (before, after, closed) = points(cells, data);
        if let Some((data, digest)) = closed {
            for i in 0..DIGEST_CELLS {
                row[HASHED + i] = after.data[i] - data[i];
            }
            hashed.push(std::array::from_fn(|i| if i < DIGEST_CELLS { data[i] } else { digest[i - DIGEST_CELLS] }));
        }
        if let Some((_, end)) = &ends {
            meet(index, end, &before)?;
        }
        ends = Some((ends.map_or(before, |(start, _)| start), after));
        data = after.data;
    }
    let (before, after) = ends.expect("there is a segment");
    let public = NodePublic { before, after, segment_key, node_key: KeyCells::default(), above_nodes: F::ZERO };
    Ok(Filled { trace, public: public.to_cells().to_vec(), hashed })
}

/// The table of a node over proofs with these public values.
pub fn fill_node(below: &[NodePublic], node_key: KeyCells, above_nodes: bool) -> Result<Filled, AggregateError> {
    use node_column::{CHILD, COLUMNS, INDEX, VALID};
    not_empty(NODE_ARITY, below.len())?;
    let mut trace = RowMajorMatrix::new(F::zero_vec(COLUMNS * below.len().next_power_of_two()), COLUMNS);
    for (index, child) in below.iter().enumerate() {
        let row = trace.row_mut(index);
        row[INDEX] = F::from_usize(index);
        row[VALID] = F::ONE;
        row[CHILD..].copy_from_slice(&child.to_cells());
        let same = |what, expected: &Digest, got: &Digest| {
            let (expected, got) = (digest_to_hex(expected), digest_to_hex(got));
            if expected == got { Ok(()) } else { Err(AggregateError::Key { index, what, expected, got }) }
        };
        same("key of segments", &below[0].segment_key, &child.segment_key)?;
        if above_nodes {
            same("key of nodes", &node_key.hash, &child.node_key.hash)?;
            same("constraints of nodes", &node_key.constraints, &child.node_key.constraints)?;
        } else if child.above_nodes != F::ZERO {
            return Err(AggregateError::Layers);
        }
        if let Some(before) = index.checked_sub(1) {
            meet(index, &below[before].after, &child.before)?;
        }
    }
    let (start, end) = (&below[0], &below[below.len() - 1]);
    let public = NodePublic {
        before: start.before,
        after: end.after,
        segment_key: start.segment_key,
        node_key,
        above_nodes: F::from_bool(above_nodes),
    };
    Ok(Filled { trace, public: public.to_cells().to_vec(), hashed: Vec::new() })
}

/// The table of the wrap over a node with these public values.
pub fn fill_wrap(node: &NodePublic) -> Result<Filled, AggregateError> {
    let NodePublic { before, after, segment_key, .. } = node;
    if !begins(before) || before.data != DIGEST_ZERO {
        return Err(AggregateError::Ends { end: "begins" });
    }
    let batches = after.batches - before.batches;
    if !begins(after) || batches == F::ZERO {
        return Err(AggregateError::Ends { end: "ends" });
    }
    let mut row = node.to_cells().to_vec();
    row.push(batches.inverse());
    let mut public = Vec::with_capacity(LastPublic::CELLS);
    public.extend_from_slice(&before.root);
    public.extend_from_slice(&after.root);
    public.extend([before.batches + F::ONE, after.batches]);
    public.extend_from_slice(&before.time);
    public.extend_from_slice(&after.time);
    public.extend_from_slice(&after.data);
    public.extend_from_slice(segment_key);
    Ok(Filled { trace: RowMajorMatrix::new(row, wrap_column::COLUMNS), public, hashed: Vec::new() })
}

/// Heights of the last proof's tables, as exponents of two.
///
/// They are those of wraps over nodes over one proof and over two ([`Aggregator::last_log_heights`]), and twice that where a table grows with the heights of the wrap's tables (the sum-checks,
/// GKR, and the equality polynomials).
const LAST_LOG_HEIGHTS: [usize; 40] = [
    0, 15, 6, 5, 8, 6, 15, 2, 2, 2, 7, 13, 12, 4, 12, 13, 12, 6, 6, 8, 0, 6, 9, 0, 11, 3, 5, 6, 2, 12, 2, 4, 7, 10, 9,
    10, 8, 14, 5, 12,
];
