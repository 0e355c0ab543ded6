//! The state natively: typed, paged arrays of slots, the list of slots touched since the last root, and two caches outside the state that
//! find what hints ask for.

use holdfast_crypto::F;
use holdfast_protocol::{
    AccountId, Genesis, KeyIndex, authority::head_start, cells::owner_cells, command::INBOX, limits,
};

use crate::{
    machine::Plain,
    slots::{
        Account, Deployment, Kind, LEAF_CELLS, Market, NOBODY, Order, Owner, Position, Session, Slot, System, cells,
    },
};

/// Slots per page.
const PAGE: usize = 256;

/// An array whose pages appear when they are first written; what was never written is the default.
#[derive(Clone)]
struct Paged<T> {
    pages: Vec<Option<Box<[T; PAGE]>>>,
    default: T,
}

impl<T: Clone> Paged<T> {
    fn new(default: T) -> Self {
        Self { pages: Vec::new(), default }
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &T {
        match self.pages.get(index / PAGE) {
            Some(Some(page)) => &page[index % PAGE],
            _ => &self.default,
        }
    }

    #[inline(always)]
    fn get_mut(&mut self, index: usize) -> &mut T {
        let page = index / PAGE;
        if page >= self.pages.len() || self.pages[page].is_none() {
            self.allocate(page);
        }
        match &mut self.pages[page] {
            Some(page) => &mut page[index % PAGE],
            None => unreachable!("the page was just allocated"),
        }
    }

    #[cold]
    fn allocate(&mut self, page: usize) {
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
        let filled = vec![self.default.clone(); PAGE].into_boxed_slice();
        self.pages[page] = filled.try_into().ok();
    }
}

/// A slot, and the number of the root after which it was last touched.
#[derive(Clone)]
struct Tracked<T> {
    slot: T,
    touched: u32,
}

/// Price levels of one book, worst first.
#[derive(Clone, Default)]
struct Ladder {
    /// The price as a key that is larger if better, and the slot of the last order at it.
    levels: Vec<(u32, u32)>,
}

impl Ladder {
    /// Index of the first level at least as good as `key`.
    #[inline]
    fn find(&self, key: u32) -> usize {
        // Most orders come near the best price: look there first.
        let near = self.levels.len().saturating_sub(8);
        match self.levels.get(near) {
            Some(&(level, _)) if level < key => near + self.levels[near..].partition_point(|&(level, _)| level < key),
            _ => self.levels[..near].partition_point(|&(level, _)| level < key),
        }
    }
}

/// The whole state.
#[derive(Clone)]
pub struct Store {
    system: Tracked<System<Plain>>,
    markets: Vec<Tracked<Market<Plain>>>,
    accounts: Paged<Tracked<Account<Plain>>>,
    positions: Paged<Tracked<Position<Plain>>>,
    orders: Paged<Tracked<Order<Plain>>>,
    sessions: Paged<Tracked<Session<Plain>>>,
    owners: Paged<Tracked<Owner<Plain>>>,
    deployment: Deployment<Plain>,
    /// Slots touched since the last root.
    touched: Vec<(Kind, u32, u32)>,
    epoch: u32,
    ladders: Vec<Ladder>,
    /// Per live order slot: the next and previous open order of the same position (0 = none).
    siblings: Paged<[u32; 2]>,
    /// Per position: one of its open orders.
    siblings_head: Paged<u32>,
    /// Change of collateral plus quotes since the last [`Store::take_conservation`], and of position sizes.
    money_delta: i128,
    size_delta: i128,
}

/// What a command did to the quantities that must be conserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conservation {
    pub money_delta: i128,
    pub size_delta: i128,
}

#[inline(always)]
fn position_index(account: u32, entry: u32) -> usize {
    account as usize * limits::ENTRIES_MAX + entry as usize
}

#[inline(always)]
fn session_index(account: u32, key: u32) -> usize {
    account as usize * limits::KEYS_MAX + key as usize
}

#[inline(always)]
fn ladder_key(buys: bool, price: u64) -> u32 {
    if buys { price as u32 } else { !(price as u32) }
}

