// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {compress} from "./Poseidon2.sol";

/// @notice The data are not whole words.
error WordsLength(uint256 length);
/// @notice The first word of a batch is zero: no instruction begins so.
error WordsZero();
/// @notice There are no blobs, or the transaction has more or fewer of them.
error BlobCount(uint256 got);
/// @notice A commitment or a proof does not have 48 bytes.
error BlobLength(uint256 index);
/// @notice The evaluation failed with less gas than it costs.
error BlobGas(uint256 index, uint256 expected, uint256 got);
/// @notice A blob does not have this value at the batch's point. (With so much gas for the evaluation: if that has become dearer, see whether it was enough.)
error BlobWrong(uint256 index, uint256 gas);

/// @title Published data, and what a proof binds of them.
/// @notice See docs/SETTLEMENT.md.
library Published {
    /// @dev The order of BLS12-381's scalar field.
    uint256 internal constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
    uint256 internal constant WORD_BYTES = 30;
    /// @dev log2 of the coefficients of a blob.
    uint256 private constant BLOB_BITS = 12;
    address private constant POINT_EVALUATION = address(0x0a);
    /// @dev 50,000 (EIP-4844), and what leads to the call. It is given all that there is, so that it may become dearer; whether it refuses or has too little, it takes all.
    uint256 private constant POINT_EVALUATION_GAS = 51_000;
    uint256 private constant CELL_BITS = 30;
    uint256 private constant CELL = (1 << CELL_BITS) - 1;
    uint256 private constant TIME_CELLS = 3;
    uint256 private constant TIME_CELL_BITS = 14;

    /// @notice Where a batch's words are evaluated.
    function point(bytes32 commitment, bytes32 chain) internal pure returns (uint256) {
        return uint256(keccak256(abi.encodePacked(commitment, chain))) % R;
    }

    /// @notice The words' value at z: Σ word_i z^(N − 1 − i).
    /// @dev A value below 2^255 and a word below 2^240 do not overflow, so that one `mulmod` a word does.
    function evaluate(bytes calldata words, uint256 z) internal pure returns (uint256 value) {
        require(words.length % WORD_BYTES == 0, WordsLength(words.length));
        // Words of zero before the others have the same value, and would be nobody's instruction.
        require(words.length == 0 || bytes30(words[:WORD_BYTES]) != 0, WordsZero());
        assembly ("memory-safe") {
            let at := words.offset
            // Eight at a time, after as many alone as are left over.
            let end := add(at, mod(words.length, 240))
            for {} lt(at, end) { at := add(at, 30) } {
                value := add(mulmod(value, z, R), shr(16, calldataload(at)))
            }
            end := add(words.offset, words.length)
            for {} lt(at, end) { at := add(at, 240) } {
                value := add(mulmod(value, z, R), shr(16, calldataload(at)))
                value := add(mulmod(value, z, R), shr(16, calldataload(add(at, 30))))
                value := add(mulmod(value, z, R), shr(16, calldataload(add(at, 60))))
                value := add(mulmod(value, z, R), shr(16, calldataload(add(at, 90))))
                value := add(mulmod(value, z, R), shr(16, calldataload(add(at, 120))))
                value := add(mulmod(value, z, R), shr(16, calldataload(add(at, 150))))
                value := add(mulmod(value, z, R), shr(16, calldataload(add(at, 180))))
                value := add(mulmod(value, z, R), shr(16, calldataload(add(at, 210))))
            }
            value := mod(value, R)
        }
    }

    /// @notice The versioned hashes of the transaction's blobs, of which there must be so many.
    function blobHashes(uint256 count) internal view returns (bytes32[] memory hashes) {
        require(count != 0 && blobhash(count) == 0, BlobCount(count));
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; i++) {
            hashes[i] = blobhash(i);
            require(hashes[i] != 0, BlobCount(count));
        }
    }

    /// @notice z^4096.
    function step(uint256 z) internal pure returns (uint256) {
        for (uint256 i = 0; i < BLOB_BITS; i++) {
            z = mulmod(z, z, R);
        }
        return z;
    }

    /// @notice Refuses a blob that has another value at z.
    function requireValue(
        uint256 index,
        bytes32 hash,
        uint256 z,
        bytes32 y,
        bytes calldata commitment,
        bytes calldata proof
    ) internal view {
        require(commitment.length == 48 && proof.length == 48, BlobLength(index));
        bytes memory data = abi.encodePacked(hash, z, y, commitment, proof);
        // All but a 64th goes along (EIP-150).
        uint256 gas_ = gasleft() - gasleft() / 64;
        (bool fine, bytes memory answer) = POINT_EVALUATION.staticcall(data);
        require(fine || gas_ >= POINT_EVALUATION_GAS, BlobGas(index, POINT_EVALUATION_GAS, gas_));
        require(fine && answer.length == 64, BlobWrong(index, gas_));
        (uint256 coefficients, uint256 modulus) = abi.decode(answer, (uint256, uint256));
        require(coefficients == 1 << BLOB_BITS && modulus == R, BlobWrong(index, gas_));
    }

    /// @notice What the proof binds: the batch's digest.
    function digest(bytes32 chain, uint256 z, uint256 value, uint256 time) internal pure returns (bytes32 hash) {
        uint256[3] memory blocks;
        _put(blocks, 0, z, 9, CELL_BITS, CELL);
        _put(blocks, 9, value, 9, CELL_BITS, CELL);
        _put(blocks, 18, time, TIME_CELLS, TIME_CELL_BITS, (1 << TIME_CELL_BITS) - 1);
        hash = chain;
        for (uint256 i = 0; i < 3; i++) {
            hash = compress(hash, bytes32(blocks[i]));
        }
    }

    /// @dev Puts a number into cells, from cell `first` of all on, its least significant bits first.
    function _put(uint256[3] memory blocks, uint256 first, uint256 value, uint256 count, uint256 bits, uint256 mask)
        private
        pure
    {
        unchecked {
            for (uint256 cell = first; cell < first + count; cell++) {
                blocks[cell / 8] |= (value & mask) << (224 - 32 * (cell % 8));
                value >>= bits;
            }
        }
    }
}
