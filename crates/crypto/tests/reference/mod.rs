//! The permutation, the compression and the tree by definition: plain integers modulo p, matrices as matrices, recursion
//! over the whole tree. Slow, and shares no code with what it is compared against but the table of round constants.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;

use holdfast_crypto::field::{Digest, cell_from_canonical, cell_to_canonical};
use p3_baby_bear::{BABYBEAR_RC16_EXTERNAL_FINAL, BABYBEAR_RC16_EXTERNAL_INITIAL, BABYBEAR_RC16_INTERNAL, BabyBear};

pub const P: u64 = (1 << 31) - (1 << 27) + 1;
pub const DEPTH: u32 = 28;

pub type Cells = [u64; 8];
pub type State = [u64; 16];
type Matrix = [State; 16];

/// What the S-box raises to, and what undoes it: 7 · 1 725 656 503 = 6 (p − 1) + 1.
const SBOX: u64 = 7;
const SBOX_INVERSE: u64 = 1_725_656_503;

pub fn cells(digest: &Digest) -> Cells {
    digest.map(|cell| u64::from(cell_to_canonical(cell)))
}

pub fn digest(cells: &Cells) -> Digest {
    cells.map(|cell| cell_from_canonical(cell as u32).expect("reference values are below p"))
}

pub struct Poseidon2 {
    external: Matrix,
    external_inverse: Matrix,
    internal: Matrix,
    internal_inverse: Matrix,
    constants_initial: [State; 4],
    constants_internal: [u64; 13],
    constants_final: [State; 4],
}

impl Poseidon2 {
    pub fn new() -> Self {
        let (external, internal) = (external_matrix(), internal_matrix());
        let integer = |cell: BabyBear| u64::from(cell_to_canonical(cell));
        Self {
            external,
            external_inverse: inverted(external),
            internal,
            internal_inverse: inverted(internal),
            constants_initial: BABYBEAR_RC16_EXTERNAL_INITIAL.map(|round| round.map(integer)),
            constants_internal: BABYBEAR_RC16_INTERNAL.map(integer),
            constants_final: BABYBEAR_RC16_EXTERNAL_FINAL.map(|round| round.map(integer)),
        }
    }

    pub fn permuted(&self, mut state: State) -> State {
        state = product(&self.external, state);
        for round in &self.constants_initial {
            state = product(&self.external, std::array::from_fn(|i| power(state[i] + round[i], SBOX)));
        }
        for constant in self.constants_internal {
            state[0] = power(state[0] + constant, SBOX);
            state = product(&self.internal, state);
        }
        for round in &self.constants_final {
            state = product(&self.external, std::array::from_fn(|i| power(state[i] + round[i], SBOX)));
        }
        state
    }

    /// The same backwards.
    pub fn unpermuted(&self, mut state: State) -> State {
        for round in self.constants_final.iter().rev() {
            state = product(&self.external_inverse, state);
            state = std::array::from_fn(|i| (power(state[i], SBOX_INVERSE) + P - round[i]) % P);
        }
        for constant in self.constants_internal.iter().rev() {
            state = product(&self.internal_inverse, state);
            state[0] = (power(state[0], SBOX_INVERSE) + P - constant) % P;
        }
        for round in self.constants_initial.iter().rev() {
            state = product(&self.external_inverse, state);
            state = std::array::from_fn(|i| (power(state[i], SBOX_INVERSE) + P - round[i]) % P);
        }
        product(&self.external_inverse, state)
    }

    pub fn compress(&self, left: &Cells, right: &Cells) -> Cells {
        let out = self.permuted(joined(left, right));
        std::array::from_fn(|i| (out[i] + left[i]) % P)
    }
}

pub fn joined(left: &Cells, right: &Cells) -> State {
    std::array::from_fn(|i| if i < 8 { left[i] } else { right[i - 8] })
}

/// The tree of the given leaves: every node from its two children, down to the leaves.
pub struct NaiveTree<'a> {
    poseidon2: &'a Poseidon2,
    defaults: Vec<Cells>,
    pub leaves: BTreeMap<u32, Cells>,
}

impl<'a> NaiveTree<'a> {
    pub fn new(poseidon2: &'a Poseidon2) -> Self {
        let mut defaults = vec![[0; 8]];
        for level in 0..DEPTH as usize {
            defaults.push(poseidon2.compress(&defaults[level], &defaults[level]));
        }
        Self { poseidon2, defaults, leaves: BTreeMap::new() }
    }

    pub fn root(&self) -> Cells {
        self.node(DEPTH, 0)
    }

    pub fn node(&self, level: u32, index: u32) -> Cells {
        let first = index << level;
        let last = first + ((1 << level) - 1);
        if self.leaves.range(first..=last).next().is_none() {
            return self.defaults[level as usize];
        }
        if level == 0 {
            return self.leaves[&index];
        }
        self.poseidon2.compress(&self.node(level - 1, 2 * index), &self.node(level - 1, 2 * index + 1))
    }
}

/// Blocks of M4, doubled on the diagonal.
fn external_matrix() -> Matrix {
    const M4: [[u64; 4]; 4] = [[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]];
    std::array::from_fn(|row| {
        std::array::from_fn(|column| M4[row % 4][column % 4] * if row / 4 == column / 4 { 2 } else { 1 })
    })
}

/// All ones, plus the diagonal
/// −2, 1, 2, 1/2, 3, 4, −1/2, −3, −4, 1/2⁸, 1/4, 1/8, 1/2²⁷, −1/2⁸, −1/16, −1/2²⁷.
fn internal_matrix() -> Matrix {
    let negative = |x: u64| P - x;
    let inverse = |x: u64| power(x, P - 2);
    let diagonal = [
        negative(2),
        1,
        2,
        inverse(2),
        3,
        4,
        negative(inverse(2)),
        negative(3),
        negative(4),
        inverse(1 << 8),
        inverse(4),
        inverse(8),
        inverse(1 << 27),
        negative(inverse(1 << 8)),
        negative(inverse(16)),
        negative(inverse(1 << 27)),
    ];
    std::array::from_fn(|row| std::array::from_fn(|column| if row == column { (1 + diagonal[row]) % P } else { 1 }))
}

fn product(matrix: &Matrix, state: State) -> State {
    matrix.map(|row| row.iter().zip(state).map(|(a, b)| a * b % P).sum::<u64>() % P)
}

/// Gauss and Jordan, on the matrix beside the identity.
fn inverted(mut matrix: Matrix) -> Matrix {
    let mut inverse: Matrix = std::array::from_fn(|row| std::array::from_fn(|column| u64::from(row == column)));
    for column in 0..16 {
        let pivot = (column..16).find(|&row| matrix[row][column] != 0).expect("the matrix is invertible");
        matrix.swap(column, pivot);
        inverse.swap(column, pivot);
        let scale = power(matrix[column][column], P - 2);
        for rows in [&mut matrix, &mut inverse] {
            rows[column] = rows[column].map(|x| x * scale % P);
        }
        for row in (0..16).filter(|&row| row != column) {
            let factor = P - matrix[row][column];
            for rows in [&mut matrix, &mut inverse] {
                rows[row] = std::array::from_fn(|i| (rows[row][i] + factor * rows[column][i]) % P);
            }
        }
    }
    inverse
}

fn power(base: u64, exponent: u64) -> u64 {
    let (mut base, mut exponent, mut result) = (base % P, exponent, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % P;
        }
        base = base * base % P;
        exponent >>= 1;
    }
    result
}
