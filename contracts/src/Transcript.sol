// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext, P} from "./Field.sol";

/// @notice The Fiat–Shamir transcript.
/// @dev Whatever the verifier observes between two samples lies in one piece of the proof (the two exceptions, the preamble and
/// the column openings, are absorbed from memory). So there is no buffer: the pending observations are
/// `[pending, cursor)` of the calldata, where `cursor` is how far the verifier has read when it samples.
struct Transcript {
    /// The state, and so also the last word of samples.
    uint256 state;
    /// The first byte of calldata that has been read but not absorbed.
    uint256 pending;
    /// The lanes of the last word that have not been used, next one lowest.
    uint256 lanes;
    /// How many there are.
    uint256 left;
    /// Memory that may be overwritten, for the state and pending bytes.
    uint256 scratch;
}

using {absorbMemory, squeeze, lastExt, sampleExt, sampleBits, checkWitness} for Transcript global;

/// @notice A proof-of-work witness does not have the zero bits that the key asks for.
error WitnessWrong();

/// @notice Absorbs `length` bytes of memory that follow 32 bytes at `start` which this function may overwrite.
/// The state is then that of a fresh word.
function absorbMemory(Transcript memory self, uint256 start, uint256 length) pure {
    assembly ("memory-safe") {
        mstore(start, mload(self))
        let word := keccak256(start, add(length, 32))
        mstore(self, word)
    }
    self.lanes = self.state;
    self.left = 4;
}

/// @notice A fresh word: absorbs the calldata that is pending up to `cursor`.
function squeeze(Transcript memory self, uint256 cursor) pure {
    assembly ("memory-safe") {
        let scratch := mload(add(self, 0x80))
        let pending := mload(add(self, 0x20))
        mstore(scratch, mload(self))
        calldatacopy(add(scratch, 32), pending, sub(cursor, pending))
        let word := keccak256(scratch, add(32, sub(cursor, pending)))
        mstore(self, word)
        mstore(add(self, 0x20), cursor)
        mstore(add(self, 0x40), word)
        mstore(add(self, 0x60), 4)
    }
}

/// @notice The word of the state as an element of EF, canonical; its lanes are used up.
function lastExt(Transcript memory self) pure returns (Ext r) {
    assembly ("memory-safe") {
        let word := mload(self)
        let m := 0xffffffffffffffff
        mstore(add(self, 0x60), 0)
        r := mod(and(word, m), P)
        r := or(r, shl(64, mod(and(shr(64, word), m), P)))
        r := or(r, shl(128, mod(and(shr(128, word), m), P)))
        r := or(r, shl(192, mod(shr(192, word), P)))
    }
}

/// @notice An element of EF, canonical. It takes a fresh word always: four unused lanes are never left.
function sampleExt(Transcript memory self, uint256 cursor) pure returns (Ext) {
    squeeze(self, cursor);
    return lastExt(self);
}

/// @notice The low `bits` bits of the next sample of F: of an unused lane, if there is one and nothing is pending.
function sampleBits(Transcript memory self, uint256 cursor, uint256 bits) pure returns (uint256 r) {
    if (self.left == 0 || self.pending != cursor) squeeze(self, cursor);
    uint256 lanes = self.lanes;
    assembly ("memory-safe") {
        r := and(mod(and(lanes, 0xffffffffffffffff), P), sub(shl(bits, 1), 1))
    }
    unchecked {
        self.lanes = lanes >> 64;
        self.left -= 1;
    }
}

/// @notice Reads the proof-of-work witness at `cursor` (if the key asks for one) and checks it. Returns where it ends.
function checkWitness(Transcript memory self, uint256 cursor, uint256 bits) pure returns (uint256) {
    if (bits == 0) return cursor;
    readBase(cursor);
    unchecked {
        cursor += 4;
    }
    if (sampleBits(self, cursor, bits) != 0) revert WitnessWrong();
    return cursor;
}

/// @notice An element of the proof is not canonical.
error NotCanonical();

/// @notice The element of F at `pointer` of the calldata, canonical.
function readBase(uint256 pointer) pure returns (uint256 r) {
    assembly ("memory-safe") {
        r := shr(224, calldataload(pointer))
    }
    if (r >= P) revert NotCanonical();
}

/// @notice The element of EF at `pointer` of the calldata, canonical.
function readExt(uint256 pointer) pure returns (Ext r) {
    bool bad;
    assembly ("memory-safe") {
        let x := shr(128, calldataload(pointer))
        let m := 0xffffffff
        r := or(or(shr(96, x), and(x, shl(64, m))), or(and(shl(96, x), shl(128, m)), shl(192, and(x, m))))
        // See `OVER` and `BIT32`.
        bad := and(
            add(r, 0x0000000087ffffff0000000087ffffff0000000087ffffff0000000087ffffff),
            0x0000000100000000000000010000000000000001000000000000000100000000
        )
    }
    if (bad) revert NotCanonical();
}
