// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {
    BARRETT,
    C57,
    Ext,
    M33,
    M41,
    N,
    ONE,
    P,
    ZERO,
    add,
    complement,
    equal,
    eqTerm,
    mul,
    reduce,
    rootOfUnity,
    scale,
    square,
    sub
} from "./Field.sol";
import {
    Key,
    POWERS,
    POWERS_LAMBDA,
    RS,
    TABLE_A,
    TABLE_B,
    TABLE_C,
    TABLE_D,
    TraceRecord,
    US,
    Vector,
    WIDTHS,
    XI,
    openingsBase,
    partRecord,
    traceRecord
} from "./Key.sol";
import {Transcript, lastExt, readExt} from "./Transcript.sol";
import {eqUni, eqUniAtOne, quadraticAt, squareTimes, univariate} from "./Polynomial.sol";
import {splitPowers} from "./Constraints.sol";

/// @title The stacked reduction: from the openings of all columns at r to openings of the stacked columns at u.

/// @notice The univariate round does not sum to the batched openings.
error StackingSumWrong();
/// @notice The openings of the stacked columns are not what the sum-check ends in.
error StackingClaimWrong();

/// @dev Where the walk over the stacked columns stands.
struct Walk {
    /// The challenge λ; its powers λ^(2^j) are in `LAMBDA_SQUARES`.
    Ext lambda;
    /// λ^(2·i) for the i-th column of all.
    Ext power;
    /// The sum of the openings of stacked columns, each by its coefficient.
    Ext sum;
    /// The coefficient of the stacked column at hand.
    Ext coefficient;
    /// Where the next stacked column's opening is in the calldata.
    uint256 cursor;
    /// The row of the stacked column at which the next column begins, in units of the order of D.
    uint256 row;
    /// The lowest level of the path that is valid; see `_path`.
    uint256 level;
    /// log2 of the height for which the factor was computed (and one), and twice that plus whether it was with rotation.
    uint256 factorOf;
    Ext factor;
    /// The lift (and one) for which products are in `RUNS`, and how many.
    uint256 runsOf;
    uint256 known;
}

/// @dev λ^(2^j).
Vector constant LAMBDA_SQUARES = TABLE_A;
/// @dev The path: element i is the product from level i up.
Vector constant PATH = TABLE_B;
/// @dev The products of 1 − u_i + u_i·λ^(2^(j + 1)): see `_blocks`.
Vector constant RUNS = TABLE_C;
/// @dev By number of coordinates n: eq(u, r); behind, the sums and products of the rotation: see `_rotations`.
Vector constant EQS = TABLE_D;
Vector constant ROTATIONS = XI;

/// @notice Verifies the section from `cursor` on. The transcript has just absorbed the openings. The point goes to `US`.
/// @return The cursor behind the section; the openings of the stacked columns end there.
function verifyStacking(Key memory key, Transcript memory transcript, uint256 cursor) pure returns (uint256) {
    unchecked {
        Walk memory walk;
        walk.lambda = transcript.lastExt();
        splitPowers(POWERS_LAMBDA, ONE, walk.lambda, POWERS);
        Ext opened = _batchOpenings(openingsBase(key), 2 * key.columns, squareTimes(walk.lambda, 6));

        uint256 length = 2 * ((1 << key.lSkip) - 1) + 1;
        Ext u = transcript.sampleExt(cursor + 16 * length);
        US.set(0, u);
        (Ext claim, Ext sum) = univariate(cursor, length, key.lSkip, u);
        if (!equal(opened, sum)) revert StackingSumWrong();
        cursor += 16 * length;

        for (uint256 i = 1; i <= key.nStack; i++) {
            Ext e1 = readExt(cursor);
            Ext e2 = readExt(cursor + 16);
            cursor += 32;
            u = transcript.sampleExt(cursor);
            US.set(i, u);
            claim = quadraticAt(claim - e1, e1, e2, u);
        }

        walk.cursor = cursor;
        _tables(key, walk);
        TraceRecord memory record;
        for (uint256 i = 0; i < key.traces; i++) {
            traceRecord(key, i, record);
            _blocks(key, walk, record.logHeight, record.needRot, record.width);
        }
        _flush(walk);
        WIDTHS.set(0, Ext.wrap((walk.cursor - cursor) / 16));
        for (uint256 i = 0; i < key.parts; i++) {
            cursor = walk.cursor;
            (uint256 logHeight, bool needRot, uint256 width) = partRecord(key, i);
            walk.row = 0;
            walk.level = key.nStack;
            _blocks(key, walk, logHeight, needRot, width);
            _flush(walk);
            WIDTHS.set(i + 1, Ext.wrap((walk.cursor - cursor) / 16));
        }
        if (!equal(claim, reduce(walk.sum))) revert StackingClaimWrong();
        return walk.cursor;
    }
}

