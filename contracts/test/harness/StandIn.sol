// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IInbox, IRollup} from "../../src/Settlement.sol";

/// @title Inbox and rollup as those who follow and post see them, without money and without proofs: anybody who says so makes batches final.
/// @dev For tests of `holdfast-settlement`: a "proof" is `abi.encode(last batch, root)`.
contract StandIn {
    uint256 private constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    address public immutable operator;
    uint256 public batchCommitted;
    uint256 public batchFinal;
    uint256 public count;
    bool public frozen;

    error NotOperator(address caller);
    error BatchWrong(uint256 expected, uint256 got);
    error WordsWrong(uint256 length);
    error BlobWrong(uint256 index);
    error NothingToRemove(uint256 batch);

    constructor(address operator_) {
        operator = operator_;
    }

    modifier next(uint256 batch) {
        require(msg.sender == operator, NotOperator(msg.sender));
        require(batch == batchCommitted + 1, BatchWrong(batchCommitted + 1, batch));
        _;
        batchCommitted = batch;
    }

    function commit(uint256 batch, bytes32 chain, uint64 time, bytes calldata words) external next(batch) {
        require(words.length % 30 == 0, WordsWrong(words.length));
        emit IRollup.Committed(batch, chain, keccak256(words), 0, time, 0);
    }

    function commitBlobs(uint256 batch, bytes32 chain, uint64 time, IRollup.Blob[] calldata blobs)
        external
        next(batch)
    {
        bytes memory hashes;
        for (uint256 i = 0; i < blobs.length; i++) {
            hashes = bytes.concat(hashes, blobhash(i));
        }
        require(blobs.length > 0 && blobhash(blobs.length) == 0, BlobWrong(blobs.length));
        bytes32 commitment = keccak256(hashes);
        uint256 z = uint256(keccak256(abi.encodePacked(commitment, chain))) % R;
        for (uint256 i = 0; i < blobs.length; i++) {
            (bool fine,) = address(0x0a)
                .staticcall(abi.encodePacked(blobhash(i), z, blobs[i].y, blobs[i].commitment, blobs[i].proof));
            require(fine, BlobWrong(i));
        }
        emit IRollup.Committed(batch, chain, commitment, 0, time, blobs.length);
    }

    function finalise(bytes calldata proof, bytes calldata) external {
        (uint256 last, bytes32 root) = abi.decode(proof, (uint256, bytes32));
        require(last > batchFinal && last <= batchCommitted, BatchWrong(batchFinal + 1, last));
        batchFinal = last;
        emit IRollup.Final(last, root, count, 0);
    }

    function remove(uint256 from) external {
        require(from > batchFinal && from <= batchCommitted, NothingToRemove(from));
        emit IRollup.Removed(from, batchCommitted);
        batchCommitted = from - 1;
    }

    function pay(uint256, uint256, IRollup.Payout[] calldata payouts) external {
        for (uint256 i = 0; i < payouts.length; i++) {
            emit IRollup.Paid(i, payouts[i].account, payouts[i].amount);
        }
    }

    function freeze() external {
        frozen = true;
        emit IRollup.Frozen(batchFinal, 0);
    }

    function withdraw(uint256 amount) external payable {
        bytes32[] memory blocks = new bytes32[](1);
        blocks[0] = bytes32((uint256(2) << 224) | (uint256(7 + (4 << 20)) << 192) | (amount << 128));
        emit IInbox.Appended(count++, 7, blocks);
    }

    function fee() external pure returns (uint256) {
        return 0;
    }
}
