// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {
    Ext,
    ONE,
    P,
    ZERO,
    add,
    canonical,
    complement,
    equal,
    eqTerm,
    finv,
    fmul,
    halves,
    mul,
    reduce,
    rootOfUnity,
    scale,
    square,
    sub
} from "./Field.sol";
import {
    IS_FIRST,
    IS_LAST,
    IS_TRANSITION,
    Key,
    POWERS,
    POWERS_BETA,
    POWERS_LAMBDA,
    RS,
    TABLE_A,
    TABLE_B,
    TABLE_C,
    TABLE_D,
    TraceRecord,
    Vector,
    XI,
    resultsBase,
    traceRecord
} from "./Key.sol";
import {Transcript, lastExt, readExt} from "./Transcript.sol";
import {eqUni, eqUniAtOne, interpolateAt, squareTimes, univariate} from "./Polynomial.sol";
import {foldConstraints, innerProduct, runProgram, splitPowers} from "./Constraints.sol";
import {readOpenings} from "./Openings.sol";

/// @title The batch of all constraints and interactions of all traces.

/// @notice The numerators of the traces do not sum to the GKR argument's claim.
error NumeratorsWrong();
/// @notice The denominators of the traces do not sum to the GKR argument's claim.
error DenominatorsWrong();
/// @notice The univariate round does not sum to the claim.
error BatchSumWrong();
/// @notice The constraints, at the openings, are not what the sum-check ends in.
error ConstraintsWrong();

/// @dev Challenges and running sums of the section.
struct Batch {
    Ext alpha;
    Ext beta;
    Ext lambda;
    Ext mu;
    /// The sum-check's claim.
    Ext claim;
    /// μ^(2i) and μ^i for trace i.
    Ext muInteractions;
    Ext muConstraints;
    /// The sum of the traces' constraints.
    Ext constraints;
    /// The index of the next interaction: see `_interactions`.
    uint256 index;
}

/// @notice Verifies the section from `cursor` on, given the GKR argument's claims. Returns where it ends.
/// The point goes to `RS`; the openings are in the frame, absorbed by the transcript.
function verifyBatch(
    Key memory key,
    Transcript memory transcript,
    uint256 cursor,
    Batch memory batch,
    Ext numerator,
    Ext denominator
) pure returns (uint256) {
    unchecked {
        uint256 nGlobal = key.nMax > key.nLogup ? key.nMax : key.nLogup;
        for (uint256 i = key.lSkip + key.nLogup; i < key.lSkip + nGlobal; i++) {
            XI.set(i, transcript.sampleExt(cursor));
        }
        batch.lambda = transcript.sampleExt(cursor);
        cursor = _terms(key, transcript, cursor, batch, numerator, denominator);
        cursor = _sumcheck(key, transcript, cursor, batch);
        _tables(key, batch);
        cursor = readOpenings(key, transcript, cursor);
        _evaluate(key, batch);
        return cursor;
    }
}

/// @dev The numerator and denominator of every trace. They sum to the claims; batched by μ they are the claim of the sum-check.
function _terms(
    Key memory key,
    Transcript memory transcript,
    uint256 cursor,
    Batch memory batch,
    Ext numerator,
    Ext denominator
) pure returns (uint256) {
    unchecked {
        uint256 end = cursor + 32 * key.traces;
        Ext p = ZERO;
        Ext q = batch.alpha;
        for (uint256 here = cursor; here < end; here += 32) {
            p = p + readExt(here);
            q = q + readExt(here + 16);
        }
        if (!equal(numerator, reduce(p))) revert NumeratorsWrong();
        if (!equal(denominator, reduce(q))) revert DenominatorsWrong();
        batch.mu = transcript.sampleExt(end);
        Ext claim = ZERO;
        for (uint256 here = end; here > cursor; here -= 16) {
            claim = claim * batch.mu + readExt(here - 16);
        }
        batch.claim = claim;
        return end;
    }
}