/// @dev The sum of λ^i·x_i over `count` words at `word`, for elements below p: inner products of 64 with the powers of λ, by
/// Horner's rule in λ^64. At most 6 p.
function _batchOpenings(uint256 word, uint256 count, Ext step) pure returns (Ext sum) {
    unchecked {
        sum = ZERO;
        uint256 start = (count - 1) / POWERS * POWERS;
        while (true) {
            sum = sum * step + innerProductOfRun(word + 32 * start, count - start);
            if (start == 0) break;
            count = start;
            start -= POWERS;
        }
    }
}

/// @dev As `innerProduct`, of `count` consecutive words with the powers of λ.
function innerProductOfRun(uint256 word, uint256 count) pure returns (Ext r) {
    assembly ("memory-safe") {
        let n := N
        let lo := 0
        let hi := 0
        let table := POWERS_LAMBDA
        let end := add(word, shl(5, count))
        for { let groups := sub(end, and(shl(5, count), 0x60)) } lt(word, groups) { word := add(word, 128) } {
            let x := mload(word)
            lo := add(lo, mulmod(x, mload(table), n))
            hi := add(hi, mulmod(x, mload(add(table, 32)), n))
            x := mload(add(word, 32))
            lo := add(lo, mulmod(x, mload(add(table, 64)), n))
            hi := add(hi, mulmod(x, mload(add(table, 96)), n))
            x := mload(add(word, 64))
            lo := add(lo, mulmod(x, mload(add(table, 128)), n))
            hi := add(hi, mulmod(x, mload(add(table, 160)), n))
            x := mload(add(word, 96))
            lo := add(lo, mulmod(x, mload(add(table, 192)), n))
            hi := add(hi, mulmod(x, mload(add(table, 224)), n))
            table := add(table, 256)
        }
        for {} lt(word, end) { word := add(word, 32) } {
            lo := add(lo, mulmod(mload(word), mload(table), n))
            hi := add(hi, mulmod(mload(word), mload(add(table, 32)), n))
            table := add(table, 64)
        }
        let h0 := and(hi, M41)
        let t := add(add(lo, shl(16, h0)), mul(shr(41, xor(hi, h0)), C57))
        r := sub(t, mul(and(shr(31, mul(and(shr(31, t), M33), BARRETT)), M33), P))
    }
}

/// @dev The tables of the walk, and its beginning.
function _tables(Key memory key, Walk memory walk) pure {
    unchecked {
        Ext x = walk.lambda;
        for (uint256 j = 0; j <= key.nStack + 1; j++) {
            LAMBDA_SQUARES.set(j, x);
            x = square(x);
        }
        // eq(u_1 … u_n, r_1 … r_n), and the rotation in the hypercube,
        //   rot_n = Σ_(k<n) carry_k·u_k·(1 − r_k)·eq(above k, below n) + carry_n, with carry_k = Π_(i<k) (1 − u_i)·r_i:
        // the carry of "add one" runs through the k lowest coordinates and ends in the next, or runs through all.
        Ext eq = ONE;
        Ext sum = ZERO;
        Ext carry = ONE;
        EQS.set(0, ONE);
        ROTATIONS.set(0, ONE);
        for (uint256 i = 1; i <= key.nMax; i++) {
            Ext u = US.get(i);
            Ext r = RS.get(i);
            Ext factor = eqTerm(u, r);
            eq = eq * factor;
            sum = sum * factor + carry * (u * complement(r));
            carry = carry * (r * complement(u));
            EQS.set(i, eq);
            ROTATIONS.set(i, sum + carry);
        }
        walk.power = ONE;
        walk.level = key.nStack;
    }
}

/// @dev The stacked column is full, or its commitment's columns end: adds its opening by its coefficient.
function _flush(Walk memory walk) pure {
    unchecked {
        walk.sum = walk.sum + reduce(walk.coefficient) * readExt(walk.cursor);
        walk.cursor += 16;
        walk.coefficient = ZERO;
    }
}

