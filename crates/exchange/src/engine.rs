//! The native engine: applies commands, closes batches into state roots, and shows the state.

use std::collections::BTreeSet;

use holdfast_crypto::{
    Digest, F,
    tree::{SubtreeProof, Tree},
};
use holdfast_protocol::{
    AccountId, Command, Genesis, GenesisError, Instruction, KeyIndex, MarketId, OrderId, Outcome, Price, Side, Size,
    limits,
};

use crate::{
    authority::{Chained, Refusal, Verified, replaced},
    fields::SealFields,
    flow::Grant,
    machine::{Event, Plain},
    native::Native,
    slots::{Kind, Position, Session, System},
    step::{Input, execute},
    store::{Store, leaves_of},
};

/// The exchange, executing natively.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    tree: Tree,
    events: Vec<Event<Plain>>,
}

/// An order as an observer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    pub order: OrderId,
    pub account: AccountId,
    pub entry: u32,
    pub price: Price,
    pub size: Size,
    pub reduce_only: bool,
}

/// An account as an observer sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountView {
    pub collateral: i128,
    /// Index of the highest used entry, plus one.
    pub entries: u32,
    /// Per directory entry, the market and the position.
    pub positions: Vec<Option<(MarketId, Position<Plain>)>>,
}

impl Engine {
    pub fn new(genesis: &Genesis) -> Result<Self, GenesisError> {
        genesis.validate()?;
        let mut engine = Self { store: Store::new(genesis), tree: Tree::new(), events: Vec::new() };
        let leaves = engine.touched_leaves();
        let _root = engine.tree.update(&leaves);
        Ok(engine)
    }

    /// Applies one instruction. Whether its session's key has signed it is not looked at here: see [`crate::sequencer`] and [`Engine::seal`].
    ///
    /// # Panics
    /// If the instruction was chained to another head than its session has now. If it does not conserve money and position sizes to the last unit, or breaks an
    /// invariant: a bug, after which nothing may go on.
    #[inline]
    pub fn apply(&mut self, chained: &Chained) -> Outcome {
        self.events.clear();
        let deposits_before = self.store.system().deposits;
        let command = &chained.instruction().command;
        chained.assert_follows(&self.store);
        let mut machine = Native::new(&mut self.store, &mut self.events, chained.heads());
        let mut input = Some(Input::Authorise(0, chained.fields()));
        while let Some(step) = input {
            execute(&mut machine, step);
            let next = machine.next.take().expect("every step goes somewhere");
            input = Input::following(next, &mut machine.frame, |id| *id, |grant| command_input(command, grant));
        }
        let code = machine.code;
        let deposits_delta = self.store.system().deposits as i128 - deposits_before as i128;
        let conservation = self.store.take_conservation();
        assert_eq!(conservation.money_delta, deposits_delta, "collateral plus quotes change by deposits alone");
        assert_eq!(conservation.size_delta, 0, "for every long there is a short");
        Outcome::from_code(code as u8).expect("a step gives a known reject code")
    }

    /// Chains an instruction to its session, and applies it.
    pub fn instruct(&mut self, instruction: &Instruction) -> Result<Outcome, Refusal> {
        let chained = Chained::new(&self.store, instruction)?;
        Ok(self.apply(&chained))
    }

    /// Seals a session: its key has signed all that it has asked for so far.
    ///
    /// # Panics
    /// If the session stands elsewhere than where the signature was checked, or has nothing to seal.
    pub fn seal(&mut self, verified: &Verified) {
        self.events.clear();
        let (account, key) = verified.session();
        assert!(verified.covers(self.store.session_of((account, key))), "a seal covers the head of its session");
        let mut machine = Native::new(&mut self.store, &mut self.events, &[]);
        execute(&mut machine, Input::Seal(0, SealFields { account: account.get(), key: key.get() }));
    }

    /// What the last command did.
    pub fn events(&self) -> &[Event<Plain>] {
        &self.events
    }

    pub(crate) fn clear_events(&mut self) {
        self.events.clear();
    }

    /// Carries out a published batch that is proven, without its seals: a proof has shown that there were valid ones.
    ///
    /// # Errors
    /// If the state does not let an instruction be executed: the batch is not one of this state.
    pub fn replay(
        &mut self,
        instructions: &[Instruction],
        mut told: impl FnMut(&Self, usize, Outcome),
    ) -> Result<Digest, (usize, Refusal)> {
        let mut unsealed = BTreeSet::new();
        for (at, instruction) in instructions.iter().enumerate() {
            if let Some(session) = replaced(&self.store, instruction).filter(|session| unsealed.remove(session)) {
                self.mark_sealed(session);
            }
            let outcome = self.instruct(instruction).map_err(|refusal| (at, refusal))?;
            if !instruction.is_forced() {
                unsealed.insert(instruction.session());
            }
            told(self, at, outcome);
        }
        for session in unsealed {
            self.mark_sealed(session);
        }
        Ok(self.close_batch())
    }

    fn mark_sealed(&mut self, (account, key): (AccountId, KeyIndex)) {
        let session = self.store.session_of((account, key));
        assert!(session.unsealed, "what has asked for something since is unsealed");
        let session = Session { unsealed: false, ..session.clone() };
        self.store.set_session(account.get(), key.get(), session);
        let mut system = self.store.system().clone();
        system.unsealed -= 1;
        self.store.set_system(system);
    }

    /// Counts the batch, hashes the slots touched since the last root into the tree, and returns the root.
    pub fn close_batch(&mut self) -> Digest {
        self.count_batch();
        let leaves = self.touched_leaves();
        self.update_tree(&leaves)
    }

