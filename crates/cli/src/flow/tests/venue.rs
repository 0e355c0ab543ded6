//! A naive venue for the tests of the mapper: price-time priority and nothing else. No margin, no fees.

use holdfast_protocol::{
    AccountId, Amend, Cancel, Command, OrderId, Outcome, Place, Price, Reject, Side, Size, TimeInForce, limits,
};

use crate::flow::OrderEvent;

#[derive(Debug, Clone, Copy)]
pub struct Resting {
    pub id: OrderId,
    pub account: AccountId,
    pub side: Side,
    pub price: Price,
    pub size: u64,
}

#[derive(Default)]
pub struct Venue {
    /// Best first, and by time within a price.
    pub bids: Vec<Resting>,
    pub asks: Vec<Resting>,
    generations: Vec<u8>,
    free: Vec<u32>,
}

impl Venue {
    pub fn execute(&mut self, command: &Command) -> (Outcome, Vec<OrderEvent>) {
        let mut events = Vec::new();
        let outcome = match command {
            Command::Place(place) => self.place(place, &mut events),
            Command::Cancel(cancel) => self.cancel(cancel, &mut events),
            Command::Amend(amend) => self.amend(amend, &mut events),
            _ => Ok(()),
        };
        (outcome.map_or_else(Outcome::Rejected, |()| Outcome::Accepted), events)
    }

    fn place(&mut self, place: &Place, events: &mut Vec<OrderEvent>) -> Result<(), Reject> {
        let Place { side, price, time_in_force, .. } = *place;
        if time_in_force == TimeInForce::PostOnly
            && self.opposite(side).first().is_some_and(|best| crosses(best, price))
        {
            return Err(Reject::PostOnlyCrosses);
        }
        let rests = matches!(time_in_force, TimeInForce::GoodTillCancel | TimeInForce::PostOnly);
        self.enter(place.account, side, price, place.size.get(), rests, events);
        Ok(())
    }

    fn cancel(&mut self, cancel: &Cancel, events: &mut Vec<OrderEvent>) -> Result<(), Reject> {
        self.owned(cancel.account, cancel.order)?;
        self.remove(cancel.order);
        events.push(OrderEvent::Removed { order: cancel.order });
        Ok(())
    }

    fn amend(&mut self, amend: &Amend, events: &mut Vec<OrderEvent>) -> Result<(), Reject> {
        let &Amend { account, order, price, size, .. } = amend;
        let resting = self.owned(account, order)?;
        if price == resting.price && size.get() <= resting.size {
            resting.size = size.get();
            return Ok(());
        }
        let side = resting.side;
        self.remove(order);
        events.push(OrderEvent::Removed { order });
        self.enter(account, side, price, size.get(), true, events);
        Ok(())
    }

    fn enter(
        &mut self,
        account: AccountId,
        side: Side,
        price: Price,
        mut size: u64,
        rests: bool,
        events: &mut Vec<OrderEvent>,
    ) {
        while size > 0 {
            let Some(best) = self.opposite(side).first_mut().filter(|best| crosses(best, price)) else { break };
            if best.account == account {
                return;
            }
            let fill = size.min(best.size);
            (size, best.size) = (size - fill, best.size - fill);
            let (maker, left) = (best.id, best.size);
            events.push(OrderEvent::Filled { maker, price: best.price, size: Size::new(fill).unwrap() });
            if left == 0 {
                self.remove(maker);
            }
        }
        if size > 0 && rests {
            let id = self.allocate();
            let book = if side == Side::Buy { &mut self.bids } else { &mut self.asks };
            let behind = |other: &Resting| match side {
                Side::Buy => other.price >= price,
                Side::Sell => other.price <= price,
            };
            let at = book.partition_point(behind);
            book.insert(at, Resting { id, account, side, price, size });
            events.push(OrderEvent::Rested { order: id, size: Size::new(size).unwrap() });
        }
    }

    fn opposite(&mut self, side: Side) -> &mut Vec<Resting> {
        if side == Side::Buy { &mut self.asks } else { &mut self.bids }
    }

    fn owned(&mut self, account: AccountId, order: OrderId) -> Result<&mut Resting, Reject> {
        let resting = self.bids.iter_mut().chain(&mut self.asks).find(|resting| resting.id == order);
        match resting {
            None => Err(Reject::UnknownOrder),
            Some(resting) if resting.account != account => Err(Reject::NotOrderOwner),
            Some(resting) => Ok(resting),
        }
    }

    fn remove(&mut self, order: OrderId) {
        for book in [&mut self.bids, &mut self.asks] {
            if let Some(at) = book.iter().position(|resting| resting.id == order) {
                book.remove(at);
                self.free.push(order.slot());
            }
        }
    }

    fn allocate(&mut self) -> OrderId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            limits::FIRST_ORDER + self.generations.len() as u32 - 1
        });
        let generation = &mut self.generations[(slot - limits::FIRST_ORDER) as usize];
        *generation = generation.wrapping_add(1);
        OrderId::new(slot, *generation).unwrap()
    }
}

/// Whether a resting order meets an opposite order with this limit.
fn crosses(resting: &Resting, limit: Price) -> bool {
    match resting.side {
        Side::Sell => resting.price <= limit,
        Side::Buy => resting.price >= limit,
    }
}
