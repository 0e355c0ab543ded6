//! Records: structs of machine values that have one fixed sequence of cells.
//!
//! A cell is a field element, below 2^30 but in `Fields`. A bit or an id is one cell, a word three, a wide integer of `L` limbs `L`, a signed integer the sign and
//! then the limbs. The order of the fields is the order of the cells, in the state's leaves and in the circuit's messages alike.

use holdfast_crypto::{F, field::cell_to_canonical};

use crate::machine::{LIMB_BITS, Plain, Values};

/// Gives values for a record's cells, in order.
pub trait CellReader<V: Values> {
    fn bit(&mut self) -> V::Bit;
    fn id(&mut self) -> V::Id;
    fn word(&mut self) -> V::Word;
    fn wide<const L: usize>(&mut self) -> V::Wide<L>;
    fn int<const L: usize>(&mut self) -> V::Int<L>;
    fn fields<const N: usize>(&mut self) -> V::Fields<N>;
}

/// Takes a record's values, in order.
pub trait CellWriter<V: Values> {
    fn bit(&mut self, value: &V::Bit);
    fn id(&mut self, value: &V::Id);
    fn word(&mut self, value: &V::Word);
    fn wide<const L: usize>(&mut self, value: &V::Wide<L>);
    fn int<const L: usize>(&mut self, value: &V::Int<L>);
    fn fields<const N: usize>(&mut self, value: &V::Fields<N>);
}

pub trait Record<V: Values>: Sized + Clone {
    /// Number of cells.
    const CELLS: usize;
    fn read(reader: &mut impl CellReader<V>) -> Self;
    fn write(&self, writer: &mut impl CellWriter<V>);
}

/// Defines a record: `record! { pub struct Name { field: Kind, … } }` with kinds `Bit`, `Id`, `Word`, `Wide<L>`, `Int<L>`, `Ids<N>`, `Fields<N>` and other records.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* $field:ident : $kind:tt $(<$n:literal>)?,)* }) => {
        $(#[$doc])*
        pub struct $name<V: $crate::machine::Values> {
            $($(#[$field_doc])* pub $field: $crate::record::record!(@type V $kind $(<$n>)?),)*
        }

        // (Not derived: `derive` does not see through macros in types.)
        impl<V: $crate::machine::Values> Clone for $name<V> {
            #[inline(always)]
            fn clone(&self) -> Self {
                let Self { $($field,)* } = self;
                Self { $($field: $field.clone(),)* }
            }
        }

        impl<V: $crate::machine::Values> std::fmt::Debug for $name<V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let Self { $($field,)* } = self;
                f.debug_struct(stringify!($name))$(.field(stringify!($field), $field))*.finish()
            }
        }

        impl<V: $crate::machine::Values> $crate::record::Record<V> for $name<V> {
            const CELLS: usize = 0 $(+ $crate::record::record!(@cells V $kind $(<$n>)?))*;

            #[inline]
            fn read(reader: &mut impl $crate::record::CellReader<V>) -> Self {
                $(let $field = $crate::record::record!(@read V reader $kind $(<$n>)?);)*
                Self { $($field,)* }
            }

            #[inline]
            fn write(&self, writer: &mut impl $crate::record::CellWriter<V>) {
                let Self { $($field,)* } = self;
                $($crate::record::record!(@write V writer $field $kind $(<$n>)?);)*
            }
        }
    };
    (@type $v:ident Bit) => { $v::Bit };
    (@type $v:ident Id) => { $v::Id };
    (@type $v:ident Word) => { $v::Word };
    (@type $v:ident Wide<$n:literal>) => { $v::Wide<$n> };
    (@type $v:ident Int<$n:literal>) => { $v::Int<$n> };
    (@type $v:ident Ids<$n:literal>) => { [$v::Id; $n] };
    (@type $v:ident Fields<$n:literal>) => { $v::Fields<$n> };
    (@type $v:ident $record:ident) => { $record<$v> };
    (@cells $v:ident Bit) => { 1 };
    (@cells $v:ident Id) => { 1 };
    (@cells $v:ident Word) => { $crate::machine::WORD_LIMBS };
    (@cells $v:ident Wide<$n:literal>) => { $n };
    (@cells $v:ident Int<$n:literal>) => { ($n + 1) };
    (@cells $v:ident Ids<$n:literal>) => { $n };
    (@cells $v:ident Fields<$n:literal>) => { $n };
    (@cells $v:ident $record:ident) => { <$record<$v> as $crate::record::Record<$v>>::CELLS };
    (@read $v:ident $r:ident Bit) => { $r.bit() };
    (@read $v:ident $r:ident Id) => { $r.id() };
    (@read $v:ident $r:ident Word) => { $r.word() };
    (@read $v:ident $r:ident Wide<$n:literal>) => { $r.wide::<$n>() };
    (@read $v:ident $r:ident Int<$n:literal>) => { $r.int::<$n>() };
    (@read $v:ident $r:ident Ids<$n:literal>) => { std::array::from_fn(|_| $r.id()) };
    (@read $v:ident $r:ident Fields<$n:literal>) => { $r.fields::<$n>() };
    (@read $v:ident $r:ident $record:ident) => { <$record<$v> as $crate::record::Record<$v>>::read($r) };
    (@write $v:ident $w:ident $f:ident Bit) => { $w.bit($f) };
    (@write $v:ident $w:ident $f:ident Id) => { $w.id($f) };
    (@write $v:ident $w:ident $f:ident Word) => { $w.word($f) };
    (@write $v:ident $w:ident $f:ident Wide<$n:literal>) => { $w.wide::<$n>($f) };
    (@write $v:ident $w:ident $f:ident Int<$n:literal>) => { $w.int::<$n>($f) };
    (@write $v:ident $w:ident $f:ident Ids<$n:literal>) => { for id in $f { $w.id(id) } };
    (@write $v:ident $w:ident $f:ident Fields<$n:literal>) => { $w.fields::<$n>($f) };
    (@write $v:ident $w:ident $f:ident $record:ident) => { $record::write($f, $w) };
}
pub(crate) use record;

