// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cells} from "./Cells.sol";
import {Septic} from "./Septic.sol";
import {ICouncil, IInbox, IRollup, IVault} from "./Settlement.sol";

/// @title Deposits, and what the venue cannot refuse to hear.
/// @notice Every entry is one that the rules can carry out or refuse; that the venue consumes it is what the rollup and the escape see to.
contract Inbox is IInbox {
    /// @dev `sequence` in the state, which counts them, has 30 bits.
    uint256 private constant ENTRIES_MAX = (1 << 30) - 1;
    uint256 private constant AMOUNT_END = 1 << 80;
    uint256 private constant PRICE_END = 1 << 32;
    uint256 private constant SIZE_END = 1 << 40;
    uint256 private constant MARKETS = 256;
    uint256 private constant KEYS = 4;
    uint256 private constant TIME_END = 1 << 42;

    struct Entry {
        uint40 time;
        uint32 account;
        /// Of a deposit that was not refunded.
        uint128 amount;
    }

    IVault public immutable vault;
    IRollup public immutable rollup;
    ICouncil public immutable council;
    bytes32 public immutable domain;
    uint256 public immutable fee;
    /// @notice The least that can be deposited.
    uint256 public immutable depositMin;
    /// @notice Accounts below it are those of the genesis.
    uint256 public immutable firstAccount;

    uint256 public count;
    /// @notice The next owner's account.
    uint256 public nextAccount;
    mapping(uint256 index => bytes32 head) private _heads;
    mapping(uint256 index => Entry entry) private _entries;
    mapping(uint256 account => address owner) public ownerOf;
    /// @dev Account + 1.
    mapping(address owner => uint256 place) private _places;

    event FeesPaid(address indexed to, uint256 amount);

    error ParameterWrong();
    error Frozen();
    error NotFrozen();
    error Paused();
    error FeeWrong(uint256 expected, uint256 got);
    error NoAccount(address owner);
    error AccountsFull();
    error InboxFull();
    error AmountWrong(uint256 amount);
    error KeyWrong(uint256 key);
    error ExpiryWrong(uint256 expiry);
    error MarketRange(uint256 market);
    error PriceWrong(uint256 price);
    error SizeWrong(uint256 size);
    error NoEntry(uint256 index);
    /// @notice The venue has consumed it: it is part of the last final state.
    error Consumed(uint256 index);
    /// @notice It is no deposit, or was refunded.
    error NothingToRefund(uint256 index);
    error TransferFailed();

    /// @param vault_ There already: its address is in the domain.
    /// @param genesisOwners Owner of each account of the genesis from 0 on; zero where there is no account.
    constructor(
        IVault vault_,
        IRollup rollup_,
        ICouncil council_,
        uint256 fee_,
        uint256 depositMin_,
        address[] memory genesisOwners
    ) {
        require(address(vault_) != address(0) && address(rollup_) != address(0), ParameterWrong());
        require(address(council_) != address(0), ParameterWrong());
        require(depositMin_ != 0 && depositMin_ < AMOUNT_END, ParameterWrong());
        require(genesisOwners.length < Cells.BRIDGE, ParameterWrong());
        (vault, rollup, council, fee, depositMin) = (vault_, rollup_, council_, fee_, depositMin_);
        domain = Cells.domain(block.chainid, address(vault_));
        _heads[0] = Cells.inboxStart(domain);
        firstAccount = genesisOwners.length;
        nextAccount = genesisOwners.length;
        // Of two accounts of one owner, the first is the one that it forces.
        for (uint256 account = genesisOwners.length; account > 0; account--) {
            address owner = genesisOwners[account - 1];
            if (owner != address(0)) (ownerOf[account - 1], _places[owner]) = (owner, account);
        }
    }

    /// @inheritdoc IInbox
    /// @dev The first one is two entries, and costs two fees.
    function deposit(uint256 amount) external payable returns (uint256 account) {
        require(!council.paused(), Paused());
        require(amount >= depositMin && amount < AMOUNT_END, AmountWrong(amount));
        _requireRunning();
        uint256 place = _places[msg.sender];
        _requireFee(place == 0 ? 2 : 1);
        account = place == 0 ? _open() : place - 1;
        uint256 index = _append(account, _one(Cells.deposit(account, amount)));
        _entries[index].amount = uint128(amount);
        vault.collect(msg.sender, amount);
    }

    /// @inheritdoc IInbox
    function register(
        uint256 key,
        bool replaces,
        bool withdraws,
        uint64 expiry,
        uint32[7] calldata x,
        uint32[7] calldata y
    ) external payable {
        uint256 account = _begin();
        require(key < KEYS, KeyWrong(key));
        require(expiry < TIME_END, ExpiryWrong(expiry));
        Septic.requirePoint(x, y);
        bytes32[] memory blocks = new bytes32[](3);
        blocks[0] = Cells.register(account, key, replaces, withdraws, expiry);
        blocks[1] = Cells.coordinate(x);
        blocks[2] = Cells.coordinate(y);
        _append(account, blocks);
    }

    /// @inheritdoc IInbox
    function revoke(uint256 key) external payable {
        uint256 account = _begin();
        require(key < KEYS, KeyWrong(key));
        _append(account, _one(Cells.revoke(account, key)));
    }

    /// @inheritdoc IInbox
    function withdraw(uint256 amount) external payable {
        uint256 account = _begin();
        require(amount != 0 && amount < AMOUNT_END, AmountWrong(amount));
        _append(account, _one(Cells.withdraw(account, amount)));
    }

    /// @inheritdoc IInbox
    function cancelAll(uint256 market) external payable {
        uint256 account = _begin();
        require(market < MARKETS, MarketRange(market));
        _append(account, _one(Cells.cancelAll(account, market)));
    }

    /// @inheritdoc IInbox
    function close(uint256 market, bool buys, uint256 price, uint256 size) external payable {
        uint256 account = _begin();
        require(market < MARKETS, MarketRange(market));
        require(price != 0 && price < PRICE_END, PriceWrong(price));
        require(size != 0 && size < SIZE_END, SizeWrong(size));
        _append(account, _one(Cells.close(account, market, buys, price, size)));
    }

    /// @inheritdoc IInbox
    function refund(uint256 index) external {
        require(rollup.frozen(), NotFrozen());
        require(index < count, NoEntry(index));
        require(index >= rollup.inboxConsumed(), Consumed(index));
        Entry storage entry = _entries[index];
        uint256 amount = entry.amount;
        require(amount != 0, NothingToRefund(index));
        entry.amount = 0;
        vault.credit(ownerOf[entry.account], amount);
    }

    /// @notice Pays the fees so far to the operator. Anybody may ask for it.
    function payFees() external {
        address to = rollup.operator();
        uint256 amount = address(this).balance;
        emit FeesPaid(to, amount);
        (bool fine,) = to.call{value: amount}("");
        require(fine, TransferFailed());
    }

    /// @inheritdoc IInbox
    function headAt(uint256 index) external view returns (bytes32) {
        require(index <= count, NoEntry(index));
        return _heads[index];
    }

    /// @inheritdoc IInbox
    function timeOf(uint256 index) external view returns (uint256) {
        require(index < count, NoEntry(index));
        return _entries[index].time;
    }

    /// @notice Amount of a deposit that was not refunded (consumed or not), 0 for any other entry.
    function amountOf(uint256 index) external view returns (uint256) {
        require(index < count, NoEntry(index));
        return _entries[index].amount;
    }

    /// @inheritdoc IInbox
    /// @dev Of account 0, which can be one of the genesis, `hasAccount` tells it from none.
    function accountOf(address owner) external view returns (uint256) {
        uint256 place = _places[owner];
        return place == 0 ? 0 : place - 1;
    }

    function hasAccount(address owner) external view returns (bool) {
        return _places[owner] != 0;
    }

    /// @dev What every forced command begins with: the caller's account.
    function _begin() private view returns (uint256) {
        _requireRunning();
        _requireFee(1);
        uint256 place = _places[msg.sender];
        require(place != 0, NoAccount(msg.sender));
        return place - 1;
    }

    function _requireRunning() private view {
        require(!rollup.frozen(), Frozen());
    }

    function _requireFee(uint256 entries) private view {
        require(msg.value == fee * entries, FeeWrong(fee * entries, msg.value));
    }

    /// @dev Opens an account for the caller.
    function _open() private returns (uint256 account) {
        account = nextAccount;
        require(account < Cells.BRIDGE, AccountsFull());
        nextAccount = account + 1;
        ownerOf[account] = msg.sender;
        _places[msg.sender] = account + 1;
        bytes32[] memory blocks = new bytes32[](2);
        (blocks[0], blocks[1]) = Cells.open(account, msg.sender);
        _append(account, blocks);
    }

    function _one(bytes32 block_) private pure returns (bytes32[] memory blocks) {
        blocks = new bytes32[](1);
        blocks[0] = block_;
    }

    /// @dev (Of a parameter that is a constant somewhere, the optimizer would make copies of all this, with the hash.)
    function _append(uint256 account, bytes32[] memory blocks) private returns (uint256 index) {
        index = count;
        require(index < ENTRIES_MAX, InboxFull());
        bytes32 head = _heads[index];
        for (uint256 i = 0; i < blocks.length; i++) {
            head = Cells.absorb(head, blocks[i], i == 0 ? index : 0);
        }
        _heads[index + 1] = head;
        _entries[index] = Entry(uint40(block.timestamp), uint32(account), 0);
        count = index + 1;
        emit Appended(index, account, blocks);
    }
}
