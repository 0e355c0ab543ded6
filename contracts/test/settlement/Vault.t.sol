// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Vault} from "../../src/Vault.sol";
import {IVault} from "../../src/Settlement.sol";
import {CallingToken, FalseToken, FeeToken, GreedyToken, SilentToken, Token, VM} from "./Kit.sol";

/// @dev The vault alone, with this contract as all three of those that it listens to.
contract VaultTest {
    address private constant ALICE = address(0xa11ce);
    address private constant BOB = address(0xb0b);
    uint256 private constant CAP = 1000;

    function _vault(address token) private returns (Vault) {
        return new Vault(token, CAP, address(this), address(0xcafe), address(0xe5c));
    }

    function _fresh() private returns (Token token, Vault vault) {
        token = new Token();
        token.mint(ALICE, 1 << 100);
        vault = _vault(address(token));
    }

    function testConstruction() external {
        Token token = new Token();
        VM.expectRevert(abi.encodeWithSelector(Vault.CapWrong.selector, 0));
        new Vault(address(token), 0, ALICE, ALICE, ALICE);
        VM.expectRevert(abi.encodeWithSelector(Vault.CapWrong.selector, (1 << 90) + 1));
        new Vault(address(token), (1 << 90) + 1, ALICE, ALICE, ALICE);
        new Vault(address(token), 1 << 90, ALICE, ALICE, ALICE);
        for (uint256 i = 0; i < 4; i++) {
            address[4] memory parts = [address(token), ALICE, ALICE, ALICE];
            parts[i] = address(0);
            VM.expectRevert(abi.encodeWithSelector(Vault.ZeroAddress.selector));
            new Vault(parts[0], 1, parts[1], parts[2], parts[3]);
        }
    }

    function testMoneyComesAndGoes() external {
        (Token token, Vault vault) = _fresh();
        VM.expectEmit(address(vault));
        emit IVault.Collected(ALICE, 700);
        vault.collect(ALICE, 700);
        require(vault.held() == 700 && token.balanceOf(address(vault)) == 700, "held");
        VM.expectEmit(address(vault));
        emit IVault.Credited(BOB, 300);
        vault.credit(BOB, 300);
        vault.credit(ALICE, 1);
        require(vault.claimableTotal() == 301 && vault.claimable(BOB) == 300, "claimable");
        // Anybody may ask, and it goes to whose it is.
        VM.prank(ALICE);
        VM.expectEmit(address(vault));
        emit IVault.Claimed(BOB, 300);
        require(vault.claim(BOB) == 300, "claimed");
        require(token.balanceOf(BOB) == 300 && token.balanceOf(address(vault)) == 400, "paid");
        require(vault.held() == 400 && vault.claimableTotal() == 1 && vault.claimable(BOB) == 0, "left");
        VM.expectRevert(abi.encodeWithSelector(Vault.NothingToClaim.selector, BOB));
        vault.claim(BOB);
    }

    function testOnlyTheOthersMayAsk() external {
        (, Vault vault) = _fresh();
        address[4] memory strangers = [ALICE, address(vault), address(0xcafe), address(0xe5c)];
        for (uint256 i = 0; i < strangers.length; i++) {
            VM.prank(strangers[i]);
            VM.expectRevert(abi.encodeWithSelector(Vault.NotAllowed.selector, strangers[i]));
            vault.collect(ALICE, 1);
        }
        vault.collect(ALICE, 10);
        for (uint256 i = 0; i < 2; i++) {
            VM.prank(strangers[i]);
            VM.expectRevert(abi.encodeWithSelector(Vault.NotAllowed.selector, strangers[i]));
            vault.credit(ALICE, 1);
            VM.prank(strangers[i + 2]);
            vault.credit(ALICE, 1);
        }
    }

    function testCap() external {
        (Token token, Vault vault) = _fresh();
        vault.collect(ALICE, CAP - 1);
        VM.expectRevert(abi.encodeWithSelector(Vault.CapReached.selector, CAP, CAP + 1));
        vault.collect(ALICE, 2);
        vault.collect(ALICE, 1);
        // What is claimed makes room; what is sent without asking does not count.
        vault.credit(BOB, 10);
        vault.claim(BOB);
        token.mint(address(vault), 1 << 95);
        vault.collect(ALICE, 10);
        require(vault.held() == CAP, "held");
    }

    function testNoMoreIsClaimableThanIsHeld() external {
        (Token token, Vault vault) = _fresh();
        vault.collect(ALICE, 100);
        token.mint(address(vault), 1000);
        vault.credit(BOB, 60);
        VM.expectRevert(abi.encodeWithSelector(Vault.NotCovered.selector, 100, 101));
        vault.credit(ALICE, 41);
        vault.credit(ALICE, 40);
        VM.expectRevert(abi.encodeWithSelector(Vault.NotCovered.selector, 100, 101));
        vault.credit(ALICE, 1);
    }

    function testTokensWithFees() external {
        FeeToken token = new FeeToken();
        Vault vault = _vault(address(token));
        token.mint(ALICE, 100);
        VM.expectRevert(abi.encodeWithSelector(Vault.Short.selector, 50, 49));
        vault.collect(ALICE, 50);
        GreedyToken greedy = new GreedyToken();
        vault = _vault(address(greedy));
        greedy.mint(ALICE, 100);
        vault.collect(ALICE, 50);
        vault.credit(ALICE, 20);
        greedy.set(true);
        VM.expectRevert(abi.encodeWithSelector(Vault.Overpaid.selector, 30, 29));
        vault.claim(ALICE);
        require(vault.claimable(ALICE) == 20 && vault.held() == 50, "nothing happened");
    }

    function testTokensThatSayFalse() external {
        FalseToken token = new FalseToken();
        Vault vault = _vault(address(token));
        token.mint(ALICE, 100);
        token.set(true);
        VM.expectRevert(abi.encodeWithSelector(Vault.TransferFailed.selector));
        vault.collect(ALICE, 50);
        token.set(false);
        vault.collect(ALICE, 50);
        vault.credit(ALICE, 20);
        token.set(true);
        VM.expectRevert(abi.encodeWithSelector(Vault.TransferFailed.selector));
        vault.claim(ALICE);
        require(vault.claimable(ALICE) == 20 && vault.claimableTotal() == 20 && vault.held() == 50, "still due");
        token.set(false);
        vault.claim(ALICE);
        // One that reverts, and one that is not there.
        VM.expectRevert(abi.encodeWithSelector(Vault.TransferFailed.selector));
        vault.collect(ALICE, 900);
    }

    function testTokensThatSayNothing() external {
        SilentToken token = new SilentToken();
        Vault vault = _vault(address(token));
        token.mint(ALICE, 100);
        vault.collect(ALICE, 50);
        vault.credit(BOB, 20);
        vault.claim(BOB);
        require(token.balanceOf(BOB) == 20 && vault.held() == 30, "paid");
    }

    function testTokensThatCallBack() external {
        CallingToken token = new CallingToken();
        Vault vault = new Vault(address(token), CAP, address(this), address(token), address(0xe5c));
        token.mint(ALICE, 100);
        vault.collect(ALICE, 50);
        vault.credit(BOB, 20);
        bytes[3] memory calls = [
            abi.encodeCall(Vault.claim, (BOB)),
            abi.encodeCall(Vault.credit, (BOB, 1)),
            abi.encodeCall(Vault.collect, (ALICE, 1))
        ];
        for (uint256 i = 0; i < calls.length; i++) {
            token.set(address(vault), calls[i]);
            vault.collect(ALICE, 1);
            require(!token.done() && bytes4(token.answer()) == Vault.Reentered.selector, "it is closed");
        }
        token.set(address(vault), calls[0]);
        vault.claim(BOB);
        require(!token.done() && bytes4(token.answer()) == Vault.Reentered.selector, "it is closed");
        require(token.balanceOf(BOB) == 20 && vault.held() == 33, "paid once");
    }

    function testFuzzNeverMoreThanIsHeld(uint256 in1, uint256 in2, uint256 out1, uint256 out2) external {
        (Token token, Vault vault) = _fresh();
        (in1, in2) = (in1 % (CAP + 10), in2 % (CAP + 10));
        if (in1 <= CAP) vault.collect(ALICE, in1);
        if (vault.held() + in2 > CAP) VM.expectPartialRevert(Vault.CapReached.selector);
        vault.collect(ALICE, in2);
        out1 %= CAP + 10;
        if (out1 > vault.held()) VM.expectPartialRevert(Vault.NotCovered.selector);
        vault.credit(BOB, out1);
        if (vault.claimable(BOB) == 0) VM.expectPartialRevert(Vault.NothingToClaim.selector);
        vault.claim(BOB);
        out2 %= CAP + 10;
        if (out2 > vault.held()) VM.expectPartialRevert(Vault.NotCovered.selector);
        vault.credit(ALICE, out2);
        require(token.balanceOf(address(vault)) == vault.held() && vault.claimableTotal() <= vault.held(), "covered");
    }
}
