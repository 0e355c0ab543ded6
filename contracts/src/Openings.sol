// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BIT32, OVER} from "./Field.sol";
import {Key, TraceRecord, openingsBase, partRecord, traceRecord} from "./Key.sol";
import {NotCanonical, Transcript} from "./Transcript.sol";

/// @title The openings of the columns.

/// @notice Reads the claims of all columns from `cursor` on into the frame, two words a column, the claim and the rotated claim
/// (zero, if the trace needs none), and lets the transcript absorb the same. Returns where they end.
function readOpenings(Key memory key, Transcript memory transcript, uint256 cursor) pure returns (uint256) {
    unchecked {
        uint256 word = openingsBase(key);
        uint256 buffer = transcript.scratch + 32;
        uint256 over = 0;
        TraceRecord memory record;
        for (uint256 i = 0; i < key.traces; i++) {
            traceRecord(key, i, record);
            (cursor, over) = _columns(cursor, word, buffer, record.width, record.needRot, over);
            word += 64 * record.width;
            buffer += 32 * record.width;
        }
        for (uint256 i = 0; i < key.parts; i++) {
            (, bool needRot, uint256 width) = partRecord(key, i);
            (cursor, over) = _columns(cursor, word, buffer, width, needRot, over);
            word += 64 * width;
            buffer += 32 * width;
        }
        if (over & BIT32 != 0) revert NotCanonical();
        transcript.absorbMemory(transcript.scratch, 32 * key.columns);
        transcript.pending = cursor;
        return cursor;
    }
}

/// @dev Reads `width` columns to `word` and, as they are observed, to `buffer`. Bit 32 of a lane of `over` is set if some
/// element was not canonical.
function _columns(uint256 cursor, uint256 word, uint256 buffer, uint256 width, bool needRot, uint256 over)
    pure
    returns (uint256 end, uint256)
{
    assembly ("memory-safe") {
        let mask1 := shl(64, 0xffffffff)
        let mask2 := shl(128, 0xffffffff)
        let mask3 := shl(192, 0xffffffff)
        switch needRot
        case 0 {
            end := add(cursor, shl(4, width))
            for {} lt(cursor, end) { cursor := add(cursor, 16) } {
                // The coefficients, in bits 224, 192, 160 and 128, go to lanes 0, 1, 2 and 3.
                let w := shl(128, shr(128, calldataload(cursor)))
                mstore(buffer, w)
                let x :=
                    or(or(shr(224, w), and(shr(128, w), mask1)), or(and(shr(32, w), mask2), and(shl(64, w), mask3)))
                over := or(over, add(x, OVER))
                mstore(word, x)
                mstore(add(word, 32), 0)
                buffer := add(buffer, 32)
                word := add(word, 64)
            }
        }
        default {
            end := add(cursor, shl(5, width))
            calldatacopy(buffer, cursor, shl(5, width))
            for {} lt(cursor, end) { cursor := add(cursor, 32) } {
                let w := calldataload(cursor)
                let x :=
                    or(or(shr(224, w), and(shr(128, w), mask1)), or(and(shr(32, w), mask2), and(shl(64, w), mask3)))
                over := or(over, add(x, OVER))
                mstore(word, x)
                x := or(
                    or(and(shr(96, w), 0xffffffff), and(w, mask1)),
                    or(and(shl(96, w), mask2), and(shl(192, w), mask3))
                )
                over := or(over, add(x, OVER))
                mstore(add(word, 32), x)
                word := add(word, 64)
            }
        }
    }
    return (end, over);
}
