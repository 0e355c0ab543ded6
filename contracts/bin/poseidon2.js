#!/usr/bin/env node
// Writes src/Poseidon2.sol: the round constants and the matrices of Plonky3's Poseidon2 over BabyBear of width 16, and all that the contract derives from them, unrolled.
// With --check, compares what is there.
//
//   node bin/poseidon2.js [--check]
//
// The permutation (https://eprint.iacr.org/2023/323): the external matrix; four rounds of: add constants, x^7, external matrix; thirteen of: add a constant to cell 0,
// x^7 of cell 0, internal matrix; four more of the first kind. The external matrix is circ(2, 1, 1, 1) of blocks circ(2, 3, 1, 1); the internal one adds the sum of all
// cells to each cell times its entry of a diagonal.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const FILE = path.join(__dirname, "../src/Poseidon2.sol");
const P = 0x78000001n;
const WIDTH = 16;

// p3_baby_bear 0.4.3, BABYBEAR_RC16_EXTERNAL_INITIAL, BABYBEAR_RC16_INTERNAL, BABYBEAR_RC16_EXTERNAL_FINAL (Horizen Labs' constants).
const INITIAL = [
  "69cbb6af 46ad93f9 60a00f4e 6b1297cd 23189afe 732e7bef 72c246de 2c941900 0557eede 1580496f 3a3ea77b 54f3f271 0f49b029 47872fe1 221e2e36 1ab7202e",
  "487779a6 3851c9d8 38dc17c0 209f8849 268dcee8 350c48da 5b9ad32e 0523272b 3f89055b 01e894b2 13ddedde 1b2ef334 7507d8b4 6ceeb94e 52eb6ba2 50642905",
  "05453f3f 06349efc 6922787c 04bfff9c 768c714a 3e9ff21a 15737c9c 2229c807 0d47f88c 097e0ecc 27eadba0 2d7d29e4 3502aaa0 0f475fd7 29fbda49 018afffd",
  "0315b618 6d4497d1 1b171d9e 52861abd 2e5d0501 3ec8646c 6e5f250a 148ae8e6 17f5fa4a 3e66d284 0051aa3b 483f7913 2cfe5f15 023427ca 2cc78315 1e36ea47",
].map(cells);
const INTERNAL = cells(
  "5a8053c0 693be639 3858867d 19334f6b 128f0fd8 4e2b1ccb 61210ce0 3c318939 0b5b2f22 2edb11d5 213effdf 0cac4606 241af16d",
);
const FINAL = [
  "7290a80d 6f7e5329 598ec8a8 76a859a0 6559e868 657b83af 13271d3f 1f876063 0aeeae37 706e9ca6 46400cee 72a05c26 2c589c9e 20bd37a7 6a2d3d10 20523767",
  "5b8fe9c4 2aa501d6 1e01ac3e 1448bc54 5ce5ad1c 4918a14d 2c46a83f 4fcf6876 61d8d5c8 6ddf4ff9 11fda4d3 02933a8f 170eaf81 5a9c314f 49a12590 35ec52a1",
  "58eb1611 5e481e65 367125c9 0eba33ba 1fc28ded 066399ad 0cbec0ea 75fd1af0 50f5bf4e 643d5f41 6f4fe718 5b3cbbde 1e3afb3e 296fb027 45e1547b 4a8db2ab",
  "59986d19 30bcdfa3 1db63932 1d7c2824 53b33681 0673b747 038a98a3 2c5bce60 351979cd 5008fb73 547bca78 711af481 3f93bf64 644d987b 3c8bcd87 608758b8",
].map(cells);

function cells(text) {
  return text.split(" ").map((cell) => BigInt("0x" + cell));
}

const mod = (x) => ((x % P) + P) % P;

function power(base, exponent) {
  let result = 1n;
  for (let square = mod(base); exponent > 0n; exponent >>= 1n, square = mod(square * square)) {
    if (exponent & 1n) result = mod(result * square);
  }
  return result;
}

const inverse = (x) => power(x, P - 2n);

// The diagonal of the internal matrix: Plonky3's, with −2 for cell 0.
const DIAGONAL = [
  mod(-2n), 1n, 2n, inverse(2n), 3n, 4n, mod(-inverse(2n)), mod(-3n), mod(-4n), inverse(256n), inverse(4n), inverse(8n), inverse(1n << 27n), mod(-inverse(256n)),
  mod(-inverse(16n)), mod(-inverse(1n << 27n)),
];
const ROUNDS = BigInt(INTERNAL.length);
const sum = (terms) => mod(terms.reduce((total, term) => total + term, 0n));
const range = (first, end) => Array.from({ length: end - first }, (_, i) => first + i);

