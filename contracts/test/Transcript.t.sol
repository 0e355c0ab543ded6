// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Ext, P} from "../src/Field.sol";
import {Transcript} from "../src/Transcript.sol";

contract TranscriptTest {
    function bits(bytes calldata data, uint256 first, uint256 count) external pure returns (uint256[] memory samples) {
        Transcript memory transcript;
        uint256 cursor;
        uint256 scratch;
        samples = new uint256[](count);
        assembly ("memory-safe") {
            cursor := data.offset
            scratch := mload(0x40)
            mstore(0x40, add(scratch, 4096))
        }
        transcript.scratch = scratch;
        transcript.pending = cursor;
        cursor += first;
        for (uint256 i = 0; i < count; i++) {
            samples[i] = transcript.sampleBits(cursor, 31);
        }
    }

    function testBitsComeFromTheLanesLowestFirst() external view {
        bytes memory data = hex"00112233445566778899";
        uint256[] memory samples = this.bits(data, 10, 9);
        bytes32 state = keccak256(abi.encodePacked(bytes32(0), data));
        for (uint256 i = 0; i < 9; i++) {
            if (i > 0 && i % 4 == 0) state = keccak256(abi.encodePacked(state));
            uint256 lane = (uint256(state) >> (64 * (i % 4))) & type(uint64).max;
            require(samples[i] == lane % P, "sample");
        }
    }
}
