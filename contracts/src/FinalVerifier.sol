// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext} from "./Field.sol";
import {
    COMPILER_END,
    KEY_AT_MIN,
    KEY_AT_OFFSET,
    KEY_HEAD,
    Key,
    PUBLIC_VALUES,
    TABLE_A,
    XI,
    resultsBase,
    transcriptAt
} from "./Key.sol";
import {Transcript, WitnessWrong, readBase} from "./Transcript.sol";
import {Batch, verifyBatch} from "./Batch.sol";
import {verifyGkr} from "./Gkr.sol";
import {verifyStacking} from "./Stacking.sol";
import {verifyWhir} from "./Whir.sol";

/// @notice What a proof says: these batches lead from this state to that one.
struct Statement {
    /// The state roots before and after: eight cells of 32 bits, the first one most significant (and so every `bytes32` here).
    bytes32 rootOld;
    bytes32 rootNew;
    /// Numbers of the first and of the last batch.
    uint32 batchFirst;
    uint32 batchLast;
    /// Milliseconds since the Unix epoch, before the first batch and after the last.
    uint64 timeStart;
    uint64 timeEnd;
    /// Digest of all published data.
    bytes32 data;
    /// Hash of the verifying key of the segments.
    bytes32 segmentKey;
}

/// @dev Cells of a `Statement`.
uint256 constant STATEMENT_CELLS = 40;
/// @dev Bits of a limb of a time.
uint256 constant LIMB_BITS = 14;