impl Store {
    pub fn new(genesis: &Genesis) -> Self {
        let fresh = |slot| Tracked { slot, touched: 0 };
        let mut store = Store {
            system: Tracked { slot: System::default(), touched: 0 },
            markets: vec![Tracked { slot: Market::default(), touched: 0 }; 1 << limits::MARKET_BITS],
            accounts: Paged::new(Tracked { slot: Account::default(), touched: 0 }),
            positions: Paged::new(Tracked { slot: Position::default(), touched: 0 }),
            orders: Paged::new(fresh(Order::default())),
            sessions: Paged::new(Tracked { slot: Session::default(), touched: 0 }),
            owners: Paged::new(Tracked { slot: Owner::default(), touched: 0 }),
            deployment: Deployment { domain: genesis.deployment.domain() },
            // The deployment never changes: it is written here only.
            touched: vec![(Kind::Deployment, 0, 0)],
            epoch: 1,
            ladders: vec![Ladder::default(); limits::FIRST_ORDER as usize],
            siblings: Paged::new([0; 2]),
            siblings_head: Paged::new(0),
            money_delta: 0,
            size_delta: 0,
        };
        store.set_system(System {
            time: genesis.time.get(),
            oracle: genesis.oracle.get(),
            operator: genesis.operator.get(),
            fee_account: genesis.fee_account.get(),
            free_head: 0,
            fresh: limits::FIRST_ORDER,
            deposits: 0,
            registrar: if genesis.deployment.is_settled() { limits::BRIDGE } else { genesis.operator.get() },
            unsealed: 0,
            batches: 0,
        });
        for account in &genesis.accounts {
            let id = account.account.get();
            store.set_owner(id, Owner { open: true, address: owner_cells(&account.owner).map(F::new) });
            for (index, key) in account.keys.iter().enumerate() {
                let index = KeyIndex::new(index as u32).expect("the genesis is valid");
                let mut session = Session {
                    live: true,
                    withdraws: key.withdraws,
                    expiry: key.expiry.get(),
                    generation: 1,
                    head: head_start(&store.deployment.domain, account.account, index, 1),
                    ..Session::default()
                };
                let point = key.public_key.point();
                session.public_key[..7].copy_from_slice(&point.x().0);
                session.public_key[7..].copy_from_slice(&point.y().0);
                store.set_session(id, index.get(), session);
            }
        }
        if genesis.deployment.is_settled() {
            let (account, key) = INBOX;
            let inbox = Session {
                live: true,
                withdraws: true,
                expiry: (1 << limits::TIME_BITS) - 1,
                generation: 1,
                head: head_start(&store.deployment.domain, account, key, 1),
                ..Session::default()
            };
            store.set_session(account.get(), key.get(), inbox);
        }
        for (id, market) in genesis.markets.iter().enumerate() {
            let id = id as u32;
            store.set_market(
                id,
                Market {
                    exists: true,
                    mark: u64::from(market.mark.get()),
                    initial_margin_ppm: u64::from(market.initial_margin_ppm),
                    maintenance_margin_ppm: u64::from(market.maintenance_margin_ppm),
                    maker_fee_ppm: u64::from(market.maker_fee_ppm),
                    taker_fee_ppm: u64::from(market.taker_fee_ppm),
                    mark_move_ppm: u64::from(market.mark_move_ppm),
                    position_max: market.position_max,
                    open_orders_max: u64::from(market.open_orders_max),
                    tick_decimals: market.tick_decimals,
                    lot_decimals: market.lot_decimals,
                },
            );
            for (side, buys) in [true, false].into_iter().enumerate() {
                let sentinel = 2 * id + side as u32;
                let order = Order {
                    live: true,
                    buys,
                    market: id,
                    account: NOBODY,
                    prev: sentinel,
                    next: sentinel,
                    ..Order::default()
                };
                store.put_order(sentinel, order);
            }
        }
        store
    }

    #[inline(always)]
    pub fn system(&self) -> &System<Plain> {
        &self.system.slot
    }

    /// The slot of a market; `market` below 2^8.
    #[inline(always)]
    pub fn market(&self, market: u32) -> &Market<Plain> {
        &self.markets[market as usize].slot
    }

