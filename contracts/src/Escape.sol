// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IEscape, IInbox, IRollup, IVault} from "./Settlement.sol";
import {StateReader} from "./StateReader.sol";
import {Account, Market, Position} from "./StateTree.sol";

/// @title The way out that needs nobody.
/// @notice If the venue stops serving its inbox, or stops proving, it is frozen here, and all accounts are paid by the last final root.
contract Escape is IEscape {
    /// @notice An entry may wait this long, and so may the next proof.
    uint256 public constant PATIENCE = 7 days;
    /// @notice How long debts are shown, before accounts exit.
    uint256 public constant DEBT_WINDOW = 3 days;

    IVault public immutable vault;
    IInbox public immutable inbox;
    IRollup public immutable rollup;
    StateReader public immutable reader;

    /// @notice When the venue was frozen, 0 if it was not.
    uint256 public frozenAt;
    bool public systemRecorded;
    /// @notice D: what all accounts have together.
    uint256 public deposits;
    /// @notice B: what those below zero owe, as far as it was shown.
    uint256 public debt;
    /// @notice Of D, what was paid.
    uint256 public paidTotal;
    /// @notice Bit m is set if market m was recorded.
    uint256 public marketsRecorded;
    mapping(uint256 market => uint256 price) public markOf;
    mapping(uint256 account => bool) public debtShown;
    mapping(uint256 account => bool) public exited;

    event Recorded(uint256 markets);

    error ZeroAddress();
    /// @notice Nothing is late.
    error NotLate();
    error AlreadyFrozen();
    error NotFrozen();
    /// @notice Debts are not shown any more.
    error WindowOver();
    /// @notice Debts are shown still.
    error WindowOpen(uint256 until);
    error SystemMissing();
    error MarketMissing(uint256 market);
    error NotBelowZero(uint256 account);
    error AlreadyShown(uint256 account);
    error AlreadyExited(uint256 account);
    /// @notice It has no owner, or nothing above zero.
    error NothingThere(uint256 account);

    constructor(IVault vault_, IInbox inbox_, IRollup rollup_, StateReader reader_) {
        require(address(vault_) != address(0) && address(inbox_) != address(0), ZeroAddress());
        require(address(rollup_) != address(0) && address(reader_) != address(0), ZeroAddress());
        (vault, inbox, rollup, reader) = (vault_, inbox_, rollup_, reader_);
    }

    /// @inheritdoc IEscape
    function freeze() external {
        require(frozenAt == 0, AlreadyFrozen());
        require(_late(), NotLate());
        frozenAt = block.timestamp;
        rollup.freeze();
    }

    /// @inheritdoc IEscape
    /// @param systemOpening Of the venue's slot; empty to leave it out.
    /// @param marketSet Bit m is set if market m is opened; 0 to leave them out.
    function record(bytes calldata systemOpening, uint256 marketSet, bytes calldata marketsOpening) external {
        require(frozenAt != 0, NotFrozen());
        bytes32 root = rollup.root();
        if (systemOpening.length > 0) {
            deposits = reader.readSystem(root, systemOpening).deposits;
            systemRecorded = true;
        }
        if (marketSet != 0) {
            Market[] memory markets = reader.readMarkets(root, marketSet, marketsOpening);
            for (uint256 i = 0; i < markets.length; i++) {
                markOf[markets[i].market] = markets[i].mark;
            }
            marketsRecorded |= marketSet;
        }
        emit Recorded(marketsRecorded);
    }

    /// @inheritdoc IEscape
    function showDebt(uint256 account, bytes calldata opening) external {
        require(frozenAt != 0, NotFrozen());
        require(block.timestamp < frozenAt + DEBT_WINDOW, WindowOver());
        require(!debtShown[account], AlreadyShown(account));
        (, int256 equity) = _read(account, opening);
        require(equity < 0, NotBelowZero(account));
        debtShown[account] = true;
        debt += uint256(-equity);
        emit DebtShown(account, uint256(-equity));
    }

    /// @inheritdoc IEscape
    function exit(uint256 account, bytes calldata opening) external returns (uint256 paid) {
        require(frozenAt != 0, NotFrozen());
        require(block.timestamp >= frozenAt + DEBT_WINDOW, WindowOpen(frozenAt + DEBT_WINDOW));
        require(systemRecorded, SystemMissing());
        require(!exited[account], AlreadyExited(account));
        (address owner, int256 equity) = _read(account, opening);
        require(equity > 0 && deposits > 0, NothingThere(account));
        paid = uint256(equity) * deposits / (deposits + debt);
        uint256 left = deposits - paidTotal;
        if (paid > left) paid = left;

        exited[account] = true;
        paidTotal += paid;
        emit Exited(account, owner, uint256(equity), paid);
        vault.credit(owner, paid);
    }

    /// @notice What `freeze` asks: whether an entry, or the next proof, is late.
    function late() external view returns (bool) {
        return _late();
    }

    function _late() private view returns (bool) {
        if (block.timestamp > rollup.finalSince() + PATIENCE) return true;
        uint256 consumed = rollup.inboxConsumed();
        return consumed < inbox.count() && block.timestamp > inbox.timeOf(consumed) + PATIENCE;
    }

    /// @dev An account's owner, and its equity at the recorded marks. Amounts are below 2^112 and sizes and marks below 2^42, so that nothing overflows.
    function _read(uint256 index, bytes calldata opening) private view returns (address, int256 equity) {
        Account memory account = reader.readAccount(rollup.root(), index, opening);
        require(account.open, NothingThere(index));
        equity = account.collateral;
        for (uint256 i = 0; i < account.positions.length; i++) {
            Position memory position = account.positions[i];
            require((marketsRecorded >> position.market) & 1 == 1, MarketMissing(position.market));
            equity += position.size * int256(markOf[position.market]) + position.quote;
        }
        return (account.owner, equity);
    }
}
