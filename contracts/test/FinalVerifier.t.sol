// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FinalVerifier, Statement} from "../src/FinalVerifier.sol";

/// @dev The cheat code of forge that these tests use.
interface Vm {
    function readFileBinary(string calldata path) external view returns (bytes memory data);
}

/// @dev The verifier with the bundled key on the sample proof: `bin/forge test --gas-report` prints what it costs.
/// The Rust tests (`circuit/tests/last_solidity.rs`) compare it with its native twin.
contract FinalVerifierTest {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant PIECE_BYTES = 24_575;

    FinalVerifier private _verifier;
    bytes private _proof;

    function setUp() external {
        bytes memory data = VM.readFileBinary("test/vectors/key.bin");
        address[] memory pieces = new address[]((data.length + PIECE_BYTES - 1) / PIECE_BYTES);
        for (uint256 i = 0; i < pieces.length; i++) {
            pieces[i] = _store(data, i * PIECE_BYTES);
        }
        _verifier = new FinalVerifier(pieces, keccak256(data));
        _proof = VM.readFileBinary("../crates/circuit/tests/vectors/last.proof");
    }

    /// @dev Makes a contract whose code is a STOP and the piece of the data that begins at `first`.
    function _store(bytes memory data, uint256 first) private returns (address piece) {
        uint256 length = data.length - first;
        if (length > PIECE_BYTES) length = PIECE_BYTES;
        bytes memory part = new bytes(length);
        for (uint256 i = 0; i < length; i++) {
            part[i] = data[first + i];
        }
        // PUSH4 length, DUP1, PUSH1 12, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN, STOP.
        bytes memory code = abi.encodePacked(hex"63", uint32(length + 1), hex"80600c3d393df300", part);
        assembly ("memory-safe") {
            piece := create(0, add(code, 32), mload(code))
        }
        assert(piece.code.length == length + 1);
    }

    function testTheSampleIsValid() external view {
        Statement memory statement = _verifier.verify(_proof);
        assert(statement.batchFirst == 1 && statement.batchLast == 2);
        assert(statement.rootOld != statement.rootNew);
        assert(statement.timeStart <= statement.timeEnd);
    }

    /// forge-config: default.fuzz.runs = 40
    function testFuzzAChangedByteIsRefused(uint256 place, uint8 change) external view {
        bytes memory proof = _proof;
        if (change == 0) change = 1;
        place %= proof.length;
        proof[place] = bytes1(uint8(proof[place]) ^ change);
        try _verifier.verify(proof) {
            assert(false);
        } catch (bytes memory reason) {
            // A custom error, never an empty revert or a panic.
            assert(reason.length >= 4 && bytes4(reason) != 0x4e487b71);
        }
    }

    /// forge-config: default.fuzz.runs = 20
    function testFuzzAnotherLengthIsRefused(uint256 length) external view {
        bytes memory proof = _proof;
        length %= proof.length;
        assembly ("memory-safe") {
            mstore(proof, length)
        }
        try _verifier.verify(proof) {
            assert(false);
        } catch (bytes memory reason) {
            assert(bytes4(reason) == FinalVerifier.ProofLength.selector);
        }
    }
}