    #[inline(always)]
    pub fn account(&self, account: u32) -> &Account<Plain> {
        &self.accounts.get(account as usize).slot
    }

    #[inline(always)]
    pub fn position(&self, account: u32, entry: u32) -> &Position<Plain> {
        &self.positions.get(position_index(account, entry)).slot
    }

    #[inline(always)]
    pub fn session(&self, account: u32, key: u32) -> &Session<Plain> {
        &self.sessions.get(session_index(account, key)).slot
    }

    /// A session by its typed indices.
    pub fn session_of(&self, (account, key): (AccountId, KeyIndex)) -> &Session<Plain> {
        self.session(account.get(), key.get())
    }

    #[inline(always)]
    pub fn owner(&self, account: u32) -> &Owner<Plain> {
        &self.owners.get(account as usize).slot
    }

    pub fn deployment(&self) -> &Deployment<Plain> {
        &self.deployment
    }

    #[inline(always)]
    pub fn order(&self, slot: u32) -> &Order<Plain> {
        &self.orders.get(slot as usize).slot
    }

    #[inline(always)]
    pub fn set_system(&mut self, new: System<Plain>) {
        if self.system.touched != self.epoch {
            self.system.touched = self.epoch;
            self.touched.push((Kind::System, 0, 0));
        }
        self.system.slot = new;
    }

    #[inline(always)]
    pub fn set_market(&mut self, market: u32, new: Market<Plain>) {
        let tracked = &mut self.markets[market as usize];
        if tracked.touched != self.epoch {
            tracked.touched = self.epoch;
            self.touched.push((Kind::Market, market, 0));
        }
        tracked.slot = new;
    }

    #[inline(always)]
    pub fn set_account(&mut self, account: u32, new: Account<Plain>) {
        let tracked = self.accounts.get_mut(account as usize);
        if tracked.touched != self.epoch {
            tracked.touched = self.epoch;
            self.touched.push((Kind::Account, account, 0));
        }
        self.money_delta += new.collateral - tracked.slot.collateral;
        tracked.slot = new;
    }

    #[inline(always)]
    pub fn set_position(&mut self, account: u32, entry: u32, new: Position<Plain>) {
        let tracked = self.positions.get_mut(position_index(account, entry));
        if tracked.touched != self.epoch {
            tracked.touched = self.epoch;
            self.touched.push((Kind::Position, account, entry));
        }
        self.money_delta += new.quote - tracked.slot.quote;
        self.size_delta += new.size - tracked.slot.size;
        tracked.slot = new;
    }

    #[inline(always)]
    pub fn set_session(&mut self, account: u32, key: u32, new: Session<Plain>) {
        let tracked = self.sessions.get_mut(session_index(account, key));
        if tracked.touched != self.epoch {
            tracked.touched = self.epoch;
            self.touched.push((Kind::Session, account, key));
        }
        tracked.slot = new;
    }

    #[inline(always)]
    pub fn set_owner(&mut self, account: u32, new: Owner<Plain>) {
        let tracked = self.owners.get_mut(account as usize);
        if tracked.touched != self.epoch {
            tracked.touched = self.epoch;
            self.touched.push((Kind::Owner, account, 0));
        }
        tracked.slot = new;
    }

    /// Writes an order and keeps the caches true to the books.
    #[inline(always)]
    pub fn set_order(&mut self, slot: u32, new: Order<Plain>) {
        let (was_live, is_live) = (self.order(slot).live, new.live);
        if was_live && !is_live {
            self.unlink(slot);
        } else if is_live && !was_live {
            self.link(slot, &new);
        }
        self.put_order(slot, new);
    }

    #[inline(always)]
    fn put_order(&mut self, slot: u32, new: Order<Plain>) {
        let tracked = self.orders.get_mut(slot as usize);
        if tracked.touched != self.epoch {
            tracked.touched = self.epoch;
            self.touched.push((Kind::Order, slot, 0));
        }
        tracked.slot = new;
    }

