// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext, ONE, canonical} from "../../src/Field.sol";
import {
    IS_FIRST,
    IS_LAST,
    IS_TRANSITION,
    Key,
    POWERS,
    POWERS_BETA,
    POWERS_LAMBDA,
    TraceRecord,
    resultsBase,
    traceRecord
} from "../../src/Key.sol";
import {Transcript} from "../../src/Transcript.sol";
import {foldConstraints, innerProduct, runProgram, splitPowers} from "../../src/Constraints.sol";
import {readOpenings} from "../../src/Openings.sol";
import {FinalVerifier} from "../../src/FinalVerifier.sol";

/// @notice What `evaluate` takes in place of what a proof and its transcript lead to: words as they are.
struct Point {
    Ext isFirst;
    Ext isLast;
    Ext isTransition;
    /// What multiplicities are multiplied by, a scalar.
    uint256 norm;
    Ext lambda;
    Ext mu;
    Ext beta;
}

/// @title The constraint program, at any point.
/// @notice A proof is valid only where all constraints vanish. For tests: the verifier itself, with its key, constants, public values and
/// openings loaded by its own code, and what its programs come to, one by one. It is never deployed but there.
contract ConstraintsHarness is FinalVerifier {
    constructor(address[] memory pieces, bytes32 commitment) FinalVerifier(pieces, commitment) {}

    /// @param proof The beginning of a proof, up to the first witness, and behind it the openings of all columns.
    /// @return values For each of the traces from `first` to before `end`: the fold of its constraints, norm·multiplicity + μ·denominator
    /// of each of its interactions, all canonical, and where its program ends, relative to the key data.
    function evaluate(bytes calldata proof, Point calldata point, uint256 first, uint256 end)
        external
        view
        returns (Ext[] memory values)
    {
        unchecked {
            Key memory key = _loadKey();
            uint256 cursor;
            assembly ("memory-safe") {
                cursor := proof.offset
            }
            Transcript memory transcript;
            (transcript, cursor) = _begin(key, cursor);
            readOpenings(key, transcript, cursor);
            splitPowers(POWERS_LAMBDA, ONE, point.lambda, key.powers);
            splitPowers(POWERS_BETA + 64, point.mu, point.beta, POWERS - 1);
            TraceRecord memory record;
            uint256 count = 0;
            for (uint256 i = first; i < end; i++) {
                traceRecord(key, i, record);
                count += 2 + record.interactions;
            }
            values = new Ext[](count);
            count = 0;
            for (uint256 i = first; i < end; i++) {
                traceRecord(key, i, record);
                count = _evaluate(key, record, point, values, count);
            }
        }
    }

    /// @dev As `_evaluate` and `_interactions` of Batch.sol.
    function _evaluate(
        Key memory key,
        TraceRecord memory record,
        Point calldata point,
        Ext[] memory values,
        uint256 here
    ) private pure returns (uint256) {
        unchecked {
            (Ext isFirst, Ext isLast, Ext isTransition) = (point.isFirst, point.isLast, point.isTransition);
            uint256 norm = point.norm;
            assembly ("memory-safe") {
                mstore(IS_FIRST, isFirst)
                mstore(IS_LAST, isLast)
                mstore(IS_TRANSITION, isTransition)
                mstore(POWERS_BETA, and(norm, 0xffff))
                mstore(add(POWERS_BETA, 32), shr(16, norm))
            }
            uint256 list = runProgram(record.program, resultsBase(key));
            Ext constraints;
            (constraints, list) = foldConstraints(list);
            values[here++] = canonical(constraints);
            for (uint256 i = 0; i < record.interactions; i++) {
                uint256 terms;
                assembly ("memory-safe") {
                    terms := shr(240, mload(list))
                    list := add(list, 2)
                }
                values[here++] = canonical(innerProduct(list, terms, POWERS_BETA));
                list += 2 * terms;
            }
            values[here++] = Ext.wrap(list - key.keyAt);
            return here;
        }
    }
}
