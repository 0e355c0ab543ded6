//! An exact check of one table of the recursion, without a proof: its constraints on every row, and its messages against those of the proofs below.
//!
//! It reads the symbolic constraints that a key is made of. The prover is taken to be as free as it can be: it makes the table of permutations fit.

use std::{array::from_fn, collections::BTreeMap, sync::Arc, sync::LazyLock};

use holdfast_circuit::{
    check::{Window, evaluate_all},
    verify::{Config, VerifyingKey, verifying_key},
};
use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_CELLS, cell_from_canonical, cell_to_canonical},
    poseidon2::compress,
};
use holdfast_prover::aggregate::tables::CONSTRAINTS_TABLE;
use openvm_recursion_circuit::{
    bus::{CachedCommitBusMessage, Poseidon2CompressMessage, PreHashMessage, PublicValuesBusMessage},
    system::{AggregationSubCircuit, BusInventory, VerifierConfig, VerifierSubCircuit},
};
use openvm_stark_backend::{
    BaseAirWithPublicValues, PartitionedBaseAir,
    air_builders::symbolic::{
        SymbolicConstraintsDag, SymbolicExpressionNode as Node, SymbolicRapBuilder, get_symbolic_builder,
        symbolic_variable::Entry,
    },
    interaction::InteractionBuilder,
    keygen::types::TraceWidth,
    p3_air::{Air, AirBuilder, BaseAir},
    p3_field::PrimeCharacteristicRing,
    p3_matrix::{Matrix, dense::RowMajorMatrix},
};

/// A circuit that verifies segments. (Buses have the same numbers in all circuits.)
pub struct Verifier {
    pub key: Arc<VerifyingKey>,
    pub circuit: VerifierSubCircuit<2>,
}

pub static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let key = Arc::new(verifying_key());
    let config = VerifierConfig { continuations_enabled: true, ..VerifierConfig::default() };
    let circuit = VerifierSubCircuit::new_with_options(Arc::clone(&key), config);
    Verifier { key, circuit }
});

pub fn inventory() -> &'static BusInventory {
    VERIFIER.circuit.bus_inventory()
}

/// A bus, and what is said on it.
pub type Message = (u16, Vec<u32>);
/// Messages, and how often each is sent, less how often it is received. (None has the count 0.)
pub type Messages = BTreeMap<Message, F>;

/// A proof below a table, as the circuit that verified it tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The table that has public values; none if it is absent.
    pub public: Option<(usize, Vec<F>)>,
    pub key_hash: Digest,
    /// To the constraints that it verified with; none in a segment.
    pub commitment: Option<Digest>,
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Constraint {
        row: usize,
        constraint: usize,
    },
    /// A permutation is looked up that is none, or not once or never.
    Lookup {
        row: usize,
    },
    /// A message is received `excess` times too often, or too seldom.
    Messages {
        message: Message,
        excess: F,
    },
}

/// The constraints and messages of a table.
pub struct Checker {
    pub width: usize,
    pub public_values: usize,
    dag: SymbolicConstraintsDag<F>,
}

impl Checker {
    pub fn new<T>(table: &T) -> Self
    where
        T: Air<SymbolicRapBuilder<F>> + BaseAirWithPublicValues<F> + PartitionedBaseAir<F> + ?Sized,
    {
        let width = TraceWidth {
            preprocessed: None,
            cached_mains: table.cached_main_widths(),
            common_main: table.common_main_width(),
        };
        let builder = get_symbolic_builder(table, &width);
        let dag = SymbolicConstraintsDag::from(builder.constraints());
        Self { width: width.common_main, public_values: table.num_public_values(), dag }
    }

    /// Public values that the constraints mention.
    pub fn mentioned(&self) -> Vec<usize> {
        let mut mentioned: Vec<usize> = self.dag.constraints.nodes.iter().filter_map(public_value).collect();
        mentioned.sort_unstable();
        mentioned
    }

