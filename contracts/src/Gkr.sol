// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext, ONE, ZERO, add, complement, equal, eqTerm, isZero, mul, reduce, scale, sub} from "./Field.sol";
import {Transcript, readExt} from "./Transcript.sol";
import {Vector} from "./Key.sol";
import {cubicAt} from "./Polynomial.sol";

/// @title The GKR argument of the fractional sum.
/// @notice It reduces "the sum of all p/q over the interactions is zero" to the values of p and q at a random point ξ.

/// @notice The numerator of the root is not zero: the buses do not balance.
error GkrRootNotZero();
/// @notice The denominator of the root is not what its children give.
error GkrRootDenominator();
/// @notice The sum-check of a layer does not end in its claims.
error GkrLayer(uint256 round);

/// @notice Verifies the argument, from `cursor` on.
/// @param rounds The number of layers, at least 1.
/// @param xi Gets the point ξ, `rounds` coordinates.
/// @param other Room for as many coordinates.
/// @return The cursor behind the argument, and the claims of p(ξ) and q(ξ), of at most 18 p.
function verifyGkr(Transcript memory transcript, uint256 cursor, uint256 rounds, Vector xi, Vector other)
    pure
    returns (uint256, Ext, Ext)
{
    unchecked {
        Ext root = readExt(cursor);
        (Ext p, Ext q, Ext numerator, Ext denominator) = _layer(transcript, cursor + 16, xi);
        if (!isZero(p)) revert GkrRootNotZero();
        if (!equal(q, root)) revert GkrRootDenominator();
        cursor += 80;

        for (uint256 round = 1; round < rounds; round++) {
            Ext lambda = transcript.sampleExt(cursor);
            Ext claim = reduce(numerator + lambda * denominator);
            Ext eq = ONE;
            for (uint256 i = 0; i < round; i++) {
                Ext e1 = readExt(cursor);
                Ext e2 = readExt(cursor + 16);
                Ext e3 = readExt(cursor + 32);
                cursor += 48;
                Ext r = transcript.sampleExt(cursor);
                eq = eq * eqTerm(xi.get(i), r);
                // The point of the next layer is (μ, r_0, r_1, …).
                other.set(i + 1, r);
                claim = cubicAt(claim - e1, e1, e2, e3, r);
            }
            (p, q, numerator, denominator) = _layer(transcript, cursor, other);
            cursor += 64;
            if (!equal((p + lambda * q) * eq, claim)) revert GkrLayer(round);
            (xi, other) = (other, xi);
        }
        // The point has gone to and fro between the two vectors; it ends in the first.
        if (rounds & 1 == 0) {
            for (uint256 i = 0; i < rounds; i++) {
                other.set(i, xi.get(i));
            }
        }
        return (cursor, numerator, denominator);
    }
}

/// @dev Reads the four claims of a layer, and samples μ into the first coordinate of `point`. Returns the numerator and the
/// denominator of the parent (at most 2.4 p and 1.2 p), and the claims at μ (at most 18 p).
function _layer(Transcript memory transcript, uint256 cursor, Vector point)
    pure
    returns (Ext p, Ext q, Ext numerator, Ext denominator)
{
    unchecked {
        Ext p0 = readExt(cursor);
        Ext q0 = readExt(cursor + 16);
        Ext p1 = readExt(cursor + 32);
        Ext q1 = readExt(cursor + 48);
        Ext mu = transcript.sampleExt(cursor + 64);
        point.set(0, mu);
        p = p0 * q1 + p1 * q0;
        q = q0 * q1;
        numerator = p0 + (p1 - p0) * mu;
        denominator = q0 + (q1 - q0) * mu;
    }
}
