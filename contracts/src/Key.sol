// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext} from "./Field.sol";
import {Transcript} from "./Transcript.sol";

/// @title The key data, and where everything lies in memory.
///
/// The key data is one byte string, cut into pieces that are the code of data contracts (behind a STOP byte). It begins with `Key`,
/// one word for each field; the rest is found by the offsets therein. `crates/circuit/src/last/export.rs` writes it.
///
/// **Memory map.** The verifier places everything by hand; nothing is ever freed.
/// ```text
/// 0x0000  Solidity's scratch, free pointer (set behind the key data), zero word
/// 0x0080  the compiler's, for variables that find no room on the stack
/// 0x0700  Transcript
/// 0x0800  vectors of 64 words each: see `XI` and following
/// 0x4000  powers of β and of λ, split for inner products, two words each
/// 0xa000  the frame: all that constraints refer to by the number of its word
///           selectors (3) · public values · constants · openings (claim and rotated claim of each column) · results of the program
///         the results are also the transcript's scratch when no program runs, and WHIR's tables begin at the frame when it is used up
/// keyAt   the key data, then what Solidity allocates
/// ```

/// @notice The head of the key data.
struct Key {
    /// Bytes of a proof.
    uint256 proofLength;
    /// log2 of the order of the group D of the univariate rounds.
    uint256 lSkip;
    /// log2 of the stacked height, less `lSkip`.
    uint256 nStack;
    /// Layers of the GKR argument, less `lSkip`.
    uint256 nLogup;
    /// log2 of the greatest height, less `lSkip`, but at least 0.
    uint256 nMax;
    /// Degree of the polynomials of the sum-check: the constraints' and one.
    uint256 degree;
    /// Number of traces.
    uint256 traces;
    /// Number of public values.
    uint256 publicValues;
    /// Number of constants that the program refers to.
    uint256 constants_;
    /// Number of columns in all traces and parts.
    uint256 columns;
    /// Number of parts of traces that are not in the common commitment; each has a commitment of its own.
    uint256 parts;
    uint256 logupPowBits;
    uint256 muPowBits;
    uint256 foldingPowBits;
    uint256 queryPowBits;
    /// −log2 of the rate of the first code.
    uint256 logBlowup;
    /// log2 of the number of values folded into one per WHIR round.
    uint256 kWhir;
    uint256 whirRounds;
    /// Number of queries of WHIR round i, in bits 16·i to 16·i + 15.
    uint256 queries;
    /// What the transcript absorbs first, with gaps for what is in the proof: length in bytes, and offset.
    uint256 preambleLength;
    uint256 preambleAt;
    /// The gaps: number, and offset. 12 bytes each: offset in the preamble, offset in the proof, length; 4 bytes each.
    uint256 gaps;
    uint256 gapsAt;
    /// Constants: 4 bytes each.
    uint256 constantsAt;
    /// Traces, in sorted order, 10 bytes each: see `TraceRecord`.
    uint256 tracesAt;
    /// Parts, in the order of their commitments, 4 bytes each: log2 of the height, 1 if claims are rotated, number of columns (2).
    uint256 partsAt;
    /// The commitments of the parts, 32 bytes each.
    uint256 commitmentsAt;
    /// The constraint program, to which the traces' records are relative.
    uint256 programAt;
    /// Absolute address for the key data.
    uint256 keyAt;
    /// Bytes of the key data.
    uint256 keyLength;
    /// The greatest number of constraints of a trace.
    uint256 powers;
}

/// @dev Where `Key.keyAt` is in the key data.
uint256 constant KEY_AT_OFFSET = 896;
/// @dev Bytes of a `Key`.
uint256 constant KEY_HEAD = 992;
/// @dev The least address for key data: what lies below is the verifier's own.
uint256 constant KEY_AT_MIN = 0x1c000;

/// @notice What the key says about one trace.
struct TraceRecord {
    uint256 logHeight;
    bool needRot;
    uint256 width;
    uint256 interactions;
    /// Absolute address of its program.
    uint256 program;
}

