// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CompactVerifier} from "../src/CompactVerifier.sol";
import {Statement} from "../src/FinalVerifier.sol";

/// @dev The cheat codes of forge that these tests use.
interface Vm {
    function etch(address target, bytes calldata code) external;
}

/// @dev Stands for a generated verifier: valid is what does not end in a byte 1.
contract Halo2Stub {
    fallback(bytes calldata proof) external returns (bytes memory) {
        require(proof[proof.length - 1] != 0x01);
        return "";
    }
}

/// @dev How instances are read, and what is refused beside what the generated verifier refuses.
contract CompactVerifierTest {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant LENGTH = 32 * 20;
    uint256 private constant P = 0x78000001;

    Halo2Stub private _halo2;
    CompactVerifier private _verifier;

    function setUp() external {
        _halo2 = new Halo2Stub();
        _verifier = new CompactVerifier(address(_halo2), LENGTH);
    }

    /// @dev A proof whose cell i of instance j is 100 j + i.
    function _proof() private pure returns (bytes memory proof) {
        proof = new bytes(LENGTH);
        for (uint256 j = 0; j < 5; j++) {
            uint256 word = 0;
            for (uint256 i = 0; i < 8; i++) {
                word |= (100 * j + i) << (31 * i);
            }
            _put(proof, 12 + j, word);
        }
    }

    function _put(bytes memory proof, uint256 index, uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(add(proof, mul(32, add(index, 1))), word)
        }
    }

    function _refused(bytes memory proof, bytes4 selector) private view {
        try _verifier.verify(proof) {
            assert(false);
        } catch (bytes memory reason) {
            assert(bytes4(reason) == selector);
        }
    }

    function _digest(uint256 first) private pure returns (bytes32) {
        uint256 digest = 0;
        for (uint256 i = 0; i < 8; i++) {
            digest = (digest << 32) | (first + i);
        }
        return bytes32(digest);
    }

    function testInstancesAreReadInTheirOrder() external view {
        Statement memory statement = _verifier.verify(_proof());
        assert(statement.rootOld == _digest(0) && statement.rootNew == _digest(100));
        assert(statement.batchFirst == 200 && statement.batchLast == 201);
        assert(statement.timeStart == 202 + (203 << 14) + (204 << 28));
        assert(statement.timeEnd == 205 + (206 << 14) + (207 << 28));
        assert(statement.data == _digest(300) && statement.segmentKey == _digest(400));
    }

    function testWhatTheGeneratedVerifierRefusesIsRefused() external view {
        bytes memory proof = _proof();
        _put(proof, 19, 1);
        _refused(proof, CompactVerifier.ProofInvalid.selector);
    }

    function testFuzzAnotherLengthIsRefused(uint16 length) external view {
        if (length == LENGTH) length++;
        _refused(new bytes(length), CompactVerifier.ProofLength.selector);
    }

    function testInstancesThatAreNotCanonicalAreRefused() external view {
        for (uint256 j = 0; j < 5; j++) {
            for (uint256 i = 0; i < 8; i++) {
                bytes memory proof = _proof();
                _put(proof, 12 + j, P << (31 * i));
                _refused(proof, CompactVerifier.InstanceWrong.selector);
            }
            for (uint256 bit = 248; bit < 256; bit++) {
                bytes memory proof = _proof();
                _put(proof, 12 + j, 1 << bit);
                _refused(proof, CompactVerifier.InstanceWrong.selector);
            }
        }
        for (uint256 i = 0; i < 12; i++) {
            bytes memory proof = _proof();
            _put(proof, i, (1 << 88) - 1);
            _verifier.verify(proof);
            _put(proof, i, 1 << 88);
            _refused(proof, CompactVerifier.AccumulatorWrong.selector);
        }
    }

    function testLimbsOfTimesHaveFourteenBits() external view {
        for (uint256 i = 2; i < 8; i++) {
            bytes memory proof = _proof();
            _put(proof, 14, ((1 << 14) - 1) << (31 * i));
            _verifier.verify(proof);
            _put(proof, 14, 1 << (14 + 31 * i));
            _refused(proof, CompactVerifier.TimeWrong.selector);
        }
    }

    /// @dev A call of an account without code succeeds: whatever becomes of the generated verifier, no proof is valid then.
    function testAVerifierWithoutItsCodeAcceptsNothing() external {
        bytes memory proof = _proof();
        VM.etch(address(_halo2), "");
        _refused(proof, CompactVerifier.NoVerifier.selector);
        VM.etch(address(_halo2), hex"00");
        _refused(proof, CompactVerifier.NoVerifier.selector);
    }

    function testNoVerifierForNothing() external {
        try new CompactVerifier(address(0x1234), LENGTH) {
            assert(false);
        } catch (bytes memory reason) {
            assert(bytes4(reason) == CompactVerifier.NoVerifier.selector);
        }
        address delegating = address(0x5678);
        VM.etch(delegating, hex"ef01000000000000000000000000000000000000000001");
        try new CompactVerifier(delegating, LENGTH) {
            assert(false);
        } catch (bytes memory reason) {
            assert(bytes4(reason) == CompactVerifier.NoVerifier.selector);
        }
        try new CompactVerifier(address(_halo2), 32 * 17) {
            assert(false);
        } catch (bytes memory reason) {
            assert(bytes4(reason) == CompactVerifier.KeyWrong.selector);
        }
    }
}
