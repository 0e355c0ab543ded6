// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {
    BARRETT,
    BIT32,
    Ext,
    M33,
    ONE,
    OVER,
    P,
    ZERO,
    add,
    addScalar,
    canonical,
    complement,
    equal,
    eqTerm,
    finv,
    fmul,
    fpow,
    mul,
    reduce,
    rootOfUnity,
    scale,
    scaleAdd,
    square,
    sub
} from "./Field.sol";
import {Key, US, Vector, WIDTHS} from "./Key.sol";
import {NotCanonical, Transcript, readExt} from "./Transcript.sol";
import {quadraticAt, squareTimes} from "./Polynomial.sol";

/// @title WHIR: the openings of the stacked columns, from Merkle trees of their Reed–Solomon codes.

/// @notice A Merkle path does not lead to its root.
error MerklePathWrong(uint256 round, uint256 query);
/// @notice The final polynomial is not what the sum-checks and queries say.
error FinalPolynomialWrong();

/// @dev The challenges of all folds, α; and what belongs to a round: γ, the point outside of the domain z0, and the commitment.
Vector constant ALPHAS = Vector.wrap(0xa000);
Vector constant GAMMAS = Vector.wrap(0xb800);
Vector constant OUTSIDE = Vector.wrap(0xba00);
Vector constant ROOTS = Vector.wrap(0xbc00);
/// @dev μ^i, canonical, as `_batch` places them: 128 words.
Vector constant MU_POWERS = Vector.wrap(0xa800);
/// @dev The round's factors of the fold: see `_foldFactors`.
Vector constant FACTORS = Vector.wrap(0xc000);
/// @dev The values to be folded, and the hashes of the opened rows.
uint256 constant VALUES_AT = 0xc800;
Vector constant VALUES = Vector.wrap(VALUES_AT);
uint256 constant LEAVES = 0xd000;
/// @dev 1 − α_i, and 2·α_i − 1, both reduced.
Vector constant COMPLEMENTS = Vector.wrap(0xd800);
Vector constant SLOPES = Vector.wrap(0xe000);
uint256 constant FINAL_POLYNOMIAL_AT = 0xe800;
Vector constant FINAL_POLYNOMIAL = Vector.wrap(FINAL_POLYNOMIAL_AT);
/// @dev Powers of the round's ω: see `_foldFactors`.
uint256 constant INVERSES_OMEGA_AT = 0x18000;
Vector constant INVERSES_OMEGA = Vector.wrap(INVERSES_OMEGA_AT);
uint256 constant POWERS_OMEGA_AT = 0x19000;
Vector constant POWERS_OMEGA = Vector.wrap(POWERS_OMEGA_AT);
Vector constant INDICES = Vector.wrap(0x11000);
/// @dev The points of all queries of all rounds.
Vector constant POINTS = Vector.wrap(0x12000);
/// @dev The opened rows as they are in the proof.
uint256 constant ROWS = 0x16000;
/// @dev The transcript's scratch from here on.
uint256 constant SCRATCH = 0x1a000;

struct Whir {
    Ext claim;
    /// The number of queries in the rounds before.
    uint256 points;
    /// log2 of the order of the round's domain.
    uint256 logDomain;
    uint256 round;
    /// The last point's inverse square root of order 2^k, that is, the inverse of the point before folding.
    uint256 inverse;
}

/// @notice Verifies the section from `cursor` on, for the openings of stacked columns that end there. Returns where it ends.
/// @param root The commitment of the common columns.
function verifyWhir(Key memory key, Transcript memory transcript, uint256 cursor, uint256 root) pure returns (uint256) {
    unchecked {
        Whir memory whir;
        uint256 width = 0;
        for (uint256 i = 0; i <= key.parts; i++) {
            width += Ext.unwrap(WIDTHS.get(i));
        }
        uint256 openings = cursor - 16 * width;
        transcript.scratch = SCRATCH;
        cursor = transcript.checkWitness(cursor, key.muPowBits);
        _batch(key, whir, openings, transcript.sampleExt(cursor));
        ROOTS.set(0, Ext.wrap(root));
        whir.logDomain = key.lSkip + key.nStack + key.logBlowup;

        for (; whir.round < key.whirRounds; whir.round++) {
            cursor = _round(key, transcript, cursor, whir);
            whir.logDomain--;
        }
        _checkFinal(key, whir);
        return cursor;
    }
}