/// @notice A vector of words in memory that are elements of EF, by its address.
type Vector is uint256;

using {get, set} for Vector global;

/// @dev The end of what the compiler may use for variables that find no room on the stack.
uint256 constant COMPILER_END = 0x700;
uint256 constant TRANSCRIPT = 0x700;

/// @dev ξ: the point of the GKR argument.
Vector constant XI = Vector.wrap(0x800);
/// @dev r: the point of the batch sum-check.
Vector constant RS = Vector.wrap(0x1000);
/// @dev u: the point of the stacked reduction.
Vector constant US = Vector.wrap(0x1800);
/// @dev Tables of the section at hand.
Vector constant TABLE_A = Vector.wrap(0x2000);
Vector constant TABLE_B = Vector.wrap(0x2800);
Vector constant TABLE_C = Vector.wrap(0x3000);
Vector constant TABLE_D = Vector.wrap(0x3800);
/// @dev Powers, mod 2^16 and divided by 2^16, by lanes. There is room for 64 powers of β, and 320 of λ.
uint256 constant POWERS_BETA = 0x4000;
uint256 constant POWERS_LAMBDA = 0x5000;
uint256 constant POWERS = 64;
/// @dev The number of stacked columns of each commitment, when the powers of β are used up.
Vector constant WIDTHS = Vector.wrap(0x4000);

uint256 constant FRAME = 0xa000;
uint256 constant IS_FIRST = 0xa000;
uint256 constant IS_LAST = 0xa020;
uint256 constant IS_TRANSITION = 0xa040;
uint256 constant PUBLIC_VALUES = 0xa060;

/// @notice Element i.
function get(Vector v, uint256 i) pure returns (Ext r) {
    assembly ("memory-safe") {
        r := mload(add(v, shl(5, i)))
    }
}

/// @notice Sets element i.
function set(Vector v, uint256 i, Ext x) pure {
    assembly ("memory-safe") {
        mstore(add(v, shl(5, i)), x)
    }
}

/// @notice The address of the first constant in the frame.
function constantsBase(Key memory key) pure returns (uint256) {
    unchecked {
        return PUBLIC_VALUES + 32 * key.publicValues;
    }
}

/// @notice The address of the first opening in the frame.
function openingsBase(Key memory key) pure returns (uint256) {
    unchecked {
        return constantsBase(key) + 32 * key.constants_;
    }
}

/// @notice The address of the program's first result in the frame.
function resultsBase(Key memory key) pure returns (uint256) {
    unchecked {
        return openingsBase(key) + 64 * key.columns;
    }
}

/// @notice The transcript's place.
function transcriptAt() pure returns (Transcript memory transcript) {
    assembly ("memory-safe") {
        transcript := TRANSCRIPT
    }
}

/// @notice Reads the record of trace i, in sorted order, into `record`.
function traceRecord(Key memory key, uint256 i, TraceRecord memory record) pure {
    unchecked {
        uint256 here = key.keyAt + key.tracesAt + 10 * i;
        uint256 word;
        assembly ("memory-safe") {
            word := mload(here)
        }
        record.logHeight = word >> 248;
        record.needRot = (word >> 240) & 1 == 1;
        record.width = (word >> 224) & 0xffff;
        record.interactions = (word >> 208) & 0xffff;
        record.program = key.keyAt + key.programAt + ((word >> 176) & 0xffffffff);
    }
}

/// @notice Part i: log2 of its height, whether its claims are rotated, its number of columns.
function partRecord(Key memory key, uint256 i) pure returns (uint256 logHeight, bool needRot, uint256 width) {
    unchecked {
        uint256 here = key.keyAt + key.partsAt + 4 * i;
        uint256 word;
        assembly ("memory-safe") {
            word := mload(here)
        }
        logHeight = word >> 248;
        needRot = (word >> 240) & 1 == 1;
        width = (word >> 224) & 0xffff;
    }
}