/// Writes the cells of plain records.
pub struct PlainWriter<'a>(pub &'a mut Vec<u32>);

const LIMB_MASK: u128 = (1 << LIMB_BITS) - 1;

impl CellWriter<Plain> for PlainWriter<'_> {
    fn bit(&mut self, value: &bool) {
        self.0.push(u32::from(*value));
    }
    fn id(&mut self, value: &u32) {
        self.0.push(*value);
    }
    fn word(&mut self, value: &u64) {
        self.wide::<{ crate::machine::WORD_LIMBS }>(&u128::from(*value));
    }
    fn wide<const L: usize>(&mut self, value: &u128) {
        assert!(*value >> (L as u32 * LIMB_BITS) == 0, "{value} has more than {L} limbs");
        for limb in 0..L as u32 {
            self.0.push((value >> (limb * LIMB_BITS) & LIMB_MASK) as u32);
        }
    }
    fn int<const L: usize>(&mut self, value: &i128) {
        self.0.push(u32::from(*value < 0));
        self.wide::<L>(&value.unsigned_abs());
    }
    fn fields<const N: usize>(&mut self, value: &[F; N]) {
        self.0.extend(value.iter().map(|&cell| cell_to_canonical(cell)));
    }
}

/// Reads plain records from cells that were written by [`PlainWriter`].
pub struct PlainReader<'a>(pub &'a [u32]);

impl PlainReader<'_> {
    fn next(&mut self) -> u32 {
        let (first, rest) = self.0.split_first().expect("a record has as many cells as it says");
        self.0 = rest;
        *first
    }
}

impl CellReader<Plain> for PlainReader<'_> {
    fn bit(&mut self) -> bool {
        self.next() != 0
    }
    fn id(&mut self) -> u32 {
        self.next()
    }
    fn word(&mut self) -> u64 {
        self.wide::<{ crate::machine::WORD_LIMBS }>() as u64
    }
    fn wide<const L: usize>(&mut self) -> u128 {
        (0..L as u32).fold(0, |value, limb| value | u128::from(self.next()) << (limb * LIMB_BITS))
    }
    fn int<const L: usize>(&mut self) -> i128 {
        let negative = self.bit();
        let magnitude = self.wide::<L>() as i128;
        if negative { -magnitude } else { magnitude }
    }
    fn fields<const N: usize>(&mut self) -> [F; N] {
        std::array::from_fn(|_| F::new(self.next()))
    }
}