/// @dev The powers of μ, those of each commitment with three zeros behind, and the openings batched by them.
function _batch(Key memory key, Whir memory whir, uint256 openings, Ext mu) pure {
    unchecked {
        Ext power = ONE;
        Ext claim = ZERO;
        uint256 place = 0;
        for (uint256 i = 0; i <= key.parts; i++) {
            for (uint256 left = Ext.unwrap(WIDTHS.get(i)); left > 0; left--) {
                MU_POWERS.set(place, power);
                place++;
                claim = claim + power * readExt(openings);
                openings += 16;
                power = canonical(power * mu);
            }
            for (uint256 end = place + 3; place < end; place++) {
                MU_POWERS.set(place, ZERO);
            }
        }
        whir.claim = reduce(claim);
    }
}

/// @dev One round: k rounds of sum-check, the commitment to the folded code or the final polynomial, and the queries.
function _round(Key memory key, Transcript memory transcript, uint256 cursor, Whir memory whir) pure returns (uint256) {
    unchecked {
        uint256 round = whir.round;
        bool last = round + 1 == key.whirRounds;
        Ext claim = whir.claim;
        for (uint256 i = key.kWhir * round; i < key.kWhir * (round + 1); i++) {
            Ext e1 = readExt(cursor);
            Ext e2 = readExt(cursor + 16);
            cursor = transcript.checkWitness(cursor + 32, key.foldingPowBits);
            Ext alpha = transcript.sampleExt(cursor);
            ALPHAS.set(i, alpha);
            COMPLEMENTS.set(i, reduce(complement(alpha)));
            SLOPES.set(i, reduce(alpha + alpha - ONE));
            claim = quadraticAt(claim - e1, e1, e2, alpha);
        }

        Ext outside = ZERO;
        if (last) {
            uint256 length = 1 << (key.lSkip + key.nStack - key.kWhir * key.whirRounds);
            for (uint256 i = 0; i < length; i++) {
                FINAL_POLYNOMIAL.set(i, readExt(cursor));
                cursor += 16;
            }
        } else {
            uint256 root;
            assembly ("memory-safe") {
                root := calldataload(cursor)
            }
            ROOTS.set(round + 1, Ext.wrap(root));
            cursor += 32;
            OUTSIDE.set(round, transcript.sampleExt(cursor));
            outside = readExt(cursor);
            cursor += 16;
        }

        cursor = transcript.checkWitness(cursor, key.queryPowBits);
        uint256 queries = (key.queries >> (16 * round)) & 0xffff;
        for (uint256 i = 0; i < queries; i++) {
            INDICES.set(i, Ext.wrap(transcript.sampleBits(cursor, whir.logDomain - key.kWhir)));
        }
        // The transcript observes nothing of the queries, so γ may be sampled before.
        Ext gamma = transcript.sampleExt(cursor);
        GAMMAS.set(round, gamma);
        whir.claim = claim + gamma * outside;
        cursor = _queries(key, cursor, whir, queries, gamma);
        transcript.pending = cursor;
        return cursor;
    }
}

/// @dev The queries of a round: opens, folds, and adds the folded values to the claim, by γ^2, γ^3, ….
function _queries(Key memory key, uint256 cursor, Whir memory whir, uint256 queries, Ext gamma) pure returns (uint256) {
    unchecked {
        uint256 k = key.kWhir;
        _foldFactors(key, whir);
        Ext power = gamma * gamma;
        Ext claim = whir.claim;
        for (uint256 i = 0; i < queries; i++) {
            uint256 index = Ext.unwrap(INDICES.get(i));
            cursor = whir.round == 0
                ? _openRows(key, cursor, index, i)
                : _openValues(cursor, k, whir.round, index, i, whir.logDomain - k);
            _point(whir, index);
            claim = claim + power * _fold(k, whir.inverse);
            power = power * gamma;
        }
        whir.claim = reduce(claim);
        return cursor;
    }
}

