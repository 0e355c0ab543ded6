// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cells} from "../../src/Cells.sol";
import {Inbox} from "../../src/Inbox.sol";
import {ICouncil, IRollup, IVault} from "../../src/Settlement.sol";
import {SVM, VM} from "./Svm.sol";

/// @dev Vault, rollup and council: the venue runs.
contract Running {
    function frozen() external pure returns (bool) {
        return false;
    }

    function paused() external pure returns (bool) {
        return false;
    }

    function collect(address, uint256) external {}
}

/// @notice One call of anybody's, from any state: entries are appended, in order, and what is there stays. (The hash is keccak's here, of which the prover knows no more than that it has no collisions.)
contract InboxProof {
    Inbox private _inbox;
    uint256 private _count;

    function _any() private {
        address all = address(new Running());
        _inbox = new Inbox(IVault(all), IRollup(all), ICouncil(all), 0, 1, new address[](0));
        SVM.enableSymbolicStorage(address(_inbox));
        _count = _inbox.count();
        VM.assume(_count <= (1 << 30) - 1);
        VM.assume(_inbox.nextAccount() < 1 << 20);
        VM.warp(SVM.createUint(40, "time"));
    }

    /// @dev One of the calls that append one entry; deposits of who has an account.
    function _append(uint256 which, address caller) private {
        bytes memory data = which == 0
            ? abi.encodeCall(Inbox.withdraw, (SVM.createUint(90, "amount")))
            : which == 1
                ? abi.encodeCall(Inbox.cancelAll, (SVM.createUint(16, "market")))
                : which == 2
                    ? abi.encodeCall(
                        Inbox.close,
                        (
                            SVM.createUint(16, "market"),
                            SVM.createBool("buys"),
                            SVM.createUint(40, "price"),
                            SVM.createUint(48, "size")
                        )
                    )
                    : which == 3
                        ? abi.encodeCall(Inbox.revoke, (SVM.createUint(8, "key")))
                        : abi.encodeCall(Inbox.deposit, (SVM.createUint(90, "amount")));
        VM.prank(caller);
        (bool fine,) = address(_inbox).call(data);
        VM.assume(fine);
    }

    /// @dev Whatever is appended: earlier heads, times and amounts stay, and the number grows by one (by two, if it opens an account), within 30 bits.
    function check_whatIsThereStays(uint256 which, address caller, uint256 index) external {
        _any();
        VM.assume(which < 5 && index <= _count);
        bytes32 head = _inbox.headAt(index);
        bool has = _inbox.hasAccount(caller);
        uint256 time = index < _count ? _inbox.timeOf(index) : 0;
        uint256 amount = index < _count ? _inbox.amountOf(index) : 0;
        _append(which, caller);
        assert(_inbox.headAt(index) == head);
        if (index < _count) assert(_inbox.timeOf(index) == time && _inbox.amountOf(index) == amount);
        assert(_inbox.count() == _count + (has ? 1 : 2));
        assert(has || which == 4);
        assert(_inbox.count() <= (1 << 30) - 1);
        assert(_inbox.timeOf(_count) == block.timestamp);
    }

    /// @dev The next head is the one before with the entry and its number absorbed: of two entries, the order can be told.
    function check_theHeadAbsorbsTheEntry(address caller, uint256 amount) external {
        _any();
        VM.assume(_inbox.hasAccount(caller) && amount < 1 << 80);
        uint256 account = _inbox.accountOf(caller);
        VM.assume(account < 1 << 20);
        bytes32 head = _inbox.headAt(_count);
        VM.prank(caller);
        _inbox.withdraw(amount);
        assert(_inbox.headAt(_count + 1) == Cells.absorb(head, Cells.withdraw(account, amount), _count));
        assert(_inbox.amountOf(_count) == 0);
    }
}
