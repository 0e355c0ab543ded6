// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BARRETT, C57, Ext, M16, M29, M33, M36, M41, N, P, P4, P_SHIFTED} from "./Field.sol";

/// @title The constraint program.
/// @notice All expressions of a trace's constraints and interactions, evaluated in one go at the openings.
///
/// The program is a list of batches of instructions of one kind, so that there is no dispatch within a batch. A batch begins with
/// 4 bytes, the kind and (3 bytes) the bytes of its instructions; kind 0 ends the program. An instruction is 4 bytes, two numbers
/// of words of the memory (operands a and b); its result goes to the next word of the frame, so that results need no names.
///
/// | kind | result | wants |
/// |---|---|---|
/// | 1 | a + b | |
/// | 2 | a − b + 4 p | b of at most 4 p |
/// | 3 | a·b | lanes < 2^37; gives at most 1.18 p |
/// | 4 | a·b, b a constant | a of at most 4.26 p; gives at most 3.55 p |
/// | 5 | a, reduced | gives at most 3.55 p |
/// | 6 | a sum of products | see below |
///
/// An instruction of kind 6 is c + Σ a_i·b_i − Σ a'_i·b'_i: a byte each with the numbers of negative and of positive products (at most
/// 8), the number of the word of c, and 4 bytes for each product, the negative ones first. It wants factors of at most 16 p and
/// c of at most 2^41, and gives at most 2.47 p.
///
/// Batches of kinds 1 and 2 are padded to multiples of 8, lists to multiples of 4, those with zeros. The generator keeps the bounds: they are known when it runs.