/// @dev The tables of a round: the powers of ω, and the factors of the fold.
///
/// Folding by α_j takes v_i and v_(i + m), values at x and −x (m = 2^(k − 1 − j)), to
///   v_i + (α_j − x)·(v_i − v_(i + m))/(2x) = v_i + (v_i − v_(i + m))·(α_j/(2x) − 1/2),
/// where x is the 2^j-th power of ω_k^i·(the point); so the factor is α_j·ω_k^(−i·2^j)/2, times the point's power, less 1/2.
/// `FACTORS` has the first factor, for j = 0, i = 0, 1, …, m − 1, then for j = 1, and so on.
function _foldFactors(Key memory key, Whir memory whir) pure {
    unchecked {
        uint256 k = key.kWhir;
        uint256 half = (P + 1) / 2;
        uint256 root = finv(rootOfUnity(k));
        uint256 here = 0;
        for (uint256 j = 0; j < k; j++) {
            Ext alpha = ALPHAS.get(k * whir.round + j);
            uint256 power = half;
            for (uint256 i = 0; i < 1 << (k - 1 - j); i++) {
                FACTORS.set(here, scale(alpha, power));
                here++;
                power = fmul(power, root);
            }
            root = fmul(root, root);
        }
        // ω^(2^k·i·16^j) and ω^(−i·16^j), i < 16, at 16·j + i.
        uint256 omega = rootOfUnity(whir.logDomain);
        uint256 inverse = finv(omega);
        omega = fpow(omega, 1 << k);
        for (uint256 j = 0; 4 * j < whir.logDomain - k; j++) {
            uint256 x = 1;
            uint256 y = 1;
            for (uint256 i = 16 * j; i < 16 * j + 16; i++) {
                POWERS_OMEGA.set(i, Ext.wrap(x));
                INVERSES_OMEGA.set(i, Ext.wrap(y));
                x = fmul(x, omega);
                y = fmul(y, inverse);
            }
            (omega, inverse) = (x, y);
        }
    }
}

/// @dev The point of a query, ω^(2^k·index), goes to `POINTS`, and ω^(−index) to `whir.inverse`.
function _point(Whir memory whir, uint256 index) pure {
    unchecked {
        uint256 point = 1;
        uint256 inverse = 1;
        assembly ("memory-safe") {
            for { let table := 0 } index { table := add(table, 0x200) } {
                let entry := add(table, shl(5, and(index, 15)))
                point := mulmod(point, mload(add(POWERS_OMEGA_AT, entry)), P)
                inverse := mulmod(inverse, mload(add(INVERSES_OMEGA_AT, entry)), P)
                index := shr(4, index)
            }
        }
        POINTS.set(whir.points, Ext.wrap(point));
        whir.points++;
        whir.inverse = inverse;
    }
}

/// @dev Folds `VALUES` (at most 4 p each) to one value, of at most 4 p and 1.18 p for each fold: see `_foldFactors`.
function _fold(uint256 k, uint256 inverse) pure returns (Ext) {
    unchecked {
        uint256 here = 0;
        for (uint256 half = 1 << (k - 1); half > 0; half >>= 1) {
            for (uint256 i = 0; i < half; i++) {
                Ext low = VALUES.get(i);
                Ext factor = addScalar(scale(FACTORS.get(here), inverse), (P - 1) / 2);
                here++;
                VALUES.set(i, low + (low - VALUES.get(i + half)) * factor);
            }
            inverse = fmul(inverse, inverse);
        }
        return VALUES.get(0);
    }
}

/// @dev Opens a query of the first round: for each commitment 2^k rows and a path. The rows' cells, batched by μ, go to `VALUES`.
function _openRows(Key memory key, uint256 cursor, uint256 index, uint256 query) pure returns (uint256) {
    unchecked {
        uint256 rows = 1 << key.kWhir;
        uint256 depth = key.lSkip + key.nStack + key.logBlowup - key.kWhir;
        uint256 powers = Vector.unwrap(MU_POWERS);
        for (uint256 commitment = 0; commitment <= key.parts; commitment++) {
            uint256 width = Ext.unwrap(WIDTHS.get(commitment));
            uint256 bytes_ = 4 * width;
            _load(cursor, rows * bytes_);
            cursor += rows * bytes_;
            uint256 digest = _hashRows(rows, bytes_);
            uint256 root;
            if (commitment == 0) {
                root = Ext.unwrap(ROOTS.get(0));
            } else {
                uint256 here = key.keyAt + key.commitmentsAt + 32 * (commitment - 1);
                assembly ("memory-safe") {
                    root := mload(here)
                }
            }
            if (_climb(digest, index, cursor, depth) != root) revert MerklePathWrong(0, query);
            cursor += 32 * depth;
            _batchRows(rows, width, powers, commitment == 0);
            powers += 32 * (width + 3);
        }
        return cursor;
    }
}

/// @dev Opens a query of a later round: 2^k elements of EF, to `VALUES`, and a path.
function _openValues(uint256 cursor, uint256 k, uint256 round, uint256 index, uint256 query, uint256 depth)
    pure
    returns (uint256)
{
    unchecked {
        uint256 count = 1 << k;
        _load(cursor, 16 * count);
        uint256 digest = _hashRows(count, 16);
        for (uint256 i = 0; i < count; i++) {
            VALUES.set(i, readExt(cursor));
            cursor += 16;
        }
        if (_climb(digest, index, cursor, depth) != Ext.unwrap(ROOTS.get(round))) revert MerklePathWrong(round, query);
        return cursor + 32 * depth;
    }
}

