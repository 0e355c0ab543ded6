// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LIMB_BITS, Statement} from "./FinalVerifier.sol";

/// @title Verifier of compact proofs.
/// @notice Stateless, and called like `FinalVerifier`: a proof is valid or the call reverts.
/// @dev The proof is verified by the code that `holdfast export-verifier --compact` generates for a key. Here its length is checked, which
/// that code does not do, and its instances are read (docs/LAST_PROOF.md). The generated code takes scalars modulo the order of the group: an
/// evaluation in a valid proof can be written in other ways too, so nothing may depend on the hash of a proof. An invalid proof can take nearly
/// all the gas that the call is given: the precompiles do.
contract CompactVerifier {
    /// @dev Instances that are the two points to be paired, before the five that say what is proven.
    uint256 private constant ACCUMULATOR = 12;
    /// @dev Bits of a limb of a point's coordinate.
    uint256 private constant COORDINATE_BITS = 88;
    /// @dev Bits of a cell in an instance, the first cell least significant; and of all eight.
    uint256 private constant CELL_BITS = 31;
    uint256 private constant INSTANCE_BITS = 248;
    /// @dev The order of the field that cells are of.
    uint256 private constant PRIME = 0x78000001;

    /// @notice The generated verifier.
    address public immutable halo2;
    /// @notice The hash of its code, which says for which key this contract is.
    bytes32 public immutable halo2CodeHash;
    /// @notice Bytes of a proof.
    uint256 public immutable proofLength;

    /// @notice There is no code where the generated verifier should be, or other code than at construction (a call of nothing succeeds).
    error NoVerifier(address halo2);
    /// @notice A proof of this length cannot have the instances.
    error KeyWrong(uint256 proofLength);
    /// @notice The proof has another length than the key's proofs.
    error ProofLength(uint256 expected, uint256 got);
    /// @notice A limb of a point to be paired has too many bits (a valid proof has no such).
    error AccumulatorWrong(uint256 index, uint256 got);
    /// @notice An instance is not of eight cells (a valid proof has no such).
    error InstanceWrong(uint256 index, uint256 got);
    /// @notice A limb of a time has too many bits (a valid proof has no such).
    error TimeWrong(uint256 cell, uint256 got);
    /// @notice The proof is not valid.
    error ProofInvalid();

    /// @param halo2_ The generated verifier.
    /// @param proofLength_ Bytes of its proofs.
    constructor(address halo2_, uint256 proofLength_) {
        // An account that delegates (EIP-7702) may have no code tomorrow.
        if (halo2_.code.length == 0 || bytes1(halo2_.code) == 0xef) revert NoVerifier(halo2_);
        if (proofLength_ <= 32 * (ACCUMULATOR + 5)) revert KeyWrong(proofLength_);
        halo2 = halo2_;
        halo2CodeHash = halo2_.codehash;
        proofLength = proofLength_;
    }

    /// @notice Verifies a proof.
    /// @param proof The proof: its instances, and the proof of the outer circuit.
    /// @return statement What it says.
    function verify(bytes calldata proof) external view returns (Statement memory statement) {
        if (proof.length != proofLength) revert ProofLength(proofLength, proof.length);
        for (uint256 i = 0; i < ACCUMULATOR; i++) {
            uint256 limb = uint256(bytes32(proof[32 * i:32 * i + 32]));
            if (limb >> COORDINATE_BITS != 0) revert AccumulatorWrong(i, limb);
        }
        if (halo2.codehash != halo2CodeHash) revert NoVerifier(halo2);
        (bool valid,) = halo2.staticcall(proof);
        if (!valid) revert ProofInvalid();
        uint256[8] memory cells = _cells(proof, 2);
        statement.rootOld = _digest(_cells(proof, 0));
        statement.rootNew = _digest(_cells(proof, 1));
        statement.batchFirst = uint32(cells[0]);
        statement.batchLast = uint32(cells[1]);
        statement.timeStart = _time(cells, 2);
        statement.timeEnd = _time(cells, 5);
        statement.data = _digest(_cells(proof, 3));
        statement.segmentKey = _digest(_cells(proof, 4));
    }

    /// @dev The eight cells of an instance.
    function _cells(bytes calldata proof, uint256 index) private pure returns (uint256[8] memory cells) {
        uint256 start = 32 * (ACCUMULATOR + index);
        uint256 instance = uint256(bytes32(proof[start:start + 32]));
        // The generated verifier takes instances modulo the order, which has more bits than this.
        if (instance >> INSTANCE_BITS != 0) revert InstanceWrong(index, instance);
        for (uint256 i = 0; i < 8; i++) {
            cells[i] = (instance >> (CELL_BITS * i)) & ((1 << CELL_BITS) - 1);
            if (cells[i] >= PRIME) revert InstanceWrong(index, instance);
        }
    }

    /// @dev Eight cells of 32 bits, the first one most significant.
    function _digest(uint256[8] memory cells) private pure returns (bytes32) {
        uint256 digest = 0;
        for (uint256 i = 0; i < 8; i++) {
            digest = (digest << 32) | cells[i];
        }
        return bytes32(digest);
    }

    /// @dev A time is three limbs, the least significant first.
    function _time(uint256[8] memory cells, uint256 i) private pure returns (uint64) {
        uint256 time = 0;
        for (uint256 j = 0; j < 3; j++) {
            uint256 limb = cells[i + j];
            if (limb >> LIMB_BITS != 0) revert TimeWrong(16 + i + j, limb);
            time |= limb << (LIMB_BITS * j);
        }
        return uint64(time);
    }
}