/// @notice Runs the program at `at`, with results from `result` on. Returns where the program ends.
function runProgram(uint256 here, uint256 result) pure returns (uint256 end) {
    assembly ("memory-safe") {
        let n := N
        let m16 := M16
        let m41 := M41
        let m36 := M36
        let m29 := M29

        for {} 1 {} {
            let head := shr(224, mload(here))
            let kind := shr(24, head)
            here := add(here, 4)
            end := add(here, and(head, 0xffffff))
            // An operand's address is 32 times its number: each shift leaves the number five bits higher.
            switch kind
            case 1 {
                for {} lt(here, end) { here := add(here, 32) } {
                    let w := mload(here)
                    mstore(result, add(mload(and(shr(235, w), 0x1fffe0)), mload(and(shr(219, w), 0x1fffe0))))
                    mstore(add(result, 32), add(mload(and(shr(203, w), 0x1fffe0)), mload(and(shr(187, w), 0x1fffe0))))
                    mstore(add(result, 64), add(mload(and(shr(171, w), 0x1fffe0)), mload(and(shr(155, w), 0x1fffe0))))
                    mstore(add(result, 96), add(mload(and(shr(139, w), 0x1fffe0)), mload(and(shr(123, w), 0x1fffe0))))
                    mstore(add(result, 128), add(mload(and(shr(107, w), 0x1fffe0)), mload(and(shr(91, w), 0x1fffe0))))
                    mstore(add(result, 160), add(mload(and(shr(75, w), 0x1fffe0)), mload(and(shr(59, w), 0x1fffe0))))
                    mstore(add(result, 192), add(mload(and(shr(43, w), 0x1fffe0)), mload(and(shr(27, w), 0x1fffe0))))
                    mstore(add(result, 224), add(mload(and(shr(11, w), 0x1fffe0)), mload(and(shl(5, w), 0x1fffe0))))
                    result := add(result, 256)
                }
            }
            case 2 {
                let p4 := P4
                for {} lt(here, end) { here := add(here, 32) } {
                    let w := mload(here)
                    mstore(result, add(mload(and(shr(235, w), 0x1fffe0)), sub(p4, mload(and(shr(219, w), 0x1fffe0)))))
                    mstore(
                        add(result, 32),
                        add(mload(and(shr(203, w), 0x1fffe0)), sub(p4, mload(and(shr(187, w), 0x1fffe0))))
                    )
                    mstore(
                        add(result, 64),
                        add(mload(and(shr(171, w), 0x1fffe0)), sub(p4, mload(and(shr(155, w), 0x1fffe0))))
                    )
                    mstore(
                        add(result, 96),
                        add(mload(and(shr(139, w), 0x1fffe0)), sub(p4, mload(and(shr(123, w), 0x1fffe0))))
                    )
                    mstore(
                        add(result, 128),
                        add(mload(and(shr(107, w), 0x1fffe0)), sub(p4, mload(and(shr(91, w), 0x1fffe0))))
                    )
                    mstore(
                        add(result, 160),
                        add(mload(and(shr(75, w), 0x1fffe0)), sub(p4, mload(and(shr(59, w), 0x1fffe0))))
                    )
                    mstore(
                        add(result, 192),
                        add(mload(and(shr(43, w), 0x1fffe0)), sub(p4, mload(and(shr(27, w), 0x1fffe0))))
                    )
                    mstore(
                        add(result, 224),
                        add(mload(and(shr(11, w), 0x1fffe0)), sub(p4, mload(and(shl(5, w), 0x1fffe0))))
                    )
                    result := add(result, 256)
                }
            }
            case 3 {
                for {} lt(here, end) { here := add(here, 4) } {
                    // As `mul` in Field.sol.
                    let w := mload(here)
                    let a := mload(and(shr(235, w), 0x1fffe0))
                    let b := mload(and(shr(219, w), 0x1fffe0))
                    let b0 := and(b, m16)
                    b := mulmod(a, shr(16, xor(b, b0)), n)
                    let h0 := and(b, m41)
                    a := add(add(mulmod(a, b0, n), shl(16, h0)), mul(shr(41, xor(b, h0)), C57))
                    mstore(result, sub(a, mul(and(shr(34, mul(and(shr(28, a), m36), BARRETT)), m29), P)))
                    result := add(result, 32)
                }
            }
            case 4 {
                let m33 := M33
                for {} lt(here, end) { here := add(here, 4) } {
                    // As `scale` in Field.sol.
                    let w := mload(here)
                    let t := mul(mload(and(shr(235, w), 0x1fffe0)), mload(and(shr(219, w), 0x1fffe0)))
                    mstore(result, sub(t, mul(and(shr(31, mul(and(shr(31, t), m33), BARRETT)), m33), P)))
                    result := add(result, 32)
                }
            }
            case 5 {
                let m33 := M33
                for {} lt(here, end) { here := add(here, 4) } {
                    // As `reduce` in Field.sol.
                    let t := mload(and(shr(235, mload(here)), 0x1fffe0))
                    mstore(result, sub(t, mul(and(shr(31, mul(and(shr(31, t), m33), BARRETT)), m33), P)))
                    result := add(result, 32)
                }
            }
            case 6 {
                for {} lt(here, end) {} {
                    let w := mload(here)
                    let sum := mload(and(shr(219, w), 0x1fffe0))
                    here := add(here, 4)
                    let middle := add(here, shl(2, byte(0, w)))
                    let last := add(middle, shl(2, byte(1, w)))
                    // Eight products of lanes of at most 16 p: lo < 2^59 and hi < 2^61.9 (see `mul`), so that
                    // lo + 2^16·h0 + (2^57 mod p)·h1 < 2^59 + 2^57 + 2^50 < 2^29·p. So the sum is below 2^30·p + 2^41 < 2^62.
                    let lo := 0
                    let hi := 0
                    if lt(here, middle) {
                        for {} lt(here, middle) { here := add(here, 4) } {
                            let pair := mload(here)
                            let a := mload(and(shr(235, pair), 0x1fffe0))
                            let b := mload(and(shr(219, pair), 0x1fffe0))
                            let b0 := and(b, m16)
                            lo := add(lo, mulmod(a, b0, n))
                            hi := add(hi, mulmod(a, shr(16, xor(b, b0)), n))
                        }
                        let h0 := and(hi, m41)
                        sum := add(sum, sub(P_SHIFTED, add(add(lo, shl(16, h0)), mul(shr(41, xor(hi, h0)), C57))))
                        lo := 0
                        hi := 0
                    }
                    for {} lt(here, last) { here := add(here, 4) } {
                        let pair := mload(here)
                        let a := mload(and(shr(235, pair), 0x1fffe0))
                        let b := mload(and(shr(219, pair), 0x1fffe0))
                        let b0 := and(b, m16)
                        lo := add(lo, mulmod(a, b0, n))
                        hi := add(hi, mulmod(a, shr(16, xor(b, b0)), n))
                    }
                    let h0 := and(hi, m41)
                    sum := add(sum, add(add(lo, shl(16, h0)), mul(shr(41, xor(hi, h0)), C57)))
                    mstore(result, sub(sum, mul(and(shr(31, mul(and(shr(31, sum), M33), BARRETT)), M33), P)))
                    result := add(result, 32)
                }
            }
            default { break }
        }
        end := here
    }
}

/// @notice Writes power·x^0, …, power·x^(count − 1) at `table`, split into low 16 bits and the rest of every lane: two words each.
function splitPowers(uint256 table, Ext power, Ext x, uint256 count) pure {
    unchecked {
        for (uint256 i = 0; i < count; i++) {
            assembly ("memory-safe") {
                let low := and(power, M16)
                mstore(table, low)
                mstore(add(table, 32), shr(16, xor(power, low)))
            }
            table += 64;
            power = power * x;
        }
    }
}