/// @dev Copies opened rows to `ROWS`, with zeros behind, and checks that all their cells are canonical.
function _load(uint256 cursor, uint256 length) pure {
    uint256 over = 0;
    assembly ("memory-safe") {
        calldatacopy(ROWS, cursor, length)
        mstore(add(ROWS, length), 0)
        // Every other cell of the eight in a word is moved into the lanes of `OVER`.
        for { let here := ROWS } lt(here, add(ROWS, length)) { here := add(here, 32) } {
            let w := mload(here)
            let m := 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff
            over := or(over, or(add(and(w, m), OVER), add(and(shr(32, w), m), OVER)))
        }
    }
    if (over & BIT32 != 0) revert NotCanonical();
}

/// @dev The root of the tree over `count` rows (a power of two) of `length` bytes each.
function _hashRows(uint256 count, uint256 length) pure returns (uint256 digest) {
    assembly ("memory-safe") {
        let here := ROWS
        let end := add(LEAVES, shl(5, count))
        for { let leaf := LEAVES } lt(leaf, end) { leaf := add(leaf, 32) } {
            mstore(leaf, keccak256(here, length))
            here := add(here, length)
        }
        for { count := shr(1, count) } count { count := shr(1, count) } {
            end := add(LEAVES, shl(5, count))
            here := LEAVES
            for { let leaf := LEAVES } lt(leaf, end) { leaf := add(leaf, 32) } {
                mstore(leaf, keccak256(here, 64))
                here := add(here, 64)
            }
        }
        digest := mload(LEAVES)
    }
}

/// @dev The root that a path of `depth` siblings at `cursor` gives for a digest at `index`.
function _climb(uint256 digest, uint256 index, uint256 cursor, uint256 depth) pure returns (uint256) {
    assembly ("memory-safe") {
        // The bit of the index that says whether a node is a right child, times 32, is where the node goes.
        index := shl(5, index)
        for { let end := add(cursor, shl(5, depth)) } lt(cursor, end) { cursor := add(cursor, 32) } {
            let side := and(index, 32)
            mstore(side, digest)
            mstore(xor(side, 32), calldataload(cursor))
            digest := keccak256(0, 64)
            index := shr(1, index)
        }
    }
    return digest;
}

/// @dev Batches each row by the powers of μ at `powers` (with zeros behind), and adds it to its element of `VALUES` (sets it, if
/// `first`). At most 3.55 p.
/// @dev Four products of canonical lanes and cells are below 4 p², and with the 3.55 p before still below the 4.26 p² of `reduce`.
/// The last four cells of a row may be less than four, and reach into the next: there they are multiplied by zeros.
function _batchRows(uint256 rows, uint256 width, uint256 powers, bool first) pure {
    assembly ("memory-safe") {
        let m := 0xffffffff
        let m33 := M33
        let here := ROWS
        let length := shl(2, width)
        let end := add(VALUES_AT, shl(5, rows))
        for { let value := VALUES_AT } lt(value, end) { value := add(value, 32) } {
            let t := 0
            if iszero(first) { t := mload(value) }
            let power := powers
            let next := add(here, length)
            for { let cell := here } lt(cell, next) { cell := add(cell, 16) } {
                let w := mload(cell)
                t := add(t, mul(mload(power), shr(224, w)))
                t := add(t, mul(mload(add(power, 32)), and(shr(192, w), m)))
                t := add(t, mul(mload(add(power, 64)), and(shr(160, w), m)))
                t := add(t, mul(mload(add(power, 96)), and(shr(128, w), m)))
                t := sub(t, mul(and(shr(31, mul(and(shr(31, t), m33), BARRETT)), m33), P))
                power := add(power, 128)
            }
            mstore(value, t)
            here := next
        }
    }
}

