//! The lengths inside a proof's bytes, checked before the backend decodes them.
//!
//! The backend's decoder believes the lengths that it reads. It loops over a claimed count of empty rows (memory without end), shifts by a quotient of two
//! claimed counts, and counts a claimed depth down below zero (panics). All of these follow from the parameters of the proof system, or are bounded by them; here they are
//! walked through in the decoder's order, without building anything. What passes is for the decoder and the verifier to judge.

use openvm_stark_backend::SystemParams;

use crate::{air::Table, public::PublicValues, verify::LOG_HEIGHT_MAX};

/// Bytes of a cell, cells of an element of the extension field, cells of a digest.
const CELL: usize = 4;
const EXTENSION: usize = 4;
const DIGEST: usize = 8;
/// Most layers of the GKR proof: it halves at most 2^31 − 2^27 interactions.
const LAYERS_MAX: usize = 64;
/// Most coefficients of a univariate polynomial, evaluations of a round, parts of a table, columns of one.
const COEFFICIENTS_MAX: usize = 1 << 12;
const EVALUATIONS_MAX: usize = 32;
const PARTS_MAX: usize = 4;
const COLUMNS_MAX: usize = 1 << 12;
/// Most levels of any Merkle tree.
const DEPTH_MAX: usize = 32;

struct Walk<'a> {
    rest: &'a [u8],
}

/// Checks all lengths of an encoded proof.
pub(crate) fn check(bytes: &[u8], params: &SystemParams) -> Result<(), String> {
    let mut walk = Walk { rest: bytes };
    walk.cells("version and commitment", 1 + DIGEST)?;
    walk.tables()?;
    walk.interactions()?;
    let present = walk.constraints()?;
    walk.stacking(params, present)?;
    walk.opening(params)?;
    match walk.rest.len() {
        0 => Ok(()),
        more => Err(format!("expected the end of the proof, got {more} more bytes")),
    }
}

impl Walk<'_> {
    /// Passes over so many cells.
    fn cells(&mut self, what: &str, count: usize) -> Result<(), String> {
        let bytes = count * CELL;
        self.rest = self
            .rest
            .get(bytes..)
            .ok_or_else(|| format!("{what}: expected {bytes} bytes, got the {} that are left", self.rest.len()))?;
        Ok(())
    }

    /// Reads a count.
    fn count(&mut self, what: &str, min: usize, max: usize) -> Result<usize, String> {
        let Some((head, rest)) = self.rest.split_first_chunk::<CELL>() else {
            return Err(format!("{what}: expected a count, got the end of the proof"));
        };
        self.rest = rest;
        let count = u32::from_le_bytes(*head) as usize;
        if (min..=max).contains(&count) {
            Ok(count)
        } else {
            Err(format!("{what}: expected {min} to {max}, got {count}"))
        }
    }

    /// Reads a count of things of so many cells, and passes over them.
    fn list(&mut self, what: &str, max: usize, cells: usize) -> Result<usize, String> {
        let count = self.count(what, 0, max)?;
        self.cells(what, count * cells)?;
        Ok(count)
    }

    fn tables(&mut self) -> Result<(), String> {
        let tables = Table::all().count();
        self.count("tables with shapes", tables, tables)?;
        // The decoder reads one byte for each eight tables, and refuses set bits beyond the last.
        let Some((bits, rest)) = self.rest.split_at_checked(tables.div_ceil(8)) else {
            return Err("presence of tables: got the end of the proof".into());
        };
        self.rest = rest;
        let present: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        for _ in 0..present {
            self.count("height of a table", 0, LOG_HEIGHT_MAX)?;
            self.count("cached commitments", 0, 0)?;
        }
        self.count("tables with public values", tables, tables)?;
        for _ in 0..tables {
            self.list("public values", PublicValues::CELLS, 1)?;
        }
        Ok(())
    }

    fn interactions(&mut self) -> Result<(), String> {
        self.cells("witness and claim", 1 + EXTENSION)?;
        let layers = self.list("layers of interactions", LAYERS_MAX, 4 * EXTENSION)?;
        self.cells("rounds of interactions", layers * layers.saturating_sub(1) / 2 * 3 * EXTENSION)
    }

    /// Returns the number of tables that claim to have rows.
    fn constraints(&mut self) -> Result<usize, String> {
        let present = self.list("tables with terms", Table::all().count(), 2 * EXTENSION)?;
        self.list("first round of constraints", COEFFICIENTS_MAX, EXTENSION)?;
        let rounds = self.count("rounds of constraints", 0, DEPTH_MAX)?;
        if rounds > 0 {
            let evaluations = self.count("evaluations of a round", 1, EVALUATIONS_MAX)?;
            self.cells("rounds of constraints", rounds * evaluations * EXTENSION)?;
        }
        for _ in 0..present {
            let parts = self.count("parts of a table", 0, PARTS_MAX)?;
            for _ in 0..parts {
                self.list("openings of columns", 2 * COLUMNS_MAX, EXTENSION)?;
            }
        }
        Ok(present)
    }

    fn stacking(&mut self, params: &SystemParams, present: usize) -> Result<(), String> {
        self.list("first round of stacking", COEFFICIENTS_MAX, EXTENSION)?;
        self.list("rounds of stacking", DEPTH_MAX, 2 * EXTENSION)?;
        let commitments = self.count("stacked commitments", 1, 1 + present)?;
        for _ in 0..commitments {
            self.list("openings of stacked columns", params.w_stack, EXTENSION)?;
        }
        Ok(())
    }

    fn opening(&mut self, params: &SystemParams) -> Result<(), String> {
        let (rounds, sumcheck_rounds) = (params.num_whir_rounds(), params.num_whir_sumcheck_rounds());
        let queries_of = |round: usize| params.whir.rounds[round].num_queries;
        let folded = 1 << params.k_whir();
        self.cells("witness", 1)?;
        self.count("rounds of the opening's sumcheck", sumcheck_rounds, sumcheck_rounds)?;
        self.cells("rounds of the opening's sumcheck", sumcheck_rounds * 2 * EXTENSION)?;
        self.count("folded commitments", rounds - 1, rounds - 1)?;
        self.cells("folded commitments", (rounds - 1) * (DIGEST + EXTENSION) + sumcheck_rounds + rounds)?;

        let commitments = self.count("opened commitments", 1, 1 + Table::all().count())?;
        let queries = self.count("queries", queries_of(0), queries_of(0))?;
        let depth = self.count("depth of the first tree", 0, DEPTH_MAX)?;
        let mut width = 0;
        for _ in 0..commitments {
            width += self.count("width of an opened row", 0, params.w_stack)?;
        }
        self.cells("opened rows", queries * folded * width)?;
        self.cells("paths of the opened rows", commitments * queries * depth * DIGEST)?;
        for round in 1..rounds {
            let queries = self.count("queries of a round", queries_of(round), queries_of(round))?;
            self.cells("opened values", queries * folded * EXTENSION)?;
        }
        // Each tree is one level lower than the one before.
        let depth = self.count("depth of the second tree", rounds - 1, DEPTH_MAX)?;
        for round in 1..rounds {
            self.cells("paths of the opened values", queries_of(round) * (depth + 1 - round) * DIGEST)?;
        }
        self.list("final polynomial", 1 << params.log_final_poly_len(), EXTENSION)?;
        Ok(())
    }
}