    /// The table's messages, lookups of permutations aside, which are checked.
    pub fn messages(&self, trace: &RowMajorMatrix<F>, public: &[F]) -> Result<Messages, Refusal> {
        assert!(trace.height().is_power_of_two(), "a table has 2^n rows");
        assert_eq!((trace.width(), public.len()), (self.width, self.public_values));
        let mut messages = Messages::new();
        let mut values = Vec::new();
        for row in 0..trace.height() {
            let window = Window::new(&trace.values, self.width, row, public);
            evaluate_all(&self.dag, &window, &mut values);
            if let Some(constraint) = self.dag.constraints.constraint_idx.iter().position(|&at| values[at] != F::ZERO) {
                return Err(Refusal::Constraint { row, constraint });
            }
            for interaction in &self.dag.interactions {
                let (bus, count) = (interaction.bus_index, values[interaction.count]);
                let cells: Vec<F> = interaction.message.iter().map(|&at| values[at]).collect();
                if bus == buses().compress {
                    if count != F::ZERO && (count != F::ONE || !is_permutation(&cells)) {
                        return Err(Refusal::Lookup { row });
                    }
                    continue;
                }
                add(&mut messages, (bus, cells.iter().map(|&cell| cell_to_canonical(cell)).collect()), count);
            }
        }
        Ok(messages)
    }

    /// Whether a table is accepted over the proofs that [`sent`] these messages.
    pub fn check(&self, trace: &RowMajorMatrix<F>, public: &[F], sent: &Messages) -> Result<(), Refusal> {
        let mut balance = sent.clone();
        for (message, count) in self.messages(trace, public)? {
            add(&mut balance, message, count);
        }
        match balance.into_iter().next() {
            None => Ok(()),
            Some((message, excess)) => Err(Refusal::Messages { message, excess }),
        }
    }
}

fn public_value(node: &Node<F>) -> Option<usize> {
    match node {
        Node::Variable(variable) if variable.entry == Entry::Public => Some(variable.index),
        _ => None,
    }
}

fn add(messages: &mut Messages, message: Message, count: F) {
    if count == F::ZERO {
        return;
    }
    let sum = messages.get(&message).copied().unwrap_or(F::ZERO) + count;
    if sum == F::ZERO {
        messages.remove(&message);
    } else {
        messages.insert(message, sum);
    }
}

/// Whether these are two digests and the first half of their permutation.
fn is_permutation(cells: &[F]) -> bool {
    let digest = |at: usize| -> Digest { from_fn(|i| cells[at + i]) };
    let left = digest(0);
    let compressed = compress(&left, &digest(DIGEST_CELLS));
    (0..DIGEST_CELLS).all(|i| compressed[i] == cells[2 * DIGEST_CELLS + i] + left[i])
}

/// Numbers of the buses that end in our tables.
#[derive(Debug, Clone, Copy)]
pub struct Buses {
    pub public_values: u16,
    pub key_hash: u16,
    pub commitment: u16,
    pub compress: u16,
}

pub fn buses() -> Buses {
    static BUSES: LazyLock<Buses> = LazyLock::new(|| {
        let children =
            [Child { public: Some((0, vec![F::ZERO])), key_hash: [F::ZERO; 8], commitment: Some([F::ZERO; 8]) }];
        let checker = Checker::new(&Below { children: &children });
        let buses: Vec<u16> = checker.dag.interactions.iter().map(|interaction| interaction.bus_index).collect();
        let &[public_values, key_hash, commitment, compress] = buses.as_slice() else {
            unreachable!("a proof with one public value sends a message on each bus");
        };
        Buses { public_values, key_hash, commitment, compress }
    });
    *BUSES
}

/// What the circuit sends of the proofs that it verified, in the dependency's own messages.
struct Below<'a> {
    children: &'a [Child],
}

impl<T> BaseAir<T> for Below<'_> {
    fn width(&self) -> usize {
        1
    }
}
impl<T> BaseAirWithPublicValues<T> for Below<'_> {}
impl<T> PartitionedBaseAir<T> for Below<'_> {}