/// @dev The last check: the claim against the final polynomial f, with the weights of all claims that were added to it.
function _checkFinal(Key memory key, Whir memory whir) pure {
    unchecked {
        uint256 total = key.kWhir * key.whirRounds;
        uint256 length = 1 << (key.lSkip + key.nStack - total);
        Ext sum = ZERO;
        uint256 point = 0;
        for (uint256 round = 0; round < key.whirRounds; round++) {
            uint256 start = key.kWhir * (round + 1);
            Ext gamma = GAMMAS.get(round);
            if (round + 1 < key.whirRounds) {
                sum = sum + gamma * _atOutside(OUTSIDE.get(round), start, total, length);
            }
            Ext power = gamma * gamma;
            for (uint256 i = (key.queries >> (16 * round)) & 0xffff; i > 0; i--) {
                sum = sum + power * _atPoint(Ext.unwrap(POINTS.get(point)), start, total, length);
                power = power * gamma;
                point++;
            }
        }
        sum = reduce(sum) + _atOpening(key, total, length);
        if (!equal(sum, whir.claim)) revert FinalPolynomialWrong();
    }
}

/// @dev eq(α_start …, z, z^2, z^4, …)·f(z^(2^(total − start))) for z in EF.
function _atOutside(Ext z, uint256 start, uint256 total, uint256 length) pure returns (Ext) {
    unchecked {
        Ext eq = ONE;
        for (uint256 i = start; i < total; i++) {
            eq = eq * eqTerm(ALPHAS.get(i), z);
            z = square(z);
        }
        Ext value = ZERO;
        for (uint256 i = length; i > 0; i--) {
            value = value * z + FINAL_POLYNOMIAL.get(i - 1);
        }
        return eq * value;
    }
}

/// @dev The same for z in F: eq(α, z) = 1 − α + z·(2·α − 1).
function _atPoint(uint256 z, uint256 start, uint256 total, uint256 length) pure returns (Ext) {
    unchecked {
        Ext eq = ONE;
        for (uint256 i = start; i < total; i++) {
            eq = eq * scaleAdd(SLOPES.get(i), z, COMPLEMENTS.get(i));
            z = fmul(z, z);
        }
        return eq * _finalAt(z, length);
    }
}

/// @dev f(z) for z in F, of at most 3.55 p; f has 1, 2 or a multiple of four coefficients.
/// @dev By Horner's rule in z^4: a group of four is a sum of four products below p², which `reduce` takes.
function _finalAt(uint256 z, uint256 length) pure returns (Ext value) {
    if (length < 4) {
        value = FINAL_POLYNOMIAL.get(0);
        if (length == 2) value = value + scale(FINAL_POLYNOMIAL.get(1), z);
        return value;
    }
    assembly ("memory-safe") {
        let z2 := mulmod(z, z, P)
        let z3 := mulmod(z2, z, P)
        let z4 := mulmod(z2, z2, P)
        let m33 := M33
        for { let here := add(FINAL_POLYNOMIAL_AT, shl(5, length)) } gt(here, FINAL_POLYNOMIAL_AT) {} {
            here := sub(here, 128)
            let t :=
                add(
                    add(mload(here), mul(mload(add(here, 32)), z)),
                    add(mul(mload(add(here, 64)), z2), mul(mload(add(here, 96)), z3))
                )
            t := sub(t, mul(and(shr(31, mul(and(shr(31, t), m33), BARRETT)), m33), P))
            t := add(t, mul(value, z4))
            value := sub(t, mul(and(shr(31, mul(and(shr(31, t), m33), BARRETT)), m33), P))
        }
    }
}

/// @dev The weight of the openings at u: Π ((1 − 2·u_i)(1 − α_i) + u_i·α_i), times the multilinear polynomial with the values f_i
/// at the rest of u. The coordinates of u are u_0, u_0^2, u_0^4, … (lSkip of them), u_1, u_2, …. Overwrites f.
function _atOpening(Key memory key, uint256 total, uint256 length) pure returns (Ext) {
    unchecked {
        Ext product = ONE;
        Ext u = US.get(0);
        for (uint256 i = 0; i < total; i++) {
            if (i >= key.lSkip) u = US.get(i - key.lSkip + 1);
            Ext ua = u * ALPHAS.get(i);
            product = product * ((ONE + ua + ua + ua) - (u + u + ALPHAS.get(i)));
            if (i < key.lSkip) u = square(u);
        }
        uint256 coordinate = key.lSkip + key.nStack;
        while (length > 1) {
            length >>= 1;
            coordinate--;
            u = US.get(coordinate - key.lSkip + 1);
            for (uint256 i = 0; i < length; i++) {
                Ext low = FINAL_POLYNOMIAL.get(i);
                FINAL_POLYNOMIAL.set(i, low + (FINAL_POLYNOMIAL.get(i + length) - low) * u);
            }
        }
        return product * FINAL_POLYNOMIAL.get(0);
    }
}
