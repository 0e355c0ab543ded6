// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Escape} from "../../src/Escape.sol";
import {Rollup} from "../../src/Rollup.sol";
import {IEscape, IInbox, IRollup, IVault} from "../../src/Settlement.sol";
import {StateReader} from "../../src/StateReader.sol";
import {Account, Market, Position, System} from "../../src/StateTree.sol";
import {Kit, VM} from "./Kit.sol";

/// @dev With a reader that believes every opening; those of real states are in `Vectors.t.sol`.
contract EscapeTest is Kit {
    address private constant CAROL = address(0xca401);

    function _system(uint256 deposits) private pure returns (bytes memory) {
        System memory system;
        system.deposits = deposits;
        return abi.encode(system);
    }

    function _markets(uint256 market, uint256 mark) private pure returns (bytes memory) {
        Market[] memory markets = new Market[](1);
        (markets[0].market, markets[0].mark) = (market, mark);
        return abi.encode(markets);
    }

    function _account(address owner, int256 collateral) private pure returns (bytes memory) {
        Account memory account;
        (account.open, account.owner, account.collateral) = (true, owner, collateral);
        return abi.encode(account);
    }

    function _holding(address owner, int256 collateral, uint256 market, int256 size, int256 quote)
        private
        pure
        returns (bytes memory)
    {
        Account memory account;
        (account.open, account.owner, account.collateral) = (true, owner, collateral);
        account.positions = new Position[](1);
        (account.positions[0].market, account.positions[0].size) = (market, size);
        account.positions[0].quote = quote;
        return abi.encode(account);
    }

    /// @dev 1000 are in the venue, and it stops.
    function _stopped() private {
        _deposit(ALICE, 1000);
        _commit(0);
        _finalise();
        _freeze();
    }

    function testConstruction() external {
        for (uint256 i = 0; i < 4; i++) {
            address[4] memory parts = [ALICE, ALICE, ALICE, ALICE];
            parts[i] = address(0);
            VM.expectRevert(abi.encodeWithSelector(Escape.ZeroAddress.selector));
            new Escape(IVault(parts[0]), IInbox(parts[1]), IRollup(parts[2]), StateReader(parts[3]));
        }
    }

    function testFreezeWhenNothingIsFinal() external {
        VM.warp(START + 7 days);
        require(!_escape.late(), "not late");
        VM.expectRevert(abi.encodeWithSelector(Escape.NotLate.selector));
        _escape.freeze();
        VM.warp(START + 7 days + 1);
        VM.expectEmit(address(_rollup));
        emit IRollup.Frozen(0, GENESIS);
        _escape.freeze();
        _eq(_escape.frozenAt(), START + 7 days + 1, "when");
        VM.expectRevert(abi.encodeWithSelector(Escape.AlreadyFrozen.selector));
        _escape.freeze();
    }

    /// @dev Proofs come, each within the time, but leave an entry out that was young when their batch was committed.
    function testFreezeWhenAnEntryWaits() external {
        _deposit(ALICE, 1000);
        VM.warp(START + 1 days);
        _commit(0);
        VM.warp(START + 6 days);
        _finalise(1);
        _eq(_rollup.inboxConsumed(), 1, "consumed");
        VM.warp(START + 7 days);
        VM.expectRevert(abi.encodeWithSelector(Escape.NotLate.selector));
        _escape.freeze();
        VM.warp(START + 7 days + 1);
        require(_escape.late(), "late");
        _escape.freeze();
    }

    function testServedEntriesDoNotFreeze() external {
        _deposit(ALICE, 1000);
        _commit(0);
        VM.warp(START + 6 days);
        _finalise();
        VM.warp(START + 13 days);
        VM.expectRevert(abi.encodeWithSelector(Escape.NotLate.selector));
        _escape.freeze();
    }

    function testNothingBeforeTheFreeze() external {
        bytes memory notFrozen = abi.encodeWithSelector(Escape.NotFrozen.selector);
        VM.expectRevert(notFrozen);
        _escape.record(_system(1), 0, "");
        VM.expectRevert(notFrozen);
        _escape.showDebt(3, _account(ALICE, -1));
        VM.expectRevert(notFrozen);
        _escape.exit(3, _account(ALICE, 1));
        VM.expectRevert(abi.encodeWithSelector(Rollup.NotAllowed.selector, address(this)));
        _rollup.freeze();
    }

    function testRecording() external {
        _stopped();
        _escape.record("", 0, "");
        require(!_escape.systemRecorded(), "nothing");
        _escape.record(_system(1000), 1 << 7, _markets(7, 55));
        _escape.record("", 1 << 9, _markets(9, 66));
        _escape.record("", 1 << 9, _markets(9, 66));
        _eq(_escape.deposits(), 1000, "deposits");
        _eq(_escape.marketsRecorded(), (1 << 7) | (1 << 9), "markets");
        _eq(_escape.markOf(7), 55, "mark");
        _eq(_escape.markOf(9), 66, "mark");
    }

    function testDebtsAreShownInTheirWindow() external {
        _stopped();
        bytes memory opening = _account(BOB, -300);
        VM.expectRevert(abi.encodeWithSelector(Escape.NotBelowZero.selector, 3));
        _escape.showDebt(3, _account(ALICE, 1));
        VM.expectRevert(abi.encodeWithSelector(Escape.NotBelowZero.selector, 3));
        _escape.showDebt(3, _account(ALICE, 0));
        VM.expectEmit(address(_escape));
        emit IEscape.DebtShown(4, 300);
        _escape.showDebt(4, opening);
        VM.expectRevert(abi.encodeWithSelector(Escape.AlreadyShown.selector, 4));
        _escape.showDebt(4, opening);
        uint256 end = _escape.frozenAt() + 3 days;
        VM.warp(end - 1);
        _escape.showDebt(5, opening);
        _eq(_escape.debt(), 600, "debt");
        VM.expectRevert(abi.encodeWithSelector(Escape.WindowOpen.selector, end));
        _escape.exit(3, _account(ALICE, 1));
        VM.warp(end);
        VM.expectRevert(abi.encodeWithSelector(Escape.WindowOver.selector));
        _escape.showDebt(6, opening);
    }

    function testMarketsMustBeRecorded() external {
        _stopped();
        bytes memory opening = _holding(BOB, 0, 7, -10, 30);
        VM.expectRevert(abi.encodeWithSelector(Escape.MarketMissing.selector, 7));
        _escape.showDebt(4, opening);
        _escape.record(_system(1000), 1 << 6, _markets(6, 1));
        VM.expectRevert(abi.encodeWithSelector(Escape.MarketMissing.selector, 7));
        _escape.showDebt(4, opening);
        _escape.record("", 1 << 7, _markets(7, 50));
        _escape.showDebt(4, opening);
        _eq(_escape.debt(), 470, "10 x 50 - 30");
        VM.warp(_escape.frozenAt() + 3 days);
        VM.expectRevert(abi.encodeWithSelector(Escape.MarketMissing.selector, 8));
        _escape.exit(3, _holding(ALICE, 0, 8, 1, 1));
    }

    function testExits() external {
        _stopped();
        _escape.showDebt(4, _account(BOB, -500));
        VM.warp(_escape.frozenAt() + 3 days);
        bytes memory opening = _account(ALICE, 1000);
        VM.expectRevert(abi.encodeWithSelector(Escape.SystemMissing.selector));
        _escape.exit(3, opening);
        _escape.record(_system(1000), 0, "");
        // 1000 of 1500, of equities of 1000 and 500: rounded down.
        VM.expectEmit(address(_escape));
        emit IEscape.Exited(3, ALICE, 1000, 666);
        _eq(_escape.exit(3, opening), 666, "paid");
        require(_escape.exited(3), "exited");
        VM.expectRevert(abi.encodeWithSelector(Escape.AlreadyExited.selector, 3));
        _escape.exit(3, opening);
        _eq(_escape.exit(5, _account(CAROL, 500)), 333, "carol");
        _eq(_escape.paidTotal(), 999, "all");
        _eq(_vault.claimable(CAROL), 333, "claimable");
        _vault.claim(CAROL);
        _eq(_token.balanceOf(CAROL), 333, "has it");
    }

    function testNothingThere() external {
        _stopped();
        _escape.record(_system(1000), 0, "");
        VM.warp(_escape.frozenAt() + 3 days);
        Account memory closed;
        closed.collateral = 5;
        bytes memory wrong = abi.encodeWithSelector(Escape.NothingThere.selector, 9);
        VM.expectRevert(wrong);
        _escape.exit(9, abi.encode(closed));
        VM.expectRevert(wrong);
        _escape.exit(9, _account(BOB, 0));
        VM.expectRevert(wrong);
        _escape.exit(9, _account(BOB, -1));
    }

    function testAnEmptyVenue() external {
        _freeze();
        _escape.record(_system(0), 0, "");
        VM.warp(_escape.frozenAt() + 3 days);
        VM.expectRevert(abi.encodeWithSelector(Escape.NothingThere.selector, 3));
        _escape.exit(3, _account(ALICE, 1));
    }

    /// @dev Debts that nobody shows: the first ones have more than their part, the last ones what is left.
    function testNeverMoreThanThereIs() external {
        _stopped();
        _escape.record(_system(1000), 0, "");
        VM.warp(_escape.frozenAt() + 3 days);
        _eq(_escape.exit(3, _account(ALICE, 800)), 800, "first");
        _eq(_escape.exit(4, _account(BOB, 700)), 200, "second");
        _eq(_escape.exit(5, _account(CAROL, 1)), 0, "third");
        _eq(_escape.paidTotal(), 1000, "all");
    }

    function testFuzzExitsPayNoMoreThanD(uint80[5] memory equities, uint80 debt) external {
        uint256 sum = 0;
        for (uint256 i = 0; i < 5; i++) {
            sum += equities[i];
        }
        VM.assume(sum > debt && sum - debt >= DEPOSIT_MIN && sum - debt < 1 << 80);
        _deposit(ALICE, sum - debt);
        _commit(0);
        _finalise();
        _freeze();
        _escape.record(_system(sum - debt), 0, "");
        if (debt > 0) _escape.showDebt(99, _account(BOB, -int256(uint256(debt))));
        VM.warp(_escape.frozenAt() + 3 days);
        uint256 paid = 0;
        for (uint256 i = 0; i < 5; i++) {
            if (equities[i] == 0) continue;
            uint256 part = _escape.exit(10 + i, _account(address(uint160(0x100 + i)), int256(uint256(equities[i]))));
            require(part <= equities[i], "no more than it has");
            paid += part;
        }
        require(paid <= sum - debt && sum - debt - paid < 5, "all but what rounding leaves");
    }
}