/// @dev The sum-check: a univariate round over the group D, and `nMax` multilinear rounds.
function _sumcheck(Key memory key, Transcript memory transcript, uint256 cursor, Batch memory batch)
    pure
    returns (uint256)
{
    unchecked {
        uint256 length = key.degree * ((1 << key.lSkip) - 1) + 1;
        Ext r = transcript.sampleExt(cursor + 16 * length);
        RS.set(0, r);
        (Ext claim, Ext sum) = univariate(cursor, length, key.lSkip, r);
        if (!equal(batch.claim, sum)) revert BatchSumWrong();
        cursor += 16 * length;
        for (uint256 round = 1; round <= key.nMax; round++) {
            for (uint256 i = 1; i <= key.degree; i++) {
                TABLE_A.set(i, readExt(cursor));
                cursor += 16;
            }
            TABLE_A.set(0, reduce(claim - TABLE_A.get(1)));
            r = transcript.sampleExt(cursor);
            RS.set(round, r);
            claim = interpolateAt(TABLE_A, key.degree, r);
        }
        batch.claim = claim;
        return cursor;
    }
}

/// @dev What depends on a trace's height alone, for every height: A: eq(ξ, r), B: eq♯(ξ, r), both with the r_i of the rounds
/// in which the trace has no variable; C and D: the products of 1 − r_i and of r_i of those in which it has.
function _tables(Key memory key, Batch memory batch) pure {
    unchecked {
        uint256 lSkip = key.lSkip;
        uint256 nMax = key.nMax;
        Ext r = RS.get(0);
        TABLE_A.set(0, eqUni(lSkip, XI.get(0), r));
        TABLE_B.set(0, _eqSharp(lSkip, r));
        TABLE_C.set(0, ONE);
        TABLE_D.set(0, ONE);
        for (uint256 i = 1; i <= nMax; i++) {
            r = RS.get(i);
            Ext eq = eqTerm(XI.get(lSkip + i - 1), r);
            TABLE_A.set(i, TABLE_A.get(i - 1) * eq);
            TABLE_B.set(i, TABLE_B.get(i - 1) * eq);
            TABLE_C.set(i, TABLE_C.get(i - 1) * complement(r));
            TABLE_D.set(i, TABLE_D.get(i - 1) * r);
        }
        Ext product = RS.get(nMax);
        for (uint256 i = nMax; i > 0; i--) {
            TABLE_A.set(i - 1, TABLE_A.get(i - 1) * product);
            TABLE_B.set(i - 1, TABLE_B.get(i - 1) * product);
            product = product * RS.get(i - 1);
        }
        splitPowers(POWERS_LAMBDA, ONE, batch.lambda, key.powers);
        // Behind the first, which is for multiplicities: see `_interactions`.
        splitPowers(POWERS_BETA + 64, batch.mu, batch.beta, POWERS - 1);
        batch.muInteractions = ONE;
        batch.muConstraints = ONE;
        batch.constraints = ZERO;
        batch.index = 0;
    }
}

/// @dev eq♯: the sum over the group D of eq_D(r, ω^i)·eq(ξ_0 … ξ_(lSkip − 1); bits of i). At most 4.8 p.
function _eqSharp(uint256 lSkip, Ext r) pure returns (Ext sum) {
    unchecked {
        TABLE_C.set(0, ONE);
        for (uint256 i = 0; i < lSkip; i++) {
            Ext x = XI.get(i);
            for (uint256 j = 0; j < 1 << i; j++) {
                Ext low = TABLE_C.get(j);
                TABLE_C.set(j + (1 << i), low * x);
                TABLE_C.set(j, low * complement(x));
            }
        }
        uint256 omega = rootOfUnity(lSkip);
        uint256 power = 1;
        sum = ZERO;
        for (uint256 i = 0; i < 1 << lSkip; i++) {
            sum = sum + eqUni(lSkip, r, Ext.wrap(power)) * TABLE_C.get(i);
            power = fmul(power, omega);
        }
        sum = reduce(sum);
    }
}

