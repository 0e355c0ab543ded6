// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Council} from "../../src/Council.sol";
import {Statement} from "../../src/FinalVerifier.sol";
import {IVerifier, Rollup} from "../../src/Rollup.sol";
import {Account, System} from "../../src/StateTree.sol";
import {Kit, VM, Verifier} from "./Kit.sol";

/// @dev Another verifier takes the place of the first, in a venue that goes on: what everybody can do before, in the thirty days, and after.
contract UpgradeTest is Kit {
    bytes32 private constant NEXT_KEY = bytes32(uint256(0xa1e));
    Verifier private _next;

    function setUp() public override {
        super.setUp();
        _next = new Verifier();
        _deposit(ALICE, 10_000);
        _deposit(BOB, 20_000);
        _settle(3, 10);
    }

    function _upgrade() private view returns (bytes memory) {
        return abi.encodeCall(Rollup.setVerifier, (IVerifier(address(_next)), NEXT_KEY));
    }

    /// @dev The payout of the last run reaches its owner.
    function _paid(address owner, uint256 amount) private {
        uint256 run = _rollup.runs() - 1;
        (uint256 from,,) = _rollup.unpaid(run);
        uint256 before = _token.balanceOf(owner);
        _pay(run, _payoutsFrom(run, from));
        _vault.claim(owner);
        _eq(_token.balanceOf(owner) - before, amount, "paid out");
    }

    /// @dev A day of the venue: somebody forces a withdrawal, and it is in a final batch, and paid.
    function _day(uint256 amount) private {
        VM.warp(VM.getBlockTimestamp() + 1 days);
        VM.prank(ALICE);
        _inbox.withdraw{value: FEE}(amount);
        _settle(3, amount);
        _eq(_rollup.inboxConsumed(), _inbox.count(), "it is heard");
        _paid(ALICE, amount);
    }

    /// @dev What the new verifier would say is not believed, and who asks for the upgrade is refused.
    function _notYet(uint256 id) private {
        VM.expectRevert(abi.encodeWithSelector(Council.NotReady.selector, id));
        _council.execute(id);
        _commit(0);
        Statement memory statement = _statement(_rollup.batchCommitted());
        statement.segmentKey = NEXT_KEY;
        _verifier.set(statement);
        bytes memory opening = _bridge(_inbox.count());
        VM.expectRevert(abi.encodeWithSelector(Rollup.SegmentKeyWrong.selector, SEGMENT_KEY, NEXT_KEY));
        _rollup.finalise("", opening);
        _finalise();
    }

    function testTheVenueGoesOnAndEverybodyCanLeave() external {
        _paid(ALICE, 10);
        VM.prank(_member(3));
        uint256 id = _council.propose(address(_rollup), _upgrade());
        for (uint256 i = 4; i < 11; i++) {
            VM.prank(_member(i));
            _council.approve(id);
            _notYet(id);
        }
        VM.prank(_member(11));
        _council.approve(id);
        uint256 ready = VM.getBlockTimestamp() + 30 days;
        _eq(_council.proposalOf(id).readyAt, ready, "thirty days from the ninth");
        for (uint256 day = 1; day <= 29; day++) {
            _day(100 + day);
            _notYet(id);
        }
        // Half a day before the end; and the last batch waits for its proof when the verifier changes.
        VM.warp(ready - 1);
        _notYet(id);
        _payout(4, 500);
        _commit(2);
        VM.warp(ready);
        VM.prank(ALICE);
        _council.execute(id);
        _eq(address(_rollup.verifier()), address(_next), "the new one");

        // What the old one says does not count any more; the new one proves what was committed before.
        uint256 last = _rollup.batchCommitted();
        Statement memory statement = _statement(last);
        bytes memory opening = _bridge(_inbox.count());
        _next.set(statement);
        VM.expectRevert(abi.encodeWithSelector(Rollup.SegmentKeyWrong.selector, NEXT_KEY, SEGMENT_KEY));
        _rollup.finalise("", opening);
        statement.segmentKey = NEXT_KEY;
        _next.set(statement);
        _rollup.finalise("", opening);
        _eq(_rollup.batchFinal(), last, "final");
        _paid(BOB, 500);
        _leave(20_000 - 500);
    }

    /// @dev Bob's way out by the last final state, whatever the verifier is.
    function _leave(uint256 equity) private {
        _freeze();
        System memory system;
        system.deposits = equity;
        _escape.record(abi.encode(system), 0, "");
        VM.warp(_escape.frozenAt() + 3 days);
        Account memory account;
        (account.open, account.owner, account.collateral) = (true, BOB, int256(equity));
        _eq(_escape.exit(4, abi.encode(account)), equity, "exit");
        _vault.claim(BOB);
        _eq(_token.balanceOf(BOB), (1 << 92), "all of it");
    }

    /// @dev Whoever does not trust the new verifier stops it, if the venue leaves an entry unserved; and leaves.
    function testAFreezeInTheThirtyDaysStopsIt() external {
        uint256 id = _propose(address(_rollup), _upgrade());
        uint256 ready = _council.proposalOf(id).readyAt;
        VM.warp(START + 1 days);
        _settle(4, 500);
        _paid(BOB, 500);
        _leave(20_000 - 500);
        require(VM.getBlockTimestamp() < ready, "in the thirty days");
        VM.warp(ready);
        VM.expectRevert(abi.encodeWithSelector(Council.IsFrozen.selector));
        _council.execute(id);
        _eq(address(_rollup.verifier()), address(_verifier), "the same as before");
    }

    /// @dev Eight of twelve, however long they wait; and with the ninth too late, all have to say it again.
    function testApprovalsExpire() external {
        VM.prank(_member(0));
        uint256 id = _council.propose(address(_rollup), _upgrade());
        for (uint256 i = 1; i < 8; i++) {
            VM.prank(_member(i));
            _council.approve(id);
        }
        VM.warp(START + 14 days);
        VM.prank(_member(8));
        VM.expectRevert(abi.encodeWithSelector(Council.Lapsed.selector, id));
        _council.approve(id);
        VM.warp(START + 40 days);
        VM.expectRevert(abi.encodeWithSelector(Council.NotReady.selector, id));
        _council.execute(id);
        // And an upgrade that was ready lapses too.
        id = _propose(address(_rollup), _upgrade());
        VM.warp(START + 40 days + 44 days);
        VM.expectRevert(abi.encodeWithSelector(Council.Lapsed.selector, id));
        _council.execute(id);
    }

    /// @dev Pauses in the thirty days: one, of three days, in which money goes out as ever; no second one, and neither moves when the upgrade is ready, or the freeze.
    function testPausesDoNotHoldAnybody() external {
        uint256 id = _propose(address(_rollup), _upgrade());
        uint256 ready = _council.proposalOf(id).readyAt;
        uint256 since = _rollup.finalSince();
        _pause(3 days);
        _paid(ALICE, 10);
        VM.prank(ALICE);
        _inbox.withdraw{value: FEE}(5);
        for (uint256 day = 1; day <= 3; day++) {
            uint256 again = _propose(address(_council), abi.encodeCall(Council.pause, (3 days)));
            VM.expectRevert(abi.encodeWithSelector(Council.PauseTooSoon.selector, START + 33 days));
            _council.execute(again);
            VM.warp(START + day * 1 days);
        }
        require(!_council.paused(), "over");
        _settle(3, 5);
        _paid(ALICE, 5);
        _eq(_council.proposalOf(id).readyAt, ready, "as before");
        _eq(_rollup.finalSince(), since + 3 days, "what is final counts");
        VM.warp(START + 10 days + 1);
        require(_escape.late(), "seven days from the last final batch");
    }
}