    /// Hashes these raw leaves into the engine's tree, and returns the root.
    pub fn update_tree(&mut self, leaves: &[(u32, Digest)]) -> Digest {
        self.tree.update(leaves)
    }

    /// Writes into the state that one more batch is closed. ([`Engine::close_batch`] does it.)
    pub fn count_batch(&mut self) {
        let mut system = self.store.system().clone();
        system.batches += 1;
        self.store.set_system(system);
    }

    /// The raw leaves touched since the last root, for a tree that is kept elsewhere (to hash beside the next batch's execution). The engine's own
    /// tree no longer follows the state after this; do not mix it with [`Engine::close_batch`].
    pub fn touched_leaves(&mut self) -> Vec<(u32, Digest)> {
        let mut touched = self.store.take_touched();
        touched.sort_unstable_by_key(|&(kind, outer, inner)| kind.region().leaf(outer, inner));
        let mut leaves = Vec::with_capacity(touched.len() * 3);
        for (kind, outer, inner) in touched {
            let cells = self.store.slot_cells(kind, outer, inner);
            leaves.extend(leaves_of(kind, outer, inner, &cells).map(|(index, leaf)| (index, leaf.map(F::new))));
        }
        leaves
    }

    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The state and its tree, for another reading of the rules to execute whole batches on: it keeps the two in step, and says so by taking
    /// [`Store::take_conservation`] before the next [`Engine::apply`].
    pub fn parts_mut(&mut self) -> (&mut Store, &mut Tree) {
        (&mut self.store, &mut self.tree)
    }

    pub fn system(&self) -> &System<Plain> {
        self.store.system()
    }

    pub fn mark(&self, market: MarketId) -> u64 {
        self.store.market(market.get()).mark
    }

    pub fn account(&self, id: AccountId) -> AccountView {
        let account = self.store.account(id.get());
        let positions = account
            .directory
            .iter()
            .enumerate()
            .map(|(entry, &key)| {
                let market = MarketId::new(key.checked_sub(1)?).expect("a directory holds markets");
                Some((market, self.store.position(id.get(), entry as u32).clone()))
            })
            .collect();
        AccountView { collateral: account.collateral, entries: account.entries, positions }
    }

    /// The orders of a book in priority order.
    pub fn book(&self, market: MarketId, side: Side) -> Vec<OrderView> {
        let sentinel = 2 * market.get() + u32::from(side == Side::Sell);
        let mut orders = Vec::new();
        let mut slot = self.store.order(sentinel).next;
        while slot != sentinel && self.store.order(slot).live {
            let order = self.store.order(slot);
            orders.push(OrderView {
                order: OrderId::new(slot, order.generation as u8).expect("a slot of the book"),
                account: AccountId::new(order.account).expect("an order belongs to an account"),
                entry: order.entry,
                price: Price::new(order.price as u32).expect("a price"),
                size: Size::new(order.size).expect("a size"),
                reduce_only: order.reduce_only,
            });
            slot = order.next;
        }
        orders
    }

    /// The freed order slots, last freed first.
    pub fn free_list(&self) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut slot = self.store.system().free_head;
        while slot != 0 {
            slots.push(slot);
            slot = self.store.order(slot).next;
        }
        slots
    }

    /// Accounts that hold or held anything, by index: those with collateral or a directory entry.
    pub fn accounts_in_use(&self) -> impl Iterator<Item = AccountId> + '_ {
        (0..1 << limits::ACCOUNT_BITS)
            .filter(|&id| {
                let account = self.store.account(id);
                account.collateral != 0 || account.entries != 0
            })
            .map(|id| AccountId::new(id).expect("below the bound"))
    }

    /// Proves a slot's content against [`Engine::root`]: all its raw leaves, and the path above them. What was written since the last
    /// [`Engine::close_batch`] is not in the root yet, nor in the proof.
    pub fn prove_slot(&self, kind: Kind, outer: u32, inner: u32) -> SubtreeProof {
        let region = kind.region();
        let height = region.leaves.ilog2();
        self.tree.prove_subtree(region.leaf(outer, inner) >> height, height)
    }

    /// Proves an account with all its positions: their common aligned subtree of 128 raw leaves.
    pub fn prove_account(&self, account: AccountId) -> SubtreeProof {
        let region = Kind::Account.region();
        let height = region.outer_stride.ilog2();
        self.tree.prove_subtree(region.leaf(account.get(), 0) >> height, height)
    }

    /// The cells of a slot, and its first raw leaf in the tree.
    pub fn slot(&self, kind: Kind, outer: u32, inner: u32) -> (u32, Vec<u32>) {
        (kind.region().leaf(outer, inner), self.store.slot_cells(kind, outer, inner))
    }
}

/// The step of a command.
#[inline(always)]
fn command_input(command: &Command, grant: Grant<Plain>) -> Input<Plain> {
    match command {
        Command::Deposit(c) => Input::Deposit(grant, c.into()),
        Command::Withdraw(c) => Input::Withdraw(grant, c.into()),
        Command::Place(c) => Input::Place(grant, c.into()),
        Command::Cancel(c) => Input::Cancel(grant, c.into()),
        Command::CancelAll(c) => Input::CancelAll(grant, c.into()),
        Command::Amend(c) => Input::Amend(grant, c.into()),
        Command::Mark(c) => Input::Mark(grant, c.into()),
        Command::Time(c) => Input::Time(grant, c.into()),
        Command::Release(c) => Input::Release(grant, c.into()),
        Command::Open(c) => Input::Open(grant, c.into()),
        Command::Register(c) => Input::Register(grant, c.into()),
        Command::Revoke(c) => Input::Revoke(grant, c.into()),
    }
}
