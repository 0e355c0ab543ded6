// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cells} from "../../src/Cells.sol";
import {Inbox} from "../../src/Inbox.sol";
import {CoefficientWrong, OffCurve} from "../../src/Septic.sol";
import {ICouncil, IInbox, IRollup, IVault} from "../../src/Settlement.sol";
import {Vault} from "../../src/Vault.sol";
import {CallingToken, FeeToken, Kit, Reader, Token, VM} from "./Kit.sol";

contract InboxTest is Kit {
    uint256 private constant P = 0x78000001;

    /// @dev A point of the curve: the generator.
    function _point() private pure returns (uint32[7] memory x, uint32[7] memory y) {
        x = [298_103_024, 949_573_150, 1_452_016_224, 1_489_440_589, 1_449_011_712, 1_346_367_562, 1_795_223_202];
        y = [979_216_132, 241_665_061, 728_316_262, 1_409_648_346, 1_951_720_904, 91_968_449, 885_162_069];
    }

    function testConstruction() external {
        address[] memory none = new address[](0);
        IVault vault = IVault(_vault);
        IRollup rollup = IRollup(_rollup);
        ICouncil council = ICouncil(_council);
        VM.expectRevert(abi.encodeWithSelector(Inbox.ParameterWrong.selector));
        new Inbox(IVault(address(0)), rollup, council, FEE, 1, none);
        VM.expectRevert(abi.encodeWithSelector(Inbox.ParameterWrong.selector));
        new Inbox(vault, IRollup(address(0)), council, FEE, 1, none);
        VM.expectRevert(abi.encodeWithSelector(Inbox.ParameterWrong.selector));
        new Inbox(vault, rollup, ICouncil(address(0)), FEE, 1, none);
        VM.expectRevert(abi.encodeWithSelector(Inbox.ParameterWrong.selector));
        new Inbox(vault, rollup, council, FEE, 0, none);
        VM.expectRevert(abi.encodeWithSelector(Inbox.ParameterWrong.selector));
        new Inbox(vault, rollup, council, FEE, 1 << 80, none);
    }

    function testAccountsOfTheGenesis() external {
        _eq(_inbox.firstAccount(), 3, "first");
        _eq(_inbox.nextAccount(), 3, "next");
        _eq(_inbox.ownerOf(0), HOUSE, "0");
        _eq(_inbox.ownerOf(1), address(0), "1");
        _eq(_inbox.ownerOf(2), ORACLE, "2");
        require(_inbox.hasAccount(HOUSE) && !_inbox.hasAccount(address(0)) && !_inbox.hasAccount(ALICE), "has");
        _eq(_inbox.accountOf(ORACLE), 2, "oracle");
        // Account 0 forces as any other.
        _eq(_deposit(HOUSE, 100), 0, "house");
        _eq(_inbox.count(), 1, "one entry");
    }

    function testOfTwoAccountsOfOneOwnerTheFirstIsForced() external {
        address[] memory owners = new address[](3);
        (owners[0], owners[1], owners[2]) = (BOB, HOUSE, HOUSE);
        Inbox inbox = new Inbox(IVault(_vault), IRollup(_rollup), ICouncil(_council), FEE, 1, owners);
        _eq(inbox.accountOf(HOUSE), 1, "first");
        _eq(inbox.ownerOf(2), HOUSE, "both");
    }

    function testTheFirstDepositOpens() external {
        bytes32[] memory blocks = new bytes32[](2);
        (blocks[0], blocks[1]) = Cells.open(3, ALICE);
        VM.expectEmit(address(_inbox));
        emit IInbox.Appended(0, 3, blocks);
        _eq(_deposit(ALICE, 500), 3, "account");
        _eq(_inbox.count(), 2, "two entries");
        _eq(_inbox.ownerOf(3), ALICE, "owner");
        _eq(_inbox.accountOf(ALICE), 3, "account of");
        _eq(_inbox.amountOf(0), 0, "of the opening");
        _eq(_inbox.amountOf(1), 500, "of the deposit");
        _eq(_vault.held(), 500, "held");
        VM.warp(START + 9);
        _eq(_deposit(ALICE, 100), 3, "the same");
        _eq(_inbox.count(), 3, "one more");
        _eq(_inbox.timeOf(1), START, "first time");
        _eq(_inbox.timeOf(2), START + 9, "second time");
        _eq(_deposit(BOB, 100), 4, "the next");
        _eq(address(_inbox).balance, 5 * FEE, "fees");
    }

    function testAmounts() external {
        uint256[3] memory wrong = [DEPOSIT_MIN - 1, 0, 1 << 80];
        for (uint256 i = 0; i < 3; i++) {
            VM.prank(ALICE);
            VM.expectRevert(abi.encodeWithSelector(Inbox.AmountWrong.selector, wrong[i]));
            _inbox.deposit{value: 2 * FEE}(wrong[i]);
        }
        _deposit(ALICE, DEPOSIT_MIN);
        _deposit(ALICE, (1 << 80) - 1);
        _eq(_inbox.amountOf(2), (1 << 80) - 1, "amount");
    }

    function testTheCapHolds() external {
        for (uint256 i = 0; i < 1024; i++) {
            _deposit(ALICE, (1 << 80) - 1);
        }
        _deposit(BOB, 1024);
        _eq(_vault.held(), CAP, "full");
        uint256 count = _inbox.count();
        VM.prank(ALICE);
        VM.expectRevert(abi.encodeWithSelector(Vault.CapReached.selector, CAP, CAP + 100));
        _inbox.deposit{value: FEE}(100);
        _eq(_inbox.count(), count, "nothing appended");
    }

    function testFees() external {
        uint256[3] memory wrong = [uint256(0), FEE, 3 * FEE];
        for (uint256 i = 0; i < 3; i++) {
            VM.prank(ALICE);
            VM.expectRevert(abi.encodeWithSelector(Inbox.FeeWrong.selector, 2 * FEE, wrong[i]));
            _inbox.deposit{value: wrong[i]}(100);
        }
        _deposit(ALICE, 100);
        VM.prank(ALICE);
        VM.expectRevert(abi.encodeWithSelector(Inbox.FeeWrong.selector, FEE, 0));
        _inbox.withdraw(1);
        VM.prank(ALICE);
        VM.expectRevert(abi.encodeWithSelector(Inbox.FeeWrong.selector, FEE, FEE + 1));
        _inbox.cancelAll{value: FEE + 1}(0);
        VM.expectEmit(address(_inbox));
        emit Inbox.FeesPaid(OPERATOR, 2 * FEE);
        _inbox.payFees();
        _eq(OPERATOR.balance, 2 * FEE, "paid");
        // An operator that takes nothing.
        VM.etch(OPERATOR, hex"fe");
        VM.expectRevert(abi.encodeWithSelector(Inbox.TransferFailed.selector));
        _inbox.payFees();
    }

    function testOnlyOwners() external {
        (uint32[7] memory x, uint32[7] memory y) = _point();
        VM.deal(address(this), 1 ether);
        bytes memory wrong = abi.encodeWithSelector(Inbox.NoAccount.selector, address(this));
        VM.expectRevert(wrong);
        _inbox.withdraw{value: FEE}(1);
        VM.expectRevert(wrong);
        _inbox.cancelAll{value: FEE}(1);
        VM.expectRevert(wrong);
        _inbox.close{value: FEE}(1, true, 1, 1);
        VM.expectRevert(wrong);
        _inbox.revoke{value: FEE}(1);
        VM.expectRevert(wrong);
        _inbox.register{value: FEE}(1, true, true, 1, x, y);
    }

    function testBounds() external {
        _deposit(ALICE, 100);
        VM.deal(address(this), 1 ether);
        _refused(abi.encodeCall(Inbox.withdraw, (0)), abi.encodeWithSelector(Inbox.AmountWrong.selector, 0));
        _refused(abi.encodeCall(Inbox.withdraw, (1 << 80)), abi.encodeWithSelector(Inbox.AmountWrong.selector, 1 << 80));
        _refused(abi.encodeCall(Inbox.cancelAll, (256)), abi.encodeWithSelector(Inbox.MarketRange.selector, 256));
        _refused(abi.encodeCall(Inbox.revoke, (4)), abi.encodeWithSelector(Inbox.KeyWrong.selector, 4));
        _close(256, 1, 1, abi.encodeWithSelector(Inbox.MarketRange.selector, 256));
        _close(0, 0, 1, abi.encodeWithSelector(Inbox.PriceWrong.selector, 0));
        _close(0, 1 << 32, 1, abi.encodeWithSelector(Inbox.PriceWrong.selector, 1 << 32));
        _close(0, 1, 0, abi.encodeWithSelector(Inbox.SizeWrong.selector, 0));
        _close(0, 1, 1 << 40, abi.encodeWithSelector(Inbox.SizeWrong.selector, 1 << 40));
        // The largest of each.
        VM.prank(ALICE);
        _inbox.close{value: FEE}(255, false, (1 << 32) - 1, (1 << 40) - 1);
        VM.prank(ALICE);
        _inbox.withdraw{value: FEE}((1 << 80) - 1);
        VM.prank(ALICE);
        _inbox.revoke{value: FEE}(3);
        _eq(_inbox.count(), 5, "entries");
    }

    function _close(uint256 market, uint256 price, uint256 size, bytes memory data) private {
        _refused(abi.encodeCall(Inbox.close, (market, true, price, size)), data);
    }

    function _refused(bytes memory call, bytes memory data) private {
        VM.prank(ALICE);
        (bool fine, bytes memory answer) = address(_inbox).call{value: FEE}(call);
        require(!fine && keccak256(answer) == keccak256(data), "refused");
    }

    function testKeys() external {
        _deposit(ALICE, 100);
        (uint32[7] memory x, uint32[7] memory y) = _point();
        _key(4, 0, x, y, abi.encodeWithSelector(Inbox.KeyWrong.selector, 4));
        _key(0, 1 << 42, x, y, abi.encodeWithSelector(Inbox.ExpiryWrong.selector, 1 << 42));
        for (uint256 i = 0; i < 7; i++) {
            uint32 former = x[i];
            x[i] = uint32(P);
            _key(0, 0, x, y, abi.encodeWithSelector(CoefficientWrong.selector, i, P));
            x[i] = type(uint32).max;
            _key(0, 0, x, y, abi.encodeWithSelector(CoefficientWrong.selector, i, type(uint32).max));
            x[i] = former ^ 1;
            _key(0, 0, x, y, abi.encodeWithSelector(OffCurve.selector));
            x[i] = former;
            former = y[i];
            y[i] = uint32(P + former % 5);
            _key(0, 0, x, y, abi.encodeWithSelector(CoefficientWrong.selector, i, P + former % 5));
            y[i] = former ^ 1;
            _key(0, 0, x, y, abi.encodeWithSelector(OffCurve.selector));
            y[i] = former;
        }
        uint32[7] memory zero;
        _key(0, 0, zero, zero, abi.encodeWithSelector(OffCurve.selector));
        _key(0, 0, y, x, abi.encodeWithSelector(OffCurve.selector));
        VM.prank(ALICE);
        _inbox.register{value: FEE}(3, true, true, (1 << 42) - 1, x, y);
        // The point's inverse is another one.
        for (uint256 i = 0; i < 7; i++) {
            y[i] = uint32(P - y[i]);
        }
        VM.prank(ALICE);
        _inbox.register{value: FEE}(0, false, false, 0, x, y);
        _eq(_inbox.count(), 4, "entries");
    }

    function _key(uint256 key, uint64 expiry, uint32[7] memory x, uint32[7] memory y, bytes memory data) private {
        _refused(abi.encodeCall(Inbox.register, (key, true, true, expiry, x, y)), data);
    }

    function testFuzzNoPointIsMadeUp(uint32[7] memory x, uint32[7] memory y) external {
        for (uint256 i = 0; i < 7; i++) {
            (x[i], y[i]) = (uint32(x[i] % P), uint32(y[i] % P));
        }
        _deposit(ALICE, 100);
        _key(0, 0, x, y, abi.encodeWithSelector(OffCurve.selector));
    }

    function testAPauseStopsDepositsOnly() external {
        _deposit(ALICE, 100);
        _pause(3 days);
        VM.prank(ALICE);
        VM.expectRevert(abi.encodeWithSelector(Inbox.Paused.selector));
        _inbox.deposit{value: FEE}(100);
        (uint32[7] memory x, uint32[7] memory y) = _point();
        VM.prank(ALICE);
        _inbox.withdraw{value: FEE}(1);
        VM.prank(ALICE);
        _inbox.cancelAll{value: FEE}(1);
        VM.prank(ALICE);
        _inbox.close{value: FEE}(1, true, 1, 1);
        VM.prank(ALICE);
        _inbox.revoke{value: FEE}(1);
        VM.prank(ALICE);
        _inbox.register{value: FEE}(1, true, true, 1, x, y);
        _inbox.payFees();
        VM.warp(START + 3 days);
        _deposit(ALICE, 100);
    }

    function testNothingIsAppendedWhenFrozen() external {
        _deposit(ALICE, 100);
        _freeze();
        bytes memory frozen = abi.encodeWithSelector(Inbox.Frozen.selector);
        _refused(abi.encodeCall(Inbox.deposit, (100)), frozen);
        _refused(abi.encodeCall(Inbox.withdraw, (1)), frozen);
        _refused(abi.encodeCall(Inbox.cancelAll, (1)), frozen);
        _refused(abi.encodeCall(Inbox.close, (1, true, 1, 1)), frozen);
        _refused(abi.encodeCall(Inbox.revoke, (1)), frozen);
        (uint32[7] memory x, uint32[7] memory y) = _point();
        _refused(abi.encodeCall(Inbox.register, (1, true, true, 1, x, y)), frozen);
    }

    function testRefunds() external {
        _deposit(ALICE, 100);
        _commit(0);
        _finalise();
        _deposit(ALICE, 200);
        VM.prank(ALICE);
        _inbox.withdraw{value: FEE}(300);
        _deposit(BOB, 400);
        VM.expectRevert(abi.encodeWithSelector(Inbox.NotFrozen.selector));
        _inbox.refund(2);
        _freeze();
        VM.expectRevert(abi.encodeWithSelector(Inbox.NoEntry.selector, 6));
        _inbox.refund(6);
        VM.expectRevert(abi.encodeWithSelector(Inbox.Consumed.selector, 1));
        _inbox.refund(1);
        // The withdrawal, and the opening of an account.
        for (uint256 i = 3; i < 5; i++) {
            VM.expectRevert(abi.encodeWithSelector(Inbox.NothingToRefund.selector, i));
            _inbox.refund(i);
        }
        _inbox.refund(2);
        _inbox.refund(5);
        _eq(_vault.claimable(ALICE), 200, "alice");
        _eq(_vault.claimable(BOB), 400, "bob");
        VM.expectRevert(abi.encodeWithSelector(Inbox.NothingToRefund.selector, 5));
        _inbox.refund(5);
        _vault.claim(BOB);
        _eq(_token.balanceOf(BOB), 1 << 92, "all of it");
    }

    function testViewsHaveRanges() external {
        VM.expectRevert(abi.encodeWithSelector(Inbox.NoEntry.selector, 1));
        _inbox.headAt(1);
        VM.expectRevert(abi.encodeWithSelector(Inbox.NoEntry.selector, 0));
        _inbox.timeOf(0);
        VM.expectRevert(abi.encodeWithSelector(Inbox.NoEntry.selector, 0));
        _inbox.amountOf(0);
    }

    /// @dev All ids are given, and all entries there: by hand, since there are more than a test can make.
    function testFull() external {
        _deposit(ALICE, 100);
        VM.store(address(_inbox), bytes32(uint256(1)), bytes32(uint256((1 << 20) - 2)));
        _eq(_deposit(BOB, 100), (1 << 20) - 2, "the last");
        VM.prank(HOUSE);
        _inbox.withdraw{value: FEE}(1);
        VM.deal(address(this), 1 ether);
        VM.expectRevert(abi.encodeWithSelector(Inbox.AccountsFull.selector));
        _inbox.deposit{value: 2 * FEE}(100);
        VM.store(address(_inbox), bytes32(uint256(0)), bytes32(uint256((1 << 30) - 2)));
        VM.prank(ALICE);
        _inbox.withdraw{value: FEE}(1);
        _eq(_inbox.count(), (1 << 30) - 1, "full: the count has 30 bits");
        VM.prank(ALICE);
        VM.expectRevert(abi.encodeWithSelector(Inbox.InboxFull.selector));
        _inbox.withdraw{value: FEE}(1);
    }

    function testTokensThatTakeOrCall() external {
        FeeToken fees = new FeeToken();
        _deploy(address(fees), address(new Reader()), GENESIS);
        fees.mint(ALICE, 1000);
        VM.prank(ALICE);
        VM.expectRevert(abi.encodeWithSelector(Vault.Short.selector, 500, 499));
        _inbox.deposit{value: 2 * FEE}(500);
        _eq(_inbox.count(), 0, "nothing appended");

        CallingToken token = new CallingToken();
        _deploy(address(token), address(new Reader()), GENESIS);
        token.mint(ALICE, 1000);
        _deposit(ALICE, 200);
        // Whoever is called in the middle of a deposit cannot deposit, and finds the entry there already.
        token.set(address(_inbox), abi.encodeCall(Inbox.payFees, ()));
        _deposit(ALICE, 300);
        require(token.done(), "fees are paid");
        token.set(address(_vault), abi.encodeCall(Vault.claim, (ALICE)));
        _deposit(ALICE, 300);
        require(!token.done() && bytes4(token.answer()) == Vault.Reentered.selector, "closed");
        _eq(_vault.held(), 800, "held");
        _eq(_inbox.count(), 4, "entries");
    }
}