/// @dev Walks over the `width` columns of a trace. Column i (of all) at row b of a stacked column, both in units of
/// its height, has the coefficient factor·eq(u_above, b)·λ^(2i).
///
/// The columns are taken in aligned blocks of 2^t, for which the sum is a product:
///   Σ_(j < 2^t) eq(u_above, b + j)·λ^(2(i + j)) = λ^(2i)·eq(u_above + t, b / 2^t)·Π_(s<t) (1 − u_s + u_s·λ^(2^(s+1))).
function _blocks(Key memory key, Walk memory walk, uint256 logHeight, bool needRot, uint256 width) pure {
    unchecked {
        if (width == 0) return;
        uint256 lift = logHeight < key.lSkip ? 0 : logHeight - key.lSkip;
        Ext sum = ZERO;
        // The products of the block's low levels, as far as they are known: they depend on the height alone.
        if (walk.runsOf != lift + 1) {
            walk.runsOf = lift + 1;
            walk.known = 0;
            RUNS.set(0, ONE);
        }
        _setFactor(key, walk, logHeight, needRot);
        while (width > 0) {
            if (walk.row == 1 << key.nStack) {
                walk.coefficient = walk.coefficient + sum * walk.factor;
                sum = ZERO;
                _flush(walk);
                walk.row = 0;
                walk.level = key.nStack;
            }
            uint256 bits = _blockBits(walk.row >> lift, width, key.nStack - lift);
            for (uint256 i = walk.known; i < bits; i++) {
                Ext u = US.get(lift + i + 1);
                RUNS.set(i + 1, RUNS.get(i) * (complement(u) + u * LAMBDA_SQUARES.get(i + 1)));
            }
            if (bits > walk.known) walk.known = bits;
            sum = sum + _path(key, walk, lift + bits) * RUNS.get(bits) * walk.power;
            walk.power = walk.power * LAMBDA_SQUARES.get(bits + 1);
            uint256 next = walk.row + (1 << (lift + bits));
            assembly ("memory-safe") {
                // As in `_eqPath` of Batch.sol: the path stays valid above the highest bit that changes.
                let level := sub(256, clz(xor(mload(add(walk, 0xa0)), next)))
                mstore(add(walk, 0xc0), level)
                mstore(add(walk, 0xa0), next)
            }
            width -= 1 << bits;
        }
        walk.coefficient = walk.coefficient + reduce(sum) * walk.factor;
    }
}

/// @dev log2 of the greatest aligned block at row `row` of at most `width` columns, and at most `most`.
function _blockBits(uint256 row, uint256 width, uint256 most) pure returns (uint256 bits) {
    assembly ("memory-safe") {
        bits := sub(255, clz(width))
        // The lowest bit that is set, if there is one.
        if row {
            let aligned := sub(255, clz(and(row, sub(0, row))))
            if lt(aligned, bits) { bits := aligned }
        }
        if lt(most, bits) { bits := most }
    }
}

/// @dev eq of u from level `down` up and the row.
function _path(Key memory key, Walk memory walk, uint256 down) pure returns (Ext product) {
    unchecked {
        uint256 level = walk.level;
        uint256 row = walk.row;
        product = level >= key.nStack ? ONE : PATH.get(level);
        while (level > down) {
            level--;
            Ext u = US.get(level + 1);
            product = product * ((row >> level) & 1 == 1 ? u : complement(u));
            PATH.set(level, product);
        }
    }
}

/// @dev The factor of a trace's columns: (eq(u, r) + λ·rot(u, r))·ind, without rotation if its claims have none.
function _setFactor(Key memory key, Walk memory walk, uint256 logHeight, bool needRot) pure {
    unchecked {
        uint256 shape = 2 * logHeight + (needRot ? 3 : 2);
        if (walk.factorOf == shape) return;
        walk.factorOf = shape;
        Ext u = US.get(0);
        Ext r = RS.get(0);
        uint256 bits = key.lSkip;
        uint256 lift = 0;
        Ext ind = ONE;
        if (logHeight < bits) {
            // The trace repeats in D.
            r = squareTimes(r, bits - logHeight);
            ind = eqUniAtOne(bits - logHeight, squareTimes(u, logHeight));
            bits = logHeight;
        } else {
            lift = logHeight - bits;
        }
        Ext eq = EQS.get(lift);
        Ext factor = eqUni(bits, u, r) * eq;
        if (needRot) {
            // Within D a rotation is a multiplication by ω; at its end it rotates the hypercube too.
            Ext next = scale(r, rootOfUnity(bits));
            Ext rotation =
                eqUni(bits, u, next) * eq + eqUniAtOne(bits, u) * eqUniAtOne(bits, next) * (ROTATIONS.get(lift) - eq);
            factor = factor + walk.lambda * rotation;
        }
        walk.factor = factor * ind;
    }
}
