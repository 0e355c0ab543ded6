// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Escape} from "../../src/Escape.sol";
import {IInbox, IRollup, IVault} from "../../src/Settlement.sol";
import {StateReader} from "../../src/StateReader.sol";
import {Account, Position} from "../../src/StateTree.sol";
import {SVM, VM} from "./Svm.sol";

/// @dev Vault, inbox, rollup and reader: the venue is frozen, and accounts are what the test says, whatever their opening is.
contract Surroundings {
    uint256 public credited;
    uint256 public credits;
    bool public open;
    address public owner;
    int256 public collateral;

    function set(bool open_, address owner_, int256 collateral_) external {
        (open, owner, collateral) = (open_, owner_, collateral_);
    }

    function credit(address, uint256 amount) external {
        credited += amount;
        credits++;
    }

    function root() external pure returns (bytes32) {
        return bytes32(uint256(1));
    }

    function readAccount(bytes32, uint256, bytes calldata) external view returns (Account memory account) {
        (account.open, account.owner, account.collateral) = (open, owner, collateral);
        account.positions = new Position[](0);
    }
}

/// @notice One exit, from any state of the escape.
contract EscapeProof {
    Surroundings private _around;
    Escape private _escape;

    /// @dev An account has any equity of so many bits, above zero or below.
    function _any(uint256 bits) private returns (int256 equity) {
        _around = new Surroundings();
        address all = address(_around);
        _escape = new Escape(IVault(all), IInbox(all), IRollup(all), StateReader(all));
        SVM.enableSymbolicStorage(address(_escape));
        equity = int256(SVM.createUint(bits, "equity"));
        if (SVM.createBool("below zero")) equity = -equity;
        _around.set(SVM.createBool("open"), SVM.createAddress("owner"), equity);
        VM.warp(SVM.createUint(40, "time"));
        VM.assume(_escape.frozenAt() < 1 << 40 && _escape.deposits() < 1 << 91);
        VM.assume(_escape.debt() < 1 << 133);
        // What is to be shown of all states.
        VM.assume(_escape.paidTotal() <= _escape.deposits());
    }

    /// @dev paidTotal is what the exits have paid, and never more than D: so they take no more than D together.
    function check_exitsTakeNoMoreThanTheDeposits(uint256 account, uint256 other) external {
        _any(112);
        VM.assume(account != other);
        uint256 before = _escape.paidTotal();
        uint256 deposits = _escape.deposits();
        uint256 debt = _escape.debt();
        bool otherBefore = _escape.exited(other);
        VM.assume(!_escape.exited(account));
        uint256 paid = _escape.exit(account, "");
        assert(_escape.paidTotal() == before + paid);
        assert(_escape.paidTotal() <= deposits);
        assert(_around.credited() == paid && _around.credits() == 1);
        assert(_escape.deposits() == deposits && _escape.debt() == debt);
        assert(_escape.exited(account) && _escape.exited(other) == otherBefore);
    }

    function check_noAccountExitsTwice(uint256 account) external {
        _any(112);
        VM.assume(_escape.exited(account));
        try _escape.exit(account, "") {
            assert(false);
        } catch {}
        assert(_around.credits() == 0);
    }

    /// @dev Debts are shown once each, within their window, and of accounts below zero alone; and nothing else that exits go by changes.
    function check_debtsAreShownOnce(uint256 account) external {
        int256 equity = _any(112);
        uint256 debt = _escape.debt();
        uint256 paidTotal = _escape.paidTotal();
        bool shown = _escape.debtShown(account);
        _escape.showDebt(account, "");
        assert(!shown && equity < 0 && _escape.debtShown(account));
        assert(block.timestamp < _escape.frozenAt() + 3 days);
        assert(_escape.debt() == debt + uint256(-equity) && _escape.paidTotal() == paidTotal);
        try _escape.showDebt(account, "") {
            assert(false);
        } catch {}
        // Exits come after.
        try _escape.exit(account, "") {
            assert(false);
        } catch {}
    }
}