/// @title Verifier of last proofs.
/// @notice Stateless: a proof is valid or the call reverts. The key is that of construction.
/// @dev The proof and its transcript are specified in docs/LAST_PROOF.md; the algorithm is that of `openvm_stark_backend::verifier::verify`,
/// in its order. A proof has one length, and all lengths in it follow from the key: there is no loop that its content could prolong.
contract FinalVerifier {
    /// @notice The most pieces that key data may have.
    uint256 public constant PIECES_MAX = 6;

    /// @notice keccak256 of the key data.
    bytes32 public immutable keyCommitment;
    /// @dev The number of pieces.
    uint256 private immutable _pieces;
    address private immutable _piece0;
    address private immutable _piece1;
    address private immutable _piece2;
    address private immutable _piece3;
    address private immutable _piece4;
    address private immutable _piece5;

    /// @notice There are no pieces, or too many.
    error PieceCount(uint256 got);
    /// @notice A piece has no code, or code that does not begin with a STOP byte; or the first has not all of the key data's head,
    /// which is read from it alone.
    error PieceWrong(uint256 index);
    /// @notice The pieces are not the key data that was meant.
    error KeyWrong(bytes32 expected, bytes32 got);
    /// @notice The key data does not say of itself that it has this length, or lies where the verifier's own memory is.
    error KeyMisplaced(uint256 length, uint256 place);
    /// @notice The key is not one for proofs of a `Statement`.
    error PublicValueCount(uint256 expected, uint256 got);
    /// @notice A limb of a time has too many bits (a valid proof has no such).
    error TimeWrong(uint256 cell, uint256 got);
    /// @notice The proof has another length than the key's proofs.
    error ProofLength(uint256 expected, uint256 got);

    /// @param pieces The data contracts with the key data, in order.
    /// @param commitment keccak256 of the key data.
    constructor(address[] memory pieces, bytes32 commitment) {
        uint256 count = pieces.length;
        if (count == 0 || count > PIECES_MAX) revert PieceCount(count);
        Key memory key;
        uint256 start;
        assembly ("memory-safe") {
            start := mload(0x40)
        }
        uint256 end = start;
        for (uint256 i = 0; i < count; i++) {
            bytes1 first;
            address piece = pieces[i];
            uint256 length = piece.code.length;
            assembly ("memory-safe") {
                extcodecopy(piece, end, 0, 1)
                first := mload(end)
            }
            if (length < (i == 0 ? 1 + KEY_HEAD : 2) || first != 0) revert PieceWrong(i);
            end = _copy(piece, end);
        }
        bytes32 got;
        assembly ("memory-safe") {
            got := keccak256(start, sub(end, start))
            key := start
        }
        if (got != commitment) revert KeyWrong(commitment, got);
        if (key.keyLength != end - start || key.keyAt < KEY_AT_MIN) revert KeyMisplaced(end - start, key.keyAt);
        if (key.publicValues != STATEMENT_CELLS) revert PublicValueCount(STATEMENT_CELLS, key.publicValues);
        keyCommitment = commitment;
        _pieces = count;
        _piece0 = pieces[0];
        _piece1 = count > 1 ? pieces[1] : address(0);
        _piece2 = count > 2 ? pieces[2] : address(0);
        _piece3 = count > 3 ? pieces[3] : address(0);
        _piece4 = count > 4 ? pieces[4] : address(0);
        _piece5 = count > 5 ? pieces[5] : address(0);
    }

    /// @dev Copies a piece, without its STOP byte, to memory. Returns where it ends.
    function _copy(address piece, uint256 here) private view returns (uint256) {
        assembly ("memory-safe") {
            let length := sub(extcodesize(piece), 1)
            extcodecopy(piece, here, 1, length)
            here := add(here, length)
        }
        return here;
    }

    /// @notice Verifies a proof.
    /// @param proof The proof, as docs/LAST_PROOF.md encodes it.
    /// @return statement What it says.
    function verify(bytes calldata proof) external view returns (Statement memory statement) {
        unchecked {
            Key memory key = _loadKey();
            if (proof.length != key.proofLength) revert ProofLength(key.proofLength, proof.length);
            uint256 cursor;
            uint256 root;
            assembly ("memory-safe") {
                cursor := proof.offset
                root := calldataload(cursor)
            }
            Transcript memory transcript;
            (transcript, cursor) = _begin(key, cursor);
            // The frame, with the public values, is overwritten later.
            statement = _statement();

            Batch memory batch;
            if (key.logupPowBits == 0) {
                batch.alpha = transcript.lastExt();
            } else {
                if (transcript.sampleBits(cursor, key.logupPowBits) != 0) revert WitnessWrong();
                batch.alpha = transcript.sampleExt(cursor);
            }
            batch.beta = transcript.sampleExt(cursor);
            Ext numerator;
            Ext denominator;
            (cursor, numerator, denominator) = verifyGkr(transcript, cursor, key.lSkip + key.nLogup, XI, TABLE_A);
            cursor = verifyBatch(key, transcript, cursor, batch, numerator, denominator);
            cursor = verifyStacking(key, transcript, cursor);
            cursor = verifyWhir(key, transcript, cursor, root);
            // The key's length of a proof is the sum of what was read; this can fail for a wrong key only.
            uint256 end;
            assembly ("memory-safe") {
                end := add(proof.offset, proof.length)
            }
            if (cursor != end) revert ProofLength(cursor + proof.length - end, proof.length);
        }
    }

    /// @dev Loads the key data: its head, all of which is in the first piece, tells where it has to lie.
    function _loadKey() internal view returns (Key memory key) {
        address piece = _piece0;
        uint256 here;
        assembly ("memory-safe") {
            here := mload(0x40)
        }
        // So far nothing was allocated: the free pointer is where the compiler's variables end.
        assert(here <= COMPILER_END);
        assembly ("memory-safe") {
            extcodecopy(piece, 0, add(1, KEY_AT_OFFSET), 32)
            here := mload(0)
            key := here
        }
        here = _copy(piece, here);
        uint256 count = _pieces;
        if (count > 1) here = _copy(_piece1, here);
        if (count > 2) here = _copy(_piece2, here);
        if (count > 3) here = _copy(_piece3, here);
        if (count > 4) here = _copy(_piece4, here);
        if (count > 5) here = _copy(_piece5, here);
        assembly ("memory-safe") {
            // What Solidity allocates comes behind the key data.
            mstore(0x40, and(add(here, 31), not(31)))
        }
    }

    /// @dev Fills the frame with public values and constants, and lets the transcript absorb the preamble and, if there is one,
    /// the first witness. Returns where these end.
    function _begin(Key memory key, uint256 proof)
        internal
        pure
        returns (Transcript memory transcript, uint256 cursor)
    {
        unchecked {
            transcript = transcriptAt();
            uint256 here = PUBLIC_VALUES;
            for (uint256 i = 0; i < key.publicValues; i++) {
                uint256 value = readBase(proof + 32 + 4 * i);
                assembly ("memory-safe") {
                    mstore(here, value)
                }
                here += 32;
            }
            uint256 source = key.keyAt + key.constantsAt;
            uint256 end = here + 32 * key.constants_;
            assembly ("memory-safe") {
                for {} lt(here, end) { here := add(here, 32) } {
                    mstore(here, shr(224, mload(source)))
                    source := add(source, 4)
                }
            }

            transcript.state = 0;
            transcript.scratch = resultsBase(key);
            uint256 preamble = transcript.scratch + 32;
            source = key.keyAt + key.preambleAt;
            uint256 length = key.preambleLength;
            uint256 gap = key.keyAt + key.gapsAt;
            end = gap + 12 * key.gaps;
            assembly ("memory-safe") {
                mcopy(preamble, source, length)
                for {} lt(gap, end) { gap := add(gap, 12) } {
                    let w := mload(gap)
                    calldatacopy(
                        add(preamble, shr(224, w)),
                        add(proof, and(shr(192, w), 0xffffffff)),
                        and(shr(160, w), 0xffffffff)
                    )
                }
            }
            cursor = proof + 32 + 4 * key.publicValues;
            if (key.logupPowBits != 0) {
                readBase(cursor);
                assembly ("memory-safe") {
                    calldatacopy(add(preamble, length), cursor, 4)
                }
                length += 4;
                cursor += 4;
            }
            transcript.absorbMemory(transcript.scratch, length);
            transcript.pending = cursor;
        }
    }

    /// @dev What the public values, in the frame, say.
    function _statement() private pure returns (Statement memory statement) {
        statement.rootOld = _digest(0);
        statement.rootNew = _digest(8);
        statement.batchFirst = uint32(_cell(16));
        statement.batchLast = uint32(_cell(17));
        statement.timeStart = _time(18);
        statement.timeEnd = _time(21);
        statement.data = _digest(24);
        statement.segmentKey = _digest(32);
    }

    /// @dev Public value i, below 2^32.
    function _cell(uint256 i) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := mload(add(PUBLIC_VALUES, shl(5, i)))
        }
    }

    /// @dev Public values i to i + 7, the first one most significant.
    function _digest(uint256 i) private pure returns (bytes32) {
        uint256 digest = 0;
        for (uint256 j = i; j < i + 8; j++) {
            digest = (digest << 32) | _cell(j);
        }
        return bytes32(digest);
    }

    /// @dev A time is three limbs, the least significant first.
    function _time(uint256 i) private pure returns (uint64) {
        uint256 time = 0;
        for (uint256 j = 0; j < 3; j++) {
            uint256 limb = _cell(i + j);
            if (limb >> LIMB_BITS != 0) revert TimeWrong(i + j, limb);
            time |= limb << (LIMB_BITS * j);
        }
        return uint64(time);
    }
}