/// @dev All constraints and interactions of all traces, at the openings, against the sum-check's last claim.
function _evaluate(Key memory key, Batch memory batch) pure {
    unchecked {
        uint256 results = resultsBase(key);
        TraceRecord memory record;
        for (uint256 i = 0; i < key.traces; i++) {
            traceRecord(key, i, record);
            (uint256 lift, uint256 norm) = _selectors(key, record.logHeight);
            uint256 lists = runProgram(record.program, results);

            Ext constraints;
            (constraints, lists) = foldConstraints(lists);
            batch.constraints = batch.constraints + reduce(constraints) * TABLE_A.get(lift) * batch.muConstraints;
            batch.muConstraints = batch.muConstraints * batch.mu;

            _interactions(
                batch, key.lSkip, lift, lists, record.interactions, norm, TABLE_B.get(lift) * batch.muInteractions
            );
            batch.muInteractions = batch.muInteractions * batch.mu * batch.mu;
        }
        Ext total = _mergeRest(key, batch) + batch.muInteractions * reduce(batch.constraints);
        if (!equal(total, batch.claim)) revert ConstraintsWrong();
    }
}

/// @dev Puts the selectors of a trace in the frame. Returns log2 of its height less lSkip (0, if it is lower than D), and the
/// inverse of how often it repeats in D.
function _selectors(Key memory key, uint256 logHeight) pure returns (uint256 lift, uint256 norm) {
    unchecked {
        uint256 bits = key.lSkip;
        Ext x = RS.get(0);
        norm = 1;
        if (logHeight < bits) {
            x = squareTimes(x, bits - logHeight);
            norm = halves(bits - logHeight);
            bits = logHeight;
        } else {
            lift = logHeight - bits;
        }
        Ext isFirst = eqUniAtOne(bits, x) * TABLE_C.get(lift);
        Ext isLast = eqUniAtOne(bits, reduce(scale(x, rootOfUnity(bits)))) * TABLE_D.get(lift);
        Ext isTransition = reduce(complement(isLast));
        assembly ("memory-safe") {
            mstore(IS_FIRST, isFirst)
            mstore(IS_LAST, isLast)
            mstore(IS_TRANSITION, isTransition)
        }
    }
}

/// @dev Adds a trace's interactions to the sum over all: weight·(norm·multiplicity + μ·denominator), each by the eq of its index.
/// An interaction is a list behind the number of its elements (2 bytes): its multiplicity, its message, and its bus, so that
/// with the weights norm, μ, μ·β, μ·β^2, … it is one inner product.
///
/// The sum over all interactions is that of a multilinear polynomial with these values, at ξ from `lSkip` on. Two
/// neighbours of one size merge to left + ξ_i·(right − left), as the digits of a binary counter carry: `PENDING` has at
/// level i, if bit i of the index is set, a left neighbour. (A trace of height 2^(lSkip + lift) counts in steps of 2^lift.)
function _interactions(
    Batch memory batch,
    uint256 lSkip,
    uint256 lift,
    uint256 list,
    uint256 count,
    uint256 norm,
    Ext weight
) pure {
    unchecked {
        assembly ("memory-safe") {
            mstore(POWERS_BETA, and(norm, 0xffff))
            mstore(add(POWERS_BETA, 32), shr(16, norm))
        }
        uint256 index = batch.index;
        for (uint256 i = 0; i < count; i++) {
            uint256 terms;
            assembly ("memory-safe") {
                terms := shr(240, mload(list))
                list := add(list, 2)
            }
            Ext value = weight * innerProduct(list, terms, POWERS_BETA);
            list += 2 * terms;
            uint256 level = lift;
            for (; (index >> level) & 1 == 1; level++) {
                Ext left = PENDING.get(level);
                value = left + XI.get(lSkip + level) * (value - left);
            }
            // A value that merged has the bound of its left neighbour and 1.18 p: reduced, that does not grow with the level.
            PENDING.set(level, level == lift ? value : reduce(value));
            index += 1 << lift;
        }
        batch.index = index;
    }
}

/// @dev The sum over all interactions: what is beyond the last one is zero.
function _mergeRest(Key memory key, Batch memory batch) pure returns (Ext value) {
    unchecked {
        value = ZERO;
        for (uint256 level = 0; level < key.nLogup; level++) {
            Ext x = XI.get(key.lSkip + level);
            if ((batch.index >> level) & 1 == 1) {
                Ext left = PENDING.get(level);
                value = left + x * (value - left);
            } else {
                value = value * complement(x);
            }
        }
    }
}

/// @dev See `_interactions`; the point of the stacked reduction is not needed yet.
Vector constant PENDING = Vector.wrap(0x1800);
