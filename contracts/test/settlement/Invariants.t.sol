// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Council} from "../../src/Council.sol";
import {Inbox} from "../../src/Inbox.sol";
import {IRollup} from "../../src/Settlement.sol";
import {Account, System} from "../../src/StateTree.sol";
import {Kit, VM} from "./Kit.sol";

/// @dev A venue that does as it should, and people who do anything at any time. It keeps books of its own: what each account has in the venue, and what is due outside of it.
contract Venue is Kit {
    uint256 private constant PEOPLE = 6;

    /// @dev What an account has in the venue's last state (below zero too).
    mapping(uint256 account => int256) public equity;
    /// @dev What the accounts have under the last final root.
    mapping(uint256 account => int256) public equityFinal;
    uint256 public consumed;

    uint256 public collected;
    uint256 public claimed;
    uint256 public paidOut;
    uint256 public refunded;
    mapping(uint256 index => bool) public wasRefunded;
    mapping(uint256 index => bool) public wasPaid;
    /// @dev Batches, entries and payouts never go back.
    uint256 private _batchFinalBefore;
    uint256 private _consumedBefore;
    uint256 private _countBefore;
    bool private _frozenBefore;
    mapping(bytes4 => uint256) public done;

    constructor() {
        setUp();
        for (uint256 i = 0; i < PEOPLE; i++) {
            _fund(_person(i));
            VM.prank(_person(i));
            _inbox.deposit{value: 2 * FEE}(1000 + i);
            collected += 1000 + i;
        }
    }

    modifier watched() {
        _;
        done[msg.sig]++;
        require(_rollup.batchFinal() >= _batchFinalBefore, "final batches stay");
        require(_rollup.inboxConsumed() >= _consumedBefore, "consumed entries stay");
        require(_inbox.count() >= _countBefore, "entries stay");
        require(!_frozenBefore || (_rollup.frozen() && _rollup.batchFinal() == _batchFinalBefore), "frozen for good");
        require(_rollup.batchFinal() <= _rollup.batchCommitted(), "final are committed");
        require(_rollup.inboxConsumed() <= _inbox.count(), "consumed are there");
        (_batchFinalBefore, _consumedBefore) = (_rollup.batchFinal(), _rollup.inboxConsumed());
        (_countBefore, _frozenBefore) = (_inbox.count(), _rollup.frozen());
    }

    function _person(uint256 i) private pure returns (address) {
        return address(uint160(0xbee0 + i % PEOPLE));
    }

    function _idOf(uint256 i) private pure returns (uint256) {
        return 3 + i % PEOPLE;
    }

    function deposit(uint256 who, uint256 amount) external watched {
        amount = DEPOSIT_MIN + amount % 100_000;
        VM.prank(_person(who));
        try _inbox.deposit{value: FEE}(amount) {
            collected += amount;
        } catch {}
    }

    function force(uint256 who, uint256 what) external watched {
        bytes[3] memory calls = [
            abi.encodeCall(Inbox.withdraw, (1 + what % 1000)),
            abi.encodeCall(Inbox.cancelAll, (what % 300)),
            abi.encodeCall(Inbox.close, (what % 256, true, 1, 1))
        ];
        VM.prank(_person(who));
        (bool fine,) = address(_inbox).call{value: FEE}(calls[what % 3]);
        require(fine || _rollup.frozen() || what % 300 > 255, "it is heard");
    }

    /// @dev A batch: it takes up all entries, moves money between accounts (of which one may come below zero), pays some out; and is final, or not.
    function batch(uint256 from, uint256 to, uint256 gain, uint256 payout) external watched {
        if (_rollup.frozen() || _council.paused()) return;
        for (; consumed < _inbox.count(); consumed++) {
            // (Owners' accounts follow from their order.)
            uint256 amount = _inbox.amountOf(consumed);
            if (amount > 0) equity[_accountAt(consumed)] += int256(amount);
        }
        (from, gain) = (from % PEOPLE, gain % 5000);
        equity[_idOf(from)] -= int256(gain);
        equity[_idOf(to)] += int256(gain);
        for (uint256 i = 0; i < payout % 3; i++) {
            uint256 account = _idOf(from + i);
            if (equity[account] <= 0) continue;
            uint256 amount = payout % uint256(equity[account]) + 1;
            // What others owe is not there to be paid out.
            if (amount > _deposits() / 2) continue;
            equity[account] -= int256(amount);
            paidOut += amount;
            _payout(account, amount);
        }
        _commit(0);
        _finalise(consumed);
        for (uint256 i = 0; i < PEOPLE; i++) {
            equityFinal[_idOf(i)] = equity[_idOf(i)];
        }
    }

    /// @dev What the inbox's event says; all accounts are of people.
    function _accountAt(uint256 index) private view returns (uint256) {
        // Slot 3 of the inbox is the mapping of entries: time, account, amount from the lowest bits up.
        bytes32 slot = keccak256(abi.encode(index, uint256(3)));
        return (uint256(VM.load(address(_inbox), slot)) >> 40) & type(uint32).max;
    }

    function commitOnly() external watched {
        if (_rollup.frozen() || _council.paused()) return;
        _commit(0);
    }

    function remove(bool operator, uint256 from) external watched {
        if (operator) VM.prank(OPERATOR);
        try _rollup.remove(from % (_rollup.batchCommitted() + 2)) {} catch {}
    }

    /// @dev Some of any run.
    function pay(uint256 run, uint256 many) external watched {
        if (_rollup.runs() == 0) return;
        run %= _rollup.runs();
        (uint256 from, uint256 to,) = _rollup.unpaid(run);
        if (from == to) return;
        from = to - 1 - many % (to - from);
        _pay(run, _payoutsFrom(run, from));
        for (uint256 index = from; index < to; index++) {
            require(!wasPaid[index], "paid twice");
            wasPaid[index] = true;
        }
    }

    /// @dev The same payouts again, out of order, or of another run.
    function payWrongly(uint256 run, uint256 which, uint256 end) external watched {
        if (_payouts.length == 0 || _rollup.runs() == 0) return;
        which %= _payouts.length;
        run %= _rollup.runs() + 1;
        if (run < _rollup.runs()) {
            (uint256 from, uint256 to,) = _rollup.unpaid(run);
            if (from < to && which == to - 1) return;
        }
        IRollup.Payout[] memory list = new IRollup.Payout[](1);
        list[0] = _payouts[which];
        // As far as it is passed over, nothing comes of it.
        uint256 before = _vault.claimableTotal();
        try _rollup.pay(run, end % (_payouts.length + 2), list) {} catch {}
        _eq(_vault.claimableTotal(), before, "paid twice, or in another order");
    }

    function claim(uint256 who) external watched {
        try _vault.claim(_person(who)) returns (uint256 amount) {
            claimed += amount;
        } catch {}
    }

    function refund(uint256 index) external watched {
        index %= _inbox.count();
        uint256 amount = _inbox.amountOf(index);
        try _inbox.refund(index) {
            require(!wasRefunded[index] && index >= _rollup.inboxConsumed(), "once, and not consumed");
            wasRefunded[index] = true;
            refunded += amount;
        } catch {}
    }

    function pause(uint256 time) external watched {
        if (time % 8 != 0) return;
        uint256 id = _propose(address(_council), abi.encodeCall(Council.pause, (1 + time % 3 days)));
        try _council.execute(id) {} catch {}
    }

    function wait(uint256 time) external watched {
        VM.warp(VM.getBlockTimestamp() + time % 4 days);
    }

    function freeze(uint256 late) external watched {
        if (late % 8 == 0) VM.warp(VM.getBlockTimestamp() + 7 days + 1);
        try _escape.freeze() {
            System memory system;
            system.deposits = _depositsFinal();
            _escape.record(abi.encode(system), 0, "");
        } catch {}
    }

    function showDebt(uint256 who) external watched {
        uint256 account = _idOf(who);
        try _escape.showDebt(account, _opening(account)) {
            require(equityFinal[account] < 0, "it is below zero");
        } catch {}
    }

    function exit(uint256 who) external watched {
        uint256 account = _idOf(who);
        bool before = _escape.exited(account);
        try _escape.exit(account, _opening(account)) returns (uint256 paid) {
            require(!before && int256(paid) <= equityFinal[account], "once, and no more than it has");
        } catch {}
    }

    function _opening(uint256 id) private view returns (bytes memory) {
        Account memory account;
        (account.open, account.owner, account.collateral) = (true, _inbox.ownerOf(id), equityFinal[id]);
        return abi.encode(account);
    }

    function _deposits() private view returns (uint256) {
        int256 sum = 0;
        for (uint256 i = 0; i < PEOPLE; i++) {
            sum += equity[_idOf(i)];
        }
        return uint256(sum);
    }

    function _depositsFinal() private view returns (uint256) {
        int256 sum = 0;
        for (uint256 i = 0; i < PEOPLE; i++) {
            sum += equityFinal[_idOf(i)];
        }
        return uint256(sum);
    }

    /// @dev Everything that is held is somebody's: in the venue, in the inbox, final and unpaid, or claimable; and each unit once.
    function check() external view {
        uint256 held = _vault.held();
        require(_token.balanceOf(address(_vault)) >= held && held >= _vault.claimableTotal(), "covered");
        require(held == collected - claimed, "held is what came and has not gone");
        uint256 claimable = 0;
        for (uint256 i = 0; i < PEOPLE; i++) {
            claimable += _vault.claimable(_person(i));
        }
        require(claimable == _vault.claimableTotal(), "the claims add up");
        uint256 waiting = 0;
        for (uint256 i = _rollup.inboxConsumed(); i < _inbox.count(); i++) {
            waiting += _inbox.amountOf(i);
        }
        uint256 credited = claimable + claimed - refunded - _escape.paidTotal();
        require(credited <= paidOut, "no payout twice");
        uint256 unpaid = paidOut - credited;
        _checkRuns(unpaid);
        uint256 inside = _depositsFinal() - _escape.paidTotal();
        require(held == inside + waiting + unpaid + claimable, "every unit is somebody's, once");
        if (_escape.systemRecorded()) require(_escape.paidTotal() <= _escape.deposits(), "no more than D");
    }

    /// @dev The runs follow one another without a gap, what they say to be unpaid is what is due, and nothing in them was paid.
    function _checkRuns(uint256 unpaid) private view {
        uint256 next = 0;
        uint256 due = 0;
        for (uint256 run = 0; run < _rollup.runs(); run++) {
            (uint256 from, uint256 to,) = _rollup.unpaid(run);
            require(from >= next && to >= from, "runs follow one another");
            for (uint256 index = next; index < from; index++) {
                require(wasPaid[index], "what is before a run was paid");
            }
            for (uint256 index = from; index < to; index++) {
                require(!wasPaid[index], "what is due was not paid");
                due += _payouts[index].amount;
            }
            next = to;
        }
        require(due == unpaid, "what is due is what was not paid");
    }
}

contract InvariantsTest {
    Venue private _venue;

    function setUp() external {
        _venue = new Venue();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_venue);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[14] memory all = [
            Venue.deposit.selector,
            Venue.force.selector,
            Venue.batch.selector,
            Venue.batch.selector,
            Venue.commitOnly.selector,
            Venue.remove.selector,
            Venue.pay.selector,
            Venue.payWrongly.selector,
            Venue.claim.selector,
            Venue.refund.selector,
            Venue.pause.selector,
            Venue.wait.selector,
            Venue.freeze.selector,
            Venue.showDebt.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0].addr = address(_venue);
        targets[0].selectors = new bytes4[](15);
        for (uint256 i = 0; i < 14; i++) {
            targets[0].selectors[i] = all[i];
        }
        targets[0].selectors[14] = Venue.exit.selector;
    }

    function invariantEveryUnitIsSomebodysOnce() external view {
        _venue.check();
    }
}
