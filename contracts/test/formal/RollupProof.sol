// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cells} from "../../src/Cells.sol";
import {Statement} from "../../src/FinalVerifier.sol";
import {IVerifier, Rollup} from "../../src/Rollup.sol";
import {ICouncil, IEscape, IInbox, IRollup, IVault} from "../../src/Settlement.sol";
import {StateReader} from "../../src/StateReader.sol";
import {Bridge, System} from "../../src/StateTree.sol";
import {SVM, VM} from "./Svm.sol";

/// @dev All others: a proof and an opening say anything, but for the genesis.
contract Others {
    bool private _begun;
    uint256 public count;
    uint256 public consumed;
    bytes32 public head;
    uint256 public credited;
    uint256 public credits;

    function begin() external {
        _begun = true;
        count = SVM.createUint(30, "entries");
        consumed = SVM.createUint(30, "consumed");
        head = SVM.createBytes32("head in the state");
    }

    function readSystem(bytes32, bytes calldata) external pure returns (System memory system) {
        system.registrar = Cells.BRIDGE;
    }

    function readDeployment(bytes32, bytes calldata) external pure returns (bytes32) {
        return 0;
    }

    function domain() external pure returns (bytes32) {
        return 0;
    }

    function vault() external view returns (address) {
        return address(this);
    }

    function readBridge(bytes32, bytes calldata) external view returns (Bridge memory bridge) {
        if (_begun) (bridge.inboxCount, bridge.inboxHead) = (consumed, head);
    }

    function headAt(uint256 index) external view returns (bytes32) {
        return _begun ? keccak256(abi.encode("head", index)) : bytes32(0);
    }

    function timeOf(uint256 index) public pure returns (uint256) {
        return uint256(keccak256(abi.encode("time", index))) >> 216;
    }

    function verify(bytes calldata) external returns (Statement memory statement) {
        statement.rootOld = SVM.createBytes32("old root");
        statement.rootNew = SVM.createBytes32("new root");
        statement.batchFirst = uint32(SVM.createUint(32, "first"));
        statement.batchLast = uint32(SVM.createUint(32, "last"));
        statement.timeStart = uint64(SVM.createUint(64, "start"));
        statement.timeEnd = uint64(SVM.createUint(64, "end"));
        statement.data = SVM.createBytes32("data");
        statement.segmentKey = SVM.createBytes32("key");
    }

    function paused() external pure returns (bool) {
        return false;
    }

    function ownerOf(uint256) external pure returns (address) {
        return address(0xa11ce);
    }

    function credit(address, uint256 amount) external {
        credited += amount;
        credits++;
    }
}

/// @notice Finality takes the inbox in order; each payout of a run is paid once.
contract RollupProof {
    Others private _others;
    Rollup private _rollup;

    function _make() private {
        _others = new Others();
        address all = address(_others);
        Rollup.Parts memory parts = Rollup.Parts(
            IVault(all),
            IInbox(all),
            IEscape(all),
            ICouncil(all),
            StateReader(all),
            IVerifier(all),
            bytes32(uint256(7)),
            address(0x0be7a7)
        );
        _rollup = new Rollup(parts, Rollup.Genesis(bytes32(uint256(1)), "", "", ""));
        _others.begin();
    }

    /// @dev From any state with two committed batches, of which some are final.
    function check_theInboxIsConsumedInOrder() external {
        _make();
        SVM.enableSymbolicStorage(address(_rollup));
        uint256 finalBefore = _rollup.batchFinal();
        uint256 committed = _rollup.batchCommitted();
        uint256 consumedBefore = _rollup.inboxConsumed();
        VM.assume(finalBefore < 1 << 30 && committed <= finalBefore + 2);
        // (No payouts: their runs are below.)
        VM.assume(_rollup.payoutCount() == 0 && _rollup.payoutHead() == 0);
        _rollup.finalise("", "");
        uint256 consumed = _others.consumed();
        assert(_rollup.inboxConsumed() == consumed);
        assert(consumed >= consumedBefore && consumed <= _others.count());
        assert(_others.head() == _others.headAt(consumed));
        assert(_rollup.batchFinal() > finalBefore && _rollup.batchFinal() <= committed);
        assert(_rollup.batchCommitted() == committed);
        (, uint64 time, uint64 committedAt) = _rollup.batches(_rollup.batchFinal());
        assert(_rollup.timeFinal() == time);
        if (consumed < _others.count()) assert(_others.timeOf(consumed) + 24 hours >= committedAt);
        assert(!_rollup.frozen());
    }

    struct Due {
        uint256 from;
        uint256 to;
        bytes32 head;
    }

    function _due(uint256 run) private view returns (Due memory due) {
        (due.from, due.to, due.head) = _rollup.unpaid(run);
    }

    function _same(Due memory left, Due memory right) private pure returns (bool) {
        return left.from == right.from && left.to == right.to && left.head == right.head;
    }

    /// @dev From any state with two runs: whatever is given as a payout of one of them, with whatever number.
    function check_aPayoutIsPaidOnce(uint256 run, uint256 end, IRollup.Payout memory payout) external {
        _make();
        SVM.enableSymbolicStorage(address(_rollup));
        VM.assume(_rollup.runs() == 2 && run < 2);
        Due memory due = _due(run);
        Due memory other = _due(1 - run);
        VM.assume(due.from <= due.to && due.to < 1 << 30);
        IRollup.Payout[] memory payouts = new IRollup.Payout[](1);
        payouts[0] = payout;
        _rollup.pay(run, end, payouts);
        Due memory left = _due(run);
        assert(_same(_due(1 - run), other));
        // By its number it was paid before: nothing happens.
        if (end > due.to) {
            assert(_same(left, due) && _others.credits() == 0);
            return;
        }
        // It was unpaid, the last of its run, and what the head says; it is paid, and nothing else is.
        assert(due.from < due.to && left.from == due.from && left.to == due.to - 1);
        assert(due.head == Cells.absorb(payout.headBefore, Cells.payout(payout.account, payout.amount), due.to - 1));
        assert(left.head == (left.to == due.from ? bytes32(0) : payout.headBefore));
        assert(_others.credits() == 1 && _others.credited() == payout.amount);
    }
}