/// @notice The sum of λ^i·x_i over a trace's constraints x_i, and where their list ends. At most 1.18 p for each group.
/// @dev Many constraints are products with the same factor, "if this, then …". So they come in groups: 4 bytes, the number of
/// elements (at most 64, a multiple of 4) and the word of the factor, and for each element 4 bytes, its word and the address of its
/// power of λ. A group of no elements ends the list. The bounds are those of `innerProduct`.
function foldConstraints(uint256 list) pure returns (Ext sum, uint256 end) {
    sum = Ext.wrap(0);
    while (true) {
        Ext factor;
        Ext group;
        assembly ("memory-safe") {
            let head := mload(list)
            factor := mload(and(shr(219, head), 0x1fffe0))
            list := add(list, 4)
            end := add(list, shl(2, shr(240, head)))
        }
        if (list == end) return (sum, end);
        assembly ("memory-safe") {
            let n := N
            let lo := 0
            let hi := 0
            for {} lt(list, end) { list := add(list, 16) } {
                let w := mload(list)
                let x := mload(and(shr(235, w), 0x1fffe0))
                let y := and(shr(224, w), 0xffff)
                lo := add(lo, mulmod(x, mload(y), n))
                hi := add(hi, mulmod(x, mload(add(y, 32)), n))
                x := mload(and(shr(203, w), 0x1fffe0))
                y := and(shr(192, w), 0xffff)
                lo := add(lo, mulmod(x, mload(y), n))
                hi := add(hi, mulmod(x, mload(add(y, 32)), n))
                x := mload(and(shr(171, w), 0x1fffe0))
                y := and(shr(160, w), 0xffff)
                lo := add(lo, mulmod(x, mload(y), n))
                hi := add(hi, mulmod(x, mload(add(y, 32)), n))
                x := mload(and(shr(139, w), 0x1fffe0))
                y := and(shr(128, w), 0xffff)
                lo := add(lo, mulmod(x, mload(y), n))
                hi := add(hi, mulmod(x, mload(add(y, 32)), n))
            }
            let h0 := and(hi, M41)
            let t := add(add(lo, shl(16, h0)), mul(shr(41, xor(hi, h0)), C57))
            group := sub(t, mul(and(shr(31, mul(and(shr(31, t), M33), BARRETT)), M33), P))
        }
        sum = sum + group * factor;
    }
}

/// @notice The sum of x_i·y_i over `count` (at most 64, a multiple of 4) elements x_i of at most 16 p, whose numbers of words are
/// listed at `list` (2 bytes each), and elements y_i of at most 1.18 p, split at `table`. The result is below 3.55 p.
/// @dev lo < 64·34·16p·2^16 < 2^62 and hi < 64·34·16p·2^15.3 < 2^61.3, so the products add up without leaving their lanes; then as
/// `mul`, where t < 2^62 + 2^57 + 2^(20.3 + 28.8), which `reduce` takes.
function innerProduct(uint256 list, uint256 count, uint256 table) pure returns (Ext r) {
    assembly ("memory-safe") {
        let n := N
        let lo := 0
        let hi := 0
        for { let end := add(list, shl(1, count)) } lt(list, end) { list := add(list, 8) } {
            let w := mload(list)
            let x := mload(and(shr(235, w), 0x1fffe0))
            lo := add(lo, mulmod(x, mload(table), n))
            hi := add(hi, mulmod(x, mload(add(table, 32)), n))
            x := mload(and(shr(219, w), 0x1fffe0))
            lo := add(lo, mulmod(x, mload(add(table, 64)), n))
            hi := add(hi, mulmod(x, mload(add(table, 96)), n))
            x := mload(and(shr(203, w), 0x1fffe0))
            lo := add(lo, mulmod(x, mload(add(table, 128)), n))
            hi := add(hi, mulmod(x, mload(add(table, 160)), n))
            x := mload(and(shr(187, w), 0x1fffe0))
            lo := add(lo, mulmod(x, mload(add(table, 192)), n))
            hi := add(hi, mulmod(x, mload(add(table, 224)), n))
            table := add(table, 256)
        }
        let h0 := and(hi, M41)
        let t := add(add(lo, shl(16, h0)), mul(shr(41, xor(hi, h0)), C57))
        r := sub(t, mul(and(shr(31, mul(and(shr(31, t), M33), BARRETT)), M33), P))
    }
}