/** The entry of the external matrix. */
function external(row, column) {
  const entry = [2n, 3n, 1n, 1n][(((column - row) % 4) + 4) % 4];
  return row >> 2 === column >> 2 ? 2n * entry : entry;
}

const hex = (value) => "0x" + value.toString(16);
const word = (value) => "0x" + value.toString(16).padStart(64, "0");
/** A word of lanes that begin at these bits. */
const lanes = (values, positions) => word(values.reduce((total, value, i) => total + (value << positions[i]), 0n));
// Cell i mod 4 of a word, from the most significant lane down.
const CELLS = [192n, 128n, 64n, 0n];
// The lanes of the words A and G, from the least significant up.
const WIDE = [0n, 85n, 170n];
const NAMES = ["a", "b", "c", "d"];
const LANE = 0xffffffffffffffffn;

const out = [];
let depth = 1;
const LINE_LENGTH = 120;

/** Appends a line, broken as `forge fmt` breaks it. */
function emit(line, indent = depth) {
  const text = "    ".repeat(indent) + line;
  const call = /^((?:let )?(?:\w+ := )?\w+\()(.*)(\),?)$/.exec(line);
  if (text.length <= LINE_LENGTH || !call) {
    out.push(text);
    return;
  }
  emit(call[1], indent);
  const parts = [""];
  let nesting = 0;
  for (const character of call[2]) {
    nesting += character === "(" ? 1 : character === ")" ? -1 : 0;
    if (character === "," && nesting === 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  parts.forEach((part, i) => emit(part.trim() + (i + 1 < parts.length ? "," : ""), indent + 1));
  emit(call[3], indent);
}

const note = (text) => emit(`// ${text}`);

/** x^7 of each lane of a word. */
function sboxes(name, n) {
  emit(`x := shr(192, ${name})`);
  emit("z := mul(x, mul(x, x))");
  emit(`${n} := shl(192, mulmod(mul(z, z), x, P))`);
  for (const position of [128n, 64n, 0n]) {
    emit(`x := ${position === 0n ? `and(${name}, ${hex(LANE)})` : `and(shr(${position}, ${name}), ${hex(LANE)})`}`);
    emit("z := mul(x, mul(x, x))");
    const value = "mulmod(mul(z, z), x, P)";
    emit(`${n} := add(${n}, ${position === 0n ? value : `shl(${position}, ${value})`})`);
  }
}

/** The call of the function that does it to all words. */
const power7 = () => emit("a, b, c, d := power7(a, b, c, d)");

/** The external matrix, and the constants of the round that follows. */
function linear(constants, words = NAMES) {
  emit("n := add(add(a, b), add(c, d))");
  const m = "0x000000000000000100000000000000010000000000000003" + "0000000000000002";
  for (const [index, name] of NAMES.entries()) {
    if (!words.includes(name)) continue;
    const mixed = `mulmod(add(${name}, n), ${m}, not(0))`;
    emit(`${name} := ${constants ? `add(${mixed}, ${lanes(constants.slice(4 * index, 4 * index + 4), CELLS)})` : mixed}`);
  }
}

/** Four cells of 32 bits as four lanes of 64. */
function spread(name, digest, high) {
  emit(`${name} := ${high ? `shr(128, ${digest})` : `and(${digest}, 0xffffffffffffffffffffffffffffffff)`}`);
  emit(`${name} := and(or(${name}, shl(64, ${name})), ${hex((LANE << 128n) | LANE)})`);
  emit(`${name} := and(or(${name}, shl(32, ${name})), ${lanes(Array(4).fill(0xffffffffn), CELLS)})`);
}

/** Moves lane `from` of a word to bit `to`. */
function moved(name, from, to) {
  if (to === 0n && from === 192n) return `shr(192, ${name})`;
  const lane = `and(${name}, ${hex(LANE << from)})`;
  if (to === from) return lane;
  return to > from ? `shl(${to - from}, ${lane})` : `shr(${from - to}, ${lane})`;
}

/** Lane `i` of a word of three. */
const wide = (name, i) =>
  i === 2 ? `shr(170, ${name})` : i === 1 ? `and(shr(85, ${name}), ${hex((1n << 85n) - 1n)})` : `and(${name}, ${hex((1n << 85n) - 1n)})`;

/** Partial rounds between fences. */
const FENCE = 2;

/** Keeps the optimizer from moving the sums behind it (see the comment of the function). */
function fence(round) {
  emit("if shr(255, x) {");
  depth++;
  for (const group of range(0, 5)) emit(`u${group} := 0`);
  for (const group of range(Math.floor((round - 1) / 3), 4)) emit(`g${group} := 0`);
  depth--;
  emit("}");
}

function partial() {
  const rounds = range(0, INTERNAL.length);
  note("The sums of round r that do not depend on later S-boxes: the products' lane 3 is the inner product with a row.");
  const functional = (r) => {
    const row = range(0, WIDTH).map((column) =>
      sum(range(1, WIDTH).map((cell) => power(DIAGONAL[cell], BigInt(r)) * external(cell, column))),
    );
    const term = (index) =>
      `shr(192, mul(${NAMES[index]}, ${lanes(row.slice(4 * index, 4 * index + 4), [0n, 64n, 128n, 192n])}))`;
    return `add(add(${term(0)}, ${term(1)}), add(${term(2)}, ${term(3)}))`;
  };
  emit(`s := ${functional(0)}`);
  for (const group of range(0, 4)) {
    emit(`let g${group}`);
    emit(`g${group} := ${functional(3 * group + 1)}`);
    emit(`g${group} := add(g${group}, shl(85, ${functional(3 * group + 2)}))`);
    emit(`g${group} := add(g${group}, shl(170, ${functional(3 * group + 3)}))`);
  }
  note("The fourth external matrix. Its constants: that of the first partial round in cell 0, those of the fifth full round, divided by");
  note("the diagonal's thirteenth power, in the others.");
  linear(range(0, WIDTH).map((cell) => (cell === 0 ? INTERNAL[0] : mod(FINAL[0][cell] * inverse(power(DIAGONAL[cell], ROUNDS))))));
  emit("x := shr(192, a)");
  for (const group of range(0, 5)) {
    const parts = range(0, 3).map((i) => {
      const cell = 3 * group + 1 + i;
      return moved(NAMES[cell >> 2], CELLS[cell & 3], WIDE[2 - i]);
    });
    emit(`let u${group}`);
    emit(`u${group} := or(or(${parts[0]}, ${parts[1]}), ${parts[2]})`);
  }
  for (const round of rounds) {
    if (round % FENCE === 0 && round > 0) fence(round);
    note(`Partial round ${round}.`);
    emit("z := mul(x, mul(x, x))");
    emit("z := mulmod(mul(z, z), x, P)");
    if (round === 0) emit("s := mod(add(z, s), P)");
    else emit(`s := mod(add(z, ${wide(`g${Math.floor((round - 1) / 3)}`, (round - 1) % 3)}), P)`);
    const next = round + 1 < INTERNAL.length ? INTERNAL[round + 1] : FINAL[0][0];
    emit(`x := sub(add(s, ${hex(2n * P + next)}), shl(1, z))`);
    for (const group of range(0, 4)) {
      const traces = range(0, 3).map((i) => {
        const later = 3 * group + 1 + i;
        return later <= round ? 0n : sum(range(1, WIDTH).map((cell) => power(DIAGONAL[cell], BigInt(later - 1 - round))));
      });
      if (traces.every((trace) => trace === 0n)) continue;
      emit(`g${group} := add(g${group}, mul(s, ${lanes(traces, WIDE)}))`);
    }
    for (const group of range(0, 5)) {
      const weights = range(0, 3).map((i) => inverse(power(DIAGONAL[3 * group + 3 - i], BigInt(round + 1))));
      emit(`u${group} := add(u${group}, mul(s, ${lanes(weights, WIDE)}))`);
    }
  }
  note("The S-boxes of the fifth full round.");
  fence(13);
  for (const [index, name] of NAMES.entries()) {
    for (const e of range(0, 4)) {
      const cell = 4 * index + e;
      if (cell > 0) {
        const source = wide(`u${Math.floor((cell - 1) / 3)}`, 2 - ((cell - 1) % 3));
        emit(`x := mulmod(${source}, ${hex(power(DIAGONAL[cell], ROUNDS))}, P)`);
      }
      emit("z := mul(x, mul(x, x))");
      const value = "mulmod(mul(z, z), x, P)";
      const placed = e === 3 ? value : `shl(${CELLS[e]}, ${value})`;
      emit(`${name} := ${e === 0 ? placed : `add(${name}, ${placed})`}`);
    }
  }
}

function body() {
  depth = 2;
  emit("function power7(a, b, c, d) -> e, f, g, h {");
  depth++;
  emit("let x, z");
  NAMES.forEach((name, index) => sboxes(name, "efgh"[index]));
  depth--;
  emit("}");
  for (const name of ["x", "y", "z", "n", "s"]) emit(`let ${name}`);
  for (const [index, name] of NAMES.entries()) {
    emit(`let ${name}`);
    spread(name, index < 2 ? "left" : "right", index % 2 === 0);
  }
  note("Kept for the end, in the scratch space: the stack is full in between.");
  emit("mstore(0, left)");
  linear(INITIAL[0]);
  for (const round of range(0, 4)) {
    note(`Full round ${round}.`);
    power7();
    if (round < 3) linear(INITIAL[round + 1]);
  }
  partial();
  for (const round of range(1, 4)) {
    linear(FINAL[round]);
    note(`Full round ${round + 4}.`);
    power7();
  }
  linear(null, ["a", "b"]);
  note("The feed-forward, and back to cells of 32 bits.");
  for (const [index, name] of ["a", "b"].entries()) {
    spread("n", "mload(0)", index === 0);
    emit(`n := add(n, ${name})`);
    const reduced = (position) => `mod(and(n, ${hex(LANE << position)}), ${hex(P << position)})`;
    emit(`n := or(or(${reduced(192n)}, ${reduced(128n)}), or(${reduced(64n)}, ${reduced(0n)}))`);
    emit(`n := and(or(n, shr(32, n)), ${hex((LANE << 128n) | LANE)})`);
    const half = "and(or(n, shr(64, n)), 0xffffffffffffffffffffffffffffffff)";
    emit(index === 0 ? `out := shl(128, ${half})` : `out := or(out, ${half})`);
  }
  return out.join("\n");
}

const HEAD = `// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

// Written by bin/poseidon2.js, which has the constants' source and how the others follow from them: do not change it here.

import {P} from "./Field.sol";

/// @notice The two-to-one compression of the state tree: \`P(left ‖ right)[0..8] + left\`, with P the Poseidon2 permutation of width 16 over
/// BabyBear (x^7, 4 + 13 + 4 rounds). A digest is eight cells of 32 bits, the first one most significant.
/// @dev The twin of \`holdfast_crypto::poseidon2::compress\`. The cells must be canonical (below p), which whoever reads them from outside checks; those of
/// the result are. No memory is used but the first word of the scratch space.
///
/// **Full rounds.** Words a to d have four lanes of 64 bits each, cell 0 of a in its most significant lane. Modulo 2^256 − 1, a product with
/// 2 + 3X + X^2 + X^3 (X = 2^64) is the circulant block of the external matrix: the words' sum, added to each word before, makes the matrix of it.
/// Its rows sum to 35, so lanes below p become lanes below 35 p, and below 36 p < 2^37 with the next round's constants. Nothing is reduced there: for
/// x < 2^42, x^6 < 2^252 is exact, and one \`mulmod\` makes x^7 < p.
///
/// **Partial rounds.** Cell 0 alone goes through an S-box, so the other cells v_i, with entries d_i of the diagonal, are followed by their linear
/// combinations only. With s_r the sum of all cells in round r (below p) and z_r the S-box's result:
///   - s_r = z_r + Σ_i d_i^r v_i + Σ_(k < r) t_(r−1−k) s_k, where t_m = Σ_i d_i^m. The first sum is an inner product with the S-boxes' results before
///     the matrix, four terms a multiplication (lane 3 of the product of two words is one: 4 p² < 2^64, and the lanes below it do not carry). The words
///     g have it in three lanes of 85 bits, one a round from the second on, and every s_k is added to the later ones: 28 p² < 2^67;
///   - the next round's cell 0 is s_r − 2 z_r, with 2 p and the constant added below 4 p;
///   - after the last round, cell i is d_i^13·(v_i + Σ_k d_i^(−k−1) s_k): the sums grow in the words u, three lanes of 85 bits: 36 p + 13 p² < 2^66.
///
/// The \`if shr(255, x)\` are never taken, since x < 2^34: they keep the compiler from putting off the sums until the stack cannot hold their terms.
function compress(bytes32 left, bytes32 right) pure returns (bytes32 out) {
    assembly ("memory-safe") {
`;

const text = HEAD + body() + "\n    }\n}\n";
if (!process.argv.includes("--check")) {
  fs.writeFileSync(FILE, text);
} else if (fs.readFileSync(FILE, "utf8") !== text) {
  console.error("src/Poseidon2.sol is not what bin/poseidon2.js writes: run npm run build");
  process.exit(1);
}