    fn link(&mut self, slot: u32, order: &Order<Plain>) {
        let ladder = &mut self.ladders[(2 * order.market + u32::from(!order.buys)) as usize];
        let key = ladder_key(order.buys, order.price);
        let at = ladder.find(key);
        match ladder.levels.get_mut(at) {
            Some(level) if level.0 == key => level.1 = slot,
            _ => ladder.levels.insert(at, (key, slot)),
        }
        let head = self.siblings_head.get_mut(position_index(order.account, order.entry));
        let following = std::mem::replace(head, slot);
        *self.siblings.get_mut(slot as usize) = [following, 0];
        if following != 0 {
            self.siblings.get_mut(following as usize)[1] = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let order = self.order(slot).clone();
        let sentinel = 2 * order.market + u32::from(!order.buys);
        let key = ladder_key(order.buys, order.price);
        let prev_price = self.order(order.prev).price;
        let ladder = &mut self.ladders[sentinel as usize];
        let at = ladder.find(key);
        let level = &mut ladder.levels[at];
        assert_eq!(level.0, key, "the ladder has a level for every price in the book");
        if level.1 == slot {
            if order.prev != sentinel && prev_price == order.price {
                level.1 = order.prev;
            } else {
                ladder.levels.remove(at);
            }
        }
        let [following, preceding] = *self.siblings.get(slot as usize);
        if following != 0 {
            self.siblings.get_mut(following as usize)[1] = preceding;
        }
        if preceding != 0 {
            self.siblings.get_mut(preceding as usize)[0] = following;
        } else {
            *self.siblings_head.get_mut(position_index(order.account, order.entry)) = following;
        }
    }

    /// The order behind which an order of this price belongs in the book of `sentinel`, or the sentinel.
    #[inline]
    pub fn neighbour(&self, sentinel: u32, price: u64) -> u32 {
        let ladder = &self.ladders[sentinel as usize];
        let at = ladder.find(ladder_key(sentinel.is_multiple_of(2), price));
        ladder.levels.get(at).map_or(sentinel, |&(_, last)| last)
    }

    /// All open orders of a position, by ascending slot.
    pub fn open_orders(&self, account: u32, entry: u32) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut slot = *self.siblings_head.get(position_index(account, entry));
        while slot != 0 {
            slots.push(slot);
            slot = self.siblings.get(slot as usize)[0];
        }
        slots.sort_unstable();
        slots
    }

    /// Changes since the last call, for the check that a command conserved money and size.
    #[inline(always)]
    pub fn take_conservation(&mut self) -> Conservation {
        let conservation = Conservation { money_delta: self.money_delta, size_delta: self.size_delta };
        self.money_delta = 0;
        self.size_delta = 0;
        conservation
    }

    /// The slots touched since the last call, each once.
    pub fn take_touched(&mut self) -> Vec<(Kind, u32, u32)> {
        self.epoch += 1;
        std::mem::take(&mut self.touched)
    }

    /// Number of slots touched since the last root.
    pub fn touched_count(&self) -> usize {
        self.touched.len()
    }

    /// The cells of a slot.
    pub fn slot_cells(&self, kind: Kind, outer: u32, inner: u32) -> Vec<u32> {
        match kind {
            Kind::System => slot_cells(self.system()),
            Kind::Market => slot_cells(self.market(outer)),
            Kind::Account => slot_cells(self.account(outer)),
            Kind::Position => slot_cells(self.position(outer, inner)),
            Kind::Order => slot_cells(self.order(outer)),
            Kind::Session => slot_cells(self.session(outer, inner)),
            Kind::Owner => slot_cells(self.owner(outer)),
            Kind::Deployment => slot_cells(self.deployment()),
        }
    }
}

fn slot_cells<S: Slot<Plain>>(slot: &S) -> Vec<u32> {
    cells(slot)
}

/// The raw leaves of a slot: index in the tree, and cells.
pub fn leaves_of(
    kind: Kind,
    outer: u32,
    inner: u32,
    cells: &[u32],
) -> impl Iterator<Item = (u32, [u32; LEAF_CELLS])> + '_ {
    let first = kind.region().leaf(outer, inner);
    cells.chunks_exact(LEAF_CELLS).enumerate().map(move |(offset, chunk)| {
        let mut leaf = [0; LEAF_CELLS];
        leaf.copy_from_slice(chunk);
        (first + offset as u32, leaf)
    })
}
