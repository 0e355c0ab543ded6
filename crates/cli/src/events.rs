//! The engine's events as the mapper wants them.

use holdfast_exchange::{Event, Plain};
use holdfast_protocol::{OrderId, Price, Size};

use crate::flow::OrderEvent;

/// What the engine did to orders, for [`crate::flow::Feedback::observe`].
pub fn order_events(events: &[Event<Plain>]) -> Vec<OrderEvent> {
    let id = |slot: u32, generation: u32| OrderId::new(slot, generation as u8).expect("the engine's own id");
    let size = |size: u64| Size::new(size).expect("the engine's own size");
    events
        .iter()
        .filter_map(|event| match event {
            Event::Rested { slot, generation, size: rested, .. } => {
                Some(OrderEvent::Rested { order: id(*slot, *generation), size: size(*rested) })
            }
            Event::Filled { maker_slot, maker_generation, price, size: filled, .. } => Some(OrderEvent::Filled {
                maker: id(*maker_slot, *maker_generation),
                price: Price::new(*price as u32).expect("the engine's own price"),
                size: size(*filled),
            }),
            Event::Removed { slot, generation, .. } => Some(OrderEvent::Removed { order: id(*slot, *generation) }),
            Event::Expired { .. } => None,
        })
        .collect()
}