impl<AB: InteractionBuilder + AirBuilder<F = F>> Air<AB> for Below<'_> {
    fn eval(&self, builder: &mut AB) {
        let buses = inventory();
        let once = AB::Expr::ONE;
        for (index, child) in self.children.iter().enumerate() {
            let Child { public, key_hash, commitment } = child;
            let index = AB::Expr::from_usize(index);
            if let Some((table, values)) = public {
                for (number, value) in values.iter().enumerate() {
                    let message = PublicValuesBusMessage {
                        air_idx: AB::Expr::from_usize(*table),
                        pv_idx: AB::Expr::from_usize(number),
                        value: AB::Expr::from(*value),
                    };
                    buses.public_values_bus.send(builder, index.clone(), message, once.clone());
                }
            }
            let message = PreHashMessage { vk_pre_hash: key_hash.map(AB::Expr::from) };
            buses.pre_hash_bus.send(builder, index.clone(), message, once.clone());
            if let Some(commitment) = commitment {
                let message = CachedCommitBusMessage {
                    air_idx: AB::Expr::from_usize(CONSTRAINTS_TABLE),
                    cached_idx: AB::Expr::ZERO,
                    global_cached_idx: AB::Expr::ZERO,
                    cached_commit: commitment.map(AB::Expr::from),
                };
                buses.cached_commit_bus.send(builder, index.clone(), message, once.clone());
            }
        }
        let zero = || AB::Expr::ZERO;
        let message = Poseidon2CompressMessage { input: from_fn(|_| zero()), output: from_fn(|_| zero()) };
        buses.poseidon2_compress_bus.lookup_key(builder, message, zero());
    }
}

/// What the circuit says of these proofs.
pub fn sent(children: &[Child]) -> Messages {
    let trace = RowMajorMatrix::new(vec![F::ZERO], 1);
    Checker::new(&Below { children }).messages(&trace, &[]).expect("it has no constraints")
}

/// What is received of a proof: public values by table and number, and the rest.
#[derive(Default)]
struct Received {
    public: BTreeMap<(u32, u32), F>,
    key_hash: Option<Digest>,
    commitment: Option<Digest>,
}

/// The proofs that a table's messages are received from; `None` if there are no such proofs, with numbers from 0, each with public values of one table, one key, and at most
/// one commitment.
pub fn implied(messages: &Messages) -> Option<Vec<Child>> {
    let cell = |cell: &u32| cell_from_canonical(*cell).expect("canonical");
    let digest = |cells: &[u32]| -> Digest { from_fn(|i| cell(&cells[i])) };
    let mut children: BTreeMap<u32, Received> = BTreeMap::new();
    for ((bus, cells), count) in messages {
        let Received { public, key_hash, commitment } = children.entry(cells[0]).or_default();
        let again = if *bus == buses().public_values {
            public.insert((cells[1], cells[2]), cell(&cells[3])).is_some()
        } else if *bus == buses().key_hash {
            key_hash.replace(digest(&cells[1..])).is_some()
        } else {
            commitment.replace(digest(&cells[4..])).is_some()
                || cells[1..4] != [CONSTRAINTS_TABLE as u32, 0, 0]
                || *bus != buses().commitment
        };
        if again || *count != -F::ONE {
            return None;
        }
    }
    let mut implied = Vec::new();
    for (place, (index, Received { public, key_hash, commitment })) in children.into_iter().enumerate() {
        let table = public.first_key_value()?.0.0;
        let numbered = public.keys().enumerate().all(|(number, key)| *key == (table, number as u32));
        if index as usize != place || !numbered {
            return None;
        }
        let public = Some((table as usize, public.into_values().collect()));
        implied.push(Child { public, key_hash: key_hash?, commitment });
    }
    Some(implied)
}

/// The checkers of all tables of the circuit that verifies, in their order. (Of tables with committed columns, the width is not given.)
pub fn circuit_tables() -> Vec<(String, usize, SymbolicConstraintsDag<F>)> {
    let airs = VERIFIER.circuit.airs::<Config>();
    let tables = airs.iter().map(|air| {
        let cached_mains = air.cached_main_widths();
        let cached = cached_mains.len();
        let preprocessed = BaseAir::<F>::preprocessed_trace(air.as_ref()).map(|trace| trace.width());
        let width = TraceWidth { preprocessed, cached_mains, common_main: air.common_main_width() };
        let builder = get_symbolic_builder(air.as_ref(), &width);
        (air.name(), cached, SymbolicConstraintsDag::from(builder.constraints()))
    });
    tables.collect()
}
