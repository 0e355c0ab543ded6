// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext, ONE, ZERO, P, add, addScalar, halves, mul, reduce, scale, square, sub} from "./Field.sol";
import {readExt} from "./Transcript.sol";
import {Vector} from "./Key.sol";

/// @title Small polynomials.

/// @dev 1/2, 1/3 modulo p.
uint256 constant HALF = 1_006_632_961;
uint256 constant THIRD = 1_342_177_281;
/// @dev 1/k modulo p in bits 32·k to 32·k + 31, for k from 1 to 7.
uint256 constant INVERSES = 0x336db6dc64000001600000015a000001500000013c0000010000000100000000;
/// @dev The highest degree for which `INVERSES` suffices.
uint256 constant DEGREE_MAX = 7;

/// @notice The polynomial with values e0, e1, e2 at 0, 1, 2, at x; for values of at most 48 bits (e0) and of p, and x of at
/// most 2 p. The result is below 4.8 p.
/// @dev Newton's form: e0 + x·(d1 + (x − 1)/2·d2) with d1 = e1 − e0 and d2 = e2 − 2·e1 + e0.
function quadraticAt(Ext e0, Ext e1, Ext e2, Ext x) pure returns (Ext) {
    e0 = reduce(e0);
    Ext d1 = e1 - e0;
    Ext d2 = (e2 + e0) - (e1 + e1);
    Ext h = scale(addScalar(x, P - 1), HALF);
    return e0 + x * (d1 + h * d2);
}

/// @notice The polynomial with values e0, e1, e2, e3 at 0, 1, 2, 3, at x; bounds as in `quadraticAt`.
/// @dev Newton's form: e0 + x·(d1 + (x − 1)/2·(d2 + (x − 2)/3·d3)) with d1, d2 as above, d3 = e3 − 3·e2 + 3·e1 − e0.
function cubicAt(Ext e0, Ext e1, Ext e2, Ext e3, Ext x) pure returns (Ext) {
    e0 = reduce(e0);
    Ext d1 = e1 - e0;
    Ext d2 = (e2 + e0) - (e1 + e1);
    Ext d3 = (e3 + e1 + e1 + e1) - (e2 + e2 + e2 + e0);
    Ext third = scale(addScalar(x, P - 2), THIRD);
    Ext half = scale(addScalar(x, P - 1), HALF);
    return e0 + x * (d1 + half * (d2 + third * d3));
}

/// @notice The polynomial with values e[0], …, e[degree] (of at most 5 p) at 0, …, degree ≤ DEGREE_MAX, at x; overwrites the values.
/// The result is below 4.8 p.
/// @dev Newton's form again, with a table of differences.
function interpolateAt(Vector e, uint256 degree, Ext x) pure returns (Ext r) {
    unchecked {
        for (uint256 k = 1; k <= degree; k++) {
            for (uint256 i = degree; i >= k; i--) {
                e.set(i, reduce(e.get(i) - e.get(i - 1)));
            }
        }
        r = e.get(degree);
        for (uint256 k = degree; k > 0; k--) {
            r = e.get(k - 1) + r * scale(addScalar(x, P + 1 - k), (INVERSES >> (32 * k)) & 0xffffffff);
        }
    }
}

/// @notice Reads a polynomial of `length` coefficients at `pointer` of the calldata. Returns its value at x and its sum over the
/// roots of unity of order 2^bits, both reduced.
/// @dev The powers of a root of unity sum to zero but for exponents that are multiples of the order.
function univariate(uint256 pointer, uint256 length, uint256 bits, Ext x) pure returns (Ext value, Ext sum) {
    unchecked {
        value = ZERO;
        sum = ZERO;
        for (uint256 i = length; i > 0; i--) {
            Ext coefficient = readExt(pointer + 16 * (i - 1));
            value = value * x + coefficient;
            if ((i - 1) & ((1 << bits) - 1) == 0) sum = sum + coefficient;
        }
        value = reduce(value);
        sum = scale(reduce(sum), 1 << bits);
    }
}

/// @notice eq_D(x, y) for the group D of order 2^bits: 1 if x = y and 0 otherwise, for x and y in D. Arguments at most 5 p.
function eqUni(uint256 bits, Ext x, Ext y) pure returns (Ext r) {
    unchecked {
        r = ONE;
        for (uint256 i = 0; i < bits; i++) {
            r = (x + y) * r + addScalar(x, P - 1) * addScalar(y, P - 1);
            x = square(x);
            y = square(y);
        }
        return scale(r, halves(bits));
    }
}

/// @notice eq_D(x, 1).
function eqUniAtOne(uint256 bits, Ext x) pure returns (Ext r) {
    unchecked {
        r = ONE;
        for (uint256 i = 0; i < bits; i++) {
            r = r * addScalar(x, 1);
            x = square(x);
        }
        return scale(r, halves(bits));
    }
}

/// @notice x^(2^n).
function squareTimes(Ext x, uint256 n) pure returns (Ext) {
    unchecked {
        for (uint256 i = 0; i < n; i++) {
            x = square(x);
        }
        return x;
    }
}
